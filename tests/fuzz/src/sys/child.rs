// SPDX-License-Identifier: GPL-2.0

//! Another process, which has the same files open and a copy of the memory.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

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
    // SAFETY: The child, of which other threads are not a part, calls only what signal handlers
    // may call, and does not return.
    let child = checked(unsafe { libc::fork() })?;

    if child == 0 {
        let errno = run(fd.as_raw_fd(), &errand);
        // SAFETY: The call does not return.
        unsafe { libc::_exit(errno & 0xff) }
    }

    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for writes.
        match checked(unsafe { libc::waitpid(child, &mut status, 0) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
            Ok(_) if libc::WIFEXITED(status) => return Ok(libc::WEXITSTATUS(status)),
            Ok(_) => return Err(io::Error::other("the child was killed")),
        }
    }
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
