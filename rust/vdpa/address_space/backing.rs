// SPDX-License-Identifier: GPL-2.0

//! Memory that is mapped for a device.

use crate::{
    bindings,
    MapFile,
    MapRange,
    PinnedRun,
    Source, //
};
use core::ptr::{
    null_mut,
    NonNull, //
};
use kernel::prelude::*;

/// What is behind a mapping.
pub(super) enum Backing {
    /// Memory that must stay for as long as the device knows of it.
    Pinned(PinnedRun),
    /// What the device was told of addresses of a process.
    File(MapFile),
    /// Addresses of the process that the device is bound to, with nothing to be kept.
    Process,
}

impl Backing {
    /// The pointer for the table, which is for the device to see.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::vdpa_map_file {
        match self {
            Self::Pinned(_) | Self::Process => null_mut(),
            Self::File(file) => file.as_raw(),
        }
    }

    /// How many pages are counted for it.
    #[inline]
    pub(super) fn pages(&self) -> u64 {
        match self {
            Self::Pinned(run) => run.pages(),
            Self::File(_) | Self::Process => 0,
        }
    }

    /// Leaves all as it is.
    #[inline]
    pub(super) fn leak(self) {
        match self {
            Self::Pinned(run) => run.leak(),
            Self::File(file) => file.leak(),
            Self::Process => {}
        }
    }

    /// Takes over what was behind a mapping for a device with this [`Source`].
    ///
    /// # Safety
    ///
    /// It must have been [leaked](Self::leak) for a mapping like this, with this pointer, and not
    /// been taken over since. It must be of the kind that the source says.
    #[inline]
    pub(super) unsafe fn from_leaked(map: MapRange, opaque: *mut c_void, source: Source) -> Self {
        match (
            source,
            NonNull::new(opaque.cast::<bindings::vdpa_map_file>()),
        ) {
            (Source::Pinned, _) => {
                // SAFETY: By the safety requirements of this function. A mapping has the size and
                // the permission of its run.
                let run = unsafe { PinnedRun::from_leaked(map.addr, map.iova.size(), map.perm) };

                Self::Pinned(run)
            }
            // SAFETY: By the safety requirements of this function.
            (Source::Files, Some(file)) => Self::File(unsafe { MapFile::from_leaked(file) }),
            (Source::Files, None) | (Source::Process, _) => Self::Process,
        }
    }
}
