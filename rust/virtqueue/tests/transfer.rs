// SPDX-License-Identifier: GPL-2.0

//! A driver and a device work on one ring, in any order of their steps.
//!
//! The device answers each chain with the chain's own bytes. Checked is that every byte that was
//! sent arrives exactly once, in the order of the chains; that no chain is lost or repeated; that
//! each notification is sent exactly when the specification says so; and that nobody sleeps while
//! there is work.

mod common;

use std::collections::{HashMap, VecDeque};

use common::{
    driver::{Buffer, Driver, Placing},
    pattern,
    ram::Ram,
};
use proptest::prelude::*;
use virtqueue::{Ring, Segment, Split, SplitConfig, SplitState, Token};

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
struct Shape {
    readable: Vec<u32>,
    writable: Vec<u32>,
    direct: usize,
}

#[derive(Clone, Debug)]
enum Step {
    // The driver's.
    Add(Shape),
    Expose,
    TakeUsed,
    /// Enables interrupts, to come after so many chains more, and sleeps unless they are there.
    DriverSleeps(u16),
    DisableInterrupts,
    // The device's.
    Pop,
    /// Takes a chain and puts it back.
    Peek,
    /// Gives back one of the chains in flight.
    Complete(usize),
    Publish,
    /// Publishes and notifies.
    Notify,
    /// Enables notifications, and sleeps unless there is a chain.
    DeviceSleeps,
    DisableNotifications,
    /// Another device takes over.
    Move,
}

