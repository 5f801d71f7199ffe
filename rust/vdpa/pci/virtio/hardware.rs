// SPDX-License-Identifier: GPL-2.0

//! A function, after all that it says of itself was checked.

use super::{
    common::{
        Common,
        Selectors, //
    },
    interrupts::{
        Handler,
        Interrupts, //
    },
    Driver, //
};
use crate::{
    bindings,
    pci::{
        Function,
        Registers,
        Vectors,
        Window, //
    },
    Features,
    NotificationArea,
    RateLimit, //
};
use kernel::{
    alloc::KVVec,
    device::{
        Bound,
        Device, //
    },
    io::Io,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            AtomicFlag,
            Relaxed, //
        },
        Mutex, //
    }, //
};

/// A virtqueue, as the device is made.
#[derive(Default)]
pub(super) struct Queue<'bound> {
    /// The largest size in descriptors. [`None`] for a virtqueue that is unavailable.
    pub(super) size_max: Option<u16>,
    /// Its doorbell, if it is available.
    pub(super) doorbell: Option<Registers<'bound, u16>>,
    /// The area that userspace may map to use the doorbell.
    pub(super) area: Option<NotificationArea>,
}

/// A function that a driver of this kind is bound to, and the vDPA device that is made of it.
///
/// Locks are taken in the order of the fields.
#[pin_data]
pub(super) struct Hardware<'bound, D: Driver> {
    pub(super) dev: &'bound Device<Bound>,
    pub(super) device_id: u32,
    pub(super) vendor_id: u32,
    /// The features that can be offered.
    pub(super) features: Features,
    pub(super) queues: KVVec<Queue<'bound>>,
    /// ISR status.
    pub(super) isr: Registers<'bound, u8>,
    pub(super) common: Common<'bound>,
    /// The device configuration, if it has one.
    pub(super) config: Option<Window<'bound>>,
    pub(super) own: D::Own<'bound>,
    /// The features that the driver has accepted.
    pub(super) negotiated: Atomic<u64>,
    /// It is a vDPA device.
    pub(super) claimed: AtomicFlag,
    /// There from when the driver is ready until the device is reset.
    #[pin]
    pub(super) interrupts: Mutex<Option<Interrupts>>,
    #[pin]
    pub(super) selectors: Mutex<Selectors<'bound>>,
    // Freed before the function is disabled.
    pub(super) vectors: Vectors<'bound, Handler<'bound>>,
    pub(super) function: Function<'bound>,
    /// For messages that a driver or the device can cause.
    #[pin]
    pub(super) log: RateLimit,
}

impl<D: Driver> Hardware<'_, D> {
    /// Tells the device that there is something in a virtqueue.
    ///
    /// # Context
    ///
    /// Any.
    #[inline]
    pub(super) fn kick(&self, queue: u16) {
        if let Some(doorbell) = self
            .queues
            .get(usize::from(queue))
            .and_then(|queue| queue.doorbell.as_ref())
        {
            doorbell.write_val(queue);
        }
    }

    /// Resets the device. While that does not succeed it reaches no memory.
    ///
    /// # Errors
    ///
    /// Those of [`Common::reset`].
    #[inline]
    pub(super) fn reset(&self) -> Result {
        let result = self.common.reset();

        match result {
            Ok(()) => self.function.allow_dma(),
            // It may still be using the virtqueues, whose memory is free for others soon. So may
            // one that only seemed to be gone.
            Err(_) => {
                if self.log.allows() {
                    dev_err!(self.dev, "no DMA until a reset succeeds\n");
                }
                self.function.forbid_dma();
            }
        }
        result
    }

    /// Whether the driver has accepted VIRTIO_F_RING_RESET.
    #[inline]
    pub(super) fn can_reset_queues(&self) -> bool {
        Features(self.negotiated.load(Relaxed)).has(bindings::VIRTIO_F_RING_RESET)
    }

    /// The numbers of the virtqueues that can be used.
    #[inline]
    pub(super) fn available(&self) -> impl Iterator<Item = u16> + '_ {
        (0..u16::MAX)
            .zip(self.queues.iter())
            .filter_map(|(index, queue)| queue.size_max.and(Some(index)))
    }
}
