// SPDX-License-Identifier: GPL-2.0

//! A vDPA device that a function's hardware is.

use crate::{
    hardware::Hardware,
    interrupts::Interrupts,
    management::Claim, //
};
use kernel::{
    alloc::KVVec,
    prelude::*,
    sync::Arc, //
};
use vdpa::{
    bindings,
    Callback,
    ConfigOps,
    Features,
    GroupId,
    NotificationArea,
    Status,
    VqAddress,
    VqIndex,
    VqState, //
};

/// The smallest size of a virtqueue that the hardware works well with.
const SIZE_MIN: u16 = 64;

/// What a driver has set up of a virtqueue.
#[derive(Clone, Copy, Default)]
struct QueueState {
    /// The number of descriptors; [`None`] for as many as the device has.
    num: Option<u32>,
    /// It is started, or will be when the driver is ready, or the device resumed.
    ready: bool,
}

/// What a driver has set up.
pub(crate) struct State {
    features: Features,
    queues: KVVec<QueueState>,
    /// There since the driver is ready.
    interrupts: Option<Interrupts>,
    /// The driver is ready. Before that no virtqueue is enabled: drivers may say that one is ready
    /// and only then where it is, but no device has to know how to deal with that (virtio 1.3,
    /// section 4.1.4.3.2).
    running: bool,
    /// Virtqueues that are ready are not enabled.
    suspended: bool,
    /// Nothing was set since a reset was asked for, whatever came of it.
    reset: bool,
}

impl State {
    pub(crate) fn new(queues: usize) -> Result<Self> {
        Ok(Self {
            features: Features::default(),
            queues: KVVec::from_elem(QueueState::default(), queues, GFP_KERNEL)?,
            interrupts: None,
            running: false,
            suspended: false,
            reset: false,
        })
    }

    /// As after a reset. Returns whether there were interrupts.
    fn clear(&mut self) -> bool {
        self.features = Features::default();
        self.queues.fill(QueueState::default());
        self.running = false;
        self.suspended = false;
        self.reset = true;
        self.interrupts.take().is_some()
    }

    fn queue(&self, vq: VqIndex) -> QueueState {
        self.queues
            .get(usize::from(vq))
            .copied()
            .unwrap_or_default()
    }

    /// Whether the device is told of virtqueues that become ready.
    fn starts_queues(&self) -> bool {
        self.running && !self.suspended
    }

    /// The numbers of the virtqueues that are ready, in ascending order.
    fn ready(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        (0..u16::MAX)
            .zip(self.queues.iter())
            .filter_map(|(index, queue)| queue.ready.then_some(index))
    }
}

/// A device, as the vDPA bus sees it.
pub(crate) struct Vf {
    hardware: Arc<Hardware>,
    /// What the user who made it wants it to offer.
    offered: Features,
    pub(crate) claim: Claim,
}

impl Vf {
    pub(crate) fn new(hardware: Arc<Hardware>, offered: Features, claim: Claim) -> Self {
        Self {
            hardware,
            offered,
            claim,
        }
    }

    /// The largest size of a virtqueue, 0 for one that is unavailable.
    fn size_max(&self, vq: VqIndex) -> u16 {
        self.hardware
            .queues
            .get(usize::from(vq))
            .and_then(|queue| queue.size_max)
            .unwrap_or(0)
    }

    /// The size of a virtqueue as a device can be told; [`None`] where it has none like that.
    fn valid_size(&self, vq: VqIndex, num: u32) -> Option<u16> {
        u16::try_from(num)
            .ok()
            .filter(|num| num.is_power_of_two() && *num <= self.size_max(vq))
    }

    fn start_queue(&self, state: &mut State, vq: VqIndex) -> Result {
        let num = state.queue(vq).num.unwrap_or(self.size_max(vq).into());

        if self.valid_size(vq, num).is_none() {
            if self.hardware.log.allows() {
                dev_err!(
                    self.hardware.dev,
                    "virtqueue {} not started: {num} descriptors, must be a power of two up to {}\n",
                    vq.get(),
                    self.size_max(vq)
                );
            }
            return Err(EINVAL);
        }
        if state.starts_queues() {
            self.hardware.enable(vq.get())?;
        }
        Ok(())
    }

