// SPDX-License-Identifier: GPL-2.0

//! Attributes of a request: what they have to look like, and how they are read.
//!
//! C header: `include/net/netlink.h`

use crate::genl::Extack;
use kernel::{
    error::from_result,
    prelude::*, //
};
use vdpa::bindings;

/// What the payload of one attribute has to look like.
///
/// The netlink core compares it with each request, before the family sees it.
pub(crate) struct Policy(bindings::nla_policy);

impl Policy {
    /// The attribute is not accepted in requests.
    pub(crate) const REJECT: Self = Self(pin_init::zeroed());

    const fn of_type(kind: u32) -> Self {
        Self(bindings::nla_policy {
            type_: kind as u8,
            ..pin_init::zeroed()
        })
    }

    /// A `u16`.
    pub(crate) const U16: Self = Self::of_type(bindings::NLA_U16);

    /// A `u32`.
    pub(crate) const U32: Self = Self::of_type(bindings::NLA_U32);

    /// A `u64`.
    pub(crate) const U64: Self = Self::of_type(bindings::NLA_U64);

    /// A string that is terminated by a NUL, of up to `max` bytes without it.
    pub(crate) const fn c_string(max: usize) -> Self {
        let mut policy = Self::of_type(bindings::NLA_NUL_STRING);

        assert!(max != 0 && max < u16::MAX as usize);
        policy.0.len = max as u16;
        policy
    }

    /// Exactly `len` bytes.
    pub(crate) const fn bytes(len: usize) -> Self {
        let mut policy = Self::of_type(bindings::NLA_BINARY);

        assert!(len <= i16::MAX as usize);
        policy.0.validation_type = bindings::nla_policy_validation_NLA_VALIDATE_RANGE as u8;
        policy.0.__bindgen_anon_1.__bindgen_anon_1 =
            bindings::nla_policy__bindgen_ty_1__bindgen_ty_1 {
                min: len as i16,
                max: len as i16,
            };
        policy
    }

    /// A `u16` that a function of the family accepts.
    pub(crate) const fn u16_checked<C: CheckU16>() -> Self {
        let mut policy = Self::U16;

        policy.0.validation_type = bindings::nla_policy_validation_NLA_VALIDATE_FUNCTION as u8;
        policy.0.__bindgen_anon_1.validate = Some(validate_u16::<C>);
        policy
    }
}

/// A function that decides whether a number is acceptable, for [`Policy::u16_checked`].
pub(crate) trait CheckU16 {
    /// Refuses the value, with an explanation, or accepts it.
    fn check(value: u16, extack: Extack<'_>) -> Result;
}

/// # Safety
///
/// Must be called by the netlink core: `attr` is a whole attribute, `extack` is NULL or valid.
unsafe extern "C" fn validate_u16<C: CheckU16>(
    attr: *const bindings::nlattr,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the safety requirements of this function.
    let (payload, extack) = unsafe { (payload(attr), Extack::from_raw(extack)) };

    from_result(|| {
        C::check(u16::from_ne_bytes(exactly(payload)?), extack)
            .inspect_err(|_| extack.blame(attr))?;
        Ok(0)
    })
}

/// The policies of a family, indexed by the number of the attribute.
pub(crate) struct Policies<const N: usize>([bindings::nla_policy; N]);

// SAFETY: They are never changed, and what they point to are functions.
unsafe impl<const N: usize> Sync for Policies<N> {}

impl<const N: usize> Policies<N> {
    /// Accepts no attribute at all.
    pub(crate) const fn new() -> Self {
        Self([Policy::REJECT.0; N])
    }

    /// Accepts an attribute.
    ///
    /// Panics, in constant evaluation, if there is no such attribute.
    pub(crate) const fn with(mut self, attr: u16, policy: Policy) -> Self {
        self.0[attr as usize] = policy.0;
        self
    }

    /// The C array.
    pub(super) const fn as_ptr(&self) -> *const bindings::nla_policy {
        self.0.as_ptr()
    }
}

/// The attributes of a request.
///
/// # Invariants
///
/// Each pointer is NULL or points to a whole attribute in the request.
#[derive(Clone, Copy)]
pub(crate) struct Attrs<'a>(&'a [*const bindings::nlattr]);

impl<'a> Attrs<'a> {
    /// Wraps what the netlink core has parsed.
    ///
    /// # Safety
    ///
    /// `attrs` must be NULL or point to `count` pointers, for which the type's invariants hold
    /// during `'a`.
    pub(super) unsafe fn from_raw(attrs: *const *mut bindings::nlattr, count: usize) -> Self {
        if attrs.is_null() {
            return Self(&[]);
        }
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: As above.
        Self(unsafe { core::slice::from_raw_parts(attrs.cast(), count) })
    }

    /// The attribute itself, or NULL.
    pub(super) fn raw(&self, attr: u16) -> *const bindings::nlattr {
        self.0
            .get(usize::from(attr))
            .map_or(core::ptr::null(), |ptr| *ptr)
    }

    /// Whether the attribute is there.
    pub(crate) fn has(&self, attr: u16) -> bool {
        !self.raw(attr).is_null()
    }

    fn get(&self, attr: u16) -> Option<&'a [u8]> {
        let attr = self.raw(attr);

        // SAFETY: By the type invariants.
        (!attr.is_null()).then(|| unsafe { payload(attr) })
    }

    /// Returns exactly `N` bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the attribute has another length.
    pub(crate) fn bytes<const N: usize>(&self, attr: u16) -> Result<Option<[u8; N]>> {
        self.get(attr).map(exactly).transpose()
    }

    /// Returns a `u16`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the attribute has another length.
    pub(crate) fn u16(&self, attr: u16) -> Result<Option<u16>> {
        Ok(self.bytes(attr)?.map(u16::from_ne_bytes))
    }

    /// Returns a `u32`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the attribute has another length.
    pub(crate) fn u32(&self, attr: u16) -> Result<Option<u32>> {
        Ok(self.bytes(attr)?.map(u32::from_ne_bytes))
    }

    /// Returns a `u64`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the attribute has another length.
    pub(crate) fn u64(&self, attr: u16) -> Result<Option<u64>> {
        Ok(self.bytes(attr)?.map(u64::from_ne_bytes))
    }

    /// Returns a string, up to its first NUL.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no NUL.
    pub(crate) fn c_str(&self, attr: u16) -> Result<Option<&'a CStr>> {
        self.get(attr)
            .map(|payload| CStr::from_bytes_until_nul(payload).map_err(|_| EINVAL))
            .transpose()
    }
}

/// The payload as an array, if it is as long.
fn exactly<const N: usize>(payload: &[u8]) -> Result<[u8; N]> {
    payload.try_into().map_err(|_| EINVAL)
}

/// The payload of an attribute.
///
/// # Safety
///
/// `attr` must point to a whole attribute, which is valid and not changed during `'a`.
unsafe fn payload<'a>(attr: *const bindings::nlattr) -> &'a [u8] {
    const HEADER: usize = size_of::<bindings::nlattr>();

    // SAFETY: By the safety requirements of this function. The payload follows the header, which is
    // as long as its alignment asks for, and its length includes that of the header.
    unsafe {
        let len = usize::from((*attr).nla_len).saturating_sub(HEADER);

        core::slice::from_raw_parts(attr.add(1).cast(), len)
    }
}
