// SPDX-License-Identifier: GPL-2.0

//! Disks: what is written must be what is read, at every edge.

pub mod bench;
pub mod bounds;
pub mod disk;
pub mod erase;
pub mod pattern;
pub mod transfer;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::random::MAX_SEED;
use crate::report::Report;
use disk::Disk;

/// The command `blk`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let serial = arguments.optional("--serial")?;
    let discard_zeroes = arguments.flag("--discard-zeroes");
    let seed = arguments.number("--seed", 1, 0..=MAX_SEED)?;
    arguments.finish()?;

    let disk = Disk::open(&path)?;

    report.note(format_args!(
        "{path}: {} bytes in blocks of {}",
        disk.capacity, disk.block
    ));
    if let Some(serial) = serial {
        report.check("identity/serial", disk.check_serial(&serial));
    }
    report.check("identity/size", disk.check_size());
    bounds::run(&disk, report, seed);
    transfer::run(&disk, report, seed);
    erase::run(&disk, report, seed, discard_zeroes);
    Ok(())
}
