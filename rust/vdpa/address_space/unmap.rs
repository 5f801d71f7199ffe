// SPDX-License-Identifier: GPL-2.0

//! Taking mappings away.

use super::{
    AddressSpace,
    Backing,
    Unmapped,
    CHUNK, //
};
use crate::{
    pin::cond_resched,
    Device,
    IovaRange,
    Translation, //
};
use kernel::{
    device::Bound,
    prelude::*, //
};

/// As much is unmapped from a platform's IOMMU at once.
const UNMAP_CHUNK: u64 = 1 << 30;

impl AddressSpace {
    /// Removes all mappings that have an address in `range`, each as a whole.
    ///
    /// For [`Translation::SetMap`] the device is told even if there are none, which takes away what
    /// it may have mapped by itself.
    ///
    /// # Errors
    ///
    /// `EINVAL` where `dev` is another device, and what the device returns. Then memory that was
    /// pinned stays so, and, but for [`Translation::SetMap`], the mapping stays too.
    #[doc(alias = "iommu_unmap")]
    #[inline]
    pub fn unmap(
        &mut self,
        dev: &Device<Bound>,
        range: IovaRange,
        unmapped: &mut Unmapped,
    ) -> Result {
        self.check(dev)?;
        match self.translation {
            Translation::SetMap => {
                self.retire(range);
                if self.batch {
                    return Ok(());
                }
                self.set_map(dev, unmapped)
            }
            Translation::DmaMap => self.unmap_each(range, unmapped, |this, range| {
                let map = this.table.first(range)?.iova;

                Some((map, dev.dma_unmap(this.asid, map)))
            }),
            Translation::Platform => self.unmap_each(range, unmapped, Self::unmap_domain),
        }
    }

    /// Unmaps what `unmap` finds in `range`, until it finds nothing. It returns the addresses, and
    /// whether the device has forgotten them.
    #[inline]
    fn unmap_each(
        &mut self,
        mut range: IovaRange,
        unmapped: &mut Unmapped,
        mut unmap: impl FnMut(&mut Self, IovaRange) -> Option<(IovaRange, Result)>,
    ) -> Result {
        let mut ret = Ok(());

        while let Some((done, result)) = unmap(self, range) {
            match result {
                Ok(()) => self.discard_range(done, unmapped),
                Err(e) => ret = ret.and(Err(e)),
            }
            let Some(rest) = range.after(done.last) else {
                break;
            };
            range = rest;
        }
        ret
    }

    /// Unmaps the first mappings in `range` that follow each other without a gap.
    #[inline]
    fn unmap_domain(&mut self, range: IovaRange) -> Option<(IovaRange, Result)> {
        let domain = self.domain.as_ref()?;
        let span = self.table.span(range, UNMAP_CHUNK)?;

        Some((span, domain.unmap(span.first, span.size())))
    }

    /// Removes all mappings, and has the device go back to those it had at first, if any. Ends a
    /// batch.
    ///
    /// A device that has gone back has none of the mappings any more, whatever it said to unmapping
    /// them one by one.
    ///
    /// # Errors
    ///
    /// Those of [`unmap`](Self::unmap).
    #[inline]
    pub fn clear(&mut self, dev: &Device<Bound>, unmapped: &mut Unmapped) -> Result {
        self.batch = false;
        if !dev.can_reset_map() {
            return self.unmap(dev, IovaRange::FULL, unmapped);
        }
        self.check(dev)?;
        match self.translation {
            Translation::SetMap => {
                self.retire(IovaRange::FULL);
                // An empty table says the same of what was mapped.
                dev.reset_map(self.asid)
                    .map(|()| self.release_all(0, unmapped))
                    .or_else(|e| self.set_map(dev, unmapped).and(Err(e)))
            }
            Translation::DmaMap => {
                let ret = self.unmap(dev, IovaRange::FULL, unmapped);

                dev.reset_map(self.asid)
                    .map_err(|e| ret.err().unwrap_or(e))?;
                self.discard_all(unmapped);
                Ok(())
            }
            // What the platform has mapped is not the device's to take back.
            Translation::Platform => {
                let ret = self.unmap(dev, IovaRange::FULL, unmapped);

                dev.reset_map(self.asid).and(ret)
            }
        }
    }

    /// Takes all mappings that have an address in `range` out of the table. Memory that the device
    /// may use goes to `removed`, until there is a new table.
    #[inline]
    fn retire(&mut self, range: IovaRange) {
        let source = self.source;
        let mut number: usize = 0;

        self.table.drain(range, |map, opaque| {
            // SAFETY: By the type invariant; the mapping is not in the table any more.
            match unsafe { Backing::from_leaked(map, opaque, source) } {
                // By the type invariant there is room.
                Backing::Pinned(run) => self.removed.push(run),
                backing => drop(backing),
            }
            // There are never more mappings than that.
            number = number.wrapping_add(1);
            if number % CHUNK == 0 {
                cond_resched();
            }
        });
    }
}
