// SPDX-License-Identifier: GPL-2.0

//! What a consumer has mapped for a device.
//!
//! C header: `include/linux/vdpa.h`

use crate::{
    bindings,
    iotlb::IotlbTable,
    pin::cond_resched,
    Asid,
    Device,
    IommuDomain,
    IovaRange,
    MapFile,
    MapRange,
    Permission,
    PinnedRun,
    Translation, //
};
use core::ptr::{
    null_mut,
    NonNull, //
};
use kernel::{
    alloc::KVVec,
    device::Bound,
    mm::Mm,
    prelude::*,
    sync::aref::ARef, //
};

/// As much is unmapped from a platform's IOMMU at once.
const UNMAP_CHUNK: u64 = 1 << 30;

/// What is behind a mapping, and must stay for as long as the device knows of it.
enum Backing {
    Pinned(PinnedRun),
    File(MapFile),
}

impl Backing {
    /// The pointer for the table, which is for the device to see.
    #[inline]
    fn as_raw(&self) -> *mut bindings::vdpa_map_file {
        match self {
            Self::Pinned(_) => null_mut(),
            Self::File(file) => file.as_raw(),
        }
    }

    /// Leaves all as it is.
    #[inline]
    fn leak(self) {
        match self {
            Self::Pinned(run) => run.leak(),
            Self::File(file) => file.leak(),
        }
    }
}

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
///   where that is NULL, a leaked [`PinnedRun`] of `owner`.
/// - There is a `domain` if `translation` is [`Translation::Platform`]; it has no mappings but those
///   in `table`.
/// - For [`Translation::SetMap`] there is room in `removed` for all that is in `table`.
pub struct AddressSpace {
    dev: ARef<Device>,
    asid: Asid,
    translation: Translation,
    domain: Option<IommuDomain>,
    table: IotlbTable,
    owner: Option<ARef<Mm>>,
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
            owner: None,
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

    /// Maps pinned memory at bus address `iova`, which must be that of a page.
    ///
    /// Outside of a [batch](Self::begin_batch) this takes time in proportion to the number of
    /// mappings, for [`Translation::SetMap`].
    ///
    /// # Errors
    ///
    /// - `EINVAL` where `iova` is not that of a page, `dev` is another device, the memory is not that
    ///   of the process whose memory was mapped before, or the device wants addresses of a process,
    /// - `EEXIST` where an address is mapped already,
    /// - `ENOMEM`, and what the device returns.
    ///
    /// Nothing has changed then, as far as the device goes along with it; the memory is unpinned.
    #[inline]
    pub fn map_pinned(&mut self, dev: &Device<Bound>, iova: u64, run: PinnedRun) -> Result {
        if dev.use_va() || iova % bindings::PAGE_SIZE as u64 != 0 {
            return Err(EINVAL);
        }
        match &self.owner {
            Some(owner) if owner.as_raw() != run.mm().as_raw() => return Err(EINVAL),
            Some(_) => {}
            None => self.owner = Some(run.mm().into()),
        }

        let map = MapRange {
            iova: IovaRange {
                first: iova,
                last: iova.checked_add(run.size() - 1).ok_or(EINVAL)?,
            },
            addr: run.addr(),
            perm: run.perm(),
        };
        self.map(dev, map, Backing::Pinned(run))
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
        self.map(dev, map, Backing::File(file))
    }

    /// Adds a mapping to the table, and tells the device.
    #[inline]
    fn map(&mut self, dev: &Device<Bound>, map: MapRange, backing: Backing) -> Result {
        let file = backing.as_raw();

        self.check(dev)?;
        if self.translation == Translation::SetMap {
            // INVARIANT: There is room for one more.
            let room = self.table.len() + 1;
            self.removed.reserve(room, GFP_KERNEL_ACCOUNT)?;
        }
        self.table.add_with(map, file.cast())?;
        // INVARIANT: The table owns it now.
        backing.leak();

        self.announce(dev, map, file).inspect_err(|_| {
            let backing = self.take(map.iova);

            if self.translation == Translation::SetMap {
                self.retire(backing);
                // Some parents have lost what they had. Otherwise this changes nothing.
                let _ = self.set_map(dev);
            }
        })
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
                self.retire_all(range);
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
                    while self.take(done).is_some() {
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
                self.retire_all(IovaRange::FULL);
                dev.reset_map(self.asid)?;
                self.removed.clear();
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
        self.removed.clear();
        Ok(())
    }

    /// Takes the first mapping that has an address in `range` out of the table, and returns what is
    /// behind it.
    #[inline]
    fn take(&mut self, range: IovaRange) -> Option<Backing> {
        let (map, opaque) = self.table.take(range)?;

        match NonNull::new(opaque.cast::<bindings::vdpa_map_file>()) {
            // SAFETY: By the type invariant; the pointer is not in the table any more.
            Some(file) => Some(Backing::File(unsafe { MapFile::from_leaked(file) })),
            None => self.owner.as_ref().map(|owner| {
                // SAFETY: By the type invariant, as there is no pointer. The mapping, which has the
                // size and the permission of the run, is not in the table any more.
                Backing::Pinned(unsafe {
                    PinnedRun::from_leaked(owner, map.addr, size(map.iova), map.perm)
                })
            }),
        }
    }

    /// Keeps something until the device has a new table.
    #[inline]
    fn retire(&mut self, backing: Option<Backing>) {
        if let Some(Err(e)) = backing.map(|backing| self.removed.push_within_capacity(backing)) {
            // By the type invariant there is room. If there were none, this would be better than to
            // take the memory away from under the device.
            core::mem::forget(e);
        }
    }

    /// Moves all mappings that have an address in `range` to `removed`.
    #[inline]
    fn retire_all(&mut self, range: IovaRange) {
        while let Some(backing) = self.take(range) {
            self.retire(Some(backing));
            cond_resched();
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
            while self.take(IovaRange::FULL).is_some() {
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
        }
    }
}

/// The size of a range that is not all of the 64-bit addresses, in bytes.
#[inline]
fn size(range: IovaRange) -> u64 {
    (range.last - range.first).wrapping_add(1)
}
