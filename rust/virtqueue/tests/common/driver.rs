// SPDX-License-Identifier: GPL-2.0

//! The driver's side of a split virtqueue, written from section 2.7 of the virtio 1.3
//! specification.
//!
//! It shares no code with the crate, and decides in another way where that can be: whether a
//! notification is due is found by looking at each ring entry in turn, as sections 2.7.7.2 and
//! 2.7.10.1 word it, not by arithmetic on indices.

use std::collections::HashMap;

use virtqueue::SplitConfig;

use super::ram::Ram;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// A buffer element of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    pub addr: u64,
    pub len: u32,
    pub writable: bool,
}

/// Where a driver puts a chain's descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Placing {
    /// How many of the chain's elements go into the ring's own table; the others go into an
    /// indirect table.
    pub direct: usize,
    /// Address of the indirect table, if there are others.
    pub table: u64,
}

impl Placing {
    pub const DIRECT: Self = Self {
        direct: usize::MAX,
        table: 0,
    };
}

/// A chain that the device has given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub head: u16,
    pub len: u32,
}

/// A driver of one split virtqueue.
pub struct Driver {
    size: u16,
    desc: u64,
    avail: u64,
    used: u64,
    event_idx: bool,
    /// Descriptors that are in no chain.
    free: Vec<u16>,
    /// The descriptors of each chain that the device has, by head.
    chains: HashMap<u16, Vec<u16>>,
    /// The available index that the device sees.
    exposed: u16,
    /// Chains placed and not exposed yet.
    added: u16,
    /// Index of the next used element to look at.
    seen: u16,
}

impl Driver {
    /// Sets a queue up that starts at `index`. The ring's memory must be zero.
    pub fn new(config: &SplitConfig, ram: &Ram, index: u16) -> Self {
        let size = u16::try_from(config.size).unwrap();
        let driver = Self {
            size,
            desc: config.desc,
            avail: config.avail,
            used: config.used,
            event_idx: config.event_idx,
            free: (0..size).rev().collect(),
            chains: HashMap::new(),
            exposed: index,
            added: 0,
            seen: index,
        };
        ram.poke16(driver.avail + 2, index);
        ram.poke16(driver.used + 2, index);
        driver
    }

    /// How many chains the device has, or will have when they are exposed.
    pub fn outstanding(&self) -> usize {
        self.chains.len()
    }

    /// The available index that the device sees.
    pub fn exposed(&self) -> u16 {
        self.exposed
    }

    /// Makes descriptors be used in another order than the one they are in.
    pub fn rotate_free(&mut self, by: usize) {
        let len = self.free.len().max(1);
        self.free.rotate_left(by % len);
    }

    /// Places a chain (section 2.7.13.1) and enters it into the available ring (2.7.13.2); `None`
    /// if there are not enough free descriptors.
    pub fn add(&mut self, ram: &Ram, buffers: &[Buffer], placing: Placing) -> Option<u16> {
        assert!(!buffers.is_empty(), "a chain has at least one element");
        let (direct, others) = buffers.split_at(placing.direct.min(buffers.len()));
        let needed = direct.len() + usize::from(!others.is_empty());
        if needed > self.free.len() {
            return None;
        }
        let own: Vec<u16> = self.free.split_off(self.free.len() - needed);

        for (i, buffer) in direct.iter().enumerate() {
            let next = own.get(i + 1).copied();
            let flags = if buffer.writable { WRITE } else { 0 };
            self.place(ram, own[i], buffer.addr, buffer.len, flags, next);
        }
        if !others.is_empty() {
            for (i, buffer) in others.iter().enumerate() {
                let last = i + 1 == others.len();
                let flags = if buffer.writable { WRITE } else { 0 } | if last { 0 } else { NEXT };
                let next = if last { 0 } else { i as u16 + 1 };
                let at = placing.table + 16 * i as u64;
                ram.poke_descriptor(at, buffer.addr, buffer.len, flags, next);
            }
            let len = 16 * others.len() as u32;
            self.place(ram, own[needed - 1], placing.table, len, INDIRECT, None);
        }

        let head = own[0];
        let slot = self.exposed.wrapping_add(self.added) % self.size;
        ram.poke16(self.avail + 4 + 2 * u64::from(slot), head);
        self.added += 1;
        assert!(self.chains.insert(head, own).is_none());
        Some(head)
    }

