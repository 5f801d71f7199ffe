// SPDX-License-Identifier: GPL-2.0

//! A driver and a device, each with what it knows, and what one finds out about the other.

use std::collections::{HashMap, VecDeque};

use virtqueue::{
    Broken, Fault, Refusal, Ring, RingError, Segment, Split, SplitConfig, SplitState, Token,
    Uncompleted,
};

use super::common::{
    driver::{Buffer, Driver, Placing},
    pattern,
    ram::Ram,
};

const RINGS: u64 = 0x10_0000;
/// Where the buffers of chains are: in one of `SLOTS` slots of `SLOT` bytes from here on.
const DATA: u64 = 0x12_0000;
const SLOT: u64 = 0x1000;
const SLOTS: u64 = 64;
/// Offset of the indirect table in a slot.
const TABLE: u64 = 0xc00;
/// What the driver fills writable buffers with.
const FILL: u8 = 0xa5;

/// The lengths of a chain's buffers, and how many of them go into the ring's own table.
#[derive(Clone, Debug)]
pub struct Shape {
    pub readable: Vec<u32>,
    pub writable: Vec<u32>,
    pub direct: usize,
}

/// What may not be to be had for a while.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// The available index.
    Index,
    /// The entries of the available ring.
    Heads,
    /// Half of the descriptors, or the only one.
    Descriptors,
    /// All indirect tables.
    Tables,
    /// Part of the buffers of every other chain.
    Buffers,
    /// Flags of the used ring.
    Flags,
    /// The elements of the used ring.
    Elements,
    /// The used index.
    UsedIndex,
    /// What the driver says about interrupts.
    Wish,
    /// What the device says about notifications, with an event index.
    Event,
}

/// A chain that the driver has sent.
struct Sent {
    bytes: Vec<u8>,
    writable: Vec<Buffer>,
    slot: u64,
}

pub struct World {
    pub config: SplitConfig,
    pub ram: Ram,
    // The driver.
    driver: Driver,
    /// How many chains were sent.
    pub sent: u64,
    by_head: HashMap<u16, Sent>,
    /// Slots that are not in use.
    slots: VecDeque<u64>,
    /// The heads of chains the device has not taken, with the bytes that it is to find.
    queue: VecDeque<(u16, Vec<u8>)>,
    exposed: usize,
    pub driver_sleeps: bool,
    // The device.
    pub ring: Split,
    in_flight: Vec<(Token, u32)>,
    /// Used index at the last decision on an interrupt, and now.
    decided: u16,
    used: u16,
    completed: u16,
    /// Whether the next chains are signalled in any case.
    resumed: bool,
    device_sleeps: bool,
}

impl World {
    pub fn new(log_size: u32, start: u16, event_idx: bool) -> Self {
        let config = SplitConfig {
            size: 1 << log_size,
            desc: RINGS,
            avail: RINGS + 0x1002,
            used: RINGS + 0x2004,
            event_idx,
            indirect: true,
        };
        let ram = Ram::new(RINGS, 0x8_0000);
        let driver = Driver::new(&config, &ram, start);
        let mut ring = Split::new(&config).unwrap();
        ring.set_state(SplitState { avail_index: start });
        Self {
            config,
            ram,
            driver,
            sent: 0,
            by_head: HashMap::new(),
            slots: (0..SLOTS).collect(),
            queue: VecDeque::new(),
            exposed: 0,
            driver_sleeps: false,
            ring,
            in_flight: Vec::new(),
            decided: start,
            used: start,
            completed: 0,
            resumed: true,
            device_sleeps: false,
        }
    }

