// SPDX-License-Identifier: GPL-2.0

//! A vDPA device that a function is.

use super::{
    hardware::Hardware,
    interrupts::Interrupts,
    Driver,
    Own, //
};
use crate::{
    parent::{
        Events,
        Parent,
        VqSetup, //
    },
    Features,
    NotificationArea,
    Status,
    VqIndex,
    VqState, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Full,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// What the device is told when it is to take features, and when it is to start.
const NEGOTIATED: Status = Status::ACKNOWLEDGE
    .with(Status::DRIVER)
    .with(Status::FEATURES_OK);
const STARTED: Status = NEGOTIATED.with(Status::DRIVER_OK);

/// The right to be the vDPA device that a function is. There is one.
pub(super) struct Claim<'bound, D: Driver>(Arc<Hardware<'bound, D>>);

impl<'bound, D: Driver> Claim<'bound, D> {
    /// # Errors
    ///
    /// `EBUSY` where somebody has it. The user is told.
    #[inline]
    pub(super) fn take(hardware: &Arc<Hardware<'bound, D>>) -> Result<Self> {
        if hardware.claimed.xchg(true, Full) {
            dev_err!(
                hardware.dev,
                "this function is a vDPA device already, and cannot be two\n"
            );
            return Err(EBUSY);
        }
        Ok(Self(hardware.clone()))
    }
}

impl<D: Driver> Drop for Claim<'_, D> {
    #[inline]
    fn drop(&mut self) {
        self.0.claimed.xchg(false, Full);
    }
}

/// A device, as the vDPA bus sees it.
pub(super) struct Device<'bound, D: Driver> {
    claim: Claim<'bound, D>,
    /// What the user who made it wants it to offer.
    offered: Features,
    events: Arc<Events>,
}

impl<'bound, D: Driver> Device<'bound, D> {
    #[inline]
    pub(super) fn new(claim: Claim<'bound, D>, offered: Features, events: Arc<Events>) -> Self {
        Self {
            claim,
            offered,
            events,
        }
    }

    #[inline]
    fn hardware(&self) -> &Hardware<'bound, D> {
        &self.claim.0
    }

    /// Tells the device of a virtqueue, which is not enabled.
    #[inline]
    fn set_up(&self, queue: &VqSetup) -> Result {
        let index = queue.index.get();
        let hardware = self.hardware();
        let mut selectors = hardware.selectors.lock();
        let mut selected = selectors.queue(index);

        selected.set_size(queue.size);
        selected.set_address(queue.address);
        match queue.state {
            VqState::Split { avail_index } if D::Own::THERE => {
                hardware.own.set_avail_index(index, avail_index)
            }
            // The layer for parents has refused what is not the beginning.
            _ if !D::Own::THERE => Ok(()),
            _ => Err(EOPNOTSUPP),
        }
    }

    /// Tells the device of virtqueues, and enables them: all of them, or none.
    #[inline]
    fn enable(&self, queues: &[VqSetup]) -> Result {
        self.hardware().common.check_present()?;
        queues.iter().try_for_each(|queue| self.set_up(queue))?;
        self.hardware()
            .enable_all(queues.iter().map(|queue| queue.index.get()))
    }

    /// Gives a virtqueue its interrupt back, which it loses when it is reset.
    #[inline]
    fn set_vector(&self, vq: VqIndex) -> Result {
        let interrupts = self.hardware().interrupts.lock();
        let vector = interrupts.as_ref().ok_or(EIO)?.vector(vq);

        self.hardware()
            .selectors
            .lock()
            .queue(vq.get())
            .set_vector(vector)
    }
}

