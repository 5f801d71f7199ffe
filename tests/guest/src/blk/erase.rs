// SPDX-License-Identifier: GPL-2.0

//! Discarding, and writing of zeroes.

use anyhow::{ensure, Result};

use super::bounds::refused;
use super::disk::Disk;
use super::pattern::{check_zeroes, Pattern, SECTOR};
use crate::report::Report;
use crate::sys::device;

/// How much of the disk is used here.
const AREA: usize = 4 << 20;

/// Makes all checks.
pub fn run(disk: &Disk, report: &mut Report, seed: u64, discard_zeroes: bool) {
    let pattern = Pattern(seed + 100);

    report.check("zero/ranges", zero_ranges(disk, pattern));
    report.check("zero/last-block", zero_last_block(disk, pattern));
    report.check("zero/refused", zero_refused(disk, pattern));
    report.check(
        "discard/ranges",
        discard_ranges(disk, pattern, discard_zeroes),
    );
    report.check("discard/refused", discard_refused(disk, pattern));
}

/// Ranges of all kinds within the area, in bytes.
fn ranges(disk: &Disk) -> Vec<(u64, u64)> {
    let block = disk.block as u64;

    [
        (0, 1),
        (1, 1),
        (7, 9),
        (8, 8),
        (100, 1000),
        (0, AREA as u64 / block),
    ]
    .map(|(first, count)| (first * block, count * block))
    .to_vec()
}

/// Fails unless all of the area but the range holds the pattern.
fn check_around(disk: &Disk, pattern: Pattern, start: u64, len: u64) -> Result<()> {
    disk.check(pattern, 0, start as usize)?;
    disk.check(pattern, start + len, AREA - (start + len) as usize)
}

fn zero_ranges(disk: &Disk, pattern: Pattern) -> Result<()> {
    for (start, len) in ranges(disk) {
        disk.write(pattern, 0, AREA)?;
        device::zero(&disk.file, start, len)?;
        check_zeroes(
            disk.read(start, len as usize)?.bytes(),
            start / SECTOR as u64,
        )?;
        check_around(disk, pattern, start, len)?;
    }
    Ok(())
}

fn zero_last_block(disk: &Disk, pattern: Pattern) -> Result<()> {
    let block = disk.block as u64;
    let last = disk.capacity - block;

    disk.write(pattern, last - block, 2 * disk.block)?;
    device::zero(&disk.file, last, block)?;
    check_zeroes(disk.read(last, disk.block)?.bytes(), last / SECTOR as u64)?;
    disk.check(pattern, last - block, disk.block)
}

/// Ranges that are not aligned, or go beyond the end.
fn impossible(disk: &Disk) -> [(u64, u64); 5] {
    let block = disk.block as u64;

    [
        (1, block),
        (0, block - 1),
        (disk.capacity, block),
        (disk.capacity - block, 2 * block),
        (u64::MAX - block + 1, block),
    ]
}

fn zero_refused(disk: &Disk, pattern: Pattern) -> Result<()> {
    disk.write(pattern, 0, AREA)?;
    for (start, len) in impossible(disk) {
        refused(device::zero(&disk.file, start, len), libc::EINVAL)?;
    }
    disk.check(pattern, 0, AREA)
}

/// A discarded sector holds zeroes or, if it need not, what it held; its neighbours keep theirs.
fn discard_ranges(disk: &Disk, pattern: Pattern, zeroes: bool) -> Result<()> {
    for (start, len) in ranges(disk) {
        disk.write(pattern, 0, AREA)?;
        device::discard(&disk.file, start, len)?;

        let found = disk.read(start, len as usize)?;
        for (sector, bytes) in (start / SECTOR as u64..).zip(found.bytes().chunks_exact(SECTOR)) {
            let kept = !zeroes && pattern.is(bytes, sector);

            ensure!(
                kept || bytes.iter().all(|byte| *byte == 0),
                "sector {sector} holds something else after it was discarded"
            );
        }
        check_around(disk, pattern, start, len)?;
        // What is discarded can be written again.
        disk.write(pattern, start, len as usize)?;
        disk.check(pattern, start, len as usize)?;
    }
    Ok(())
}

fn discard_refused(disk: &Disk, pattern: Pattern) -> Result<()> {
    disk.write(pattern, 0, AREA)?;
    for (start, len) in impossible(disk) {
        refused(device::discard(&disk.file, start, len), libc::EINVAL)?;
    }
    disk.check(pattern, 0, AREA)
}
