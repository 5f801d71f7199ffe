// SPDX-License-Identifier: GPL-2.0

//! A vDPA device that a function's hardware is.

use crate::{
    hardware::Hardware,
    interrupts::Interrupts,
    management::Claim, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use vdpa::{
    bindings,
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

/// The smallest size of a virtqueue that the hardware works well with.
const SIZE_MIN: u16 = 64;

/// What the device is told when it is to take features, and when it is to start.
const NEGOTIATED: Status = Status::ACKNOWLEDGE
    .with(Status::DRIVER)
    .with(Status::FEATURES_OK);
const STARTED: Status = NEGOTIATED.with(Status::DRIVER_OK);

/// A device, as the vDPA bus sees it.
pub(crate) struct Vf {
    hardware: Arc<Hardware>,
    /// What the user who made it wants it to offer.
    offered: Features,
    events: Arc<Events>,
    pub(crate) claim: Claim,
}

impl Vf {
    pub(crate) fn new(
        hardware: Arc<Hardware>,
        offered: Features,
        events: Arc<Events>,
        claim: Claim,
    ) -> Self {
        Self {
            hardware,
            offered,
            events,
            claim,
        }
    }

    /// Tells the device of a virtqueue, which is not enabled.
    fn set_up(&self, queue: &VqSetup) -> Result {
        let VqState::Split { avail_index } = queue.state else {
            return Err(EOPNOTSUPP);
        };
        let index = queue.index.get();
        let mut selectors = self.hardware.selectors.lock();
        let mut selected = selectors.queue(index)?;

        selected.set_size(queue.size)?;
        selected.set_address(queue.address)?;
        self.hardware.set_avail_index(index, avail_index)
    }

    /// Tells the device of virtqueues, and enables them: all of them, or none.
    fn enable(&self, queues: &[VqSetup]) -> Result {
        self.hardware.registers.check_present()?;
        queues.iter().try_for_each(|queue| self.set_up(queue))?;
        self.hardware
            .enable_all(queues.iter().map(|queue| queue.index.get()))
    }
}

#[vtable]
impl Parent for Vf {
    fn device_id(&self) -> u32 {
        self.hardware.device_id
    }

    fn vendor_id(&self) -> u32 {
        self.hardware.vendor_id
    }

    fn features(&self) -> Features {
        self.offered
    }

    /// Also where the device does not offer it: the platform translates all that it does.
    fn demanded(&self) -> Features {
        Features::from_bits(&[bindings::VIRTIO_F_ACCESS_PLATFORM])
    }

    fn size_max(&self, vq: VqIndex) -> u16 {
        self.hardware
            .queues
            .get(usize::from(vq))
            .and_then(|queue| queue.size_max)
            .unwrap_or(0)
    }

    fn size_min(&self) -> u16 {
        SIZE_MIN
    }

    fn negotiate(&self, features: Features) -> Result {
        let registers = &self.hardware.registers;

        registers.check_present()?;
        // Virtio 1.3, section 3.1.1.
        registers.set_status(Status::ACKNOWLEDGE)?;
        registers.set_status(Status::ACKNOWLEDGE.with(Status::DRIVER))?;
        self.hardware
            .selectors
            .lock()
            .set_driver_features(features)?;
        registers.set_status(NEGOTIATED)?;
        if registers.status()?.has(Status::FEATURES_OK) {
            Ok(())
        } else {
            Err(EOPNOTSUPP)
        }
    }

    fn start(&self, _features: Features, queues: &[VqSetup]) -> Result {
        Interrupts::set_up(&self.hardware, &self.events)?;
        self.enable(queues)?;
        self.hardware.registers.set_status(STARTED)
    }

    fn start_queue(&self, queue: &VqSetup) -> Result {
        self.enable(core::slice::from_ref(queue))
    }

    fn stop_queue(&self, vq: VqIndex) -> Result {
        self.hardware.disable(vq.get())?;
        self.hardware.vectors.synchronize();
        Ok(())
    }

    fn queue_state(&self, vq: VqIndex) -> Result<VqState> {
        let avail_index = self.hardware.avail_index(vq.get())?;

        // Or it was ones, as the device is gone.
        self.hardware.registers.check_present()?;
        Ok(VqState::Split { avail_index })
    }

    fn suspend(&self, started: &[VqIndex]) -> Result {
        self.hardware.registers.check_present()?;
        self.hardware
            .disable_all(started.iter().map(|vq| vq.get()))?;
        self.hardware.vectors.synchronize();
        Ok(())
    }

    fn resume(&self, _features: Features, queues: &[VqSetup]) -> Result {
        self.enable(queues)
    }

    fn halt(&self) -> Result {
        self.hardware.reset()
    }

    fn reset(&self) -> Result {
        let result = self.hardware.reset();

        Interrupts::tear_down(&self.hardware);
        result
    }

    fn needs_reset(&self) -> bool {
        match self.hardware.registers.status() {
            Ok(status) => status.has(Status::NEEDS_RESET) || self.hardware.registers.is_stuck(),
            Err(_) => true,
        }
    }

    fn kick(&self, vq: VqIndex) {
        self.hardware.kick(vq.get());
    }

    fn doorbells(&self, vq: VqIndex) -> NotificationArea {
        let queue = self.hardware.queues.get(usize::from(vq));

        queue
            .and_then(|queue| queue.area)
            .unwrap_or(NotificationArea::NONE)
    }

    fn irq(&self, vq: VqIndex) -> Result<u32> {
        let interrupts = self.hardware.interrupts.lock();

        interrupts
            .as_ref()
            .and_then(|interrupts| interrupts.of_queue(vq))
            .ok_or(EINVAL)
    }

    fn config_size(&self) -> usize {
        self.hardware.config.len()
    }

    fn read_config(&self, offset: usize, buf: &mut [u8]) {
        if self.hardware.read_config(offset, buf).is_err() {
            buf.fill(0);
        }
    }

    fn write_config(&self, offset: usize, buf: &[u8]) {
        // Nothing but a device that is gone makes it fail, which the user was told.
        let _ = self.hardware.write_config(offset, buf);
    }

    fn config_generation(&self) -> u32 {
        self.hardware
            .registers
            .config_generation()
            .unwrap_or_default()
            .into()
    }
}
