// SPDX-License-Identifier: GPL-2.0

//! What is left of a vDPA device that was taken from the bus.
//!
//! Its parent's data is dropped when it is unregistered, as the parent's driver may be unbound then,
//! but others may hold references to the device for as long as they like. By then its consumer is
//! unbound, and nobody finds it on the bus, so none of what is here should be called but `free`;
//! whoever is late all the same gets an answer.

// What the functions demand of their callers is said once, at `GONE`.
#![expect(clippy::missing_safety_doc)]

use crate::{
    alloc::Head,
    bindings::{
        vdpa_callback,
        vdpa_config_ops,
        vdpa_device,
        vdpa_vq_state,
        PAGE_SIZE, //
    },
};
use kernel::prelude::*;

/// The operations of a device whose data is not there any more.
///
/// # Safety
///
/// All functions below are called by consumers, with a device that begins with an initialised
/// [`Head`], and as `include/linux/vdpa.h` says.
pub(crate) const GONE: vdpa_config_ops = vdpa_config_ops {
    set_vq_address: Some(set_vq_address),
    set_vq_num: Some(set_vq_num),
    kick_vq: Some(kick_vq),
    set_vq_cb: Some(set_vq_cb),
    set_vq_ready: Some(set_vq_ready),
    get_vq_ready: Some(get_vq_ready),
    set_vq_state: Some(set_vq_state),
    get_vq_state: Some(get_vq_state),
    get_vq_align: Some(get_vq_align),
    get_device_features: Some(get_features),
    set_driver_features: Some(set_driver_features),
    get_driver_features: Some(get_features),
    set_config_cb: Some(set_config_cb),
    get_vq_num_max: Some(get_vq_num_max),
    get_device_id: Some(get_id),
    get_vendor_id: Some(get_id),
    get_status: Some(get_status),
    set_status: Some(set_status),
    reset: Some(reset),
    get_config_size: Some(get_config_size),
    get_config: Some(get_config),
    set_config: Some(set_config),
    free: Some(free),
    ..pin_init::zeroed()
};

#[inline]
unsafe extern "C" fn set_vq_address(
    _vdev: *mut vdpa_device,
    _idx: u16,
    _desc: u64,
    _driver: u64,
    _device: u64,
) -> c_int {
    ENODEV.to_errno()
}

#[inline]
unsafe extern "C" fn set_vq_num(_vdev: *mut vdpa_device, _idx: u16, _num: u32) {}

#[inline]
unsafe extern "C" fn kick_vq(_vdev: *mut vdpa_device, _idx: u16) {}

#[inline]
unsafe extern "C" fn set_vq_cb(_vdev: *mut vdpa_device, _idx: u16, _cb: *mut vdpa_callback) {}

#[inline]
unsafe extern "C" fn set_vq_ready(_vdev: *mut vdpa_device, _idx: u16, _ready: bool) {}

#[inline]
unsafe extern "C" fn get_vq_ready(_vdev: *mut vdpa_device, _idx: u16) -> bool {
    false
}

#[inline]
unsafe extern "C" fn set_vq_state(
    _vdev: *mut vdpa_device,
    _idx: u16,
    _state: *const vdpa_vq_state,
) -> c_int {
    ENODEV.to_errno()
}

#[inline]
unsafe extern "C" fn get_vq_state(
    _vdev: *mut vdpa_device,
    _idx: u16,
    _state: *mut vdpa_vq_state,
) -> c_int {
    ENODEV.to_errno()
}

#[inline]
unsafe extern "C" fn get_vq_align(_vdev: *mut vdpa_device) -> u32 {
    PAGE_SIZE as u32
}

#[inline]
unsafe extern "C" fn get_features(_vdev: *mut vdpa_device) -> u64 {
    0
}

#[inline]
unsafe extern "C" fn set_driver_features(_vdev: *mut vdpa_device, _features: u64) -> c_int {
    ENODEV.to_errno()
}

#[inline]
unsafe extern "C" fn set_config_cb(_vdev: *mut vdpa_device, _cb: *mut vdpa_callback) {}

#[inline]
unsafe extern "C" fn get_vq_num_max(_vdev: *mut vdpa_device) -> u16 {
    0
}

#[inline]
unsafe extern "C" fn get_id(_vdev: *mut vdpa_device) -> u32 {
    0
}

#[inline]
unsafe extern "C" fn get_status(_vdev: *mut vdpa_device) -> u8 {
    0
}

#[inline]
unsafe extern "C" fn set_status(_vdev: *mut vdpa_device, _status: u8) {}

/// There is nothing that it would still do.
#[inline]
unsafe extern "C" fn reset(_vdev: *mut vdpa_device) -> c_int {
    0
}

#[inline]
unsafe extern "C" fn get_config_size(_vdev: *mut vdpa_device) -> usize {
    0
}

#[inline]
unsafe extern "C" fn get_config(_vdev: *mut vdpa_device, _offset: u32, buf: *mut c_void, len: u32) {
    // The pointer may be NULL where there is nothing to be written.
    if len != 0 {
        // SAFETY: `buf` is valid for writing `len` bytes.
        unsafe { buf.cast::<u8>().write_bytes(0, len as usize) };
    }
}

#[inline]
unsafe extern "C" fn set_config(
    _vdev: *mut vdpa_device,
    _offset: u32,
    _buf: *const c_void,
    _len: u32,
) {
}

#[inline]
unsafe extern "C" fn free(vdev: *mut vdpa_device) {
    // SAFETY: See `GONE`; this is the last call for a device.
    unsafe { Head::drop_kept(vdev) };
}