fn shape() -> impl Strategy<Value = Shape> {
    let lens = || prop::collection::vec(prop_oneof![4 => 1u32..90, 1 => Just(0u32)], 0..5);
    (
        lens(),
        lens(),
        prop_oneof![2 => Just(usize::MAX), 1 => 0usize..4],
    )
        .prop_filter_map(
            "a chain has at least one element",
            |(readable, writable, direct)| {
                let empty = readable.is_empty() && writable.is_empty();
                (!empty).then_some(Shape {
                    readable,
                    writable,
                    direct,
                })
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => shape().prop_map(Step::Add),
        4 => Just(Step::Expose),
        3 => Just(Step::TakeUsed),
        2 => (0u16..4).prop_map(Step::DriverSleeps),
        1 => Just(Step::DisableInterrupts),
        8 => Just(Step::Pop),
        1 => Just(Step::Peek),
        6 => any::<prop::sample::Index>().prop_map(|index| Step::Complete(index.index(1 << 16))),
        2 => Just(Step::Publish),
        3 => Just(Step::Notify),
        2 => Just(Step::DeviceSleeps),
        1 => Just(Step::DisableNotifications),
        1 => Just(Step::Move),
    ]
}

/// A chain that the driver has sent.
struct Sent {
    bytes: Vec<u8>,
    writable: Vec<Buffer>,
    slot: u64,
}

struct World {
    config: SplitConfig,
    ram: Ram,
    // The driver.
    driver: Driver,
    /// How many chains were sent.
    sent: u64,
    by_head: HashMap<u16, Sent>,
    /// Slots that are not in use.
    slots: VecDeque<u64>,
    /// The heads of chains the device has not taken, with the bytes that it is to find.
    queue: VecDeque<(u16, Vec<u8>)>,
    exposed: usize,
    driver_sleeps: bool,
    // The device.
    ring: Split,
    in_flight: Vec<(Token, u32)>,
    /// Used index at the last decision on an interrupt, and now.
    decided: u16,
    used: u16,
    completed: u16,
    device_sleeps: bool,
}

impl World {
    fn new(log_size: u32, start: u16, event_idx: bool) -> Self {
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
            device_sleeps: false,
        }
    }

    fn add(&mut self, shape: &Shape) {
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

    fn expose(&mut self) {
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
    fn take_used(&mut self) {
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

    fn driver_sleeps(&mut self, after: u16) {
        self.take_used();
        // No driver waits for more chains than it has sent.
        let after = after.min((self.driver.outstanding() as u16).saturating_sub(1));
        self.driver_sleeps = !self.driver.enable_interrupts(&self.ram, after);
    }

    fn pop(&mut self) {
        let mut storage = [Segment::EMPTY; 16];
        let Some(chain) = self.ring.pop(&self.ram, &mut storage).unwrap() else {
            assert_eq!(self.exposed, 0, "a chain was not found");
            return;
        };
        assert_ne!(self.exposed, 0, "a chain was found before it was exposed");
        self.exposed -= 1;
        let (head, bytes) = self.queue.pop_front().unwrap();
        assert_eq!(chain.id(), head);
        assert_eq!(chain.readable_len(), bytes.len() as u64);

        let mut got = vec![0; bytes.len()];
        let mut reader = chain.reader(&self.ram);
        reader.clone().read_exact(&mut got).unwrap();
        assert_eq!(got, bytes);
        let mut writer = chain.writer(&self.ram);
        reader.copy_to(&mut writer, u64::MAX).unwrap();
        let written = writer.written();
        self.in_flight.push((chain.into_token(), written));
        assert_eq!(usize::from(self.ring.in_flight()), self.in_flight.len());
    }

    fn peek(&mut self) {
        let mut storage = [Segment::EMPTY; 16];
        if let Some(chain) = self.ring.pop(&self.ram, &mut storage).unwrap() {
            assert_eq!(chain.id(), self.queue[0].0);
            self.ring.unpop(chain.into_token()).unwrap();
        }
    }

    fn complete(&mut self, which: usize) {
        if !self.in_flight.is_empty() {
            let (token, written) = self.in_flight.remove(which % self.in_flight.len());
            self.ring.complete(&self.ram, token, written).unwrap();
            self.completed += 1;
        }
    }

    fn publish(&mut self) {
        let at = self.config.used + 2;
        assert_eq!(self.ram.peek16(at), self.used, "published too early");
        self.ring.publish(&self.ram).unwrap();
        self.used = self.used.wrapping_add(std::mem::take(&mut self.completed));
        assert_eq!(self.ram.peek16(at), self.used);
    }

    fn notify(&mut self) {
        self.publish();
        let due = self
            .driver
            .wants_interrupt(&self.ram, self.decided, self.used);
        let news = self.decided != self.used;
        self.decided = self.used;
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

    fn device_sleeps(&mut self) {
        let more = self.ring.enable_notifications(&self.ram).unwrap();
        assert_eq!(more, self.exposed != 0);
        self.device_sleeps = !more;
    }

    fn move_to_another_device(&mut self) {
        if !self.in_flight.is_empty() {
            return;
        }
        self.notify();
        let state = self.ring.state();
        self.ring = Split::new(&self.config).unwrap();
        self.ring.set_state(state);
        self.device_sleeps();
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Add(shape) => self.add(shape),
            Step::Expose => self.expose(),
            Step::TakeUsed => self.take_used(),
            Step::DriverSleeps(after) => self.driver_sleeps(*after),
            Step::DisableInterrupts => {
                // Who does not want to be woken does not sleep.
                self.driver.disable_interrupts(&self.ram);
                self.driver_sleeps = false;
            }
            Step::Pop => self.pop(),
            Step::Peek => self.peek(),
            Step::Complete(which) => self.complete(*which),
            Step::Publish => self.publish(),
            Step::Notify => self.notify(),
            Step::DeviceSleeps => self.device_sleeps(),
            Step::DisableNotifications => {
                self.ring.disable_notifications(&self.ram).unwrap();
                self.device_sleeps = false;
            }
            Step::Move => self.move_to_another_device(),
        }
    }

    /// The device finishes all it has, and nothing is left over on either side.
    fn finish(mut self) {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_byte_arrives_once(
        log_size in 0u32..6,
        start in prop_oneof![Just(0u16), 0xffe0u16..=0xffff, any::<u16>()],
        event_idx: bool,
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let mut world = World::new(log_size, start, event_idx);
        for step in &steps {
            world.step(step);
        }
        world.finish();
    }
}

/// Goes around the 16-bit indices three times, with batches of every size.
#[test]
fn indices_wrap_around() {
    for (log_size, event_idx) in [(0, true), (3, false), (3, true), (4, true)] {
        let mut world = World::new(log_size, 0xfff0, event_idx);
        let shape = Shape {
            readable: vec![5],
            writable: vec![9],
            direct: 0,
        };
        let mut batch = 0;
        while world.sent < 3 << 16 {
            batch = batch % (1u16 << log_size) + 1;
            for _ in 0..batch {
                world.add(&shape);
            }
            world.device_sleeps();
            world.driver_sleeps(batch - 1);
            world.expose();
            for _ in 0..batch {
                world.pop();
                world.complete(0);
            }
            world.notify();
            assert!(!world.driver_sleeps);
            world.take_used();
        }
        world.finish();
    }
}

/// A device may decide on an interrupt only once in a very long time.
#[test]
fn more_than_65535_chains_between_two_decisions() {
    for chains in [65535u64, 65536, 65537, 70000, 131_072] {
        let mut world = World::new(2, 0, true);
        let shape = Shape {
            readable: vec![1],
            writable: vec![],
            direct: 1,
        };
        // The driver polls, and waits for a chain that is not among the last ones.
        world.ram.poke16(world.config.avail + 4 + 2 * 4, 0x8000);
        while world.sent < chains {
            world.add(&shape);
            world.expose();
            world.pop();
            world.complete(0);
            world.publish();
            world.take_used();
        }
        assert!(world.ring.needs_notification(&world.ram), "{chains}");
        assert!(!world.ring.needs_notification(&world.ram));
    }
}
