// SPDX-License-Identifier: GPL-2.0

//! Memory that is not there until this process says so: `userfaultfd(2)`.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use checks::syscall::checked;

use super::poll;

/// Numbers of `linux/userfaultfd.h`.
const UFFD_API: u64 = 0xaa;
const UFFDIO_API: u64 = 0xc018_aa3f;
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
const UFFDIO_REGISTER_MODE_MISSING: u64 = 1;
const UFFDIO_ZEROPAGE: u64 = 0xc020_aa04;

/// Pages of this process. Whoever needs one waits, until [`provide`](Self::provide) is called or
/// this goes.
pub struct Awaited {
    file: OwnedFd,
    range: Range<u64>,
}

impl Awaited {
    /// Has pages awaited that nobody has touched yet.
    pub(super) fn new(range: Range<u64>) -> io::Result<Self> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;

        // SAFETY: The call takes nothing but flags.
        let fd = checked(unsafe { libc::syscall(libc::SYS_userfaultfd, flags) } as libc::c_int)?;
        let awaited = Self {
            // SAFETY: The descriptor is open, and nothing else owns it.
            file: unsafe { OwnedFd::from_raw_fd(fd) },
            range,
        };
        awaited.ask(UFFDIO_API, &mut [UFFD_API, 0, 0])?;
        awaited.ask(
            UFFDIO_REGISTER,
            &mut [
                awaited.range.start,
                awaited.len(),
                UFFDIO_REGISTER_MODE_MISSING,
                0,
            ],
        )?;
        Ok(awaited)
    }

    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Makes an ioctl of those above, whose argument is so many words.
    fn ask(&self, request: u64, words: &mut [u64]) -> io::Result<()> {
        // SAFETY: The numbers say how many bytes the kernel reads and writes, which are those of
        // `words`. Pages that are filled have not been there before, so nothing changes that anyone
        // has seen.
        checked(unsafe { libc::ioctl(self.file.as_raw_fd(), request, words.as_mut_ptr()) })?;
        Ok(())
    }

    /// Waits until somebody waits for a page. Whether that was so before `timeout`.
    pub fn is_needed(&self, timeout: Duration) -> io::Result<bool> {
        Ok(poll(&self.file, libc::POLLIN, timeout)? & libc::POLLIN != 0)
    }

    /// Fills the pages with zeros, and lets all go on.
    pub fn provide(&self) -> io::Result<()> {
        self.ask(UFFDIO_ZEROPAGE, &mut [self.range.start, self.len(), 0, 0])
    }
}
