// SPDX-License-Identifier: GPL-2.0

//! Messages about memory that is not there, or not as the message has it.

use anyhow::{bail, Context, Result};
use checks::report::Report;
use libc::EINVAL;
use vhost_client::iotlb::{self, Message};
use vhost_client::process;
use vhost_client::sys::{self, Area, PAGE};

use super::messages::{all_refused, with_mapping, Check};
use super::{refused, Mapper, Setting, IOVA, NO_MEMORY, PAGE_SIZE};

const CHECKS: [(&str, Check); 6] = [
    ("null", null),
    ("nothing-there", nowhere),
    ("hole-below", hole),
    ("ends-in-a-hole", half_there),
    ("read-only", read_only),
    ("unaligned", unaligned),
];

/// Makes all checks.
pub fn run(setting: &Setting, report: &mut Report) {
    for (name, check) in CHECKS {
        report.check(format_args!("maps/memory/{name}"), check(setting));
    }
}

/// As the crate `vhost` tests it: nothing can be mapped from address 0.
fn null(setting: &Setting) -> Result<()> {
    let mapper = with_mapping(setting)?;

    all_refused(
        setting,
        &mapper,
        NO_MEMORY,
        [
            Message::update(0, 0xffff_0000, 0xffff, 0, iotlb::RW),
            Message::update(0, 0xffff_0000, 0xffff, 0, iotlb::RO),
            Message::update(0, IOVA, PAGE_SIZE, 0, iotlb::RW).v1(),
        ],
    )
}

fn nowhere(setting: &Setting) -> Result<()> {
    let mapper = with_mapping(setting)?;
    let gone = Area::anonymous(64 * PAGE)?.address();
    let cases = [
        (gone, 64),
        (gone + 32 * PAGE_SIZE, 1),
        (1 << 47, 1),
        (0x7fff_ffff_f000, 1),
        (1 << 63, 1),
        (0xffff_8880_0000_0000, 16),
        (0xffff_ffff_8000_0000, 16),
        (0xffff_ffff_ffff_f000, 1),
        (0xffff_ffff_ffff_f000, 2),
    ]
    .map(|(address, pages)| Message::update(0, IOVA, pages * PAGE_SIZE, address, iotlb::RW));

    all_refused(setting, &mapper, NO_MEMORY, cases)
}

/// Addresses without memory that lie below some are no part of it.
fn hole(setting: &Setting) -> Result<()> {
    let mapper = with_mapping(setting)?;
    let area = above_a_hole()?;
    let above = area.address();
    let cases = [
        (above - HOLE, 1),
        (above - PAGE_SIZE, 1),
        (above - PAGE_SIZE, 2),
        (above - HOLE, HOLE / PAGE_SIZE + 8),
    ]
    .map(|(address, pages)| Message::update(0, IOVA, pages * PAGE_SIZE, address, iotlb::RW));

    all_refused(setting, &mapper, NO_MEMORY, cases)
}

/// How many bytes the hole has.
const HOLE: u64 = 16 * PAGE_SIZE;

/// Memory of a file, 8 pages, with nothing below it.
fn above_a_hole() -> Result<Area> {
    let mut tried = Vec::new();

    for _ in 0..16 {
        let area = Area::shared(sys::memory_file(8 * PAGE_SIZE, false)?, 8 * PAGE)?;
        if process::is_hole(area.address() - HOLE..area.address())? {
            return Ok(area);
        }
        tried.push(area);
    }
    bail!("all memory lies above other memory")
}

/// Memory whose end cannot be had: nothing of the rest stays.
///
/// What a device reaches by its address may become accessible later, so that is not looked at here.
fn half_there(setting: &Setting) -> Result<()> {
    if !setting.pins {
        return Ok(());
    }
    let mapper = with_mapping(setting)?;
    // Long enough for the kernel to have done a part when it finds out.
    let pages = 3000;
    let area = setting.kind.area(pages * PAGE)?;
    area.touch()?;
    area.protect((pages - 1) * PAGE..pages * PAGE, libc::PROT_NONE)?;
    let update = |page: usize, count: usize| {
        let address = area.address() + (page * PAGE) as u64;
        Message::update(
            0,
            IOVA + 0x1000_0000,
            (count * PAGE) as u64,
            address,
            iotlb::RW,
        )
    };

    mapper
        .send(update(0, 8))
        .context("the part that is there")?;
    mapper.send(Message::invalidate(0, IOVA + 0x1000_0000, 8 * PAGE_SIZE))?;
    all_refused(
        setting,
        &mapper,
        NO_MEMORY,
        [
            update(0, pages),
            update(pages - 2, 2),
            update(pages - 600, 600),
            update(pages - 1, 1),
        ],
    )
}

fn read_only(setting: &Setting) -> Result<()> {
    let mapper = with_mapping(setting)?;
    let area = Area::anonymous(4 * PAGE)?;
    area.touch()?;
    area.protect(0..4 * PAGE, libc::PROT_READ)?;
    let with = |perm| Message::update(0, IOVA, 4 * PAGE_SIZE, area.address(), perm);

    mapper.send(with(iotlb::RO)).context("to be read only")?;
    if !setting.pins {
        // What a device does to it is seen when it does.
        return Ok(());
    }
    mapper.send(Message::invalidate(0, IOVA, 4 * PAGE_SIZE))?;
    all_refused(
        setting,
        &mapper,
        NO_MEMORY,
        [iotlb::WO, iotlb::RW].map(with),
    )
}

/// Mappings need not begin or end with a page. Pinned pages however keep their place in it: what
/// begins elsewhere in its page than in the device's cannot be had.
fn unaligned(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 32)?;

    for (iova, offset) in [
        (0xffff_0000, 0),
        (0xffff_0000, 16),
        (0xffff_0010, 0),
        (0xffff_0010, 16),
        (0xffff_0123, 0x123),
    ] {
        let address = mapper.area.address() + offset;
        let update = Message::update(0, iova, 0xffff, address, iotlb::RW);

        if setting.pins && iova % PAGE_SIZE != offset % PAGE_SIZE {
            refused(mapper.send(update), &[EINVAL])
        } else {
            mapper.send(update).map_err(Into::into)
        }
        .with_context(|| format!("{iova:#x} for an address with offset {offset:#x}"))?;
        mapper.send(Message::invalidate(0, iova, 0xffff))?;
        mapper.expect_pinned(setting, 0)?;
    }
    Ok(())
}
