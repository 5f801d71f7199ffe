// SPDX-License-Identifier: GPL-2.0

//! Small numbers, each handed out once.
//!
//! C header: `include/linux/idr.h`, `struct ida`.

use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};
use vdpa::bindings;

/// Hands out the smallest free number.
///
/// It locks itself, and can be used in any context that may sleep.
#[pin_data(PinnedDrop)]
pub(crate) struct Ida {
    #[pin]
    inner: Opaque<bindings::ida>,
}

// SAFETY: `struct ida` has a lock of its own and is bound to no thread.
unsafe impl Send for Ida {}

// SAFETY: As above.
unsafe impl Sync for Ida {}

impl Ida {
    /// Makes one with all numbers free.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes.
            inner <- Opaque::ffi_init(|slot| unsafe { bindings::rust_vdpa_ida_init(slot) }),
        })
    }

    /// Takes the smallest free number, which is below 2^31.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `ENOSPC` when all are taken.
    pub(crate) fn alloc(&self) -> Result<u32> {
        // SAFETY: The `ida` is initialised.
        let id = unsafe {
            bindings::ida_alloc_range(self.inner.get(), 0, u32::MAX, bindings::GFP_KERNEL)
        };

        to_result(id)?;
        Ok(id.unsigned_abs())
    }

    /// Gives back a number that [`alloc`](Self::alloc) returned.
    pub(crate) fn free(&self, id: u32) {
        // SAFETY: The `ida` is initialised.
        unsafe { bindings::ida_free(self.inner.get(), id) };
    }
}

#[pinned_drop]
impl PinnedDrop for Ida {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The `ida` is initialised, and nobody else uses it.
        unsafe { bindings::ida_destroy(self.inner.get()) };
    }
}
