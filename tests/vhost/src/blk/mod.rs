// SPDX-License-Identifier: GPL-2.0

//! A block device.

pub mod verify;

use anyhow::{ensure, Context, Result};
use vhost::vdpa::VhostVdpa;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_SIZE_MAX,
    VIRTIO_BLK_F_WRITE_ZEROES,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;

use crate::memory::{Memory, Room};
use crate::queue::Queue;
use crate::ring::Segment;
use crate::session::Session;

/// What reading, writing and flushing need.
pub const BASIC: u64 = (1 << VIRTIO_BLK_F_SEG_MAX) | (1 << VIRTIO_BLK_F_FLUSH);

/// What the simulators offer and all requests here need.
pub const FEATURES: u64 = BASIC
    | (1 << VIRTIO_BLK_F_SIZE_MAX)
    | (1 << VIRTIO_BLK_F_DISCARD)
    | (1 << VIRTIO_BLK_F_WRITE_ZEROES);

/// The size of a sector in bytes, whatever the device's blocks are.
pub const SECTOR: usize = 512;

/// The longest data of a request here, in bytes.
pub const MOST_DATA: usize = 4 * SEGMENT;

/// Data is in segments that are no longer: what the simulators say is the most.
const SEGMENT: usize = 4096;

/// `struct virtio_blk_outhdr`: type, priority, sector.
const HEADER_LEN: usize = 16;

/// What is in the place of a status until there is one.
const NO_STATUS: u8 = 0xff;

/// The most requests at a time.
pub const MOST_REQUESTS: usize = 32;

/// How much memory ring and requests take.
pub const MEMORY: usize = 1 << 20;

/// What a request does with its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// The device reads it.
    ToDevice(Vec<u8>),
    /// The device writes so many bytes.
    FromDevice(usize),
}

/// What is asked of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `VIRTIO_BLK_T_*`.
    pub kind: u32,
    /// Where on the disk, if that has a meaning.
    pub sector: u64,
    /// Its data.
    pub data: Data,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number that [`Disk::start`] gave for it.
    pub slot: usize,
    /// `VIRTIO_BLK_S_*`.
    pub status: u8,
    /// What the device wrote.
    pub data: Vec<u8>,
}

/// Memory of a request.
struct Slot {
    header: u64,
    data: u64,
    status: u64,
    request: Option<Request>,
}

/// The queue of a device at work.
pub struct Disk {
    memory: Memory,
    /// The virtqueue.
    pub queue: Queue,
    slots: Vec<Slot>,
    /// Slots by the token of the chain that they are in.
    running: Vec<Option<usize>>,
    /// The number of sectors.
    pub capacity: u64,
}

impl Disk {
    /// Sets up the queue with memory that is mapped already or will be, up to enabling it.
    pub fn new(session: &Session, memory: &Memory, room: &mut Room) -> Result<Self> {
        ensure!(
            session.id()? == VIRTIO_ID_BLOCK,
            "this is not a block device"
        );
        let size = session.ring_size(256)?;
        let ring = session.ring(memory, room, size)?;
        let base = ring.base_when_idle();
        let mut capacity = [0; 8];
        session
            .vdpa
            .get_config(0, &mut capacity)
            .context("GET_CONFIG")?;

        Ok(Self {
            memory: memory.clone(),
            queue: session.add_queue(0, ring, base)?,
            slots: (0..MOST_REQUESTS)
                .map(|_| {
                    Ok(Slot {
                        header: room.take(HEADER_LEN, 16)?,
                        // Anywhere, so that most data is in pieces of pages.
                        data: room.take(MOST_DATA, 4)?,
                        status: room.take(1, 1)?,
                        request: None,
                    })
                })
                .collect::<Result<_>>()?,
            running: vec![None; size.into()],
            capacity: u64::from_le_bytes(capacity),
        })
    }

    /// Gives the device a request, of which it is told by [`Queue::notify`]; [`None`] if too many
    /// are with it.
    pub fn start(&mut self, request: Request) -> Result<Option<usize>> {
        let Some(number) = self.slots.iter().position(|slot| slot.request.is_none()) else {
            return Ok(None);
        };
        let slot = &mut self.slots[number];
        let mut header = [0; HEADER_LEN];

        header[..4].copy_from_slice(&request.kind.to_le_bytes());
        header[8..].copy_from_slice(&request.sector.to_le_bytes());
        self.memory.write(slot.header, &header)?;
        self.memory.write(slot.status, &[NO_STATUS])?;

        let (len, write) = match &request.data {
            Data::ToDevice(bytes) => {
                self.memory.write(slot.data, bytes)?;
                (bytes.len(), false)
            }
            Data::FromDevice(len) => {
                self.memory.write(slot.data, &vec![0xee; *len])?;
                (*len, true)
            }
        };
        ensure!(len <= MOST_DATA, "{len} bytes are too many");
        let mut chain = vec![Segment::read(slot.header, HEADER_LEN)];
        chain.extend((0..len).step_by(SEGMENT).map(|at| Segment {
            addr: slot.data + at as u64,
            len: (len - at).min(SEGMENT) as u32,
            write,
        }));
        chain.push(Segment::write(slot.status, 1));

        let token = self.queue.add(&chain)?;
        slot.request = Some(request);
        self.running[usize::from(token)] = Some(number);
        Ok(Some(number))
    }

    /// Waits for a request to be done.
    pub fn finish(&mut self) -> Result<(Request, Answer)> {
        let used = self.queue.wait()?;
        let number = self.running[usize::from(used.token)]
            .take()
            .context("a request was done twice")?;
        let slot = &mut self.slots[number];
        let request = slot.request.take().context("there is no such request")?;
        let [status] = self.memory.read_array(slot.status)?;
        let mut data = match request.data {
            Data::ToDevice(_) => Vec::new(),
            Data::FromDevice(len) => vec![0; len],
        };

        self.memory.read(slot.data, &mut data)?;
        ensure!(status != NO_STATUS, "request {request:?} got no status");
        Ok((
            request,
            Answer {
                slot: number,
                status,
                data,
            },
        ))
    }

    /// Makes one request, with no other running.
    pub fn ask(&mut self, kind: u32, sector: u64, data: Data) -> Result<Answer> {
        let request = Request { kind, sector, data };

        ensure!(self.start(request)?.is_some(), "too many requests");
        self.queue.notify()?;
        self.finish().map(|(_, answer)| answer)
    }

    /// How many requests are with the device.
    pub fn running(&self) -> usize {
        self.queue.ring.outstanding()
    }
}
