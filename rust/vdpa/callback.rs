// SPDX-License-Identifier: GPL-2.0

//! Interrupts of a vDPA device, as far as its parent is concerned.

use crate::{
    bindings,
    device::CallbackFn, //
};
use kernel::{
    interrupt::LocalInterruptDisabled,
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            AtomicFlag,
            Release, //
        },
        Arc,
        SpinLockIrq, //
    }, //
};

/// A consumer's function and its argument.
///
/// # Invariants
///
/// `func` may be called with `private` from any context for as long as this value is installed in
/// a [`Callback`].
struct Target {
    func: CallbackFn,
    private: *mut c_void,
}

// SAFETY: By its invariant, the function may be called from anywhere.
unsafe impl Send for Target {}

impl Target {
    /// Calls the target that is installed, which stays so until this returns.
    #[inline]
    fn call(target: Option<&Self>) -> bool {
        let Some(target) = target else {
            return false;
        };

        // SAFETY: By the type invariant.
        unsafe { (target.func)(target.private) };
        true
    }
}

/// The place where a device keeps what a consumer wants called: when buffers were used, or when
/// the configuration changed.
///
/// A device has one for each virtqueue and calls it like an interrupt. Consumers install, replace
/// and remove the target (`set_vq_cb`, `set_config_cb`), and a reset removes it. Once a target was
/// replaced or removed it is not running any more, and will not be called again: what it pointed
/// to may be freed.
///
/// # Examples
///
/// ```
/// # use kernel::sync::Arc;
/// struct Queue {
///     callback: Arc<vdpa::Callback>,
/// }
///
/// fn buffers_used(queue: &Queue) {
///     queue.callback.call();
/// }
/// ```
#[pin_data]
pub struct Callback {
    /// There is a target; changed with the lock held. A device with one interrupt for many
    /// virtqueues calls those that nobody uses as well.
    installed: AtomicFlag,
    #[pin]
    target: SpinLockIrq<Option<Target>>,
}

impl Callback {
    /// Creates an empty place, which the device and the crate share.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    #[inline]
    pub fn new() -> Result<Arc<Self>> {
        let new = pin_init!(Self {
            installed: AtomicFlag::new(false),
            target <- new_spinlock_irq!(None, "vdpa_callback"),
        });

        Arc::pin_init(new, GFP_KERNEL)
    }

    /// Calls the target, if there is one. Returns whether there was.
    ///
    /// # Context
    ///
    /// Any. The target runs with interrupts off. A thread that calls this should hold a
    /// [`BottomHalfGuard`](crate::BottomHalfGuard), so that what the target schedules (network
    /// polling) runs when the guard is dropped, not some time later.
    #[inline]
    pub fn call(&self) -> bool {
        if !self.installed.load(Acquire) {
            return false;
        }
        // SAFETY: This only reads a register.
        if unsafe { bindings::rust_vdpa_irqs_disabled() } {
            // For most devices this is a handler of interrupts, in which there is no need to keep
            // more of them off: a good part of what the lock costs.
            // SAFETY: They are disabled, and nobody enables them before this returns.
            let disabled = unsafe { LocalInterruptDisabled::assume_disabled() };

            Target::call(self.target.lock_with(disabled).as_ref())
        } else {
            Target::call(self.target.lock().as_ref())
        }
    }

    /// Installs, replaces or (without a function) removes the target.
    ///
    /// # Safety
    ///
    /// The function in `raw`, if any, may be called with its argument from any context until the
    /// next call of this function or of [`clear`](Self::clear) has returned.
    #[inline]
    pub(crate) unsafe fn install(&self, raw: &bindings::vdpa_callback) {
        let mut target = self.target.lock();

        // INVARIANT: By the safety requirements of this function.
        *target = raw.callback.map(|func| Target {
            func,
            private: raw.private,
        });
        self.installed.store(target.is_some(), Release);
    }

    /// Removes the target.
    #[inline]
    pub(crate) fn clear(&self) {
        let mut target = self.target.lock();

        *target = None;
        self.installed.store(false, Release);
    }
}
