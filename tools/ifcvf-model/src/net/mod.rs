// SPDX-License-Identifier: GPL-2.0

//! The network device (virtio 1.3, section 5.1).

mod control;
pub mod link;

use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_MAC, VIRTIO_NET_F_MQ, VIRTIO_NET_F_MTU, VIRTIO_NET_F_STATUS,
    VIRTIO_NET_S_LINK_UP,
};
use virtqueue::{Chain, CursorError, Memory, Reader, Segment};

use crate::dma::Dma;
use crate::queue::Queue;
use crate::settings::Settings;
use link::Link;

/// Bytes before each frame. There is no other layout without the legacy interface.
const HEADER: usize = 12;
/// Bytes of the largest frame: an Ethernet header and 64 KiB.
pub const MAX_FRAME: usize = 65550;
/// Bytes of the smallest frame that has addresses.
const MIN_FRAME: usize = 14;
/// What says that a frame has a tag of IEEE 802.1Q, and the tag's bytes.
const TAGGED: &[u8] = &[0x81, 0];
const TAG: usize = 4;
/// Chains of a queue that are handled before other queues get their turn.
const BUDGET: usize = 64;
/// Buffers in a chain.
const SEGMENTS: usize = 64;

/// Frames that were handled.
#[derive(Default)]
pub struct Frames {
    /// Taken from transmit queues.
    pub sent: u64,
    /// Put into receive queues.
    pub received: u64,
    /// For other stations.
    pub filtered: u64,
    /// For which there was no buffer, or none large enough.
    pub dropped: u64,
    /// That could not be read, or are no frames.
    pub malformed: u64,
}

/// A network device.
pub struct Net {
    mac: [u8; 6],
    mtu: Option<u16>,
    pairs: u16,
    /// Pairs that the driver uses.
    used_pairs: u16,
    /// What was negotiated.
    negotiated: u64,
    /// Whether there is a carrier.
    pub up: bool,
    /// Where frames go.
    pub link: Link,
    /// What came of them.
    pub frames: Frames,
}

impl Net {
    /// A network device as the settings want it. Its link is up.
    pub fn new(settings: &Settings) -> Self {
        Self {
            mac: settings.mac,
            mtu: settings.mtu,
            pairs: settings.pairs,
            used_pairs: 1,
            negotiated: 0,
            up: true,
            link: Link::new(&settings.network),
            frames: Frames::default(),
        }
    }

    /// The driver is ready, and these features were negotiated.
    pub fn start(&mut self, negotiated: u64) {
        self.negotiated = negotiated;
    }

    /// What the driver changed is as it was.
    pub fn reset(&mut self) {
        self.used_pairs = 1;
        self.negotiated = 0;
    }

    /// Features of a network device.
    pub fn features(&self) -> u64 {
        let mut features = (1 << VIRTIO_NET_F_MAC) | (1 << VIRTIO_NET_F_STATUS);
        if self.mtu.is_some() {
            features |= 1 << VIRTIO_NET_F_MTU;
        }
        if self.pairs > 1 {
            features |= (1 << VIRTIO_NET_F_MQ) | (1 << VIRTIO_NET_F_CTRL_VQ);
        }
        features
    }

    /// The device's configuration: MAC address, status, pairs, MTU.
    pub fn config(&self) -> Vec<u8> {
        let mut bytes = self.mac.to_vec();
        let status = if self.up { VIRTIO_NET_S_LINK_UP } else { 0 };
        bytes.extend((status as u16).to_le_bytes());
        bytes.extend(self.pairs.to_le_bytes());
        bytes.extend(self.mtu.unwrap_or(0).to_le_bytes());
        bytes
    }

    /// Changes everything that can be seen to change: each byte of the address but those that say
    /// what kind of address it is, and the link.
    pub fn churn(&mut self) {
        for byte in &mut self.mac[1..] {
            *byte ^= 0xff;
        }
        self.up = !self.up;
    }

    /// Handles what is in a queue, and says whether there may be more.
    pub fn run(&mut self, index: usize, queues: &mut [Queue], dma: &Dma) -> bool {
        let control = 2 * usize::from(self.pairs);
        if index == control {
            self.control(index, queues, dma)
        } else if index % 2 == 1 && index < control {
            self.transmit(index, queues, dma)
        } else {
            // Buffers for reception wait for frames, so nobody need tell of them.
            if let Some(queue) = queues.get_mut(index) {
                queue.mute(dma);
            }
            false
        }
    }

