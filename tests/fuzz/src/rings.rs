// SPDX-License-Identifier: GPL-2.0

//! Rings that no driver would make, for devices that handle them in the kernel.
//!
//! One thread for each device goes through sessions. In each, queues of any size are set up, and
//! filled with what is right up to one thing or two: a field of a descriptor, a buffer or its
//! permission, the length of a table, an index. Meanwhile other threads write to the same memory,
//! take mappings away, stop and start queues, and notify. After each session the device must do
//! ordinary work, in a session of its own or in the same: nothing that a driver does may spoil it
//! for the next.

mod arena;
mod chain;
mod disturb;
mod garbage;
mod life;
mod queue;
mod request;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use checks::arguments::{Arguments, Misuse};
use checks::report::Report;
use vhost_client::sys::limit_locked_memory;

use crate::budget::Budget;
use crate::tally::{Outcome, Tally};
use crate::team::{self, Worker};
use life::Plan;

/// A step: a session with hostile rings.
const HOSTILE: &str = "hostile sessions";
/// A step: ordinary work.
const ORDINARY: &str = "ordinary sessions";

/// What each device must have done in the end, so that it is known that rings got that far.
const ENOUGH_SESSIONS: u64 = 4;
const ENOUGH_CHAINS: u64 = 100;

/// How long a device that is busy may leave a question unanswered. A simulator copies up to 128 MiB
/// for one request, and an emulated machine with a debugging kernel needs seconds for that.
const LONGEST: Duration = Duration::from_secs(20);

/// What was done, by all threads of a session.
#[derive(Default)]
pub struct Counts {
    /// Chains that were given to the device.
    pub offered: AtomicU64,
    /// Chains that came back.
    pub completed: AtomicU64,
    /// Rings of which the device could make no sense.
    pub broken: AtomicU64,
    /// Writes while the device may read.
    pub touched: AtomicU64,
    /// Mappings that were changed.
    pub mapped: AtomicU64,
    /// Queues or devices that were stopped, started or set up again.
    pub stopped: AtomicU64,
    /// Notifications that nothing was added for.
    pub kicked: AtomicU64,
    /// The longest that a question to the device took, in milliseconds.
    waited: AtomicU64,
}

impl Counts {
    /// Notes how long a question took.
    pub fn wait(&self, time: Duration) {
        self.waited
            .fetch_max(time.as_millis() as u64, Ordering::Relaxed);
    }
}

/// Counts one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);

        write!(
            f,
            "{} chains offered, {} completed, {} rings broken; {} writes, {} mappings, {} stops, \
             {} kicks meanwhile; questions took up to {} ms",
            get(&self.offered),
            get(&self.completed),
            get(&self.broken),
            get(&self.touched),
            get(&self.mapped),
            get(&self.stopped),
            get(&self.kicked),
            get(&self.waited)
        )
    }
}

/// The command `rings`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let devices = arguments.all("--dev")?;
    let mut budget = Budget::take(arguments, 1)?;
    arguments.finish()?;
    if devices.is_empty() {
        return Err(Misuse("--dev is missing: there is nothing to do it to".into()).into());
    }
    // A device has one session at a time.
    budget.threads = devices.len();

    report.note(format_args!("seed {}, {:?}", budget.seed, budget.time));
    limit_locked_memory(None)?;
    let counts: Vec<_> = devices.iter().map(|_| Counts::default()).collect();
    let enough = |tally: &Tally| {
        tally.of(ORDINARY, Outcome::DONE) >= ENOUGH_SESSIONS * devices.len() as u64
            && disturbed(&counts).is_ok()
            && counts.iter().all(|counts| gets_far(counts).is_ok())
    };
    let results = team::run(
        "rings",
        &budget,
        |number| devices[number].trim_start_matches("/dev/").to_owned(),
        &mut None,
        report,
        enough,
        |worker| work(worker, &devices, &counts),
    )?;

    for line in results.tally.lines() {
        report.note(line);
    }
    for (device, counts) in devices.iter().zip(&counts) {
        report.note(format_args!("{device}: {counts}"));
        let device = device.trim_start_matches("/dev/");
        report.check(format_args!("rings/{device}/gets-far"), gets_far(counts));
        report.check(format_args!("rings/{device}/answers"), answers(counts));
    }
    report.check("rings/disturbed", disturbed(&counts));
    Ok(())
}

/// A device that does nothing of what it is given shows nothing.
fn gets_far(counts: &Counts) -> Result<()> {
    at_least("chains completed", &[&counts.completed], ENOUGH_CHAINS)?;
    at_least("rings broken", &[&counts.broken], 1)
}

/// A session has only some disturbances, but all sessions together have all.
fn disturbed(counts: &[Counts]) -> Result<()> {
    let all = |counter: fn(&Counts) -> &AtomicU64| counts.iter().map(counter).collect::<Vec<_>>();

    at_least("writes", &all(|counts| &counts.touched), 1)?;
    at_least("mappings", &all(|counts| &counts.mapped), 1)?;
    at_least("stops", &all(|counts| &counts.stopped), 1)?;
    at_least("kicks", &all(|counts| &counts.kicked), 1)
}

fn at_least(what: &str, counters: &[&AtomicU64], least: u64) -> Result<()> {
    let had: u64 = counters
        .iter()
        .map(|counter| counter.load(Ordering::Relaxed))
        .sum();

    ensure!(had >= least, "{had} {what}, of at least {least}");
    Ok(())
}

/// Rings do not keep a device from answering.
fn answers(counts: &Counts) -> Result<()> {
    let waited = Duration::from_millis(counts.waited.load(Ordering::Relaxed));

    ensure!(waited <= LONGEST, "a question took {waited:?}");
    Ok(())
}

fn work(worker: &mut Worker<'_>, devices: &[String], counts: &[Counts]) -> Result<()> {
    let number = worker.number;
    let (path, counts) = (&devices[number], &counts[number]);

    while worker.going_on() {
        let plan = Arc::new(Plan::new(&mut worker.random));
        let mut session = None;

        step(worker, HOSTILE, &plan, || {
            session = Some(life::hostile(path, &plan, counts)?);
            Ok(())
        })?;
        step(worker, ORDINARY, &plan, || {
            life::ordinary(path, &plan, session.take())
        })?;
    }
    Ok(())
}

fn step(
    worker: &mut Worker<'_>,
    kind: &'static str,
    plan: &Arc<Plan>,
    f: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut result = Ok(());

    worker.step(kind, team::printable(plan), || {
        result = f();
        match &result {
            Ok(()) => Outcome::DONE,
            Err(_) => Outcome::NOT_TRIED,
        }
    });
    result.with_context(|| format!("{kind}: {plan:?}"))
}
