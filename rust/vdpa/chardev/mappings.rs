// SPDX-License-Identifier: GPL-2.0

//! The memory mappings of an open file.

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// A file that has not been closed yet.
struct Open(NonNull<bindings::file>);

// SAFETY: What is done with the file, behind a lock, can be done by any thread.
unsafe impl Send for Open {}

/// The memory mappings of an open file, in all processes that have it mapped.
///
/// This does not keep the file open.
///
/// # Invariants
///
/// If there is a file, it is valid for as long as the lock is held.
#[pin_data]
pub struct Mappings {
    #[pin]
    file: Mutex<Option<Open>>,
}

impl Mappings {
    /// Makes the object for a file that is being opened.
    ///
    /// # Safety
    ///
    /// `file` must stay valid until [`close`](Self::close) was called, or the result dropped.
    #[inline]
    pub(super) unsafe fn new(file: NonNull<bindings::file>) -> Result<Arc<Self>> {
        // INVARIANT: By the safety requirements of this function.
        Arc::pin_init(
            pin_init!(Self {
                file <- new_mutex!(Some(Open(file)), "vdpa_mappings"),
            }),
            GFP_KERNEL,
        )
    }

    /// Makes the object without a file: for tests, which have none.
    #[cfg(CONFIG_KUNIT = "y")]
    #[inline]
    pub fn without_file() -> Result<Arc<Self>> {
        // INVARIANT: There is no file.
        Arc::pin_init(
            pin_init!(Self {
                file <- new_mutex!(None, "vdpa_mappings"),
            }),
            GFP_KERNEL,
        )
    }

    /// Forgets the file, because it is about to go away.
    #[inline]
    pub(super) fn close(&self) {
        *self.file.lock() = None;
    }

    /// Takes away the pages that are mapped. The mappings stay: the next access to one of them is a
    /// fault, which is up to whoever has set up the mapping.
    ///
    /// Does nothing where the file is closed.
    ///
    /// # Context
    ///
    /// Sleeps, but not for the process that has the mapping.
    #[doc(alias = "unmap_mapping_range")]
    #[inline]
    pub fn zap(&self) {
        if let Some(Open(file)) = &*self.file.lock() {
            // SAFETY: By the type invariant the file is valid, and so is what its mappings are
            // linked to. A length of 0 stands for all of it.
            unsafe { bindings::unmap_mapping_range((*file.as_ptr()).f_mapping, 0, 0, 1) };
        }
    }
}