    pub fn add(&mut self, shape: &Shape) {
        let slot = self.slots[0];
        let base = DATA + slot * SLOT;
        let mut addr = base;
        let mut place = |lens: &[u32], writable| {
            lens.iter()
                .map(|&len| {
                    let buffer = Buffer {
                        addr,
                        len,
                        writable,
                    };
                    addr += u64::from(len) + 1;
                    buffer
                })
                .collect::<Vec<_>>()
        };
        let readable = place(&shape.readable, false);
        let writable = place(&shape.writable, true);
        let placing = Placing {
            direct: shape.direct,
            table: base + TABLE,
        };
        let buffers = [&readable[..], &writable[..]].concat();
        self.driver.rotate_free(self.sent as usize);
        let Some(head) = self.driver.add(&self.ram, &buffers, placing) else {
            return;
        };

        let bytes = pattern(self.sent, shape.readable.iter().sum::<u32>() as usize);
        let mut rest = &bytes[..];
        for buffer in &readable {
            let (now, later) = rest.split_at(buffer.len as usize);
            self.ram.poke(buffer.addr, now);
            rest = later;
        }
        for buffer in &writable {
            self.ram.poke(buffer.addr, &vec![FILL; buffer.len as usize]);
        }
        self.slots.pop_front();
        self.sent += 1;
        self.queue.push_back((head, bytes.clone()));
        let sent = Sent {
            bytes,
            writable,
            slot,
        };
        self.by_head.insert(head, sent);
    }

    pub fn expose(&mut self) {
        let kick = self.driver.expose(&self.ram);
        let added = self.queue.len() - self.exposed;
        self.exposed = self.queue.len();
        if kick {
            self.device_sleeps = false;
        }
        if added != 0 {
            assert!(!self.device_sleeps, "a notification was lost");
        }
    }

    /// Takes what was given back and checks every byte of it.
    pub fn take_used(&mut self) {
        for used in self.driver.take_used(&self.ram) {
            let sent = self.by_head.remove(&used.head).unwrap();
            let room: usize = sent.writable.iter().map(|buffer| buffer.len as usize).sum();
            let written = sent.bytes.len().min(room);
            assert_eq!(used.len as usize, written);
            let got: Vec<u8> = sent
                .writable
                .iter()
                .flat_map(|buffer| self.ram.peek(buffer.addr, buffer.len as usize))
                .collect();
            assert_eq!(got[..written], sent.bytes[..written]);
            assert!(got[written..].iter().all(|&byte| byte == FILL));
            self.slots.push_back(sent.slot);
        }
        self.ram.take_log();
        self.driver_sleeps = false;
    }

    pub fn driver_sleeps(&mut self, after: u16) {
        self.take_used();
        // No driver waits for more chains than it has sent.
        let after = after.min((self.driver.outstanding() as u16).saturating_sub(1));
        self.driver_sleeps = !self.driver.enable_interrupts(&self.ram, after);
    }

    /// An operation may fail where something is not to be had, and for no other reason.
    fn fault(&self, fault: Fault) {
        let most = 0x80;
        assert!(self.ram.refuses(fault.addr, most), "{fault}");
        assert_ne!(fault.refusal, Refusal::NotPermitted);
    }

    fn failed(&mut self, error: RingError) {
        match error {
            RingError::Fault(fault) => self.fault(fault),
            RingError::Broken(Broken::Memory(fault)) => {
                assert!(self.ram.refuses(fault.addr, 0x10), "{fault}");
                self.repair();
            }
            error => panic!("{error}"),
        }
    }

    pub fn pop(&mut self) {
        let mut storage = [Segment::EMPTY; 16];
        let before = (self.ring.state(), self.ring.in_flight());
        let chain = match self.ring.pop(&self.ram, &mut storage) {
            Ok(Some(chain)) => chain,
            Ok(None) => {
                assert_eq!(self.exposed, 0, "a chain was not found");
                return;
            }
            Err(error) => {
                assert_eq!(before, (self.ring.state(), self.ring.in_flight()));
                return self.failed(error);
            }
        };
        assert_ne!(self.exposed, 0, "a chain was found before it was exposed");
        let (head, bytes) = &self.queue[0];
        assert_eq!(chain.id(), *head);
        assert_eq!(chain.readable_len(), bytes.len() as u64);

        let mut got = vec![0; bytes.len()];
        let mut reader = chain.reader(&self.ram);
        let mut writer = chain.writer(&self.ram);
        let read = reader.clone().read_exact(&mut got);
        let copied = reader.copy_to(&mut writer, u64::MAX);
        if read.is_err() || copied.is_err() {
            // Some of it may have arrived. The chain waits where it was.
            assert!(self.ram.refuses(DATA, SLOTS * SLOT));
            self.ring.unpop(chain.into_token()).unwrap();
            assert_eq!(before, (self.ring.state(), self.ring.in_flight()));
            return;
        }
        assert_eq!(got, *bytes);
        let written = writer.written();
        self.in_flight.push((chain.into_token(), written));
        assert_eq!(usize::from(self.ring.in_flight()), self.in_flight.len());
        self.exposed -= 1;
        self.queue.pop_front();
    }

