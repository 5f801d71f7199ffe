// SPDX-License-Identifier: GPL-2.0

//! System calls that the standard library and the crates lack, or keep from being made wrongly: the
//! only place with `unsafe` code.

#![allow(unsafe_code)]

mod area;
mod awaited;
mod child;
mod compat;
mod doorbell;
mod ioctl;
mod mailbox;
mod privilege;
mod sched;
mod vduse;

pub use area::{Advice, Area, PAGE};
pub use awaited::Awaited;
pub use child::in_child;
pub use compat::{has_32_bit_entry, ioctl32};
pub use doorbell::{map as map_doorbell, Doorbell};
pub use ioctl::{ioctl, Argument, Request};
pub use mailbox::{Mailbox, Place};
pub use privilege::exceed_locked_memory;
pub use sched::{bind_threads, run_first_on, run_on};
pub use vduse::bounce_memory;

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::Duration;

use checks::syscall::checked;

/// Waits until one of `events` can be had from a file, or it has an error; gives those it has,
/// which are none after `timeout`.
pub fn poll(file: &impl AsRawFd, events: i16, timeout: Duration) -> io::Result<i16> {
    let mut entry = libc::pollfd {
        fd: file.as_raw_fd(),
        events,
        revents: 0,
    };
    let milliseconds = timeout.as_millis().try_into().unwrap_or(libc::c_int::MAX);

    // SAFETY: `entry` is one valid structure. Whatever the descriptor is, it is only waited for.
    match checked(unsafe { libc::poll(&mut entry, 1, milliseconds) }) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
        Ok(_) => Ok(entry.revents),
    }
}

/// Makes a file that exists in memory only, of huge pages if `huge`.
pub fn memory_file(len: u64, huge: bool) -> io::Result<File> {
    let flags = libc::MFD_CLOEXEC | if huge { libc::MFD_HUGETLB } else { 0 };

    // SAFETY: The name is a string that ends with a zero.
    let fd = checked(unsafe { libc::memfd_create(c"vhost-client".as_ptr(), flags) })?;
    // SAFETY: The descriptor is open, and nothing else owns it.
    let file = unsafe { File::from_raw_fd(fd) };

    file.set_len(len)?;
    Ok(file)
}

/// Sets how many bytes this process may have locked, if it is held to that; [`None`] is no limit.
pub fn limit_locked_memory(bytes: Option<u64>) -> io::Result<()> {
    let bytes = bytes.unwrap_or(libc::RLIM_INFINITY);
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };

    // SAFETY: `limit` is one valid structure.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) })?;
    Ok(())
}

/// Makes a file that can be mapped and is of no file system: a map of BPF with one page.
pub fn map_of_bpf() -> io::Result<File> {
    const BPF_MAP_CREATE: libc::c_int = 0;
    const BPF_MAP_TYPE_ARRAY: u32 = 2;
    const BPF_F_MMAPABLE: u32 = 1 << 10;

    // The beginning of `union bpf_attr`: type, sizes of key and value, entries, flags.
    let attr = [BPF_MAP_TYPE_ARRAY, 4, PAGE as u32, 1, BPF_F_MMAPABLE];

    // SAFETY: `attr` is as long as is said; it is only read.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_CREATE,
            attr.as_ptr(),
            size_of_val(&attr),
        )
    };
    let fd = checked(fd as libc::c_int)?;

    // SAFETY: The descriptor is open, and nothing else owns it.
    Ok(unsafe { File::from_raw_fd(fd) })
}
