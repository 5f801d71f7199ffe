// SPDX-License-Identifier: GPL-2.0

//! The control queue: virtio 1.3, section 5.1.6.5.

use std::time::Duration;

use anyhow::{ensure, Result};
use virtio_bindings::virtio_net::{
    VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_OK,
};

use super::{Mac, CVQ};
use crate::memory::{Memory, Room};
use crate::queue::Queue;
use crate::ring::Segment;
use crate::session::Session;

/// What is in the place of an answer until there is one.
const NO_ANSWER: u8 = 0xff;

/// The longest command: class, command, an address.
const COMMAND_LEN: usize = 8;

/// A control queue.
pub struct Control {
    memory: Memory,
    /// The virtqueue.
    pub queue: Queue,
    command: u64,
    answer: u64,
}

impl Control {
    /// Sets up the queue with memory that is mapped already or will be, up to enabling it.
    pub fn new(session: &Session, memory: &Memory, room: &mut Room) -> Result<Self> {
        let size = session.ring_size(16)?;
        let ring = session.ring(memory, room, size)?;
        let base = ring.base_when_idle();

        Ok(Self {
            memory: memory.clone(),
            queue: session.add_queue(CVQ, ring, base)?,
            command: room.take(COMMAND_LEN, 4)?,
            answer: room.take(1, 1)?,
        })
    }

    /// Commands the device to have another address, without waiting for an answer.
    pub fn ask_for_mac(&mut self, mac: Mac) -> Result<()> {
        let mut command = vec![
            VIRTIO_NET_CTRL_MAC as u8,
            VIRTIO_NET_CTRL_MAC_ADDR_SET as u8,
        ];

        command.extend(mac);
        self.memory.write(self.command, &command)?;
        self.memory.write(self.answer, &[NO_ANSWER])?;
        self.queue.add(&[
            Segment::read(self.command, command.len()),
            Segment::write(self.answer, 1),
        ])?;
        self.queue.notify()
    }

    /// Commands the device to have another address. Tells whether it answered in time.
    pub fn set_mac(&mut self, mac: Mac, timeout: Duration) -> Result<bool> {
        self.ask_for_mac(mac)?;
        if self.queue.poll(timeout)?.is_none() {
            return Ok(false);
        }

        let [answer] = self.memory.read_array(self.answer)?;
        ensure!(
            answer == VIRTIO_NET_OK as u8,
            "the answer to the command is {answer:#x}"
        );
        Ok(true)
    }
}
