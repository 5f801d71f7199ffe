// SPDX-License-Identifier: GPL-2.0

//! The functions of `<linux/vdpa.h>`, as other modules call them.
//!
//! exports.c makes them visible to other modules. Their semantics and error numbers are those of
//! `drivers/vdpa/vdpa.c`.

use crate::{
    bus,
    config,
    device::Registered,
    devices,
    lifecycle,
    mgmtdev::MgmtDev,
    registry, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::from_result,
    prelude::*,
    warn_on, //
};
use vdpa::{
    bindings,
    Device,
    Status, //
};

/// Makes the compiler compare functions with their prototypes in the header.
macro_rules! check_prototypes {
    ($($name:ident),* $(,)?) => {
        $(const _: () = {
            // The two arms have to have one type.
            let _ = if true { bindings::$name } else { $name };
        };)*
    };
}

check_prototypes!(
    __vdpa_alloc_device,
    _vdpa_register_device,
    vdpa_register_device,
    _vdpa_unregister_device,
    vdpa_unregister_device,
    __vdpa_register_driver,
    vdpa_unregister_driver,
    vdpa_mgmtdev_register,
    vdpa_mgmtdev_unregister,
    vdpa_get_config,
    vdpa_set_config,
    vdpa_set_status,
);

/// Allocates a device; parents use the macro `vdpa_alloc_device()`.
///
/// Returns an error pointer: `EINVAL` if the operations are missing or contradict each other, if
/// `size` is too small, or if `name` cannot be the name of a device; `ENOMEM`.
///
/// # Safety
///
/// `parent` and `map` must be NULL or valid, and `config` too, until the device is released.
/// `name` must be NULL or a C string. The first `size_of::<vdpa_device>()` of the `size` bytes are
/// the device.
#[no_mangle]
pub(crate) unsafe extern "C" fn __vdpa_alloc_device(
    parent: *mut bindings::device,
    config: *const bindings::vdpa_config_ops,
    map: *const bindings::virtio_map_ops,
    ngroups: c_uint,
    nas: c_uint,
    size: usize,
    name: *const c_char,
    use_va: bool,
) -> *mut bindings::vdpa_device {
    // SAFETY: By the safety requirements of this function.
    let Some(ops) = (unsafe { config.as_ref() }) else {
        return EINVAL.to_ptr();
    };
    // SAFETY: As above.
    let name = (!name.is_null()).then(|| unsafe { CStr::from_char_ptr(name) });
    let spec = lifecycle::Spec {
        parent,
        ops,
        map,
        ngroups,
        nas,
        size,
        name,
        use_va,
    };

    // SAFETY: By the safety requirements of this function.
    unsafe { lifecycle::alloc(&spec) }.map_or_else(Error::to_ptr, NonNull::as_ptr)
}

/// Registers a device, for a parent that is called by a management command.
///
/// Returns 0; `EINVAL` if the device's `mdev` is not set; `EEXIST` if its name is taken; `ENOENT`
/// if its parent is not registered; `ENOMEM`; what `device_add()` returns.
///
/// # Safety
///
/// `vdev` must be a device that is allocated and not registered, and its parent must not be
/// unregistered meanwhile. The caller must be called by a management device's `dev_add`.
#[no_mangle]
pub(crate) unsafe extern "C" fn _vdpa_register_device(
    vdev: *mut bindings::vdpa_device,
    nvqs: u32,
) -> c_int {
    from_result(|| {
        // SAFETY: By the safety requirements of this function.
        unsafe {
            if (*vdev).mdev.is_null() {
                return Err(EINVAL);
            }
            registry::assert_operating((*vdev).mdev);
            lifecycle::register(Device::from_raw(vdev), nvqs).map(|()| 0)
        }
    })
}

/// Registers a device.
///
/// Returns 0; `EEXIST` if its name is taken; `ENOENT` if its parent is not registered; `ENOMEM`;
/// what `device_add()` returns.
///
/// # Safety
///
/// `vdev` must be a device that is allocated and not registered, and its parent must not be
/// unregistered meanwhile.
#[no_mangle]
pub(crate) unsafe extern "C" fn vdpa_register_device(
    vdev: *mut bindings::vdpa_device,
    nvqs: u32,
) -> c_int {
    from_result(|| {
        // SAFETY: By the safety requirements of this function.
        unsafe { lifecycle::register(Device::from_raw(vdev), nvqs) }?;
        devices::arrive(vdev);
        Ok(0)
    })
}

/// Unregisters a device, for a parent that is called by a management command.
///
/// # Safety
///
/// `vdev` must be registered. The caller must be called by a management device's `dev_del`.
#[no_mangle]
pub(crate) unsafe extern "C" fn _vdpa_unregister_device(vdev: *mut bindings::vdpa_device) {
    // SAFETY: By the safety requirements of this function; a valid pointer is not NULL.
    unsafe {
        registry::assert_operating((*vdev).mdev);
        lifecycle::unregister(NonNull::new_unchecked(vdev));
    }
}

