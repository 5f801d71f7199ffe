// SPDX-License-Identifier: GPL-2.0

//! The device side of a packed ring, as simple as can be: virtio 1.3, section 2.8.

use std::sync::atomic::{fence, Ordering};

use vhost_client::memory::Memory;
use vhost_client::ring::{Addresses, Options, Packed, Ring};

const NEXT: u16 = 1 << 0;
const WRITE: u16 = 1 << 1;
const INDIRECT: u16 = 1 << 2;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

const ENABLE: u16 = 0;
const DISABLE: u16 = 1;
const DESC: u16 = 2;

struct Desc {
    addr: u64,
    len: usize,
    id: u16,
    flags: u16,
}

fn desc(memory: &Memory, at: u64) -> Desc {
    // The flags first: the rest is there when they say so.
    let flags = memory.load(at + 14).unwrap();
    let len: [u8; 4] = memory.read_array(at + 8).unwrap();

    Desc {
        addr: u64::from_le_bytes(memory.read_array(at).unwrap()),
        len: u32::from_le_bytes(len) as usize,
        id: u16::from_le_bytes(memory.read_array(at + 12).unwrap()),
        flags,
    }
}

/// A device that returns what it reads.
pub struct Device {
    at: Addresses,
    size: u16,
    event_idx: bool,
    /// Counts all descriptors that were ever used, which are as many as were available before them.
    next: u64,
    /// The same when the driver was last called, or not.
    told: u64,
}

impl Device {
    pub fn new(ring: &Packed, options: Options) -> Self {
        Self {
            at: ring.addresses(),
            size: ring.size(),
            event_idx: options.event_idx,
            next: 0,
            told: 0,
        }
    }

    fn place(&self, count: u64) -> (u64, bool) {
        let size = u64::from(self.size);

        (self.at.desc + 16 * (count % size), count / size % 2 == 0)
    }

    /// The next descriptor, if it is available.
    fn look(&self, memory: &Memory) -> Option<Desc> {
        let (at, wrap) = self.place(self.next);
        let desc = desc(memory, at);

        ((desc.flags & AVAIL != 0) == wrap && (desc.flags & USED != 0) != wrap).then_some(desc)
    }

    fn one(&mut self, memory: &Memory, first: Desc) {
        let (at, wrap) = self.place(self.next);
        let mut descs = vec![first];

        if descs[0].flags & INDIRECT != 0 {
            let table = descs.remove(0);
            let ends = (0..table.len as u64).step_by(16);
            descs.extend(ends.map(|offset| desc(memory, table.addr + offset)));
            self.next += 1;
            // The name of the chain is that of the descriptor in the ring.
            descs[0].id = table.id;
        } else {
            self.next += 1;
            while descs[descs.len() - 1].flags & NEXT != 0 {
                descs.push(desc(memory, self.place(self.next).0));
                self.next += 1;
            }
        }
        let id = if descs[0].flags & NEXT == 0 {
            descs[0].id
        } else {
            descs[descs.len() - 1].id
        };

        let mut bytes = Vec::new();
        for desc in descs.iter().filter(|desc| desc.flags & WRITE == 0) {
            let mut part = vec![0; desc.len];
            memory.read(desc.addr, &mut part).unwrap();
            bytes.extend(part);
        }
        let mut rest = &bytes[..];
        for desc in descs.iter().filter(|desc| desc.flags & WRITE != 0) {
            let (part, others) = rest.split_at(rest.len().min(desc.len));
            memory.write(desc.addr, part).unwrap();
            rest = others;
        }

        let written = (bytes.len() - rest.len()) as u32;
        memory.write(at + 8, &written.to_le_bytes()).unwrap();
        memory.write(at + 12, &id.to_le_bytes()).unwrap();
        memory
            .store(at + 14, if wrap { AVAIL | USED } else { 0 })
            .unwrap();
    }

    /// The position of an offset with its wrap counter, counted as `next`, at most one round later.
    fn count(&self, event: u16, reference: u64) -> u64 {
        let size = u64::from(self.size);
        let (offset, wrap) = (u64::from(event & 0x7fff), event & 0x8000 != 0);

        (reference / size..)
            .find(|round| (round % 2 == 0) == wrap && round * size + offset >= reference)
            .unwrap()
            * size
            + offset
    }

    fn needs_call(&mut self, memory: &Memory) -> bool {
        fence(Ordering::SeqCst);
        let old = std::mem::replace(&mut self.told, self.next);

        match memory.load(self.at.driver + 2).unwrap() {
            ENABLE => old != self.next,
            DESC => {
                let event = memory.load(self.at.driver).unwrap();
                (old..self.next).contains(&self.count(event, old))
            }
            _ => false,
        }
    }
}

impl super::Device for Device {
    fn serve(&mut self, memory: &Memory, most: usize) -> (bool, bool) {
        let set = |flags| memory.store(self.at.device + 2, flags).unwrap();
        let mut asleep = false;

        set(DISABLE);
        for _ in 0..most {
            let Some(first) = self.look(memory) else {
                let (at, wrap) = self.place(self.next);
                let offset = (at - self.at.desc) / 16;
                let event = offset as u16 | if wrap { 0x8000 } else { 0 };

                memory.store(self.at.device, event).unwrap();
                let flags = if self.event_idx { DESC } else { ENABLE };
                memory.store(self.at.device + 2, flags).unwrap();
                fence(Ordering::SeqCst);
                asleep = self.look(memory).is_none();
                break;
            };
            self.one(memory, first);
        }
        (self.needs_call(memory), asleep)
    }
}
