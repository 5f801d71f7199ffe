// SPDX-License-Identifier: GPL-2.0

//! From a vDPA device's callback to the virtio device.

use crate::{
    bindings,
    device::CallbackFn,
    Target, //
};
use core::ptr::null_mut;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        rcu,
        Arc, //
    }, //
};

/// What a vDPA device calls: a virtqueue, or the virtio device when its configuration changes.
///
/// Parents may call for longer than virtqueues and virtio devices are there, so they are not given
/// these.
///
/// # Invariants
///
/// Unless it is NULL, `func` may be called with `subject` within an RCU read-side critical section
/// that has read `subject`.
pub(super) struct Line {
    func: CallbackFn,
    subject: Atomic<*mut c_void>,
}

// SAFETY: By the type invariant, the function may be called from anywhere.
unsafe impl Send for Line {}

// SAFETY: As above.
unsafe impl Sync for Line {}

impl Line {
    /// Makes a line to nothing.
    #[inline]
    fn new(func: CallbackFn) -> Result<Arc<Self>> {
        // INVARIANT: There is nothing to be called.
        let line = Self {
            func,
            subject: Atomic::new(null_mut()),
        };

        Ok(Arc::new(line, GFP_KERNEL)?)
    }

    /// Makes a line for a virtqueue.
    #[inline]
    pub(super) fn of_virtqueue() -> Result<Arc<Self>> {
        Self::new(interrupt)
    }

    /// Makes a line for configuration changes.
    #[inline]
    pub(super) fn of_config() -> Result<Arc<Self>> {
        Self::new(config_changed)
    }

    /// Connects the line.
    ///
    /// # Safety
    ///
    /// `subject` must be what the function is for, and stay valid until
    /// [`disconnect`](Self::disconnect) was called and an RCU grace period has passed.
    #[inline]
    pub(super) unsafe fn connect(&self, subject: *mut c_void) {
        // INVARIANT: By the safety requirements of this function.
        self.subject.store(subject, Release);
    }

    /// Disconnects the line. Returns whether it was connected.
    #[inline]
    pub(super) fn disconnect(&self) -> bool {
        let connected = !self.subject.load(Acquire).is_null();

        // INVARIANT: There is nothing to be called.
        self.subject.store(null_mut(), Release);
        connected
    }
}

impl Target for Line {
    #[inline]
    fn call(&self) {
        let _guard = rcu::read_lock();
        let subject = self.subject.load(Acquire);

        if !subject.is_null() {
            // SAFETY: By the type invariant.
            unsafe { (self.func)(subject) };
        }
    }
}

/// Tells the virtio driver that buffers were used.
///
/// # Safety
///
/// `subject` must be a virtqueue.
#[inline]
unsafe extern "C" fn interrupt(subject: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: By the safety requirements of this function.
    unsafe { bindings::vring_interrupt(0, subject) }
}

/// Tells the virtio driver that the configuration has changed.
///
/// # Safety
///
/// `subject` must be a virtio device that has been registered at some time, and is valid.
#[inline]
unsafe extern "C" fn config_changed(subject: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: By the safety requirements of this function.
    unsafe { bindings::virtio_config_changed(subject.cast()) };
    bindings::irqreturn_t(bindings::irqreturn::IRQ_HANDLED.0)
}
