// SPDX-License-Identifier: GPL-2.0

//! The page of a device file that rings a virtqueue.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::PAGE;

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

    // SAFETY: The kernel picks an address where nothing is.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            protection,
            flags,
            fd.as_raw_fd(),
            offset,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }

    // SAFETY: This is what was mapped, and nobody was told of it.
    super::checked(unsafe { libc::munmap(address, len) })?;
    Ok(())
}
