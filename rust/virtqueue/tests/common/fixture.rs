// SPDX-License-Identifier: GPL-2.0

//! A small ring, to be filled by hand.

use virtqueue::{ChainError, PopError, Ring, Segment, Split, SplitConfig};

use super::ram::Ram;

pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;

pub const SIZE: u16 = 4;
pub const DESC: u64 = 0x1_0000;
pub const AVAIL: u64 = 0x1_0100;
pub const USED: u64 = 0x1_0200;
/// An indirect table.
pub const TABLE: u64 = 0x1_0400;
/// Buffers.
pub const DATA: u64 = 0x1_1000;

pub const CONFIG: SplitConfig = SplitConfig {
    size: SIZE as u32,
    desc: DESC,
    avail: AVAIL,
    used: USED,
    event_idx: false,
    indirect: true,
};

pub fn ram() -> Ram {
    Ram::new(DESC, 0x4000)
}

pub fn setup(config: SplitConfig) -> (Ram, Split) {
    (ram(), Split::new(&config).unwrap())
}

/// Enters a head into the available ring and exposes it.
pub fn offer(ram: &Ram, head: u16) {
    let index = ram.peek16(AVAIL + 2);
    ram.poke16(AVAIL + 4 + 2 * u64::from(index % SIZE), head);
    ram.poke16(AVAIL + 2, index.wrapping_add(1));
}

/// Writes descriptor `index` of the ring.
pub fn descriptor(ram: &Ram, index: u16, addr: u64, len: u32, flags: u16, next: u16) {
    ram.poke_descriptor(DESC + 16 * u64::from(index), addr, len, flags, next);
}

/// Writes descriptor `index` of the indirect table.
pub fn indirect(ram: &Ram, index: u16, addr: u64, len: u32, flags: u16, next: u16) {
    ram.poke_descriptor(TABLE + 16 * u64::from(index), addr, len, flags, next);
}

/// Takes a bad chain that starts at descriptor 0, gives it back, checks that the driver gets it,
/// and that the chain after it is taken as if nothing had been. Returns the rule.
#[track_caller]
pub fn bad_chain(ram: &Ram, ring: &mut Split, segments: usize) -> ChainError {
    let mut storage = vec![Segment::EMPTY; segments];
    offer(ram, 0);
    let bad = match ring.pop(ram, &mut storage) {
        Err(PopError::Chain(bad)) => bad,
        other => panic!("expected a bad chain, got {other:?}"),
    };
    assert_eq!(bad.token.id(), 0);
    assert_eq!(ring.in_flight(), 1);
    assert!(bad.to_string().starts_with("chain 0: "));
    let error = bad.error;
    ring.complete(ram, bad.token, 0).unwrap();
    ring.publish(ram).unwrap();
    assert_eq!(ram.peek16(USED + 2), 1);
    assert_eq!(ram.peek32(USED + 4), 0);
    assert_eq!(ram.peek32(USED + 8), 0);

    descriptor(ram, 3, DATA, 8, 0, 0);
    offer(ram, 3);
    let chain = ring.pop(ram, &mut storage).unwrap().unwrap();
    assert_eq!((chain.id(), chain.readable_len()), (3, 8));
    ring.complete(ram, chain.into_token(), 0).unwrap();
    assert_eq!(ring.broken(), None);
    error
}
