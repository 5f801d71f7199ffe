// SPDX-License-Identifier: GPL-2.0

//! What a consumer has mapped for a device.
//!
//! C header: `include/linux/vdpa.h`

mod backing;

use self::backing::Backing;
use crate::{
    bindings,
    iotlb::IotlbTable,
    pin::cond_resched,
    Asid,
    Charge,
    Device,
    IommuDomain,
    IovaRange,
    MapFile,
    MapRange,
    Permission,
    PinnedRun,
    Translation, //
};
use kernel::{
    alloc::KVVec,
    device::Bound,
    prelude::*,
    sync::aref::ARef, //
};

/// As much is unmapped from a platform's IOMMU at once.
const UNMAP_CHUNK: u64 = 1 << 30;

/// After so many mappings others have their turn.
const CHUNK: usize = 64;

/// An address space of a device: the mappings, and what is behind each of them.
///
/// Memory is handed in as a guard. It is dropped when the device has been told that the mapping is
/// gone, and not before. Where the device is told of all mappings at once ([`Translation::SetMap`])
/// that may be later than they are removed: at the end of a batch, or after the device has refused.
///
/// Only one object must exist for each address space of a device at a time; a second one takes away
/// the mappings of the first.
///
/// # Locking
///
/// All that the methods wait for is the parent of the device and memory. [`PinnedRun`]s and
/// [`MapFile`]s are made without this object, so that no lock around it need be held while a process
/// brings in its memory.
///
/// # Invariants
///
/// - Whatever the device has been told to map is in `table` or in `removed`.
/// - A mapping in `table` owns what is behind it: the leaked [`MapFile`] that its pointer is to, or,
///   where that is NULL, a leaked [`PinnedRun`].
/// - The pages of all runs, in `table` or in `removed`, are counted in `charge`.
/// - There is a `domain` if `translation` is [`Translation::Platform`]; it has no mappings but those
///   in `table`.
/// - For [`Translation::SetMap`] there is room in `removed` for all that is in `table`.
pub struct AddressSpace {
    dev: ARef<Device>,
    asid: Asid,
    translation: Translation,
    domain: Option<IommuDomain>,
    table: IotlbTable,
    charge: Option<Charge>,
    batch: bool,
    removed: KVVec<Backing>,
}

impl AddressSpace {
    /// Makes an address space without mappings. The device is not told, unless it is behind a
    /// platform's IOMMU: then it is [attached](IommuDomain::attach) to a domain of its own, with the
    /// errors that has.
    ///
    /// # Errors
    ///
    /// - `EINVAL` where the device does not have the address space, or does not say who does DMA
    ///   for it,
    /// - `ENOMEM`.
    #[inline]
    pub fn new(dev: &Device<Bound>, asid: Asid) -> Result<Self> {
        if asid.0 >= dev.nas() {
            return Err(EINVAL);
        }

        let translation = dev.translation();
        let domain = match translation {
            Translation::Platform => Some(IommuDomain::attach(dev.dma_device().ok_or(EINVAL)?)?),
            Translation::SetMap | Translation::DmaMap => None,
        };

        // INVARIANT: There are no mappings.
        Ok(Self {
            dev: dev.into(),
            asid,
            translation,
            domain,
            table: IotlbTable::new()?,
            charge: None,
            batch: false,
            removed: KVVec::new(),
        })
    }

    /// Returns the bus addresses that can be mapped.
    #[inline]
    pub fn iova_range(&self, dev: &Device<Bound>) -> IovaRange {
        dev.iova_range()
            .or_else(|| self.domain.as_ref()?.aperture())
            .unwrap_or(IovaRange::FULL)
    }

    /// Returns the number of mappings: one for each call of [`map_pinned`](Self::map_pinned) and
    /// [`map_file`](Self::map_file).
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no mappings.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether an address of `range` is mapped.
    #[inline]
    pub fn is_mapped(&self, range: IovaRange) -> bool {
        self.table.overlapping(range).next().is_some()
    }

