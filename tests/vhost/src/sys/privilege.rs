// SPDX-License-Identifier: GPL-2.0

//! What the thread may do beyond what others may: one capability of `capabilities(7)`.

use std::io;

/// `struct __user_cap_header_struct` of `linux/capability.h`.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`, of which there are two: for capabilities below 32, and above.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`
const VERSION: u32 = 0x2008_0522;
/// `CAP_IPC_LOCK`, as a bit.
const IPC_LOCK: u32 = 1 << 14;

/// Says whether this thread, and those that it starts, may have more memory locked than the limit
/// says (`CAP_IPC_LOCK`). Root may.
pub fn exceed_locked_memory(may: bool) -> io::Result<()> {
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    let mut data = [Data::default(); 2];

    // SAFETY: The header is valid, and there is room for what this version writes.
    checked(unsafe { libc::syscall(libc::SYS_capget, &header, data.as_mut_ptr()) })?;
    if may {
        data[0].effective |= IPC_LOCK;
    } else {
        data[0].effective &= !IPC_LOCK;
    }
    // SAFETY: As above, and both are only read.
    checked(unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) })
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
