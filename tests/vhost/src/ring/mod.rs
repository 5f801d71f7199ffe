// SPDX-License-Identifier: GPL-2.0

//! The driver side of virtqueues: virtio 1.3, sections 2.7 and 2.8.
//!
//! What a device does is not trusted: a buffer that comes back twice, or was never given, is an
//! error.

mod packed;
mod slots;
mod split;

pub use packed::Packed;
pub use split::Split;

use anyhow::Result;

/// The most segments of one chain in an indirect table.
pub const MOST_INDIRECT: usize = 8;

/// The size of a descriptor in bytes, in both kinds of rings.
const DESC_SIZE: u64 = 16;

/// A piece of memory in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its address as the device sees it.
    pub addr: u64,
    /// Its length in bytes.
    pub len: u32,
    /// The device writes to it, instead of reading.
    pub write: bool,
}

impl Segment {
    /// One that the device reads.
    pub fn read(addr: u64, len: usize) -> Self {
        Self {
            addr,
            len: len as u32,
            write: false,
        }
    }

    /// One that the device writes.
    pub fn write(addr: u64, len: usize) -> Self {
        Self {
            write: true,
            ..Self::read(addr, len)
        }
    }
}

/// A chain that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// What [`Ring::add`] gave for it.
    pub token: u16,
    /// How many bytes the device says that it has written.
    pub written: u32,
}

/// Where the parts of a ring are, as the device sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The descriptors.
    pub desc: u64,
    /// What the driver writes: the available ring, or its event suppression.
    pub driver: u64,
    /// What the device writes: the used ring, or its event suppression.
    pub device: u64,
}

/// Which of the ring's options were negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `VIRTIO_RING_F_EVENT_IDX`.
    pub event_idx: bool,
    /// `VIRTIO_RING_F_INDIRECT_DESC`.
    pub indirect: bool,
}

/// A virtqueue as its driver sees it.
pub trait Ring: Send {
    /// The number of descriptors.
    fn size(&self) -> u16;

    /// Where it is.
    fn addresses(&self) -> Addresses;

    /// Puts a chain into the ring; [`None`] if there is no room for it. Segments to be read come
    /// first.
    fn add(&mut self, chain: &[Segment]) -> Result<Option<u16>>;

    /// Shows the device what was added, and tells whether it wants to be notified.
    fn publish(&mut self) -> Result<bool>;

    /// Takes a chain that the device is done with.
    fn take(&mut self) -> Result<Option<Used>>;

    /// Asks for a call when the device is done with a chain. Tells whether it is already.
    fn enable_calls(&mut self) -> Result<bool>;

    /// Asks for no calls.
    fn disable_calls(&mut self) -> Result<()>;

    /// How many chains the device has.
    fn outstanding(&self) -> usize;

    /// Where a device that has done all that it was given goes on, as `VHOST_SET_VRING_BASE` has
    /// it.
    fn base_when_idle(&self) -> u32;
}