    fn place(&self, ram: &Ram, at: u16, addr: u64, len: u32, flags: u16, next: Option<u16>) {
        let at = self.desc + 16 * u64::from(at);
        let flags = flags | if next.is_some() { NEXT } else { 0 };
        // Without a next descriptor the field has no meaning.
        ram.poke_descriptor(at, addr, len, flags, next.unwrap_or(0xffff));
    }

    /// Exposes the chains that were added (section 2.7.13.3), and says whether the device must be
    /// notified (2.7.10.1).
    #[must_use]
    pub fn expose(&mut self, ram: &Ram) -> bool {
        let old = self.exposed;
        let added = std::mem::take(&mut self.added);
        self.exposed = old.wrapping_add(added);
        ram.poke16(self.avail + 2, self.exposed);
        if self.event_idx {
            let event = ram.peek16(self.used + 4 + 8 * u64::from(self.size));
            (0..added).any(|i| old.wrapping_add(i) == event)
        } else {
            added != 0 && ram.peek16(self.used) == 0
        }
    }

    /// Takes all chains that the device has given back (section 2.7.14).
    pub fn take_used(&mut self, ram: &Ram) -> Vec<Used> {
        let index = ram.peek16(self.used + 2);
        let count = index.wrapping_sub(self.seen);
        assert!(count <= self.size, "used index {index} after {}", self.seen);
        (0..count)
            .map(|_| {
                let slot = self.seen % self.size;
                let at = self.used + 4 + 8 * u64::from(slot);
                self.seen = self.seen.wrapping_add(1);
                let head = u16::try_from(ram.peek32(at)).expect("the head of a chain");
                let descriptors = self.chains.remove(&head).expect("a chain in flight");
                self.free.extend(descriptors);
                let len = ram.peek32(at + 4);
                Used { head, len }
            })
            .collect()
    }

    /// Asks for an interrupt when `after` more chains than were seen have been given back and one
    /// more, and says whether that many were given back already (section 2.7.14).
    ///
    /// Without an event index, the device interrupts for each.
    pub fn enable_interrupts(&mut self, ram: &Ram, after: u16) -> bool {
        let event = self.seen.wrapping_add(after);
        if self.event_idx {
            ram.poke16(self.used_event(), event);
        } else {
            ram.poke16(self.avail, 0);
        }
        let after = if self.event_idx { after } else { 0 };
        ram.peek16(self.used + 2).wrapping_sub(self.seen) > after
    }

    /// Tells the device that no interrupt is needed. With an event index there is no way to, and
    /// an index far off is used, as Linux does.
    pub fn disable_interrupts(&mut self, ram: &Ram) {
        if self.event_idx {
            ram.poke16(self.used_event(), self.seen.wrapping_sub(1));
        } else {
            ram.poke16(self.avail, 1);
        }
    }

    fn used_event(&self) -> u64 {
        self.avail + 4 + 2 * u64::from(self.size)
    }

    /// Whether the device must notify this driver (section 2.7.7.2) after it wrote the used
    /// elements from index `old` up to, not including, `new`.
    pub fn wants_interrupt(&self, ram: &Ram, old: u16, new: u16) -> bool {
        if self.event_idx {
            let event = ram.peek16(self.used_event());
            let mut index = old;
            while index != new {
                if index == event {
                    return true;
                }
                index = index.wrapping_add(1);
            }
            false
        } else {
            old != new && ram.peek16(self.avail) == 0
        }
    }
}
