// SPDX-License-Identifier: GPL-2.0

//! Callbacks of a consumer that count their calls.

use core::ptr::null_mut;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use vdpa::bindings::{
    self,
    vdpa_callback, //
};

/// Counts its calls.
///
/// # Safety
///
/// `private` must point to an `Atomic<i32>`.
unsafe extern "C" fn count(private: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: By the safety requirements of this function.
    unsafe { &*private.cast::<Atomic<i32>>() }.fetch_add(1, Relaxed);
    bindings::irqreturn_t(bindings::irqreturn::IRQ_HANDLED.0)
}

/// A callback that counts its calls in `counter`, which must be there for as long as it is installed.
pub(crate) fn callback(counter: &Atomic<i32>) -> vdpa_callback {
    vdpa_callback {
        callback: Some(count),
        private: core::ptr::from_ref(counter).cast_mut().cast(),
        trigger: null_mut(),
    }
}
