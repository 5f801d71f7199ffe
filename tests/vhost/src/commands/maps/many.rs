// SPDX-License-Identifier: GPL-2.0

//! Many mappings, and large ones.

use std::time::Instant;

use anyhow::{Context, Result};
use checks::report::Report;
use vhost_client::iotlb::{kind, Message};
use vhost_client::sys::{Advice, PAGE};

use super::{Mapper, Setting, IOVA, PAGE_SIZE};

/// Makes all checks, with `count` mappings and `mib` MiB.
pub fn run(setting: &Setting, report: &mut Report, count: usize, mib: usize) {
    report.check(
        format_args!("maps/many/{count}-in-a-batch"),
        many(setting, count, true),
    );
    report.check("maps/many/500-one-by-one", many(setting, 500, false));
    report.check(
        format_args!("maps/many/{mib}-MiB-in-small-pages"),
        large(setting, mib),
    );
}

/// Maps pages with gaps between them, and unmaps each.
fn many(setting: &Setting, count: usize, batch: bool) -> Result<()> {
    // Each page of memory twice.
    let pages = count.div_ceil(2);
    let mapper = Mapper::new(setting, pages)?;
    let place = |number: usize| IOVA + 2 * number as u64 * PAGE_SIZE;
    let mark = |kind| {
        if batch {
            mapper.send(Message::new(0, kind))
        } else {
            Ok(())
        }
    };
    let start = Instant::now();

    mark(kind::BATCH_BEGIN)?;
    for number in 0..count {
        mapper
            .map(place(number), number % pages, 1)
            .with_context(|| format!("mapping {number}"))?;
    }
    mark(kind::BATCH_END)?;
    let mapped = start.elapsed();
    mapper.expect_pinned(setting, count)?;

    let start = Instant::now();
    mark(kind::BATCH_BEGIN)?;
    for number in 0..count {
        mapper
            .send(Message::invalidate(0, place(number), PAGE_SIZE))
            .with_context(|| format!("unmapping {number}"))?;
    }
    mark(kind::BATCH_END)?;
    println!(
        "# {count} mappings: {} us, unmapped: {} us",
        mapped.as_micros(),
        start.elapsed().as_micros()
    );
    mapper.expect_pinned(setting, 0)
}

/// Maps memory in pages that are not together.
fn large(setting: &Setting, mib: usize) -> Result<()> {
    let pages = (mib << 20) / PAGE;
    let mut mapper = Mapper::new(setting, 1)?;
    mapper.area = setting.kind.area(pages * PAGE)?;
    mapper.area.advise(Advice::Small)?;
    mapper.area.touch()?;

    let start = Instant::now();
    mapper.map(IOVA, 0, pages).context("mapping")?;
    let mapped = start.elapsed();
    mapper.expect_pinned(setting, pages)?;
    let start = Instant::now();
    mapper.send(Message::invalidate(0, IOVA, (pages * PAGE) as u64))?;
    println!(
        "# {mib} MiB: {} us, unmapped: {} us",
        mapped.as_micros(),
        start.elapsed().as_micros()
    );
    mapper.expect_pinned(setting, 0)
}
