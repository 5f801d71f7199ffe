// SPDX-License-Identifier: GPL-2.0

//! Mappings as consumers hand them over.
//!
//! C header: `include/linux/vhost_iotlb.h`

mod table;

pub use self::table::IotlbTable;

use crate::{
    bindings,
    IovaRange, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// What the device may do with the memory behind a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The device may read.
    pub read: bool,
    /// The device may write.
    pub write: bool,
}

impl Permission {
    /// Reading and writing.
    pub const RW: Self = Self {
        read: true,
        write: true,
    };

    /// Takes the `VHOST_MAP_*` bits; unknown bits allow nothing.
    #[inline]
    pub fn from_raw(perm: u32) -> Self {
        Self {
            read: perm & bindings::VHOST_MAP_RO != 0,
            write: perm & bindings::VHOST_MAP_WO != 0,
        }
    }

    /// Returns the `VHOST_MAP_*` bits.
    #[inline]
    pub fn to_raw(self) -> u32 {
        let mut perm = 0;

        if self.read {
            perm |= bindings::VHOST_MAP_RO;
        }
        if self.write {
            perm |= bindings::VHOST_MAP_WO;
        }
        perm
    }
}

/// One mapping: bus addresses, and the address of the memory behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRange {
    /// The bus addresses, both ends included.
    pub iova: IovaRange,
    /// Where the memory begins: a physical address, or, for a device that is bound to a process, a
    /// virtual address of that process.
    pub addr: u64,
    /// What the device may do with it.
    pub perm: Permission,
}

impl MapRange {
    /// Reads the C representation.
    #[inline]
    pub(crate) fn from_raw(map: &bindings::vhost_iotlb_map) -> Self {
        Self {
            iova: IovaRange {
                first: map.start,
                last: map.last,
            },
            addr: map.addr,
            perm: Permission::from_raw(map.perm),
        }
    }
}

/// All mappings of an address space, as `set_map` gets them.
///
/// # Invariants
///
/// The table is valid, and not changed while this is borrowed.
#[repr(transparent)]
pub struct Iotlb(Opaque<bindings::vhost_iotlb>);

impl Iotlb {
    /// Wraps a C table.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid, and the table not change, for `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::vhost_iotlb) -> &'a Self {
        // CAST: `Iotlb` is a transparent wrapper.
        // SAFETY: By the safety requirements of this function.
        unsafe { &*ptr.cast() }
    }

    /// The number of mappings.
    #[inline]
    pub fn len(&self) -> usize {
        // SAFETY: By the type invariant.
        unsafe { (*self.0.get()).nmaps as usize }
    }

    /// Whether there are no mappings.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Goes through the mappings in the order of their bus addresses.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        self.overlapping(IovaRange::FULL)
    }

    /// Goes through the mappings that have a bus address in `range`.
    #[doc(alias = "vhost_iotlb_itree_first")]
    #[doc(alias = "vhost_iotlb_itree_next")]
    #[inline]
    pub fn overlapping(&self, range: IovaRange) -> Iter<'_> {
        let IovaRange { first, last } = range;

        Iter {
            // SAFETY: By the type invariant.
            next: NonNull::new(unsafe {
                bindings::vhost_iotlb_itree_first(self.0.get(), first, last)
            }),
            range,
            _table: PhantomData,
        }
    }
}

impl<'a> IntoIterator for &'a Iotlb {
    type Item = MapRange;
    type IntoIter = Iter<'a>;

    #[inline]
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// See [`Iotlb::iter`] and [`Iotlb::overlapping`].
///
/// # Invariants
///
/// `next` is a mapping of the table that is borrowed for `'a`.
pub struct Iter<'a> {
    next: Option<NonNull<bindings::vhost_iotlb_map>>,
    range: IovaRange,
    _table: PhantomData<&'a Iotlb>,
}

impl Iter<'_> {
    /// The next mapping, with the pointer that belongs to it.
    #[inline]
    pub(crate) fn next_with_opaque(&mut self) -> Option<(MapRange, *mut c_void)> {
        let map = self.next?;
        // SAFETY: By the type invariant.
        let raw = unsafe { map.as_ref() };
        let contents = (MapRange::from_raw(raw), raw.opaque);

        let IovaRange { first, last } = self.range;
        // SAFETY: By the type invariant.
        let next = unsafe { bindings::vhost_iotlb_itree_next(map.as_ptr(), first, last) };
        // INVARIANT: It is the next mapping of the same table.
        self.next = NonNull::new(next);
        Some(contents)
    }
}

impl Iterator for Iter<'_> {
    type Item = MapRange;

    #[inline]
    fn next(&mut self) -> Option<MapRange> {
        self.next_with_opaque().map(|(range, _)| range)
    }
}
