// SPDX-License-Identifier: GPL-2.0

//! System calls as programs for 32 bits make them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use super::{Mailbox, Place, Request};

/// `__NR_ioctl` of `asm/unistd_32.h`.
const NR_IOCTL: u32 = 54;

/// Whether the kernel has the entry for 32-bit programs; one with this setting has.
pub fn has_32_bit_entry() -> bool {
    Path::new("/proc/sys/abi/vsyscall32").exists()
}

/// Makes an ioctl by the 32-bit entry of the kernel, which must have one.
///
/// # Errors
///
/// `InvalidInput` without an errno if the mailbox is at an address that needs more bits, and those
/// of `ioctl(2)`.
pub fn ioctl32(
    fd: BorrowedFd<'_>,
    request: Request,
    mailbox: &Mailbox,
    place: Place,
) -> io::Result<i32> {
    let Ok(address) = u32::try_from(mailbox.address(place)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut result = NR_IOCTL;

    // SAFETY: The registers are those of a 32-bit system call, which changes those named here and
    // none else; `rbx` is put back, as the compiler needs it. The kernel accesses what is at the
    // address, which ends where the mailbox does, by its invariants.
    unsafe {
        std::arch::asm!(
            "xchg {fd:r}, rbx",
            "int 0x80",
            "xchg {fd:r}, rbx",
            fd = inout(reg) fd.as_raw_fd() as u64 => _,
            inout("eax") result,
            in("ecx") request.0,
            in("edx") address,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    match result as i32 {
        error @ -4095..=-1 => Err(io::Error::from_raw_os_error(-error)),
        value => Ok(value),
    }
}
