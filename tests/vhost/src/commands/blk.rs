// SPDX-License-Identifier: GPL-2.0

//! A disk, verified.

use anyhow::Result;
use checks::arguments::Arguments;
use checks::random::MAX_SEED;
use checks::report::Report;
use vhost_client::blk::{self, verify, Disk, MOST_REQUESTS};

use super::Manner;

/// The command `blk`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let manner = Manner::take(arguments)?;
    let count = arguments.number("--count", 500, 1..=8192)? as usize;
    let depth = arguments.number("--depth", 16, 1..=MOST_REQUESTS as u64)? as usize;
    let seed = arguments.number("--seed", 1, 0..=MAX_SEED)?;
    let basic = arguments.flag("--basic");
    arguments.finish()?;

    let session = manner.open(if basic { blk::BASIC } else { blk::FEATURES })?;
    let memory = manner.share(&session, blk::MEMORY)?;
    let mut disk = Disk::new(&session, &memory, &mut memory.room())?;

    session.start()?;
    report.note(format_args!("{}: {} sectors", manner.path, disk.capacity));
    if basic {
        verify::run_basic(&mut disk, report, seed, count, depth);
    } else {
        verify::run(&mut disk, report, seed, count, depth);
    }
    Ok(())
}