    pub fn peek(&mut self) {
        if let Some(token) = self.take_the_next() {
            self.ring.unpop(token).unwrap();
        }
    }

    fn take_the_next(&mut self) -> Option<Token> {
        let mut storage = [Segment::EMPTY; 16];
        match self.ring.pop(&self.ram, &mut storage) {
            Ok(chain) => {
                let token = chain?.into_token();
                assert_eq!(token.id(), self.queue[0].0);
                Some(token)
            }
            Err(error) => {
                self.failed(error);
                None
            }
        }
    }

    pub fn give_up(&mut self) {
        if let Some(token) = self.take_the_next() {
            let head = token.id();
            self.ring.give_up(token);
            assert_eq!(self.ring.broken(), Some(Broken::GivenUp { head }));
            self.repair();
        }
    }

    /// The next chain breaks a rule while the device looks at it.
    pub fn spoil(&mut self) {
        if self.exposed == 0 {
            return;
        }
        let head = self.queue[0].0;
        let at = self.config.desc + 16 * u64::from(head);
        let descriptor = self.ram.peek(at, 16);
        self.ram.poke_descriptor(at, DATA, 1, 1, 0xffff);
        let before = (self.ring.state(), self.ring.in_flight());
        let mut storage = [Segment::EMPTY; 16];
        let error = self.ring.pop(&self.ram, &mut storage).unwrap_err();
        assert_eq!(before, (self.ring.state(), self.ring.in_flight()));
        self.ram.poke(at, &descriptor);
        match error {
            RingError::Broken(Broken::Chain { head: broken, .. }) => {
                assert_eq!(broken, head);
                self.repair();
            }
            error => self.failed(error),
        }
    }

    /// The ring is broken. What the device has it gives back; then it starts anew where it was.
    fn repair(&mut self) {
        assert!(self.ring.broken().is_some());
        self.restore();
        while !self.in_flight.is_empty() {
            self.complete(0);
        }
        self.notify();
        self.start_again();
    }

    fn start_again(&mut self) {
        assert_eq!(self.completed, 0);
        self.ring.set_state(self.ring.state());
        self.resumed = true;
        // Whoever starts looks for what came in the meantime.
        self.device_sleeps = false;
    }

    pub fn complete(&mut self, which: usize) {
        if self.in_flight.is_empty() {
            return;
        }
        let which = which % self.in_flight.len();
        let (token, written) = self.in_flight.remove(which);
        match self.ring.complete(&self.ram, token, written) {
            Ok(()) => self.completed += 1,
            Err(Uncompleted { token, error }) => {
                self.in_flight.insert(which, (token, written));
                self.failed(error);
            }
        }
    }

    pub fn publish(&mut self) {
        let at = self.config.used + 2;
        assert_eq!(self.ram.peek16(at), self.used, "published too early");
        match self.ring.publish(&self.ram) {
            Ok(()) => {
                self.used = self.used.wrapping_add(std::mem::take(&mut self.completed));
                assert_eq!(self.ram.peek16(at), self.used);
            }
            Err(error) => {
                assert_eq!(self.ram.peek16(at), self.used);
                self.failed(error);
            }
        }
    }

