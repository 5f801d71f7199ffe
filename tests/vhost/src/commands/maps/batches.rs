// SPDX-License-Identifier: GPL-2.0

//! Messages that belong together.

use anyhow::{ensure, Context, Result};
use checks::report::Report;
use libc::{EEXIST, EFAULT};
use vhost_client::device::errno;
use vhost_client::iotlb::{self, kind, Message};
use vhost_client::session::Session;
use vhost_client::sys::PAGE;

use super::{refused, Mapper, Setting, IOVA, PAGE_SIZE, SENSELESS};

type Check = fn(&Setting) -> Result<()>;

const CHECKS: [(&str, Check); 7] = [
    ("good", good),
    ("empty", empty),
    ("begun-twice", begun_twice),
    ("ended-without-beginning", not_begun),
    ("other-address-space", other_space),
    ("fails-half-way", half_way),
    ("left-open", left_open),
];

/// Makes all checks.
pub fn run(setting: &Setting, report: &mut Report) {
    for (name, check) in CHECKS {
        report.check(format_args!("maps/batch/{name}"), check(setting));
    }
}

fn begin(asid: u32) -> Message {
    Message::new(asid, kind::BATCH_BEGIN)
}

fn end(asid: u32) -> Message {
    Message::new(asid, kind::BATCH_END)
}

/// Where page `number` of the area is mapped: with a gap to the next.
fn place(number: usize) -> u64 {
    IOVA + 2 * number as u64 * PAGE_SIZE
}

/// As DPDK does it.
fn good(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 100)?;

    for _ in 0..3 {
        mapper.send(begin(0))?;
        mapper.send(Message::invalidate(0, 0, u64::MAX))?;
        for page in 0..100 {
            mapper.map(place(page), page, 1)?;
        }
        mapper.send(end(0))?;
        mapper.expect_pinned(setting, 100)?;
    }
    mapper.send(begin(0))?;
    for page in 0..50 {
        mapper.send(Message::invalidate(0, place(page), PAGE_SIZE))?;
    }
    mapper.send(end(0))?;
    mapper.expect_pinned(setting, 50)
}

fn empty(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 1)?;

    for message in [begin(0), begin(0).v1()] {
        mapper.send(message)?;
        let mut message = message;
        message.kind = kind::BATCH_END;
        mapper.send(message)?;
    }
    mapper.expect_pinned(setting, 0)
}

fn begun_twice(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 4)?;

    mapper.send(begin(0))?;
    mapper.map(IOVA, 0, 2)?;
    if let Err(error) = mapper.send(begin(0)) {
        ensure!(SENSELESS.contains(&errno(&error)), "{error}");
    }
    mapper.map(place(10), 2, 2)?;
    mapper.send(end(0))?;
    mapper.expect_pinned(setting, 4)?;
    mapper.clear()?;
    mapper.expect_pinned(setting, 0)
}

fn not_begun(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 4)?;

    mapper.map(IOVA, 0, 2)?;
    for _ in 0..3 {
        if let Err(error) = mapper.send(end(0)) {
            ensure!(SENSELESS.contains(&errno(&error)), "{error}");
        }
        mapper.expect_pinned(setting, 2)?;
    }
    mapper.map(place(10), 2, 2)?;
    mapper.expect_pinned(setting, 4)
}

fn other_space(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 4)?;
    if setting.spaces < 2 {
        // There is only one, so that another is refused anyhow.
        return refused(mapper.send(begin(1)), SENSELESS);
    }
    let mut update = mapper.update(place(10), 2, 2);
    update.format = iotlb::Format::V2(1);

    mapper.send(update)?;
    mapper.send(begin(0))?;
    mapper.map(IOVA, 0, 2)?;
    update.iova = place(20);
    for message in [update, Message::invalidate(1, 0, 0), end(1), begin(1)] {
        refused(mapper.send(message), SENSELESS)
            .and_then(|()| mapper.expect_pinned(setting, 4))
            .with_context(|| format!("{message:x?} in a batch of space 0"))?;
    }
    mapper.send(end(0))?;
    // Now it may.
    mapper.send(update)?;
    mapper.expect_pinned(setting, 6)
}

/// What was good stays, what was not leaves nothing when the batch is over.
fn half_way(setting: &Setting) -> Result<()> {
    let pages = 700;
    let mapper = Mapper::new(setting, pages)?;
    let there = pages - 20;
    let last = there * PAGE;
    mapper.area.protect(last..pages * PAGE, libc::PROT_NONE)?;

    for round in 0..3 {
        mapper.send(begin(0))?;
        mapper.map(place(0), 0, 1)?;
        mapper.map(place(1), 1, 1)?;
        // The end of this is not there, that is mapped already, and that is nothing.
        let mut bad = vec![
            mapper.update(place(1), 2, 1),
            Message {
                uaddr: 0,
                ..mapper.update(place(3), 3, 1)
            },
        ];
        if setting.pins {
            bad.push(mapper.update(place(1000), 100, pages - 100));
        }
        for message in bad {
            refused(mapper.send(message), &[EFAULT, EEXIST])
                .with_context(|| format!("{message:x?}"))?;
        }
        mapper.map(place(4), 4, 1)?;
        mapper.send(end(0))?;
        mapper
            .expect_pinned(setting, 3)
            .with_context(|| format!("round {round}"))?;
        // What was refused can be had in another way.
        mapper.map(place(1000), 100, there - 100)?;
        mapper.clear()?;
        mapper.expect_pinned(setting, 0)?;
    }
    Ok(())
}

/// A session that ends in the middle of a batch leaves nothing, and the next begins without one.
fn left_open(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 20)?;

    mapper.send(begin(0))?;
    mapper.map(IOVA, 0, 20)?;
    let Mapper {
        session,
        area,
        before,
    } = mapper;
    drop(session);

    let mapper = Mapper {
        session: Session::open(&setting.path)?,
        area,
        before,
    };
    mapper.expect_pinned(setting, 0)?;
    let mut update = mapper.update(IOVA, 0, 20);
    // Refused if the batch of the other session went on.
    update.format = iotlb::Format::V2(setting.spaces - 1);
    mapper
        .session
        .device
        .set_backend_features(vhost_client::uapi::backend::IOTLB_ASID)?;
    mapper.send(update)?;
    mapper.expect_pinned(setting, 20)
}
