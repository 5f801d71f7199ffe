// SPDX-License-Identifier: GPL-2.0

//! A network device that returns the frames it is sent.

pub mod control;
pub mod frame;
pub mod probe;
pub mod stream;

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use vhost::vdpa::VhostVdpa;
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_MAC,
};

use crate::memory::{Memory, Room};
use crate::queue::{Queue, PATIENCE};
use crate::ring::Segment;
use crate::session::Session;

/// The device has an address.
pub const MAC: u64 = 1 << VIRTIO_NET_F_MAC;
/// It has a control queue, by which its address can be set.
pub const CONTROL: u64 = (1 << VIRTIO_NET_F_CTRL_VQ) | (1 << VIRTIO_NET_F_CTRL_MAC_ADDR);

/// The virtqueues of a device with one pair: virtio 1.3, section 5.1.2.
pub const RX: u32 = 0;
/// Where frames are sent.
pub const TX: u32 = 1;
/// Where commands are sent.
pub const CVQ: u32 = 2;

/// What is in front of each frame, `struct virtio_net_hdr_v1`.
const HEADER_LEN: usize = 12;

/// The longest frame that all simulators return: with its header it has a page.
pub const MAX_FRAME: usize = 4096 - HEADER_LEN;

/// An address of Ethernet.
pub type Mac = [u8; 6];

/// Room for a frame and its header.
#[derive(Clone, Copy)]
struct Buffer {
    header: u64,
    frame: u64,
}

/// The receive and the transmit queue of a device at work.
pub struct Net {
    memory: Memory,
    /// Where received frames are put.
    pub rx: Queue,
    /// Where frames are sent.
    pub tx: Queue,
    /// Buffers by the token of the chain that they are in.
    receiving: Vec<Option<Buffer>>,
    sending: Vec<Option<Buffer>>,
    rx_free: Vec<Buffer>,
    tx_free: Vec<Buffer>,
}

/// The size of the buffers of a queue, in bytes.
const STRIDE: usize = HEADER_LEN + MAX_FRAME;

/// How much memory rings and buffers take.
pub const MEMORY: usize = 2 << 20;

/// The most frames that can be on their way.
pub const MOST_FRAMES: usize = 120;

impl Net {
    /// Sets up both queues with memory that is mapped already or will be, up to enabling them.
    pub fn new(session: &Session, memory: &Memory, room: &mut Room) -> Result<Self> {
        ensure!(
            session.id()? == VIRTIO_ID_NET,
            "this is not a network device"
        );
        let size = session.ring_size(256)?;
        let mut queue = |index| {
            let ring = session.ring(memory, room, size)?;
            let base = ring.base_when_idle();
            session.add_queue(index, ring, base)
        };
        let (rx, tx) = (queue(RX)?, queue(TX)?);

        // Frames are shorter than a page but lie anywhere, so some are in two.
        let mut buffers = || -> Result<Vec<Buffer>> {
            (0..MOST_FRAMES)
                .map(|_| {
                    let header = room.take(STRIDE, 4)?;
                    Ok(Buffer {
                        header,
                        frame: header + HEADER_LEN as u64,
                    })
                })
                .collect()
        };
        Ok(Self {
            memory: memory.clone(),
            rx_free: buffers()?,
            tx_free: buffers()?,
            receiving: vec![None; size.into()],
            sending: vec![None; size.into()],
            rx,
            tx,
        })
    }

    /// Goes on with the same rings and buffers in another session, from where the device stopped.
    pub fn restore(&mut self, session: &Session, rx_base: u32, tx_base: u32) -> Result<()> {
        session.restore_queue(&mut self.rx, rx_base)?;
        session.restore_queue(&mut self.tx, tx_base)
    }

    /// Gives the device a buffer for a frame. Tells whether there was one.
    pub fn post(&mut self) -> Result<bool> {
        let Some(buffer) = self.rx_free.pop() else {
            return Ok(false);
        };
        let token = self.rx.add(&[Segment::write(buffer.header, STRIDE)])?;

        self.receiving[usize::from(token)] = Some(buffer);
        Ok(true)
    }

    /// Gives the device a frame to send. Tells whether there was a buffer for it.
    pub fn send(&mut self, frame: &[u8]) -> Result<bool> {
        ensure!(
            frame.len() <= MAX_FRAME,
            "{} bytes are too many",
            frame.len()
        );
        let Some(buffer) = self.tx_free.pop() else {
            return Ok(false);
        };

        self.memory.write(buffer.header, &[0; HEADER_LEN])?;
        self.memory.write(buffer.frame, frame)?;
        let token = self.tx.add(&[
            Segment::read(buffer.header, HEADER_LEN),
            Segment::read(buffer.frame, frame.len()),
        ])?;
        self.sending[usize::from(token)] = Some(buffer);
        Ok(true)
    }

    /// Tells the device of what it was given: of buffers first, so that no frame lacks one.
    pub fn notify(&mut self) -> Result<()> {
        self.rx.notify()?;
        self.tx.notify()
    }

    /// Takes back the buffers of frames that are sent. Tells how many.
    pub fn reap(&mut self) -> Result<usize> {
        let mut count = 0;

        while let Some(used) = self.tx.ring.take()? {
            let buffer = self.sending[usize::from(used.token)].take();

            ensure!(
                used.written == 0,
                "{} bytes of what was sent are written",
                used.written
            );
            self.tx_free.push(buffer.context("a frame was sent twice")?);
            count += 1;
        }
        Ok(count)
    }

    /// Waits until all that was sent is taken back.
    pub fn reap_all(&mut self) -> Result<()> {
        while self.tx.ring.outstanding() != 0 {
            if self.reap()? == 0 && !self.tx.ring.enable_calls()? {
                let came = crate::queue::wait_event(&self.tx.call, PATIENCE)?;
                ensure!(
                    came || self.reap()? != 0,
                    "{} frames are not sent for {PATIENCE:?}",
                    self.tx.ring.outstanding()
                );
            }
        }
        Ok(())
    }

    /// Waits for a frame; [`None`] if none comes in time.
    pub fn receive(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>> {
        let Some(used) = self.rx.poll(timeout)? else {
            return Ok(None);
        };
        let buffer = self.receiving[usize::from(used.token)]
            .take()
            .context("a buffer was filled twice")?;
        self.rx_free.push(buffer);

        let len = used.written as usize;
        ensure!(
            (HEADER_LEN..=STRIDE).contains(&len),
            "{len} bytes were received"
        );
        let header: [u8; 2] = self.memory.read_array(buffer.header)?;
        ensure!(header == [0; 2], "flags and kind of offload are {header:?}");
        let mut frame = vec![0; len - HEADER_LEN];
        self.memory.read(buffer.frame, &mut frame)?;
        Ok(Some(frame))
    }
}

/// Asks for the address of a device.
pub fn mac(session: &Session) -> Result<Mac> {
    let mut mac = Mac::default();

    session.vdpa.get_config(0, &mut mac).context("GET_CONFIG")?;
    Ok(mac)
}
