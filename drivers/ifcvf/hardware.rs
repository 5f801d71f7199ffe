// SPDX-License-Identifier: GPL-2.0

//! A device, after all that it says of itself was checked.

use crate::{
    interrupts::{
        Handler,
        Interrupts, //
    },
    limits,
    management::Owner,
    registers::{
        Registers,
        Selectors, //
    }, //
};
use kernel::{
    alloc::KVVec,
    device::Device,
    prelude::*,
    sync::{
        aref::ARef,
        Mutex, //
    }, //
};
use vdpa::{
    pci::{
        Function,
        Vectors,
        Window, //
    },
    Features,
    NotificationArea,
    RateLimit, //
};

/// A virtqueue, as the device is made.
#[derive(Default)]
pub(crate) struct Queue {
    /// The largest size in descriptors. [`None`] for a virtqueue that is unavailable.
    pub(crate) size_max: Option<u16>,
    /// Where in the notification structure its doorbell is.
    pub(crate) doorbell: usize,
    /// The area that userspace may map to use the doorbell.
    pub(crate) area: Option<NotificationArea>,
}

/// A device.
///
/// It is made when the driver is bound, and shared with the vDPA device that is made of it. That
/// can outlive the binding; accesses fail then.
///
/// Locks are taken in the order of the fields.
#[pin_data]
pub(crate) struct Hardware {
    pub(crate) dev: ARef<Device>,
    pub(crate) device_id: u32,
    pub(crate) vendor_id: u32,
    /// The features that can be offered.
    pub(crate) features: Features,
    pub(crate) queues: KVVec<Queue>,
    /// ISR status.
    pub(crate) isr: Window,
    pub(crate) registers: Registers,
    /// The device configuration.
    pub(crate) config: Window,
    /// Where virtqueues stand: see [`limits::states`].
    pub(crate) states: Window,
    pub(crate) notify: Window,
    pub(crate) function: Function,
    /// Which vDPA device it is.
    #[pin]
    pub(crate) owner: Mutex<Owner>,
    /// There from when the driver is ready until the device is reset.
    #[pin]
    pub(crate) interrupts: Mutex<Option<Interrupts>>,
    #[pin]
    pub(crate) selectors: Mutex<Selectors>,
    pub(crate) vectors: Vectors<Handler>,
    /// For messages that a driver or the device can cause.
    #[pin]
    pub(crate) log: RateLimit,
}

impl Hardware {
    /// Tells the device that there is something in a virtqueue.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn kick(&self, queue: u16) {
        let Some(place) = self.queues.get(usize::from(queue)) else {
            return;
        };

        if place.size_max.is_some() && !self.registers.is_absent() {
            // Without a driver that is bound there is nothing to do.
            let _ = self.notify.write16(queue, place.doorbell);
        }
    }

    /// Resets the device. While that does not succeed it reaches no memory.
    ///
    /// # Errors
    ///
    /// Those of [`Registers::reset`].
    pub(crate) fn reset(&self) -> Result {
        let result = self.registers.reset();

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

    /// The numbers of the virtqueues that can be used.
    pub(crate) fn available(&self) -> impl Iterator<Item = u16> + '_ {
        (0..u16::MAX)
            .zip(self.queues.iter())
            .filter_map(|(index, queue)| queue.size_max.and(Some(index)))
    }

    /// Returns the next index of the available ring that the device will look at.
    ///
    /// It does not change while the virtqueue is not enabled.
    pub(crate) fn avail_index(&self, queue: u16) -> Result<u16> {
        self.states.read16(limits::state_offset(queue))
    }

    /// Sets the next index of the available ring that the device will look at. To be called while
    /// the virtqueue is not enabled.
    pub(crate) fn set_avail_index(&self, queue: u16, index: u16) -> Result {
        self.states.write16(index, limits::state_offset(queue))
    }
}
