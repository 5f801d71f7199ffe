// SPDX-License-Identifier: GPL-2.0

//! What another process does, which has the same files open.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use vhost_client::sys;

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Writes a message.
    Write([u8; 72]),
    /// Makes a call that has no argument.
    Call(u32),
    /// Nothing, for so many milliseconds: the files stay open as long.
    Wait(u32),
}

/// Has a child do something with a file, and gives the number of the error, or 0.
pub fn in_child(fd: BorrowedFd<'_>, errand: Errand) -> io::Result<i32> {
    // SAFETY: It calls only what signal handlers may call.
    let ended = unsafe { sys::in_child(|| run(fd.as_raw_fd(), &errand)) }?;

    ended
        .code()
        .ok_or_else(|| io::Error::other(format!("the child was killed: {ended}")))
}

/// What the child does: nothing that allocates or takes locks.
fn run(fd: libc::c_int, errand: &Errand) -> i32 {
    let failed = match errand {
        // SAFETY: The message is valid for reads of its length.
        Errand::Write(message) => unsafe {
            libc::write(fd, message.as_ptr().cast(), message.len()) < 0
        },
        // SAFETY: The kernel does not look for an argument, or finds nothing at address 0.
        Errand::Call(request) => unsafe { libc::ioctl(fd, (*request).into(), 0) < 0 },
        Errand::Wait(milliseconds) => {
            // SAFETY: With no entries the pointer is not used.
            unsafe { libc::poll(std::ptr::null_mut(), 0, *milliseconds as libc::c_int) };
            false
        }
    };

    if failed {
        // SAFETY: It is the address of this thread's number.
        unsafe { *libc::__errno_location() }
    } else {
        0
    }
}
