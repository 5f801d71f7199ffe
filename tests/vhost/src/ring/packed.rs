// SPDX-License-Identifier: GPL-2.0

//! Packed virtqueues: virtio 1.3, section 2.8.

use std::sync::atomic::{fence, Ordering};

use anyhow::Result;
use virtio_bindings::virtio_ring::{
    VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE, VRING_PACKED_DESC_F_AVAIL,
    VRING_PACKED_DESC_F_USED, VRING_PACKED_EVENT_FLAG_DESC, VRING_PACKED_EVENT_FLAG_DISABLE,
    VRING_PACKED_EVENT_FLAG_ENABLE, VRING_PACKED_EVENT_F_WRAP_CTR,
};

use super::slots::Slots;
use super::split::passes;
use super::{Addresses, Options, Ring, Segment, Used, DESC_SIZE, MOST_INDIRECT};
use crate::memory::{Memory, Room};

/// In a descriptor: address, length, buffer id, flags.
const ID: usize = 12;
const FLAGS: usize = 14;
/// In an event suppression structure: offset and wrap counter, flags.
const EVENT_FLAGS: u64 = 2;
const EVENT_SIZE: usize = 4;

/// A place in the ring, and how often its end was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    offset: u16,
    wrap: bool,
}

impl Position {
    const START: Self = Self {
        offset: 0,
        wrap: true,
    };

    fn advance(&mut self, count: u16, size: u16) {
        self.offset += count;
        if self.offset >= size {
            self.offset -= size;
            self.wrap = !self.wrap;
        }
    }

    /// As event suppression structures and `VHOST_SET_VRING_BASE` have it.
    fn bits(self) -> u16 {
        self.offset | (u16::from(self.wrap) << VRING_PACKED_EVENT_F_WRAP_CTR)
    }

    /// The flags of a descriptor that is made available here.
    fn available(self) -> u16 {
        (u16::from(self.wrap) << VRING_PACKED_DESC_F_AVAIL)
            | (u16::from(!self.wrap) << VRING_PACKED_DESC_F_USED)
    }

    /// Whether flags say that the device is done with what was here.
    fn is_used(self, flags: u16) -> bool {
        let has = |bit: u32| (flags >> bit) & 1 == u16::from(self.wrap);

        has(VRING_PACKED_DESC_F_AVAIL) && has(VRING_PACKED_DESC_F_USED)
    }
}

/// A packed virtqueue.
pub struct Packed {
    memory: Memory,
    size: u16,
    options: Options,
    at: Addresses,
    /// An indirect table for each buffer id.
    tables: u64,
    /// How many descriptors each chain has in the ring.
    chains: Slots<u16>,
    /// How many descriptors are not in use.
    free: u16,
    next: Position,
    published: Position,
    used: Position,
}

impl Packed {
    /// Makes a ring of `size` descriptors.
    pub fn new(memory: &Memory, room: &mut Room, size: u16, options: Options) -> Result<Self> {
        let count = usize::from(size);
        let ring = Self {
            memory: memory.clone(),
            size,
            options,
            at: Addresses {
                desc: room.take(count * DESC_SIZE as usize, 16)?,
                driver: room.take(EVENT_SIZE, 4)?,
                device: room.take(EVENT_SIZE, 4)?,
            },
            tables: room.take(count * MOST_INDIRECT * DESC_SIZE as usize, 16)?,
            chains: Slots::new(size),
            free: size,
            next: Position::START,
            published: Position::START,
            used: Position::START,
        };

        for index in 0..size {
            ring.memory
                .write(ring.desc(index), &[0; DESC_SIZE as usize])?;
        }
        for start in [ring.at.driver, ring.at.device] {
            ring.memory.write(start, &[0; EVENT_SIZE])?;
        }
        Ok(ring)
    }

    fn desc(&self, index: u16) -> u64 {
        self.at.desc + DESC_SIZE * u64::from(index)
    }

    fn write_desc(&self, at: u64, segment: Segment, id: u16, flags: u16) -> Result<()> {
        let mut bytes = [0; FLAGS];

        bytes[..8].copy_from_slice(&segment.addr.to_le_bytes());
        bytes[8..ID].copy_from_slice(&segment.len.to_le_bytes());
        bytes[ID..].copy_from_slice(&id.to_le_bytes());
        self.memory.write(at, &bytes)?;
        self.memory.store(at + FLAGS as u64, flags)
    }

