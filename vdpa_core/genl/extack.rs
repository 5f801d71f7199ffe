// SPDX-License-Identifier: GPL-2.0

//! Extended acknowledgements: the sentence that a refused request is answered with.
//!
//! C header: `include/linux/netlink.h`, `struct netlink_ext_ack`.

use crate::genl::MODULE_NAME;
use core::marker::PhantomData;
use kernel::{
    fmt,
    prelude::*,
    str::BStr, //
};
use vdpa::bindings;

/// Where to say why a request is refused.
///
/// # Invariants
///
/// The pointer is NULL, for a request that nobody wants to know about, or valid during `'a`. Only
/// the thread that handles the request uses it.
#[derive(Clone, Copy)]
pub(crate) struct Extack<'a>(*mut bindings::netlink_ext_ack, PhantomData<&'a ()>);

impl Extack<'_> {
    /// Wraps the extended acknowledgement of a request.
    ///
    /// # Safety
    ///
    /// The type's invariants must hold.
    pub(super) unsafe fn from_raw(ptr: *mut bindings::netlink_ext_ack) -> Self {
        Self(ptr, PhantomData)
    }

    /// The C structure, or NULL.
    pub(crate) fn as_raw(self) -> *mut bindings::netlink_ext_ack {
        self.0
    }

    /// Explains a refusal, and returns its error number.
    ///
    /// It comes after the name of the module, as with `NL_SET_ERR_MSG_FMT_MOD()`. The kernel has
    /// room for 79 bytes of both; what does not fit is cut off.
    pub(crate) fn refuse(self, error: Error, why: fmt::Arguments<'_>) -> Error {
        // SAFETY: By the type invariants.
        let Some(extack) = (unsafe { self.0.as_mut() }) else {
            return error;
        };
        let mut text = Text::new(&mut extack._msg_buf);

        // It cannot fail: what does not fit is left out.
        let _ = fmt::Write::write_fmt(&mut text, fmt!("{}: {}", MODULE_NAME, why));
        text.terminate();
        extack._msg = extack._msg_buf.as_ptr();
        // SAFETY: The message is a C string, by the call of `terminate()`. It is copied.
        unsafe { bindings::do_trace_netlink_extack(extack._msg) };
        error
    }

    /// Like [`refuse`](Self::refuse), unless somebody else has explained it already.
    pub(crate) fn refuse_unless_explained(self, error: Error, why: fmt::Arguments<'_>) -> Error {
        // SAFETY: By the type invariants.
        match unsafe { self.0.as_ref() } {
            Some(extack) if extack._msg.is_null() => self.refuse(error, why),
            _ => error,
        }
    }

    /// Points to the attribute that is the reason.
    pub(super) fn blame(self, attr: *const bindings::nlattr) {
        // SAFETY: By the type invariants. The attribute is part of the request.
        if let Some(extack) = unsafe { self.0.as_mut() } {
            extack.bad_attr = attr;
        }
    }

    /// Tells which attribute is missing.
    pub(super) fn miss(self, attr: u16) {
        // SAFETY: By the type invariants.
        if let Some(extack) = unsafe { self.0.as_mut() } {
            extack.miss_type = attr;
        }
    }
}

/// A buffer that a C string is written to.
///
/// # Invariants
///
/// There is room for the end of the string.
struct Text<'a> {
    rest: &'a mut [c_char],
}

impl<'a> Text<'a> {
    fn new(buf: &'a mut [c_char; 80]) -> Self {
        // INVARIANT: There are 80 bytes.
        Self { rest: buf }
    }

    fn terminate(&mut self) {
        // By the type invariant there is an element.
        if let Some(end) = self.rest.first_mut() {
            *end = 0;
        }
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let rest = core::mem::take(&mut self.rest);
        let room = rest.len().saturating_sub(1);
        let (part, rest) = rest.split_at_mut(room.min(s.len()));

        for (to, from) in part.iter_mut().zip(s.as_bytes()) {
            *to = *from;
        }
        // INVARIANT: At most one less than what was left is used.
        self.rest = rest;
        Ok(())
    }
}

/// A string that is shown by its beginning, so that there is room for the rest of a message.
///
/// What is not printable ASCII is shown escaped.
pub(crate) struct Shortened<'a>(pub(crate) &'a CStr);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 20;

        let name = self.0.to_bytes();

        match name.get(..MAX) {
            Some(start) if name.len() > MAX => {
                fmt::Display::fmt(BStr::from_bytes(start), f)?;
                f.write_str("...")
            }
            _ => fmt::Display::fmt(BStr::from_bytes(name), f),
        }
    }
}
