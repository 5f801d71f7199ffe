// SPDX-License-Identifier: GPL-2.0

//! What could leak, counted: references, devices, threads, sockets and memory.

pub mod compare;
pub mod snapshot;

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::report::Report;
use snapshot::Snapshot;

/// How long things may take to go by themselves, such as the thread of ext4 that looks after file
/// systems which are there no more. What has leaked does not go.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a debugging kernel has to find itself what leaks. How much memory is in use says nothing
/// there: what is freed is kept for a while, to see whether it is still used.
const DETECTOR: &str = "/sys/kernel/debug/kmemleak";

/// The command `counts`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let earlier = arguments.optional("--compare")?;
    let mut slack = arguments.number("--slack-kb", 512, 0..=1 << 32)?;
    arguments.finish()?;
    if Path::new(DETECTOR).exists() {
        slack = u64::MAX;
    }

    match earlier {
        Some(path) => {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
            let before = Snapshot::parse(&text)?;

            compare::run(&before, &settled(&before, slack)?, slack, report);
        }
        None => {
            let now = Snapshot::take()?;

            print!("{now}");
            report.check("counts/taken", now.check());
        }
    }
    Ok(())
}

/// A snapshot that is as the one before, or the last that was taken in [`PATIENCE`].
fn settled(before: &Snapshot, slack: u64) -> Result<Snapshot> {
    let start = Instant::now();

    loop {
        let now = Snapshot::take()?;

        if compare::same(before, &now, slack) || start.elapsed() > PATIENCE {
            return Ok(now);
        }
        sleep(Duration::from_secs(1));
    }
}
