// SPDX-License-Identifier: GPL-2.0

//! Devices that stop and go on, in this session or another, and what belongs to which address
//! space.

mod restore;
mod spaces;
pub mod stop;
mod unwilling;

use anyhow::Result;
use checks::arguments::Arguments;
use checks::random::MAX_SEED;
use checks::report::Report;
use vhost_client::session::Session;
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;

use super::Manner;

/// The command `states`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let manner = Manner::take(arguments)?;
    let rounds = arguments.number("--rounds", 20, 1..=10_000)?;
    let seed = arguments.number("--seed", 1, 0..=MAX_SEED)?;
    let hardware = arguments.flag("--hardware");
    let unwilling = arguments.optional("--unwilling")?;
    let only = arguments.optional("--only")?;
    arguments.finish()?;

    if let Some(step) = unwilling {
        return unwilling::run(&manner, &step, report);
    }
    if let Some(only) = only {
        return stop::run_one(&manner, &only, report);
    }
    let net = Session::open(&manner.path)?.id()? == VIRTIO_ID_NET;

    stop::run(&manner, hardware, report);
    if net {
        report.check(
            format_args!("states/restore/{rounds}-times"),
            restore::frames(&manner, rounds, seed),
        );
        report.check("states/restore/index-wraps", restore::wraps(&manner, seed));
        if !hardware {
            spaces::run(&manner, report);
        }
    } else {
        report.check(
            format_args!("states/restore/{rounds}-times"),
            restore::requests(&manner, rounds, seed),
        );
    }
    Ok(())
}
