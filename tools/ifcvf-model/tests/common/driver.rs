// SPDX-License-Identifier: GPL-2.0

//! The driver's side of a device with a few queues; of a network device with one pair of them, if
//! nothing else is said. One buffer for each descriptor, no features that make rings harder to read.

use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{Client, Model, CONFIG, MEMORY};

/// Where memory begins on the bus.
pub const BASE: u64 = 0x4000_0000_0000;
/// Descriptors in a queue.
pub const SIZE: u16 = 16;
/// Queues at most.
const QUEUES: usize = 5;
/// Bytes of each buffer.
const BUFFER: u64 = 0x800;
/// `VIRTIO_NET_F_MAC`, `VIRTIO_NET_F_STATUS`, `VIRTIO_F_VERSION_1`, `VIRTIO_F_ACCESS_PLATFORM`.
pub const FEATURES: u64 = (1 << 5) | (1 << 16) | (1 << 32) | (1 << 33);
/// Offset of doorbells in BAR 0.
const DOORBELL: u64 = 0x4000;

/// Places of a queue in memory.
pub fn desc(queue: u16) -> u64 {
    0x1000 + u64::from(queue) * 0x3000
}

pub fn avail(queue: u16) -> u64 {
    desc(queue) + 0x1000
}

pub fn used(queue: u16) -> u64 {
    desc(queue) + 0x2000
}

fn buffer(queue: u16, slot: u16) -> u64 {
    0x2_0000 + (u64::from(queue) * u64::from(SIZE) + u64::from(slot)) * BUFFER
}

/// A driver.
pub struct Driver {
    pub client: Client,
    /// Chains made available, by queue.
    pub made: [u16; QUEUES],
    /// Chains that came back, by queue.
    seen: [u16; QUEUES],
    pub vectors: Vec<UnixStream>,
}

impl Driver {
    /// Maps all memory, and does nothing else.
    pub fn new(model: &Model) -> Self {
        let mut client = model.client();
        client.map(BASE, BASE, MEMORY, true).unwrap();
        // Memory and bus master.
        client.write(CONFIG, 4, &[6, 0]);
        let vectors = (0..)
            .map_while(|vector| client.connect_vector(vector))
            .collect();
        Self {
            client,
            made: [0; QUEUES],
            seen: [0; QUEUES],
            vectors,
        }
    }

    pub fn peek<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.client.memory().read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    pub fn poke(&self, at: u64, bytes: &[u8]) {
        self.client.memory().write_all_at(bytes, at).unwrap();
    }

    pub fn common16(&mut self, offset: u64, value: u16) {
        self.client.write(0, offset, &value.to_le_bytes());
    }

    pub fn set_status(&mut self, status: u8) {
        self.client.write(0, 20, &[status]);
    }

    pub fn status(&mut self) -> u8 {
        self.client.read8(0, 20)
    }

    /// Up to the acceptance of features.
    pub fn negotiate(&mut self, features: u64) -> bool {
        self.set_status(0);
        self.made = [0; QUEUES];
        self.seen = [0; QUEUES];
        self.set_status(3);
        for half in 0..2u32 {
            self.client.write(0, 8, &half.to_le_bytes());
            let value = (features >> (32 * half)) as u32;
            self.client.write(0, 12, &value.to_le_bytes());
        }
        self.set_status(0xb);
        self.status() == 0xb
    }

    /// Sets up a queue that starts at an index, and clears its rings.
    pub fn set_up(&mut self, queue: u16, index: u16) {
        let zeroes = vec![0; 0x3000];
        self.poke(desc(queue), &zeroes);
        self.poke(avail(queue) + 2, &index.to_le_bytes());
        self.poke(used(queue) + 2, &index.to_le_bytes());
        self.made[usize::from(queue)] = index;
        self.seen[usize::from(queue)] = index;
        self.client
            .write(4, 32 + 4 * u64::from(queue), &index.to_le_bytes());
        self.common16(22, queue);
        self.common16(24, SIZE);
        self.common16(26, queue);
        for (offset, addr) in [(32, desc(queue)), (40, avail(queue)), (48, used(queue))] {
            self.client.write(0, offset, &(BASE + addr).to_le_bytes());
        }
        self.common16(28, 1);
    }

    /// Everything until the device is running, with all buffers for reception there.
    pub fn start(&mut self) {
        self.start_with(FEATURES, 2);
        for _ in 0..SIZE {
            self.offer();
        }
    }