/// Unregisters a device.
///
/// # Safety
///
/// `vdev` must be registered.
#[no_mangle]
pub(crate) unsafe extern "C" fn vdpa_unregister_device(vdev: *mut bindings::vdpa_device) {
    // SAFETY: By the safety requirements of this function; a valid pointer is not NULL.
    unsafe { lifecycle::unregister(NonNull::new_unchecked(vdev)) };
}

/// Registers a driver; drivers use the macro `vdpa_register_driver()`.
///
/// Returns what `driver_register()` does.
///
/// # Safety
///
/// `drv` must be valid until it is unregistered; `owner` must be its module.
#[no_mangle]
pub(crate) unsafe extern "C" fn __vdpa_register_driver(
    drv: *mut bindings::vdpa_driver,
    owner: *mut bindings::module,
) -> c_int {
    // SAFETY: By the safety requirements of this function.
    unsafe {
        (*drv).driver.bus = bus::as_raw();
        (*drv).driver.owner = owner;
        bindings::driver_register(&raw mut (*drv).driver)
    }
}

/// Unregisters a driver.
///
/// # Safety
///
/// `drv` must be registered.
#[no_mangle]
pub(crate) unsafe extern "C" fn vdpa_unregister_driver(drv: *mut bindings::vdpa_driver) {
    // SAFETY: By the safety requirements of this function.
    unsafe { bindings::driver_unregister(&raw mut (*drv).driver) };
}

/// Registers a management device.
///
/// Returns 0; `EINVAL` if its device or an operation that it has to have is missing; `EEXIST` if it
/// is registered already; `ENOMEM`.
///
/// # Safety
///
/// `mdev` must be valid, and not be changed, until it is unregistered.
#[no_mangle]
pub(crate) unsafe extern "C" fn vdpa_mgmtdev_register(mdev: *mut bindings::vdpa_mgmt_dev) -> c_int {
    from_result(|| {
        // SAFETY: By the safety requirements of this function.
        let mdev = unsafe { MgmtDev::try_from_raw(mdev) }?;

        // SAFETY: As above.
        unsafe { registry::register(mdev) }.map(|()| 0)
    })
}

/// Unregisters a management device, and deletes the devices that it made.
///
/// # Safety
///
/// `mdev` must be registered.
#[no_mangle]
pub(crate) unsafe extern "C" fn vdpa_mgmtdev_unregister(mdev: *mut bindings::vdpa_mgmt_dev) {
    warn_on!(!registry::unregister(mdev));
}

/// Reads from the configuration space, for a driver.
///
/// # Safety
///
/// `vdev` must be registered, `buf` valid for writes of `len` bytes. The device's `cf_lock` must
/// not be held by the caller.
#[no_mangle]
pub(crate) unsafe extern "C" fn vdpa_get_config(
    vdev: *mut bindings::vdpa_device,
    offset: c_uint,
    buf: *mut c_void,
    len: c_uint,
) {
    // SAFETY: By the safety requirements of this function.
    let dev = unsafe { Registered::from_raw(vdev) };
    let buf: &mut [u8] = if len == 0 {
        &mut []
    } else {
        // SAFETY: As above; after the first call the bytes are initialised.
        unsafe {
            ptr::write_bytes(buf.cast::<u8>(), 0, len as usize);
            core::slice::from_raw_parts_mut(buf.cast(), len as usize)
        }
    };

    config::read_for_driver(dev, offset, buf);
}

/// Writes to the configuration space, for a driver.
///
/// # Safety
///
/// `vdev` must be registered, `buf` valid for reads of `length` bytes. The device's `cf_lock` must
/// not be held by the caller.
#[no_mangle]
pub(crate) unsafe extern "C" fn vdpa_set_config(
    vdev: *mut bindings::vdpa_device,
    offset: c_uint,
    buf: *const c_void,
    length: c_uint,
) {
    // SAFETY: By the safety requirements of this function.
    let dev = unsafe { Registered::from_raw(vdev) };
    let data: &[u8] = if length == 0 {
        &[]
    } else {
        // SAFETY: As above.
        unsafe { core::slice::from_raw_parts(buf.cast(), length as usize) }
    };

    config::lock_exclusive(dev).write_config(offset, data);
}

/// Sets the device status, for a driver.
///
/// # Safety
///
/// `vdev` must be registered. Its `cf_lock` must not be held by the caller.
#[no_mangle]
pub(crate) unsafe extern "C" fn vdpa_set_status(vdev: *mut bindings::vdpa_device, status: u8) {
    // SAFETY: By the safety requirements of this function.
    let dev = unsafe { Registered::from_raw(vdev) };

    config::lock_exclusive(dev).set_status(Status(status));
}
