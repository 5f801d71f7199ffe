// SPDX-License-Identifier: GPL-2.0

//! The C tables of operations, made from the traits in [`provider`](crate::provider).

// What the functions demand of their callers is said once, at `Table`.
#![expect(clippy::missing_safety_doc)]

use crate::{
    alloc::Allocation,
    bindings::{
        self,
        vdpa_config_ops,
        vdpa_device, //
    },
    kept::Kept,
    Asid,
    ConfigOps,
    VendorStats,
    VqAddress,
    VqIndex,
    VqState, //
};
use core::{
    marker::PhantomData,
    ptr::{
        null,
        NonNull, //
    }, //
};
use kernel::{
    cpumask::Cpumask,
    error::from_result,
    prelude::*, //
};

/// The tables for a device type `T`.
///
/// # Safety
///
/// All functions below are called by consumers, with a device whose table is one of these: it is
/// part of an [`Allocation<T>`] with its data initialised. What they are called with apart from
/// that is said in `include/linux/vdpa.h`, and said again where something depends on it.
pub(crate) struct Table<T>(PhantomData<T>);

impl<T: ConfigOps> Table<T> {
    /// For a device whose data is not there yet.
    pub(crate) const EMPTY: vdpa_config_ops = pin_init::zeroed();

    /// For a device behind a platform IOMMU.
    pub(crate) const PLATFORM: vdpa_config_ops = vdpa_config_ops {
        set_vq_address: Some(Self::set_vq_address),
        set_vq_num: Some(Self::set_vq_num),
        kick_vq: Some(Self::kick_vq),
        kick_vq_with_data: if T::HAS_KICK_VQ_WITH_DATA {
            Some(Self::kick_vq_with_data)
        } else {
            None
        },
        set_vq_cb: Some(Self::set_vq_cb),
        set_vq_ready: Some(Self::set_vq_ready),
        get_vq_ready: Some(Self::get_vq_ready),
        set_vq_state: Some(Self::set_vq_state),
        get_vq_state: Some(Self::get_vq_state),
        get_vendor_vq_stats: if T::HAS_GET_VENDOR_VQ_STATS {
            Some(Self::get_vendor_vq_stats)
        } else {
            None
        },
        get_vq_notification: if T::HAS_GET_VQ_NOTIFICATION {
            Some(Self::get_vq_notification)
        } else {
            None
        },
        get_vq_irq: if T::HAS_GET_VQ_IRQ {
            Some(Self::get_vq_irq)
        } else {
            None
        },
        get_vq_size: if T::HAS_GET_VQ_SIZE {
            Some(Self::get_vq_size)
        } else {
            None
        },
        get_vq_align: Some(Self::get_vq_align),
        get_vq_group: if T::HAS_GET_VQ_GROUP {
            Some(Self::get_vq_group)
        } else {
            None
        },
        get_vq_desc_group: if T::HAS_GET_VQ_DESC_GROUP {
            Some(Self::get_vq_desc_group)
        } else {
            None
        },
        get_device_features: Some(Self::get_device_features),
        get_backend_features: if T::HAS_GET_BACKEND_FEATURES {
            Some(Self::get_backend_features)
        } else {
            None
        },
        set_driver_features: Some(Self::set_driver_features),
        get_driver_features: Some(Self::get_driver_features),
        set_config_cb: Some(Self::set_config_cb),
        get_vq_num_max: Some(Self::get_vq_num_max),
        get_vq_num_min: if T::HAS_GET_VQ_NUM_MIN {
            Some(Self::get_vq_num_min)
        } else {
            None
        },
        get_device_id: Some(Self::get_device_id),
        get_vendor_id: Some(Self::get_vendor_id),
        get_status: Some(Self::get_status),
        set_status: Some(Self::set_status),
        reset: Some(Self::reset),
        compat_reset: if T::HAS_COMPAT_RESET {
            Some(Self::compat_reset)
        } else {
            None
        },
        suspend: if T::HAS_SUSPEND {
            Some(Self::suspend)
        } else {
            None
        },
        resume: if T::HAS_RESUME {
            Some(Self::resume)
        } else {
            None
        },
        get_config_size: Some(Self::get_config_size),
        get_config: Some(Self::get_config),
        set_config: Some(Self::set_config),
        get_generation: if T::HAS_GET_GENERATION {
            Some(Self::get_generation)
        } else {
            None
        },
        get_iova_range: if T::HAS_GET_IOVA_RANGE {
            Some(Self::get_iova_range)
        } else {
            None
        },
        set_vq_affinity: if T::HAS_SET_VQ_AFFINITY {
            Some(Self::set_vq_affinity)
        } else {
            None
        },
        get_vq_affinity: if T::HAS_GET_VQ_AFFINITY {
            Some(Self::get_vq_affinity)
        } else {
            None
        },
        set_group_asid: if T::HAS_SET_GROUP_ASID {
            Some(Self::set_group_asid)
        } else {
            None
        },
        free: Some(Self::free),
        ..Self::EMPTY
    };

