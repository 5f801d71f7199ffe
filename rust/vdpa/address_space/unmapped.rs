// SPDX-License-Identifier: GPL-2.0

//! Memory that no device knows of any more.

use crate::{
    pin::cond_resched,
    Charge,
    PinnedRun, //
};
use kernel::prelude::*;

/// So many runs are remembered in one piece of memory, at most.
const CHUNK: usize = 256;

/// So many at first: often there is only one.
const FIRST: usize = 8;

/// Memory that was mapped for a device, which has forgotten it. It is unpinned, and counted no
/// more, when this is dropped.
///
/// That takes time in proportion to the memory, which can be all of a guest's. So the methods of
/// [`AddressSpace`](crate::AddressSpace) leave it to their callers, who drop this when no lock is
/// held that somebody needs for whom that is too long.
///
/// # Context
///
/// Dropping it sleeps. Any process can do that, the one whose memory it is may have ended.
///
/// # Invariants
///
/// The pages of all runs are counted in `charge`.
#[derive(Default)]
pub struct Unmapped {
    chunk: Option<KBox<Chunk>>,
    charge: Option<Charge>,
}

/// Some runs, and those that came before.
struct Chunk {
    runs: KVec<PinnedRun>,
    before: Option<KBox<Chunk>>,
}

impl Unmapped {
    /// None.
    #[inline]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a run, the pages of which are counted in `charge`.
    ///
    /// It is unpinned at once where there is no memory to remember it, and where it is of another
    /// process than the others: then somebody waits, but nobody goes without.
    #[inline]
    pub(super) fn push(&mut self, run: PinnedRun, charge: &mut Charge) {
        let pages = run.pages();
        let mine = self.charge.get_or_insert_with(|| charge.empty());

        if mine.take(charge, pages).is_err() {
            drop(run);
            charge.release(pages);
            return;
        }
        // INVARIANT: Counted just above, or not there.
        if remember(&mut self.chunk, run).is_err() {
            mine.release(pages);
        }
    }
}

impl Drop for Unmapped {
    #[inline]
    fn drop(&mut self) {
        let mut next = self.chunk.take();

        while let Some(mut chunk) = next {
            next = chunk.before.take();
            drop(chunk);
            cond_resched();
        }
    }
}

/// Remembers a run. Who lets go of memory must not wait for some.
#[inline]
fn remember(last: &mut Option<KBox<Chunk>>, run: PinnedRun) -> Result {
    let size = match last {
        Some(chunk) if chunk.runs.len() < chunk.runs.capacity() => {
            return Ok(chunk.runs.push_within_capacity(run)?);
        }
        Some(_) => CHUNK,
        None => FIRST,
    };
    let mut runs = KVec::with_capacity(size, GFP_NOWAIT)?;

    runs.push_within_capacity(run)?;

    let mut chunk = KBox::new(Chunk { runs, before: None }, GFP_NOWAIT)?;

    chunk.before = last.take();
    *last = Some(chunk);
    Ok(())
}
