// SPDX-License-Identifier: GPL-2.0

//! Things in the order in which they came, each with a number that no other one ever has.
//!
//! Who goes through them in several steps, with things coming and going in between, goes on after
//! the number of the last one that it saw. So it meets each that stays exactly once. It would not
//! if it went on after a count.

use kernel::prelude::*;
use vdpa::sorted::partition_point;

/// Things with numbers.
///
/// # Invariants
///
/// The numbers in `entries` grow, and none is larger than `last`.
pub(crate) struct Numbered<T> {
    last: u64,
    entries: KVVec<(u64, T)>,
}

impl<T> Numbered<T> {
    /// Makes a collection with nothing in it.
    pub(crate) const fn new() -> Self {
        // INVARIANT: There are no numbers.
        Self {
            last: 0,
            entries: KVVec::new(),
        }
    }

    /// Adds something at the end, and returns its number, which is not 0.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `ENOSPC` when there are no more numbers.
    pub(crate) fn push(&mut self, value: T) -> Result<u64> {
        let number = self.last.checked_add(1).ok_or(ENOSPC)?;

        self.entries.push((number, value), GFP_KERNEL)?;
        // INVARIANT: It is larger than all before.
        self.last = number;
        Ok(number)
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// All of them, in order, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    /// Those after a number, in order, with theirs. The number may belong to something that is not
    /// there any more; 0 comes before all.
    pub(crate) fn after(&self, number: u64) -> impl Iterator<Item = (u64, &T)> {
        // By the type invariant, the entries are sorted by number.
        let start = partition_point(&self.entries, |(other, _)| *other <= number);

        self.entries
            .get(start..)
            .unwrap_or_default()
            .iter()
            .map(|(number, value)| (*number, value))
    }

    /// Takes out the first one that `is_it` is true for.
    pub(crate) fn take(&mut self, mut is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let index = self.entries.iter().position(|(_, value)| is_it(value))?;

        // INVARIANT: The others stay in their order.
        self.entries.remove(index).ok().map(|(_, value)| value)
    }
}