    /// Maps pinned memory at bus address `iova`, which must be that of a page. What
    /// its pages are counted with is taken from `charge`.
    ///
    /// Outside of a [batch](Self::begin_batch) this takes time in proportion to the number of
    /// mappings, for [`Translation::SetMap`].
    ///
    /// # Errors
    ///
    /// - `EINVAL` where `iova` is not that of a page, `dev` is another device, `charge` is not for
    ///   the process whose memory was mapped before, or the device wants addresses of a process,
    /// - `EEXIST` where an address is mapped already,
    /// - `ENOMEM`, and what the device returns.
    ///
    /// Nothing has changed then, as far as the device goes along with it; the memory is unpinned.
    #[inline]
    pub fn map_pinned(
        &mut self,
        dev: &Device<Bound>,
        iova: u64,
        run: PinnedRun,
        charge: &mut Charge,
    ) -> Result {
        if dev.use_va() || iova % bindings::PAGE_SIZE as u64 != 0 {
            return Err(EINVAL);
        }

        let map = MapRange {
            iova: IovaRange {
                first: iova,
                last: iova.checked_add(run.size() - 1).ok_or(EINVAL)?,
            },
            addr: run.addr(),
            perm: run.perm(),
        };

        self.map(dev, map, Backing::Pinned(run), Some(charge))
    }

    /// Maps memory of a process by its address there, `uaddr`.
    ///
    /// # Errors
    ///
    /// As for [`map_pinned`](Self::map_pinned), but that `EINVAL` is for a device that does not want
    /// addresses of a process ([`Device::use_va`]), and for an empty range.
    #[inline]
    pub fn map_file(
        &mut self,
        dev: &Device<Bound>,
        iova: IovaRange,
        uaddr: u64,
        perm: Permission,
        file: MapFile,
    ) -> Result {
        if !dev.use_va() {
            return Err(EINVAL);
        }
        let map = MapRange {
            iova,
            addr: uaddr,
            perm,
        };
        self.map(dev, map, Backing::File(file), None)
    }

    /// Adds a mapping to the table, and tells the device.
    #[inline]
    fn map(
        &mut self,
        dev: &Device<Bound>,
        map: MapRange,
        backing: Backing,
        charge: Option<&mut Charge>,
    ) -> Result {
        let file = backing.as_raw();

        self.check(dev)?;
        if self.translation == Translation::SetMap {
            self.make_room()?;
        }
        if let Some(charge) = charge {
            self.charge
                .get_or_insert_with(|| charge.empty())
                .take(charge, backing.pages())?;
        }
        if let Err(e) = self.table.add_with(map, file.cast()) {
            self.discard(backing);
            return Err(e);
        }
        // INVARIANT: The table owns it now.
        backing.leak();

        self.announce(dev, map, file).inspect_err(|_| {
            if self.translation == Translation::SetMap {
                self.retire(map.iova);
                // Some parents have lost what they had. Otherwise this changes nothing.
                let _ = self.set_map(dev);
            } else if let Some(backing) = self.take(map.iova) {
                self.discard(backing);
            }
        })
    }

    /// Makes room in `removed` for one mapping more.
    #[inline]
    fn make_room(&mut self) -> Result {
        let room = self.table.len() + 1;
        let capacity = self.removed.capacity();

        if capacity - self.removed.len() >= room {
            return Ok(());
        }
        if self.removed.is_empty() {
            // Nothing is copied, which it would be if the old one grew.
            let new = KVVec::with_capacity(room.max(2 * capacity), GFP_KERNEL_ACCOUNT)?;

            self.removed = new;
            return Ok(());
        }
        Ok(self.removed.reserve(room, GFP_KERNEL_ACCOUNT)?)
    }

    /// Tells the device of a mapping that is in the table.
    #[inline]
    fn announce(
        &mut self,
        dev: &Device<Bound>,
        map: MapRange,
        file: *mut bindings::vdpa_map_file,
    ) -> Result {
        match self.translation {
            Translation::SetMap if self.batch => Ok(()),
            Translation::SetMap => self.set_map(dev),
            // SAFETY: What is behind the mapping stays for as long as it is in the table.
            Translation::DmaMap => unsafe { dev.dma_map(self.asid, map, file) },
            Translation::Platform => {
                let domain = self.domain.as_ref().ok_or(ENODEV)?;
                let size = size(map.iova);

                // SAFETY: As above.
                unsafe { domain.map(map.iova.first, map.addr, size, map.perm) }
            }
        }
    }

