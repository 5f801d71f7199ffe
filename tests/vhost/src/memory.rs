// SPDX-License-Identifier: GPL-2.0

//! Memory that a device shares, addressed as the device addresses it.

use std::sync::atomic::Ordering;
use std::sync::Arc;

use anyhow::{ensure, Context, Result};
use vm_memory::Bytes;

use crate::sys::{self, Area};

/// What memory is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What only the process has.
    Anonymous,
    /// A file in memory, which others can map, too.
    File,
    /// The same of huge pages, which the system must have set aside.
    HugeFile,
}

/// The size of a huge page in bytes.
pub const HUGE_PAGE: usize = 2 << 20;

impl Kind {
    /// Makes an area of `len` bytes or a bit more.
    pub fn area(self, len: usize) -> Result<Area> {
        match self {
            Kind::Anonymous => Area::anonymous(len),
            Kind::File => Area::shared(sys::memory_file(len as u64, false)?, len),
            Kind::HugeFile => {
                let len = len.next_multiple_of(HUGE_PAGE);

                Area::shared(sys::memory_file(len as u64, true)?, len)
                    .context("huge pages, which /proc/sys/vm/nr_hugepages must set aside")
            }
        }
    }
}

/// A piece of memory and where a device sees it. Copies are the same memory.
#[derive(Clone, Debug)]
pub struct Memory {
    area: Arc<Area>,
    iova: u64,
}

impl Memory {
    /// Makes memory of at least `len` bytes for the addresses from `iova` on.
    pub fn new(kind: Kind, iova: u64, len: usize) -> Result<Self> {
        Ok(Self::of(Arc::new(kind.area(len)?), iova))
    }

    /// Gives an area the addresses from `iova` on.
    pub fn of(area: Arc<Area>, iova: u64) -> Self {
        Self { area, iova }
    }

    /// The first address as the device sees it.
    pub fn iova(&self) -> u64 {
        self.iova
    }

    /// The first address in this process.
    pub fn address(&self) -> u64 {
        self.area.address()
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.area.len() as u64
    }

    /// Whether it has no bytes, which no memory has.
    pub fn is_empty(&self) -> bool {
        self.area.is_empty()
    }

    /// An allocator for all of it.
    pub fn room(&self) -> Room {
        Room {
            next: self.iova,
            end: self.iova + self.len(),
        }
    }

    fn offset(&self, iova: u64) -> Result<usize> {
        let offset = iova
            .checked_sub(self.iova)
            .with_context(|| format!("{iova:#x} is below the memory"))?;
        Ok(offset as usize)
    }

    /// Writes bytes.
    pub fn write(&self, iova: u64, bytes: &[u8]) -> Result<()> {
        self.area.write(self.offset(iova)?, bytes)
    }

    /// Reads bytes.
    pub fn read(&self, iova: u64, bytes: &mut [u8]) -> Result<()> {
        self.area.read(self.offset(iova)?, bytes)
    }

    /// Reads so many bytes.
    pub fn read_array<const N: usize>(&self, iova: u64) -> Result<[u8; N]> {
        let mut bytes = [0; N];

        self.read(iova, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads 16 bits, and what was written before them.
    pub fn load(&self, iova: u64) -> Result<u16> {
        let value: u16 = self
            .area
            .slice()
            .load(self.offset(iova)?, Ordering::Acquire)?;
        Ok(u16::from_le(value))
    }

    /// Writes 16 bits, and before them what was written before.
    pub fn store(&self, iova: u64, value: u16) -> Result<()> {
        Ok(self
            .area
            .slice()
            .store(value.to_le(), self.offset(iova)?, Ordering::Release)?)
    }
}

/// Gives out memory and never takes it back.
#[derive(Clone, Debug)]
pub struct Room {
    next: u64,
    end: u64,
}

impl Room {
    /// Takes `len` bytes at a multiple of `align`, a power of two.
    pub fn take(&mut self, len: usize, align: u64) -> Result<u64> {
        let start = self.next.next_multiple_of(align);
        let end = start + len as u64;

        ensure!(end <= self.end, "no room for {len} bytes");
        self.next = end;
        Ok(start)
    }
}
