// SPDX-License-Identifier: GPL-2.0

//! What a device can reach.

use std::thread;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use checks::report::Report;
use vhost_client::device::errno;
use vhost_client::iotlb::{self, kind, Message};
use vhost_client::net::probe::{Probe, FRAME};
use vhost_client::sys::{Area, PAGE};
use vhost_client::traffic::Running;
use vhost_client::uapi::backend;

use super::super::states::stop;
use super::{Setting, IOVA, NO_MEMORY, PAGE_SIZE, SENSELESS};

type Check = fn(&Setting) -> Result<()>;

const CHECKS: [(&str, Check); 14] = [
    ("read-and-write", read_and_write),
    ("pages-in-another-order", other_order),
    ("offset-in-page", offset_in_page),
    ("mapped-again", mapped_again),
    ("batch", batch),
    ("never-mapped", never_mapped),
    ("unmapped", unmapped),
    ("unmapped-in-part", unmapped_in_part),
    ("read-only", read_only),
    ("write-only", write_only),
    ("other-address-space", other_space),
    ("behind-the-end", behind_the_end),
    ("inaccessible-memory", inaccessible),
    ("read-only-memory", read_only_memory),
];

/// Makes all checks.
pub fn run(setting: &Setting, report: &mut Report) {
    for (name, check) in CHECKS {
        report.check(format_args!("maps/reach/{name}"), check(setting));
    }
}

/// Makes those for a device that is told of all mappings at once. One that is told of each piece of
/// memory may find its rings before it can reach all that is in them.
pub fn run_at_once(setting: &Setting, report: &mut Report) {
    report.check("maps/reach/ring-mapped-late", ring_mapped_late(setting));
}

/// A device, and memory that is not mapped yet.
fn probe(setting: &Setting, pages: usize) -> Result<(Probe, Area)> {
    let area = setting.kind.area(pages * PAGE)?;

    area.touch()?;
    Ok((Probe::new(&setting.path, backend::ALL)?, area))
}

/// Lets the device read a frame that lies at `offset` and is mapped at `iova`.
fn expect_read(probe: &mut Probe, area: &Area, offset: usize, iova: u64, n: u64) -> Result<()> {
    let frame = probe.frame(n);

    area.write(offset, &frame)?;
    let read = probe.read(iova)?;
    ensure!(read == frame, "the device read something else at {iova:#x}");
    Ok(())
}

/// Lets it write one.
fn expect_write(probe: &mut Probe, area: &Area, offset: usize, iova: u64, n: u64) -> Result<()> {
    let mut found = vec![0; FRAME];

    area.write(offset, &found)?;
    probe.write(iova, n)?;
    area.read(offset, &mut found)?;
    ensure!(
        found == probe.frame(n),
        "the device wrote {iova:#x} somewhere else"
    );
    Ok(())
}

fn read_and_write(setting: &Setting) -> Result<()> {
    let (mut probe, area) = probe(setting, 16)?;

    probe.map_rw(IOVA, 16 * PAGE_SIZE, area.address())?;
    for (number, offset) in (0..).zip([0, 1, 100, PAGE - 1, PAGE - 500, 16 * PAGE - FRAME]) {
        let iova = IOVA + offset as u64;

        expect_read(&mut probe, &area, offset, iova, number)?;
        expect_write(&mut probe, &area, offset, iova, number + 100)?;
    }
    Ok(())
}

/// A frame may lie in several mappings, which have nothing to do with each other in the process.
fn other_order(setting: &Setting) -> Result<()> {
    let (mut probe, area) = probe(setting, 8)?;

    for page in 0..8u64 {
        let address = area.address() + (7 - page) * PAGE_SIZE;
        probe.map_rw(IOVA + page * PAGE_SIZE, PAGE_SIZE, address)?;
    }
    for page in 0..8 {
        let (offset, iova) = ((7 - page) * PAGE, IOVA + page as u64 * PAGE_SIZE);

        expect_read(&mut probe, &area, offset, iova, 1 + page as u64)?;
        expect_write(&mut probe, &area, offset, iova, 50 + page as u64)?;
    }

    // The first 300 bytes at the end of one page, the others at the start of another.
    let frame = probe.frame(99);
    area.write(6 * PAGE - 300, &frame[..300])?;
    area.write(4 * PAGE, &frame[300..])?;
    let read = probe.read(IOVA + 3 * PAGE_SIZE - 300)?;
    ensure!(read == frame, "a frame in two mappings is another");
    Ok(())
}

