// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with a ring or a chain, and which rule says so.
//!
//! Section numbers are those of the virtio 1.3 specification.

use core::fmt;

use crate::{
    chain::Token,
    memory::Fault, //
};

/// A part of a split virtqueue (section 2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The descriptor table, 16 bytes for each entry.
    Descriptors,
    /// The available ring, written by the driver.
    Available,
    /// The used ring, written by the device.
    Used,
}

impl fmt::Display for Area {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Area::Descriptors => "descriptor table",
            Area::Available => "available ring",
            Area::Used => "used ring",
        })
    }
}

/// Why a ring cannot be set up as the driver asked (section 2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// The queue size is not a power of two from 1 to 32768.
    Size(u32),
    /// A part of the ring is not aligned.
    Alignment {
        /// The part.
        area: Area,
        /// Its bus address.
        addr: u64,
        /// What the address must be a multiple of, in bytes.
        align: u64,
    },
    /// A part of the ring runs over the end of the 64-bit address space.
    Wraps {
        /// The part.
        area: Area,
        /// Its bus address.
        addr: u64,
        /// Its length in bytes.
        len: u64,
    },
}

impl fmt::Display for SetupError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Size(size) => {
                write!(f, "queue size {size} is not a power of two from 1 to 32768")
            }
            SetupError::Alignment { area, addr, align } => {
                write!(f, "{area} at {addr:#x} is not aligned to {align} bytes")
            }
            SetupError::Wraps { area, addr, len } => write!(
                f,
                "{area} at {addr:#x} of {len} bytes runs over the end of the address space"
            ),
        }
    }
}

/// Why a ring cannot be used any more, until it is set up or started anew.
///
/// After one of these the two sides no longer agree on what is in the ring, or a chain cannot be
/// given back in a way that the driver would understand. A device that gives back what it has not
/// done has the driver take what it finds there for the outcome: so it stops, and says that it
/// needs a reset (section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The available index was moved backwards, or shows more chains than the queue can hold
    /// (sections 2.7.6.1 and 2.7.13).
    AvailableIndex {
        /// The index that the driver wrote.
        index: u16,
        /// The index of the chain that the device would take next.
        next: u16,
        /// The last index that would have been in order.
        last: u16,
    },
    /// An entry of the available ring refers to no descriptor.
    Head {
        /// The entry that the driver wrote.
        head: u16,
        /// The queue size; entries must be below.
        size: u16,
    },
    /// A chain breaks a rule. It stays where it is.
    Chain {
        /// Its head.
        head: u16,
        /// The rule.
        error: ChainError,
    },
    /// The ring, or a table of descriptors, lies in memory that will never serve.
    Memory(Fault),
    /// The device gave up on a chain, for which it has no outcome to write.
    GivenUp {
        /// Its head.
        head: u16,
    },
}

impl fmt::Display for Broken {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::AvailableIndex { index, next, last } => write!(
                f,
                "available index is {index}, expected {next} to {last} modulo 65536"
            ),
            Broken::Head { head, size } => write!(
                f,
                "available ring refers to descriptor {head}, the table has {size}"
            ),
            Broken::Chain { head, error } => write!(f, "chain {head}: {error}"),
            Broken::Memory(fault) => fault.fmt(f),
            Broken::GivenUp { head } => {
                write!(f, "chain {head}: there is no place for its outcome")
            }
        }
    }
}

/// An operation on a ring failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// The ring's memory, or a table of descriptors, could not be accessed. Nothing was taken or
    /// given back, and the operation may be tried again.
    Fault(Fault),
    /// The ring is broken, and stays so until it is set up or started anew.
    Broken(Broken),
    /// A chain was to be completed, but the driver waits for none.
    NotInFlight,
}

impl From<Fault> for RingError {
    #[inline]
    fn from(fault: Fault) -> Self {
        RingError::Fault(fault)
    }
}

impl fmt::Display for RingError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RingError::Fault(fault) => fault.fmt(f),
            RingError::Broken(broken) => broken.fmt(f),
            RingError::NotInFlight => f.write_str("no chain is in flight"),
        }
    }
}

