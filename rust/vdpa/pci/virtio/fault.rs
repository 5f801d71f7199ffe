// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with what a device says of itself.

use core::fmt;

/// The virtio structures of a function: virtio 1.3, section 4.1.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Common configuration.
    Common,
    /// Notifications.
    Notify,
    /// ISR status.
    Isr,
    /// Device-specific configuration.
    Device,
}

impl fmt::Display for Kind {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Common => "common configuration",
            Self::Notify => "notification",
            Self::Isr => "ISR status",
            Self::Device => "device configuration",
        })
    }
}

/// Why a device cannot be used. What is displayed is for users: what is wrong, and what would not
/// be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what is displayed")]
pub enum Fault {
    /// It is not there.
    Absent,
    /// The function has no list of capabilities.
    NoCapabilities,
    /// An entry of the list is in the header of the configuration space.
    BadPointer { pointer: u8 },
    /// The list of capabilities does not end.
    EndlessList,
    /// There is no such structure.
    Missing { kind: Kind },
    /// A capability is not all there.
    Truncated {
        kind: Kind,
        at: u8,
        len: u8,
        need: u8,
    },
    /// There is no such BAR.
    BadBar { kind: Kind, bar: u8 },
    /// A structure is in a BAR that is missing, or not memory.
    NoMemory { kind: Kind, bar: u8 },
    /// A structure is not all in its BAR.
    OutOfBar {
        kind: Kind,
        bar: u8,
        offset: u32,
        len: u32,
        bar_len: u64,
    },
    /// A structure is too small.
    TooShort { kind: Kind, len: u32, need: u32 },
    /// A structure is not aligned.
    Misaligned { kind: Kind, offset: u32, align: u32 },
    /// There are no virtqueues, or more than can be.
    QueueCount { count: u16 },
    /// A virtqueue can have no such size.
    QueueSize { queue: u16, size: u16 },
    /// All virtqueues are unavailable.
    NoQueue,
    /// The doorbell of a virtqueue is not within the notification structure.
    Doorbell {
        queue: u16,
        notify_off: u16,
        multiplier: u32,
        len: u64,
    },
}

impl fmt::Display for Fault {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Absent => write!(f, "all registers read as ones: the device is not there"),
            Self::NoCapabilities => write!(f, "there is no list of PCI capabilities"),
            Self::BadPointer { pointer } => write!(
                f,
                "the list of PCI capabilities goes on at {pointer:#04x}, must be 0x40 or above"
            ),
            Self::EndlessList => write!(f, "the list of PCI capabilities does not end"),
            Self::Missing { kind } => write!(f, "there is no PCI capability for the {kind}"),
            Self::Truncated {
                kind,
                at,
                len,
                need,
            } => write!(
                f,
                "the PCI capability for the {kind} at {at:#04x} has {len} bytes within the \
                 configuration space, must have {need}"
            ),
            Self::BadBar { kind, bar } => {
                write!(f, "the {kind} is in BAR {bar}, must be in one of 0 to 5")
            }
            Self::NoMemory { kind, bar } => {
                write!(
                    f,
                    "the {kind} is in BAR {bar}, which is missing or not memory"
                )
            }
            Self::OutOfBar {
                kind,
                bar,
                offset,
                len,
                bar_len,
            } => write!(
                f,
                "the {kind} has {len:#x} bytes at {offset:#x} in BAR {bar}, which has {bar_len:#x}"
            ),
            Self::TooShort { kind, len, need } => {
                write!(f, "the {kind} has {len} bytes, must have {need} or more")
            }
            Self::Misaligned {
                kind,
                offset,
                align,
            } => write!(
                f,
                "the {kind} is at {offset:#x} in its BAR, must be at a multiple of {align}"
            ),
            Self::QueueCount { count } => {
                write!(f, "there are {count} virtqueues, must be 1 to 65534")
            }
            Self::QueueSize { queue, size } => write!(
                f,
                "virtqueue {queue} has {size} descriptors, must be a power of two up to 32768, or \
                 0 for none"
            ),
            Self::NoQueue => write!(f, "all virtqueues are unavailable: have no descriptors"),
            Self::Doorbell {
                queue,
                notify_off,
                multiplier,
                len,
            } => write!(
                f,
                "the doorbell of virtqueue {queue} is at {notify_off} times {multiplier} in the \
                 notification structure, must be even and within its {len:#x} bytes"
            ),
        }
    }
}
