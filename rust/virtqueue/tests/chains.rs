// SPDX-License-Identifier: GPL-2.0

//! Each rule for a descriptor chain (virtio 1.3, section 2.7.5), broken one at a time.

mod common;

use common::{fixture::*, ram::Kind};
use virtqueue::{Broken, ChainError, Ring, RingError, Segment};

#[test]
fn next_is_within_the_table() {
    for next in [SIZE, SIZE + 1, 0x7fff, 0xffff] {
        let (ram, mut ring) = setup(CONFIG);
        descriptor(&ram, 0, DATA, 8, NEXT, next);
        let error = bad_chain(&ram, &mut ring, 8);
        assert_eq!(
            error,
            ChainError::Next {
                next,
                limit: SIZE.into()
            }
        );
    }
}

#[test]
fn next_is_within_the_indirect_table() {
    for next in [2, 3, 0xffff] {
        let (ram, mut ring) = setup(CONFIG);
        descriptor(&ram, 0, TABLE, 32, INDIRECT, 0);
        indirect(&ram, 0, DATA, 8, NEXT, next);
        let error = bad_chain(&ram, &mut ring, 8);
        assert_eq!(error, ChainError::Next { next, limit: 2 });
    }
}

#[test]
fn next_has_no_meaning_without_the_flag() {
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, DATA, 8, 0, 0xffff);
    offer(&ram, 0);
    let mut storage = [Segment::EMPTY; 2];
    let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
    assert_eq!(chain.readable(), [Segment { addr: DATA, len: 8 }]);
    let _ = chain.into_token();
}

#[test]
fn flags_that_are_not_defined_have_no_meaning() {
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, DATA, 8, 0xfff8 | NEXT, 1);
    descriptor(&ram, 1, DATA + 8, 8, 0xfff8 | WRITE, 0);
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

#[test]
fn a_loop_ends() {
    for (length, storage) in [(1, 64), (2, 64), (4, 64), (4, 5)] {
        let (ram, mut ring) = setup(CONFIG);
        for i in 0..length {
            descriptor(&ram, i, DATA, 0, NEXT, (i + 1) % length);
        }
        ram.take_log();
        let error = bad_chain(&ram, &mut ring, storage);
        assert_eq!(error, ChainError::TooManyDescriptors { limit: SIZE.into() });
        let reads = ram
            .take_log()
            .iter()
            .filter(|access| access.kind == Kind::Read)
            .count();
        assert_eq!(
            reads,
            1 + usize::from(SIZE) + 1,
            "of the loop, and of the chains before and after it"
        );
    }
}

#[test]
fn a_loop_in_an_indirect_table_ends() {
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, TABLE, 48, INDIRECT, 0);
    indirect(&ram, 0, DATA, 0, NEXT, 1);
    indirect(&ram, 1, DATA, 0, NEXT, 2);
    indirect(&ram, 2, DATA, 0, NEXT, 1);
    let error = bad_chain(&ram, &mut ring, 64);
    assert_eq!(error, ChainError::TooManyDescriptors { limit: 3 });
}

#[test]
fn a_chain_may_have_as_many_descriptors_as_the_queue() {
    let (ram, mut ring) = setup(CONFIG);
    for i in 0..SIZE {
        let flags = if i + 1 < SIZE { NEXT } else { 0 };
        descriptor(&ram, i, DATA, 1, flags, i + 1);
    }
    offer(&ram, 0);
    let mut storage = [Segment::EMPTY; SIZE as usize];
    let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
    assert_eq!(chain.readable().len(), SIZE.into());
    let _ = chain.into_token();
}

#[test]
fn the_storage_bounds_a_chain() {
    for storage in 0..3 {
        let (ram, mut ring) = setup(CONFIG);
        for i in 0..3 {
            let flags = if i < 2 { NEXT } else { WRITE };
            descriptor(&ram, i, DATA, 1, flags, i + 1);
        }
        offer(&ram, 0);
        let mut storage = vec![Segment::EMPTY; storage];
        let limit = storage.len();
        let error = ChainError::TooManySegments { limit };
        assert_eq!(
            ring.pop(&ram, &mut storage).unwrap_err(),
            RingError::Broken(Broken::Chain { head: 0, error })
        );
    }
}

