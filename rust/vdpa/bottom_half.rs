// SPDX-License-Identifier: GPL-2.0

//! Keeping softirqs off the current processor.

use crate::bindings;
use kernel::types::NotThreadSafe;

/// Softirqs do not run on the current processor while this exists.
///
/// Those that became pending meanwhile run when the last guard is dropped, on the spot: a thread
/// that completes buffers takes one guard around a batch and lets the network stack take all of
/// them at once.
///
/// C: `local_bh_disable()`, `local_bh_enable()`.
///
/// # Invariants
///
/// Bottom halves were disabled by this thread, and are enabled by dropping this value.
#[doc(alias = "local_bh_enable")]
pub struct BottomHalfGuard(NotThreadSafe);

impl BottomHalfGuard {
    /// Keeps softirqs off.
    ///
    /// # Context
    ///
    /// A thread or a softirq, with interrupts on.
    #[doc(alias = "local_bh_disable")]
    #[inline]
    pub fn new() -> Self {
        // SAFETY: There is nothing to uphold for disabling.
        unsafe { bindings::rust_vdpa_local_bh_disable() };
        // INVARIANT: Disabled just above, and the value cannot leave the thread.
        Self(NotThreadSafe)
    }
}

impl Default for BottomHalfGuard {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for BottomHalfGuard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant this undoes the call in `new`.
        unsafe { bindings::rust_vdpa_local_bh_enable() };
    }
}
