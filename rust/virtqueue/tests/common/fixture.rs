// SPDX-License-Identifier: GPL-2.0

//! A small ring, to be filled by hand.

use virtqueue::{Broken, ChainError, Ring, RingError, Segment, Split, SplitConfig};

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

/// Takes a good chain, and then one that starts at descriptor 0 and breaks a rule. Checks that it
/// breaks the ring and stays where it is, that the good one can still be given back, and that a new
/// start takes what is then there. Returns the rule.
#[track_caller]
pub fn bad_chain(ram: &Ram, ring: &mut Split, segments: usize) -> ChainError {
    let mut storage = vec![Segment::EMPTY; segments];
    let own = ram.peek(DESC + 16 * 3, 16);
    descriptor(ram, 3, DATA, 8, 0, 0);
    offer(ram, 3);
    let good = ring.pop(ram, &mut storage).unwrap().unwrap().into_token();
    ram.poke(DESC + 16 * 3, &own);

    offer(ram, 0);
    let broken = match ring.pop(ram, &mut storage) {
        Err(RingError::Broken(broken)) => broken,
        other => panic!("expected a broken ring, got {other:?}"),
    };
    let Broken::Chain { head: 0, error } = broken else {
        panic!("expected a bad chain, got {broken:?}");
    };
    assert!(broken.to_string().starts_with("chain 0: "));
    let accesses = ram.accesses();
    assert_eq!(
        ring.pop(ram, &mut storage).unwrap_err(),
        RingError::Broken(broken)
    );
    assert_eq!(ram.accesses(), accesses, "nothing more is looked at");
    assert_eq!((ring.in_flight(), ring.state().avail_index), (1, 1));

    // The driver gets what was taken before, and nothing of the bad one.
    ring.complete(ram, good, 7).unwrap();
    ring.publish(ram).unwrap();
    assert!(ring.needs_notification(ram));
    assert_eq!(ram.peek16(USED + 2), 1);
    assert_eq!((ram.peek32(USED + 4), ram.peek32(USED + 8)), (3, 7));
    assert_eq!((ram.peek32(USED + 12), ram.peek32(USED + 16)), (0, 0));
    assert_eq!(ring.broken(), Some(broken));

    // A driver may put it right, but that counts only when it starts anew.
    descriptor(ram, 0, DATA, 8, 0, 0);
    assert!(ring.pop(ram, &mut storage).is_err());
    ring.set_state(ring.state());
    let chain = ring.pop(ram, &mut storage).unwrap().unwrap();
    assert_eq!((chain.id(), chain.readable_len()), (0, 8));
    ring.complete(ram, chain.into_token(), 0).unwrap();
    assert_eq!(ring.broken(), None);
    error
}
