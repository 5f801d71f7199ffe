// SPDX-License-Identifier: GPL-2.0

//! Single messages.

use std::ops::Range;

use anyhow::{ensure, Context, Result};
use checks::report::Report;
use libc::{EEXIST, EFAULT, EINVAL, ENOMEM};
use vhost_client::device::{errno, Device};
use vhost_client::iotlb::{self, kind, Message};
use vhost_client::session::Session;
use vhost_client::sys::PAGE;
use vhost_client::uapi::backend;

use super::{refused, Mapper, Setting, IOVA, MAPPED, NOT_OWNER, PAGE_SIZE, SENSELESS};

/// A check.
pub type Check = fn(&Setting) -> Result<()>;

const CHECKS: [(&str, Check); 11] = [
    ("good-in-both-formats", both_formats),
    ("invalidate-all", invalidate_all),
    ("invalidate-a-range", invalidate_range),
    ("invalidate-nothing", invalidate_nothing),
    ("sizes-and-wraps", sizes_and_wraps),
    ("overlaps", overlaps),
    ("neighbours", neighbours),
    ("permissions", permissions),
    ("address-spaces", address_spaces),
    ("address-space-is-ignored", address_space_ignored),
    ("without-owner", without_owner),
];

/// Makes all checks.
pub fn run(setting: &Setting, report: &mut Report) {
    for (name, check) in CHECKS {
        report.check(format_args!("maps/message/{name}"), check(setting));
    }
    report.check("maps/message/closed-with-mappings", closed(setting));
}

/// Pages of the area that are mapped while refusals are tried.
const KEPT: Range<u64> = IOVA + 0x10_0000..IOVA + 0x10_0000 + 16 * PAGE_SIZE;

/// A mapper with 16 pages mapped, of an area of 32.
pub fn with_mapping(setting: &Setting) -> Result<Mapper> {
    let mapper = Mapper::new(setting, 32)?;

    mapper.map(KEPT.start, 0, 16).context("mapping 16 pages")?;
    mapper.expect_pinned(setting, 16)?;
    Ok(mapper)
}

/// Checks that each message is refused, and that what was mapped is, and nothing else.
pub fn all_refused(
    setting: &Setting,
    mapper: &Mapper,
    errnos: &[i32],
    messages: impl IntoIterator<Item = Message>,
) -> Result<()> {
    for message in messages {
        refused(mapper.send(message), errnos)
            .and_then(|()| mapper.expect_pinned(setting, 16))
            .with_context(|| format!("{message:x?}"))?;
    }
    mapper.send(Message::invalidate(0, KEPT.start, KEPT.end - KEPT.start))?;
    mapper.expect_pinned(setting, 0)
}

fn both_formats(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 4)?;
    let update = mapper.update(IOVA, 0, 4);
    let invalidate = Message::invalidate(0, IOVA, 4 * PAGE_SIZE);

    for _ in 0..3 {
        for (update, invalidate) in [(update, invalidate), (update.v1(), invalidate.v1())] {
            mapper.send(update)?;
            mapper.expect_pinned(setting, 4)?;
            mapper.send(invalidate)?;
            mapper.expect_pinned(setting, 0)?;
        }
    }
    Ok(())
}

fn invalidate_all(setting: &Setting) -> Result<()> {
    for size in [0, u64::MAX] {
        let mapper = with_mapping(setting)?;

        mapper.map(IOVA, 16, 4)?;
        mapper.map(1 << 40, 20, 4)?;
        mapper.expect_pinned(setting, 24)?;
        // As QEMU does it, or as DPDK does it.
        mapper.send(Message::invalidate(0, 0, size))?;
        mapper
            .expect_pinned(setting, 0)
            .with_context(|| format!("size {size:#x}"))?;
    }
    Ok(())
}

fn invalidate_range(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 32)?;

    for block in 0..8 {
        mapper.map(IOVA + block * 4 * PAGE_SIZE, block as usize * 4, 4)?;
    }
    // Two mappings in the middle, exactly.
    let middle = IOVA + 8 * PAGE_SIZE;
    mapper.send(Message::invalidate(0, middle, 8 * PAGE_SIZE))?;
    mapper.expect_pinned(setting, 24)?;
    // Their addresses are free again.
    mapper.map(middle, 0, 8)?;
    mapper.expect_pinned(setting, 32)
}

fn invalidate_nothing(setting: &Setting) -> Result<()> {
    let mapper = with_mapping(setting)?;

    for (iova, size) in [
        (IOVA, PAGE_SIZE),
        (0, KEPT.start),
        (KEPT.end, u64::MAX - KEPT.end),
        // Without a size, there is nothing to take away.
        (KEPT.start, 0),
        (KEPT.start + PAGE_SIZE, 0),
        // These wrap around.
        (u64::MAX, 2),
        (KEPT.end, u64::MAX),
    ] {
        if let Err(error) = mapper.send(Message::invalidate(0, iova, size)) {
            ensure!(
                SENSELESS.contains(&errno(&error)),
                "{iova:#x} {size:#x}: {error}"
            );
        }
        mapper
            .expect_pinned(setting, 16)
            .with_context(|| format!("{size:#x} bytes from {iova:#x} on"))?;
    }
    Ok(())
}

