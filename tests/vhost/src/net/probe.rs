// SPDX-License-Identifier: GPL-2.0

//! Shows what memory a device can read and write.

use std::time::Duration;

use anyhow::{ensure, Result};

use super::{frame, mac, Mac, HEADER_LEN, MAC, RX, TX};
use crate::iotlb::{self, Message};
use crate::memory::{Kind, Memory};
use crate::queue::{Queue, PATIENCE};
use crate::ring::Segment;
use crate::session::Session;

/// How long to wait for what shall not come.
const QUIET: Duration = Duration::from_millis(300);

/// Where the probe's own memory is, far from what is probed.
const OWN: u64 = 0x100_0000_0000;

/// The size of the own memory, and the place of buffers in it.
const OWN_LEN: usize = 1 << 20;

/// The length of the frames that are sent, without their header.
pub const FRAME: usize = 1000;

/// A network device with as little memory of its own as it needs.
pub struct Probe {
    /// The session.
    pub session: Session,
    memory: Memory,
    rx: Queue,
    tx: Queue,
    /// Buffers in the own memory: a header for each queue, and a frame for each.
    headers: [u64; 2],
    frames: [u64; 2],
    mac: Mac,
}

impl Probe {
    /// Sets up a device that is open and started when there is something to probe.
    pub fn new(path: &str, backend: u64) -> Result<Self> {
        let mut session = Session::open(path)?;
        session.negotiate(MAC, backend)?;

        let memory = Memory::new(Kind::File, OWN, OWN_LEN)?;
        session.map(0, &memory)?;
        let mut room = memory.room();
        let mut queue = |index| {
            let ring = session.ring(&memory, &mut room, 16)?;
            session.add_queue(index, ring, 0)
        };
        let (rx, tx) = (queue(RX)?, queue(TX)?);
        let mut take = |len| room.take(len, 16);
        let probe = Self {
            headers: [take(HEADER_LEN)?, take(HEADER_LEN)?],
            frames: [take(FRAME)?, take(FRAME)?],
            mac: mac(&session)?,
            memory,
            rx,
            tx,
            session,
        };

        probe.session.start()?;
        Ok(probe)
    }

    /// The bytes of a frame that the device returns.
    pub fn frame(&self, number: u64) -> Vec<u8> {
        frame::make(self.mac, 7, number, FRAME)
    }

    /// Sends what is at `from`, to be received at `to`. Tells whether it was received in time.
    fn move_frame(&mut self, from: u64, to: u64, timeout: Duration) -> Result<bool> {
        self.rx.add(&[
            Segment::write(self.headers[0], HEADER_LEN),
            Segment::write(to, FRAME),
        ])?;
        self.tx.add(&[
            Segment::read(self.headers[1], HEADER_LEN),
            Segment::read(from, FRAME),
        ])?;
        self.rx.notify()?;
        self.tx.notify()?;

        let Some(used) = self.rx.poll(timeout)? else {
            return Ok(false);
        };
        self.tx.wait()?;
        Ok(used.written as usize == HEADER_LEN + FRAME)
    }

    /// The bytes that the device reads at an address.
    pub fn read(&mut self, at: u64) -> Result<Vec<u8>> {
        let to = self.frames[0];
        ensure!(
            self.move_frame(at, to, PATIENCE)?,
            "the device does not read {at:#x}"
        );
        let mut bytes = vec![0; FRAME];
        self.memory.read(to, &mut bytes)?;
        Ok(bytes)
    }

    /// Has the device write a frame to an address.
    pub fn write(&mut self, at: u64, number: u64) -> Result<()> {
        let from = self.frames[1];

        self.memory.write(from, &self.frame(number))?;
        ensure!(
            self.move_frame(from, at, PATIENCE)?,
            "the device does not write {at:#x}"
        );
        Ok(())
    }

    /// Tells whether the device reads at an address where it should not. The probe is of no use
    /// afterwards, as the queues are not what they were.
    pub fn can_read(mut self, at: u64) -> Result<bool> {
        self.move_frame(at, self.frames[0], QUIET)
    }

    /// The same for writing.
    pub fn can_write(mut self, at: u64) -> Result<bool> {
        let from = self.frames[1];

        self.memory.write(from, &self.frame(1))?;
        self.move_frame(from, at, QUIET)
    }

    /// Maps memory of the process in address space 0.
    pub fn map(&self, iova: u64, size: u64, uaddr: u64, perm: u8) -> std::io::Result<()> {
        self.session
            .device
            .send(&Message::update(0, iova, size, uaddr, perm))
    }

    /// The same for reading and writing.
    pub fn map_rw(&self, iova: u64, size: u64, uaddr: u64) -> Result<()> {
        Ok(self.map(iova, size, uaddr, iotlb::RW)?)
    }

    /// Takes addresses away again.
    pub fn unmap(&self, iova: u64, size: u64) -> Result<()> {
        Ok(self
            .session
            .device
            .send(&Message::invalidate(0, iova, size))?)
    }
}
