// SPDX-License-Identifier: GPL-2.0

//! The first and the last block, what is beyond, and what is not aligned.

use std::io;
use std::os::unix::fs::FileExt;

use anyhow::{bail, ensure, Result};

use super::disk::{Aligned, Disk};
use super::pattern::Pattern;
use crate::report::Report;

/// Makes all checks.
pub fn run(disk: &Disk, report: &mut Report, seed: u64) {
    let pattern = Pattern(seed);

    report.check("bounds/first-block", there_and_back(disk, pattern, 0));
    report.check(
        "bounds/last-block",
        there_and_back(disk, pattern, disk.capacity - disk.block as u64),
    );
    report.check("bounds/write-beyond", write_beyond(disk));
    report.check("bounds/read-beyond", read_beyond(disk));
    report.check("bounds/write-across", write_across(disk, pattern));
    report.check("bounds/read-across", read_across(disk, pattern));
    report.check("bounds/unaligned", unaligned(disk, pattern));
}

fn there_and_back(disk: &Disk, pattern: Pattern, start: u64) -> Result<()> {
    disk.write(pattern, start, disk.block)?;
    disk.check(pattern, start, disk.block)
}

/// Fails unless `result` is the error `errno`.
pub fn refused<T: std::fmt::Debug>(result: io::Result<T>, errno: i32) -> Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(errno) => Ok(()),
        other => bail!("error {errno} was expected, not {other:?}"),
    }
}

fn write_beyond(disk: &Disk) -> Result<()> {
    let buffer = Aligned::new(disk.block);

    for start in [disk.capacity, disk.capacity + (1 << 30), 1 << 62] {
        refused(disk.file.write_at(buffer.bytes(), start), libc::ENOSPC)?;
    }
    Ok(())
}

fn read_beyond(disk: &Disk) -> Result<()> {
    let mut buffer = Aligned::new(disk.block);

    for start in [disk.capacity, disk.capacity + (1 << 30), 1 << 62] {
        let len = disk.file.read_at(buffer.bytes_mut(), start)?;

        ensure!(len == 0, "{len} bytes were read at {start}");
    }
    Ok(())
}

/// A transfer across the end moves what is before it.
fn write_across(disk: &Disk, pattern: Pattern) -> Result<()> {
    let mut buffer = Aligned::new(4 * disk.block);
    let start = disk.capacity - disk.block as u64;

    pattern.write(buffer.bytes_mut(), start / 512);
    let len = disk.file.write_at(buffer.bytes(), start)?;
    ensure!(len == disk.block, "{len} bytes were written");
    disk.check(pattern, start, disk.block)
}

fn read_across(disk: &Disk, pattern: Pattern) -> Result<()> {
    let mut buffer = Aligned::new(4 * disk.block);
    let start = disk.capacity - disk.block as u64;

    disk.write(pattern, start, disk.block)?;
    let len = disk.file.read_at(buffer.bytes_mut(), start)?;
    ensure!(len == disk.block, "{len} bytes were read");
    pattern.check(&buffer.bytes()[..len], start / 512)
}

/// Neither place nor length may be a part of a block; nothing must be written.
fn unaligned(disk: &Disk, pattern: Pattern) -> Result<()> {
    let mut buffer = Aligned::new(2 * disk.block);

    disk.write(pattern, 0, 2 * disk.block)?;
    for (start, len) in [
        (1, disk.block),
        (disk.block as u64 - 1, disk.block),
        (disk.block as u64 / 2, disk.block),
        (0, 1),
        (0, disk.block - 1),
        (0, disk.block + 1),
    ] {
        refused(
            disk.file.write_at(&buffer.bytes()[..len], start),
            libc::EINVAL,
        )?;
        refused(
            disk.file.read_at(&mut buffer.bytes_mut()[..len], start),
            libc::EINVAL,
        )?;
    }
    disk.check(pattern, 0, 2 * disk.block)
}
