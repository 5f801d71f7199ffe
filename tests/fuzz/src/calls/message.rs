// SPDX-License-Identifier: GPL-2.0

//! Messages about mappings: mostly of the memory of a thread to where it wants devices to see it.

use checks::random::Random;
use vhost_client::iotlb::{self, kind, Format, Message};
use vhost_client::sys::PAGE;

use super::action::{Action, Bytes};
use super::argument::number;
use super::layout::{self, Home};
use crate::sys::PIECE;

/// Maps a whole piece where the thread wants it.
pub fn piece(home: &Home, asid: u32, piece: usize, perm: u8) -> Message {
    let offset = (piece * PIECE) as u64;

    Message::update(
        asid,
        home.iova + offset,
        PIECE as u64,
        home.address + offset,
        perm,
    )
}

/// An address space: that of data, that of commands, or none.
pub fn space(random: &mut Random) -> u32 {
    match random.below(16) {
        0 => number(random) as u32,
        1..=4 => 1,
        _ => 0,
    }
}

/// A part of the memory of a thread: mostly of whole pages, and within a piece.
fn part(random: &mut Random) -> (u64, u64) {
    let page = PAGE as u64;
    let offset = random.below(layout::SIZE / page) * page;
    let size = match random.below(4) {
        0 => page,
        1 => (1 + random.below(16)) * page,
        2 => page << random.below(12),
        _ => PIECE as u64,
    };

    match random.below(12) {
        // Not whole pages.
        0 => (offset + random.below(page), 1 + random.below(2 * page)),
        _ => (offset, size),
    }
}

/// A mapping, or something like one.
///
/// Memory that is used otherwise must not be mapped, as the device would write to it: addresses in
/// the process are in the memory of the thread, behind which nothing is, or where nothing can be.
fn update(random: &mut Random, home: &Home) -> Message {
    let (offset, size) = part(random);
    let perm = match random.below(16) {
        0 => random.next() as u8,
        1 | 2 => iotlb::RO,
        3 | 4 => iotlb::WO,
        _ => iotlb::RW,
    };
    let mut message = Message::update(
        space(random),
        home.iova + offset,
        size,
        home.address + offset,
        perm,
    );

    match random.below(20) {
        // Elsewhere than other mappings.
        0..=5 => message.iova ^= 1 << (30 + random.below(12)),
        // At the end of all addresses, or beyond it.
        6 => message.iova = (size - 1 + random.below(3)).wrapping_neg(),
        7 => message.iova = number(random),
        8 => {
            message.size = random.pick(&[0, 1 << 36, 1 << 47, 1 << 63, u64::MAX, u64::MAX - 0xfff])
        }
        9 => message.uaddr = random.pick(&[0, 0x1000, 0xffff]),
        10 => message.uaddr = random.next() | (1 << 63),
        11 => message.uaddr = 1 << 47,
        12 => message.uaddr += random.below(PAGE as u64),
        // Another place of the same memory.
        13 => message.uaddr = home.address + random.below(layout::SIZE / 4096) * 4096,
        _ => (),
    }
    message
}

/// Takes mappings away.
fn invalidate(random: &mut Random, home: &Home) -> Message {
    let (offset, size) = part(random);
    let mut message = Message::invalidate(space(random), home.iova + offset, size);

    match random.below(12) {
        // Everything.
        0 => (message.iova, message.size) = (0, 0),
        1 => (message.iova, message.size) = (0, u64::MAX),
        2 => message.iova = number(random),
        3 => message.size = number(random),
        _ => (),
    }
    message
}

/// A message of any kind.
pub fn any(random: &mut Random, device: usize, home: &Home) -> Action {
    let (name, mut message) = match random.below(16) {
        0..=7 => ("IOTLB update", update(random, home)),
        8..=11 => ("IOTLB invalidate", invalidate(random, home)),
        12 => (
            "IOTLB batch begin",
            Message::new(space(random), kind::BATCH_BEGIN),
        ),
        13 | 14 => (
            "IOTLB batch end",
            Message::new(space(random), kind::BATCH_END),
        ),
        _ => {
            let mut message = update(random, home);
            message.kind = number(random) as u8;
            ("some IOTLB message", message)
        }
    };

    if random.below(4) == 0 {
        message.format = Format::V1;
    }
    send(random, device, name, &message)
}

/// The length of a message of the first format for 32-bit machines.
const PACKED: usize = 68;

/// The same message in that format: without the gap before the first field.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = [&bytes[..4], &bytes[8..]].concat();

    packed.truncate(PACKED);
    packed
}

/// A message that is mostly written as a whole.
fn send(random: &mut Random, device: usize, name: &'static str, message: &Message) -> Action {
    let mut bytes = message.bytes().to_vec();
    let mut name = name;

    match random.below(24) {
        0 => {
            // Not to the length of the packed format, which has addresses elsewhere.
            bytes.truncate(random.index(PACKED));
            name = "some IOTLB message";
        }
        3 if message.format == Format::V1 => bytes = packed(&bytes),
        1 => {
            bytes.resize(random.pick(&[73, 100, 144, 4096]), 0);
            name = "some IOTLB message";
        }
        2 => {
            // The number of the format.
            bytes[0] = number(random) as u8;
            name = "some IOTLB message";
        }
        _ => (),
    }
    let split = match random.below(8) {
        0 => random.index(bytes.len().max(1)),
        _ => 0,
    };
    Action::Message {
        device,
        name,
        bytes: Bytes(bytes),
        split,
    }
}

/// A good message.
pub fn good(device: usize, name: &'static str, message: &Message) -> Action {
    Action::Message {
        device,
        name,
        bytes: Bytes(message.bytes().to_vec()),
        split: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field at an offset of a message.
    fn field(bytes: &[u8], offset: usize) -> u64 {
        bytes
            .get(offset..offset + 8)
            .and_then(|field| field.try_into().ok())
            .map_or(0, u64::from_ne_bytes)
    }

    #[test]
    fn nothing_but_the_memory_of_threads_is_mapped() {
        let home = Home::of(3);
        let mut random = Random::new(1);

        for _ in 0..50_000 {
            let Action::Message { bytes, .. } = any(&mut random, 0, &home) else {
                panic!("not a message");
            };
            let uaddr = field(&bytes.0, if bytes.0.len() == PACKED { 20 } else { 24 });
            let own = (home.address..home.address + layout::SIZE).contains(&uaddr);
            assert!(
                own || !(0x1_0000..1 << 47).contains(&uaddr),
                "{uaddr:#x} may be something else"
            );
        }
    }
}
