// SPDX-License-Identifier: GPL-2.0

//! Messages under construction.
//!
//! C header: `include/net/genetlink.h`

use crate::genl::Family;
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};
use vdpa::bindings;

/// What a message begins with.
pub(super) struct Header<'a> {
    /// The family that it comes from.
    pub(super) family: &'a Family,
    /// The socket that it is for.
    pub(super) portid: u32,
    /// The number of the request that it answers.
    pub(super) seq: u32,
    /// `NLM_F_*`.
    pub(super) flags: u32,
    /// The command.
    pub(super) cmd: u8,
}

/// A socket buffer of our own.
///
/// # Invariants
///
/// The pointer is to a socket buffer that we own.
pub(super) struct Buffer(NonNull<bindings::sk_buff>);

impl Buffer {
    /// Allocates a buffer for a message of the usual size: just below a page.
    pub(super) fn new() -> Result<Self> {
        // SAFETY: The arguments are plain numbers.
        let skb =
            unsafe { bindings::genlmsg_new(bindings::GENLMSG_DEFAULT_SIZE, bindings::GFP_KERNEL) };

        // INVARIANT: It was allocated for us.
        NonNull::new(skb).map(Self).ok_or(ENOMEM)
    }

    /// Begins a message.
    pub(super) fn message(&mut self, header: &Header<'_>) -> Result<Message<'_>> {
        // SAFETY: By the type invariant the buffer is valid, and it is borrowed by the message.
        unsafe { Message::new(self.0, header) }
    }

    /// Gives the buffer away.
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is ours.
        unsafe { bindings::nlmsg_free(self.0.as_ptr()) };
    }
}

/// A message under construction.
///
/// It is taken back if it is dropped before its [end](Self::end).
///
/// # Invariants
///
/// `skb` is a valid socket buffer that nobody else uses during `'a`; `header` points to the generic
/// netlink header, plus its length, of the last message in it.
pub(crate) struct Message<'a> {
    skb: NonNull<bindings::sk_buff>,
    header: NonNull<c_void>,
    _buffer: PhantomData<&'a mut bindings::sk_buff>,
}

impl Message<'_> {
    /// Begins a message at the end of a buffer.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if the buffer is full.
    ///
    /// # Safety
    ///
    /// `skb` must be a valid socket buffer that nobody else uses as long as the message exists.
    pub(super) unsafe fn new(skb: NonNull<bindings::sk_buff>, header: &Header<'_>) -> Result<Self> {
        // SAFETY: By the safety requirements of this function; the family is registered, since it
        // answers a request.
        let start = unsafe {
            bindings::genlmsg_put(
                skb.as_ptr(),
                header.portid,
                header.seq,
                header.family.as_raw(),
                header.flags as c_int,
                header.cmd,
            )
        };

        // INVARIANT: This is what `genlmsg_put()` returns.
        Ok(Self {
            skb,
            header: NonNull::new(start).ok_or(EMSGSIZE)?,
            _buffer: PhantomData,
        })
    }

    /// The socket buffer, for somebody who adds attributes.
    pub(crate) fn as_raw(&mut self) -> *mut bindings::sk_buff {
        self.skb.as_ptr()
    }

    /// Adds an attribute.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room for it. This holds for all methods that add something.
    pub(crate) fn put_bytes(&mut self, attr: u16, payload: &[u8]) -> Result {
        let len = c_int::try_from(payload.len()).map_err(|_| EMSGSIZE)?;

        // SAFETY: By the type invariants; the payload is as long as is said.
        to_result(unsafe {
            bindings::nla_put(self.as_raw(), attr.into(), len, payload.as_ptr().cast())
        })
    }

    /// Adds a `u8`.
    pub(crate) fn put_u8(&mut self, attr: u16, value: u8) -> Result {
        self.put_bytes(attr, &[value])
    }

    /// Adds a `u16`.
    pub(crate) fn put_u16(&mut self, attr: u16, value: u16) -> Result {
        self.put_bytes(attr, &value.to_ne_bytes())
    }

    /// Adds a `u32`.
    pub(crate) fn put_u32(&mut self, attr: u16, value: u32) -> Result {
        self.put_bytes(attr, &value.to_ne_bytes())
    }

    /// Adds a `u64`; where the architecture needs that, after an attribute `pad` that aligns it.
    pub(crate) fn put_u64(&mut self, attr: u16, value: u64, pad: u16) -> Result {
        let payload = value.to_ne_bytes();

        // SAFETY: By the type invariants; the payload is as long as is said.
        to_result(unsafe {
            bindings::nla_put_64bit(
                self.as_raw(),
                attr.into(),
                payload.len() as c_int,
                payload.as_ptr().cast(),
                pad.into(),
            )
        })
    }

    /// Adds a string, with its NUL.
    pub(crate) fn put_c_str(&mut self, attr: u16, value: &CStr) -> Result {
        self.put_bytes(attr, value.to_bytes_with_nul())
    }

    /// Completes the message.
    pub(super) fn end(self) {
        let mut this = ManuallyDrop::new(self);

        // SAFETY: By the type invariants.
        unsafe { bindings::genlmsg_end(this.as_raw(), this.header.as_ptr()) };
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::genlmsg_cancel(self.as_raw(), self.header.as_ptr()) };
    }
}
