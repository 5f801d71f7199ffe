// SPDX-License-Identifier: GPL-2.0

//! Address translation for devices that are implemented in software.

use crate::{
    absence::{
        Absence,
        Waiting, //
    },
    memory::{
        Translation,
        UsedMm, //
    },
    sorted::partition_point,
    Asid,
    GuestMemory, //
    Iotlb,
    IovaRange,
    MapRange,
};
use kernel::{
    mm::Mm,
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        lock::mutex::MutexGuard,
        Arc,
        Mutex, //
    }, //
};

/// The mappings of one address space, in the order of their bus addresses, without overlaps.
pub(crate) struct Space {
    ranges: KVVec<MapRange>,
    /// Nothing was mapped since the last reset: a kernel driver's addresses are physical ones.
    pub(crate) untouched: bool,
}

impl Space {
    const fn new() -> Self {
        Self {
            ranges: KVVec::new(),
            untouched: true,
        }
    }

    /// The mapping that `iova` is in.
    #[inline]
    pub(crate) fn lookup(&self, iova: u64) -> Option<&MapRange> {
        let at = partition_point(&self.ranges, |range| range.iova.last < iova);

        self.ranges.get(at).filter(|range| range.iova.first <= iova)
    }

    #[inline]
    fn add(&mut self, range: MapRange, limit: usize) -> Result {
        if range.iova.last < range.iova.first {
            return Err(EFAULT);
        }
        if self.ranges.len() >= limit {
            return Err(ENOSPC);
        }
        // Tables come in order, so that the place is nearly always the end.
        if self
            .ranges
            .last()
            .is_none_or(|other| other.iova.last < range.iova.first)
        {
            self.ranges.push(range, GFP_KERNEL)?;
            return Ok(());
        }
        let at = partition_point(&self.ranges, |other| other.iova.last < range.iova.first);
        if self
            .ranges
            .get(at)
            .is_some_and(|next| next.iova.first <= range.iova.last)
        {
            return Err(EEXIST);
        }
        self.ranges.reserve(1, GFP_KERNEL)?;
        self.ranges
            .insert_within_capacity(at, range)
            .map_err(|_| ENOMEM)
    }

    #[inline]
    fn remove(&mut self, range: IovaRange) {
        // As the C table does it: what overlaps goes, as a whole.
        self.ranges
            .retain(|other| other.iova.last < range.first || range.last < other.iova.first);
    }
}

/// What is translated how. See [`SoftIommu`].
struct Tables {
    spaces: KVec<Space>,
    /// A kernel driver has set the device up: it has been given the token for mapping memory.
    kernel_driver: bool,
    /// Mappings hold addresses of a process, never physical ones.
    is_virtual: bool,
    /// That process, while the device is bound to it.
    mm: Option<ARef<Mm>>,
    waiting: Waiting,
}

impl Tables {
    #[inline]
    fn space(&self, asid: Asid) -> Option<&Space> {
        self.spaces.get(asid.0 as usize)
    }

    fn space_mut(&mut self, asid: Asid) -> Result<&mut Space> {
        self.spaces.get_mut(asid.0 as usize).ok_or(EINVAL)
    }
}

/// The translation of bus addresses for a device that is implemented in software, in as many
/// address spaces as it has.
///
/// The crate fills it from what the consumer maps; the device gets at memory with
/// [`lock`](Self::lock).
///
/// - A consumer that maps (`vhost_vdpa`) decides what the device can reach: physical memory, or
///   memory of its own process. Before it has mapped anything, the device reaches nothing.
/// - A kernel driver (`virtio_vdpa`) maps with the DMA API, which for a device like this yields
///   physical addresses. It is known by asking for the token to do that (`get_vq_map`), which
///   userspace has no way to do. From then to the next reset an address space in which nothing
///   was mapped is all of memory.
///
/// A consumer may change mappings with the `mmap_lock` of the process held, as the C one does. Who
/// holds the lock of the tables must therefore not wait for memory of a process.
#[pin_data]
pub struct SoftIommu {
    limit: usize,
    /// Counts the changes of `tables`, which happen with its lock held.
    changes: Atomic<i64>,
    #[pin]
    tables: Mutex<Tables>,
    /// Taken before the lock of `tables`.
    #[pin]
    pub(crate) absence: Mutex<Absence>,
}

