// SPDX-License-Identifier: GPL-2.0

//! Any ioctl with any argument.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use checks::syscall::checked;

use super::{Mailbox, Place};

/// The number of an ioctl: `_IOC` of `asm-generic/ioctl.h`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Request(pub u32);

impl Request {
    const fn new(direction: u32, kind: u8, number: u8, size: usize) -> Self {
        assert!(size < 1 << 14);
        Self((direction << 30) | ((size as u32) << 16) | ((kind as u32) << 8) | number as u32)
    }

    /// `_IO`: it has no argument.
    pub const fn none(kind: u8, number: u8) -> Self {
        Self::new(0, kind, number, 0)
    }

    /// `_IOW`: the kernel reads its argument.
    pub const fn to_kernel(kind: u8, number: u8, size: usize) -> Self {
        Self::new(1, kind, number, size)
    }

    /// `_IOR`: the kernel writes its argument.
    pub const fn from_kernel(kind: u8, number: u8, size: usize) -> Self {
        Self::new(2, kind, number, size)
    }

    /// `_IOWR`: the kernel reads and writes its argument.
    pub const fn both_ways(kind: u8, number: u8, size: usize) -> Self {
        Self::new(3, kind, number, size)
    }

    /// How many bytes its argument has.
    pub const fn size(self) -> usize {
        ((self.0 >> 16) & 0x3fff) as usize
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// What an ioctl is given.
pub enum Argument<'a> {
    /// Bytes that may be read and written, for ioctls whose argument has a fixed size.
    Bytes(&'a mut [u8]),
    /// What is at a place in a mailbox.
    Mail(&'a Mailbox, Place),
    /// An address where nothing can be: below the first 64 KiB, or not in the lower half.
    Nowhere(u64),
}

/// Addresses in between may be memory of this process.
const LOWEST: u64 = 1 << 16;
const HIGHEST: u64 = 1 << 47;

/// Makes an ioctl.
///
/// # Errors
///
/// `InvalidInput` without an errno if the argument is not good for a call, and those of `ioctl(2)`.
pub fn ioctl(fd: BorrowedFd<'_>, request: Request, argument: Argument<'_>) -> io::Result<i32> {
    let address = match argument {
        Argument::Bytes(bytes) if bytes.len() >= request.size() => bytes.as_mut_ptr() as u64,
        Argument::Mail(mailbox, place) => mailbox.address(place),
        Argument::Nowhere(address) if !(LOWEST..HIGHEST).contains(&address) => address,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };

    // SAFETY: The kernel accesses what is at the address. That is as many bytes as the number says
    // and thus all in `bytes`; or it ends where the mailbox does, by its invariants; or it is
    // nothing that this program has.
    checked(unsafe { libc::ioctl(fd.as_raw_fd(), request.0.into(), address) })
}
