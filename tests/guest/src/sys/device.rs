// SPDX-License-Identifier: GPL-2.0

//! Requests to block devices.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use checks::syscall::checked;

// Not in libc: `linux/fs.h`. Those that carry no size in their number are the same everywhere.
const BLKFLSBUF: libc::Ioctl = 0x1261;
const BLKSSZGET: libc::Ioctl = 0x1268;
const BLKDISCARD: libc::Ioctl = 0x1277;
const BLKZEROOUT: libc::Ioctl = 0x127f;

/// `_IOR(0x12, 114, size_t)`, on machines with 64-bit pointers.
const BLKGETSIZE64: libc::Ioctl = 0x8008_1272;

/// Asks for the capacity of a disk in bytes.
pub fn capacity(disk: &File) -> io::Result<u64> {
    let mut bytes = 0u64;

    // SAFETY: The request writes 64 bits, for which the pointer is valid.
    checked(unsafe { libc::ioctl(disk.as_raw_fd(), BLKGETSIZE64, &mut bytes) })?;
    Ok(bytes)
}

/// Asks for the logical block size of a disk in bytes.
pub fn block_size(disk: &File) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;

    // SAFETY: The request writes an `int`, for which the pointer is valid.
    checked(unsafe { libc::ioctl(disk.as_raw_fd(), BLKSSZGET, &mut bytes) })?;
    u32::try_from(bytes).map_err(io::Error::other)
}

/// Writes back and forgets what the kernel keeps of a disk's contents.
pub fn forget_cache(disk: &File) -> io::Result<()> {
    // SAFETY: The request takes no pointer.
    checked(unsafe { libc::ioctl(disk.as_raw_fd(), BLKFLSBUF, 0) })?;
    Ok(())
}

/// Discards `len` bytes from byte `start`.
pub fn discard(disk: &File, start: u64, len: u64) -> io::Result<()> {
    let range = [start, len];

    // SAFETY: The request reads two 64-bit numbers, for which the pointer is valid.
    checked(unsafe { libc::ioctl(disk.as_raw_fd(), BLKDISCARD, range.as_ptr()) })?;
    Ok(())
}

/// Makes `len` bytes from byte `start` zeroes.
pub fn zero(disk: &File, start: u64, len: u64) -> io::Result<()> {
    let range = [start, len];

    // SAFETY: The request reads two 64-bit numbers, for which the pointer is valid.
    checked(unsafe { libc::ioctl(disk.as_raw_fd(), BLKZEROOUT, range.as_ptr()) })?;
    Ok(())
}