    /// Writes descriptors from the last to the first: that one makes all of them available.
    fn write_chain(&mut self, id: u16, chain: &[(Segment, u32)]) -> Result<()> {
        let places: Vec<_> = chain
            .iter()
            .map(|_| {
                let place = self.next;
                self.next.advance(1, self.size);
                place
            })
            .collect();

        for (place, (segment, flags)) in places.iter().zip(chain).rev() {
            let flags = *flags as u16 | place.available();

            self.write_desc(self.desc(place.offset), *segment, id, flags)?;
        }
        self.free -= chain.len() as u16;
        Ok(())
    }
}

fn write_flag(segment: &Segment) -> u32 {
    if segment.write {
        VRING_DESC_F_WRITE
    } else {
        0
    }
}

impl Ring for Packed {
    fn size(&self) -> u16 {
        self.size
    }

    fn addresses(&self) -> Addresses {
        self.at
    }

    fn add(&mut self, chain: &[Segment]) -> Result<Option<u16>> {
        let indirect = self.options.indirect && (2..=MOST_INDIRECT).contains(&chain.len());
        let count = if indirect { 1 } else { chain.len() as u16 };

        if count > self.free {
            return Ok(None);
        }
        let Some(id) = self.chains.put(count) else {
            return Ok(None);
        };

        if indirect {
            let table = self.tables + u64::from(id) * MOST_INDIRECT as u64 * DESC_SIZE;

            for (i, segment) in (0..).zip(chain) {
                let flags = write_flag(segment) as u16;
                self.write_desc(table + DESC_SIZE * i, *segment, 0, flags)?;
            }
            let all = Segment::read(table, chain.len() * DESC_SIZE as usize);
            self.write_chain(id, &[(all, VRING_DESC_F_INDIRECT)])?;
        } else {
            let linked: Vec<_> = chain
                .iter()
                .enumerate()
                .map(|(i, segment)| {
                    let last = i + 1 == chain.len();
                    let next = if last { 0 } else { VRING_DESC_F_NEXT };
                    (*segment, write_flag(segment) | next)
                })
                .collect();
            self.write_chain(id, &linked)?;
        }
        Ok(Some(id))
    }

    fn publish(&mut self) -> Result<bool> {
        let old = std::mem::replace(&mut self.published, self.next);

        // What is added must be seen by a device that says afterwards that it sleeps.
        fence(Ordering::SeqCst);
        let flags = self.memory.load(self.at.device + EVENT_FLAGS)?;
        if u32::from(flags) != VRING_PACKED_EVENT_FLAG_DESC {
            return Ok(u32::from(flags) != VRING_PACKED_EVENT_FLAG_DISABLE);
        }

        let event = self.memory.load(self.at.device)?;
        let wrap = event >> VRING_PACKED_EVENT_F_WRAP_CTR != 0;
        let mut offset = event & !(1 << VRING_PACKED_EVENT_F_WRAP_CTR);
        // Positions of an earlier round lie before those of this one.
        if wrap != self.next.wrap {
            offset = offset.wrapping_sub(self.size);
        }
        let mut from = old.offset;
        if old.wrap != self.next.wrap {
            from = from.wrapping_sub(self.size);
        }
        Ok(passes(offset, self.next.offset, from))
    }

    fn take(&mut self) -> Result<Option<Used>> {
        let at = self.desc(self.used.offset);
        let flags = self.memory.load(at + FLAGS as u64)?;
        if self.chains.taken() == 0 || !self.used.is_used(flags) {
            return Ok(None);
        }
        let written = u32::from_le_bytes(self.memory.read_array(at + 8)?);
        let id = u16::from_le_bytes(self.memory.read_array(at + ID as u64)?);
        let count = self.chains.take(id.into())?;

        self.used.advance(count, self.size);
        self.free += count;
        Ok(Some(Used { token: id, written }))
    }

    fn enable_calls(&mut self) -> Result<bool> {
        let mut flags = VRING_PACKED_EVENT_FLAG_ENABLE;

        if self.options.event_idx {
            self.memory.store(self.at.driver, self.used.bits())?;
            flags = VRING_PACKED_EVENT_FLAG_DESC;
        }
        self.memory
            .store(self.at.driver + EVENT_FLAGS, flags as u16)?;
        // A device that does not see this was done before, which is seen here.
        fence(Ordering::SeqCst);
        let at = self.desc(self.used.offset) + FLAGS as u64;
        Ok(self.chains.taken() != 0 && self.used.is_used(self.memory.load(at)?))
    }

    fn disable_calls(&mut self) -> Result<()> {
        self.memory.store(
            self.at.driver + EVENT_FLAGS,
            VRING_PACKED_EVENT_FLAG_DISABLE as u16,
        )
    }

    fn outstanding(&self) -> usize {
        self.chains.taken()
    }

    fn base_when_idle(&self) -> u32 {
        u32::from(self.next.bits()) | (u32::from(self.next.bits()) << 16)
    }
}
