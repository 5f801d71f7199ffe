// SPDX-License-Identifier: GPL-2.0

//! The device as a whole: identity, status, features and configuration space.

use super::{
    call,
    result,
    Device,
    Vq, //
};
use crate::{
    bindings,
    Features,
    IovaRange,
    Status,
    VqIndex, //
};
use kernel::{
    device::Bound,
    prelude::*, //
};

impl Device<Bound> {
    /// Returns a virtqueue, or [`None`] where `index` is not below [`nvqs`](Self::nvqs).
    #[inline]
    pub fn vq(&self, index: u32) -> Option<Vq<'_>> {
        VqIndex::new(index, self.nvqs()).map(|index| {
            // SAFETY: Compared with the number of virtqueues of this device just above.
            unsafe { Vq::new_unchecked(self, index.get()) }
        })
    }

    /// Returns the virtio device id (`uapi/linux/virtio_ids.h`). 0 stands for no device.
    #[inline]
    pub fn device_id(&self) -> u32 {
        call!(self, get_device_id).unwrap_or(0)
    }

    /// Returns the vendor id.
    #[inline]
    pub fn vendor_id(&self) -> u32 {
        call!(self, get_vendor_id).unwrap_or(0)
    }

    /// Returns the virtio features that the device offers.
    #[inline]
    pub fn device_features(&self) -> Features {
        Features(call!(self, get_device_features).unwrap_or(0))
    }

    /// Returns the features that were set last. Empty after a reset.
    #[inline]
    pub fn driver_features(&self) -> Features {
        Features(call!(self, get_driver_features).unwrap_or(0))
    }

    /// Returns the `VHOST_BACKEND_F_*` bits (`uapi/linux/vhost_types.h`) that hold for this
    /// device, as a mask. 0 where the parent says nothing.
    #[inline]
    pub fn backend_features(&self) -> u64 {
        let dev = self.as_raw().cast_const();

        self.ops().get_backend_features.map_or(0, |op| {
            // SAFETY: By the type invariant.
            unsafe { op(dev) }
        })
    }

    /// Sets the features that the driver has accepted. Takes `cf_lock` for writing.
    #[inline]
    pub fn set_features(&self, features: Features) -> Result {
        let _guard = self.cf_lock().write();
        let Features(features) = features;

        // SAFETY: By the type invariant; the field is protected by the lock.
        unsafe { (*self.as_raw()).features_valid = true };
        result(call!(self, set_driver_features, features))
    }

    /// Returns the device status.
    #[inline]
    pub fn status(&self) -> Status {
        Status(call!(self, get_status).unwrap_or(0))
    }

    /// Sets the device status. Takes `cf_lock` for writing.
    ///
    /// Bits are only ever added this way; [`reset`](Self::reset) takes them away.
    #[doc(alias = "vdpa_set_status")]
    #[inline]
    pub fn set_status(&self, status: Status) {
        // SAFETY: By the type invariant.
        unsafe { bindings::vdpa_set_status(self.as_raw(), status.0) };
    }

    /// Resets the device. Takes `cf_lock` for writing.
    ///
    /// When this returns, with or without success, the device uses no virtqueue any more, and is
    /// quiet: none of the callbacks it was given is running, and none will be called before it has
    /// DRIVER_OK again. Parents stop their interrupts, workers and timers for that.
    ///
    /// `clean_map` asks parents that used to forget all mappings at a reset to do so, for
    /// userspace that relies on it (`VDPA_RESET_F_CLEAN_MAP`). Others take no notice.
    #[inline]
    pub fn reset(&self, clean_map: bool) -> Result {
        let _guard = self.cf_lock().write();
        let flags = bindings::VDPA_RESET_F_CLEAN_MAP;

        // SAFETY: By the type invariant; the field is protected by the lock.
        unsafe { (*self.as_raw()).features_valid = false };
        result(
            clean_map
                .then(|| call!(self, compat_reset, flags))
                .flatten()
                .or_else(|| call!(self, reset)),
        )
    }

    /// Whether [`suspend`](Self::suspend) is there.
    #[inline]
    pub fn can_suspend(&self) -> bool {
        self.ops().suspend.is_some()
    }

    /// Whether [`resume`](Self::resume) is there.
    #[inline]
    pub fn can_resume(&self) -> bool {
        self.ops().resume.is_some()
    }

    /// Stops all virtqueues without losing their state. Optional.
    #[inline]
    pub fn suspend(&self) -> Result {
        result(call!(self, suspend))
    }

    /// Goes on after [`suspend`](Self::suspend). Optional.
    #[inline]
    pub fn resume(&self) -> Result {
        result(call!(self, resume))
    }

    /// Returns the size of the configuration space in bytes, with the fields that depend on
    /// features.
    #[inline]
    pub fn config_size(&self) -> usize {
        call!(self, get_config_size).unwrap_or(0)
    }

    /// How much of a range of the configuration space is there, in bytes.
    #[inline]
    fn config_len(&self, offset: u32, len: usize) -> u32 {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let len = len.min(self.config_size().saturating_sub(offset));

        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// Reads from the configuration space, starting at byte `offset`. Takes `cf_lock`.
    ///
    /// Whatever lies beyond the end of the configuration space reads as 0. Before features were
    /// set this counts as an access by a legacy driver, for which none are.
    #[doc(alias = "vdpa_get_config")]
    #[inline]
    pub fn read_config(&self, offset: u32, buf: &mut [u8]) {
        let len = self.config_len(offset, buf.len());

        buf.fill(0);
        if len > 0 {
            // SAFETY: By the type invariant; `buf` is valid for writes of `len` bytes.
            unsafe {
                bindings::vdpa_get_config(self.as_raw(), offset, buf.as_mut_ptr().cast(), len)
            };
        }
    }

    /// Writes to the configuration space, starting at byte `offset`. Takes `cf_lock` for writing.
    ///
    /// Whatever lies beyond the end of the configuration space is not written.
    #[doc(alias = "vdpa_set_config")]
    #[inline]
    pub fn write_config(&self, offset: u32, buf: &[u8]) {
        let len = self.config_len(offset, buf.len());

        if len > 0 {
            // SAFETY: By the type invariant; `buf` is valid for reads of `len` bytes.
            unsafe { bindings::vdpa_set_config(self.as_raw(), offset, buf.as_ptr().cast(), len) };
        }
    }

    /// Returns a number that changes with the contents of the configuration space. Optional.
    #[inline]
    pub fn generation(&self) -> Option<u32> {
        call!(self, get_generation)
    }

    /// Returns the largest size of any virtqueue, in descriptors. [`Vq::size`] may know better for
    /// a single one.
    #[inline]
    pub fn vq_num_max(&self) -> u16 {
        call!(self, get_vq_num_max).unwrap_or(0)
    }

    /// Returns the smallest size of a virtqueue, in descriptors: 1 where the parent does not say.
    #[inline]
    pub fn vq_num_min(&self) -> u16 {
        call!(self, get_vq_num_min).unwrap_or(1)
    }

    /// Returns the alignment that the parts of a split virtqueue need, in bytes.
    #[inline]
    pub fn vq_align(&self) -> u32 {
        call!(self, get_vq_align).unwrap_or(0)
    }

    /// Returns the bus addresses that can be mapped. Optional.
    #[inline]
    pub fn iova_range(&self) -> Option<IovaRange> {
        call!(self, get_iova_range).map(|range| IovaRange {
            first: range.first,
            last: range.last,
        })
    }

    /// Whether [`Vq::kick_with_data`] is there, which VIRTIO_F_NOTIFICATION_DATA needs.
    #[inline]
    pub fn can_kick_with_data(&self) -> bool {
        self.ops().kick_vq_with_data.is_some()
    }

    /// Whether [`Vq::set_affinity`] is there.
    #[inline]
    pub fn can_set_affinity(&self) -> bool {
        self.ops().set_vq_affinity.is_some()
    }

    /// Installs the callback for configuration changes, or removes it (without a function).
    ///
    /// # Safety
    ///
    /// As for [`Vq::set_cb`](super::Vq::set_cb).
    #[inline]
    pub(crate) unsafe fn set_config_cb(&self, mut cb: bindings::vdpa_callback) {
        let cb = &raw mut cb;

        // `cb` is valid during the call; parents copy what is in it.
        let _ = call!(self, set_config_cb, cb);
    }
}