fn sizes_and_wraps(setting: &Setting) -> Result<()> {
    let mapper = with_mapping(setting)?;
    let at = mapper.area.address() + 16 * PAGE_SIZE;
    let message = |iova, size| Message::update(0, iova, size, at, iotlb::RW);

    for zero in [message(IOVA, 0), message(IOVA, 0).v1(), message(0, 0)] {
        refused(mapper.send(zero), &[EINVAL]).context("no bytes")?;
    }
    all_refused(
        setting,
        &mapper,
        // Some are only more than there is, or meet what is mapped.
        &[EFAULT, EINVAL, ENOMEM, EEXIST],
        [
            message(u64::MAX, 2),
            message(u64::MAX - 4095, 2 * PAGE_SIZE),
            message(IOVA, u64::MAX),
            message(IOVA, u64::MAX - IOVA + 2),
            message(1, u64::MAX),
            message(0, u64::MAX),
            message(0, u64::MAX - 4095),
            message(4096, u64::MAX - 4095),
            // All of the process, most of which is not there.
            message(1 << 62, 1 << 47),
            message(1 << 62, 1 << 62),
            message(0, 1 << 63),
        ],
    )
}

fn overlaps(setting: &Setting) -> Result<()> {
    let mapper = with_mapping(setting)?;
    let page = PAGE_SIZE;
    let cases = [
        (KEPT.start, 16),
        (KEPT.start, 1),
        (KEPT.start + page, 14),
        (KEPT.end - page, 1),
        (KEPT.start - page, 2),
        (KEPT.end - page, 2),
        (KEPT.start - page, 16),
        (KEPT.start - 4 * page, 24),
    ]
    .map(|(iova, count)| mapper.update(iova, 0, count));

    all_refused(setting, &mapper, MAPPED, cases)
}

fn neighbours(setting: &Setting) -> Result<()> {
    let mapper = with_mapping(setting)?;

    mapper.map(KEPT.start - 4 * PAGE_SIZE, 16, 4)?;
    mapper.map(KEPT.end, 20, 4)?;
    // The same memory once more, elsewhere.
    mapper.map(IOVA, 0, 16)?;
    mapper.expect_pinned(setting, 40)?;
    mapper.clear()?;
    mapper.expect_pinned(setting, 0)
}

fn permissions(setting: &Setting) -> Result<()> {
    let mapper = with_mapping(setting)?;
    let with = |perm| Message {
        perm,
        ..mapper.update(IOVA, 16, 1)
    };

    for perm in [iotlb::RO, iotlb::WO, iotlb::RW] {
        mapper.send(with(perm))?;
        mapper.expect_pinned(setting, 17)?;
        mapper.send(Message::invalidate(0, IOVA, PAGE_SIZE))?;
    }
    all_refused(
        setting,
        &mapper,
        SENSELESS,
        [0, 4, 5, 7, 8, 0x80, 0xff].map(with),
    )
}

fn address_spaces(setting: &Setting) -> Result<()> {
    let mapper = with_mapping(setting)?;
    let asid = |asid| Message {
        format: iotlb::Format::V2(asid),
        ..mapper.update(IOVA, 16, 4)
    };

    for space in 0..setting.spaces {
        mapper.send(asid(space))?;
        mapper.expect_pinned(setting, 20)?;
        // The same addresses in another space are not meant.
        for other in (0..setting.spaces).filter(|other| *other != space) {
            let result = mapper.send(Message::invalidate(other, IOVA, 4 * PAGE_SIZE));
            if let Err(error) = result {
                ensure!(SENSELESS.contains(&errno(&error)), "{error}");
            }
            mapper.expect_pinned(setting, 20)?;
        }
        mapper.send(Message::invalidate(space, IOVA, 4 * PAGE_SIZE))?;
        mapper.expect_pinned(setting, 16)?;
    }
    for space in [setting.spaces, setting.spaces + 15, 0xffff, u32::MAX] {
        let invalidate = Message::invalidate(space, KEPT.start, 16 * PAGE_SIZE);
        let batch = Message::new(space, kind::BATCH_BEGIN);

        for message in [asid(space), invalidate, batch] {
            refused(mapper.send(message), SENSELESS)
                .and_then(|()| mapper.expect_pinned(setting, 16))
                .with_context(|| format!("{message:x?}"))?;
        }
    }
    Ok(())
}

/// Without the backend feature the field is not looked at.
fn address_space_ignored(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 4)?;
    let mut update = mapper.update(IOVA, 0, 4);
    update.format = iotlb::Format::V2(0xdead_beef);

    mapper
        .session
        .device
        .set_backend_features(backend::IOTLB_MSG_V2 | backend::IOTLB_BATCH)?;
    mapper.send(update)?;
    mapper.expect_pinned(setting, 4)?;
    mapper.send(Message::invalidate(0, IOVA, 4 * PAGE_SIZE))?;
    mapper.expect_pinned(setting, 0)
}

fn without_owner(setting: &Setting) -> Result<()> {
    let area = setting.kind.area(PAGE)?;
    let device = Device::open(&setting.path)?;
    let update = Message::update(0, IOVA, PAGE_SIZE, area.address(), iotlb::RW);

    for message in [
        update,
        update.v1(),
        Message::invalidate(0, 0, 0),
        Message::new(0, kind::BATCH_BEGIN),
        Message::new(0, kind::BATCH_END),
    ] {
        refused(device.send(&message), NOT_OWNER).with_context(|| format!("{message:x?}"))?;
    }
    // It can still be had by somebody.
    let session = Session::own(device)?;
    Ok(session.device.send(&update)?)
}

/// Closing takes everything back.
fn closed(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 64)?;

    for space in 0..setting.spaces {
        let mut update = mapper.update(IOVA, 0, 64);
        update.format = iotlb::Format::V2(space);
        mapper.send(update)?;
    }
    mapper.expect_pinned(setting, 64 * setting.spaces as usize)?;

    let Mapper {
        session,
        area,
        before,
    } = mapper;
    drop(session);
    Mapper {
        session: Session::open(&setting.path)?,
        area,
        before,
    }
    .expect_pinned(setting, 0)
}
