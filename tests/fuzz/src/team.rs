// SPDX-License-Identifier: GPL-2.0

//! Threads that do things for some time, and somebody who looks after them.
//!
//! A thread that does the same for too long has met something that hangs, which nobody can help:
//! the program says what all threads have done last, and ends.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, Result};
use checks::random::Random;
use checks::report::Report;

use crate::budget::Budget;
use crate::coverage::{Coverage, Recorder};
use crate::journal::{Journal, Step};
use crate::kernel_log::KernelLog;
use crate::tally::{Outcome, Tally};

/// How long one step may take: on an emulated machine, beside many others, a minute is soon over.
/// The kernel itself complains earlier of a task that waits and cannot be killed.
const PATIENCE: Duration = Duration::from_secs(150);

/// How long it may take until enough is done, at least and as a multiple of the time: not all
/// machines are fast.
const LONGEST: (Duration, u32) = (Duration::from_secs(240), 4);

/// How often somebody looks.
const INTERVAL: Duration = Duration::from_millis(200);

/// One of the threads.
pub struct Worker<'a> {
    /// Its number, from 0.
    pub number: usize,
    /// What it does follows from these numbers.
    pub random: Random,
    journal: &'a Journal,
    tally: &'a Mutex<Tally>,
    recorder: Option<Recorder>,
    stop: &'a AtomicBool,
}

impl Worker<'_> {
    /// Whether there is time left, and nothing is wrong.
    pub fn going_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Has `f` do a step, and counts it.
    pub fn step(&mut self, kind: &'static str, step: Step, f: impl FnOnce() -> Outcome) -> Outcome {
        self.journal.begin(step);
        let outcome = f();
        self.journal.end(outcome);
        locked(self.tally).count(kind, outcome);
        if let Some(recorder) = &mut self.recorder {
            recorder.take();
        }
        outcome
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the threads have left.
#[derive(Default)]
pub struct Results {
    /// What they have done.
    pub tally: Tally,
    /// Where in the kernel they were.
    pub places: HashSet<u64>,
    /// How long it took.
    pub time: Duration,
    /// Nothing has ended it early.
    pub complete: bool,
}

/// Has threads do `work` for the time of a budget, and some more until it was `enough`; `names` are
/// those of the threads. Reports what went wrong under `name`.
pub fn run(
    name: &str,
    budget: &Budget,
    names: impl Fn(usize) -> String,
    coverage: &mut Option<Coverage>,
    report: &mut Report,
    enough: impl Fn(&Tally) -> bool,
    work: impl Fn(&mut Worker<'_>) -> Result<()> + Sync,
) -> Result<Results> {
    let journals: Vec<_> = (0..budget.threads)
        .map(|number| Journal::new(names(number)))
        .collect();
    let tallies: Vec<_> = journals.iter().map(|_| Mutex::default()).collect();
    let places = Mutex::new(HashSet::new());
    let stop = AtomicBool::new(false);
    let mut log = KernelLog::open()?;
    let start = Instant::now();
    let mut complete = true;
    let covered = coverage.is_some();

    thread::scope(|scope| {
        let threads: Vec<_> = journals
            .iter()
            .enumerate()
            .map(|(number, journal)| {
                let (stop, places, work) = (&stop, &places, &work);
                let tally = &tallies[number];

                scope.spawn(move || -> Result<()> {
                    let mut worker = Worker {
                        number,
                        random: budget.random(number),
                        journal,
                        tally,
                        recorder: covered.then(Recorder::begin).transpose()?,
                        stop,
                    };
                    let result = work(&mut worker);

                    locked(places).extend(worker.recorder.into_iter().flat_map(Recorder::end));
                    result
                })
            })
            .collect();

        let mut reported = None;
        while !threads.iter().all(|thread| thread.is_finished()) {
            thread::sleep(INTERVAL);
            if let Some(coverage) = coverage {
                coverage.look();
            }
            if let Some(line) = log.report() {
                reported.get_or_insert(line);
            }
            // Who has ended before has failed, which is known soon.
            let ended = threads.iter().any(|thread| thread.is_finished());
            let failed = reported.is_some() || ended && !stop.load(Ordering::Relaxed);
            complete &= !failed;
            let late = start.elapsed() > LONGEST.0.max(budget.time * LONGEST.1);
            if failed || late || start.elapsed() > budget.time && enough(&sum(&tallies)) {
                stop.store(true, Ordering::Relaxed);
            }
            if let Some(journal) = journals.iter().find(|journal| journal.busy() > PATIENCE) {
                hung(name, journal, &journals, report);
            }
        }

        let quiet = match reported.or_else(|| log.report()) {
            None => Ok(()),
            Some(line) => {
                tell(&journals, report);
                Err(anyhow!("{line}"))
            }
        };
        report.check(format_args!("{name}/nothing-is-reported"), quiet);
        for (thread, journal) in threads.into_iter().zip(&journals) {
            let result = match thread.join() {
                Ok(result) => result,
                Err(_) => Err(anyhow!("it panicked")),
            };
            if result.is_err() {
                journal.lines().iter().for_each(|line| report.note(line));
            }
            report.check(format_args!("{name}/{}", journal.name()), result);
        }
    });
    let places = std::mem::take(&mut *locked(&places));
    Ok(Results {
        tally: sum(&tallies),
        places,
        time: start.elapsed(),
        complete,
    })
}

/// What all threads have counted so far.
fn sum(tallies: &[Mutex<Tally>]) -> Tally {
    let mut sum = Tally::default();

    for tally in tallies {
        sum.add(&locked(tally));
    }
    sum
}

/// Says what all threads have done last.
fn tell(journals: &[Journal], report: &mut Report) {
    for line in journals.iter().flat_map(Journal::lines) {
        report.note(line);
    }
}

/// Ends the program, as one of its threads never will.
fn hung(name: &str, journal: &Journal, journals: &[Journal], report: &mut Report) -> ! {
    tell(journals, report);
    report.check(
        format_args!("{name}/{}", journal.name()),
        Err(anyhow!(
            "it has been doing the same for {:?}",
            journal.busy()
        )),
    );
    report.status();
    std::process::exit(1)
}

/// A step that can be printed.
pub fn printable<T: std::fmt::Debug + Send + Sync + 'static>(step: &Arc<T>) -> Step {
    step.clone()
}
