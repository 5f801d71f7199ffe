// SPDX-License-Identifier: GPL-2.0

//! The page of a device file that rings a virtqueue.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::process::ExitStatus;

use checks::syscall::{checked, mapped};

use super::{in_child, PAGE};

/// Pages of a device that are mapped.
///
/// # Invariants
///
/// The `len` bytes from `address`, at least one page, belong to this object. They are only accessed
/// by volatile writes, never by reference. A write that is not allowed, or finds nothing any more,
/// ends the program, and does nothing else.
pub struct Doorbell {
    address: *mut libc::c_void,
    len: usize,
}

impl Doorbell {
    /// Maps pages of a device, from `offset` on. `protection` and `flags` are those of `mmap(2)`,
    /// of which `MAP_FIXED` is left out.
    pub fn map(
        fd: BorrowedFd<'_>,
        offset: libc::off_t,
        len: usize,
        protection: i32,
        flags: i32,
    ) -> io::Result<Self> {
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
        // INVARIANT: This is what was mapped, in whole pages, and nobody was told of it.
        Ok(Self { address, len })
    }

    /// Maps the doorbell of virtqueue `index`, to be rung.
    pub fn of_queue(fd: BorrowedFd<'_>, index: u32) -> io::Result<Self> {
        let offset = libc::off_t::from(index) * PAGE as libc::off_t;

        Self::map(fd, offset, PAGE, libc::PROT_WRITE, libc::MAP_SHARED)
    }

    /// Where it is mapped.
    pub fn address(&self) -> u64 {
        self.address as u64
    }

    /// Tells the device of virtqueue `index`.
    pub fn ring(&self, index: u16) {
        // SAFETY: By the type invariants, this is an aligned place for two bytes, or the program
        // ends.
        unsafe { self.address.cast::<u16>().write_volatile(index.to_le()) };
    }

    /// Has a child do that, which inherits the mapping. Gives what became of it.
    pub fn ring_in_child(&self, index: u16) -> io::Result<ExitStatus> {
        // SAFETY: It is one access to memory, or the end of the child.
        unsafe {
            in_child(|| {
                self.ring(index);
                0
            })
        }
    }

    /// Moves it elsewhere, with another length.
    pub fn resize(&mut self, len: usize) -> io::Result<()> {
        let flags = libc::MREMAP_MAYMOVE;
        // SAFETY: By the type invariants, nobody will look for it where it was.
        let address = mapped(unsafe { libc::mremap(self.address, self.len, len, flags) })?;

        // INVARIANT: This is where it is now, in whole pages.
        self.address = address;
        self.len = len;
        Ok(())
    }

    /// Changes what it may be accessed for (`PROT_*`).
    pub fn protect(&self, protection: i32) -> io::Result<()> {
        // SAFETY: By the type invariants, what happens to accesses that are not allowed any more is
        // sound.
        checked(unsafe { libc::mprotect(self.address, self.len, protection) })?;
        Ok(())
    }

    /// Takes it away.
    pub fn unmap(self) -> io::Result<()> {
        let this = ManuallyDrop::new(self);

        // SAFETY: By the type invariants, this is nobody else's, and it is not used again.
        checked(unsafe { libc::munmap(this.address, this.len) })?;
        Ok(())
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this is nobody else's.
        unsafe { libc::munmap(self.address, self.len) };
    }
}

/// Maps a page of a device and takes it away again.
///
/// `protection` and `flags` are those of `mmap(2)`, without `MAP_FIXED`.
pub fn map(
    fd: BorrowedFd<'_>,
    page: u64,
    len: usize,
    protection: i32,
    flags: i32,
) -> io::Result<()> {
    let offset = page
        .checked_mul(PAGE as u64)
        .and_then(|offset| libc::off_t::try_from(offset).ok());
    let (Some(offset), 0) = (offset, flags & libc::MAP_FIXED) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };

    Doorbell::map(fd, offset, len, protection, flags)?.unmap()
}
