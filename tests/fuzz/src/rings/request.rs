// SPDX-License-Identifier: GPL-2.0

//! What a driver could ask of a device: chains that are right, for now.

use anyhow::Result;
use checks::random::Random;
use vhost_client::net::{CVQ, RX};
use vhost_client::ring::Segment;

use super::arena::{Arena, BASE, BUFFERS, LEN};

/// What is in front of a frame, `struct virtio_net_hdr_v1`.
const NET_HEADER: u64 = 12;
/// `struct virtio_blk_outhdr`.
const BLK_HEADER: usize = 16;
/// Sectors of the simulators' disk.
const SECTORS: u64 = 0x4_0000;
const SECTOR: u64 = 512;
/// The most segments of a chain that the simulators take.
const MOST_SEGMENTS: usize = 256;

/// Kinds of block requests that there are (virtio 1.3, section 5.2.6), and some that there are not.
const BLK_KINDS: [u32; 14] = [0, 0, 0, 1, 1, 1, 4, 8, 10, 11, 13, 14, 15, u32::MAX];

/// Commands for a network device, by class (virtio 1.3, section 5.1.6.5): receive mode, MAC
/// addresses, VLANs, announcements, queue pairs, offloads, and none.
const CLASSES: [u8; 9] = [0, 1, 1, 1, 2, 3, 4, 5, 0xff];

/// A kind of queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Receive,
    Transmit,
    Control,
    Block,
}

impl Kind {
    /// The kind of a queue of a device.
    pub fn of(net: bool, index: u32) -> Self {
        match (net, index) {
            (false, _) => Self::Block,
            (true, RX) => Self::Receive,
            (true, CVQ) => Self::Control,
            (true, _) => Self::Transmit,
        }
    }

    /// As much as can be asked for at once: each buffer is all of the memory behind the rings. The
    /// disk has no more than 128 MiB.
    pub fn longest(self, arena: &Arena, random: &mut Random) -> Result<Vec<Segment>> {
        let all = |write| Segment {
            addr: BASE + BUFFERS,
            len: (LEN - BUFFERS) as u32,
            write,
        };
        let disk = (SECTORS * SECTOR / (LEN - BUFFERS)) as usize;

        Ok(match self {
            Self::Receive => vec![all(true); MOST_SEGMENTS],
            Self::Transmit => {
                let mut start = [0xff; 18];
                start[..NET_HEADER as usize].fill(0);
                let mut chain = vec![bytes(arena, random, &start)?];
                chain.extend(vec![all(false); MOST_SEGMENTS - 2]);
                chain
            }
            Self::Control => vec![all(false), all(true)],
            Self::Block => {
                let mut chain = vec![bytes(arena, random, &[0; BLK_HEADER])?];
                chain.extend(vec![all(true); disk]);
                chain.extend(pieces(arena, random, 1, true)?);
                chain
            }
        })
    }

    /// A request for such a queue, whose bytes are in memory.
    pub fn request(self, arena: &Arena, random: &mut Random) -> Result<Vec<Segment>> {
        match self {
            Self::Receive => {
                let len = random.pick(&[0, 11, 12, 60, 1526, 4096, 0x1_0000]);

                pieces(arena, random, len, true)
            }
            Self::Transmit => transmit(arena, random),
            Self::Control => control(arena, random),
            Self::Block => block(arena, random),
        }
    }
}

/// Buffers of so many bytes in all.
fn pieces(arena: &Arena, random: &mut Random, len: u64, write: bool) -> Result<Vec<Segment>> {
    let mut chain = Vec::new();
    let mut left = len;

    loop {
        let part = match random.below(3) {
            0 => random.below(left + 1),
            _ => left,
        };
        let (_, addr) = arena.buffer(random, part, write);

        chain.push(Segment {
            addr,
            len: part as u32,
            write,
        });
        left -= part;
        if left == 0 || chain.len() > 20 {
            return Ok(chain);
        }
    }
}

