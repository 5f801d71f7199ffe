// SPDX-License-Identifier: GPL-2.0

//! The mappings of an address space, in the form that its device needs.

use super::pieces::Pieces;
use crate::{
    iotlb::IotlbTable,
    Iotlb,
    IovaRange,
    MapRange,
    Source,
    Translation, //
};
use core::ptr::null_mut;
use kernel::prelude::*;

/// The mappings of an address space, of which no two overlap.
pub(super) enum Table {
    /// For a device that is shown all of them, and for what has a pointer that belongs to it.
    Tree(IotlbTable),
    /// For pinned memory, of which a device is told mapping by mapping.
    Pieces(Pieces),
}

impl Table {
    /// None, for a device of that kind.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    #[inline]
    pub(super) fn new(translation: Translation, source: Source) -> Result<Self> {
        match (translation, source) {
            (Translation::Platform | Translation::DmaMap, Source::Pinned) => {
                Ok(Self::Pieces(Pieces::new()))
            }
            _ => Ok(Self::Tree(IotlbTable::new()?)),
        }
    }

    /// What a device is shown.
    #[inline]
    pub(super) fn shown(&self) -> Option<&Iotlb> {
        match self {
            Self::Tree(tree) => Some(tree),
            Self::Pieces(_) => None,
        }
    }

    /// Returns the number of mappings.
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Tree(tree) => tree.len(),
            Self::Pieces(pieces) => pieces.len(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a mapping, and the pointer that belongs to it. Waits for the memory that it needs.
    ///
    /// # Errors
    ///
    /// `EINVAL` where it cannot be, `EEXIST` where some of the range is mapped already, `ENOMEM`.
    #[inline]
    pub(super) fn add_with(&mut self, map: MapRange, opaque: *mut c_void) -> Result {
        match self {
            Self::Tree(tree) => tree.add_with(map, opaque),
            Self::Pieces(pieces) => pieces.add(map),
        }
    }

    /// Returns the first mapping that has an address in `range`.
    #[inline]
    pub(super) fn first(&self, range: IovaRange) -> Option<MapRange> {
        match self {
            Self::Tree(tree) => tree.first(range).map(|(map, _)| map),
            Self::Pieces(pieces) => pieces.first(range),
        }
    }

    /// Returns the addresses of mappings that follow each other without a gap, beginning with the
    /// first one that has an address in `range`: as many as are worth to be unmapped together, `size`
    /// bytes at most unless the first one is larger.
    #[inline]
    pub(super) fn span(&self, range: IovaRange, size: u64) -> Option<IovaRange> {
        match self {
            Self::Tree(tree) => tree.first(range).map(|(map, _)| map.iova),
            Self::Pieces(pieces) => pieces.span(range, size),
        }
    }

    /// Removes the first mapping that has an address in `range`, and returns it with the pointer that
    /// belongs to it.
    #[inline]
    pub(super) fn take(&mut self, range: IovaRange) -> Option<(MapRange, *mut c_void)> {
        match self {
            Self::Tree(tree) => tree.take(range),
            Self::Pieces(pieces) => pieces.take(range).map(|map| (map, null_mut())),
        }
    }

    /// Removes all mappings that have an address in `range`, in their order, and has `f` get them
    /// with the pointers that belong to them.
    #[inline]
    pub(super) fn drain(&mut self, range: IovaRange, mut f: impl FnMut(MapRange, *mut c_void)) {
        match self {
            Self::Tree(tree) => tree.drain(range, f),
            Self::Pieces(pieces) => pieces.drain(range, |map| f(map, null_mut())),
        }
    }
}
