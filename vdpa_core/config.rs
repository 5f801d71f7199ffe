// SPDX-License-Identifier: GPL-2.0

//! What a device's `cf_lock` protects: its configuration space, status and negotiated features.
//!
//! # Locking
//!
//! `cf_lock` is held for reading while configuration is read, and for writing while anything is
//! changed. Consumers in other modules take it too, by the inline functions of `<linux/vdpa.h>`.
//! Code that holds it must not call the exported functions, which take it themselves.

use crate::{
    device::Registered,
    genl::{
        Extack,
        Message, //
    }, //
};
use kernel::{
    error::to_result,
    pr_warn_once,
    prelude::*, //
};
use vdpa::{
    bindings,
    rwsem::{
        ReadGuard,
        WriteGuard, //
    },
    Features,
    Status, //
};

/// A device whose `cf_lock` is held.
pub(crate) struct Locked<'a, Guard> {
    dev: Registered<'a>,
    _guard: Guard,
}

/// A device whose `cf_lock` is held for reading.
pub(crate) type Shared<'a> = Locked<'a, ReadGuard<'a, ()>>;

/// A device whose `cf_lock` is held for writing.
pub(crate) type Exclusive<'a> = Locked<'a, WriteGuard<'a, ()>>;

/// Locks a device's configuration against changes.
pub(crate) fn lock_shared(dev: Registered<'_>) -> Shared<'_> {
    let _guard = dev.cf_lock().read();

    Locked { dev, _guard }
}

/// Locks a device's configuration to change it.
pub(crate) fn lock_exclusive(dev: Registered<'_>) -> Exclusive<'_> {
    let _guard = dev.cf_lock().write();

    Locked { dev, _guard }
}

/// Reads configuration for a driver, see [`Locked::read_config`].
///
/// A driver is not supposed to do so before it has accepted features. One that does is taken for a
/// legacy driver (virtio 1.3, section 2.2.3 "Legacy Interface"), which accepts none.
pub(crate) fn read_for_driver(dev: Registered<'_>, offset: u32, buf: &mut [u8]) {
    let shared = lock_shared(dev);

    if shared.features_valid() {
        return shared.read_config(offset, buf);
    }
    drop(shared);

    let exclusive = lock_exclusive(dev);

    // Somebody else may have held the lock in between.
    if !exclusive.features_valid() {
        exclusive.accept_no_features();
    }
    exclusive.read_config(offset, buf);
}

impl<Guard> Locked<'_, Guard> {
    fn ops(&self) -> &bindings::vdpa_config_ops {
        self.dev.ops()
    }

    /// Whether a driver has accepted features since the last reset.
    fn features_valid(&self) -> bool {
        // SAFETY: The device is valid, and the flag is protected by the lock that is held.
        unsafe { (*self.dev.as_raw()).features_valid }
    }

    /// The features that the driver has accepted, once there is a [`Status::FEATURES_OK`].
    pub(crate) fn negotiated_features(&self) -> Option<Features> {
        (self.dev.status())
            .has(Status::FEATURES_OK)
            .then(|| self.dev.driver_features())
    }

    /// Fills `buf` from the configuration space.
    ///
    /// What lies behind the end of the space is zero, and the parent is not asked for it: some
    /// parents leave the buffer as it is where a part of it is out of range.
    pub(crate) fn read_config(&self, offset: u32, buf: &mut [u8]) {
        let len = buf
            .len()
            .min(self.dev.config_size().saturating_sub(offset as usize));

        buf.fill(0);
        if len == 0 {
            return;
        }
        if let Some(op) = self.ops().get_config {
            let ptr = buf.as_mut_ptr().cast();

            // SAFETY: The operation belongs to this device; the buffer has `len` bytes.
            unsafe { op(self.dev.as_raw(), offset, ptr, len as u32) };
        }
    }

    /// Whether the parent keeps statistics.
    pub(crate) fn has_vendor_vq_stats(&self) -> bool {
        self.ops().get_vendor_vq_stats.is_some()
    }

    /// Lets the parent add its statistics of virtqueue `index` to a message.
    ///
    /// # Errors
    ///
    /// Those of the parent; `EOPNOTSUPP` if it keeps none.
    pub(crate) fn vendor_vq_stats(
        &self,
        index: u16,
        msg: &mut Message<'_>,
        extack: Extack<'_>,
    ) -> Result {
        let op = self.ops().get_vendor_vq_stats.ok_or(EOPNOTSUPP)?;

        // SAFETY: The operation belongs to this device; message and extended acknowledgement are
        // valid, and nobody else uses them during the call.
        to_result(unsafe { op(self.dev.as_raw(), index, msg.as_raw(), extack.as_raw()) })
    }
}

impl Exclusive<'_> {
    /// Negotiates an empty set of features.
    ///
    /// Whether the device agrees is its driver's concern, who has not asked.
    fn accept_no_features(&self) {
        // SAFETY: The device is valid, and the flag is protected by the lock that is held.
        unsafe { (*self.dev.as_raw()).features_valid = true };
        if let Some(op) = self.ops().set_driver_features {
            // SAFETY: The operation belongs to this device.
            unsafe { op(self.dev.as_raw(), 0) };
        }
    }

    /// Sets the device status.
    pub(crate) fn set_status(&self, status: Status) {
        if let Some(op) = self.ops().set_status {
            // SAFETY: The operation belongs to this device.
            unsafe { op(self.dev.as_raw(), status.0) };
        }
    }

    /// Writes `data` to the configuration space.
    ///
    /// There is no way to report an error. A write that does not lie within the space is ignored.
    pub(crate) fn write_config(&self, offset: u32, data: &[u8]) {
        let size = self.dev.config_size();
        let end = (offset as usize).checked_add(data.len());

        if end.is_none_or(|end| end > size) {
            pr_warn_once!(
                "{}: ignored a write of {} bytes at {} to a configuration space of {} bytes\n",
                self.dev.name(),
                data.len(),
                offset,
                size,
            );
            return;
        }
        if let Some(op) = self.ops().set_config {
            let (ptr, len) = (data.as_ptr().cast(), data.len() as u32);

            // SAFETY: The operation belongs to this device; the buffer is as long as is said.
            unsafe { op(self.dev.as_raw(), offset, ptr, len) };
        }
    }
}
