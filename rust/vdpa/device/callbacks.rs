// SPDX-License-Identifier: GPL-2.0

//! Callbacks of a consumer.

use super::Device;
use crate::{
    bindings,
    EventFd, //
};
use core::{
    mem::ManuallyDrop,
    ptr::null_mut, //
};
use kernel::{
    alloc::KVVec,
    device::Bound,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
    types::Opaque, //
};

/// Something that a device calls like an interrupt handler.
pub trait Target: Send + Sync + 'static {
    /// Called when the device has used buffers of a virtqueue, or changed its configuration, and
    /// sometimes for no reason: by a device that was reset, or whose driver is another one by now.
    ///
    /// # Context
    ///
    /// Any, with interrupts off too; several processors may be in it at the same time.
    fn call(&self);
}

/// A target, and what the device was given to signal in its place.
struct Line<T: Target> {
    target: Arc<T>,
    trigger: Option<EventFd>,
    installed: bool,
}

impl<T: Target> Line<T> {
    #[inline]
    fn new(target: Arc<T>) -> Self {
        Self {
            target,
            trigger: None,
            installed: false,
        }
    }

    /// Passes what a device shall call to `set`.
    ///
    /// # Safety
    ///
    /// What `set` gives it to must be the device of the [`Callbacks`] that this is in.
    #[inline]
    unsafe fn install(&mut self, trigger: Option<EventFd>, set: impl FnOnce(RawCallback)) {
        set(RawCallback {
            callback: Some(call_target::<T>),
            private: Arc::as_ptr(&self.target).cast_mut().cast(),
            trigger: trigger.as_ref().map_or(null_mut(), EventFd::as_raw),
        });
        self.installed = true;
        // Only now the device does not have the old one any more.
        self.trigger = trigger;
    }

    /// As [`install`](Self::install), for nothing.
    #[inline]
    fn remove(&mut self, set: impl FnOnce(RawCallback)) {
        set(pin_init::zeroed());
        self.installed = false;
        self.trigger = None;
    }
}

/// What a device is given.
pub(crate) type RawCallback = bindings::vdpa_callback;

/// The lines of a device.
#[repr(C)]
struct Lines<T: Target> {
    // First, so that a pointer to it is one to the whole.
    retired: Opaque<bindings::callback_head>,
    vqs: KVVec<Line<T>>,
    config: Line<T>,
}

impl<T: Target> Lines<T> {
    #[inline]
    fn iter(&self) -> impl Iterator<Item = &Line<T>> {
        Iterator::chain(self.vqs.iter(), Some(&self.config))
    }

    /// Frees lines that no device can have any more.
    ///
    /// # Safety
    ///
    /// `head` must be that of lines that were a `KBox`, and are not used any more.
    unsafe extern "C" fn free(head: *mut bindings::callback_head) {
        // SAFETY: By the safety requirements of this function.
        drop(unsafe { KBox::from_raw(head.cast::<Self>()) });
    }
}

/// What a consumer has called by a device: one [`Target`] for each virtqueue and one for the
/// configuration.
///
/// # What parents do
///
/// A parent reads function and argument of a callback one after the other, without a lock that its
/// consumers know of, from an interrupt, a work queue or a notifier chain. Some go on doing so after
/// they were reset. So
///
/// - what was installed stays, until the device is [reset](Self::reset): it is not taken away from
///   one that runs. What changes meanwhile, such as the eventfd that is signalled, is inside the
///   target;
/// - targets live for as long as the device has this driver, so that a late call finds the one
///   that it is for. When they are dropped, what a processor or a thread has read before it can
///   still be called: they are freed after all have finished what they were doing (RCU, and, for
///   those that can be preempted, RCU tasks);
/// - a function whose argument is not there yet, or not any more, does nothing.
///
/// # Dropping
///
/// Targets are dropped at an unknown time, in atomic context: what must not be needs to be taken
/// out of them before. Modules wait for that when they are unloaded
/// ([`Adapter`](crate::driver::Adapter)).
///
/// # Invariants
///
/// If `quiet`, then the device has none of the targets installed.
pub struct Callbacks<T: Target> {
    dev: ARef<Device>,
    lines: ManuallyDrop<KBox<Lines<T>>>,
    quiet: bool,
}

// SAFETY: What is shared with the device can be used by any thread, and the rest belongs to this.
unsafe impl<T: Target> Send for Callbacks<T> {}

impl<T: Target> Callbacks<T> {
    /// Chooses the targets: `vq` makes that of the virtqueue with the given number. The device is
    /// not told yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, those of `vq`.
    #[inline]
    pub fn new(
        dev: &Device<Bound>,
        mut vq: impl FnMut(u32) -> Result<Arc<T>>,
        config: Arc<T>,
    ) -> Result<Self> {
        let mut vqs = KVVec::new();

        for index in 0..dev.nvqs() {
            vqs.push(Line::new(vq(index)?), GFP_KERNEL)?;
        }

        let lines = Lines {
            retired: Opaque::zeroed(),
            vqs,
            config: Line::new(config),
        };

        // INVARIANT: Nothing was installed.
        Ok(Self {
            dev: dev.into(),
            lines: ManuallyDrop::new(KBox::new(lines, GFP_KERNEL)?),
            quiet: true,
        })
    }