/// Addresses need not have the same offset in their pages; if that can be had, it must be right.
fn offset_in_page(setting: &Setting) -> Result<()> {
    let (mut probe, area) = probe(setting, 8)?;
    let size = 4 * PAGE_SIZE;

    for (number, (iova, offset)) in (0..).zip([(0x10, 0x10), (0, 0x10), (0x10, 0), (0x800, 0x123)])
    {
        let address = area.address() + offset as u64;
        let iova = IOVA + iova + number * 0x10_0000;

        if let Err(error) = probe.map(iova, size, address, iotlb::RW) {
            ensure!(SENSELESS.contains(&errno(&error)), "{error}");
            continue;
        }
        for at in [0, PAGE - 0x10, 2 * PAGE + 5] {
            expect_read(&mut probe, &area, offset + at, iova + at as u64, number)
                .with_context(|| format!("offsets {iova:#x} and {offset:#x}"))?;
        }
    }
    Ok(())
}

/// What was mapped before is not found any more.
fn mapped_again(setting: &Setting) -> Result<()> {
    let (mut probe, area) = probe(setting, 8)?;

    for number in 0..8 {
        let offset = number * PAGE;

        probe.map_rw(IOVA, PAGE_SIZE, area.address() + offset as u64)?;
        expect_read(&mut probe, &area, offset, IOVA, number as u64)?;
        expect_write(&mut probe, &area, offset, IOVA, number as u64 + 20)?;
        probe.unmap(IOVA, PAGE_SIZE)?;
    }
    Ok(())
}

fn batch(setting: &Setting) -> Result<()> {
    let (mut probe, area) = probe(setting, 32)?;
    let batch = |probe: &Probe, kind| probe.session.device.send(&Message::new(0, kind));

    batch(&probe, kind::BATCH_BEGIN)?;
    for page in 0..32 {
        let offset = page * PAGE_SIZE;
        probe.map_rw(IOVA + 2 * offset, PAGE_SIZE, area.address() + offset)?;
    }
    batch(&probe, kind::BATCH_END)?;
    for page in [0, 1, 17, 31] {
        let iova = IOVA + 2 * page as u64 * PAGE_SIZE;
        expect_read(&mut probe, &area, page * PAGE, iova, page as u64)?;
    }

    // Half of it is exchanged at once.
    batch(&probe, kind::BATCH_BEGIN)?;
    for page in 0..16 {
        let iova = IOVA + 2 * page * PAGE_SIZE;
        probe.unmap(iova, PAGE_SIZE)?;
        probe.map_rw(iova, PAGE_SIZE, area.address() + (15 - page) * PAGE_SIZE)?;
    }
    batch(&probe, kind::BATCH_END)?;
    expect_read(&mut probe, &area, 15 * PAGE, IOVA, 40)?;
    expect_read(&mut probe, &area, 20 * PAGE, IOVA + 40 * PAGE_SIZE, 41)
}

/// Puts a frame there that would be seen if it was read.
fn cannot_read(probe: Probe, area: &Area, offset: usize, iova: u64) -> Result<()> {
    area.write(offset, &probe.frame(3))?;
    ensure!(!probe.can_read(iova)?, "the device read {iova:#x}");
    Ok(())
}

fn cannot_write(probe: Probe, area: &Area, offset: usize, iova: u64) -> Result<()> {
    let mut found = vec![0; FRAME];

    area.write(offset, &found)?;
    let written = probe.can_write(iova)?;
    area.read(offset, &mut found)?;
    ensure!(
        found.iter().all(|byte| *byte == 0),
        "the device wrote {iova:#x}"
    );
    ensure!(!written, "the device says that it wrote {iova:#x}");
    Ok(())
}

fn never_mapped(setting: &Setting) -> Result<()> {
    // Not where nothing is, and not where the process has it.
    for process in [false, true] {
        let at = |area: &Area| if process { area.address() } else { IOVA };
        let (first, area) = probe(setting, 1)?;
        cannot_read(first, &area, 0, at(&area))?;

        let (second, area) = probe(setting, 1)?;
        cannot_write(second, &area, 0, at(&area))?;
    }
    Ok(())
}

fn unmapped(setting: &Setting) -> Result<()> {
    let prepare = || -> Result<_> {
        let (mut probe, area) = probe(setting, 4)?;
        probe.map_rw(IOVA, 4 * PAGE_SIZE, area.address())?;
        expect_read(&mut probe, &area, 0, IOVA, 1)?;
        probe.unmap(IOVA, 4 * PAGE_SIZE)?;
        Ok((probe, area))
    };
    let (probe, area) = prepare()?;
    cannot_read(probe, &area, 0, IOVA)?;
    let (probe, area) = prepare()?;
    cannot_write(probe, &area, 0, IOVA)
}

