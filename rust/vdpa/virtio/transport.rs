// SPDX-License-Identifier: GPL-2.0

//! The operations of a transport.

use super::{
    Device,
    IrqAffinity,
    Slots,
    Virtqueue, //
};
use crate::{
    bindings::{
        self,
        virtio_config_ops, //
    },
    Features,
    Status,
    Vq, //
};
use core::{
    marker::PhantomData,
    ptr::null,
    slice, //
};
use kernel::{
    cpumask::Cpumask,
    error::from_result,
    prelude::*, //
};

/// The operations of a transport.
///
/// The names are those of `struct virtio_config_ops`.
///
/// # Context
///
/// Operations are called from process context and may sleep, except for [`notify`] and
/// [`notify_with_data`], which are called from any context, and have to be fast.
///
/// Virtio drivers see to it that operations which change something do not run at the same time.
///
/// [`notify`]: Transport::notify
/// [`notify_with_data`]: Transport::notify_with_data
pub trait Transport: Sized + 'static {
    /// Reads from the configuration space, starting at byte `offset`.
    ///
    /// What is not filled in reads as 0.
    fn get(dev: &Device<Self>, offset: u32, buf: &mut [u8]);

    /// Writes to the configuration space, starting at byte `offset`.
    fn set(dev: &Device<Self>, offset: u32, buf: &[u8]);

    /// Returns a number that changes with the contents of the configuration space.
    fn generation(dev: &Device<Self>) -> u32;

    /// Returns the device status.
    fn get_status(dev: &Device<Self>) -> Status;

    /// Sets the device status.
    fn set_status(dev: &Device<Self>, status: Status);

    /// Makes the virtqueues that the driver asks for. The device does not have DRIVER_OK yet.
    ///
    /// Each of the `slots` that [is wanted](super::Slot::is_wanted) has to be
    /// [filled](super::Slot::fill). If this
    /// fails, the virtqueues that were handed over already are freed again.
    fn find_vqs(dev: &Device<Self>, slots: Slots<'_>, affinity: Option<&mut IrqAffinity>)
        -> Result;

    /// Returns the features that the device offers.
    fn get_features(dev: &Device<Self>) -> Features;

    /// Sends the features that were negotiated to the device. Can be called more than once.
    ///
    /// The transport can take features back before.
    fn finalize_features(dev: &Device<Self>) -> Result;

    /// Returns the name under which the bus of the transport knows the device.
    fn bus_name(dev: &Device<Self>) -> &CStr;

    /// Sets the processors that should handle the callback of a virtqueue; [`None`] for all.
    fn set_vq_affinity(vq: Vq<'_>, cpus: Option<&Cpumask>) -> Result;

    /// Returns the processors that handle the callback of the virtqueue with the given number, if
    /// there is one and they are known.
    fn get_vq_affinity(dev: &Device<Self>, index: u32) -> Option<&Cpumask>;

    /// Tells the device that there are new buffers in a virtqueue.
    ///
    /// # Context
    ///
    /// Atomic.
    fn notify(vq: Vq<'_>);

    /// Like [`notify`](Self::notify), for a device with VIRTIO_F_NOTIFICATION_DATA (virtio 1.3,
    /// section 2.9). `next` is where the next buffer will go.
    ///
    /// # Context
    ///
    /// Atomic.
    #[doc(alias = "vring_notification_data")]
    fn notify_with_data(vq: Vq<'_>, next: u16);
}

/// The C operations of a transport.
///
/// # Safety
///
/// All functions below are called by the virtio core and by virtio drivers, with a registered
/// device (or one of its virtqueues) that was made by [`Device::register`] for the same `T`.
pub(super) struct Table<T>(PhantomData<T>);

#[expect(clippy::missing_safety_doc)] // Said for `Table`.
impl<T: Transport> Table<T> {
    pub(super) const OPS: virtio_config_ops = virtio_config_ops {
        get: Some(Self::get),
        set: Some(Self::set),
        generation: Some(Self::generation),
        get_status: Some(Self::get_status),
        set_status: Some(Self::set_status),
        reset: Some(Self::reset),
        find_vqs: Some(Self::find_vqs),
        del_vqs: Some(Self::del_vqs),
        get_features: Some(Self::get_features),
        finalize_features: Some(Self::finalize_features),
        bus_name: Some(Self::bus_name),
        set_vq_affinity: Some(Self::set_vq_affinity),
        get_vq_affinity: Some(Self::get_vq_affinity),
        ..pin_init::zeroed()
    };

    unsafe extern "C" fn get(
        vdev: *mut bindings::virtio_device,
        offset: c_uint,
        buf: *mut c_void,
        len: c_uint,
    ) {
        // SAFETY: See `Table`.
        let dev = unsafe { Device::<T>::from_raw(vdev) };

        if len == 0 {
            return;
        }
        // SAFETY: `buf` is valid for writes of `len` bytes, which nobody else uses meanwhile. They
        // need not have a value yet, so they are given one first.
        let buf = unsafe {
            buf.cast::<u8>().write_bytes(0, len as usize);
            slice::from_raw_parts_mut(buf.cast::<u8>(), len as usize)
        };

        T::get(dev, offset, buf);
    }

    unsafe extern "C" fn set(
        vdev: *mut bindings::virtio_device,
        offset: c_uint,
        buf: *const c_void,
        len: c_uint,
    ) {
        // SAFETY: See `Table`.
        let dev = unsafe { Device::<T>::from_raw(vdev) };

        if len == 0 {
            return;
        }
        // SAFETY: `buf` is valid for reads of `len` bytes, which do not change meanwhile.
        let buf = unsafe { slice::from_raw_parts(buf.cast::<u8>(), len as usize) };

        T::set(dev, offset, buf);
    }

    unsafe extern "C" fn generation(vdev: *mut bindings::virtio_device) -> u32 {
        // SAFETY: See `Table`.
        T::generation(unsafe { Device::from_raw(vdev) })
    }

    unsafe extern "C" fn get_status(vdev: *mut bindings::virtio_device) -> u8 {
        // SAFETY: See `Table`.
        T::get_status(unsafe { Device::from_raw(vdev) }).0
    }

    unsafe extern "C" fn set_status(vdev: *mut bindings::virtio_device, status: u8) {
        // SAFETY: See `Table`.
        T::set_status(unsafe { Device::from_raw(vdev) }, Status(status));
    }

    unsafe extern "C" fn reset(vdev: *mut bindings::virtio_device) {
        // SAFETY: See `Table`.
        unsafe { Device::<T>::from_raw(vdev) }.reset();
    }

    unsafe extern "C" fn find_vqs(
        vdev: *mut bindings::virtio_device,
        nvqs: c_uint,
        vqs: *mut *mut bindings::virtqueue,
        infos: *mut bindings::virtqueue_info,
        affinity: *mut bindings::irq_affinity,
    ) -> c_int {
        // SAFETY: See `Table`.
        let dev = unsafe { Device::<T>::from_raw(vdev) };
        // SAFETY: `vqs` and `infos` are arrays of `nvqs` elements that nobody else uses meanwhile;
        // what is in `infos` is good for making virtqueues.
        let mut slots = unsafe { Slots::from_raw(vqs, infos, nvqs) };
        let affinity = (!affinity.is_null()).then(|| {
            // SAFETY: Not NULL, so it is valid, and nobody else uses it meanwhile.
            unsafe { IrqAffinity::from_raw(affinity) }
        });

        from_result(|| {
            // Freeing what was made, if it comes to that, takes a device that does not run.
            if dev.vdpa().status().has(Status::DRIVER_OK) {
                return Err(EBUSY);
            }
            T::find_vqs(dev, slots.reborrow(), affinity)
                .and_then(|()| slots.check())
                .inspect_err(|_| {
                    slots.clear();
                    // SAFETY: See `Table`. The driver is told that there are none.
                    unsafe { Virtqueue::free_all(dev) };
                })?;
            Ok(0)
        })
    }

    unsafe extern "C" fn del_vqs(vdev: *mut bindings::virtio_device) {
        // SAFETY: See `Table`. The driver does not use its virtqueues after this.
        unsafe { Virtqueue::free_all(Device::<T>::from_raw(vdev)) };
    }

    unsafe extern "C" fn get_features(vdev: *mut bindings::virtio_device) -> u64 {
        // SAFETY: See `Table`.
        T::get_features(unsafe { Device::from_raw(vdev) }).0
    }

    unsafe extern "C" fn finalize_features(vdev: *mut bindings::virtio_device) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            T::finalize_features(unsafe { Device::from_raw(vdev) })?;
            Ok(0)
        })
    }

    unsafe extern "C" fn bus_name(vdev: *mut bindings::virtio_device) -> *const c_char {
        // SAFETY: See `Table`.
        T::bus_name(unsafe { Device::from_raw(vdev) }).as_char_ptr()
    }

    unsafe extern "C" fn set_vq_affinity(
        vq: *mut bindings::virtqueue,
        cpus: *const bindings::cpumask,
    ) -> c_int {
        // SAFETY: See `Table`; `cpus` is NULL or valid during the call.
        let (vq, cpus) = unsafe {
            let cpus = (!cpus.is_null()).then(|| Cpumask::from_raw(cpus));

            (Virtqueue::<T>::vq_from_raw(vq), cpus)
        };

        from_result(|| {
            T::set_vq_affinity(vq, cpus)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn get_vq_affinity(
        vdev: *mut bindings::virtio_device,
        index: c_int,
    ) -> *const bindings::cpumask {
        // SAFETY: See `Table`.
        let dev = unsafe { Device::<T>::from_raw(vdev) };

        u32::try_from(index)
            .ok()
            .and_then(|index| T::get_vq_affinity(dev, index))
            .map_or(null(), |cpus| cpus.as_raw().cast_const())
    }

    /// The `notify` of a virtqueue.
    pub(super) unsafe extern "C" fn notify(vq: *mut bindings::virtqueue) -> bool {
        // SAFETY: See `Table`.
        T::notify(unsafe { Virtqueue::<T>::vq_from_raw(vq) });
        true
    }

    /// The `notify` of a virtqueue with VIRTIO_F_NOTIFICATION_DATA.
    pub(super) unsafe extern "C" fn notify_with_data(vq: *mut bindings::virtqueue) -> bool {
        // SAFETY: See `Table`; this is called by the ring, which is consistent then.
        let data = unsafe { bindings::vring_notification_data(vq) };

        // SAFETY: See `Table`.
        let vq = unsafe { Virtqueue::<T>::vq_from_raw(vq) };

        // The lower half is the index, which `vq` has too.
        T::notify_with_data(vq, (data >> 16) as u16);
        true
    }
}
