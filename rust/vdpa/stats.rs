// SPDX-License-Identifier: GPL-2.0

//! A device's own statistics (`vdpa dev vstats show`).

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// A netlink message that takes pairs of a name and a number.
///
/// The layout, each name just before its value, is what the parser of iproute2 depends on.
///
/// # Invariants
///
/// `msg` is a message under construction that nobody else uses. `extack` is NULL or valid.
pub struct VendorStats<'a> {
    msg: &'a mut bindings::sk_buff,
    extack: Option<&'a mut bindings::netlink_ext_ack>,
}

impl<'a> VendorStats<'a> {
    /// Wraps what `get_vendor_vq_stats` was called with.
    ///
    /// # Safety
    ///
    /// `msg` must be a valid socket buffer with a netlink message under construction, `extack`
    /// NULL or valid, and nobody else may use them for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw(
        msg: NonNull<bindings::sk_buff>,
        extack: *mut bindings::netlink_ext_ack,
    ) -> Self {
        // SAFETY: By the safety requirements of this function.
        unsafe {
            Self {
                msg: &mut *msg.as_ptr(),
                extack: extack.as_mut(),
            }
        }
    }

    /// Adds a number.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` where the message is full.
    #[inline]
    pub fn put(&mut self, name: &CStr, value: u64) -> Result {
        let bytes = name.to_bytes_with_nul();

        // SAFETY: The message is valid, and both attributes are given with their right lengths.
        unsafe {
            to_result(bindings::nla_put(
                self.msg,
                bindings::vdpa_attr_VDPA_ATTR_DEV_VENDOR_ATTR_NAME as c_int,
                bytes.len() as c_int,
                bytes.as_ptr().cast(),
            ))?;
            to_result(bindings::nla_put_64bit(
                self.msg,
                bindings::vdpa_attr_VDPA_ATTR_DEV_VENDOR_ATTR_VALUE as c_int,
                size_of::<u64>() as c_int,
                core::ptr::from_ref(&value).cast(),
                bindings::vdpa_attr_VDPA_ATTR_PAD as c_int,
            ))
        }
    }

    /// Sets the message that the user sees with the error that is returned.
    #[inline]
    pub fn refuse(&mut self, message: &'static CStr) {
        if let Some(extack) = self.extack.as_mut() {
            extack._msg = message.as_char_ptr();
        }
    }
}
