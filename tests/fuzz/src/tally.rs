// SPDX-License-Identifier: GPL-2.0

//! What was done, and what came of it.

use std::collections::BTreeMap;
use std::io;

use guest::vdpa::family::errno_name;

/// What came of one thing: the number of an error, or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome(pub i32);

impl Outcome {
    /// It was done.
    pub const DONE: Self = Self(0);
    /// The kernel was not asked, as something was missing.
    pub const NOT_TRIED: Self = Self(-1);
    /// There was no answer, and none had to be.
    pub const SILENT: Self = Self(-2);
}

impl<T> From<io::Result<T>> for Outcome {
    fn from(result: io::Result<T>) -> Self {
        match result {
            Ok(_) => Self::DONE,
            // Errors without a number are not the kernel's.
            Err(error) => error.raw_os_error().map_or(Self::NOT_TRIED, Self),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => f.write_str("done"),
            -1 => f.write_str("not tried"),
            -2 => f.write_str("not answered"),
            errno => f.write_str(&errno_name(errno)),
        }
    }
}

/// How often each kind of thing had each outcome.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<&'static str, BTreeMap<Outcome, u64>>);

impl Tally {
    /// Counts one.
    pub fn count(&mut self, kind: &'static str, outcome: Outcome) {
        *self.0.entry(kind).or_default().entry(outcome).or_default() += 1;
    }

    /// Adds what another one has counted.
    pub fn add(&mut self, other: &Self) {
        for (kind, outcomes) in &other.0 {
            for (outcome, count) in outcomes {
                *self.0.entry(kind).or_default().entry(*outcome).or_default() += count;
            }
        }
    }

    /// How often a kind had an outcome.
    pub fn of(&self, kind: &str, outcome: Outcome) -> u64 {
        self.0
            .get(kind)
            .and_then(|outcomes| outcomes.get(&outcome).copied())
            .unwrap_or(0)
    }

    /// How often a kind was done or refused.
    pub fn all_of(&self, kind: &str) -> u64 {
        self.0
            .get(kind)
            .map_or(0, |outcomes| outcomes.values().sum())
    }

    /// Everything that was counted.
    pub fn all(&self) -> u64 {
        self.0.values().flat_map(|outcomes| outcomes.values()).sum()
    }

    /// One line for each kind.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(kind, outcomes)| {
            let counts: Vec<_> = outcomes
                .iter()
                .map(|(outcome, count)| format!("{outcome} {count}"))
                .collect();

            format!("{kind}: {}", counts.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_by_kind() {
        let mut tally = Tally::default();
        let mut other = Tally::default();

        tally.count("a", Outcome::DONE);
        other.count("a", Outcome(libc::EINVAL));
        other.count("b", Outcome::DONE);
        tally.add(&other);
        assert_eq!(tally.of("a", Outcome::DONE), 1);
        assert_eq!(tally.all_of("a"), 2);
        assert_eq!(tally.all(), 3);
        assert_eq!(
            tally.lines().collect::<Vec<_>>(),
            ["a: done 1, EINVAL 1", "b: done 1"]
        );
    }
}
