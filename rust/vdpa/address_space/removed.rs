// SPDX-License-Identifier: GPL-2.0

//! Memory that is not mapped any more, but that a device may still use.

use super::Unmapped;
use crate::{
    pin::cond_resched,
    Charge,
    PinnedRun, //
};
use kernel::{
    alloc::KVVec,
    prelude::*, //
};

/// So many runs are kept beyond those that a device can know of.
const SPARE: usize = 1024;

/// After so many runs others have their turn.
const CHUNK: usize = 64;

/// Memory that is not mapped any more, but that a device which is told of all mappings at once may
/// still use: it has not been told, or has refused.
///
/// There must be no need for memory when a mapping goes, so that the room is made when it comes.
///
/// Dropping this leaves the memory pinned.
pub(super) struct Removed {
    runs: KVVec<PinnedRun>,
    /// How many mappings the device was told of the last time.
    told: usize,
}

impl Removed {
    /// None, for a device that knows no mappings.
    #[inline]
    pub(super) fn new() -> Self {
        Self {
            runs: KVVec::new(),
            told: 0,
        }
    }

    /// Whether there is none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether it is so much that the device should be told before more is mapped.
    ///
    /// One batch may replace all that a device knows of, and it must not see a part of that. But
    /// most of this has come and gone within a batch, which could go on for ever.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.runs.len() >= self.told.saturating_add(SPARE)
    }

    /// Makes room for another `room` runs.
    #[inline]
    pub(super) fn make_room(&mut self, room: usize) -> Result {
        let capacity = self.runs.capacity();

        if capacity.saturating_sub(self.runs.len()) >= room {
            return Ok(());
        }
        if self.runs.is_empty() {
            // Nothing is copied, which it would be if the old one grew.
            self.runs =
                KVVec::with_capacity(room.max(capacity.saturating_mul(2)), GFP_KERNEL_ACCOUNT)?;
            return Ok(());
        }
        Ok(self.runs.reserve(room, GFP_KERNEL_ACCOUNT)?)
    }

    /// Keeps memory, for which there must be room.
    #[inline]
    pub(super) fn push(&mut self, run: PinnedRun) {
        if let Err(e) = self.runs.push_within_capacity(run) {
            // Better than to take the memory away from under the device.
            core::mem::forget(e);
        }
    }

    /// Hands out all of it, when the device has been told of the mappings there are: `told` of
    /// them. It is counted in `charge`.
    #[inline]
    pub(super) fn release(&mut self, told: usize, charge: &mut Charge, unmapped: &mut Unmapped) {
        self.told = told;
        for (number, run) in self.runs.drain_all().enumerate() {
            unmapped.push(run, charge);
            if number % CHUNK == 0 {
                cond_resched();
            }
        }
    }
}

impl Drop for Removed {
    #[inline]
    fn drop(&mut self) {
        self.runs.drain_all().for_each(PinnedRun::leak);
    }
}