    /// The device's data.
    ///
    /// # Safety
    ///
    /// As said for [`Table`].
    #[inline]
    pub(crate) unsafe fn data<'a>(vdev: *mut vdpa_device) -> &'a T {
        // SAFETY: By the safety requirements of this function.
        unsafe { Allocation::data(vdev) }
    }

    /// What the crate has of the device.
    ///
    /// # Safety
    ///
    /// As said for [`Table`].
    #[inline]
    pub(crate) unsafe fn kept<'a>(vdev: *mut vdpa_device) -> &'a Kept {
        // SAFETY: By the safety requirements of this function.
        unsafe { Allocation::<T>::kept(vdev) }
    }

    /// The device's data and a virtqueue index that was compared with the number of virtqueues.
    ///
    /// # Safety
    ///
    /// As said for [`Table`].
    #[inline]
    unsafe fn data_and_vq<'a>(vdev: *mut vdpa_device, index: u32) -> Result<(&'a T, VqIndex)> {
        // SAFETY: By the safety requirements of this function; the number does not change once
        // the device is registered.
        let nvqs = unsafe { (*vdev).nvqs };
        let vq = VqIndex::new(index, nvqs).ok_or(EINVAL)?;

        // SAFETY: By the safety requirements of this function.
        Ok((unsafe { Self::data(vdev) }, vq))
    }

    /// The device's data and an address space that was compared with the number of those.
    ///
    /// # Safety
    ///
    /// As said for [`Table`].
    #[inline]
    pub(crate) unsafe fn data_and_asid<'a>(
        vdev: *mut vdpa_device,
        asid: u32,
    ) -> Result<(&'a T, Asid)> {
        // SAFETY: By the safety requirements of this function; the number does not change.
        if asid >= unsafe { (*vdev).nas } {
            return Err(EINVAL);
        }
        // SAFETY: By the safety requirements of this function.
        Ok((unsafe { Self::data(vdev) }, Asid(asid)))
    }

    unsafe extern "C" fn set_vq_address(
        vdev: *mut vdpa_device,
        idx: u16,
        desc: u64,
        driver: u64,
        device: u64,
    ) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, vq) = unsafe { Self::data_and_vq(vdev, idx.into()) }?;
            let address = VqAddress {
                desc,
                driver,
                device,
            };

            data.set_vq_address(vq, address)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn set_vq_num(vdev: *mut vdpa_device, idx: u16, num: u32) {
        // SAFETY: See `Table`.
        if let Ok((data, vq)) = unsafe { Self::data_and_vq(vdev, idx.into()) } {
            data.set_vq_num(vq, num);
        }
    }

    unsafe extern "C" fn kick_vq(vdev: *mut vdpa_device, idx: u16) {
        // SAFETY: See `Table`.
        if let Ok((data, vq)) = unsafe { Self::data_and_vq(vdev, idx.into()) } {
            data.kick_vq(vq);
        }
    }

    unsafe extern "C" fn kick_vq_with_data(vdev: *mut vdpa_device, raw: u32) {
        // SAFETY: See `Table`.
        if let Ok((data, vq)) = unsafe { Self::data_and_vq(vdev, raw & 0xffff) } {
            data.kick_vq_with_data(vq, raw);
        }
    }

    unsafe extern "C" fn set_vq_cb(
        vdev: *mut vdpa_device,
        idx: u16,
        cb: *mut bindings::vdpa_callback,
    ) {
        // SAFETY: See `Table`.
        if let Ok((_, vq)) = unsafe { Self::data_and_vq(vdev, idx.into()) } {
            // SAFETY: As above.
            if let Some(callback) = unsafe { Self::kept(vdev) }.vq_callback(vq) {
                // SAFETY: `cb` is valid, and the consumer keeps what is in it alive until it
                // replaces or removes it, or resets the device, all of which come to the same
                // place.
                unsafe { callback.install(&*cb) };
            }
        }
    }

    unsafe extern "C" fn set_vq_ready(vdev: *mut vdpa_device, idx: u16, ready: bool) {
        // SAFETY: See `Table`.
        if let Ok((data, vq)) = unsafe { Self::data_and_vq(vdev, idx.into()) } {
            data.set_vq_ready(vq, ready);
        }
    }

    unsafe extern "C" fn get_vq_ready(vdev: *mut vdpa_device, idx: u16) -> bool {
        // SAFETY: See `Table`.
        match unsafe { Self::data_and_vq(vdev, idx.into()) } {
            Ok((data, vq)) => data.get_vq_ready(vq),
            Err(_) => false,
        }
    }

    fn is_packed(data: &T) -> bool {
        data.get_driver_features()
            .has(bindings::VIRTIO_F_RING_PACKED)
    }

    unsafe extern "C" fn set_vq_state(
        vdev: *mut vdpa_device,
        idx: u16,
        state: *const bindings::vdpa_vq_state,
    ) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, vq) = unsafe { Self::data_and_vq(vdev, idx.into()) }?;
            // SAFETY: `state` is valid.
            let state = VqState::from_raw(unsafe { &*state }, Self::is_packed(data));

            data.set_vq_state(vq, state)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn get_vq_state(
        vdev: *mut vdpa_device,
        idx: u16,
        state: *mut bindings::vdpa_vq_state,
    ) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, vq) = unsafe { Self::data_and_vq(vdev, idx.into()) }?;
            let raw = data.get_vq_state(vq)?.to_raw();

            // SAFETY: `state` is valid for writes.
            unsafe { state.write(raw) };
            Ok(0)
        })
    }

    unsafe extern "C" fn get_vendor_vq_stats(
        vdev: *mut vdpa_device,
        idx: u16,
        msg: *mut bindings::sk_buff,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, vq) = unsafe { Self::data_and_vq(vdev, idx.into()) }?;
            // SAFETY: The message is valid and the caller's alone.
            let mut stats = unsafe { VendorStats::from_raw(NonNull::new(msg).ok_or(EINVAL)?) };

            data.get_vendor_vq_stats(vq, &mut stats)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn get_vq_notification(
        vdev: *mut vdpa_device,
        idx: u16,
    ) -> bindings::vdpa_notification_area {
        // SAFETY: See `Table`.
        match unsafe { Self::data_and_vq(vdev, idx.into()) } {
            Ok((data, vq)) => {
                let area = data.get_vq_notification(vq);

                bindings::vdpa_notification_area {
                    addr: area.addr(),
                    size: area.size(),
                }
            }
            Err(_) => bindings::vdpa_notification_area { addr: 0, size: 0 },
        }
    }

    unsafe extern "C" fn get_vq_irq(vdev: *mut vdpa_device, idx: u16) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, vq) = unsafe { Self::data_and_vq(vdev, idx.into()) }?;

            c_int::try_from(data.get_vq_irq(vq)?).map_err(|_| EINVAL)
        })
    }

    unsafe extern "C" fn get_vq_size(vdev: *mut vdpa_device, idx: u16) -> u16 {
        // SAFETY: See `Table`.
        match unsafe { Self::data_and_vq(vdev, idx.into()) } {
            Ok((data, vq)) => data.get_vq_size(vq),
            Err(_) => 0,
        }
    }

    unsafe extern "C" fn get_vq_align(vdev: *mut vdpa_device) -> u32 {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev) }.get_vq_align()
    }

    unsafe extern "C" fn get_vq_group(vdev: *mut vdpa_device, idx: u16) -> u32 {
        // SAFETY: See `Table`.
        match unsafe { Self::data_and_vq(vdev, idx.into()) } {
            Ok((data, vq)) => data.get_vq_group(vq).0,
            // No such group, which consumers check for.
            Err(_) => u32::MAX,
        }
    }

    unsafe extern "C" fn get_vq_desc_group(vdev: *mut vdpa_device, idx: u16) -> u32 {
        // SAFETY: See `Table`.
        match unsafe { Self::data_and_vq(vdev, idx.into()) } {
            Ok((data, vq)) => data.get_vq_desc_group(vq).0,
            Err(_) => u32::MAX,
        }
    }

    unsafe extern "C" fn set_vq_affinity(
        vdev: *mut vdpa_device,
        idx: u16,
        cpus: *const bindings::cpumask,
    ) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, vq) = unsafe { Self::data_and_vq(vdev, idx.into()) }?;
            // SAFETY: The mask is NULL or valid for the call, and not written to.
            let cpus = (!cpus.is_null()).then(|| unsafe { Cpumask::from_raw(cpus) });

            data.set_vq_affinity(vq, cpus)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn get_vq_affinity(
        vdev: *mut vdpa_device,
        idx: u16,
    ) -> *const bindings::cpumask {
        // SAFETY: See `Table`.
        match unsafe { Self::data_and_vq(vdev, idx.into()) } {
            Ok((data, vq)) => data
                .get_vq_affinity(vq)
                .map_or(null(), |cpus| cpus.as_raw().cast_const()),
            Err(_) => null(),
        }
    }
}
