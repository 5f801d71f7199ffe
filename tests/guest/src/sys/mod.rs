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

/// Turns the result of a system call that returns a length into a [`Result`].
fn length(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
