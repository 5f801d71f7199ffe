// SPDX-License-Identifier: GPL-2.0

//! How much memory a process may have locked, which pinned memory counts for.

use anyhow::{Context, Result};
use checks::report::Report;
use vhost_client::iotlb::Message;
use vhost_client::process;
use vhost_client::sys::{self, PAGE};

use super::{refused, Mapper, Setting, IOVA, PAGE_SIZE, TOO_MUCH};

/// Makes all checks, if anything is pinned.
pub fn run(setting: &Setting, report: &mut Report) {
    if !setting.pins {
        return report.note("nothing is pinned, so no limit applies");
    }
    for (name, check) in [
        ("exact", exact as fn(&Setting) -> Result<()>),
        ("exceeded-at-once", at_once),
        ("lowered", lowered),
        ("privileged", privileged),
    ] {
        let result = sys::exceed_locked_memory(false)
            .map_err(Into::into)
            .and_then(|()| check(setting));
        let unlimited = sys::limit_locked_memory(None)
            .and_then(|()| sys::exceed_locked_memory(true))
            .context("lifting the limit");

        report.check(format_args!("maps/limit/{name}"), result.and(unlimited));
    }
}

/// Allows so many pages more than are pinned now.
fn allow(pages: usize) -> Result<()> {
    let bytes = process::charged()? * 1024 + (pages * PAGE) as u64;

    Ok(sys::limit_locked_memory(Some(bytes))?)
}

/// The last page is allowed, the one after it is not.
fn exact(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 300)?;
    let at = |page: usize| IOVA + (page * PAGE) as u64;

    allow(256)?;
    mapper.map(at(0), 0, 100)?;
    mapper.map(at(100), 100, 156).context("up to the limit")?;
    for count in [1, 2, 44] {
        refused(mapper.map(at(256), 256, count), TOO_MUCH)?;
        mapper.expect_pinned(setting, 256)?;
    }
    mapper.send(Message::invalidate(0, at(0), 100 * PAGE_SIZE))?;
    mapper.expect_pinned(setting, 156)?;
    mapper.map(at(0), 0, 100).context("what was given back")?;
    refused(mapper.map(at(256), 256, 1), TOO_MUCH)?;
    mapper.clear()?;
    mapper.expect_pinned(setting, 0)
}

fn at_once(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 2000)?;

    allow(1999)?;
    refused(mapper.map(IOVA, 0, 2000), TOO_MUCH)?;
    mapper.expect_pinned(setting, 0)?;
    // More than memory there is, and more than could be added up.
    for size in [1 << 40, 1 << 62, u64::MAX - IOVA - 0xfff] {
        let update = Message {
            size,
            ..mapper.update(IOVA, 0, 1)
        };
        refused(mapper.send(update), TOO_MUCH).with_context(|| format!("{size:#x}"))?;
        mapper.expect_pinned(setting, 0)?;
    }
    allow(2000)?;
    mapper.map(IOVA, 0, 2000)?;
    mapper.expect_pinned(setting, 2000)
}

/// What is pinned may be more than a limit that came later; it can be unpinned.
fn lowered(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 100)?;

    mapper.map(IOVA, 0, 50)?;
    sys::limit_locked_memory(Some(0))?;
    refused(mapper.map(IOVA + 0x10_0000, 50, 1), TOO_MUCH)?;
    mapper.expect_pinned(setting, 50)?;
    mapper.clear()?;
    mapper.expect_pinned(setting, 0)
}

/// Who may exceed the limit does, and what it pins is counted. Another time it counts against the
/// limit.
fn privileged(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 100)?;

    sys::limit_locked_memory(Some(0))?;
    refused(mapper.map(IOVA, 0, 1), TOO_MUCH)?;
    sys::exceed_locked_memory(true)?;
    mapper.map(IOVA, 0, 50).context("with CAP_IPC_LOCK")?;
    mapper.expect_pinned(setting, 50)?;
    sys::exceed_locked_memory(false)?;
    refused(mapper.map(IOVA + 0x10_0000, 50, 1), TOO_MUCH)?;
    allow(1)?;
    mapper.map(IOVA + 0x10_0000, 50, 1)?;
    mapper.expect_pinned(setting, 51)?;
    mapper.clear()?;
    mapper.expect_pinned(setting, 0)
}
