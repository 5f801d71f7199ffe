// SPDX-License-Identifier: GPL-2.0

//! Values that are wrong, mostly by a little.

use checks::random::Random;
use vhost_client::ring::Segment;

use super::arena::{BASE, HOLE, LEN};

/// An address that is not meant.
pub fn addr(random: &mut Random) -> u64 {
    let any = random.next();

    random.pick(&[
        0,
        1,
        BASE,
        BASE - 1,
        BASE + LEN,
        BASE + LEN - 1,
        BASE + any % LEN,
        HOLE,
        1 << 63,
        u64::MAX,
        u64::MAX - 15,
        u64::MAX - 4095,
        any,
    ])
}

/// A length that is not meant.
pub fn len(random: &mut Random) -> u32 {
    let any = random.next() as u32;

    random.pick(&[
        0,
        1,
        11,
        12,
        13,
        15,
        16,
        17,
        511,
        512,
        4095,
        4096,
        4097,
        LEN as u32,
        LEN as u32 + 1,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fff0,
        u32::MAX,
        any,
        any % LEN as u32,
    ])
}

/// Something of 16 bits that is not meant: flags, an index.
pub fn word(random: &mut Random) -> u16 {
    let any = random.next() as u16;

    random.pick(&[
        0, 1, 2, 3, 4, 5, 6, 7, 255, 256, 257, 0x7fff, 0x8000, 0xffff, any,
    ])
}

/// Makes something of a chain wrong.
pub fn spoil(chain: &mut Vec<Segment>, random: &mut Random) {
    if chain.is_empty() {
        return;
    }
    let at = random.index(chain.len());

    match random.below(10) {
        0 => {
            // Without a place for what the device has to say.
            chain.pop();
        }
        1 => {
            chain.remove(0);
        }
        2 => chain[at].write = !chain[at].write,
        3 | 4 => chain[at].len = len(random),
        5 | 6 => chain[at].addr = addr(random),
        7 => {
            let again = chain[at];
            let count = random.pick(&[1, 2, 30, 255]);
            chain.splice(at..at, std::iter::repeat_n(again, count));
        }
        8 => {
            // As much as there can be, in one buffer or in some.
            let all = Segment {
                addr: BASE,
                len: LEN as u32,
                write: chain[at].write,
            };
            let count = random.pick(&[1, 2, 8]);
            chain.splice(at..=at, std::iter::repeat_n(all, count));
        }
        _ => random.shuffle(chain),
    }
}
