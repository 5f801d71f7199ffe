// SPDX-License-Identifier: GPL-2.0

//! Chains of any descriptors, right and wrong: virtio 1.3, section 2.7.5.

use virtio_bindings::virtio_ring::{VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};

use super::layout::TABLE;

/// The chain goes on.
pub const NEXT: u16 = VRING_DESC_F_NEXT as u16;
/// The device writes.
pub const WRITE: u16 = VRING_DESC_F_WRITE as u16;
/// It is a table.
pub const INDIRECT: u16 = VRING_DESC_F_INDIRECT as u16;

/// A descriptor, `struct virtq_desc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Desc {
    /// The address as the device sees it.
    pub addr: u64,
    /// The length in bytes.
    pub len: u32,
    /// What it is.
    pub flags: u16,
    /// Which one follows.
    pub next: u16,
}

impl Desc {
    /// A buffer that the device reads.
    pub const fn read(addr: u64, len: u32) -> Self {
        Self {
            addr,
            len,
            flags: 0,
            next: 0,
        }
    }

    /// A buffer that the device writes.
    pub const fn write(addr: u64, len: u32) -> Self {
        Self {
            flags: WRITE,
            ..Self::read(addr, len)
        }
    }

    /// A table of `len` bytes at the usual place.
    pub const fn table(len: u32) -> Self {
        Self {
            flags: INDIRECT,
            ..Self::read(TABLE.at(0), len)
        }
    }

    /// The same with more flags.
    pub const fn with(self, flags: u16) -> Self {
        Self {
            flags: self.flags | flags,
            ..self
        }
    }

    /// The same, followed by another.
    pub const fn then(self, next: u16) -> Self {
        Self {
            next,
            ..self.with(NEXT)
        }
    }

    /// Whether it has a flag.
    pub const fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// As it is in a table.
    pub fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];

        bytes[..8].copy_from_slice(&self.addr.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.flags.to_le_bytes());
        bytes[14..].copy_from_slice(&self.next.to_le_bytes());
        bytes
    }
}

/// Links descriptors, of which the first has number `first`.
pub fn linked(descs: impl IntoIterator<Item = Desc>, first: u16) -> Vec<Desc> {
    let mut descs: Vec<Desc> = descs.into_iter().collect();
    let others = descs.len().saturating_sub(1);

    for (next, desc) in (first + 1..).zip(descs.iter_mut().take(others)) {
        *desc = desc.then(next);
    }
    descs
}

/// What a driver gives to a device.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// What is in the ring's table, from descriptor 0 on.
    pub ring: Vec<Desc>,
    /// What is in the indirect table.
    pub table: Vec<Desc>,
    /// What the available ring says.
    pub head: u16,
}

impl Chain {
    /// One in the ring, whose descriptors are linked as they should be.
    pub fn direct(descs: impl IntoIterator<Item = Desc>) -> Self {
        Self::raw(linked(descs, 0))
    }

    /// One in the ring as it is.
    pub fn raw(ring: Vec<Desc>) -> Self {
        Self {
            ring,
            ..Self::default()
        }
    }

    /// One in an indirect table, linked as it should be.
    pub fn indirect(descs: impl IntoIterator<Item = Desc>) -> Self {
        let table = linked(descs, 0);
        let len = 16 * table.len() as u32;

        Self {
            ring: vec![Desc::table(len)],
            table,
            head: 0,
        }
    }

    /// One of which descriptor 0 is `desc`, and the table is as it is.
    pub fn in_table(desc: Desc, table: Vec<Desc>) -> Self {
        Self {
            ring: vec![desc],
            table,
            head: 0,
        }
    }

    /// Follows it; [`None`] if it breaks a rule.
    fn walk(&self) -> Option<Vec<Desc>> {
        let mut buffers = Vec::new();
        let mut table = &self.ring;
        let mut index = self.head;

        for _ in 0..=self.ring.len() + self.table.len() {
            let desc = *table.get(usize::from(index))?;

            if desc.has(INDIRECT) {
                if desc.has(NEXT) || std::ptr::eq(table, &self.table) {
                    return None;
                }
                (table, index) = (&self.table, 0);
                continue;
            }
            buffers.push(desc);
            if !desc.has(NEXT) {
                return Some(buffers);
            }
            index = desc.next;
        }
        None
    }

    /// Its buffers in their order, if it can be followed; otherwise all that could be meant.
    pub fn buffers(&self) -> impl Iterator<Item = Desc> {
        let all = || self.ring.iter().chain(&self.table).copied().collect();

        self.walk()
            .unwrap_or_else(all)
            .into_iter()
            .filter(|desc| !desc.has(INDIRECT))
    }

    /// Those that the device writes.
    pub fn writable(&self) -> impl Iterator<Item = Desc> {
        self.buffers().filter(|desc| desc.has(WRITE))
    }

    /// Those that the device reads.
    pub fn readable(&self) -> impl Iterator<Item = Desc> {
        self.buffers().filter(|desc| !desc.has(WRITE))
    }
}
