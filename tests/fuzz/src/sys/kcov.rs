// SPDX-License-Identifier: GPL-2.0

//! Where a thread is in the kernel: `Documentation/dev-tools/kcov.rst`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use checks::syscall::{checked, mapped};

/// Where the kernel offers it.
pub const PATH: &str = "/sys/kernel/debug/kcov";

// `linux/kcov.h`.
const KCOV_INIT_TRACE: libc::Ioctl = 0x8008_6301u32 as libc::Ioctl;
const KCOV_ENABLE: libc::Ioctl = 0x6364;
const KCOV_TRACE_PC: libc::c_ulong = 0;

/// How many places are kept from one time to the next.
const WORDS: usize = 1 << 16;

/// Records where the current thread is in the kernel.
///
/// # Invariants
///
/// `area` are [`WORDS`] words that belong to this object, and are shared with the kernel.
pub struct Kcov {
    area: *const AtomicU64,
    _file: File,
}

impl Kcov {
    /// Whether the kernel offers it.
    pub fn is_offered() -> bool {
        std::path::Path::new(PATH).exists()
    }

    /// Begins to record the current thread. It goes on until the thread ends.
    pub fn begin() -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(PATH)?;

        // SAFETY: The call takes no pointers.
        checked(unsafe { libc::ioctl(file.as_raw_fd(), KCOV_INIT_TRACE, WORDS as libc::c_ulong) })?;
        // SAFETY: The kernel picks an address where nothing is.
        let area = mapped(unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                WORDS * size_of::<u64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        })?;
        // INVARIANT: This is what was mapped, with the length that was asked for.
        let kcov = Self {
            area: area.cast(),
            _file: file,
        };

        // SAFETY: The call takes no pointers.
        checked(unsafe { libc::ioctl(kcov._file.as_raw_fd(), KCOV_ENABLE, KCOV_TRACE_PC) })?;
        Ok(kcov)
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        // SAFETY: By the type invariants these words are there; others access them atomically.
        unsafe { &*self.area.add(index % WORDS) }
    }

    /// Calls `f` with each place since the last time, as the address that the kernel was about to
    /// return to.
    pub fn take(&self, f: impl FnMut(u64)) {
        let count = self.word(0).load(Ordering::Relaxed) as usize;

        (1..=count.min(WORDS - 1))
            .map(|index| self.word(index).load(Ordering::Relaxed))
            .for_each(f);
        self.word(0).store(0, Ordering::Relaxed);
    }
}

impl Drop for Kcov {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, and nobody has references to it any more. The kernel has
        // its own mapping of the pages.
        unsafe { libc::munmap(self.area.cast_mut().cast(), WORDS * size_of::<u64>()) };
    }
}
