// SPDX-License-Identifier: GPL-2.0

//! Calls that come when the device has promised that none comes, and calls that do not come: virtio
//! 1.3, sections 2.1.2, 2.4 and 2.6.1, and VHOST_VDPA_SUSPEND.
//!
//! Once with the device on another processor, and once on the same, where whoever waited for the
//! device runs as soon as it lets go of what it holds.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use checks::random::Random;
use checks::report::Report;
use vhost_client::queue::wait_event;
use vhost_client::sys;
use vhost_client::uapi::*;

use super::bed::{Bed, PATIENCE};
use super::subject::Subject;

/// How long a call that is late may take, at least: as long as one takes that is not.
const LATE: Duration = Duration::from_micros(150);

/// The most pieces of work that are given at a time.
const BURST: u16 = 16;

/// What stops a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Suspended,
    Disabled,
    Reset,
}

/// Where the driver runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Processor {
    /// Where the device does not.
    Other,
    /// Where the device does, and before it.
    Same,
}

/// What the simulators' threads are called.
const THREAD: &str = "vDPA sim worker";

/// Makes all checks of calls, `rounds` times each.
pub fn run<S: Subject>(bed: &mut Bed, rounds: u64, seed: u64, report: &mut Report) {
    for (what, stop) in [
        ("suspended", Stop::Suspended),
        ("queue-disabled", Stop::Disabled),
        ("reset", Stop::Reset),
    ] {
        for (how, processor) in [
            ("other-processor", Processor::Other),
            ("same-processor", Processor::Same),
        ] {
            let result = check_at::<S>(bed, processor, stop, rounds, seed);
            let again = S::check_works(bed).context("after a reset");

            report.check(
                format_args!(
                    "hostile/{}/calls/{what}/{how}-{rounds}-times (2.1.2)",
                    S::NAME
                ),
                result.and(again),
            );
        }
    }
}

/// Checks on a thread of its own, which may run before others.
fn check_at<S: Subject>(
    bed: &mut Bed,
    processor: Processor,
    stop: Stop,
    rounds: u64,
    seed: u64,
) -> Result<()> {
    thread::scope(|scope| {
        let checking = scope.spawn(|| {
            let found = sys::bind_threads(THREAD, 0)?;
            ensure!(found != 0, "there is no thread called {THREAD:?}");
            match processor {
                Processor::Other => sys::run_on(1)?,
                Processor::Same => sys::run_first_on(0)?,
            }
            check::<S>(bed, processor, stop, rounds, seed)
        });

        match checking.join() {
            Ok(result) => result,
            Err(_) => bail!("the driver's thread ended"),
        }
    })
}

/// Lets time go by, and the device work.
fn pause(processor: Processor, time: Duration) {
    match processor {
        Processor::Other => spin(time),
        Processor::Same => thread::sleep(time),
    }
}

fn spin(time: Duration) {
    let end = Instant::now() + time;

    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Whether somebody called.
fn called<S: Subject>(bed: &Bed) -> bool {
    bed.rings[S::QUEUE as usize].call.read().is_ok()
}

fn check<S: Subject>(
    bed: &mut Bed,
    processor: Processor,
    stop: Stop,
    rounds: u64,
    seed: u64,
) -> Result<()> {
    let mut random = Random::new(seed);
    let (mut late, mut lost, mut touched) = (0, 0, 0);

    let time = duration::<S>(bed)?.as_nanos() as u64;
    bed.start(S::FEATURES, S::QUEUES)?;
    for round in 0..rounds {
        let done = bed.rings[S::QUEUE as usize].used;
        S::put_burst(bed, 1 + random.below(BURST.into()) as u16)?;
        bed.publish(S::QUEUE)?;
        // At all times while the work is done.
        pause(processor, Duration::from_nanos(random.below(time * 3 / 2)));
        halt::<S>(bed, stop)?;

        // First, so that what is late by little is not taken for what is in time.
        let told = called::<S>(bed);
        let published = bed.used_index(S::QUEUE)?;
        lost += u64::from(published != done && !told && stop != Stop::Reset);
        pause(processor, LATE);
        late += u64::from(called::<S>(bed));
        touched += u64::from(bed.used_index(S::QUEUE)? != published);

        go_on::<S>(bed, processor, stop).with_context(|| format!("round {round}"))?;
    }
    ensure!(
        late == 0 && lost == 0 && touched == 0,
        "in {rounds} rounds {late} calls came late, {lost} were lost, and {touched} times the ring \
         was touched late"
    );
    Ok(())
}

/// How long it takes until a burst is done.
fn duration<S: Subject>(bed: &mut Bed) -> Result<Duration> {
    const TRIES: u32 = 20;

    bed.start(S::FEATURES, S::QUEUES)?;
    let start = Instant::now();
    for _ in 0..TRIES {
        S::put_burst(bed, BURST)?;
        bed.publish(S::QUEUE)?;
        finish::<S>(bed)?;
    }
    Ok(start.elapsed() / TRIES)
}

/// Waits until all is done.
fn finish<S: Subject>(bed: &mut Bed) -> Result<()> {
    let end = Instant::now() + PATIENCE;

    while bed.used_index(S::QUEUE)? != bed.rings[S::QUEUE as usize].avail {
        ensure!(Instant::now() < end, "not all that was given is done");
        wait_event(&bed.rings[S::QUEUE as usize].call, Duration::from_millis(1))?;
    }
    let ring = &mut bed.rings[S::QUEUE as usize];
    ring.used = ring.avail;
    ring.returned.clear();
    Ok(())
}

fn halt<S: Subject>(bed: &Bed, stop: Stop) -> Result<()> {
    match stop {
        Stop::Suspended => Ok(bed.session.device.plain(VHOST_VDPA_SUSPEND)?),
        Stop::Disabled => bed.session.enable(S::QUEUE, false),
        Stop::Reset => Ok(bed.session.device.set_status(0)?),
    }
}

/// Lets the device finish what it has, and stops it once more, so that no call is left.
fn go_on<S: Subject>(bed: &mut Bed, processor: Processor, stop: Stop) -> Result<()> {
    match stop {
        Stop::Reset => return bed.start(S::FEATURES, S::QUEUES),
        Stop::Suspended => bed.session.device.plain(VHOST_VDPA_RESUME)?,
        Stop::Disabled => bed.session.enable(S::QUEUE, true)?,
    }
    bed.kick(S::QUEUE)?;
    finish::<S>(bed)?;
    bed.session.device.plain(VHOST_VDPA_SUSPEND)?;
    pause(processor, LATE);
    let _ = called::<S>(bed);
    Ok(bed.session.device.plain(VHOST_VDPA_RESUME)?)
}
