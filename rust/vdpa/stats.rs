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
/// The socket buffer ends with a netlink message under construction.
pub struct VendorStats<'a>(&'a mut bindings::sk_buff);

impl VendorStats<'_> {
    /// Wraps what `get_vendor_vq_stats` was called with.
    ///
    /// # Safety
    ///
    /// `msg` must be a valid socket buffer that ends with a netlink message under construction, and
    /// nobody else may use it as long as the result exists.
    #[inline]
    pub(crate) unsafe fn from_raw(mut msg: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: As above.
        Self(unsafe { msg.as_mut() })
    }

    /// Adds a number.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` where the message is full.
    #[doc(alias = "nla_put")]
    #[doc(alias = "nla_put_64bit")]
    #[inline]
    pub fn put(&mut self, name: &CStr, value: u64) -> Result {
        let bytes = name.to_bytes_with_nul();

        // SAFETY: By the type invariant; both attributes are given with their right lengths.
        unsafe {
            to_result(bindings::nla_put(
                self.0,
                bindings::vdpa_attr_VDPA_ATTR_DEV_VENDOR_ATTR_NAME as c_int,
                bytes.len() as c_int,
                bytes.as_ptr().cast(),
            ))?;
            to_result(bindings::nla_put_64bit(
                self.0,
                bindings::vdpa_attr_VDPA_ATTR_DEV_VENDOR_ATTR_VALUE as c_int,
                size_of::<u64>() as c_int,
                core::ptr::from_ref(&value).cast(),
                bindings::vdpa_attr_VDPA_ATTR_PAD as c_int,
            ))
        }
    }
}
