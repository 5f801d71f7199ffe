// SPDX-License-Identifier: GPL-2.0

//! Who runs where, and before whom.

use std::fs;
use std::io;
use std::mem::{size_of, zeroed};

use checks::syscall::checked;

/// Has a thread run on one processor only; 0 is the calling one.
fn bind(thread: libc::pid_t, processor: usize) -> io::Result<()> {
    // SAFETY: The set is nothing but bits, and may be empty.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };

    if processor >= 8 * size_of::<libc::cpu_set_t>() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: The set has that bit.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: The set is valid and as long as is said.
    checked(unsafe { libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &set) })?;
    Ok(())
}

/// Has the calling thread run on one processor.
pub fn run_on(processor: usize) -> io::Result<()> {
    bind(0, processor)
}

/// The same, and before all others that do not say the same.
pub fn run_first_on(processor: usize) -> io::Result<()> {
    run_on(processor)?;
    let parameters = libc::sched_param { sched_priority: 1 };

    // SAFETY: `parameters` is one valid structure.
    checked(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) })?;
    Ok(())
}

/// Has all threads whose names begin so, of the kernel or not, run on one processor. Tells how many
/// there are.
pub fn bind_threads(name: &str, processor: usize) -> io::Result<usize> {
    let mut count = 0;

    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // One that is gone by now is none.
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if comm.starts_with(name) {
            bind(pid, processor)?;
            count += 1;
        }
    }
    Ok(count)
}
