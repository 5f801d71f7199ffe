// SPDX-License-Identifier: GPL-2.0

//! Drivers that mean harm: a million rings, each with a life of its own.
//!
//! In each life a ring is set up, and its memory is filled with what leads far and with what leads
//! nowhere: every field of descriptors, loops, indirect tables of any length and depth, indices
//! that jump, parts of the ring that lie over each other. The memory changes from read to read,
//! parts of it are taken away, and the ring is set up again with another size. What the ring does
//! meanwhile is compared with [`Model`](model::Model), access by access, which sees the same
//! values: so nothing is read twice, nothing is touched that need not be, nothing goes on for
//! longer than it may, and the driver gets back exactly what was completed.
//!
//! Beside that, rings of one and of two entries in all states that a driver can give them: the module
//! [`small`].
//!
//! `VIRTQUEUE_SEED=N` takes other lives, `VIRTQUEUE_CASES=N` so many, and `VIRTQUEUE_CASE=N` one
//! only: the one that a failure names.

#![allow(unreachable_pub)]

mod counts;
mod cursor;
mod garbage;
mod life;
mod memory;
mod model;
mod small;
mod walk;

use std::ops::Range;
use std::thread;

use checks::random::{mix, Random};

use counts::Counts;
use life::Life;

/// Lives, without `VIRTQUEUE_CASES`.
const CASES: u64 = 1_000_000;
/// The seed, without `VIRTQUEUE_SEED`.
const SEED: u64 = 1;
/// Threads that share the work.
const THREADS: u64 = 2;
/// With so many lives everything happens that can.
const ENOUGH: u64 = 100_000;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().unwrap_or_else(|_| {
        panic!("{name} is {text:?}, but a number is needed");
    });

    Some(number)
}

/// Says which life it was, if it ends in a panic.
struct Epitaph {
    seed: u64,
    case: u64,
}

impl Drop for Epitaph {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "again with VIRTQUEUE_SEED={} VIRTQUEUE_CASE={}",
                self.seed, self.case
            );
        }
    }
}

/// Lives all lives of a range.
fn run(seed: u64, cases: Range<u64>) -> Counts {
    let mut life = Life::default();

    for case in cases {
        let _epitaph = Epitaph { seed, case };

        life.live(&mut Random::new(mix(seed) ^ case));
    }
    life.counts
}

#[test]
fn a_million_hostile_drivers() {
    let seed = variable("VIRTQUEUE_SEED").unwrap_or(SEED);
    let cases = match variable("VIRTQUEUE_CASE") {
        Some(case) => case..case + 1,
        None => 0..variable("VIRTQUEUE_CASES").unwrap_or(CASES),
    };
    let part = (cases.end - cases.start).div_ceil(THREADS);

    let counts = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let start = (cases.start + number * part).min(cases.end);
                let end = (start + part).min(cases.end);

                scope.spawn(move || run(seed, start..end))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a ring that does as it should"))
            .fold(Counts::default(), Counts::add)
    });

    println!("seed {seed}, {} lives:\n{counts}", cases.end - cases.start);
    if cases.end - cases.start >= ENOUGH {
        assert_eq!(counts.missing(), Vec::<&str>::new(), "it gets nowhere");
    }
}
