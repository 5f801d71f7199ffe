// SPDX-License-Identifier: GPL-2.0

//! A virtqueue whose driver keeps no rules.

use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use checks::random::Random;
use vhost_client::device::Device;
use vhost_client::queue::event;
use vhost_client::ring::Addresses;
use vhost_client::uapi::*;
use vmm_sys_util::eventfd::EventFd;

use super::arena::{Arena, BASE, LEN, RING};
use super::request::Kind;
use super::{chain, count, garbage, Counts};

/// Where the index and the entries of a ring are.
const INDEX: u64 = 2;
const ENTRIES: u64 = 4;

/// How often and how long it is waited for the device to do something.
const LOOKS: u32 = 6;
const PAUSE: Duration = Duration::from_micros(100);

/// Chains that are offered at a time, at most.
const MOST: u64 = 24;

/// How a queue is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub index: u32,
    pub size: u16,
    at: Addresses,
    base: u16,
    /// Parts of the ring lie over others, or over what the device writes.
    strange: bool,
}

impl Setup {
    /// Any size, and mostly a place of its own; always if that is `usual`.
    pub fn new(index: u32, usual: bool, random: &mut Random) -> Self {
        let start = BASE + u64::from(index) * RING;
        let any = random.next() as u16;
        let mut setup = Self {
            index,
            size: 1 << random.below(9),
            at: Addresses {
                desc: start,
                driver: start + 0x1000,
                device: start + 0x2000,
            },
            base: random.pick(&[0, 0, 1, 0x7fff, 0xfffe, 0xffff, any]),
            strange: true,
        };

        match random.below(16) {
            _ if usual => setup.strange = false,
            0 => setup.at.device = setup.at.desc,
            1 => setup.at.device = setup.at.driver,
            2 => setup.at.driver = setup.at.desc,
            3 => setup.at.device = BASE + (random.below(LEN) & !3),
            4 => setup.at.desc = garbage::addr(random),
            _ => setup.strange = false,
        }
        setup
    }
}

/// A queue.
pub struct Queue {
    pub setup: Setup,
    pub kick: EventFd,
    call: EventFd,
    kind: Kind,
    indirect: bool,
    /// Chains are right, and as long as they can be.
    long: bool,
    avail: u16,
    seen: u16,
}

impl Queue {
    /// A queue that the device does not know yet.
    pub fn new(setup: Setup, kind: Kind, indirect: bool, long: bool) -> Result<Self> {
        Ok(Self {
            setup,
            kick: event()?,
            call: event()?,
            kind,
            indirect,
            long,
            avail: setup.base,
            seen: setup.base,
        })
    }

    /// Tells the device of it, which may refuse. The ring is empty then.
    pub fn set_up(&mut self, device: &Device, arena: &Arena) -> Result<()> {
        let Setup {
            index,
            size,
            at,
            base,
            ..
        } = self.setup;

        for start in [at.driver, at.device] {
            arena.memory.store(start, 0)?;
            arena.memory.store(start + INDEX, base)?;
        }
        (self.avail, self.seen) = (base, base);
        let address = VringAddr {
            index,
            desc: at.desc,
            used: at.device,
            avail: at.driver,
            ..Default::default()
        };
        let _ = device
            .set(VHOST_SET_VRING_NUM, vring_state(index, size.into()))
            .and_then(|()| device.set(VHOST_SET_VRING_ADDR, address.bytes()))
            .and_then(|()| device.set(VHOST_SET_VRING_BASE, vring_state(index, base.into())))
            .and_then(|()| device.set_file(VHOST_SET_VRING_CALL, index, self.call.as_raw_fd()))
            .and_then(|()| device.set_file(VHOST_SET_VRING_KICK, index, self.kick.as_raw_fd()))
            .and_then(|()| device.set(VHOST_VDPA_SET_VRING_ENABLE, vring_state(index, 1)));
        Ok(())
    }

    /// Gives the device some chains, and a moment to handle them.
    pub fn offer(&mut self, arena: &Arena, random: &mut Random, counts: &Counts) -> Result<()> {
        let room = self.setup.size - self.avail.wrapping_sub(self.seen).min(self.setup.size);

        for _ in 0..random.below(MOST).min(room.into()) {
            self.add(arena, random)?;
            count(&counts.offered);
        }
        self.publish(arena, random)?;
        let _ = self.kick.write(1);
        self.collect(arena, counts)
    }

    fn add(&mut self, arena: &Arena, random: &mut Random) -> Result<()> {
        let Setup { size, at, .. } = self.setup;
        let mut head = random.below(size.into()) as u16;
        let mut chain = match self.long {
            true => self.kind.longest(arena, random)?,
            false => self.kind.request(arena, random)?,
        };

        for _ in 0..random.pick(if self.long { &[0] } else { &[0, 0, 0, 1, 1, 2] }) {
            garbage::spoil(&mut chain, random);
        }
        // Somewhere else the descriptors stay what they are.
        if at.desc >= BASE && at.desc < BASE + LEN / 2 {
            let (memory, indirect) = (&arena.memory, self.indirect);
            chain::place(memory, at.desc, size, head, &chain, indirect, random)?;
        }
        if random.below(1000) == 0 {
            head = garbage::word(random);
        }
        let slot = u64::from(self.avail % size);
        arena.memory.store(at.driver + ENTRIES + 2 * slot, head)?;
        self.avail = self.avail.wrapping_add(1);
        Ok(())
    }

    fn publish(&mut self, arena: &Arena, random: &mut Random) -> Result<()> {
        let Setup { size, at, .. } = self.setup;
        let mut index = self.avail;
        let used_event = at.driver + ENTRIES + 2 * u64::from(size);

        if random.below(150) == 0 {
            let any = garbage::word(random);
            let beyond = self.seen.wrapping_add(size).wrapping_add(1);

            index = random.pick(&[self.avail.wrapping_sub(1), beyond, any]);
        }
        // When the device shall call.
        let event = random.pick(&[self.seen, self.avail, self.seen.wrapping_sub(1)]);
        arena.memory.store(used_event, event)?;
        arena
            .memory
            .store(at.driver, random.pick(&[0, 0, 1, 0xffff]))?;
        arena.memory.store(at.driver + INDEX, index)
    }

    /// Waits a little for chains that come back, and counts them.
    fn collect(&mut self, arena: &Arena, counts: &Counts) -> Result<()> {
        for _ in 0..LOOKS {
            let used = arena.memory.load(self.setup.at.device + INDEX)?;
            let back = used.wrapping_sub(self.seen);

            if back != 0 && back <= self.setup.size {
                self.seen = used;
                if !self.setup.strange {
                    for _ in 0..back {
                        count(&counts.completed);
                    }
                }
            }
            let _ = self.call.read();
            if self.seen == self.avail {
                break;
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}
