// SPDX-License-Identifier: GPL-2.0

//! The block device (virtio 1.3, section 5.2): a disk in this process's memory.

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_ID_BYTES, VIRTIO_BLK_S_IOERR,
    VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN,
    VIRTIO_BLK_T_OUT,
};
use virtqueue::{Chain, CursorError, Reader, Segment, Writer};

use crate::dma::Dma;
use crate::queue::Queue;
use crate::settings::Settings;

/// Bytes of a sector, the unit of all numbers.
const SECTOR: u64 = 512;
/// Data buffers of a request at most.
const MAX_SEGMENTS: u32 = 126;
/// Requests that are handled before other queues get their turn.
const BUDGET: usize = 64;
/// What the disk says that it is.
const SERIAL: &[u8] = b"ifcvf-model";

/// Requests that were handled.
#[derive(Default)]
pub struct Requests {
    /// Executed.
    pub done: u64,
    /// Answered with an error.
    pub failed: u64,
}

/// A block device.
pub struct Blk {
    disk: Vec<u8>,
    /// What was negotiated.
    negotiated: u64,
    /// What came of requests.
    pub requests: Requests,
}

impl Blk {
    /// A block device as the settings want it, filled with zeroes.
    pub fn new(settings: &Settings) -> Self {
        Self {
            disk: vec![0; (settings.disk as usize) << 20],
            negotiated: 0,
            requests: Requests::default(),
        }
    }

    /// The driver is ready, and these features were negotiated.
    pub fn start(&mut self, negotiated: u64) {
        self.negotiated = negotiated;
    }

    /// Features of a block device.
    pub fn features(&self) -> u64 {
        (1 << VIRTIO_BLK_F_SEG_MAX) | (1 << VIRTIO_BLK_F_FLUSH)
    }

    /// The device's configuration: capacity, largest segment (not limited), number of segments.
    pub fn config(&self) -> Vec<u8> {
        let mut bytes = (self.disk.len() as u64 / SECTOR).to_le_bytes().to_vec();
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(MAX_SEGMENTS.to_le_bytes());
        bytes
    }

    /// Handles requests, and says whether there may be more.
    pub fn run(&mut self, index: usize, queues: &mut [Queue], dma: &Dma) -> bool {
        let Some(queue) = queues.get_mut(index) else {
            return false;
        };
        let mut storage = [Segment::EMPTY; MAX_SEGMENTS as usize + 2];
        for _ in 0..BUDGET {
            queue.mute(dma);
            let Some(chain) = queue.pop(dma, &mut storage) else {
                if queue.listen(dma) {
                    continue;
                }
                return false;
            };
            let outcome = self.request(&chain, dma);
            let token = chain.into_token();
            match outcome {
                Ok(written) => queue.complete(dma, token, written),
                Err(error) => queue.keep(token, error),
            }
        }
        true
    }

    /// Executes a request and returns how many bytes were written; an error if the driver cannot be
    /// told what came of it.
    fn request(&mut self, chain: &Chain<'_>, dma: &Dma) -> Result<u32, CursorError> {
        let mut reader = chain.reader(dma);
        // The last byte is the status.
        let (mut data, mut status) = chain.writer(dma).split_tail(1).ok_or(CursorError::Short {
            wanted: 1,
            remaining: 0,
        })?;
        let result = match reader.read_array::<16>() {
            Ok(header) => self.execute(header, &mut reader, &mut data),
            Err(_) => VIRTIO_BLK_S_IOERR,
        };
        status.write_array([result as u8])?;
        if result == VIRTIO_BLK_S_OK {
            self.requests.done += 1;
        } else {
            self.requests.failed += 1;
        }
        // Only what is written without a gap counts.
        let filled = u32::from(data.remaining() == 0);
        Ok(data.written().saturating_add(filled))
    }

    fn execute(
        &mut self,
        header: [u8; 16],
        reader: &mut Reader<'_, Dma>,
        data: &mut Writer<'_, Dma>,
    ) -> u32 {
        let [a, b, c, d, _, _, _, _, sector @ ..] = header;
        let kind = u32::from_le_bytes([a, b, c, d]);
        let sector = u64::from_le_bytes(sector);
        let flushes = self.negotiated & (1 << VIRTIO_BLK_F_FLUSH) != 0;
        // What the driver sends, and what it wants to have: of each request one at most.
        let (sent, wanted) = (reader.remaining(), data.remaining());
        let done = match kind {
            VIRTIO_BLK_T_IN if sent == 0 => self
                .part(sector, wanted)
                .is_some_and(|part| data.write_all(part).is_ok()),
            VIRTIO_BLK_T_OUT if wanted == 0 => self
                .part(sector, sent)
                .is_some_and(|part| reader.read_exact(part).is_ok()),
            VIRTIO_BLK_T_FLUSH if flushes => true,
            VIRTIO_BLK_T_GET_ID if sent == 0 && wanted != 0 => {
                let mut id = [0; VIRTIO_BLK_ID_BYTES as usize];
                id[..SERIAL.len()].copy_from_slice(SERIAL);
                data.write(&id).is_ok()
            }
            // The data points the wrong way.
            VIRTIO_BLK_T_IN | VIRTIO_BLK_T_OUT | VIRTIO_BLK_T_GET_ID => false,
            _ => return VIRTIO_BLK_S_UNSUPP,
        };
        if done {
            VIRTIO_BLK_S_OK
        } else {
            VIRTIO_BLK_S_IOERR
        }
    }

    /// That many bytes of the disk, whole sectors within it.
    fn part(&mut self, sector: u64, len: u64) -> Option<&mut [u8]> {
        let start = usize::try_from(sector.checked_mul(SECTOR)?).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        if len % SECTOR != 0 {
            return None;
        }
        self.disk.get_mut(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let mut blk = Blk::new(&Settings::parse("s,card=c5000x-blk,disk=1").unwrap());
        assert_eq!(blk.config()[..8], 2048u64.to_le_bytes());
        assert_eq!(blk.part(2047, 512).unwrap().len(), 512);
        for (sector, len) in [
            (2047, 1024),
            (2048, 512),
            (0, 511),
            (u64::MAX, 512),
            (1, u64::MAX),
        ] {
            assert!(blk.part(sector, len).is_none(), "{sector} {len}");
        }
    }
}
