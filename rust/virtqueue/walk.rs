// SPDX-License-Identifier: GPL-2.0

//! From the head of a chain to its buffers (virtio 1.3, section 2.7.5).

use crate::{
    chain::Segment,
    error::ChainError,
    memory::{
        Fault,
        Memory, //
    }, //
};

/// The buffer goes on with the descriptor `next` (`VIRTQ_DESC_F_NEXT`).
const NEXT: u16 = 1;
/// The device may write the buffer and not read it (`VIRTQ_DESC_F_WRITE`).
const WRITE: u16 = 2;
/// The buffer is a table of descriptors (`VIRTQ_DESC_F_INDIRECT`).
const INDIRECT: u16 = 4;

/// Length of a descriptor, in bytes.
pub(crate) const DESCRIPTOR_LEN: u64 = 16;

/// The most descriptors of an indirect table that `next` can reach.
const INDIRECT_MAX: u32 = 1 << 16;

/// The most bytes in a chain.
const CHAIN_LEN_MAX: u64 = 1 << 32;

/// A descriptor, `struct virtq_desc`.
struct Descriptor {
    addr: u64,
    len: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    /// Reads a descriptor, once: the driver may change it at any time.
    #[inline]
    fn read<M: Memory>(memory: &M, addr: u64) -> Result<Self, Fault> {
        let [addr, rest] = memory.read_descriptor(addr)?;
        Ok(Self {
            addr,
            len: rest as u32,
            flags: (rest >> 32) as u16,
            next: (rest >> 48) as u16,
        })
    }

    #[inline]
    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// A chain could not be followed.
pub(crate) enum WalkError {
    /// A descriptor could not be read.
    Fault(Fault),
    /// The chain breaks a rule.
    Chain(ChainError),
}

impl From<Fault> for WalkError {
    #[inline]
    fn from(fault: Fault) -> Self {
        WalkError::Fault(fault)
    }
}

impl From<ChainError> for WalkError {
    #[inline]
    fn from(error: ChainError) -> Self {
        WalkError::Chain(error)
    }
}

/// A table of descriptors that does not run over the end of the address space.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    addr: u64,
    entries: u32,
}

impl Table {
    /// The table of a ring, whose place was checked when the ring was set up.
    #[inline]
    pub(crate) fn of_ring(addr: u64, size: u16) -> Self {
        Self {
            addr,
            entries: u32::from(size),
        }
    }

    /// The table that an indirect descriptor refers to.
    ///
    /// `VIRTQ_DESC_F_WRITE` is not looked at, as section 2.7.5.3.2 demands.
    #[inline]
    fn indirect(descriptor: &Descriptor) -> Result<Self, ChainError> {
        let (addr, len) = (descriptor.addr, descriptor.len);
        if descriptor.has(NEXT) {
            return Err(ChainError::IndirectNext);
        }
        // Not more than `len`, so the value fits.
        let entries = (u64::from(len) / DESCRIPTOR_LEN) as u32;
        if u64::from(len) % DESCRIPTOR_LEN != 0 || entries == 0 || entries > INDIRECT_MAX {
            return Err(ChainError::IndirectLength { len });
        }
        if wraps(addr, u64::from(len)) {
            return Err(ChainError::IndirectWraps { addr, len });
        }
        Ok(Self { addr, entries })
    }

    #[inline]
    fn read<M: Memory>(self, memory: &M, index: u16) -> Result<Descriptor, WalkError> {
        if u32::from(index) >= self.entries {
            return Err(WalkError::Chain(ChainError::Next {
                next: index,
                limit: self.entries,
            }));
        }
        let offset = u64::from(index).wrapping_mul(DESCRIPTOR_LEN);
        Ok(Descriptor::read(memory, self.addr.wrapping_add(offset))?)
    }
}

/// Whether a range runs over the end of the address space. One that ends at it does not.
#[inline]
pub(crate) fn wraps(addr: u64, len: u64) -> bool {
    addr.checked_add(len.saturating_sub(1)).is_none()
}

/// What the buffers of a chain add up to.
#[derive(Default)]
pub(crate) struct Extent {
    /// The number of device-readable buffers, which come first.
    pub(crate) readable: usize,
    /// The number of device-writable buffers, which follow.
    pub(crate) writable: usize,
    /// The number of bytes in the device-readable buffers.
    pub(crate) readable_len: u64,
    /// The number of bytes in the device-writable buffers.
    pub(crate) writable_len: u64,
}

impl Extent {
    /// Checks a buffer and counts it.
    #[inline]
    fn add(&mut self, descriptor: &Descriptor) -> Result<Segment, ChainError> {
        let (addr, len) = (descriptor.addr, descriptor.len);
        if wraps(addr, u64::from(len)) {
            return Err(ChainError::BufferWraps { addr, len });
        }
        // The counts are bounded by the storage and each length by 2^32: nothing wraps.
        if descriptor.has(WRITE) {
            self.writable = self.writable.wrapping_add(1);
            self.writable_len = self.writable_len.wrapping_add(u64::from(len));
        } else if self.writable == 0 {
            self.readable = self.readable.wrapping_add(1);
            self.readable_len = self.readable_len.wrapping_add(u64::from(len));
        } else {
            return Err(ChainError::ReadableAfterWritable);
        }
        if self.readable_len.wrapping_add(self.writable_len) > CHAIN_LEN_MAX {
            return Err(ChainError::TooLong);
        }
        Ok(Segment { addr, len })
    }
}

/// Follows the chain that starts at `head` and writes its buffers to `segments`.
///
/// Reads at most as many descriptors as the ring's table has, and if the last of them refers to an
/// indirect table, at most as many more as that one has and as fit into `segments`.
///
/// An indirect table may have more entries than the ring: section 2.7.5.3.1 forbids a driver to
/// make use of that, but Linux's does where a device announces more segments than the queue has
/// entries, and `segments` bounds the work all the same.
#[inline]
pub(crate) fn walk<M: Memory>(
    memory: &M,
    mut table: Table,
    head: u16,
    indirect: bool,
    segments: &mut [Segment],
) -> Result<Extent, WalkError> {
    let limit = segments.len();
    let mut storage = segments.iter_mut();
    let mut extent = Extent::default();
    let mut nested = false;
    let mut left = table.entries;
    let mut index = head;

    loop {
        left = left.checked_sub(1).ok_or(ChainError::TooManyDescriptors {
            limit: table.entries,
        })?;
        let descriptor = table.read(memory, index)?;
        if descriptor.has(INDIRECT) {
            if !indirect {
                return Err(ChainError::IndirectNotNegotiated.into());
            }
            if nested {
                return Err(ChainError::IndirectNested.into());
            }
            table = Table::indirect(&descriptor)?;
            left = table.entries;
            index = 0;
            nested = true;
            continue;
        }
        *storage
            .next()
            .ok_or(ChainError::TooManySegments { limit })? = extent.add(&descriptor)?;
        if !descriptor.has(NEXT) {
            return Ok(extent);
        }
        index = descriptor.next;
    }
}
