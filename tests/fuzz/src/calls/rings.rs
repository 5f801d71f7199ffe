// SPDX-License-Identifier: GPL-2.0

//! The rings of a thread (virtio 1.3, section 2.7), as far as a driver that never looks at what
//! comes back needs them.

use std::io;

use vhost_client::ring::Segment;
use virtio_bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};

use super::layout::{self, QUEUES};
use crate::sys::Arena;

/// Both rings begin with flags and an index of 16 bits each.
const INDEX: u64 = 2;
const ENTRIES: u64 = 4;

/// The size of a descriptor in bytes.
const DESC: u64 = 16;

/// Where the driver is in its rings.
#[derive(Default)]
pub struct Rings {
    size: u16,
    next: [u16; QUEUES],
    available: [u16; QUEUES],
}

impl Rings {
    /// Begins with empty rings of `size` descriptors.
    pub fn begin(&mut self, arena: &Arena, size: u16) -> io::Result<()> {
        *self = Self {
            size: size.min(layout::MOST),
            ..Self::default()
        };
        for queue in 0..QUEUES {
            arena.write(layout::available(queue), &[0; 4])?;
            arena.write(layout::used(queue), &[0; 4])?;
        }
        Ok(())
    }

    /// Puts a chain into the ring of a virtqueue, whether or not there is room, and announces it.
    pub fn add(&mut self, arena: &Arena, queue: usize, chain: &[Segment]) -> io::Result<()> {
        if self.size == 0 {
            return Err(io::Error::other("there are no rings"));
        }
        let queue = queue % QUEUES;
        let head = self.next[queue];

        for (position, segment) in (1..).zip(chain) {
            let index = self.next[queue];
            let next = (index + 1) % self.size;
            let last = position == chain.len();
            let flags = if segment.write { VRING_DESC_F_WRITE } else { 0 }
                | if last { 0 } else { VRING_DESC_F_NEXT };
            let mut desc = [0; DESC as usize];

            desc[..8].copy_from_slice(&segment.addr.to_le_bytes());
            desc[8..12].copy_from_slice(&segment.len.to_le_bytes());
            desc[12..14].copy_from_slice(&(flags as u16).to_le_bytes());
            desc[14..].copy_from_slice(&next.to_le_bytes());
            arena.write(layout::descriptors(queue) + DESC * u64::from(index), &desc)?;
            self.next[queue] = next;
        }
        let available = layout::available(queue);
        let entry = ENTRIES + 2 * u64::from(self.available[queue] % self.size);

        self.available[queue] = self.available[queue].wrapping_add(1);
        arena.write(available + entry, &head.to_le_bytes())?;
        arena.write(available + INDEX, &self.available[queue].to_le_bytes())
    }
}
