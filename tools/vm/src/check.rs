// SPDX-License-Identifier: GPL-2.0

//! Runs scenarios one by one, and says what came of them.

use std::path::Path;

use anyhow::Result;

use crate::accel::Accel;
use crate::outcome::{Outcome, Totals};
use crate::qemu;
use crate::record::Record;
use crate::scenario::Scenario;
use crate::Places;

/// Runs scenarios one after the other, until one fails. The record of the last one is left in a file.
pub fn one_by_one(
    places: &Places,
    scenarios: &[Scenario],
    show: bool,
    keep_going: bool,
    record: Option<&Path>,
) -> Result<Totals> {
    let accel = Accel::detect(places)?;
    let mut totals = Totals::default();
    for scenario in scenarios {
        let outcome = run(places, scenario, accel, &mut |line| {
            if show && line != "end of scenario" && !line.starts_with("# waited ") {
                println!("{line}");
            }
        })
        .unwrap_or_else(|error| Outcome::not_run(&error));
        totals.add(&outcome);
        if let Some(file) = record {
            let step = file.file_stem().unwrap_or_default().to_string_lossy();
            Record::of(&step, &outcome).write(file)?;
        }
        if !show || !outcome.good() {
            println!("{}", outcome.report(&scenario.name));
        }
        if !outcome.good() && !keep_going {
            break;
        }
    }
    Ok(totals)
}

/// Runs a scenario, if it can be run on this kernel.
fn run(
    places: &Places,
    scenario: &Scenario,
    accel: Accel,
    show: &mut dyn FnMut(&str),
) -> Result<Outcome> {
    match scenario.kernels.refusal(places.debugging()) {
        Some(why) => Ok(Outcome::skipped(why)),
        None => qemu::run(places, scenario, accel, show),
    }
}
