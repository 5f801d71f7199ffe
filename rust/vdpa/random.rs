// SPDX-License-Identifier: GPL-2.0

//! Random values.
//!
//! C headers: `include/linux/random.h`, `include/linux/etherdevice.h`

use crate::bindings;

/// Fills a buffer with random bytes, which are good enough for keys once the kernel has collected
/// enough entropy: some time after it was booted, and for ever after.
///
/// It can be called in any context.
#[doc(alias = "get_random_bytes")]
#[inline]
pub fn random_bytes(buf: &mut [u8]) {
    // SAFETY: There is room for as many bytes.
    unsafe { bindings::get_random_bytes(buf.as_mut_ptr().cast(), buf.len()) };
}

/// Makes up a MAC address: of one interface, and administered locally (IEEE 802, section 8.4), so
/// that it is none that a vendor has given.
///
/// It can be called in any context.
#[inline]
pub fn random_mac() -> [u8; 6] {
    let mut mac = [0; 6];

    random_bytes(&mut mac);
    mac[0] = mac[0] & !1 | 2;
    mac
}
