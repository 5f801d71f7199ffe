// SPDX-License-Identifier: GPL-2.0

//! The control device of VDUSE (`uapi/linux/vduse.h`).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use checks::syscall::checked;

/// `VDUSE_NAME_MAX`.
const NAME_MAX: usize = 256;

/// `VDUSE_DESTROY_DEV`: `_IOW(0x81, 0x03, char[VDUSE_NAME_MAX])`.
const DESTROY_DEV: libc::c_ulong = 0x4100_8103;

/// Destroys a device whose server is gone, by the name that the server gave it.
pub fn destroy(name: &str) -> io::Result<()> {
    let mut raw = [0u8; NAME_MAX];
    let bytes = name.as_bytes();
    if bytes.len() >= NAME_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    raw[..bytes.len()].copy_from_slice(bytes);

    let control = File::options()
        .read(true)
        .write(true)
        .open("/dev/vduse/control")?;
    // SAFETY: The ioctl reads 256 bytes, which are there.
    checked(unsafe { libc::ioctl(control.as_raw_fd(), DESTROY_DEV, raw.as_ptr()) }).map(drop)
}
