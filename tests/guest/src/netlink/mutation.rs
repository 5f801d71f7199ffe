// SPDX-License-Identifier: GPL-2.0

//! Good messages, made bad by chance.

use super::message::ATTRIBUTES;
use super::{align, ATTRIBUTE_HEADER, MESSAGE_HEADER};
use crate::random::Random;

/// Values that are at the edge of something.
const BYTES: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, b'/'];
const WORDS: [u16; 14] = [
    0, 1, 2, 3, 4, 5, 8, 67, 0x7fff, 0x8000, 0x8004, 0x4004, 0xfffe, 0xffff,
];

/// Longest message to make.
const LIMIT: usize = 100_000;

/// The offsets of the attributes in a message, as far as they make sense.
fn offsets(message: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = ATTRIBUTES;

    while let Some(&[a, b]) = message.get(at..at + 2) {
        let len = usize::from(u16::from_ne_bytes([a, b]));

        found.push(at);
        at += align(len.max(ATTRIBUTE_HEADER));
    }
    found
}

fn put(message: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = message.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// The bytes of the attribute at `at`, with its padding.
fn attribute(message: &[u8], at: usize) -> std::ops::Range<usize> {
    let len = match message.get(at..at + 2) {
        Some(&[a, b]) => usize::from(u16::from_ne_bytes([a, b])),
        _ => 0,
    };
    let end = at.saturating_add(align(len.max(ATTRIBUTE_HEADER)));

    at.min(message.len())..end.min(message.len())
}

/// Changes a message in one to four ways.
///
/// The type of the message stays, so that it is for the same family: what other families do with
/// such messages is not the question.
pub fn mutate(random: &mut Random, message: &mut Vec<u8>) {
    let kind = message.get(4..6).map(<[u8]>::to_vec);

    for _ in 0..=random.below(4) {
        once(random, message);
        message.truncate(LIMIT);
    }
    // Most of the time let the length be right, or the kernel would look at nothing else.
    if random.below(8) != 0 {
        let len = message.len() as u32;

        put(message, 0, &len.to_ne_bytes());
    }
    // What was cut off may have been made again of something else.
    if let Some(kind) = kind {
        put(message, 4, &kind);
    }
    if message.is_empty() {
        message.push(0);
    }
}

fn once(random: &mut Random, message: &mut Vec<u8>) {
    let offsets = offsets(message);
    // An attribute, or the place where the first would be.
    let at = offsets
        .get(random.index(offsets.len()))
        .copied()
        .unwrap_or(ATTRIBUTES);

    match random.below(12) {
        // One bit, or one byte, behind the header.
        0 | 1 => {
            let place = MESSAGE_HEADER + random.index(message.len().saturating_sub(MESSAGE_HEADER));
            if let Some(byte) = message.get_mut(place) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => {
            let place = MESSAGE_HEADER + random.index(message.len().saturating_sub(MESSAGE_HEADER));
            put(message, place, &[random.pick(&BYTES)]);
        }
        // An attribute's length, or type.
        3 => put(message, at, &random.pick(&WORDS).to_ne_bytes()),
        4 => put(message, at + 2, &(random.below(40) as u16).to_ne_bytes()),
        5 => put(message, at + 2, &random.pick(&WORDS).to_ne_bytes()),
        // An attribute is lost, or comes twice.
        6 => {
            message.drain(attribute(message, at));
        }
        7 => {
            let copy = message[attribute(message, at)].to_vec();
            message.extend(copy);
        }
        // An attribute that nobody asked for, of any length.
        8 => {
            let longest = random.pick(&[40, 40, 40, 5000]);
            let mut value = vec![0; random.index(longest)];

            random.fill(&mut value);
            message.extend(((ATTRIBUTE_HEADER + value.len()) as u16).to_ne_bytes());
            message.extend((random.below(40) as u16).to_ne_bytes());
            message.extend(value);
            message.resize(align(message.len()), 0);
        }
        // The end is lost.
        9 => message.truncate(random.index(message.len() + 1)),
        // The header: command, flags, length.
        10 => put(message, MESSAGE_HEADER, &[random.below(12) as u8]),
        _ => match random.below(4) {
            0 => put(message, 6, &(random.next() as u16).to_ne_bytes()),
            1 => put(message, 6, &(5 | random.pick(&[0u16, 0x300])).to_ne_bytes()),
            2 => put(message, 0, &u32::from(random.pick(&WORDS)).to_ne_bytes()),
            _ => put(message, 0, &(random.next() as u32).to_ne_bytes()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;

    fn message() -> Vec<u8> {
        Message::generic(0x20, 5, 3, 1)
            .string(1, "abcd")
            .attribute(2, &[1, 2])
            .finish(1)
    }

    #[test]
    fn attributes_are_found() {
        assert_eq!(offsets(&message()), [20, 32]);
        assert_eq!(attribute(&message(), 20), 20..32);
        assert_eq!(offsets(&message()[..10]), []);
    }

    #[test]
    fn anything_can_be_mutated_and_keeps_its_family() {
        let mut random = Random::new(1);

        for _ in 0..20_000 {
            let mut bytes = message();

            mutate(&mut random, &mut bytes);
            assert!(!bytes.is_empty() && bytes.len() <= LIMIT);
            if bytes.len() >= 6 {
                assert_eq!(bytes[4..6], [0x20, 0]);
            }
        }
    }
}
