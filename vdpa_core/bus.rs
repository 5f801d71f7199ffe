// SPDX-License-Identifier: GPL-2.0

//! The bus: `/sys/bus/vdpa`.
//!
//! Every driver is able to drive every device; which one does is decided by the order of loading,
//! or by an administrator through the file `driver_override` of a device, which the driver core
//! provides.
//!
//! # Locking
//!
//! The driver core holds the device's lock while it probes and removes.

use core::ptr::NonNull;
use kernel::{
    container_of,
    device::{
        Bound,
        DeviceContext, //
    },
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    str::as_char_ptr_in_const_context, //
};
use vdpa::{
    bindings,
    Device, //
};

/// A `struct bus_type` that is never changed.
struct BusType(bindings::bus_type);

// SAFETY: It is never changed, and what it points to neither.
unsafe impl Sync for BusType {}

static BUS: BusType = BusType(bindings::bus_type {
    name: as_char_ptr_in_const_context(c"vdpa"),
    match_: Some(match_driver),
    probe: Some(probe),
    remove: Some(remove),
    driver_override: true,
    ..pin_init::zeroed()
});

/// The bus, for C functions.
pub(crate) fn as_raw() -> *const bindings::bus_type {
    &raw const BUS.0
}

/// The bus, registered until this is dropped.
pub(crate) struct Registration(());

/// Registers the bus.
pub(crate) fn register() -> Result<Registration> {
    // SAFETY: The bus is a static, and is registered once.
    to_result(unsafe { bindings::bus_register(as_raw()) })?;
    Ok(Registration(()))
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: It was registered by `register()`.
        unsafe { bindings::bus_unregister(as_raw()) };
    }
}

/// Wraps a device of the bus.
///
/// # Safety
///
/// `ptr` must be a device of the bus, valid and in the state that `Ctx` stands for during `'a`.
unsafe fn from_device<'a, Ctx: DeviceContext>(ptr: *mut bindings::device) -> &'a Device<Ctx> {
    // SAFETY: By the safety requirements of this function; all devices of the bus are part of a
    // `struct vdpa_device`.
    unsafe { Device::from_raw(container_of!(ptr, bindings::vdpa_device, dev)) }
}

/// # Safety
///
/// `dev` must be a device of the bus, `drv` a driver on it.
unsafe extern "C" fn match_driver(
    dev: *mut bindings::device,
    drv: *const bindings::device_driver,
) -> c_int {
    // SAFETY: By the safety requirements of this function.
    let wanted = unsafe { bindings::rust_vdpa_device_match_driver_override(dev, drv) };

    // Negative: no override is set, so any driver will do.
    if wanted < 0 {
        1
    } else {
        wanted
    }
}

/// # Safety
///
/// Must be called by the driver core: `dev` is a device of the bus, locked, with its driver set.
unsafe extern "C" fn probe(dev: *mut bindings::device) -> c_int {
    // SAFETY: By the safety requirements of this function.
    let dev: &Device<Bound> = unsafe { from_device(dev) };

    from_result(|| {
        set_dma_mask(dev)?;
        check_vq_sizes(dev)?;

        // SAFETY: By the safety requirements of this function.
        match unsafe { driver(dev) }.and_then(|driver| driver.probe) {
            // SAFETY: The operation is that of the driver which is to get this device.
            Some(op) => to_result(unsafe { op(dev.as_raw()) }).map(|()| 0),
            None => Ok(0),
        }
    })
}

/// # Safety
///
/// As for [`probe`]; the device was probed with success.
unsafe extern "C" fn remove(dev: *mut bindings::device) {
    // SAFETY: By the safety requirements of this function.
    let dev: &Device<Bound> = unsafe { from_device(dev) };

    // SAFETY: As above.
    if let Some(op) = unsafe { driver(dev) }.and_then(|driver| driver.remove) {
        // SAFETY: The operation is that of the driver which has this device.
        unsafe { op(dev.as_raw()) };
    }
}

/// The driver of a device.
///
/// # Safety
///
/// The device must be locked.
unsafe fn driver(dev: &Device<Bound>) -> Option<&bindings::vdpa_driver> {
    // SAFETY: The device is valid, and its driver does not change while it is locked.
    let driver = NonNull::new(unsafe { (*dev.as_raw()).dev.driver })?;

    // SAFETY: All drivers on this bus were registered as a `struct vdpa_driver`.
    Some(unsafe { &*container_of!(driver.as_ptr(), bindings::vdpa_driver, driver) })
}

/// Lets the device reach all of memory, as far as the platform is concerned.
fn set_dma_mask(dev: &Device<Bound>) -> Result {
    // SAFETY: The device is valid, and it is being probed, so nobody else changes the mask.
    to_result(unsafe {
        let dev = &raw mut (*dev.as_raw()).dev;

        (*dev).dma_mask = &raw mut (*dev).coherent_dma_mask;
        bindings::dma_set_mask_and_coherent(dev, u64::MAX)
    })
}

/// Refuses a device that no size of virtqueue is right for.
fn check_vq_sizes(dev: &Device<Bound>) -> Result {
    let (min, max) = (dev.vq_num_min(), dev.vq_num_max());

    if max < min {
        dev_err!(
            dev.as_ref(),
            "virtqueue sizes {} to {} refused: the largest must not be below the smallest\n",
            min,
            max,
        );
        return Err(EINVAL);
    }
    Ok(())
}
