// SPDX-License-Identifier: GPL-2.0

//! Memory in which every byte that the device must not write is watched.
//!
//! All bytes that the driver does not write itself have their top bit set, and nothing that a
//! device has reason to write has: what was written shows byte by byte.

use anyhow::{ensure, Result};
use vhost_client::memory::{Kind, Memory};

use super::layout::{IOVA, PAGE, PAGES};

/// Set in what is not written.
const UNWRITTEN: u8 = 0x80;

/// What is at an offset before anything is written.
fn canary(offset: usize) -> u8 {
    UNWRITTEN | ((offset * 31 + (offset >> 7)) & 0x7f) as u8
}

/// The memory, and what should be in it.
pub struct Watched {
    memory: Memory,
    expected: Vec<u8>,
}

impl Watched {
    /// Makes memory of the kind.
    pub fn new(kind: Kind) -> Result<Self> {
        let watched = Self {
            memory: Memory::new(kind, IOVA, (PAGES * PAGE) as usize)?,
            expected: (0..(PAGES * PAGE) as usize).map(canary).collect(),
        };

        watched.memory.write(IOVA, &watched.expected)?;
        Ok(watched)
    }

    /// Where an address of the device is in this process.
    pub fn address(&self, iova: u64) -> u64 {
        self.memory.address() + (iova - IOVA)
    }

    /// Makes all bytes unwritten again.
    pub fn clear(&mut self) -> Result<()> {
        for (offset, byte) in self.expected.iter_mut().enumerate() {
            *byte = canary(offset);
        }
        self.memory.write(IOVA, &self.expected)
    }

    /// The same for some.
    pub fn clear_part(&mut self, iova: u64, len: u64) -> Result<()> {
        let offset = (iova - IOVA) as usize;
        let bytes: Vec<u8> = (offset..offset + len as usize).map(canary).collect();

        self.write(iova, &bytes)
    }

    fn expect(&mut self, iova: u64, bytes: &[u8]) {
        let offset = (iova - IOVA) as usize;

        self.expected[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes bytes as the driver.
    pub fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<()> {
        self.expect(iova, bytes);
        self.memory.write(iova, bytes)
    }

    /// Writes 16 bits as the driver, and before them what was written before.
    pub fn store(&mut self, iova: u64, value: u16) -> Result<()> {
        self.expect(iova, &value.to_le_bytes());
        self.memory.store(iova, value)
    }

    /// Reads 16 bits, and what was written before them.
    pub fn load(&self, iova: u64) -> Result<u16> {
        self.memory.load(iova)
    }

    /// Reads bytes.
    pub fn read(&self, iova: u64, len: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];

        self.memory.read(iova, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads a byte; [`None`] if the device has not written it.
    pub fn answer(&self, iova: u64) -> Result<Option<u8>> {
        let [byte] = self.memory.read_array(iova)?;

        Ok((byte & UNWRITTEN == 0).then_some(byte))
    }

    /// How many bytes from the start of a buffer the device has written.
    pub fn written(&self, iova: u64, len: u32) -> Result<u32> {
        let len = len.min(self.within(iova));
        if len == 0 {
            return Ok(0);
        }
        let bytes = self.read(iova, len)?;
        let written = bytes.iter().take_while(|byte| *byte & UNWRITTEN == 0);

        Ok(written.count() as u32)
    }

    /// How many bytes from an address on are in this memory.
    fn within(&self, iova: u64) -> u32 {
        let end = IOVA + PAGES * PAGE;

        match (IOVA..end).contains(&iova) {
            true => (end - iova) as u32,
            false => 0,
        }
    }

    /// Checks that nothing is changed but what is in `allowed`: pairs of address and length.
    pub fn check(&self, allowed: &[(u64, u64)]) -> Result<()> {
        let mut found = self.read(IOVA, (PAGES * PAGE) as u32)?;

        for (iova, len) in allowed {
            let start = iova.saturating_sub(IOVA).min(PAGES * PAGE) as usize;
            let end = (iova.saturating_add(*len)).saturating_sub(IOVA);
            let end = (end.min(PAGES * PAGE) as usize).max(start);

            found[start..end].copy_from_slice(&self.expected[start..end]);
        }
        if let Some(at) = found.iter().zip(&self.expected).position(|(a, b)| a != b) {
            let page = at as u64 / PAGE;

            ensure!(
                false,
                "the device wrote {:#04x} over {:#04x} at {:#x}, byte {} of page {page}",
                found[at],
                self.expected[at],
                IOVA + at as u64,
                at as u64 % PAGE
            );
        }
        Ok(())
    }
}
