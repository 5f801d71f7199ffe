// SPDX-License-Identifier: GPL-2.0

//! Both kinds of rings against a device that returns what it reads.
//!
//! Driver and device look into the ring only when the other has notified them after they said that
//! they sleep, so that a notification too few ends the test.

mod packed;
mod split;

use checks::random::Random;
use vhost_client::memory::{Kind, Memory, Room};
use vhost_client::ring::{Options, Packed, Ring, Segment, Split};

/// The device side of a ring.
trait Device {
    /// Takes up to `most` chains, copies what is readable to what is writable, and gives them back.
    /// If there are no more, asks to be notified. Returns whether it shall call the driver, and
    /// whether it sleeps.
    fn serve(&mut self, memory: &Memory, most: usize) -> (bool, bool);
}

const IOVA: u64 = 0x1_0000;

/// A chain that the device has.
struct Sent {
    contents: Vec<u8>,
    to: u64,
    room: usize,
}

struct Driver {
    memory: Memory,
    ring: Box<dyn Ring>,
    random: Random,
    /// Each with room for a chain, by what is in it.
    buffers: Vec<u64>,
    sent: Vec<Option<(u64, Sent)>>,
}

const BUFFER: usize = 4096;

impl Driver {
    fn new(memory: Memory, mut room: Room, ring: Box<dyn Ring>, seed: u64) -> Self {
        let size = usize::from(ring.size());

        Self {
            buffers: (0..size).map(|_| room.take(BUFFER, 1).unwrap()).collect(),
            sent: (0..size).map(|_| None).collect(),
            memory,
            ring,
            random: Random::new(seed),
        }
    }

    /// Adds a chain of some segments. Returns whether there was room.
    fn send(&mut self) -> bool {
        let Some(buffer) = self.buffers.pop() else {
            return false;
        };
        let mut contents = vec![0; 1 + self.random.index(200)];
        self.random.fill(&mut contents);
        self.memory.write(buffer, &contents).unwrap();

        // Cut into up to three pieces each.
        let cut = |random: &mut Random, len: usize| {
            let mut cuts = vec![0, random.index(len + 1), random.index(len + 1), len];
            cuts.sort_unstable();
            cuts.dedup();
            cuts
        };
        let to = buffer + 2000;
        let room = contents.len() + self.random.index(50);
        let mut chain = Vec::new();
        for pair in cut(&mut self.random, contents.len()).windows(2) {
            chain.push(Segment::read(buffer + pair[0] as u64, pair[1] - pair[0]));
        }
        for pair in cut(&mut self.random, room).windows(2) {
            chain.push(Segment::write(to + pair[0] as u64, pair[1] - pair[0]));
        }

        let Some(token) = self.ring.add(&chain).unwrap() else {
            self.buffers.push(buffer);
            return false;
        };
        let sent = Sent { contents, to, room };
        assert!(self.sent[usize::from(token)]
            .replace((buffer, sent))
            .is_none());
        true
    }

    /// Takes all chains that came back, and checks them. Returns how many.
    fn receive(&mut self) -> usize {
        let mut count = 0;

        while let Some(used) = self.ring.take().unwrap() {
            let (buffer, sent) = self.sent[usize::from(used.token)].take().unwrap();
            let mut found = vec![0; sent.contents.len()];

            assert!(used.written as usize == sent.contents.len());
            assert!(used.written as usize <= sent.room);
            self.memory.read(sent.to, &mut found).unwrap();
            assert!(found == sent.contents);
            self.buffers.push(buffer);
            count += 1;
        }
        count
    }
}

/// Sends `count` chains through a ring.
fn exchange(mut driver: Driver, mut device: impl Device, count: usize) {
    let memory = driver.memory.clone();
    let (mut sent, mut received) = (0, 0);
    let (mut device_awake, mut driver_awake) = (true, true);

    while received < count {
        assert!(device_awake || driver_awake, "both sleep");
        if driver_awake {
            driver.ring.disable_calls().unwrap();
            received += driver.receive();
            for _ in 0..driver.random.below(10) {
                if sent < count && driver.send() {
                    sent += 1;
                }
            }
            device_awake |= driver.ring.publish().unwrap();
            // It goes to sleep only if there is something to wait for.
            let waits = driver.ring.outstanding() != 0;
            driver_awake = !waits || driver.ring.enable_calls().unwrap();
        }
        if device_awake {
            let most = driver.random.index(12);
            let (call, asleep) = device.serve(&memory, most);

            driver_awake |= call;
            device_awake = !asleep;
        }
    }
    assert!(driver.ring.outstanding() == 0);
}

const OPTIONS: [Options; 4] = [
    Options {
        event_idx: false,
        indirect: false,
    },
    Options {
        event_idx: true,
        indirect: false,
    },
    Options {
        event_idx: false,
        indirect: true,
    },
    Options {
        event_idx: true,
        indirect: true,
    },
];

fn memory() -> Memory {
    Memory::new(Kind::Anonymous, IOVA, 4 << 20).unwrap()
}

#[test]
fn split_rings() {
    for (seed, options) in (0..).zip(OPTIONS) {
        for (size, start) in [(8, 0), (16, 0xfff0), (256, 0)] {
            let memory = memory();
            let mut room = memory.room();
            let ring = Split::new(&memory, &mut room, size, options, start).unwrap();
            let device = split::Device::new(&ring, options, start);

            exchange(
                Driver::new(memory, room, Box::new(ring), seed),
                device,
                2000,
            );
        }
    }
}

#[test]
fn packed_rings() {
    for (seed, options) in (0..).zip(OPTIONS) {
        // The size need not be a power of two.
        for size in [8, 13, 256] {
            let memory = memory();
            let mut room = memory.room();
            let ring = Packed::new(&memory, &mut room, size, options).unwrap();
            let device = packed::Device::new(&ring, options);

            exchange(
                Driver::new(memory, room, Box::new(ring), seed),
                device,
                2000,
            );
        }
    }
}

/// A device that gives back what it does not have is found out.
#[test]
fn devices_that_lie() {
    for id in [0u32, 3, 100, 0x1_0000] {
        let memory = memory();
        let mut room = memory.room();
        let mut ring = Split::new(&memory, &mut room, 8, OPTIONS[0], 0).unwrap();
        let at = ring.addresses();
        let token = ring.add(&[Segment::write(IOVA, 1)]).unwrap().unwrap();
        ring.publish().unwrap();

        memory.write(at.device + 4, &id.to_le_bytes()).unwrap();
        memory.store(at.device + 2, 1).unwrap();
        assert_eq!(ring.take().is_ok(), id == u32::from(token), "{id}");
    }

    let memory = memory();
    let mut room = memory.room();
    let mut ring = Split::new(&memory, &mut room, 8, OPTIONS[0], 0).unwrap();
    memory.store(ring.addresses().device + 2, 1).unwrap();
    assert!(ring.take().is_err(), "more used than available");
}
