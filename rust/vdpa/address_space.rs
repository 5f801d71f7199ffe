// SPDX-License-Identifier: GPL-2.0

//! What a consumer has mapped for a device.
//!
//! C header: `include/linux/vdpa.h`

mod backing;
mod pieces;
mod removed;
mod table;
mod unmap;
mod unmapped;

pub use self::unmapped::Unmapped;

use self::{
    backing::Backing,
    removed::Removed,
    table::Table, //
};
use crate::{
    bindings,
    iommu_domain::IommuDomain,
    pin::cond_resched,
    Asid,
    Charge,
    Device,
    IovaRange,
    MapFile,
    MapRange,
    Permission,
    PinnedRun,
    Source,
    Translation, //
};
use core::ptr::null_mut;
use kernel::{
    device::Bound,
    prelude::*,
    sync::aref::ARef, //
};

/// After so many mappings others have their turn.
const CHUNK: usize = 64;

/// An address space of a device: the mappings, and what is behind each of them.
///
/// What is mapped depends on the device's [`Source`]. Memory that it reaches by physical addresses
/// is handed in as a guard. It goes to the caller's [`Unmapped`] when the device has been told that
/// the mapping is gone, and not before. Where the device is told of all mappings at once
/// ([`Translation::SetMap`]) that may be later than they are removed: at the end of a batch, or
/// after the device has refused.
///
/// What devices that use addresses of a process need is theirs to keep, so that nothing is kept for
/// them: a [`MapFile`] goes with its mapping.
///
/// Only one object must exist for each address space of a device at a time; a second one takes away
/// the mappings of the first.
///
/// # Locking
///
/// All that the methods wait for is the parent of the device and memory. [`PinnedRun`]s and
/// [`MapFile`]s are made without this object, so that no lock around it need be held while a
/// process brings in its memory; nor need it be while memory is unpinned.
///
/// # Invariants
///
/// - `source` is that of the device.
/// - Whatever physical memory the device has been told to map is in `table` or in `removed`.
/// - A mapping in `table` owns what is behind it: for [`Source::Pinned`] a leaked [`PinnedRun`],
///   for [`Source::Files`] the leaked [`MapFile`] that its pointer is to.
/// - The pages of all runs, in `table` or in `removed`, are counted in `charge`.
/// - There is a `domain` if `translation` is [`Translation::Platform`]; it has no mappings, and is
///   prepared for none, but those in `table`, and `source` is [`Source::Pinned`].
/// - For [`Translation::SetMap`] there is room in `removed` for all runs that are in `table`.
pub struct AddressSpace {
    dev: ARef<Device>,
    asid: Asid,
    translation: Translation,
    source: Source,
    domain: Option<IommuDomain>,
    table: Table,
    charge: Option<Charge>,
    batch: bool,
    removed: Removed,
}

impl AddressSpace {
    /// Makes an address space without mappings. The device is not told, unless it is behind a
    /// platform's IOMMU: then it is attached to a domain of its own, with the errors that has.
    ///
    /// # Errors
    ///
    /// - `EINVAL` where the device does not have the address space, does not say who does DMA for
    ///   it, or is for addresses of a process, of which the platform knows nothing,
    /// - `ENOMEM`.
    #[doc(alias = "iommu_paging_domain_alloc_flags")]
    #[doc(alias = "iommu_attach_device")]
    #[doc(alias = "sg_init_table")]
    #[inline]
    pub fn new(dev: &Device<Bound>, asid: Asid) -> Result<Self> {
        if asid.0 >= dev.nas() {
            return Err(EINVAL);
        }

        let translation = dev.translation();
        let source = dev.source();
        let domain = match translation {
            Translation::Platform if source != Source::Pinned => return Err(EINVAL),
            Translation::Platform => Some(IommuDomain::attach(dev.dma_device().ok_or(EINVAL)?)?),
            Translation::SetMap | Translation::DmaMap => None,
        };

        // INVARIANT: There are no mappings.
        Ok(Self {
            dev: dev.into(),
            asid,
            translation,
            source,
            domain,
            table: Table::new(translation, source)?,
            charge: None,
            batch: false,
            removed: Removed::new(),
        })
    }

    /// Returns the bus addresses that can be mapped.
    #[inline]
    pub fn iova_range(&self, dev: &Device<Bound>) -> IovaRange {
        dev.iova_range()
            .or_else(|| self.domain.as_ref()?.aperture())
            .unwrap_or(IovaRange::FULL)
    }

