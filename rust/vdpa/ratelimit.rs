// SPDX-License-Identifier: GPL-2.0

//! Keeping the log readable.

use crate::bindings;
use kernel::prelude::*;

/// Whether a message may be printed now that a guest or a user can cause at will.
///
/// C: `printk_ratelimit()`: 10 messages in 5 seconds, together with all others that ask it, as
/// `/proc/sys/kernel/printk_ratelimit*` says.
#[inline]
pub fn ratelimit() -> bool {
    // SAFETY: The name is a valid string.
    unsafe { bindings::__printk_ratelimit(c"vdpa".as_char_ptr()) != 0 }
}
