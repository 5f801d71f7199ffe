// SPDX-License-Identifier: GPL-2.0

//! Another process, which has the same files open and a copy of the memory.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use checks::syscall::checked;

/// Has a child call `run` and end with what that returns, of which the lower 8 bits count. Gives
/// what became of it.
///
/// # Safety
///
/// `run` must only do what a signal handler may do: it must not allocate, take locks or unwind.
pub unsafe fn in_child(run: impl FnOnce() -> i32) -> io::Result<ExitStatus> {
    // SAFETY: The child, of which other threads are not a part, does what signal handlers may do,
    // by the safety requirements of this function, and does not return.
    let child = checked(unsafe { libc::fork() })?;

    if child == 0 {
        let code = run();
        // SAFETY: The call does not return.
        unsafe { libc::_exit(code & 0xff) }
    }

    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for writes.
        match checked(unsafe { libc::waitpid(child, &mut status, 0) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
            Ok(_) => return Ok(ExitStatus::from_raw(status)),
        }
    }
}