impl SoftIommu {
    /// Creates `spaces` address spaces of up to `limit` mappings each, which the device and the
    /// crate share.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    #[inline]
    pub fn new(spaces: u32, limit: usize) -> Result<Arc<Self>> {
        let new = try_pin_init!(Self {
            limit,
            changes: Atomic::new(0),
            tables <- new_mutex!(
                Tables {
                    spaces: {
                        let mut list = KVec::with_capacity(spaces as usize, GFP_KERNEL)?;
                        for _ in 0..spaces {
                            list.push_within_capacity(Space::new())?;
                        }
                        list
                    },
                    kernel_driver: false,
                    is_virtual: false,
                    mm: None,
                    waiting: Waiting::new(),
                },
                "vdpa_soft_iommu"
            ),
            absence <- new_mutex!(Absence::new(), "vdpa_absence"),
        }? Error);

        Arc::pin_init(new, GFP_KERNEL)
    }

    /// Opens the device's view of memory.
    ///
    /// While the result exists, no mapping of physical memory changes: consumers take pages back
    /// when they have unmapped them. Mappings of a process can change at any time, and do so from
    /// one access to the next: a copy that is under way goes on.
    ///
    /// # Errors
    ///
    /// Where the device is bound to a process: `ESRCH` if that is gone, `EINVAL` if the current
    /// thread is one of a process itself, or has taken on an address space already.
    ///
    /// # Context
    ///
    /// A thread of the kernel (it takes on the address space of the process, if there is one); may
    /// sleep, but does not wait for memory of a process: see [`bring_in`](Self::bring_in).
    #[inline]
    pub fn lock(&self) -> Result<IommuGuard<'_>> {
        let mut absence = self.absence.lock();
        absence.begin();

