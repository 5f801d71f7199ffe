// SPDX-License-Identifier: GPL-2.0

//! The page of a device file that rings a virtqueue, for some time.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use vhost_client::sys::PAGE;

use super::{checked, mapped};

/// Pages of a device that are mapped.
///
/// # Invariants
///
/// The `len` bytes from `address` belong to this object, and nobody accesses them.
pub struct Doorbell {
    address: *mut libc::c_void,
    len: usize,
}

impl Doorbell {
    /// Maps pages of a device. `protection` and `flags` are those of `mmap(2)`, without `MAP_FIXED`.
    pub fn map(
        fd: BorrowedFd<'_>,
        page: u64,
        len: usize,
        protection: i32,
        flags: i32,
    ) -> io::Result<Self> {
        let offset = page.wrapping_mul(PAGE as u64) as libc::off_t;
        let flags = flags & !libc::MAP_FIXED;

        // SAFETY: The kernel picks an address where nothing is.
        let address = mapped(unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                flags,
                fd.as_raw_fd(),
                offset,
            )
        })?;
        // INVARIANT: This is what was mapped, and nobody was told of it.
        Ok(Self { address, len })
    }

    /// Moves it elsewhere, with another length.
    pub fn resize(&mut self, len: usize) -> io::Result<()> {
        let flags = libc::MREMAP_MAYMOVE;
        // SAFETY: By the type invariants, nobody will look for it where it was.
        let address = mapped(unsafe { libc::mremap(self.address, self.len, len, flags) })?;

        // INVARIANT: This is where it is now.
        self.address = address;
        self.len = len;
        Ok(())
    }

    /// Changes what it may be accessed for (`PROT_*`).
    pub fn protect(&self, protection: i32) -> io::Result<()> {
        // SAFETY: By the type invariants, nobody accesses it.
        checked(unsafe { libc::mprotect(self.address, self.len, protection) })?;
        Ok(())
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this is nobody else's.
        unsafe { libc::munmap(self.address, self.len) };
    }
}