    fn stop_queue(&self, state: &mut State, vq: VqIndex) -> Result {
        if state.queue(vq).ready && state.starts_queues() {
            self.hardware.disable(vq.get())?;
        }
        Ok(())
    }

    fn try_set_status(&self, status: Status) -> Result {
        let mut state = self.hardware.state.lock();

        state.reset = false;
        let old = self.hardware.registers.status()?;
        if self.hardware.registers.is_stuck() {
            return Err(EIO);
        }
        if old == status {
            return Ok(());
        }
        if status.has(Status::DRIVER_OK) && !state.running {
            self.start(&mut state)?;
        }
        self.hardware.registers.set_status(status)
    }

    /// Prepares the device for a driver that is ready.
    fn start(&self, state: &mut State) -> Result {
        if state.interrupts.is_none() {
            state.interrupts = Some(Interrupts::set_up(&self.hardware)?);
        }
        self.hardware.enable_all(state.ready())?;
        state.running = true;
        Ok(())
    }
}

#[vtable]
impl ConfigOps for Vf {
    fn set_vq_address(&self, vq: VqIndex, address: VqAddress) -> Result {
        self.hardware.registers.check_present()?;
        self.hardware
            .selectors
            .lock()
            .queue(vq.get())?
            .set_address(address)
    }

    fn set_vq_num(&self, vq: VqIndex, num: u32) {
        let mut state = self.hardware.state.lock();

        if let Some(queue) = state.queues.get_mut(usize::from(vq)) {
            queue.num = Some(num);
        }
        if let Some(num) = self.valid_size(vq, num) {
            let mut selectors = self.hardware.selectors.lock();

            // Nothing but a device that is gone makes it fail, and that is found in each step.
            let _ = selectors
                .queue(vq.get())
                .and_then(|mut queue| queue.set_size(num));
        }
    }

    fn kick_vq(&self, vq: VqIndex) {
        self.hardware.kick(vq.get());
    }

    fn vq_callback(&self, vq: VqIndex) -> Option<Arc<Callback>> {
        self.hardware.lines.queues.get(usize::from(vq)).cloned()
    }

    fn config_callback(&self) -> Option<Arc<Callback>> {
        Some(self.hardware.lines.config.clone())
    }

    fn set_vq_ready(&self, vq: VqIndex, ready: bool) {
        let mut state = self.hardware.state.lock();

        if self.hardware.registers.check_present().is_err() {
            return;
        }
        let result = if ready {
            self.start_queue(&mut state, vq)
        } else {
            self.stop_queue(&mut state, vq)
        };
        if let Some(queue) = state.queues.get_mut(usize::from(vq)) {
            queue.ready = match result {
                Ok(()) => ready,
                // What would not stop goes on.
                Err(_) => !ready && queue.ready,
            };
        }
    }

    fn get_vq_ready(&self, vq: VqIndex) -> bool {
        self.hardware.state.lock().queue(vq).ready
    }

    fn set_vq_state(&self, vq: VqIndex, state: VqState) -> Result {
        let VqState::Split { avail_index } = state else {
            return Err(EOPNOTSUPP);
        };

        self.hardware.registers.check_present()?;
        self.hardware.set_avail_index(vq.get(), avail_index)
    }

    fn get_vq_state(&self, vq: VqIndex) -> Result<VqState> {
        let avail_index = self.hardware.avail_index(vq.get())?;

        // Or it was ones, as the device is gone.
        self.hardware.registers.check_present()?;
        Ok(VqState::Split { avail_index })
    }

    fn get_vq_notification(&self, vq: VqIndex) -> NotificationArea {
        let queue = self.hardware.queues.get(usize::from(vq));

        queue
            .and_then(|queue| queue.area)
            .unwrap_or(NotificationArea::NONE)
    }

    fn get_vq_irq(&self, vq: VqIndex) -> Result<u32> {
        let state = self.hardware.state.lock();

        state
            .interrupts
            .as_ref()
            .and_then(|interrupts| interrupts.of_queue(vq.into()))
            .ok_or(EINVAL)
    }

    fn get_vq_size(&self, vq: VqIndex) -> u16 {
        let num = self.hardware.state.lock().queue(vq).num;

        num.and_then(|num| self.valid_size(vq, num))
            .unwrap_or(self.size_max(vq))
    }