#[test]
fn the_storage_bounds_the_work_for_an_indirect_table() {
    let (ram, mut ring) = setup(CONFIG);
    // 256 descriptors, each valid.
    descriptor(&ram, 0, TABLE, 4096, INDIRECT, 0);
    for i in 0..256 {
        indirect(&ram, i, DATA, 0, NEXT, (i + 1) % 256);
    }
    ram.take_log();
    let error = bad_chain(&ram, &mut ring, 10);
    assert_eq!(error, ChainError::TooManySegments { limit: 10 });
    let reads = ram
        .take_log()
        .iter()
        .filter(|access| access.kind == Kind::Read)
        .count();
    assert_eq!(
        reads,
        1 + (1 + 11) + 1,
        "the chain before it, the head and one more than fit, the chain after it"
    );
}

#[test]
fn readable_buffers_come_first() {
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, DATA, 8, WRITE | NEXT, 1);
    descriptor(&ram, 1, DATA, 8, 0, 0);
    assert_eq!(
        bad_chain(&ram, &mut ring, 8),
        ChainError::ReadableAfterWritable
    );
}

#[test]
fn readable_buffers_come_first_across_tables() {
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, DATA, 8, WRITE | NEXT, 1);
    descriptor(&ram, 1, TABLE, 16, INDIRECT, 0);
    indirect(&ram, 0, DATA, 8, 0, 0);
    assert_eq!(
        bad_chain(&ram, &mut ring, 8),
        ChainError::ReadableAfterWritable
    );
}

#[test]
fn a_writable_buffer_of_no_bytes_counts_as_one() {
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, DATA, 0, WRITE | NEXT, 1);
    descriptor(&ram, 1, DATA, 8, 0, 0);
    assert_eq!(
        bad_chain(&ram, &mut ring, 8),
        ChainError::ReadableAfterWritable
    );
}

#[test]
fn buffers_end_within_the_address_space() {
    for (addr, len, fits) in [
        (u64::MAX, 0, true),
        (u64::MAX, 1, true),
        (u64::MAX, 2, false),
        (u64::MAX - 7, 8, true),
        (u64::MAX - 7, 9, false),
        (0u64.wrapping_sub(u32::MAX.into()), u32::MAX, true),
        (1u64.wrapping_sub(u32::MAX.into()), u32::MAX, false),
    ] {
        for flags in [0, WRITE] {
            let (ram, mut ring) = setup(CONFIG);
            descriptor(&ram, 0, addr, len, flags, 0);
            if fits {
                offer(&ram, 0);
                let mut storage = [Segment::EMPTY; 1];
                let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
                assert_eq!(chain.readable_len() + chain.writable_len(), len.into());
                let _ = chain.into_token();
            } else {
                let error = bad_chain(&ram, &mut ring, 8);
                assert_eq!(error, ChainError::BufferWraps { addr, len });
            }
        }
    }
}

#[test]
fn a_chain_has_at_most_2_to_the_32_bytes() {
    for (lens, fits) in [
        ([u32::MAX, 0, 0], true),
        ([u32::MAX, 1, 0], true),
        ([u32::MAX, 0, 1], true),
        ([u32::MAX, 1, 1], false),
        ([u32::MAX, 2, 0], false),
        ([0x8000_0000, 0x8000_0000, 0], true),
        ([0x8000_0000, 0x8000_0000, 1], false),
        ([u32::MAX, u32::MAX, u32::MAX], false),
    ] {
        let (ram, mut ring) = setup(CONFIG);
        descriptor(&ram, 0, DATA, lens[0], NEXT, 1);
        descriptor(&ram, 1, DATA, lens[1], WRITE | NEXT, 2);
        descriptor(&ram, 2, DATA, lens[2], WRITE, 0);
        if fits {
            offer(&ram, 0);
            let mut storage = [Segment::EMPTY; 3];
            let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
            assert_eq!(chain.readable_len(), lens[0].into());
            assert_eq!(
                chain.writable_len(),
                u64::from(lens[1]) + u64::from(lens[2])
            );
            let _ = chain.into_token();
        } else {
            assert_eq!(bad_chain(&ram, &mut ring, 8), ChainError::TooLong);
        }
    }
}
