// SPDX-License-Identifier: GPL-2.0

//! What a device tells its driver.

use crate::{
    Callback,
    VqIndex, //
};
use kernel::{
    alloc::KVVec,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            AtomicFlag,
            Full,
            Relaxed, //
        },
        barrier,
        Arc, //
    }, //
};

/// What a device tells its driver: that it has used buffers, that its configuration is another one,
/// or that it cannot go on.
///
/// The parent keeps it, and whatever of the parent is called by hardware or is a thread.
///
/// # Context
///
/// Any, for all that tells something.
pub struct Events {
    queues: KVVec<Arc<Callback>>,
    config: Arc<Callback>,
    generation: Atomic<u32>,
    /// The device is at work, for a driver that can be told.
    ready: AtomicFlag,
    /// There is a change of the configuration that the driver was not told of.
    pending: AtomicFlag,
    /// The device cannot go on.
    needs_reset: AtomicFlag,
}

impl Events {
    /// For a device with so many virtqueues.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    #[inline]
    pub(super) fn new(virtqueues: u32) -> Result<Arc<Self>> {
        let mut queues = KVVec::with_capacity(virtqueues as usize, GFP_KERNEL)?;

        for _ in 0..virtqueues {
            queues.push_within_capacity(Callback::new()?)?;
        }
        let new = Self {
            queues,
            config: Callback::new()?,
            generation: Atomic::new(0),
            ready: AtomicFlag::new(false),
            pending: AtomicFlag::new(false),
            needs_reset: AtomicFlag::new(false),
        };
        Ok(Arc::new(new, GFP_KERNEL)?)
    }

    /// The place for the consumer's callback for a virtqueue.
    #[inline]
    pub(super) fn queue(&self, vq: VqIndex) -> Option<&Arc<Callback>> {
        self.queues.get(usize::from(vq))
    }

    /// The place for the consumer's callback for configuration changes.
    #[inline]
    pub(super) fn config(&self) -> &Arc<Callback> {
        &self.config
    }

    /// Buffers of a virtqueue were used. Returns whether there is somebody to be told.
    ///
    /// Who stops a virtqueue must know that this is not called for it any more; see
    /// [`Parent`](super::Parent).
    #[inline]
    pub fn used(&self, vq: VqIndex) -> bool {
        self.queue(vq).is_some_and(|callback| callback.call())
    }

    /// Buffers of any virtqueue may have been used.
    #[inline]
    pub fn used_any(&self) {
        for callback in &self.queues {
            callback.call();
        }
    }

    /// The configuration has changed: who reads it meanwhile sees that it must do so again, and who
    /// has read it is told, if need be when the device goes on.
    #[inline]
    pub fn config_changed(&self) {
        self.count_change();
        self.pending.store(true, Relaxed);
        self.tell();
    }

    /// The device cannot go on before it is reset, which the driver is told: virtio 1.3, section
    /// 2.1.2. Returns whether it was not told before.
    ///
    /// As with interrupts, it must not come after a [reset](super::Parent::reset) has returned: the
    /// next driver would be told.
    #[inline]
    pub fn set_needs_reset(&self) -> bool {
        if self.needs_reset.xchg(true, Full) {
            return false;
        }
        self.pending.store(true, Relaxed);
        self.tell();
        true
    }

    /// Whether it was said that the device cannot go on.
    #[inline]
    pub fn is_broken(&self) -> bool {
        self.needs_reset.load(Acquire)
    }

    /// Has the driver interrupted for what it was not told of, if that is to be now.
    #[inline]
    fn tell(&self) {
        // Either this sees that the device is at work, or who has it begin sees what is pending.
        barrier::smp_mb(barrier::Full);
        if self.ready.load(Acquire) && self.pending.xchg(false, Full) {
            self.config.call();
        }
    }

    /// The driver can be told from now on, also of what has happened before.
    #[inline]
    pub(super) fn begin(&self) {
        self.ready.xchg(true, Full);
        self.tell();
    }

    /// The driver is told nothing from now on.
    #[inline]
    pub(super) fn pause(&self) {
        self.ready.xchg(false, Full);
    }

    /// The configuration may be another one, and nobody has to be told.
    #[inline]
    pub(super) fn count_change(&self) {
        self.generation.fetch_add(1, Full);
    }

    /// The device was reset.
    #[inline]
    pub(super) fn reset(&self) {
        self.pause();
        self.needs_reset.xchg(false, Full);
        self.pending.xchg(false, Full);
        self.count_change();
    }

    /// A number that is another one after each change of the configuration.
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Acquire)
    }
}