    fn get_vq_group(&self, _vq: VqIndex) -> GroupId {
        GroupId(0)
    }

    fn get_device_features(&self) -> Features {
        self.offered
    }

    fn set_driver_features(&self, features: Features) -> Result {
        let missing = features.difference(self.offered);

        if !missing.is_empty() {
            if self.hardware.log.allows() {
                dev_err!(
                    self.hardware.dev,
                    "the driver wants features {:#x}, of {:#x} that are offered\n",
                    missing.0,
                    self.offered.0
                );
            }
            return Err(EINVAL);
        }
        if !features.is_empty() && !features.has(bindings::VIRTIO_F_ACCESS_PLATFORM) {
            if self.hardware.log.allows() {
                dev_err!(
                    self.hardware.dev,
                    "the driver does not accept VIRTIO_F_ACCESS_PLATFORM (bit 33), but must\n"
                );
            }
            return Err(EINVAL);
        }

        let mut state = self.hardware.state.lock();
        self.hardware.registers.check_present()?;
        self.hardware
            .selectors
            .lock()
            .set_driver_features(features)?;
        state.features = features;
        Ok(())
    }

    fn get_driver_features(&self) -> Features {
        self.hardware.state.lock().features
    }

    fn get_vq_num_max(&self) -> u16 {
        let sizes = self.hardware.queues.iter().filter_map(|q| q.size_max);

        sizes.max().unwrap_or(0)
    }

    fn get_vq_num_min(&self) -> u16 {
        SIZE_MIN
    }

    fn get_device_id(&self) -> u32 {
        self.hardware.device_id
    }

    fn get_vendor_id(&self) -> u32 {
        self.hardware.vendor_id
    }

    fn get_status(&self) -> Status {
        match self.hardware.registers.status() {
            Ok(status) if !self.hardware.registers.is_stuck() => status,
            // Who resets a device last of all wants to see that it is.
            _ if self.hardware.state.lock().reset => Status::default(),
            // Drivers do not go on with a device that does not do what it is told.
            _ => Status::NEEDS_RESET,
        }
    }

    fn set_status(&self, status: Status) {
        // The user was told; the driver sees that the status is not what it has set.
        let _ = self.try_set_status(status);
    }

    fn reset(&self) -> Result {
        let mut state = self.hardware.state.lock();
        let result = self.hardware.registers.reset();

        match result {
            Ok(()) => self.hardware.function.allow_dma(),
            // It may still be using the virtqueues, whose memory is free for others soon. So may
            // one that only seemed to be gone.
            Err(_) => {
                if self.hardware.log.allows() {
                    dev_err!(self.hardware.dev, "no DMA until a reset succeeds\n");
                }
                self.hardware.function.forbid_dma();
            }
        }
        if state.clear() {
            Interrupts::tear_down(&self.hardware);
        }
        result
    }

    fn suspend(&self) -> Result {
        let mut state = self.hardware.state.lock();

        self.hardware.registers.check_present()?;
        if state.suspended || !state.running {
            return Ok(());
        }
        self.hardware.disable_all(state.ready())?;
        state.suspended = true;
        Ok(())
    }

    fn resume(&self) -> Result {
        let mut state = self.hardware.state.lock();

        self.hardware.registers.check_present()?;
        if !state.suspended {
            return Ok(());
        }
        self.hardware.enable_all(state.ready())?;
        // Kicks went unheard meanwhile.
        for queue in state.ready() {
            self.hardware.kick(queue);
        }
        state.suspended = false;
        Ok(())
    }

    fn get_config_size(&self) -> usize {
        self.hardware.config.len()
    }

    fn get_config(&self, offset: usize, buf: &mut [u8]) {
        if self.hardware.read_config(offset, buf).is_err() {
            buf.fill(0);
        }
    }

    fn set_config(&self, offset: usize, buf: &[u8]) {
        // Nothing but a device that is gone makes it fail, which the user was told.
        let _ = self.hardware.write_config(offset, buf);
    }

    fn get_generation(&self) -> u32 {
        self.hardware
            .registers
            .config_generation()
            .unwrap_or_default()
            .into()
    }
}
