// SPDX-License-Identifier: GPL-2.0

//! Kernel modules.

use std::ffi::CStr;
use std::io;

use checks::syscall::checked;

/// Loads a module from the contents of its file, with parameters as on the command line of
/// `insmod`.
pub fn load(image: &[u8], parameters: &CStr) -> io::Result<()> {
    // SAFETY: `image` is valid for reads of the length given, and the parameters end with a zero
    // byte.
    let result = unsafe {
        libc::syscall(
            libc::SYS_init_module,
            image.as_ptr(),
            image.len(),
            parameters.as_ptr(),
        )
    };
    checked(result as libc::c_int).map(drop)
}

/// Unloads a module, unless it is in use.
pub fn unload(name: &CStr) -> io::Result<()> {
    // SAFETY: The name ends with a zero byte.
    let result = unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) };
    checked(result as libc::c_int).map(drop)
}
