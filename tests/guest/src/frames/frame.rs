// SPDX-License-Identifier: GPL-2.0

//! What the frames hold: numbers, and contents that are known from them.

use anyhow::{ensure, Result};

use crate::random::mix;

/// Length of a MAC address.
pub const ADDRESS: usize = 6;

/// The EtherType for local experiments (IEEE 802, 88-B5).
pub const ETHERTYPE: u16 = 0x88b5;

/// Where the stream's number begins; it tells one run from the next.
const STREAM: usize = 14;

/// Where the sequence number begins. Both are 64 bits in network byte order.
const SEQUENCE: usize = STREAM + 8;

/// Where the contents begin.
const CONTENTS: usize = SEQUENCE + 8;

/// The shortest frame: two bytes of contents.
pub const MIN_LENGTH: usize = 32;

/// The longest frame: 9,000 bytes and a header.
pub const MAX_LENGTH: usize = 9014;

/// What the frames of one run have in common.
#[derive(Clone, Copy)]
pub struct Format {
    /// To whom they go.
    pub destination: [u8; ADDRESS],
    /// From whom they come.
    pub source: [u8; ADDRESS],
    /// The number of the run.
    pub stream: u64,
}

impl Format {
    /// Writes a frame that fills `bytes`, at least [`MIN_LENGTH`] of them.
    pub fn write(&self, bytes: &mut [u8], sequence: u64) {
        bytes[..6].copy_from_slice(&self.destination);
        bytes[6..12].copy_from_slice(&self.source);
        bytes[12..STREAM].copy_from_slice(&ETHERTYPE.to_be_bytes());
        bytes[STREAM..SEQUENCE].copy_from_slice(&self.stream.to_be_bytes());
        self.renumber(bytes, sequence);
        for (index, chunk) in bytes[CONTENTS..].chunks_mut(8).enumerate() {
            chunk.copy_from_slice(&self.contents(sequence, index)[..chunk.len()]);
        }
    }

    /// Changes the sequence number of a frame only.
    pub fn renumber(&self, bytes: &mut [u8], sequence: u64) {
        bytes[SEQUENCE..CONTENTS].copy_from_slice(&sequence.to_be_bytes());
    }

    /// The contents, eight bytes at a time.
    fn contents(&self, sequence: u64, index: usize) -> [u8; 8] {
        mix(mix(self.stream ^ sequence.rotate_left(32)).wrapping_add(index as u64)).to_ne_bytes()
    }

    /// Reads a frame's sequence number. `None` if it is not a frame of this run.
    pub fn sequence(&self, bytes: &[u8]) -> Option<u64> {
        let number = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));

        (number(STREAM)? == self.stream).then(|| number(SEQUENCE))?
    }

    /// Fails unless `bytes` are the frame with this sequence number, and nothing else.
    pub fn check(&self, bytes: &[u8], sequence: u64, size: usize) -> Result<()> {
        ensure!(
            bytes.len() == size,
            "frame {sequence} is {} bytes long instead of {size}",
            bytes.len()
        );
        ensure!(
            bytes[..6] == self.destination && bytes[6..12] == self.source,
            "the addresses of frame {sequence} are {:02x?}",
            &bytes[..12]
        );
        for (index, chunk) in bytes[CONTENTS..].chunks(8).enumerate() {
            let expected = self.contents(sequence, index);

            ensure!(
                *chunk == expected[..chunk.len()],
                "frame {sequence} differs from byte {}: {chunk:02x?} instead of {:02x?}",
                CONTENTS + 8 * index,
                &expected[..chunk.len()]
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format {
        destination: [2, 0, 0, 0, 0, 1],
        source: [2, 0, 0, 0, 0, 2],
        stream: 7,
    };

    #[test]
    fn a_frame_is_what_it_was() {
        for size in [MIN_LENGTH, 33, 64, 1514] {
            let mut bytes = vec![0; size];
            FORMAT.write(&mut bytes, 5);
            assert_eq!(FORMAT.sequence(&bytes), Some(5));
            assert!(FORMAT.check(&bytes, 5, size).is_ok());
            assert!(FORMAT.check(&bytes, 6, size).is_err());
            assert!(FORMAT.check(&bytes, 5, size + 1).is_err());
        }
    }

    #[test]
    fn every_byte_of_the_contents_counts() {
        let mut bytes = vec![0; 67];
        FORMAT.write(&mut bytes, 5);
        for place in (0..12).chain(CONTENTS..67) {
            bytes[place] ^= 1;
            assert!(FORMAT.check(&bytes, 5, 67).is_err(), "{place}");
            bytes[place] ^= 1;
        }
    }

    #[test]
    fn frames_of_others_are_not_ours() {
        let mut bytes = vec![0; 64];
        Format {
            stream: 8,
            ..FORMAT
        }
        .write(&mut bytes, 5);
        assert_eq!(FORMAT.sequence(&bytes), None);
        assert_eq!(FORMAT.sequence(&bytes[..20]), None);
    }
}