    fn transmit(&mut self, index: usize, queues: &mut [Queue], dma: &Dma) -> bool {
        let mut storage = [Segment::EMPTY; SEGMENTS];
        for _ in 0..BUDGET {
            let Some(queue) = queues.get_mut(index) else {
                return false;
            };
            queue.mute(dma);
            let Some(chain) = queue.pop(dma, &mut storage) else {
                if queue.listen(dma) {
                    continue;
                }
                return false;
            };
            let frame = read_frame(chain.reader(dma));
            queue.complete(dma, chain.into_token(), 0);
            match frame {
                Some(frame) => self.send(index / 2, frame, queues, dma),
                None => self.frames.malformed += 1,
            }
            // A loop may have met a receive queue that stops the device.
            if queues.iter().any(Queue::failed) {
                return false;
            }
        }
        true
    }

    fn send(&mut self, pair: usize, frame: Vec<u8>, queues: &mut [Queue], dma: &Dma) {
        self.frames.sent += 1;
        if !self.up {
            self.frames.dropped += 1;
        } else if self.link.is_loop() {
            self.receive(pair, &frame, queues, dma);
        } else if !self.link.send(&frame) {
            self.frames.dropped += 1;
        }
    }

    /// Puts a frame that arrived into a receive queue; a queue that is not in use stands for
    /// that of the first pair.
    pub fn receive(&mut self, pair: usize, frame: &[u8], queues: &mut [Queue], dma: &Dma) {
        if !self.is_for_us(frame) {
            self.frames.filtered += 1;
            return;
        }
        let pair = if pair < usize::from(self.used_pairs) {
            pair
        } else {
            0
        };
        let stored = queues
            .get_mut(2 * pair)
            .filter(|_| self.up && self.fits(frame))
            .is_some_and(|queue| store(queue, frame, dma));
        if stored {
            self.frames.received += 1;
        } else {
            self.frames.dropped += 1;
        }
    }

    /// Whether a frame is one that the driver is ready for: none is longer than the MTU and its own
    /// header, if there is one (section 5.1.4.1).
    fn fits(&self, frame: &[u8]) -> bool {
        let header = match frame.get(12..14) {
            Some(TAGGED) => MIN_FRAME + TAG,
            _ => MIN_FRAME,
        };
        let agreed = self.negotiated & (1 << VIRTIO_NET_F_MTU) != 0;
        let mtu = self.mtu.filter(|_| agreed);
        mtu.is_none_or(|mtu| frame.len() <= header + usize::from(mtu))
    }

    /// Addressed to this station, or to several.
    fn is_for_us(&self, frame: &[u8]) -> bool {
        match frame.first_chunk::<6>() {
            Some(destination) => destination[0] & 1 != 0 || *destination == self.mac,
            None => false,
        }
    }
}

fn read_frame<M: Memory>(mut reader: Reader<'_, M>) -> Option<Vec<u8>> {
    // No offload was offered, so the header says nothing.
    if reader.skip(HEADER as u64) != HEADER as u64 {
        return None;
    }
    let len = usize::try_from(reader.remaining()).ok()?;
    if !(MIN_FRAME..=MAX_FRAME).contains(&len) {
        return None;
    }
    let mut frame = vec![0; len];
    reader.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// Puts a frame into the next chain that takes it. One that cannot is given back with nothing in
/// it, which says that nothing was received.
fn store(queue: &mut Queue, frame: &[u8], dma: &Dma) -> bool {
    let mut storage = [Segment::EMPTY; SEGMENTS];
    for _ in 0..queue.size {
        let Some(chain) = queue.pop(dma, &mut storage) else {
            return false;
        };
        let written = fill(&chain, frame, dma);
        queue.complete(dma, chain.into_token(), written.unwrap_or(0));
        if written.is_ok() {
            return true;
        }
    }
    false
}

/// Writes a frame and returns how much that is.
fn fill(chain: &Chain<'_>, frame: &[u8], dma: &Dma) -> Result<u32, CursorError> {
    let wanted = (HEADER + frame.len()) as u64;
    let remaining = chain.writable_len();
    if remaining < wanted {
        return Err(CursorError::Short { wanted, remaining });
    }
    let mut header = [0; HEADER];
    // The number of buffers that the frame takes.
    header[10] = 1;
    let mut writer = chain.writer(dma);
    writer.write_array(header)?;
    writer.write_all(frame)?;
    Ok(writer.written())
}
