// SPDX-License-Identifier: GPL-2.0

//! How much is done: the options that all commands have.

use std::time::Duration;

use checks::arguments::{Arguments, Misuse};
use checks::random::{mix, Random, MAX_SEED};

/// A seed, a time, and a number of threads.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// What is done follows from it.
    pub seed: u64,
    /// For how long.
    pub time: Duration,
    /// By how many threads.
    pub threads: usize,
}

impl Budget {
    /// Takes `--seed`, `--seconds` and `--threads`; of the last, `threads` are the default.
    pub fn take(arguments: &mut Arguments, threads: u64) -> Result<Self, Misuse> {
        Ok(Self {
            seed: arguments.number("--seed", 1, 0..=MAX_SEED)?,
            time: Duration::from_secs(arguments.number("--seconds", 60, 1..=1_000_000)?),
            threads: arguments.number("--threads", threads, 1..=64)? as usize,
        })
    }

    /// Random numbers for a thread, which have nothing to do with those of other threads.
    pub fn random(&self, thread: usize) -> Random {
        Random::new(mix(self.seed) ^ thread as u64)
    }
}
