// SPDX-License-Identifier: GPL-2.0

//! The device status, and suspending.

use crate::session::Session;
use kernel::{
    device::Bound,
    prelude::*, //
};
use vdpa::{
    bindings::VHOST_BACKEND_F_IOTLB_PERSIST,
    Device,
    Status,
    Vq, //
};

/// Whether a device with this status has its features, which do not change before the next reset.
pub(crate) fn has_features(status: Status) -> bool {
    // A driver that knows nothing of FEATURES_OK goes on without.
    status.has(Status::FEATURES_OK) || status.has(Status::DRIVER_OK)
}

impl Session {
    /// Sets the device status. 0 resets the device.
    ///
    /// # Errors
    ///
    /// `EINVAL` for taking away single bits, and what the device refuses a reset with.
    pub(crate) fn set_status(&mut self, dev: &Device<Bound>, status: Status) -> Result {
        if status == Status::default() {
            return self.reset(dev);
        }

        let old = dev.status();

        if !status.has(old) {
            return Err(EINVAL);
        }
        if has_features(status) && !has_features(old) {
            self.install_calls(dev)?;
        }
        dev.set_status(status);

        if status.has(Status::DRIVER_OK) && !old.has(Status::DRIVER_OK) {
            self.connect_irqs(dev);
        }
        self.update_doorbells(dev, status)
    }

    /// Resets the device. Eventfds and mappings stay; the device forgets the latter only if the
    /// process has not asked for them to persist. Those of virtqueues are announced when the device
    /// has features again.
    fn reset(&mut self, dev: &Device<Bound>) -> Result {
        self.disconnect_irqs();
        self.doorbells.withdraw();
        self.suspended = false;
        self.packed = false;
        self.ring_reset = false;
        self.vq_num_max = 0;
        self.callbacks.reset(dev, self.clean_map())?;
        // Some devices derive it from what was set up.
        self.vq_num_max = dev.vq_num_max();
        if self.callbacks.config().get().is_some() {
            self.callbacks.install_config(dev)?;
        }
        self.update_doorbells(dev, Status::default())
    }

    /// Whether devices that used to forget all mappings at a reset have to go on doing so.
    pub(crate) fn clean_map(&self) -> bool {
        !self.backend_features.has(VHOST_BACKEND_F_IOTLB_PERSIST)
    }

    /// Stops all virtqueues without losing their state. A device without DRIVER_OK has nothing to
    /// stop.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` where the device cannot, and what it refuses it with.
    pub(crate) fn suspend(&mut self, dev: &Device<Bound>) -> Result {
        if dev.status().has(Status::DRIVER_OK) {
            dev.suspend()?;
            self.suspended = true;
        }
        Ok(())
    }

    /// Goes on after [`suspend`](Self::suspend).
    ///
    /// # Errors
    ///
    /// As for [`suspend`](Self::suspend).
    pub(crate) fn resume(&mut self, dev: &Device<Bound>) -> Result {
        if dev.status().has(Status::DRIVER_OK) {
            dev.resume()?;
            self.suspended = false;
        }
        Ok(())
    }

    /// Whether the device may be looking at a virtqueue, which then cannot be set up. Not so at one
    /// that is disabled where a driver can [reset](Self::ring_reset) it: virtio 1.3, section 2.6.1.
    pub(crate) fn is_running(&self, dev: &Device<Bound>, vq: Vq<'_>) -> bool {
        dev.status().has(Status::DRIVER_OK)
            && !self.suspended
            && (!self.ring_reset || vq.is_ready())
    }
}
