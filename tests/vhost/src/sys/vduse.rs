// SPDX-License-Identifier: GPL-2.0

//! What a server of VDUSE is told of the memory of its device (`uapi/linux/vduse.h`).

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use checks::syscall::checked;

use super::{ioctl, Argument, Request};

/// The size of `struct vduse_iotlb_entry`: offset, first and last address, and permissions.
const ENTRY_SIZE: usize = 32;
/// Where in it the last address is.
const LAST: usize = 16;

const VDUSE_IOTLB_GET_FD: Request = Request::both_ways(0x81, 0x10, ENTRY_SIZE);

/// Returns the bounce memory of the device of VDUSE `name`, which process `server` has open, and its length: it
/// begins at address 0, and so at the beginning of its file.
///
/// # Errors
///
/// `NotFound` where the process does not have the device open, `EPERM` where this one may not look, and `EINVAL`
/// where the device has no memory, as no kernel driver uses it.
pub fn bounce_memory(server: libc::pid_t, name: &str) -> io::Result<(File, u64)> {
    let device = opened(server, &Path::new("/dev/vduse").join(name))?;
    // The first address, and no other.
    let mut entry = [0; ENTRY_SIZE];
    let fd = ioctl(
        device.as_fd(),
        VDUSE_IOTLB_GET_FD,
        Argument::Bytes(&mut entry),
    )?;
    // SAFETY: The call has made the descriptor, and nothing else owns it.
    let file = unsafe { File::from_raw_fd(fd) };
    let mut last = [0; 8];

    last.copy_from_slice(&entry[LAST..LAST + 8]);
    Ok((file, u64::from_ne_bytes(last) + 1))
}

/// Returns what another process has open, for files that cannot be opened twice.
fn opened(pid: libc::pid_t, path: &Path) -> io::Result<OwnedFd> {
    let number: RawFd = fs::read_dir(format!("/proc/{pid}/fd"))?
        .filter_map(Result::ok)
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
        .find_map(|entry| entry.file_name().to_str()?.parse().ok())
        .ok_or(io::ErrorKind::NotFound)?;

    // SAFETY: The call accesses no memory.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: The descriptor is new, and nothing else owns it.
    let process = unsafe { OwnedFd::from_raw_fd(checked(process as libc::c_int)?) };

    // SAFETY: The call accesses no memory.
    let file = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) };
    // SAFETY: As above.
    Ok(unsafe { OwnedFd::from_raw_fd(checked(file as libc::c_int)?) })
}