/// What becomes of the rest of a mapping is open, but not what becomes of the part.
fn unmapped_in_part(setting: &Setting) -> Result<()> {
    let (mut probe, area) = probe(setting, 8)?;

    probe.map_rw(IOVA, 8 * PAGE_SIZE, area.address())?;
    expect_read(&mut probe, &area, 3 * PAGE, IOVA + 3 * PAGE_SIZE, 1)?;
    probe.unmap(IOVA + 3 * PAGE_SIZE, PAGE_SIZE)?;
    cannot_read(probe, &area, 3 * PAGE, IOVA + 3 * PAGE_SIZE)
}

fn read_only(setting: &Setting) -> Result<()> {
    let (mut probe, area) = probe(setting, 4)?;

    probe.map(IOVA, 4 * PAGE_SIZE, area.address(), iotlb::RO)?;
    expect_read(&mut probe, &area, 0, IOVA, 1)?;
    cannot_write(probe, &area, 0, IOVA)
}

fn write_only(setting: &Setting) -> Result<()> {
    let (mut probe, area) = probe(setting, 4)?;

    probe.map(IOVA, 4 * PAGE_SIZE, area.address(), iotlb::WO)?;
    expect_write(&mut probe, &area, 0, IOVA, 1)?;
    cannot_read(probe, &area, 0, IOVA)
}

fn other_space(setting: &Setting) -> Result<()> {
    ensure!(setting.spaces > 1, "there is one only");
    let (probe, area) = probe(setting, 4)?;
    let size = 4 * PAGE_SIZE;

    probe
        .session
        .device
        .send(&Message::update(1, IOVA, size, area.address(), iotlb::RW))?;
    cannot_read(probe, &area, 0, IOVA)
}

/// A frame that ends behind the last page that is mapped.
fn behind_the_end(setting: &Setting) -> Result<()> {
    let prepare = || -> Result<_> {
        let (probe, area) = probe(setting, 4)?;
        probe.map_rw(IOVA, 2 * PAGE_SIZE, area.address())?;
        Ok((probe, area))
    };
    let offset = 2 * PAGE - FRAME / 2;
    let (probe, area) = prepare()?;
    cannot_read(probe, &area, offset, IOVA + offset as u64)?;

    let (probe, area) = prepare()?;
    let mut found = vec![0; FRAME / 2];
    area.write(2 * PAGE, &found)?;
    ensure!(
        !probe.can_write(IOVA + offset as u64)?,
        "it says that all was written"
    );
    area.read(2 * PAGE, &mut found)?;
    ensure!(
        found.iter().all(|byte| *byte == 0),
        "something is written behind the end"
    );
    Ok(())
}

/// Maps memory of which the process has less than it says; [`None`] if that is refused.
fn map_protected(setting: &Setting, protection: i32) -> Result<Option<(Probe, Area)>> {
    let (probe, area) = probe(setting, 4)?;

    area.write(0, &probe.frame(3))?;
    area.protect(0..4 * PAGE, protection)?;
    match probe.map(IOVA, 4 * PAGE_SIZE, area.address(), iotlb::RW) {
        Ok(()) => Ok(Some((probe, area))),
        Err(error) => {
            ensure!(NO_MEMORY.contains(&errno(&error)), "{error}");
            Ok(None)
        }
    }
}

/// A device has no more rights than the process.
fn inaccessible(setting: &Setting) -> Result<()> {
    let Some((probe, area)) = map_protected(setting, libc::PROT_NONE)? else {
        return Ok(());
    };
    ensure!(!probe.can_read(IOVA)?, "the device read it");
    drop(area);

    if let Some((probe, area)) = map_protected(setting, libc::PROT_NONE)? {
        let frame = probe.frame(3);
        let written = probe.can_write(IOVA)?;
        let mut found = vec![0; FRAME];
        area.protect(0..4 * PAGE, libc::PROT_READ)?;
        area.read(0, &mut found)?;
        ensure!(!written && found == frame, "the device wrote it");
    }
    Ok(())
}

fn read_only_memory(setting: &Setting) -> Result<()> {
    let Some((probe, area)) = map_protected(setting, libc::PROT_READ)? else {
        return Ok(());
    };
    let frame = probe.frame(3);
    let written = probe.can_write(IOVA)?;
    let mut found = vec![0; FRAME];

    area.read(0, &mut found)?;
    ensure!(!written && found == frame, "the device wrote it");
    Ok(())
}

/// What is announced while the rings are not there is done when they are.
fn ring_mapped_late(setting: &Setting) -> Result<()> {
    let mut running = Running::start(&setting.path, setting.kind, 0, backend::ALL)?;

    for round in 0..3 {
        running.traffic.prove(round, 10)?;
        running.session.unmap(0, &running.memory)?;
        stop::ask(&mut running.traffic)?;
        // It is about to find out.
        thread::sleep(Duration::from_millis(50));
        running.session.map(0, &running.memory)?;
        stop::take(&mut running.traffic).with_context(|| format!("round {round}"))?;
    }
    Ok(())
}
