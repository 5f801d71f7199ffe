// SPDX-License-Identifier: GPL-2.0

//! Callbacks of a consumer.

use super::{
    CallbackFn,
    Device, //
};
use crate::bindings;
use core::ptr::null_mut;
use kernel::{
    alloc::KVVec,
    device::Bound,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// Something that a device calls like an interrupt handler.
pub trait Target: Send + Sync + 'static {
    /// Called when the device has used buffers of a virtqueue, or changed its configuration.
    ///
    /// # Context
    ///
    /// Any, with interrupts off too; several processors may be in it at the same time.
    fn call(&self);
}

/// What a consumer has called by a device: one [`Target`] for each virtqueue and one for the
/// configuration.
///
/// A parent reads function and argument of a callback without a lock that its consumers know of. So
/// one that was removed can still be running, or about to run, and what it works on must not go
/// away. Only a [reset](Device::reset) puts an end to that.
///
/// Targets are therefore chosen once, and kept until the device was [reset](Self::reset) for the
/// last time. What can change meanwhile, such as the eventfd that is signalled, is inside the
/// target; and the device can be kept from calling it ([`enable_vq`](Self::enable_vq)).
///
/// # Invariants
///
/// If `quiet`, then the device has none of the targets installed, and none of them is running.
pub struct Callbacks<T: Target> {
    dev: ARef<Device>,
    vqs: KVVec<Arc<T>>,
    config: Arc<T>,
    quiet: bool,
}

impl<T: Target> Callbacks<T> {
    /// Chooses the targets: `vq` makes that of the virtqueue with the given number. The device is
    /// not told yet.
    #[inline]
    pub fn new(
        dev: &Device<Bound>,
        mut vq: impl FnMut(u32) -> Result<Arc<T>>,
        config: Arc<T>,
    ) -> Result<Self> {
        let mut vqs = KVVec::new();

        for index in 0..dev.nvqs() {
            vqs.push(vq(index)?, GFP_KERNEL)?;
        }
        // INVARIANT: Nothing was installed.
        Ok(Self {
            dev: dev.into(),
            vqs,
            config,
            quiet: true,
        })
    }

    /// Returns the target of a virtqueue.
    #[inline]
    pub fn vq(&self, index: u32) -> Option<&Arc<T>> {
        self.vqs.get(usize::try_from(index).ok()?)
    }

    /// Returns the target for configuration changes.
    #[inline]
    pub fn config(&self) -> &Arc<T> {
        &self.config
    }

    /// Whether `dev` is the device whose callbacks these are.
    #[inline]
    fn check(&self, dev: &Device<Bound>) -> Result {
        if dev.as_raw() != self.dev.as_raw() {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Tells the device to call the target of a virtqueue, or to do so no more.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device does not have the virtqueue, or is another one.
    #[inline]
    pub fn enable_vq(&mut self, dev: &Device<Bound>, index: u32, enable: bool) -> Result {
        self.check(dev)?;

        let vq = dev.vq(index).ok_or(EINVAL)?;
        let (callback, private) = callback(enable.then_some(self.vq(index).ok_or(EINVAL)?));

        // INVARIANT: Not quiet from here on.
        self.quiet = false;
        // SAFETY: The target is kept until the device was reset and the callback removed.
        unsafe { vq.set_cb(callback, private) };
        Ok(())
    }

    /// Tells the device to call the target for configuration changes, or to do so no more.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device is another one.
    #[inline]
    pub fn enable_config(&mut self, dev: &Device<Bound>, enable: bool) -> Result {
        self.check(dev)?;

        let (callback, private) = callback(enable.then_some(&self.config));

        // INVARIANT: Not quiet from here on.
        self.quiet = false;
        // SAFETY: The target is kept until the device was reset and the callback removed.
        unsafe { dev.set_config_cb(callback, private) };
        Ok(())
    }

    /// Resets the device and removes all callbacks.
    ///
    /// After this no target runs, and none will be called before it is enabled again.
    ///
    /// # Errors
    ///
    /// What [`Device::reset`] returns; the callbacks are removed nevertheless.
    #[inline]
    pub fn reset(&mut self, dev: &Device<Bound>, clean_map: bool) -> Result {
        self.check(dev)?;

        // In this order: parents do not expect a callback to vanish while they call it.
        let ret = dev.reset(clean_map);

        for index in 0..dev.nvqs() {
            self.enable_vq(dev, index, false)?;
        }
        self.enable_config(dev, false)?;
        // INVARIANT: None runs after a reset, and all were removed before the device had DRIVER_OK
        // again.
        self.quiet = true;
        ret
    }
}

impl<T: Target> Drop for Callbacks<T> {
    /// Frees the targets. Those of a device that was not [reset](Callbacks::reset) are leaked,
    /// because it may still call them.
    #[inline]
    fn drop(&mut self) {
        if self.quiet {
            return;
        }
        dev_warn!(
            self.dev,
            "callbacks were not removed, their memory is lost\n"
        );
        for target in &self.vqs {
            core::mem::forget(target.clone());
        }
        core::mem::forget(self.config.clone());
    }
}

/// A target in the form that C takes.
#[inline]
fn callback<T: Target>(target: Option<&Arc<T>>) -> (Option<CallbackFn>, *mut c_void) {
    match target {
        Some(target) => (
            Some(call_target::<T>),
            Arc::as_ptr(target).cast_mut().cast(),
        ),
        None => (None, null_mut()),
    }
}

/// Calls the target that `private` points to.
///
/// # Safety
///
/// `private` must point to a `T` that is shared with the caller.
unsafe extern "C" fn call_target<T: Target>(private: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: By the safety requirements of this function.
    unsafe { &*private.cast::<T>() }.call();
    bindings::irqreturn_t(bindings::irqreturn::IRQ_HANDLED.0)
}
