// SPDX-License-Identifier: GPL-2.0

//! What a process may do.

use std::io;

use checks::syscall::checked;

/// Gives up all rights for good: becomes user and group `id`, which must not be 0.
pub fn become_user(id: u32) -> io::Result<()> {
    if id == 0 {
        return Err(io::Error::other("user 0 keeps all rights"));
    }

    // SAFETY: With no groups, the pointer is not used.
    checked(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: The call takes no pointers.
    checked(unsafe { libc::setresgid(id, id, id) })?;
    // SAFETY: The call takes no pointers.
    checked(unsafe { libc::setresuid(id, id, id) })?;
    Ok(())
}

/// Moves this process to a network namespace of its own.
pub fn leave_network() -> io::Result<()> {
    // SAFETY: The call takes no pointers. This program has one thread.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    Ok(())
}

/// Moves this process to a user namespace of its own, in which it has all rights.
pub fn leave_users() -> io::Result<()> {
    // SAFETY: The call takes no pointers. This program has one thread.
    checked(unsafe { libc::unshare(libc::CLONE_NEWUSER) })?;
    Ok(())
}
