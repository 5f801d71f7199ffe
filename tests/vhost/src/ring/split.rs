// SPDX-License-Identifier: GPL-2.0

//! Split virtqueues: virtio 1.3, section 2.7.

use std::sync::atomic::{fence, Ordering};

use anyhow::{bail, ensure, Result};
use virtio_bindings::virtio_ring::{
    VRING_AVAIL_F_NO_INTERRUPT, VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE,
    VRING_USED_F_NO_NOTIFY,
};

use super::slots::Slots;
use super::{Addresses, Options, Ring, Segment, Used, DESC_SIZE, MOST_INDIRECT};
use crate::memory::{Memory, Room};

/// Both rings begin with flags and an index of 16 bits each.
const INDEX: u64 = 2;
const ENTRIES: u64 = 4;
const USED_ENTRY_SIZE: u64 = 8;

/// What a descriptor is used for.
enum Desc {
    /// The first of a chain, with the others.
    Head(Vec<u16>),
    /// One of the others.
    Part,
}

/// A split virtqueue.
pub struct Split {
    memory: Memory,
    size: u16,
    options: Options,
    at: Addresses,
    /// An indirect table for each descriptor.
    tables: u64,
    /// The descriptors in use.
    descs: Slots<Desc>,
    avail: u16,
    published: u16,
    used: u16,
}

impl Split {
    /// Makes a ring of `size` descriptors, a power of two, that starts at `index`.
    pub fn new(
        memory: &Memory,
        room: &mut Room,
        size: u16,
        options: Options,
        index: u16,
    ) -> Result<Self> {
        let count = usize::from(size);
        let ring = Self {
            memory: memory.clone(),
            size,
            options,
            at: Addresses {
                desc: room.take(count * DESC_SIZE as usize, 16)?,
                driver: room.take(6 + 2 * count, 2)?,
                device: room.take(6 + USED_ENTRY_SIZE as usize * count, 4)?,
            },
            tables: room.take(count * MOST_INDIRECT * DESC_SIZE as usize, 16)?,
            descs: Slots::new(size),
            avail: index,
            published: index,
            used: index,
        };

        for start in [ring.at.driver, ring.at.device] {
            ring.memory.store(start, 0)?;
            ring.memory.store(start + INDEX, index)?;
        }
        ring.memory.store(ring.used_event(), 0)?;
        ring.memory.store(ring.avail_event(), 0)?;
        Ok(ring)
    }

    /// Behind the available ring: how far the device may go before it calls.
    fn used_event(&self) -> u64 {
        self.at.driver + ENTRIES + 2 * u64::from(self.size)
    }

    /// Behind the used ring: how far the driver may go before it notifies.
    fn avail_event(&self) -> u64 {
        self.at.device + ENTRIES + USED_ENTRY_SIZE * u64::from(self.size)
    }

    fn write_desc(&self, at: u64, segment: Segment, flags: u32, next: u16) -> Result<()> {
        let mut bytes = [0; DESC_SIZE as usize];

        bytes[..8].copy_from_slice(&segment.addr.to_le_bytes());
        bytes[8..12].copy_from_slice(&segment.len.to_le_bytes());
        bytes[12..14].copy_from_slice(&(flags as u16).to_le_bytes());
        bytes[14..].copy_from_slice(&next.to_le_bytes());
        self.memory.write(at, &bytes)
    }

    fn desc(&self, index: u16) -> u64 {
        self.at.desc + DESC_SIZE * u64::from(index)
    }

    fn add_indirect(&mut self, chain: &[Segment]) -> Result<Option<u16>> {
        let Some(head) = self.descs.put(Desc::Head(Vec::new())) else {
            return Ok(None);
        };
        let table = self.tables + u64::from(head) * MOST_INDIRECT as u64 * DESC_SIZE;

        for (i, segment) in (0..).zip(chain) {
            let last = usize::from(i) + 1 == chain.len();
            let at = table + DESC_SIZE * u64::from(i);

            self.write_desc(at, *segment, flags(segment, last), i + 1)?;
        }
        let all = Segment::read(table, chain.len() * DESC_SIZE as usize);
        self.write_desc(self.desc(head), all, VRING_DESC_F_INDIRECT, 0)?;
        Ok(Some(head))
    }

