// SPDX-License-Identifier: GPL-2.0

//! Access to the driver's memory.

use core::fmt;

/// Why an access to the driver's memory was refused, which says whether it is worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is mapped there, or nothing that can be reached. A mapping may come.
    NotMapped,
    /// What is mapped there cannot be used in this way, however often it is tried.
    NotPermitted,
    /// The memory is there, but has to be brought in first, which is not done in the middle of a
    /// batch.
    NotPresent,
}

/// An access to the driver's memory was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Bus address of the access, or of the part of it that was refused.
    pub addr: u64,
    /// Why.
    pub refusal: Refusal,
}

impl Fault {
    /// Whether it is of no use to try again.
    #[inline]
    pub fn is_final(&self) -> bool {
        self.refusal == Refusal::NotPermitted
    }
}

impl core::error::Error for Fault {}

impl fmt::Display for Fault {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.refusal {
            Refusal::NotMapped => "not mapped",
            Refusal::NotPermitted => "mapped, but not for this access",
            Refusal::NotPresent => "not in memory now",
        };
        write!(f, "bus address {:#x}: {why}", self.addr)
    }
}

/// The memory that a driver shares with a device, by 64-bit bus address.
///
/// The other side may change this memory at any moment, so an implementer must never make a Rust
/// reference to it. Every method may be called with every address and every length, for the driver
/// chose them: a range that is not accessible in full, or that runs over the end of the address
/// space, is answered with a [`Fault`]. Whether part of such a range is accessed first is left
/// open.
///
/// All methods take `&self`; one object may serve several rings at once.
pub trait Memory {
    /// Copies `buf.len()` bytes at `addr` into `buf`.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the device may not read all of the range. What is in `buf` is then unspecified.
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault>;

    /// Copies `buf` to `addr`.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the device may not write all of the range.
    fn write(&self, addr: u64, buf: &[u8]) -> Result<(), Fault>;

    /// Loads 16 bits at once, with acquire ordering, in the byte order they have in memory.
    ///
    /// A ring calls this with even addresses only.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the device may not read the two bytes.
    fn load_acquire(&self, addr: u64) -> Result<u16, Fault>;

    /// Stores 16 bits at once, with release ordering, in the byte order of `value` in memory.
    ///
    /// A ring calls this with even addresses only.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the device may not write the two bytes.
    fn store_release(&self, addr: u64, value: u16) -> Result<(), Fault>;

    /// Orders all accesses before it against all accesses after it, stores against later loads too.
    fn barrier(&self);

    /// Copies `len` bytes at `src` to `dst` in `dst_memory`, through no other buffer.
    ///
    /// If source and destination overlap, what arrives is unspecified.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the device may not read all of the source or not write all of the destination.
    fn copy_to(&self, src: u64, dst_memory: &Self, dst: u64, len: usize) -> Result<(), Fault>;

    /// Reads the 16 bytes of a descriptor at `addr`, of any alignment, as two little-endian words.
    ///
    /// A ring reads its descriptors with this. To be overridden where two loads are cheaper than a
    /// copy of 16 bytes; nothing depends on their order.
    ///
    /// # Errors
    ///
    /// As [`Memory::read`].
    #[inline]
    fn read_descriptor(&self, addr: u64) -> Result<[u64; 2], Fault> {
        let descriptor = u128::from_le_bytes(self.read_array(addr)?);
        Ok([descriptor as u64, (descriptor >> 64) as u64])
    }

    /// Reads `N` bytes at `addr`, of any alignment.
    ///
    /// To be overridden where a copy whose length is known at compile time is cheaper.
    ///
    /// # Errors
    ///
    /// As [`Memory::read`].
    #[inline]
    fn read_array<const N: usize>(&self, addr: u64) -> Result<[u8; N], Fault> {
        let mut buf = [0; N];
        self.read(addr, &mut buf)?;
        Ok(buf)
    }

    /// Writes `N` bytes at `addr`, of any alignment.
    ///
    /// A ring writes its used elements with this. To be overridden as [`Memory::read_array`].
    ///
    /// # Errors
    ///
    /// As [`Memory::write`].
    #[inline]
    fn write_array<const N: usize>(&self, addr: u64, bytes: [u8; N]) -> Result<(), Fault> {
        self.write(addr, &bytes)
    }
}