    /// Everything until a device with so many queues is running. Of its vectors the last is that of
    /// the configuration.
    pub fn start_with(&mut self, features: u64, queues: u16) {
        assert!(self.negotiate(features));
        self.common16(16, queues);
        for queue in 0..queues {
            self.set_up(queue, 0);
        }
        self.set_status(0xf);
    }

    /// Takes all interrupts that are there: a socket has no room for any number of them.
    pub fn forget_interrupts(&mut self) {
        for vector in &mut self.vectors {
            vector.set_nonblocking(true).unwrap();
            while vector.read(&mut [0; 512]).is_ok_and(|count| count > 0) {}
            vector.set_nonblocking(false).unwrap();
        }
    }

    /// Makes a chain of these buffers available, by bus address, length and flags. Its descriptors
    /// are those from `first` on.
    pub fn chain(&mut self, queue: u16, first: u16, buffers: &[(u64, u32, u16)]) {
        for (index, (addr, len, flags)) in (first..).zip(buffers) {
            let last = usize::from(index - first) + 1 == buffers.len();
            let at = desc(queue) + 16 * u64::from(index);
            let flags = flags | u16::from(!last);
            self.poke(at, &addr.to_le_bytes());
            self.poke(at + 8, &len.to_le_bytes());
            self.poke(at + 12, &flags.to_le_bytes());
            self.poke(at + 14, &(index + 1).to_le_bytes());
        }
        self.expose(queue, first);
    }

    fn expose(&mut self, queue: u16, head: u16) {
        let made = &mut self.made[usize::from(queue)];
        let slot = u64::from(*made % SIZE);
        *made = made.wrapping_add(1);
        let made = *made;
        self.poke(avail(queue) + 4 + 2 * slot, &head.to_le_bytes());
        self.poke(avail(queue) + 2, &made.to_le_bytes());
    }

    fn make_available(&mut self, queue: u16, len: usize, flags: u16) {
        let slot = self.made[usize::from(queue)] % SIZE;
        let at = desc(queue) + 16 * u64::from(slot);
        self.poke(at, &(BASE + buffer(queue, slot)).to_le_bytes());
        self.poke(at + 8, &(len as u32).to_le_bytes());
        self.poke(at + 12, &flags.to_le_bytes());
        self.expose(queue, slot);
    }

    /// Makes a buffer for reception available.
    pub fn offer(&mut self) {
        self.make_available(0, BUFFER as usize, 2);
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &[u8]) {
        let slot = self.made[1] % SIZE;
        self.poke(buffer(1, slot), &[0; 12]);
        self.poke(buffer(1, slot) + 12, frame);
        self.make_available(1, 12 + frame.len(), 0);
        self.doorbell(1);
    }

    pub fn doorbell(&mut self, queue: u16) {
        let offset = DOORBELL + 0x1000 * u64::from(queue);
        self.client.post(0, offset, &queue.to_le_bytes());
    }

    pub fn used_index(&self, queue: u16) -> u16 {
        u16::from_le_bytes(self.peek(used(queue) + 2))
    }

    /// Waits for the next chain to come back, and returns its slot and how much was written.
    pub fn reap(&mut self, queue: u16) -> (u16, u32) {
        let seen = self.seen[usize::from(queue)];
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.used_index(queue) == seen {
            assert!(Instant::now() < deadline, "queue {queue} stands still");
            std::thread::yield_now();
        }
        self.seen[usize::from(queue)] = seen.wrapping_add(1);
        let element: [u8; 8] = self.peek(used(queue) + 4 + 8 * u64::from(seen % SIZE));
        let element = u64::from_le_bytes(element);
        (element as u16, (element >> 32) as u32)
    }

    /// Receives a frame, and offers the buffer anew.
    pub fn receive(&mut self) -> Vec<u8> {
        let (slot, len) = self.reap(0);
        let mut bytes = vec![0; len as usize];
        self.client
            .memory()
            .read_exact_at(&mut bytes, buffer(0, slot))
            .unwrap();
        assert_eq!(bytes[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        self.offer();
        bytes[12..].to_vec()
    }

    /// Waits for an interrupt.
    pub fn wait_for(&mut self, vector: usize) {
        self.vectors[vector].read_exact(&mut [0; 8]).unwrap();
    }
}

/// A broadcast of so many bytes.
pub fn frame(len: usize, seed: u8) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(seed)).collect();
    frame[..6].fill(0xff);
    frame
}
