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
            Relaxed,
            Release, //
        },
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
    /// The driver is ready, and the device at work: changes can be told.
    ready: AtomicFlag,
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
            queues.push(Callback::new()?, GFP_KERNEL)?;
        }
        let new = Self {
            queues,
            config: Callback::new()?,
            generation: Atomic::new(0),
            ready: AtomicFlag::new(false),
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
    pub fn used(&self, vq: u16) -> bool {
        self.queues
            .get(usize::from(vq))
            .is_some_and(|callback| callback.call())
    }

    /// The configuration has changed: who reads it meanwhile sees that it must do so again, and who
    /// has read it is told.
    #[inline]
    pub fn config_changed(&self) {
        self.generation.fetch_add(1, Relaxed);
        if self.ready.load(Acquire) && !self.needs_reset.load(Relaxed) {
            self.config.call();
        }
    }

    /// The device cannot go on before it is reset, which the driver is told: virtio 1.3, section
    /// 2.1.2. Returns whether it was not told before.
    #[inline]
    pub fn needs_reset(&self) -> bool {
        if self.needs_reset.load(Acquire) {
            return false;
        }
        self.needs_reset.store(true, Release);
        if self.ready.load(Acquire) {
            self.config.call();
        }
        true
    }

    /// Whether it was said that the device cannot go on.
    #[inline]
    pub fn is_broken(&self) -> bool {
        self.needs_reset.load(Acquire)
    }

    /// The driver can be told from now on, also of what has happened already.
    #[inline]
    pub(super) fn begin(&self) {
        self.ready.store(true, Release);
        if self.is_broken() {
            self.config.call();
        }
    }

    /// The device works no longer: what is told from now on is not of interest.
    #[inline]
    pub(super) fn pause(&self) {
        self.ready.store(false, Release);
    }

    /// The device was reset.
    #[inline]
    pub(super) fn reset(&self) {
        self.ready.store(false, Release);
        self.needs_reset.store(false, Release);
        self.generation.fetch_add(1, Relaxed);
    }

    /// A number that is another one after each change of the configuration.
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Relaxed)
    }
}
