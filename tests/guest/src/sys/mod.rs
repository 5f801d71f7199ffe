// SPDX-License-Identifier: GPL-2.0

//! System calls that the standard library lacks: the only place with `unsafe` code.

#![allow(unsafe_code)]

pub mod device;
pub mod module;
pub mod packet;
pub mod process;
pub mod socket;
pub mod uring;
pub mod vduse;

use std::io;

/// Turns the result of a system call into a [`Result`].
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The same for those that return a length.
fn length(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
