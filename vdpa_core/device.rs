// SPDX-License-Identifier: GPL-2.0

//! Devices on the bus.

use kernel::prelude::*;
use vdpa::{
    bindings,
    rwsem::RwSem,
    Device,
    Features,
    Status, //
};

/// A device on the bus, which may have a driver or not.
///
/// A [`Device<Bound>`](Device) has a driver, and can be asked for more: what is tied to a driver's
/// being there, for one.
///
/// # Invariants
///
/// The device is valid and registered during `'a`, so its parent serves the operations of its
/// table.
#[derive(Clone, Copy)]
pub(crate) struct Registered<'a>(&'a Device);

/// Calls an operation of the device's table. [`None`] where the table does not have it.
macro_rules! call {
    ($dev:expr, $op:ident) => {
        $dev.ops().$op.map(|op| {
            // SAFETY: By the type invariant of `Registered`; the operation belongs to this device.
            unsafe { op($dev.as_raw()) }
        })
    };
}

impl<'a> Registered<'a> {
    /// Wraps a device.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid, and registered, during `'a`.
    pub(crate) unsafe fn from_raw(ptr: *mut bindings::vdpa_device) -> Self {
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: As above.
        Self(unsafe { Device::from_raw(ptr) })
    }

    /// The C structure.
    pub(crate) fn as_raw(self) -> *mut bindings::vdpa_device {
        self.0.as_raw()
    }

    /// The name of the device.
    pub(crate) fn name(self) -> &'a CStr {
        self.0.as_ref().name()
    }

    /// The number of virtqueues.
    pub(crate) fn nvqs(self) -> u32 {
        self.0.nvqs()
    }

    /// The parent's operations.
    pub(crate) fn ops(self) -> &'a bindings::vdpa_config_ops {
        // SAFETY: By the type invariant. A device has a table, which is not changed once it is
        // registered.
        unsafe { &*(*self.as_raw()).config }
    }

    /// The lock of the configuration.
    pub(crate) fn cf_lock(self) -> &'a RwSem<()> {
        // SAFETY: The lock was initialised when the device was made, and stays in its place.
        unsafe { RwSem::from_raw(&raw mut (*self.as_raw()).cf_lock) }
    }

    /// The virtio device id (`uapi/linux/virtio_ids.h`); 0 if the parent does not say.
    pub(crate) fn device_id(self) -> u32 {
        call!(self, get_device_id).unwrap_or(0)
    }

    /// The vendor id; 0 if the parent does not say.
    pub(crate) fn vendor_id(self) -> u32 {
        call!(self, get_vendor_id).unwrap_or(0)
    }

    /// The features that the device offers.
    pub(crate) fn device_features(self) -> Features {
        Features(call!(self, get_device_features).unwrap_or(0))
    }

    /// The features that the driver has accepted.
    pub(crate) fn driver_features(self) -> Features {
        Features(call!(self, get_driver_features).unwrap_or(0))
    }

    /// The device status.
    pub(crate) fn status(self) -> Status {
        Status(call!(self, get_status).unwrap_or(0))
    }

    /// The largest size of a virtqueue, in descriptors.
    pub(crate) fn vq_num_max(self) -> u16 {
        call!(self, get_vq_num_max).unwrap_or(0)
    }

    /// The smallest size of a virtqueue, in descriptors; 1 if the parent does not say.
    pub(crate) fn vq_num_min(self) -> u16 {
        call!(self, get_vq_num_min).unwrap_or(1)
    }

    /// The size of the configuration space in bytes; unlimited if the parent does not say.
    pub(crate) fn config_size(self) -> usize {
        call!(self, get_config_size).unwrap_or(usize::MAX)
    }
}
