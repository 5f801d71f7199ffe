// SPDX-License-Identifier: GPL-2.0

//! Memory that is mapped for a device.

use super::size;
use crate::{
    bindings,
    MapFile,
    MapRange,
    PinnedRun, //
};
use core::ptr::{
    null_mut,
    NonNull, //
};
use kernel::prelude::*;

/// What is behind a mapping, and must stay for as long as the device knows of it.
pub(super) enum Backing {
    Pinned(PinnedRun),
    File(MapFile),
}

impl Backing {
    /// The pointer for the table, which is for the device to see.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::vdpa_map_file {
        match self {
            Self::Pinned(_) => null_mut(),
            Self::File(file) => file.as_raw(),
        }
    }

    /// How many pages are counted for it.
    #[inline]
    pub(super) fn pages(&self) -> u64 {
        match self {
            Self::Pinned(run) => run.pages(),
            Self::File(_) => 0,
        }
    }

    /// Leaves all as it is.
    #[inline]
    pub(super) fn leak(self) {
        match self {
            Self::Pinned(run) => run.leak(),
            Self::File(file) => file.leak(),
        }
    }

    /// Takes over what was behind a mapping.
    ///
    /// # Safety
    ///
    /// It must have been [leaked](Self::leak) for a mapping like this, with this pointer, and not
    /// been taken over since.
    #[inline]
    pub(super) unsafe fn from_leaked(map: MapRange, opaque: *mut c_void) -> Self {
        match NonNull::new(opaque.cast::<bindings::vdpa_map_file>()) {
            // SAFETY: By the safety requirements of this function.
            Some(file) => Self::File(unsafe { MapFile::from_leaked(file) }),
            None => {
                // SAFETY: As above. A mapping has the size and the permission of its run.
                let run = unsafe { PinnedRun::from_leaked(map.addr, size(map.iova), map.perm) };

                Self::Pinned(run)
            }
        }
    }
}