    /// Removes all mappings that have an address in `range`, each as a whole.
    ///
    /// For [`Translation::SetMap`] the device is told even if there are none, which takes away what
    /// it may have mapped by itself.
    ///
    /// # Errors
    ///
    /// `EINVAL` where `dev` is another device, and what the device returns. Then its memory stays
    /// pinned, and, but for [`Translation::SetMap`], the mapping stays too.
    #[inline]
    pub fn unmap(&mut self, dev: &Device<Bound>, range: IovaRange) -> Result {
        self.check(dev)?;
        match self.translation {
            Translation::SetMap => {
                self.retire(range);
                if self.batch {
                    return Ok(());
                }
                self.set_map(dev)
            }
            Translation::DmaMap => self.unmap_each(range, |this, range| {
                let map = this.table.first(range)?.0.iova;

                Some((map, dev.dma_unmap(this.asid, map)))
            }),
            Translation::Platform => self.unmap_each(range, Self::unmap_domain),
        }
    }

    /// Unmaps what `unmap` finds in `range`, until it finds nothing. It returns the addresses, and
    /// whether the device has forgotten them.
    #[inline]
    fn unmap_each(
        &mut self,
        mut range: IovaRange,
        mut unmap: impl FnMut(&mut Self, IovaRange) -> Option<(IovaRange, Result)>,
    ) -> Result {
        let mut ret = Ok(());

        while let Some((done, result)) = unmap(self, range) {
            match result {
                Ok(()) => {
                    while let Some(backing) = self.take(done) {
                        self.discard(backing);
                        cond_resched();
                    }
                }
                Err(e) => ret = ret.and(Err(e)),
            }
            if done.last >= range.last {
                break;
            }
            range.first = done.last + 1;
        }
        ret
    }

    /// Unmaps the first mappings in `range` that follow each other without a gap.
    #[inline]
    fn unmap_domain(&mut self, range: IovaRange) -> Option<(IovaRange, Result)> {
        let domain = self.domain.as_ref()?;
        let mut maps = self.table.overlapping(range).map(|map| map.iova);
        let mut span = maps.next()?;

        for next in maps {
            let fits = next.last - span.first < UNMAP_CHUNK;

            if !fits || span.last.checked_add(1) != Some(next.first) {
                break;
            }
            span.last = next.last;
        }
        Some((span, domain.unmap(span.first, size(span))))
    }

    /// Has changes collected from now on, so that a device which is told of all mappings at once is
    /// told of many changes at once.
    #[inline]
    pub fn begin_batch(&mut self) {
        self.batch = true;
    }

    /// Whether changes are collected.
    #[inline]
    pub fn in_batch(&self) -> bool {
        self.batch
    }

    /// Tells the device of the changes since [`begin_batch`](Self::begin_batch).
    ///
    /// # Errors
    ///
    /// `EINVAL` where `dev` is another device, and what the device returns. The batch has ended; the
    /// mappings stay as they are, to be tried again with the next change.
    #[inline]
    pub fn end_batch(&mut self, dev: &Device<Bound>) -> Result {
        self.check(dev)?;
        if core::mem::replace(&mut self.batch, false) && self.translation == Translation::SetMap {
            self.set_map(dev)?;
        }
        Ok(())
    }

    /// Unpins memory that is not mapped any more but was kept for a device that has not been told
    /// yet, by telling it now. Returns whether there was any.
    ///
    /// This is for a batch that unmaps memory and maps other memory, in a process that must not have
    /// both pinned at a time.
    ///
    /// # Errors
    ///
    /// Those of [`end_batch`](Self::end_batch).
    #[inline]
    pub fn release_removed(&mut self, dev: &Device<Bound>) -> Result<bool> {
        self.check(dev)?;
        if self.removed.is_empty() {
            return Ok(false);
        }
        self.set_map(dev)?;
        Ok(true)
    }