    fn add_direct(&mut self, chain: &[Segment]) -> Result<Option<u16>> {
        if self.descs.free() < chain.len() {
            return Ok(None);
        }
        let mut next = None;
        let mut others = Vec::new();

        // From the end, as each names the one after it.
        for (i, segment) in chain.iter().enumerate().rev() {
            let desc = if i == 0 {
                Desc::Head(std::mem::take(&mut others))
            } else {
                Desc::Part
            };
            let Some(index) = self.descs.put(desc) else {
                return Ok(None);
            };

            self.write_desc(
                self.desc(index),
                *segment,
                flags(segment, next.is_none()),
                next.unwrap_or(0),
            )?;
            if i != 0 {
                others.push(index);
            }
            next = Some(index);
        }
        Ok(next)
    }
}

fn flags(segment: &Segment, last: bool) -> u32 {
    let write = if segment.write { VRING_DESC_F_WRITE } else { 0 };
    let next = if last { 0 } else { VRING_DESC_F_NEXT };

    write | next
}

/// Whether going from `old` to `new` passes `event`: virtio 1.3, section 2.7.7.2.
pub(super) fn passes(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

impl Ring for Split {
    fn size(&self) -> u16 {
        self.size
    }

    fn addresses(&self) -> Addresses {
        self.at
    }

    fn add(&mut self, chain: &[Segment]) -> Result<Option<u16>> {
        let head = if self.options.indirect && (2..=MOST_INDIRECT).contains(&chain.len()) {
            self.add_indirect(chain)?
        } else {
            self.add_direct(chain)?
        };

        if let Some(head) = head {
            let entry = self.at.driver + ENTRIES + 2 * u64::from(self.avail % self.size);

            self.memory.store(entry, head)?;
            self.avail = self.avail.wrapping_add(1);
        }
        Ok(head)
    }

    fn publish(&mut self) -> Result<bool> {
        let old = std::mem::replace(&mut self.published, self.avail);

        self.memory.store(self.at.driver + INDEX, self.avail)?;
        // What is added must be seen by a device that says afterwards that it sleeps.
        fence(Ordering::SeqCst);
        Ok(if self.options.event_idx {
            passes(self.memory.load(self.avail_event())?, self.avail, old)
        } else {
            u32::from(self.memory.load(self.at.device)?) & VRING_USED_F_NO_NOTIFY == 0
        })
    }

    fn take(&mut self) -> Result<Option<Used>> {
        let end = self.memory.load(self.at.device + INDEX)?;
        if end == self.used {
            return Ok(None);
        }
        ensure!(
            end.wrapping_sub(self.used) <= self.avail.wrapping_sub(self.used),
            "used index {end} is beyond available index {}",
            self.avail
        );

        let entry = self.at.device + ENTRIES + USED_ENTRY_SIZE * u64::from(self.used % self.size);
        let [id, written] = [entry, entry + 4].map(|at| self.memory.read_array(at));
        let (id, written) = (u32::from_le_bytes(id?), u32::from_le_bytes(written?));

        let Desc::Head(others) = self.descs.take(id)? else {
            bail!("the device gave back descriptor {id}, which is not the first of a chain");
        };
        for other in others {
            self.descs.take(other.into())?;
        }
        self.used = self.used.wrapping_add(1);
        Ok(Some(Used {
            token: id as u16,
            written,
        }))
    }

    fn enable_calls(&mut self) -> Result<bool> {
        if self.options.event_idx {
            self.memory.store(self.used_event(), self.used)?;
        } else {
            self.memory.store(self.at.driver, 0)?;
        }
        // A device that does not see this was done before, which is seen here.
        fence(Ordering::SeqCst);
        Ok(self.memory.load(self.at.device + INDEX)? != self.used)
    }

    fn disable_calls(&mut self) -> Result<()> {
        if self.options.event_idx {
            // As far away as possible.
            self.memory
                .store(self.used_event(), self.used.wrapping_sub(1))
        } else {
            self.memory
                .store(self.at.driver, VRING_AVAIL_F_NO_INTERRUPT as u16)
        }
    }

    fn outstanding(&self) -> usize {
        usize::from(self.avail.wrapping_sub(self.used))
    }

    fn base_when_idle(&self) -> u32 {
        self.avail.into()
    }
}