    pub fn notify(&mut self) {
        self.publish();
        let news = self.decided != self.used;
        let due = self
            .driver
            .wants_interrupt(&self.ram, self.decided, self.used);
        // Where the driver's wish is not known, it is told.
        let (wish, len) = self.extent(Place::Wish);
        let due = due || news && (self.resumed || self.ram.refuses(wish, len));
        self.decided = self.used;
        self.resumed &= !news;
        let interrupt = self.ring.needs_notification(&self.ram);
        assert_eq!(interrupt, due, "section 2.7.7.2");
        if interrupt {
            self.driver_sleeps = false;
        }
        if news && self.driver.outstanding() != 0 && self.everything_is_back() {
            assert!(!self.driver_sleeps, "an interrupt was lost");
        }
    }

    /// Whether the device has nothing more that the driver could wait for.
    fn everything_is_back(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty() && self.completed == 0
    }

    pub fn device_sleeps(&mut self) {
        match self.ring.enable_notifications(&self.ram) {
            Ok(more) => {
                assert_eq!(more, self.exposed != 0);
                self.device_sleeps = !more;
            }
            Err(error) => {
                self.device_sleeps = false;
                self.failed(error);
            }
        }
    }

    pub fn disable_notifications(&mut self) {
        self.device_sleeps = false;
        if let Err(error) = self.ring.disable_notifications(&self.ram) {
            self.failed(error);
        }
    }

    pub fn disable_interrupts(&mut self) {
        // Who does not want to be woken does not sleep.
        self.driver.disable_interrupts(&self.ram);
        self.driver_sleeps = false;
    }

    pub fn move_to_another_device(&mut self) {
        self.notify();
        if !self.in_flight.is_empty() || self.completed != 0 {
            return;
        }
        let state = self.ring.state();
        self.ring = Split::new(&self.config).unwrap();
        self.ring.set_state(state);
        self.start_again();
        self.device_sleeps();
    }

    fn extent(&self, place: Place) -> (u64, u64) {
        let SplitConfig {
            desc, avail, used, ..
        } = self.config;
        let size = u64::from(self.config.size);
        match place {
            Place::Index => (avail + 2, 2),
            Place::Heads => (avail + 4, 2 * size),
            Place::Descriptors => (desc, 16 * size.div_ceil(2)),
            Place::Tables => (DATA + TABLE, SLOT - TABLE),
            Place::Buffers => (DATA + 40, 80),
            Place::Flags => (used, 2),
            Place::Elements => (used + 4, 8 * size),
            Place::UsedIndex => (used + 2, 2),
            Place::Wish if self.config.event_idx => (avail + 4 + 2 * size, 2),
            Place::Wish => (avail, 2),
            Place::Event => (used + 4 + 8 * size, 2),
        }
    }

    /// Something is not to be had until it is restored. Of tables and buffers it is that of the
    /// next chain.
    pub fn refuse(&mut self, place: Place, refusal: Refusal) {
        let (addr, len) = self.extent(place);
        let next = self.queue.front().map(|(head, _)| self.by_head[head].slot);
        let (addr, refusal) = match place {
            Place::Tables => (addr + SLOT * next.unwrap_or(0), refusal),
            // What becomes of a chain whose data can never be moved is up to a device.
            Place::Buffers => (addr + SLOT * next.unwrap_or(0), Refusal::NotPresent),
            _ => (addr, refusal),
        };
        self.ram.refuse(addr, len, refusal);
    }

    pub fn restore(&mut self) {
        self.ram.set_hole(None);
    }

    /// The device finishes all it has, and nothing is left over on either side.
    pub fn finish(mut self) {
        self.restore();
        self.expose();
        while self.exposed != 0 {
            self.pop();
        }
        self.pop();
        while !self.in_flight.is_empty() {
            self.complete(0);
        }
        self.driver_sleeps(u16::MAX);
        self.notify();
        self.take_used();
        assert_eq!(self.driver.outstanding(), 0);
        assert!(self.by_head.is_empty());
        assert_eq!(self.ring.state().avail_index, self.driver.exposed());
        assert_eq!(self.ring.broken(), None);
    }
}
