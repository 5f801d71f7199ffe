// SPDX-License-Identifier: GPL-2.0

//! Each rule for indirect tables (virtio 1.3, section 2.7.5.3), broken one at a time.

mod common;

use common::{fixture::*, ram::unmapped};
use virtqueue::{ChainError, Ring, RingError, Segment, SplitConfig};

#[test]
fn indirect_tables_must_be_negotiated() {
    let (ram, mut ring) = setup(SplitConfig {
        indirect: false,
        ..CONFIG
    });
    descriptor(&ram, 0, TABLE, 16, INDIRECT, 0);
    indirect(&ram, 0, DATA, 8, 0, 0);
    assert_eq!(
        bad_chain(&ram, &mut ring, 8),
        ChainError::IndirectNotNegotiated
    );
}

#[test]
fn indirect_tables_do_not_nest() {
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, TABLE, 16, INDIRECT, 0);
    indirect(&ram, 0, TABLE, 16, INDIRECT, 0);
    assert_eq!(bad_chain(&ram, &mut ring, 8), ChainError::IndirectNested);
}

#[test]
fn an_indirect_table_is_the_end_of_its_chain() {
    for next in [0, 1] {
        let (ram, mut ring) = setup(CONFIG);
        descriptor(&ram, 0, TABLE, 16, INDIRECT | NEXT, next);
        descriptor(&ram, 1, DATA, 8, 0, 0);
        indirect(&ram, 0, DATA, 8, 0, 0);
        assert_eq!(bad_chain(&ram, &mut ring, 8), ChainError::IndirectNext);
    }
}

#[test]
fn the_length_of_an_indirect_table_is_a_number_of_descriptors() {
    for len in [
        0,
        1,
        15,
        17,
        24,
        31,
        0x10_0010,
        0x10_0001,
        u32::MAX,
        0xffff_fff0,
    ] {
        let (ram, mut ring) = setup(CONFIG);
        descriptor(&ram, 0, TABLE, len, INDIRECT, 0);
        indirect(&ram, 0, DATA, 8, 0, 0);
        let error = bad_chain(&ram, &mut ring, 8);
        assert_eq!(error, ChainError::IndirectLength { len });
    }
    // The largest: `next` reaches all of it, though its end is not there.
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, TABLE, 0x10_0000, INDIRECT, 0);
    indirect(&ram, 0, DATA, 8, NEXT, 0xffff);
    offer(&ram, 0);
    let mut storage = [Segment::EMPTY; 8];
    assert_eq!(
        ring.pop(&ram, &mut storage).unwrap_err(),
        RingError::Fault(unmapped(TABLE + 0xf_fff0))
    );
}

#[test]
fn indirect_tables_end_within_the_address_space() {
    let (ram, mut ring) = setup(CONFIG);
    let addr = u64::MAX - 30;
    descriptor(&ram, 0, addr, 32, INDIRECT, 0);
    let error = bad_chain(&ram, &mut ring, 8);
    assert_eq!(error, ChainError::IndirectWraps { addr, len: 32 });

    // One that just fits, but is not there.
    let addr = u64::MAX - 31;
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, addr, 32, INDIRECT, 0);
    offer(&ram, 0);
    let mut storage = [Segment::EMPTY; 8];
    assert_eq!(
        ring.pop(&ram, &mut storage).unwrap_err(),
        RingError::Fault(unmapped(addr))
    );
}

#[test]
fn the_write_flag_of_an_indirect_descriptor_is_ignored() {
    for flags in [INDIRECT, INDIRECT | WRITE] {
        let (ram, mut ring) = setup(CONFIG);
        descriptor(&ram, 0, TABLE, 32, flags, 0);
        indirect(&ram, 0, DATA, 8, NEXT, 1);
        indirect(&ram, 1, DATA + 8, 8, WRITE, 0);
        offer(&ram, 0);
        let mut storage = [Segment::EMPTY; 2];
        let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
        assert_eq!(chain.readable(), [Segment { addr: DATA, len: 8 }]);
        assert_eq!(
            chain.writable(),
            [Segment {
                addr: DATA + 8,
                len: 8
            }]
        );
        let _ = chain.into_token();
    }
}

#[test]
fn an_indirect_table_may_follow_descriptors_of_the_ring() {
    // Section 2.7.5.3.2 demands it; the table's address need not be aligned.
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, DATA, 1, NEXT, 2);
    descriptor(&ram, 2, DATA + 1, 2, NEXT, 1);
    descriptor(&ram, 1, TABLE + 3, 48, INDIRECT, 0);
    ram.poke_descriptor(TABLE + 3, DATA + 3, 3, NEXT, 2);
    ram.poke_descriptor(TABLE + 3 + 32, DATA + 6, 4, WRITE, 0);
    offer(&ram, 0);
    let mut storage = [Segment::EMPTY; 4];
    let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
    let lens = |segments: &[Segment]| {
        segments
            .iter()
            .map(|segment| segment.len)
            .collect::<Vec<_>>()
    };
    assert_eq!(lens(chain.readable()), [1, 2, 3]);
    assert_eq!(lens(chain.writable()), [4]);
    let _ = chain.into_token();
}

#[test]
fn a_full_table_can_still_end_in_an_indirect_one() {
    let (ram, mut ring) = setup(CONFIG);
    for i in 0..SIZE - 1 {
        descriptor(&ram, i, DATA, 1, NEXT, i + 1);
    }
    descriptor(&ram, SIZE - 1, TABLE, 16, INDIRECT, 0);
    indirect(&ram, 0, DATA, 1, 0, 0);
    offer(&ram, 0);
    let mut storage = [Segment::EMPTY; 4];
    let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
    assert_eq!(chain.readable().len(), 4);
    let _ = chain.into_token();
}

#[test]
fn an_indirect_table_may_be_longer_than_the_queue() {
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, TABLE, 16 * 10, INDIRECT, 0);
    for i in 0..10 {
        indirect(&ram, i, DATA, 1, if i < 9 { NEXT } else { 0 }, i + 1);
    }
    offer(&ram, 0);
    let mut storage = [Segment::EMPTY; 10];
    let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
    assert_eq!(chain.readable_len(), 10);
    let _ = chain.into_token();
}
