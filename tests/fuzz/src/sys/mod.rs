// SPDX-License-Identifier: GPL-2.0

//! System calls that the standard library and the crates lack: the only place with `unsafe` code.

#![allow(unsafe_code)]

mod arena;
mod child;
mod kcov;

pub use arena::{Arena, Piece, PIECE, PIECES};
pub use child::{in_child, Errand};
pub use kcov::Kcov;

use std::io;

/// Turns the result of a system call into a [`Result`].
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The same for those that return an address.
fn mapped(address: *mut libc::c_void) -> io::Result<*mut libc::c_void> {
    if address == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(address)
    }
}
