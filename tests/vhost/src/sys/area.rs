// SPDX-License-Identifier: GPL-2.0

//! Pieces of address space that are given to the kernel and to devices.

use std::fs::File;
use std::io;
use std::ops::Range;

use anyhow::{Context, Result};
use checks::syscall::checked;
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory, VolatileSlice};

use super::Awaited;

/// The size of a page in bytes.
pub const PAGE: usize = 4096;

/// How the kernel shall treat an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Use huge pages.
    Huge,
    /// Use small pages only.
    Small,
}

/// Memory that others may read and write at any time.
///
/// # Invariants
///
/// The memory is only accessed by volatile accesses, never by reference. An access to a page that
/// was made inaccessible ends the program, and does nothing else.
#[derive(Debug)]
pub struct Area(MmapRegion<()>);

impl Area {
    fn build(len: usize, flags: i32, file: Option<File>) -> Result<Self> {
        let mut builder = MmapRegionBuilder::new(len)
            .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
            .with_mmap_flags(flags);

        if let Some(file) = file {
            builder = builder.with_file_offset(FileOffset::new(file, 0));
        }
        let region = builder
            .build()
            .with_context(|| format!("mapping {len} bytes"))?;
        Ok(Self(region))
    }

    /// Maps memory that only this process has.
    pub fn anonymous(len: usize) -> Result<Self> {
        Self::build(len, libc::MAP_ANONYMOUS | libc::MAP_PRIVATE, None)
    }

    /// Maps memory at an address that fits into 32 bits.
    pub fn low(len: usize) -> Result<Self> {
        let flags = libc::MAP_ANONYMOUS | libc::MAP_PRIVATE | libc::MAP_32BIT;
        Self::build(len, flags, None)
    }

    /// Maps a file that others can map, too.
    pub fn shared(file: File, len: usize) -> Result<Self> {
        Self::build(len, libc::MAP_SHARED, Some(file))
    }

    /// Has all of it awaited, which nobody has touched yet.
    pub fn awaited(&self) -> io::Result<Awaited> {
        let start = self.address();

        Awaited::new(start..start + self.len() as u64)
    }

    /// Where it is in the address space of this process.
    pub fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.0.size()
    }

    /// Whether it has no bytes, which no area has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives access to all of it.
    pub fn slice(&self) -> VolatileSlice<'_> {
        self.0.as_volatile_slice()
    }

    /// Writes bytes.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        Ok(self.slice().write_slice(bytes, offset)?)
    }

    /// Reads bytes.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        Ok(self.slice().read_slice(bytes, offset)?)
    }

    /// Writes to each page, so that it is there.
    pub fn touch(&self) -> Result<()> {
        for offset in (0..self.len()).step_by(PAGE) {
            self.write(offset, &[1])?;
        }
        Ok(())
    }

    /// Checks that bytes are in it, and gives their address.
    fn at(&self, range: &Range<usize>) -> io::Result<*mut libc::c_void> {
        if range.start > range.end || range.end > self.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(self.0.as_ptr().wrapping_add(range.start).cast())
    }

    /// Makes whole pages accessible for what `protection` says: `PROT_*` of `mprotect(2)`.
    pub fn protect(&self, range: Range<usize>, protection: i32) -> io::Result<()> {
        let address = self.at(&range)?;

        // SAFETY: The range belongs to the area; by the type invariants, what happens to accesses
        // that are not allowed any more is sound.
        checked(unsafe { libc::mprotect(address, range.len(), protection) })?;
        Ok(())
    }

    /// Says which pages to use. For an area that has none yet.
    pub fn advise(&self, advice: Advice) -> io::Result<()> {
        let range = 0..self.len();
        let address = self.at(&range)?;
        let advice = match advice {
            Advice::Huge => libc::MADV_HUGEPAGE,
            Advice::Small => libc::MADV_NOHUGEPAGE,
        };

        // SAFETY: The range is the area. The advice does not change its contents.
        checked(unsafe { libc::madvise(address, range.len(), advice) })?;
        Ok(())
    }
}