/// A buffer with these bytes, for the device to read.
fn bytes(arena: &Arena, random: &mut Random, bytes: &[u8]) -> Result<Segment> {
    let (own, addr) = arena.buffer(random, bytes.len() as u64, false);

    arena.memory.write(own, bytes)?;
    Ok(Segment::read(addr, bytes.len()))
}

fn transmit(arena: &Arena, random: &mut Random) -> Result<Vec<Segment>> {
    let len = random.pick(&[0, 5, 6, 14, 60, 1514, 4084, 4085, 0xffff]);
    let mut start = vec![0; (NET_HEADER + len).min(64) as usize];

    // To all, or to somebody.
    if let Some(to) = start.get_mut(NET_HEADER as usize..NET_HEADER as usize + 6) {
        match random.below(3) {
            0 => random.fill(to),
            _ => to.fill(0xff),
        }
    }
    let rest = NET_HEADER + len - start.len() as u64;
    let mut chain = vec![bytes(arena, random, &start)?];

    if rest != 0 {
        chain.extend(pieces(arena, random, rest, false)?);
    }
    Ok(chain)
}

fn control(arena: &Arena, random: &mut Random) -> Result<Vec<Segment>> {
    let mut command = vec![random.pick(&CLASSES), random.below(3) as u8];
    let mut data = vec![0; random.pick(&[0, 1, 2, 4, 5, 6, 6, 6, 7, 64])];

    random.fill(&mut data);
    command.extend(data);
    // Truncated, or in two.
    command.truncate(random.pick(&[1, 2, 8, 8, 8, 100]));
    let at = random.index(command.len());
    let (first, second) = command.split_at(at);
    let mut chain = Vec::new();

    for part in [first, second] {
        chain.push(bytes(arena, random, part)?);
    }
    chain.extend(pieces(arena, random, 1, true)?);
    Ok(chain)
}

fn block(arena: &Arena, random: &mut Random) -> Result<Vec<Segment>> {
    let kind = random.pick(&BLK_KINDS);
    let any = random.next();
    let sector = match kind {
        0 | 1 => random.pick(&[0, any % SECTORS, any % SECTORS, SECTORS - 1, SECTORS, any]),
        _ => random.pick(&[0, 0, 0, 1]),
    };
    let mut header = [0; BLK_HEADER];

    header[..4].copy_from_slice(&kind.to_le_bytes());
    header[8..].copy_from_slice(&sector.to_le_bytes());
    let mut chain = vec![bytes(arena, random, &header)?];
    let len = random.pick(&[
        0,
        1,
        SECTOR - 1,
        SECTOR,
        SECTOR,
        8 * SECTOR,
        8 * SECTOR,
        64 * SECTOR,
        SECTOR + 1,
    ]);

    match kind {
        // `struct virtio_blk_discard_write_zeroes`, or not quite.
        11 | 13 => {
            let mut range = [0; 20];
            range[..8].copy_from_slice(&(any % (SECTORS + 8)).to_le_bytes());
            let count = random.pick(&[0, 1, 8, 4096, SECTORS as u32, u32::MAX]);
            range[8..12].copy_from_slice(&count.to_le_bytes());
            range[12] = random.pick(&[0, 0, 1, 2]);
            let len = random.pick(&[16, 16, 16, 15, 20]);
            chain.push(bytes(arena, random, &range[..len])?);
        }
        1 => chain.extend(pieces(arena, random, len, false)?),
        8 => chain.extend(pieces(arena, random, random_id_len(any), true)?),
        _ => chain.extend(pieces(arena, random, len, true)?),
    }
    chain.extend(pieces(arena, random, 1, true)?);
    Ok(chain)
}

/// Room for the name of a disk, which has 20 bytes.
fn random_id_len(any: u64) -> u64 {
    [20, 20, 19, 21][(any % 4) as usize]
}