        let tables = self.tables.lock();
        match &tables.mm {
            Some(mm) if tables.is_virtual => {
                let mm = UsedMm::new(mm)?;

                Ok(IommuGuard(View::Process(self, mm, absence)))
            }
            _ => Ok(IommuGuard(View::Physical(tables))),
        }
    }

    /// Checks that a range of bus addresses is mapped for reading or, with `write`, for writing,
    /// without looking at the memory behind it.
    ///
    /// # Errors
    ///
    /// `EFAULT` where a part is not mapped, `EACCES` where one is not mapped for this access.
    ///
    /// # Context
    ///
    /// A process or a thread of the kernel; may sleep.
    #[inline]
    pub fn check(&self, asid: Asid, iova: u64, len: u64, write: bool) -> Result {
        let tables = self.tables.lock();
        let space = tables.space(asid).ok_or(EFAULT)?;
        if space.untouched && tables.kernel_driver {
            return Ok(());
        }

        let mut result = Ok(());
        let mut at = iova;
        let mut left = len;
        while left != 0 {
            let range = space.lookup(at).ok_or(EFAULT)?;
            if !(if write {
                range.perm.write
            } else {
                range.perm.read
            }) {
                result = Err(EACCES);
            }
            // Not more than `left`, and `at` lies in the range.
            let part = (range.iova.last.wrapping_sub(at))
                .saturating_add(1)
                .min(left);
            left = left.wrapping_sub(part);
            at = at.wrapping_add(part);
        }
        result
    }

    /// How often something has changed: what was looked up before holds as long as this is the
    /// same.
    #[inline]
    pub(crate) fn changes(&self) -> i64 {
        self.changes.load(Relaxed)
    }

    /// The process whose memory it is.
    #[inline]
    pub(crate) fn mm(&self) -> Option<ARef<Mm>> {
        self.tables.lock().mm.clone()
    }

    /// The mapping of a process that `iova` is in, and [`changes`](Self::changes) as of now.
    #[inline]
    pub(crate) fn lookup(&self, asid: Asid, iova: u64, mm: &UsedMm) -> Option<(MapRange, i64)> {
        let tables = self.tables.lock();

        // These may be the addresses of another process by now.
        if !tables.mm.as_ref().is_some_and(|bound| mm.is(bound)) {
            return None;
        }
        let range = *tables.space(asid)?.lookup(iova)?;
        Some((range, self.changes()))
    }

    /// Has `f` change something. Who waits for memory looks again afterwards.
    #[inline]
    fn change<R>(&self, f: impl FnOnce(&mut Tables) -> R) -> R {
        let mut tables = self.tables.lock();

        self.changes.add(1, Relaxed);
        tables.waiting.wake();
        f(&mut tables)
    }

    /// Has `f` look at, or say, who waits for memory. Nothing changes meanwhile.
    #[inline]
    pub(crate) fn waiting<R>(&self, f: impl FnOnce(&mut Waiting) -> R) -> R {
        f(&mut self.tables.lock().waiting)
    }

    /// Has [`bring_in`](Self::bring_in) return, if it waits.
    ///
    /// To be called where what it waits for may have lost its meaning, as with a reset.
    ///
    /// # Context
    ///
    /// May sleep.
    #[inline]
    pub fn interrupt(&self) {
        self.change(|_| ());
    }

    /// The same, for ever.
    ///
    /// # Context
    ///
    /// May sleep.
    #[inline]
    pub fn end(&self) {
        self.change(|tables| tables.waiting.end());
    }

    #[inline]
    pub(crate) fn set_map(&self, asid: Asid, map: &Iotlb) -> Result {
        // Before there is memory for as many.
        if map.len() > self.limit {
            return Err(ENOSPC);
        }
        // The new table is complete before the old one goes: an error changes nothing.
        let mut space = Space {
            ranges: KVVec::with_capacity(map.len(), GFP_KERNEL)?,
            untouched: false,
        };
        for range in map {
            space.add(range, self.limit)?;
        }

        let old = self.change(|tables| {
            tables
                .space_mut(asid)
                .map(|slot| core::mem::replace(slot, space))
        })?;
        drop(old);
        Ok(())
    }

    #[inline]
    pub(crate) fn map(&self, asid: Asid, range: MapRange) -> Result {
        self.change(|tables| {
            let space = tables.space_mut(asid)?;

            space.add(range, self.limit)?;
            space.untouched = false;
            Ok(())
        })
    }

    #[inline]
    pub(crate) fn unmap(&self, asid: Asid, range: IovaRange) -> Result {
        self.change(|tables| {
            let space = tables.space_mut(asid)?;

            space.remove(range);
            space.untouched = false;
            Ok(())
        })
    }

    #[inline]
    pub(crate) fn reset_map(&self, asid: Asid) -> Result {
        // A table can be large: it is freed without the lock.
        let old = self.change(|tables| {
            tables
                .space_mut(asid)
                .map(|slot| core::mem::replace(slot, Space::new()))
        })?;
        drop(old);
        Ok(())
    }

    /// Resets all address spaces, of a device that was reset and looks at none meanwhile.
    #[inline]
    pub(crate) fn reset_all(&self) {
        let mut asid: u32 = 0;

        while self.reset_map(Asid(asid)).is_ok() {
            // There are never as many.
            asid = asid.wrapping_add(1);
        }
    }

    /// Says of which kind the addresses are that consumers map, once, before there are any.
    #[inline]
    pub(crate) fn set_virtual(&self, yes: bool) {
        self.change(|tables| tables.is_virtual = yes);
    }

    #[inline]
    pub(crate) fn set_kernel_driver(&self, yes: bool) {
        self.change(|tables| tables.kernel_driver = yes);
    }

    #[inline]
    pub(crate) fn set_mm(&self, mm: Option<ARef<Mm>>) {
        // The last reference to the old one may go, which should not happen under the lock.
        let old = self.change(|tables| core::mem::replace(&mut tables.mm, mm));
        drop(old);
    }
}

enum View<'a> {
    /// Addresses are translated to physical ones, with these tables.
    Physical(MutexGuard<'a, Tables>),
    /// Addresses are translated to those of a process, with whatever tables there are then.
    Process(&'a SoftIommu, UsedMm, MutexGuard<'a, Absence>),
}

/// The device's view of memory. See [`SoftIommu::lock`].
pub struct IommuGuard<'a>(View<'a>);

impl IommuGuard<'_> {
    /// The memory that is reached through an address space; for one that does not exist, none is.
    #[inline]
    pub fn memory(&self, asid: Asid) -> GuestMemory<'_> {
        GuestMemory::new(match &self.0 {
            View::Physical(tables) => match tables.space(asid) {
                Some(space) if space.untouched && tables.kernel_driver => Translation::Identity,
                // Addresses of a process that the device is not bound to any more lead nowhere.
                space => Translation::Physical(space.filter(|_| !tables.is_virtual)),
            },
            View::Process(iommu, mm, absence) => Translation::Process {
                iommu,
                mm,
                asid,
                absence,
            },
        })
    }
}
