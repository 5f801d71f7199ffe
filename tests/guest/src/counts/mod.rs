// SPDX-License-Identifier: GPL-2.0

//! What could leak, counted: references, devices, threads, sockets and memory.

pub mod compare;
pub mod snapshot;

use std::fs;

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::report::Report;
use snapshot::Snapshot;

/// The command `counts`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let earlier = arguments.optional("--compare")?;
    let slack = arguments.number("--slack-kb", 512, 0..=1 << 32)?;
    arguments.finish()?;

    let now = Snapshot::take()?;
    match earlier {
        Some(path) => {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;

            compare::run(&Snapshot::parse(&text)?, &now, slack, report);
        }
        None => {
            print!("{now}");
            report.check("counts/taken", now.check());
        }
    }
    Ok(())
}
