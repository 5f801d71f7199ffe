// SPDX-License-Identifier: GPL-2.0

//! Runs scenarios, one by one or several at a time, and says what came of them.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{mpsc, Mutex};
use std::thread;

use anyhow::Result;

use crate::accel::Accel;
use crate::outcome::{Outcome, Totals};
use crate::qemu;
use crate::scenario::Scenario;
use crate::Places;

/// More machines at a time than this only take memory from each other.
const MOST_JOBS: usize = 8;

/// Runs scenarios one after the other, until one fails.
pub fn one_by_one(
    places: &Places,
    scenarios: &[Scenario],
    show: bool,
    keep_going: bool,
) -> Result<Totals> {
    let accel = Accel::detect(places)?;
    let mut totals = Totals::default();
    for scenario in scenarios {
        let outcome = run(places, scenario, accel, &mut |line| {
            if show && line != "end of scenario" {
                println!("{line}");
            }
        })?;
        totals.add(&outcome);
        if !show || !outcome.good() {
            println!("{}", outcome.report(&scenario.name));
        }
        if !outcome.good() && !keep_going {
            break;
        }
    }
    Ok(totals)
}

/// Runs all scenarios, several at a time; the last line printed is the sum.
pub fn in_parallel(
    places: &Places,
    mut scenarios: Vec<Scenario>,
    jobs: Option<usize>,
) -> Result<Totals> {
    // What may take long comes first, so that no CPU has nothing to do at the end.
    scenarios.sort_by_key(|scenario| Reverse(scenario.timeout));
    let accel = Accel::detect(places)?;
    let mut totals = Totals::default();
    let jobs = jobs
        .unwrap_or_else(default_jobs)
        .clamp(1, scenarios.len().max(1));
    let waiting = Mutex::new(VecDeque::from(scenarios));
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            let waiting = &waiting;
            scope.spawn(move || {
                while let Some(scenario) = next(waiting) {
                    let outcome = run(places, &scenario, accel, &mut |_| ())
                        .unwrap_or_else(|error| Outcome::not_run(&error));
                    if sender.send((scenario.name, outcome)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (name, outcome) in results {
            println!("{}", outcome.report(&name));
            totals.add(&outcome);
        }
    });
    println!("{totals}");
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

fn next(waiting: &Mutex<VecDeque<Scenario>>) -> Option<Scenario> {
    waiting.lock().ok()?.pop_front()
}

fn default_jobs() -> usize {
    thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_JOBS)
}
