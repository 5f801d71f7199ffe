// SPDX-License-Identifier: GPL-2.0

//! Devices without a bus.

use crate::bindings;
use core::ptr::{
    null_mut,
    NonNull, //
};
use kernel::{
    device,
    error::from_err_ptr,
    prelude::*,
    ThisModule, //
};

/// A device at the root of the device tree: `/sys/devices/<name>`.
///
/// It stands for a management device that is no hardware. C: `root_device_register()`.
///
/// # Invariants
///
/// The pointer is to a root device that is registered until this is dropped.
#[doc(alias = "root_device_unregister")]
pub struct RootDevice(NonNull<bindings::device>);

impl RootDevice {
    /// Registers a root device.
    ///
    /// # Errors
    ///
    /// `EEXIST` where the name is taken, `ENOMEM`.
    #[doc(alias = "root_device_register")]
    #[doc(alias = "__root_device_register")]
    #[inline]
    pub fn new(name: &CStr, module: &'static ThisModule) -> Result<Self> {
        // SAFETY: The name is copied; the module lives as long as its code.
        let dev = from_err_ptr(unsafe {
            bindings::__root_device_register(name.as_char_ptr(), module.as_ptr())
        })?;

        // INVARIANT: Registered just above.
        Ok(Self(NonNull::new(dev).ok_or(ENODEV)?))
    }
}

impl AsRef<device::Device> for RootDevice {
    #[inline]
    fn as_ref(&self) -> &device::Device {
        // SAFETY: By the type invariant the device is valid for as long as `self`.
        unsafe { device::Device::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for RootDevice {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is registered.
        unsafe { bindings::root_device_unregister(self.0.as_ptr()) };
    }
}

// SAFETY: A root device can be used and unregistered from any thread.
unsafe impl Send for RootDevice {}

// SAFETY: All that is shared is a `device::Device`, which is `Sync`.
unsafe impl Sync for RootDevice {}

/// The pointer of a device, or NULL.
#[inline]
pub(crate) fn as_raw(dev: Option<&device::Device>) -> *mut bindings::device {
    // CAST: `device::Device` is a transparent wrapper of `struct device`.
    dev.map_or(null_mut(), |dev| core::ptr::from_ref(dev).cast_mut().cast())
}