    /// Returns the target of a virtqueue.
    #[inline]
    pub fn vq(&self, index: u32) -> Option<&Arc<T>> {
        let line = self.lines.vqs.get(usize::try_from(index).ok()?)?;

        Some(&line.target)
    }

    /// Returns the target for configuration changes.
    #[inline]
    pub fn config(&self) -> &Arc<T> {
        &self.lines.config.target
    }

    /// Returns all targets.
    #[inline]
    pub fn targets(&self) -> impl Iterator<Item = &Arc<T>> {
        self.lines.iter().map(|line| &line.target)
    }

    /// Whether `dev` is the device whose callbacks these are.
    #[inline]
    fn check(&self, dev: &Device<Bound>) -> Result {
        if dev.as_raw() != self.dev.as_raw() {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Has the device call the target of a virtqueue until the next reset. It may signal `trigger`
    /// in its place, if it is given one (`struct vdpa_callback`); this can be changed by calling
    /// this again.
    ///
    /// The number has the meaning that it has for the device at the time, which for some depends
    /// on the features that were negotiated.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device does not have the virtqueue, or is another one.
    #[inline]
    pub fn install_vq(
        &mut self,
        dev: &Device<Bound>,
        index: u32,
        trigger: Option<EventFd>,
    ) -> Result {
        self.check(dev)?;

        let vq = dev.vq(index).ok_or(EINVAL)?;
        let line = self.lines.vqs.get_mut(usize::try_from(index)?);

        // INVARIANT: Not quiet from here on.
        self.quiet = false;
        // SAFETY: This is the device; it was just checked. A target lives until long after the
        // callback was removed from it, an eventfd until that happened or another was installed.
        unsafe { line.ok_or(EINVAL)?.install(trigger, |cb| vq.set_cb(cb)) };
        Ok(())
    }

    /// Whether the device calls the target of a virtqueue.
    #[inline]
    pub fn is_installed(&self, index: u32) -> bool {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.lines.vqs.get(index))
            .is_some_and(|line| line.installed)
    }

    /// Has the device call the target for configuration changes until the next reset.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device is another one.
    #[inline]
    pub fn install_config(&mut self, dev: &Device<Bound>) -> Result {
        self.check(dev)?;
        if !self.lines.config.installed {
            // INVARIANT: Not quiet from here on.
            self.quiet = false;
            // SAFETY: As in `install_vq`.
            unsafe { self.lines.config.install(None, |cb| dev.set_config_cb(cb)) };
        }
        Ok(())
    }

    /// Resets the device and removes all callbacks.
    ///
    /// A parent that is not as it should be may go on calling targets for a while.
    ///
    /// # Errors
    ///
    /// What [`Device::reset`] returns; the callbacks are removed nevertheless.
    #[inline]
    pub fn reset(&mut self, dev: &Device<Bound>, clean_map: bool) -> Result {
        self.check(dev)?;

        // In this order: parents do not expect a callback to vanish while they call it.
        let ret = dev.reset(clean_map);

        self.remove(dev)?;
        ret
    }

    /// Removes all callbacks from a device that was reset, or is not running yet.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device is another one.
    #[inline]
    pub fn remove(&mut self, dev: &Device<Bound>) -> Result {
        self.check(dev)?;
        for (index, line) in (0..dev.nvqs()).zip(&mut self.lines.vqs) {
            if let Some(vq) = dev.vq(index) {
                // SAFETY: There is nothing to be called.
                line.remove(|none| unsafe { vq.set_cb(none) });
            }
        }

        let config = &mut self.lines.config;

        // SAFETY: As above.
        config.remove(|none| unsafe { dev.set_config_cb(none) });
        // INVARIANT: All were removed.
        self.quiet = true;
        Ok(())
    }
}

impl<T: Target> Drop for Callbacks<T> {
    /// Frees the targets when nobody can be about to call them any more. Those that were not
    /// [removed](Callbacks::remove) are leaked.
    #[inline]
    fn drop(&mut self) {
        if !self.quiet {
            dev_warn!(
                self.dev,
                "callbacks were not removed, their memory is lost\n"
            );
            return;
        }
        // SAFETY: Not used after this.
        let lines = KBox::into_raw(unsafe { ManuallyDrop::take(&mut self.lines) });

        // SAFETY: `lines` was a `KBox` and nobody else's. By the type invariant the device does not
        // have any of the targets; who has read one before is waited for.
        unsafe { bindings::rust_vdpa_call_rcu_tasks(lines.cast(), Some(Lines::<T>::free)) };
    }
}

/// Calls the target that `private` points to, or nothing: parents may read the argument before, or
/// after, it is there.
///
/// # Safety
///
/// `private` must be NULL or point to a `T` that is shared with the caller.
unsafe extern "C" fn call_target<T: Target>(private: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: By the safety requirements of this function.
    match unsafe { private.cast::<T>().as_ref() } {
        Some(target) => {
            target.call();
            bindings::irqreturn_t(bindings::irqreturn::IRQ_HANDLED.0)
        }
        None => bindings::irqreturn_t(bindings::irqreturn::IRQ_NONE.0),
    }
}
