// SPDX-License-Identifier: GPL-2.0

//! The part of the C tables that is about the device as a whole.
//!
//! The safety rules of [`Table`] hold here as well.

// What the functions demand of their callers is said once, at `Table`.
#![expect(clippy::missing_safety_doc)]

use crate::{
    alloc::{
        Allocation,
        Head, //
    },
    bindings::{
        self,
        vdpa_device, //
    },
    ops::Table,
    ConfigOps,
    Features,
    GroupId,
    Status, //
};
use core::slice;
use kernel::{
    error::from_result,
    prelude::*, //
};

impl<T: ConfigOps> Table<T> {
    pub(crate) unsafe extern "C" fn get_device_features(vdev: *mut vdpa_device) -> u64 {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev) }.get_device_features().0
    }

    pub(crate) unsafe extern "C" fn get_backend_features(vdev: *const vdpa_device) -> u64 {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev.cast_mut()) }.get_backend_features()
    }

    pub(crate) unsafe extern "C" fn set_driver_features(
        vdev: *mut vdpa_device,
        features: u64,
    ) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            unsafe { Self::data(vdev) }.set_driver_features(Features(features))?;
            Ok(0)
        })
    }

    pub(crate) unsafe extern "C" fn get_driver_features(vdev: *mut vdpa_device) -> u64 {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev) }.get_driver_features().0
    }

    pub(crate) unsafe extern "C" fn set_config_cb(
        vdev: *mut vdpa_device,
        cb: *mut bindings::vdpa_callback,
    ) {
        // SAFETY: See `Table`.
        if let Some(callback) = unsafe { Self::kept(vdev) }.config_callback() {
            // SAFETY: As in `set_vq_cb`.
            unsafe { callback.install(&*cb) };
        }
    }

    pub(crate) unsafe extern "C" fn get_vq_num_max(vdev: *mut vdpa_device) -> u16 {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev) }.get_vq_num_max()
    }

    pub(crate) unsafe extern "C" fn get_vq_num_min(vdev: *mut vdpa_device) -> u16 {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev) }.get_vq_num_min()
    }

    pub(crate) unsafe extern "C" fn get_device_id(vdev: *mut vdpa_device) -> u32 {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev) }.get_device_id()
    }

    pub(crate) unsafe extern "C" fn get_vendor_id(vdev: *mut vdpa_device) -> u32 {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev) }.get_vendor_id()
    }

    pub(crate) unsafe extern "C" fn get_status(vdev: *mut vdpa_device) -> u8 {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev) }.get_status().0
    }

    pub(crate) unsafe extern "C" fn set_status(vdev: *mut vdpa_device, status: u8) {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev) }.set_status(Status(status));
    }

    /// Resets the device, by the function given, and takes the consumer's callbacks out.
    ///
    /// The configuration callback goes too: the C transport for kernel drivers never removes it,
    /// and frees what it points to.
    ///
    /// # Safety
    ///
    /// As said for [`Table`].
    #[inline]
    pub(crate) unsafe fn do_reset(
        vdev: *mut vdpa_device,
        reset: impl FnOnce(&T) -> Result,
    ) -> Result {
        // SAFETY: By the safety requirements of this function.
        let result = reset(unsafe { Self::data(vdev) });

        // SAFETY: As above.
        unsafe { Self::kept(vdev) }.clear_callbacks();
        result
    }

    pub(crate) unsafe extern "C" fn reset(vdev: *mut vdpa_device) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            unsafe { Self::do_reset(vdev, T::reset) }?;
            Ok(0)
        })
    }

    pub(crate) unsafe extern "C" fn compat_reset(vdev: *mut vdpa_device, flags: u32) -> c_int {
        from_result(|| {
            let reset = if flags & bindings::VDPA_RESET_F_CLEAN_MAP != 0 {
                T::compat_reset
            } else {
                T::reset
            };

            // SAFETY: See `Table`.
            unsafe { Self::do_reset(vdev, reset) }?;
            Ok(0)
        })
    }

    pub(crate) unsafe extern "C" fn suspend(vdev: *mut vdpa_device) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            unsafe { Self::data(vdev) }.suspend()?;
            Ok(0)
        })
    }

    pub(crate) unsafe extern "C" fn resume(vdev: *mut vdpa_device) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            unsafe { Self::data(vdev) }.resume()?;
            Ok(0)
        })
    }

    pub(crate) unsafe extern "C" fn get_config_size(vdev: *mut vdpa_device) -> usize {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev) }.get_config_size()
    }

    /// Whether a range lies in the configuration space.
    fn in_config(data: &T, offset: u32, len: u32) -> bool {
        u64::from(offset) + u64::from(len) <= data.get_config_size() as u64
    }

    pub(crate) unsafe extern "C" fn get_config(
        vdev: *mut vdpa_device,
        offset: u32,
        buf: *mut c_void,
        len: u32,
    ) {
        // SAFETY: See `Table`.
        let data = unsafe { Self::data(vdev) };

        // The pointer may be NULL then.
        if len == 0 {
            return;
        }
        // SAFETY: `buf` is valid for writing `len` bytes. What is not read below is 0, not what
        // happened to be there.
        let buf = unsafe {
            buf.cast::<u8>().write_bytes(0, len as usize);
            slice::from_raw_parts_mut(buf.cast::<u8>(), len as usize)
        };
        // A device need not have all fields that the consumer knows of.
        let there = data.get_config_size().saturating_sub(offset as usize);
        if let Some(buf) = buf.get_mut(..there.min(len as usize)) {
            if !buf.is_empty() {
                data.get_config(offset as usize, buf);
            }
        }
    }

    pub(crate) unsafe extern "C" fn set_config(
        vdev: *mut vdpa_device,
        offset: u32,
        buf: *const c_void,
        len: u32,
    ) {
        // SAFETY: See `Table`.
        let data = unsafe { Self::data(vdev) };

        // Without data the pointer may be NULL.
        if len != 0 && Self::in_config(data, offset, len) {
            // SAFETY: `buf` is valid for reading `len` bytes.
            data.set_config(offset as usize, unsafe {
                slice::from_raw_parts(buf.cast::<u8>(), len as usize)
            });
        }
    }

    pub(crate) unsafe extern "C" fn get_generation(vdev: *mut vdpa_device) -> u32 {
        // SAFETY: See `Table`.
        unsafe { Self::data(vdev) }.get_generation()
    }

    pub(crate) unsafe extern "C" fn get_iova_range(
        vdev: *mut vdpa_device,
    ) -> bindings::vdpa_iova_range {
        // SAFETY: See `Table`.
        let range = unsafe { Self::data(vdev) }.get_iova_range();

        bindings::vdpa_iova_range {
            first: range.first,
            last: range.last,
        }
    }

    pub(crate) unsafe extern "C" fn set_group_asid(
        vdev: *mut vdpa_device,
        group: u32,
        asid: u32,
    ) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, asid) = unsafe { Self::data_and_asid(vdev, asid) }?;

            // SAFETY: See `Table`; the number does not change.
            if group >= unsafe { (*vdev).ngroups } {
                return Err(EINVAL);
            }
            data.set_group_asid(GroupId(group), asid)?;
            Ok(0)
        })
    }

    pub(crate) unsafe extern "C" fn free(vdev: *mut vdpa_device) {
        // SAFETY: See `Table`; this is the last call for a device, which was never registered, or it
        // would be `GONE`.
        unsafe {
            Allocation::<T>::drop_data(vdev);
            Head::drop_kept(vdev);
        }
    }
}
