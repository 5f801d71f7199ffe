// SPDX-License-Identifier: GPL-2.0

//! How often what can happen did: lives that go nowhere show nothing.

use std::fmt;

use virtqueue::{Broken, ChainError, RingError, SetupError};

/// What can happen to a ring.
const NAMES: [&str; 40] = [
    "operations",
    "accesses",
    // Set-up.
    "size refused",
    "alignment refused",
    "place refused",
    "set up again",
    "started elsewhere",
    // Taking chains.
    "nothing there",
    "chain",
    "chain through a table",
    "chain of a ring that changes",
    "put back",
    "ring not readable",
    "ring broken before",
    "available index wrong",
    "head wrong",
    "memory that never serves",
    // Rules for chains.
    "descriptor not readable",
    "too many descriptors",
    "too many segments",
    "next wrong",
    "readable after writable",
    "buffer wraps",
    "chain too long",
    "indirect not negotiated",
    "indirect nested",
    "indirect with next",
    "indirect length",
    "indirect wraps",
    // Data.
    "bytes moved",
    "buffer refused",
    // Giving chains back.
    "completed",
    "completed though broken",
    "used ring not writable",
    "completed at another try",
    "given up",
    "token too old",
    "notified",
    "notified after a start",
    "not notified",
];

/// Counts, by name.
#[derive(Clone)]
pub struct Counts([u64; NAMES.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; NAMES.len()])
    }
}

impl Counts {
    /// Counts something by its name.
    pub fn note(&mut self, name: &str) {
        self.more(name, 1);
    }

    /// Counts something several times.
    pub fn more(&mut self, name: &str, times: u64) {
        let at = NAMES.iter().position(|known| *known == name);

        self.0[at.expect("a name that is known")] += times;
    }

    /// Counts what keeps a ring from giving a chain.
    pub fn refusal(&mut self, error: &RingError) {
        self.note(match error {
            RingError::Fault(_) => "ring not readable",
            RingError::Broken(Broken::AvailableIndex { .. }) => "available index wrong",
            RingError::Broken(Broken::Head { .. }) => "head wrong",
            RingError::Broken(Broken::Memory(_)) => "memory that never serves",
            RingError::Broken(Broken::Chain { error, .. }) => Self::of_chain(error),
            RingError::Broken(Broken::GivenUp { .. }) | RingError::NotInFlight => {
                panic!("{error} is no answer to that")
            }
        });
    }

    fn of_chain(error: &ChainError) -> &'static str {
        match error {
            ChainError::TooManyDescriptors { .. } => "too many descriptors",
            ChainError::TooManySegments { .. } => "too many segments",
            ChainError::Next { .. } => "next wrong",
            ChainError::ReadableAfterWritable => "readable after writable",
            ChainError::BufferWraps { .. } => "buffer wraps",
            ChainError::TooLong => "chain too long",
            ChainError::IndirectNotNegotiated => "indirect not negotiated",
            ChainError::IndirectNested => "indirect nested",
            ChainError::IndirectNext => "indirect with next",
            ChainError::IndirectLength { .. } => "indirect length",
            ChainError::IndirectWraps { .. } => "indirect wraps",
        }
    }

    /// Counts a ring that is not set up.
    pub fn setup(&mut self, error: &SetupError) {
        self.note(match error {
            SetupError::Size(_) => "size refused",
            SetupError::Alignment { .. } => "alignment refused",
            SetupError::Wraps { .. } => "place refused",
        });
    }

    /// The sum of two.
    pub fn add(mut self, other: Self) -> Self {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
        self
    }

    /// What has never happened.
    pub fn missing(&self) -> Vec<&'static str> {
        NAMES
            .iter()
            .zip(self.0)
            .filter_map(|(name, count)| (count == 0).then_some(*name))
            .collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in NAMES.iter().zip(self.0) {
            writeln!(f, "{count:>12} {name}")?;
        }
        Ok(())
    }
}
