// SPDX-License-Identifier: GPL-2.0

//! A table of mappings that can be changed.

use super::{
    Iotlb,
    MapRange, //
};
use crate::{
    bindings,
    IovaRange, //
};
use core::{
    ops::Deref,
    ptr::{
        null_mut,
        NonNull, //
    }, //
};
use kernel::prelude::*;

/// A table of mappings of bus addresses, in the form that `set_map` takes.
///
/// The number of mappings is not limited. No two of them overlap. Each is memory that is charged to
/// the control group of the process that adds it: `vhost_iotlb_add_range()` takes it from what is
/// kept for when one cannot wait, and charges nobody.
///
/// C: `struct vhost_iotlb`
///
/// # Invariants
///
/// `table` was made by `vhost_iotlb_alloc()` and is changed through this only.
#[doc(alias = "vhost_iotlb_map_free")]
#[doc(alias = "vhost_iotlb_free")]
pub struct IotlbTable {
    table: NonNull<bindings::vhost_iotlb>,
}

// SAFETY: The table is plain memory.
unsafe impl Send for IotlbTable {}

// SAFETY: Shared references only read.
unsafe impl Sync for IotlbTable {}

impl IotlbTable {
    /// Makes a table without mappings.
    #[doc(alias = "vhost_iotlb_alloc")]
    #[inline]
    pub fn new() -> Result<Self> {
        // SAFETY: No requirements.
        let table = unsafe { bindings::vhost_iotlb_alloc(u32::MAX, 0) };

        // INVARIANT: Made just above.
        Ok(Self {
            table: NonNull::new(table).ok_or(ENOMEM)?,
        })
    }

    /// Adds a mapping. Waits for the memory that it needs.
    ///
    /// # Errors
    ///
    /// - `EINVAL` where the range is empty, or all of the 64-bit addresses, whose size cannot be
    ///   said,
    /// - `EEXIST` where some of the range is mapped already,
    /// - `ENOMEM`.
    #[inline]
    pub fn add(&mut self, map: MapRange) -> Result {
        self.add_with(map, null_mut())
    }

    /// Adds a mapping, and a pointer that belongs to it. Errors are those of [`add`](Self::add).
    #[inline]
    pub(crate) fn add_with(&mut self, map: MapRange, opaque: *mut c_void) -> Result {
        let IovaRange { first, last } = map.iova;

        // All addresses would become two mappings, with the same pointer.
        if first > last || map.iova == IovaRange::FULL {
            return Err(EINVAL);
        }
        if self.overlapping(map.iova).next().is_some() {
            return Err(EEXIST);
        }

        let map = KBox::new(
            bindings::vhost_iotlb_map {
                start: first,
                last,
                // It is not all addresses, so that their number can be said.
                size: (last - first).wrapping_add(1),
                addr: map.addr,
                perm: map.perm.to_raw(),
                opaque,
                ..pin_init::zeroed()
            },
            GFP_KERNEL_ACCOUNT,
        )?;

        // SAFETY: By the type invariant the table is valid, and nobody else uses it. The mapping is
        // the table's from now on, which frees it with `kfree()`, as the allocator of `KBox` does.
        unsafe { bindings::rust_vdpa_iotlb_add(self.table.as_ptr(), KBox::into_raw(map)) };
        Ok(())
    }

    /// Removes all mappings that have an address in `range`.
    #[inline]
    pub fn remove(&mut self, range: IovaRange) {
        self.drain(range, |_, _| {});
    }

    /// Removes the first mapping that has an address in `range`, and returns it with the pointer
    /// that belongs to it.
    #[inline]
    pub(crate) fn take(&mut self, range: IovaRange) -> Option<(MapRange, *mut c_void)> {
        let map = self.find(range)?;
        // SAFETY: The mapping is in the table.
        let result = unsafe { contents(map) };

        // SAFETY: As above, and nobody else uses the table; the mapping is not used any more.
        unsafe { bindings::vhost_iotlb_map_free(self.table.as_ptr(), map.as_ptr()) };
        Some(result)
    }

    /// Removes all mappings that have an address in `range`, in their order, and has `f` get them
    /// with the pointers that belong to them.
    #[inline]
    pub(crate) fn drain(&mut self, range: IovaRange, mut f: impl FnMut(MapRange, *mut c_void)) {
        let IovaRange { first, last } = range;
        let mut next = self.find(range);

        while let Some(map) = next {
            // SAFETY: The mapping is in the table.
            let (range, opaque) = unsafe { contents(map) };

            // SAFETY: As above, and nobody else uses the table; the mapping is not used any more
            // after it was freed.
            unsafe {
                next = NonNull::new(bindings::vhost_iotlb_itree_next(map.as_ptr(), first, last));
                bindings::vhost_iotlb_map_free(self.table.as_ptr(), map.as_ptr());
            }
            f(range, opaque);
        }
    }

    /// Returns the first mapping that has an address in `range`, with the pointer that belongs to
    /// it.
    #[inline]
    pub(crate) fn first(&self, range: IovaRange) -> Option<(MapRange, *mut c_void)> {
        let map = self.find(range)?;

        // SAFETY: The mapping is in the table.
        Some(unsafe { contents(map) })
    }

    /// The first mapping that has an address in `range`.
    #[inline]
    fn find(&self, range: IovaRange) -> Option<NonNull<bindings::vhost_iotlb_map>> {
        let IovaRange { first, last } = range;
        let table = self.table.as_ptr();

        // SAFETY: By the type invariant the table is valid, and does not change meanwhile.
        NonNull::new(unsafe { bindings::vhost_iotlb_itree_first(table, first, last) })
    }
}

/// What a mapping says, and the pointer that belongs to it.
///
/// # Safety
///
/// The mapping must be in a table that does not change meanwhile.
#[inline]
unsafe fn contents(map: NonNull<bindings::vhost_iotlb_map>) -> (MapRange, *mut c_void) {
    // SAFETY: By the safety requirements of this function.
    let map = unsafe { map.as_ref() };

    (MapRange::from_raw(map), map.opaque)
}

impl Deref for IotlbTable {
    type Target = Iotlb;

    #[inline]
    fn deref(&self) -> &Iotlb {
        // SAFETY: By the type invariant; changing the table takes an exclusive reference.
        unsafe { Iotlb::from_raw(self.table.as_ptr()) }
    }
}

impl Drop for IotlbTable {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant. This frees the mappings too.
        unsafe { bindings::vhost_iotlb_free(self.table.as_ptr()) };
    }
}
