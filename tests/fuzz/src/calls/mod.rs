// SPDX-License-Identifier: GPL-2.0

//! Calls, messages about mappings, netlink messages and devices that come and go, all at once.

mod action;
mod argument;
mod asking;
mod cast;
mod devices;
mod expect;
mod layout;
mod message;
mod netlink;
mod perform;
mod rings;
mod session;

use std::path::Path;
use std::sync::Arc;

use anyhow::{ensure, Context, Result};
use checks::arguments::Arguments;
use checks::random::Random;
use checks::report::Report;
use guest::netlink::{controller, Client};
use guest::vdpa::schema;
use vhost_client::process::charged;
use vhost_client::sys::{exceed_locked_memory, limit_locked_memory};

use crate::budget::Budget;
use crate::coverage::Coverage;
use crate::team::{self, Worker};
use action::Action;
use cast::Cast;
use perform::{Performer, Shared};

/// Every third thread makes devices come and go, and the others use them.
const EVERY: usize = 3;

/// The command `calls`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let budget = Budget::take(arguments, 6)?;
    let modules = arguments.text("--modules", "/modules/ours")?;
    let cast = match arguments.flag("--worst") {
        true => Cast::Worst,
        false => Cast::Simulators,
    };
    arguments.finish()?;

    report.note(format_args!(
        "seed {}, {} threads, {:?}",
        budget.seed, budget.threads, budget.time
    ));
    limit_locked_memory(None)?;
    // What is done goes by limits too, which would not hold otherwise.
    exceed_locked_memory(false)?;
    let family = controller::family(&mut Client::open()?, schema::NAME)?
        .context("there is no family vdpa: vdpa.ko is not loaded")?;
    let shared = Shared::new(family, cast, modules.clone().into());
    let mut coverage = Coverage::new(Path::new(&modules), cast.modules())?;
    if coverage.is_none() {
        report.note("the kernel does not record where it is (CONFIG_KCOV)");
    }

    // So that there is something to begin with.
    for name in cast.names() {
        Performer::new(&shared, 0)?.perform(&netlink::add(cast, name))?;
    }
    let results = team::run(
        "calls",
        &budget,
        name,
        &mut coverage,
        report,
        |tally| expect::is_enough(tally, cast),
        |worker| work(worker, &shared, cast),
    )?;

    limit_locked_memory(None)?;
    shared.close();
    for module in cast.reloaded() {
        // Those that are not missing are there.
        let _ = shared.load(module, "");
    }
    report.check("calls/devices-removed", asking::remove_all(family));
    report.check("calls/nothing-pinned", nothing_pinned());
    report.note(format_args!(
        "{} calls in {:?}",
        results.tally.all(),
        results.time
    ));
    for line in results.tally.lines() {
        report.note(line);
    }
    // Of what ended early it is known already that it failed.
    if results.complete {
        expect::report(&results.tally, cast, report);
    }
    if let Some(coverage) = coverage {
        coverage.report(&results.places, report);
    }
    Ok(())
}

fn makes_devices(number: usize) -> bool {
    number % EVERY == EVERY - 1
}

fn name(number: usize) -> String {
    match makes_devices(number) {
        true => format!("thread-{number}-devices"),
        false => format!("thread-{number}-files"),
    }
}

/// What thread `number` does next: it follows from the numbers alone, not from what came of
/// anything.
fn script(random: &mut Random, cast: Cast, number: usize) -> Vec<Action> {
    match makes_devices(number) {
        true => devices::episode(random, cast),
        false => session::session(random, cast, number, number - number / EVERY),
    }
}

fn work(worker: &mut Worker<'_>, shared: &Shared, cast: Cast) -> Result<()> {
    let mut performer = Performer::new(shared, worker.number)?;

    while worker.going_on() {
        for action in script(&mut worker.random, cast, worker.number) {
            if !worker.going_on() {
                break;
            }
            let action = Arc::new(action);
            let mut wrong = Ok(());
            let outcome = worker.step(action.kind(), team::printable(&action), || {
                performer.perform(&action).unwrap_or_else(|error| {
                    wrong = Err(error);
                    crate::tally::Outcome::NOT_TRIED
                })
            });

            wrong
                .and_then(|()| expect::check(outcome))
                .with_context(|| format!("{action:?}"))?;
        }
    }
    Ok(())
}

/// Nothing stays pinned in the name of this process.
fn nothing_pinned() -> Result<()> {
    let charged = charged()?;

    ensure!(charged == 0, "{charged} KiB are");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_does_the_same_each_time() {
        for (number, cast) in (0..6).zip([Cast::Simulators, Cast::Worst].into_iter().cycle()) {
            let make = |seed| {
                let mut random = Random::new(seed);
                (0..5)
                    .map(|_| script(&mut random, cast, number))
                    .collect::<Vec<_>>()
            };

            assert_eq!(make(7), make(7));
            assert_ne!(make(7), make(8));
        }
    }
}
