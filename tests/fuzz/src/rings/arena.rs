// SPDX-License-Identifier: GPL-2.0

//! The memory of a session: rings, tables and buffers, mapped once as usual and again with less
//! permission.

use std::io;

use anyhow::Result;
use checks::random::Random;
use vhost_client::device::Device;
use vhost_client::iotlb::{self, Message};
use vhost_client::memory::{Kind, Memory};

/// Where the device sees memory.
pub const BASE: u64 = 0x7_0000_0000;
/// Where it sees the same once more, but only to be read.
const READ_ONLY: u64 = BASE + 0x1000_0000;
/// Where it sees it only to be written.
const WRITE_ONLY: u64 = BASE + 0x2000_0000;
/// Where there is nothing.
pub const HOLE: u64 = BASE + 0x3000_0000;

/// Its length in bytes.
pub const LEN: u64 = 1 << 20;
/// Each queue has so much room for its ring.
pub const RING: u64 = 0x4000;
/// Queues, at most.
const QUEUES: u64 = 4;
/// Indirect tables, from the start of the memory.
pub const TABLES: u64 = RING * QUEUES;
/// Buffers.
pub const BUFFERS: u64 = TABLES + 0x1_0000;

const PAGE: u64 = 4096;

/// The memory of a session.
#[derive(Clone)]
pub struct Arena {
    /// As the process sees it.
    pub memory: Memory,
}

/// The permission that a window of the memory has.
fn permission(window: u64) -> u8 {
    match window {
        READ_ONLY => iotlb::RO,
        WRITE_ONLY => iotlb::WO,
        _ => iotlb::RW,
    }
}

impl Arena {
    /// Makes memory, which is not mapped yet.
    pub fn new(kind: Kind) -> Result<Self> {
        Ok(Self {
            memory: Memory::new(kind, BASE, LEN as usize)?,
        })
    }

    /// Maps all of it, in all ways.
    pub fn map(&self, device: &Device) -> Result<()> {
        for window in [BASE, READ_ONLY, WRITE_ONLY] {
            let message = self.update(window, 0, LEN, permission(window));
            device.send(&message)?;
        }
        Ok(())
    }

    fn update(&self, window: u64, offset: u64, len: u64, permission: u8) -> Message {
        let address = self.memory.address() + offset;

        Message::update(0, window + offset, len, address, permission)
    }

    /// Takes some of it away from the device.
    pub fn take_away(&self, device: &Device, random: &mut Random) -> io::Result<()> {
        let (window, offset, len) = self.some(random);

        device.send(&Message::invalidate(0, window + offset, len))
    }

    /// Gives some of it to the device, with any permission. That fails if it has it.
    pub fn give(&self, device: &Device, random: &mut Random) -> io::Result<()> {
        let (window, offset, len) = self.some(random);
        let permission = random.pick(&[iotlb::RW, iotlb::RW, iotlb::RO, iotlb::WO]);

        device.send(&self.update(window, offset, len, permission))
    }

    /// Gives it all of the usual window back, whatever was left of that.
    pub fn give_back(&self, device: &Device) -> io::Result<()> {
        device.send(&Message::invalidate(0, BASE, LEN))?;
        device.send(&self.update(BASE, 0, LEN, iotlb::RW))
    }

    fn some(&self, random: &mut Random) -> (u64, u64, u64) {
        let window = random.pick(&[BASE, BASE, BASE, READ_ONLY, WRITE_ONLY]);
        let first = random.below(LEN / PAGE);
        let count = match random.below(3) {
            0 => 1,
            1 => LEN / PAGE - first,
            _ => 1 + random.below(LEN / PAGE - first),
        };

        (window, first * PAGE, count * PAGE)
    }

    /// A place for a buffer: where the process writes it, and where the device finds it. That may
    /// read it and, if `write`, write to it; seldom what it should not.
    pub fn buffer(&self, random: &mut Random, len: u64, write: bool) -> (u64, u64) {
        let room = LEN - BUFFERS - len.min(LEN - BUFFERS);
        let offset = BUFFERS + random.below(room + 1);
        let (right, wrong) = match write {
            true => (WRITE_ONLY, READ_ONLY),
            false => (READ_ONLY, WRITE_ONLY),
        };
        let window = match random.below(32) {
            0 => wrong,
            1 => HOLE,
            2..=9 => right,
            _ => BASE,
        };

        (BASE + offset, window + offset)
    }
}