/// The rule that a descriptor chain breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// The chain is longer than its table, so it has a loop (section 2.7.5.2).
    TooManyDescriptors {
        /// The number of descriptors in the table.
        limit: u32,
    },
    /// The chain has more buffers than the device provides for (section 2.7.4.1).
    TooManySegments {
        /// The number that the device provides for.
        limit: usize,
    },
    /// A descriptor's `next` refers to no descriptor of the table.
    Next {
        /// The value of `next`.
        next: u16,
        /// The number of descriptors in the table; `next` must be below.
        limit: u32,
    },
    /// A device-readable buffer follows a device-writable one (section 2.7.4.2).
    ReadableAfterWritable,
    /// A buffer runs over the end of the 64-bit address space.
    BufferWraps {
        /// Its bus address.
        addr: u64,
        /// Its length in bytes.
        len: u32,
    },
    /// The chain's buffers have more than 2^32 bytes in total (section 2.7.5.2).
    TooLong,
    /// An indirect table, but the feature was not negotiated (section 2.7.5.3.1).
    IndirectNotNegotiated,
    /// An indirect table within an indirect table (section 2.7.5.3.1).
    IndirectNested,
    /// An indirect table that is not the end of its chain (section 2.7.5.3.1).
    IndirectNext,
    /// The length of an indirect table is not a multiple of 16, is zero, or is more than `next`
    /// can reach.
    IndirectLength {
        /// The length in bytes.
        len: u32,
    },
    /// An indirect table runs over the end of the 64-bit address space.
    IndirectWraps {
        /// Its bus address.
        addr: u64,
        /// Its length in bytes.
        len: u32,
    },
}

impl fmt::Display for ChainError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainError::TooManyDescriptors { limit } => {
                write!(
                    f,
                    "chain does not end within the {limit} descriptors of its table"
                )
            }
            ChainError::TooManySegments { limit } => {
                write!(
                    f,
                    "chain has more than the {limit} buffers that are supported"
                )
            }
            ChainError::Next { next, limit } => {
                write!(f, "next descriptor is {next}, the table has {limit}")
            }
            ChainError::ReadableAfterWritable => {
                f.write_str("device-readable buffer after a device-writable one")
            }
            ChainError::BufferWraps { addr, len } => write!(
                f,
                "buffer at {addr:#x} of {len} bytes runs over the end of the address space"
            ),
            ChainError::TooLong => f.write_str("chain has more than 2^32 bytes"),
            ChainError::IndirectNotNegotiated => {
                f.write_str("indirect descriptor without VIRTIO_F_INDIRECT_DESC")
            }
            ChainError::IndirectNested => {
                f.write_str("indirect descriptor within an indirect table")
            }
            ChainError::IndirectNext => f.write_str("indirect descriptor with VIRTQ_DESC_F_NEXT"),
            ChainError::IndirectLength { len } => write!(
                f,
                "indirect table of {len} bytes, must be a multiple of 16 from 16 to 1048576"
            ),
            ChainError::IndirectWraps { addr, len } => write!(
                f,
                "indirect table at {addr:#x} of {len} bytes runs over the end of the address space"
            ),
        }
    }
}

/// A chain could not be given back.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the driver waits for the chain until it is completed"]
pub struct Uncompleted {
    /// What to try it with again, unless the ring is broken.
    pub token: Token,
    /// Why it failed.
    pub error: RingError,
}

impl fmt::Display for Uncompleted {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain {}: {}", self.token.id(), self.error)
    }
}

/// Bytes could not be moved from or to the buffers of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorError {
    /// A buffer could not be accessed. What lies before it was moved.
    Fault(Fault),
    /// Fewer bytes are left than were asked for. None was moved.
    Short {
        /// The number of bytes asked for.
        wanted: u64,
        /// The number of bytes left.
        remaining: u64,
    },
}

impl From<Fault> for CursorError {
    #[inline]
    fn from(fault: Fault) -> Self {
        CursorError::Fault(fault)
    }
}

impl fmt::Display for CursorError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CursorError::Fault(fault) => fault.fmt(f),
            CursorError::Short { wanted, remaining } => {
                write!(f, "chain has {remaining} bytes left, {wanted} are needed")
            }
        }
    }
}

impl core::error::Error for SetupError {}
impl core::error::Error for RingError {}
impl core::error::Error for Uncompleted {}
impl core::error::Error for CursorError {}