    /// Removes all mappings, and has the device go back to those it had at first, if any. Ends a
    /// batch.
    ///
    /// # Errors
    ///
    /// Those of [`unmap`](Self::unmap).
    #[inline]
    pub fn clear(&mut self, dev: &Device<Bound>) -> Result {
        self.batch = false;
        if !dev.can_reset_map() {
            return self.unmap(dev, IovaRange::FULL);
        }
        self.check(dev)?;
        match self.translation {
            Translation::SetMap => {
                self.retire(IovaRange::FULL);
                dev.reset_map(self.asid)?;
                self.discard_removed();
                Ok(())
            }
            Translation::DmaMap | Translation::Platform => {
                self.unmap(dev, IovaRange::FULL)?;
                dev.reset_map(self.asid)
            }
        }
    }

    /// Whether `dev` is the device whose address space this is.
    #[inline]
    fn check(&self, dev: &Device<Bound>) -> Result {
        if dev.as_raw() != self.dev.as_raw() {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Tells the device of all mappings. What had been removed is dropped.
    #[inline]
    fn set_map(&mut self, dev: &Device<Bound>) -> Result {
        // SAFETY: What is behind a mapping stays for as long as it is in the table, and from then on
        // until it was dropped from `removed`, which happens when the device has a new table.
        unsafe { dev.set_map(self.asid, &self.table) }?;
        self.discard_removed();
        Ok(())
    }

    /// Takes the first mapping that has an address in `range` out of the table, and returns what is
    /// behind it.
    #[inline]
    fn take(&mut self, range: IovaRange) -> Option<Backing> {
        let (map, opaque) = self.table.take(range)?;

        // SAFETY: By the type invariant; the mapping is not in the table any more.
        Some(unsafe { Backing::from_leaked(map, opaque) })
    }

    /// Moves all mappings that have an address in `range` to `removed`, until the device has a new
    /// table.
    #[inline]
    fn retire(&mut self, range: IovaRange) {
        let Self { table, removed, .. } = self;

        table.drain(range, |map, opaque| {
            // SAFETY: By the type invariant; the mapping is not in the table any more.
            let backing = unsafe { Backing::from_leaked(map, opaque) };

            if let Err(e) = removed.push_within_capacity(backing) {
                // By the type invariant there is room. If there were none, this would be better than
                // to take the memory away from under the device.
                core::mem::forget(e);
            }
            if removed.len() % CHUNK == 0 {
                cond_resched();
            }
        });
    }

    /// Drops what the device does not know of any more.
    #[inline]
    fn discard(&mut self, backing: Backing) {
        let pages = backing.pages();

        drop(backing);
        if let Some(charge) = &mut self.charge {
            charge.release(pages);
        }
    }

    /// Drops all that was kept for the device.
    #[inline]
    fn discard_removed(&mut self) {
        let mut pages = 0;

        for (number, backing) in self.removed.drain_all().enumerate() {
            pages += backing.pages();
            drop(backing);
            if number % CHUNK == 0 {
                cond_resched();
            }
        }
        if let Some(charge) = &mut self.charge {
            charge.release(pages);
        }
    }
}

impl Drop for AddressSpace {
    /// Drops what is behind the mappings. Where the device still has some, because it was not
    /// [cleared](AddressSpace::clear) or has refused, that memory is lost.
    #[inline]
    fn drop(&mut self) {
        if let Some(domain) = self.domain.take() {
            // From here on the device does not reach what is mapped.
            drop(domain);
            while let Some(backing) = self.take(IovaRange::FULL) {
                self.discard(backing);
                cond_resched();
            }
        }
        if !self.table.is_empty() || !self.removed.is_empty() {
            dev_warn!(
                self.dev,
                "address space {} was not cleared, its memory stays pinned\n",
                self.asid.0
            );
            core::mem::forget(core::mem::replace(&mut self.removed, KVVec::new()));
            core::mem::forget(self.charge.take());
        }
    }
}

/// The size of a range that is not all of the 64-bit addresses, in bytes.
#[inline]
fn size(range: IovaRange) -> u64 {
    (range.last - range.first).wrapping_add(1)
}
