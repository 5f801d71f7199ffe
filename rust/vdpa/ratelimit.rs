// SPDX-License-Identifier: GPL-2.0

//! Keeping the log readable.

use crate::bindings;
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// Limits what a guest, or a process, can have said in the log of its device.
///
/// There is one for each device, by who has something to say of it: with a limit that all share
/// (`printk_ratelimit()` in C), one could silence what is to be said of others.
///
/// C: `struct ratelimit_state`: 10 messages in 5 seconds. How many were left out is said with the
/// next one.
#[pin_data]
pub struct RateLimit {
    #[pin]
    state: Opaque<bindings::ratelimit_state>,
}

// SAFETY: `___ratelimit()` locks for itself.
unsafe impl Send for RateLimit {}

// SAFETY: As above.
unsafe impl Sync for RateLimit {}

impl RateLimit {
    /// A device's own.
    #[inline]
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- Opaque::ffi_init(|state| {
                // SAFETY: `state` is valid for writes.
                unsafe { bindings::rust_vdpa_ratelimit_init(state) }
            }),
        })
    }

    /// Whether a message may be printed now.
    ///
    /// # Context
    ///
    /// Any.
    #[doc(alias = "___ratelimit")]
    #[inline]
    pub fn allows(&self) -> bool {
        // SAFETY: The state was initialised, and the name is a valid string.
        unsafe { bindings::___ratelimit(self.state.get(), c"vdpa".as_char_ptr()) != 0 }
    }
}