#[vtable]
impl<D: Driver> Parent for Device<'_, D> {
    type OwnerModule = D::OwnerModule;

    const HAS_QUEUE_STATE: bool = D::Own::THERE;
    const HAS_SUSPEND: bool = D::Own::THERE;

    fn device_id(&self) -> u32 {
        self.hardware().device_id
    }

    fn vendor_id(&self) -> u32 {
        self.hardware().vendor_id
    }

    fn features(&self) -> Features {
        self.offered
    }

    fn size_max(&self, vq: VqIndex) -> u16 {
        self.hardware()
            .queues
            .get(usize::from(vq))
            .and_then(|queue| queue.size_max)
            .unwrap_or(0)
    }

    fn size_min(&self) -> u16 {
        D::SIZE_MIN
    }

    fn negotiate(&self, features: Features) -> Result {
        let hardware = self.hardware();
        let common = &hardware.common;

        common.check_present()?;
        // Virtio 1.3, section 3.1.1.
        common.set_status(Status::ACKNOWLEDGE);
        common.set_status(Status::ACKNOWLEDGE.with(Status::DRIVER));
        hardware.selectors.lock().set_driver_features(features);
        common.set_status(NEGOTIATED);
        if !common.status()?.has(Status::FEATURES_OK) {
            return Err(EOPNOTSUPP);
        }
        hardware.negotiated.store(features.0, Relaxed);
        Ok(())
    }

    fn start(&self, _features: Features, queues: &[VqSetup]) -> Result {
        Interrupts::set_up(self.hardware(), &self.events)?;
        self.enable(queues)?;
        self.hardware().common.set_status(STARTED);
        Ok(())
    }

    fn start_queue(&self, queue: &VqSetup) -> Result {
        self.set_vector(queue.index)?;
        self.enable(core::slice::from_ref(queue))
    }

    fn stop_queue(&self, vq: VqIndex) -> Result {
        self.hardware().disable(vq.get())?;
        self.hardware().vectors.synchronize();
        Ok(())
    }

    fn queue_state(&self, vq: VqIndex) -> Result<VqState> {
        let avail_index = self.hardware().own.avail_index(vq.get())?;

        // Or it was ones, as the device is gone.
        self.hardware().common.check_present()?;
        Ok(VqState::Split { avail_index })
    }

    fn suspend(&self, started: &[VqIndex]) -> Result {
        let hardware = self.hardware();

        hardware.common.check_present()?;
        hardware.disable_all(started.iter().map(|vq| vq.get()))?;
        hardware.vectors.synchronize();
        Ok(())
    }

    fn resume(&self, _features: Features, queues: &[VqSetup]) -> Result {
        self.enable(queues)
    }

    fn halt(&self) -> Result {
        self.hardware().reset()
    }

    fn reset(&self) -> Result {
        let result = self.hardware().reset();

        Interrupts::tear_down(self.hardware());
        result
    }

    fn needs_reset(&self) -> bool {
        let common = &self.hardware().common;

        match common.status() {
            Ok(status) => status.has(Status::NEEDS_RESET) || common.is_stuck(),
            Err(_) => true,
        }
    }

    fn kick(&self, vq: VqIndex) {
        self.hardware().kick(vq.get());
    }

    fn doorbells(&self, vq: VqIndex) -> NotificationArea {
        let queue = self.hardware().queues.get(usize::from(vq));

        queue
            .and_then(|queue| queue.area)
            .unwrap_or(NotificationArea::NONE)
    }

    fn irq(&self, vq: VqIndex) -> Result<u32> {
        let interrupts = self.hardware().interrupts.lock();

        interrupts
            .as_ref()
            .and_then(|interrupts| interrupts.of_queue(vq))
            .ok_or(EINVAL)
    }

    fn config_size(&self) -> usize {
        self.hardware()
            .config
            .as_ref()
            .map_or(0, |config| config.len())
    }

    fn read_config(&self, offset: usize, buf: &mut [u8]) {
        if self.hardware().read_config(offset, buf).is_err() {
            buf.fill(0);
        }
    }

    fn write_config(&self, offset: usize, buf: &[u8]) {
        // Nothing but a device that is gone makes it fail, which the user was told.
        let _ = self.hardware().write_config(offset, buf);
    }

    fn config_generation(&self) -> u32 {
        self.hardware().common.config_generation().into()
    }
}