    /// Returns the number of mappings: one for each call of [`map_pinned`](Self::map_pinned),
    /// [`map_process`](Self::map_process) and [`map_file`](Self::map_file).
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
        self.table.first(range).is_some()
    }

    /// Maps pinned memory at bus addresses from `iova` on, which must be that of a page. What
    /// its pages are counted with is taken from `charge`. Returns the address after the last one,
    /// which may be 0.
    ///
    /// A platform's IOMMU is told of many runs at once, which takes it little more than to be told of
    /// one. Outside of a [batch](Self::begin_batch) this takes time in proportion to the number of
    /// mappings, for each run, for [`Translation::SetMap`].
    ///
    /// # Errors
    ///
    /// - `EINVAL` where `iova` is not that of a page, `dev` is another device, `charge` is not for
    ///   the process whose memory was mapped before, or the device is not for [`Source::Pinned`],
    /// - `EEXIST` where an address is mapped already,
    /// - `ENOMEM`, and what the device returns.
    ///
    /// Nothing has changed then, as far as the device goes along with it.
    #[doc(alias = "iommu_map_sg")]
    #[inline]
    pub fn map_pinned(
        &mut self,
        dev: &Device<Bound>,
        iova: u64,
        runs: impl IntoIterator<Item = PinnedRun>,
        charge: &mut Charge,
        unmapped: &mut Unmapped,
    ) -> Result<u64> {
        let mut next = iova;
        let ret = runs
            .into_iter()
            .try_for_each(|run| {
                let size = run.size();

                self.map_run(dev, next, run, charge, unmapped)?;
                next = next.wrapping_add(size);
                Ok(())
            })
            .and_then(|()| self.map_prepared(unmapped));

        if let Err(e) = ret {
            if let Some(range) = self.domain.as_mut().and_then(IommuDomain::forget) {
                self.discard_range(range, unmapped);
            }
            if next != iova {
                let last = next.wrapping_sub(1);

                // What a device refuses to forget stays pinned, which is all that can be done.
                let _ = self.unmap(dev, IovaRange { first: iova, last }, unmapped);
            }
            return Err(e);
        }
        Ok(next)
    }

    /// Maps one run. A platform's IOMMU may not have been told of it.
    #[inline]
    fn map_run(
        &mut self,
        dev: &Device<Bound>,
        iova: u64,
        run: PinnedRun,
        charge: &mut Charge,
        unmapped: &mut Unmapped,
    ) -> Result {
        if self.source != Source::Pinned || iova % bindings::PAGE_SIZE as u64 != 0 {
            return Err(EINVAL);
        }

        let map = MapRange {
            iova: IovaRange::from_size(iova, run.size()).ok_or(EINVAL)?,
            addr: run.addr(),
            perm: run.perm(),
        };
        let backing = Backing::Pinned(run);

        self.check(dev)?;
        if self.translation == Translation::SetMap {
            self.make_room(dev, unmapped)?;
        }
        self.charge
            .get_or_insert_with(|| charge.empty())
            .take(charge, backing.pages())?;
        if let Err(e) = self.table.add_with(map, null_mut()) {
            self.discard(backing, unmapped);
            return Err(e);
        }
        // INVARIANT: The table owns it now.
        backing.leak();
        self.announce(dev, map, null_mut(), unmapped)
    }

    /// Maps addresses of the process that the device is bound to, from `uaddr` on.
    ///
    /// # Errors
    ///
    /// As for [`map_pinned`](Self::map_pinned), but that `EINVAL` is for a device that is not for
    /// [`Source::Process`], and for an empty range.
    #[inline]
    pub fn map_process(
        &mut self,
        dev: &Device<Bound>,
        iova: IovaRange,
        uaddr: u64,
        perm: Permission,
    ) -> Result {
        self.map_addresses(dev, iova, uaddr, perm, Backing::Process, Source::Process)
    }

    /// Maps addresses of a process, from `uaddr` on, where `file` is mapped.
    ///
    /// # Errors
    ///
    /// As for [`map_process`](Self::map_process), with [`Source::Files`].
    #[inline]
    pub fn map_file(
        &mut self,
        dev: &Device<Bound>,
        iova: IovaRange,
        uaddr: u64,
        perm: Permission,
        file: MapFile,
    ) -> Result {
        self.map_addresses(dev, iova, uaddr, perm, Backing::File(file), Source::Files)
    }

    #[inline]
    fn map_addresses(
        &mut self,
        dev: &Device<Bound>,
        iova: IovaRange,
        addr: u64,
        perm: Permission,
        backing: Backing,
        source: Source,
    ) -> Result {
        if self.source != source {
            return Err(EINVAL);
        }

        let map = MapRange { iova, addr, perm };
        let file = backing.as_raw();

        self.check(dev)?;
        self.table.add_with(map, file.cast())?;
        // INVARIANT: The table owns it now.
        backing.leak();
        // Nothing is pinned for it.
        self.announce(dev, map, file, &mut Unmapped::new())
    }

    /// Makes room in `removed` for one mapping more.
    #[inline]
    fn make_room(&mut self, dev: &Device<Bound>, unmapped: &mut Unmapped) -> Result {
        if self.removed.is_full() {
            self.set_map(dev, unmapped)?;
        }
        self.removed.make_room(self.table.len().saturating_add(1))
    }

    /// Tells the device of a mapping that is in the table. If it refuses, takes it back.
    #[inline]
    fn announce(
        &mut self,
        dev: &Device<Bound>,
        map: MapRange,
        file: *mut bindings::vdpa_map_file,
        unmapped: &mut Unmapped,
    ) -> Result {
        if self.translation == Translation::SetMap && self.batch {
            return Ok(());
        }
        self.tell(dev, map, file, unmapped).inspect_err(|_| {
            if self.translation == Translation::SetMap {
                // It is told again: some parents have lost what they had.
                let _ = self.unmap(dev, map.iova, unmapped);
            } else if let Some(backing) = self.take(map.iova) {
                self.discard(backing, unmapped);
            }
        })
    }

    #[inline]
    fn tell(
        &mut self,
        dev: &Device<Bound>,
        map: MapRange,
        file: *mut bindings::vdpa_map_file,
        unmapped: &mut Unmapped,
    ) -> Result {
        match self.translation {
            Translation::SetMap => self.set_map(dev, unmapped),
            // SAFETY: Memory that was pinned stays for as long as the mapping is in the table, and
            // so does `file`.
            Translation::DmaMap => unsafe { dev.dma_map(self.asid, map, file) },
            Translation::Platform => {
                if !self.prepare(map) {
                    self.map_prepared(unmapped)?;
                    // There is nothing that it could not go together with.
                    if !self.prepare(map) {
                        return Err(EINVAL);
                    }
                }
                Ok(())
            }
        }
    }

    /// Prepares for telling a platform's IOMMU of a mapping that is in the table.
    #[inline]
    fn prepare(&mut self, map: MapRange) -> bool {
        let IovaRange { first, .. } = map.iova;

        self.domain
            .as_mut()
            .is_some_and(|domain| domain.push(first, map.addr, map.iova.size(), map.perm))
    }

    /// Tells a platform's IOMMU of the mappings that it was prepared for. If it refuses, takes these
    /// back.
    #[inline]
    fn map_prepared(&mut self, unmapped: &mut Unmapped) -> Result {
        let Some(domain) = &mut self.domain else {
            return Ok(());
        };

        // SAFETY: By the type invariant the memory was pinned, and it stays for as long as the mapping
        // is in the table.
        unsafe { domain.map() }.map_err(|(error, range)| {
            if let Some(range) = range {
                self.discard_range(range, unmapped);
            }
            error
        })
    }

    /// Lets go of the mappings in a range, of which the device knows none.
    #[inline]
    fn discard_range(&mut self, range: IovaRange, unmapped: &mut Unmapped) {
        let Self {
            table,
            charge,
            source,
            ..
        } = self;
        let mut number: usize = 0;

        table.drain(range, |map, opaque| {
            // SAFETY: By the type invariant; the mapping is not in the table any more.
            let backing = unsafe { Backing::from_leaked(map, opaque, *source) };

            discard(backing, charge, unmapped);
            // There are never more mappings than that.
            number = number.wrapping_add(1);
            if number % CHUNK == 0 {
                cond_resched();
            }
        });
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
    /// `EINVAL` where `dev` is another device, and what the device returns. The batch has ended;
    /// the mappings stay as they are, to be tried again with the next change.
    #[inline]
    pub fn end_batch(&mut self, dev: &Device<Bound>, unmapped: &mut Unmapped) -> Result {
        self.check(dev)?;
        if core::mem::replace(&mut self.batch, false) && self.translation == Translation::SetMap {
            self.set_map(dev, unmapped)?;
        }
        Ok(())
    }

    /// Hands out memory that is not mapped any more but was kept for a device that has not been
    /// told yet, by telling it now. Returns whether there was any.
    ///
    /// This is for a batch that unmaps memory and maps other memory, in a process that must not
    /// have both pinned at a time.
    ///
    /// # Errors
    ///
    /// Those of [`end_batch`](Self::end_batch).
    #[inline]
    pub fn release_removed(
        &mut self,
        dev: &Device<Bound>,
        unmapped: &mut Unmapped,
    ) -> Result<bool> {
        self.check(dev)?;
        if self.removed.is_empty() {
            return Ok(false);
        }
        self.set_map(dev, unmapped)?;
        Ok(true)
    }

    /// Whether `dev` is the device whose address space this is.
    #[inline]
    fn check(&self, dev: &Device<Bound>) -> Result {
        if dev.as_raw() != self.dev.as_raw() {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Tells the device of all mappings. What had been removed is unmapped then.
    #[inline]
    fn set_map(&mut self, dev: &Device<Bound>, unmapped: &mut Unmapped) -> Result {
        let table = self.table.shown().ok_or(EINVAL)?;

        // SAFETY: Memory that was pinned stays for as long as its mapping is in the table, and from
        // then on until it is taken from `removed`, which happens when the device has a new
        // table. Files stay during the call.
        unsafe { dev.set_map(self.asid, table) }?;
        self.release_all(self.table.len(), unmapped);
        Ok(())
    }

    /// Takes the first mapping that has an address in `range` out of the table, and returns what is
    /// behind it.
    #[inline]
    fn take(&mut self, range: IovaRange) -> Option<Backing> {
        let (map, opaque) = self.table.take(range)?;

        // SAFETY: By the type invariant; the mapping is not in the table any more.
        Some(unsafe { Backing::from_leaked(map, opaque, self.source) })
    }

    /// Lets go of what the device does not know of any more.
    #[inline]
    fn discard(&mut self, backing: Backing, unmapped: &mut Unmapped) {
        discard(backing, &mut self.charge, unmapped);
    }

    /// Lets go of all mappings, of which the device knows none any more.
    #[inline]
    fn discard_all(&mut self, unmapped: &mut Unmapped) {
        self.discard_range(IovaRange::FULL, unmapped);
    }

    /// Lets go of all that was kept for the device, which knows of as many mappings as `told` says.
    #[inline]
    fn release_all(&mut self, told: usize, unmapped: &mut Unmapped) {
        if let Some(charge) = &mut self.charge {
            self.removed.release(told, charge, unmapped);
        }
    }

    /// Ends: [clears](Self::clear) it, and gives a device behind a platform's IOMMU back to the
    /// kernel's own translation, in which it has none of the mappings, whatever became of clearing.
    ///
    /// Where the device still has some, because it has refused, memory that was pinned for it is
    /// lost (the user is told).
    ///
    /// # Errors
    ///
    /// Those of [`clear`](Self::clear).
    #[doc(alias = "iommu_detach_device")]
    #[doc(alias = "iommu_domain_free")]
    #[inline]
    pub fn close(mut self, dev: &Device<Bound>, unmapped: &mut Unmapped) -> Result {
        let ret = self.clear(dev, unmapped);

        self.detach(unmapped);
        ret
    }

    /// Lets go of what the device does not reach any more when this object goes.
    #[inline]
    fn detach(&mut self, unmapped: &mut Unmapped) {
        // From here on a device behind an IOMMU does not reach what is mapped. Others may, if they
        // were not told, but not if that is addresses: these are nobody's to take away.
        let detached = self.domain.take().map(drop).is_some();

        if detached || self.source != Source::Pinned {
            self.discard_all(unmapped);
        }
    }
}

/// Lets go of what a device does not know of any more. It is counted in `charge`.
#[inline]
fn discard(backing: Backing, charge: &mut Option<Charge>, unmapped: &mut Unmapped) {
    match (backing, charge) {
        (Backing::Pinned(run), Some(charge)) => unmapped.push(run, charge),
        (backing, _) => drop(backing),
    }
}

impl Drop for AddressSpace {
    /// Drops what is behind the mappings. Where the device still has some, because this was not
    /// [closed](AddressSpace::close) or it has refused, memory that was pinned for it is lost.
    #[inline]
    fn drop(&mut self) {
        self.detach(&mut Unmapped::new());
        if !self.table.is_empty() || !self.removed.is_empty() {
            dev_warn!(
                self.dev,
                "address space {} was not cleared, its memory stays pinned\n",
                self.asid.0
            );
            core::mem::forget(self.charge.take());
        }
    }
}
