// SPDX-License-Identifier: GPL-2.0

//! What system calls return, as the standard library has it.

use std::io;

/// Turns the result of a system call into a [`Result`](io::Result).
pub fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The same for those that return an address.
pub fn mapped(address: *mut libc::c_void) -> io::Result<*mut libc::c_void> {
    if address == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(address)
    }
}
