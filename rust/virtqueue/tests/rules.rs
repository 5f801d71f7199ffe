// SPDX-License-Identifier: GPL-2.0

//! Each rule of section 2.7 of the virtio 1.3 specification that a driver can break, one by one.

mod common;

use common::ram::{Kind, Ram};
use virtqueue::{
    Area, Broken, ChainError, Fault, PopError, Ring, RingError, Segment, SetupError, Split,
    SplitConfig, SplitState,
};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

const SIZE: u16 = 4;
const DESC: u64 = 0x1_0000;
const AVAIL: u64 = 0x1_0100;
const USED: u64 = 0x1_0200;
/// An indirect table.
const TABLE: u64 = 0x1_0400;
/// Buffers.
const DATA: u64 = 0x1_1000;

const CONFIG: SplitConfig = SplitConfig {
    size: SIZE as u32,
    desc: DESC,
    avail: AVAIL,
    used: USED,
    event_idx: false,
    indirect: true,
};

fn ram() -> Ram {
    Ram::new(DESC, 0x4000)
}

fn setup(config: SplitConfig) -> (Ram, Split) {
    (ram(), Split::new(&config).unwrap())
}

/// Enters a head into the available ring and exposes it.
fn offer(ram: &Ram, head: u16) {
    let index = ram.peek16(AVAIL + 2);
    ram.poke16(AVAIL + 4 + 2 * u64::from(index % SIZE), head);
    ram.poke16(AVAIL + 2, index.wrapping_add(1));
}

/// Writes descriptor `index` of the ring.
fn descriptor(ram: &Ram, index: u16, addr: u64, len: u32, flags: u16, next: u16) {
    ram.poke_descriptor(DESC + 16 * u64::from(index), addr, len, flags, next);
}

/// Writes descriptor `index` of the indirect table.
fn indirect(ram: &Ram, index: u16, addr: u64, len: u32, flags: u16, next: u16) {
    ram.poke_descriptor(TABLE + 16 * u64::from(index), addr, len, flags, next);
}

/// Takes a bad chain that starts at descriptor 0, gives it back, checks that the driver gets it,
/// and that the chain after it is taken as if nothing had been. Returns the rule.
#[track_caller]
fn bad_chain(ram: &Ram, ring: &mut Split, segments: usize) -> ChainError {
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

// Set-up.

#[test]
fn size_is_a_power_of_two_up_to_32768() {
    for size in 0..=0x2_0000 {
        let config = SplitConfig { size, ..CONFIG };
        let expected = matches!(
            size,
            1 | 2
                | 4
                | 8
                | 16
                | 32
                | 64
                | 128
                | 256
                | 512
                | 1024
                | 2048
                | 4096
                | 8192
                | 16384
                | 32768
        );
        match Split::new(&config) {
            Ok(ring) => assert!(expected && u32::from(ring.size()) == size, "{size}"),
            Err(error) => assert!(!expected && error == SetupError::Size(size), "{size}"),
        }
    }
    let config = SplitConfig {
        size: u32::MAX,
        ..CONFIG
    };
    assert_eq!(Split::new(&config).unwrap_err(), SetupError::Size(u32::MAX));
}

#[test]
fn areas_are_aligned() {
    for offset in 0..32 {
        for (area, align, config) in [
            (
                Area::Descriptors,
                16,
                SplitConfig {
                    desc: DESC + offset,
                    ..CONFIG
                },
            ),
            (
                Area::Available,
                2,
                SplitConfig {
                    avail: AVAIL + offset,
                    ..CONFIG
                },
            ),
            (
                Area::Used,
                4,
                SplitConfig {
                    used: USED + offset,
                    ..CONFIG
                },
            ),
        ] {
            let base = match area {
                Area::Descriptors => DESC,
                Area::Available => AVAIL,
                Area::Used => USED,
            };
            let error = SetupError::Alignment {
                area,
                addr: base + offset,
                align,
            };
            match Split::new(&config) {
                Ok(_) => assert_eq!(offset % align, 0),
                Err(refused) => assert!(refused == error && offset % align != 0),
            }
        }
    }
}

#[test]
fn areas_end_within_the_address_space() {
    for size in [1u32, 4, 256, 32768] {
        let bytes = u64::from(size);
        for (area, align, len) in [
            (Area::Descriptors, 16, 16 * bytes),
            (Area::Available, 2, 6 + 2 * bytes),
            (Area::Used, 4, 6 + 8 * bytes),
        ] {
            let at = |addr| {
                let mut config = SplitConfig { size, ..CONFIG };
                match area {
                    Area::Descriptors => config.desc = addr,
                    Area::Available => config.avail = addr,
                    Area::Used => config.used = addr,
                }
                Split::new(&config).map(|_| ())
            };
            // The last address where the area fits, exactly or by what the alignment leaves over.
            let fits = len.wrapping_neg() & !(align - 1);
            at(fits).unwrap();
            // The next address after it, if there is one, and the last.
            for addr in [fits.checked_add(align), Some(align.wrapping_neg())] {
                if let Some(addr) = addr.filter(|&addr| addr > fits) {
                    assert_eq!(at(addr), Err(SetupError::Wraps { area, addr, len }));
                }
            }
        }
    }
}

#[test]
fn a_ring_at_the_end_of_the_address_space_works() {
    // The descriptor table and the used ring end with the last byte there is.
    let base = u64::MAX - 0xfff;
    let config = SplitConfig {
        size: 1,
        desc: base,
        avail: base + 0x100,
        used: u64::MAX - 15,
        event_idx: true,
        indirect: false,
    };
    let ram = Ram::new(base, 0x1000);
    let mut ring = Split::new(&config).unwrap();
    // The buffer ends where the address space ends, too.
    ram.poke_descriptor(base, u64::MAX - 15, 16, 0, 0);
    ram.poke16(base + 0x102, 1);
    let mut storage = [Segment::EMPTY; 1];
    let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
    assert_eq!(chain.reader(&ram).read_array::<16>(), Ok([0; 16]));
    ring.complete(&ram, chain.into_token(), 0).unwrap();
    ring.publish(&ram).unwrap();
    assert!(ring.needs_notification(&ram));
    assert_eq!(ring.enable_notifications(&ram), Ok(false));
    assert_eq!(ram.peek16(u64::MAX - 3), 1);
}

#[test]
fn setting_up_does_not_access_the_ring() {
    let (ram, ring) = setup(CONFIG);
    assert!(ram.take_log().is_empty());
    assert_eq!(ring.state(), SplitState { avail_index: 0 });
    assert_eq!(ring.in_flight(), 0);
}

// Chains.

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
            usize::from(SIZE) + 1,
            "of the loop, and of the chain after it"
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
        match ring.pop(&ram, &mut storage) {
            Err(PopError::Chain(bad)) => {
                assert_eq!(bad.error, ChainError::TooManySegments { limit });
                ring.complete(&ram, bad.token, 0).unwrap();
            }
            other => panic!("{limit}: {other:?}"),
        }
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
        1 + 11 + 1,
        "the head, one more than fit, the chain after it"
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

#[test]
fn a_descriptor_that_cannot_be_read() {
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, 0x10, 16, INDIRECT, 0);
    let error = bad_chain(&ram, &mut ring, 8);
    assert_eq!(error, ChainError::Fault(Fault { addr: 0x10 }));
}

// Indirect tables.

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
    // The largest: `next` reaches all of it.
    let (ram, mut ring) = setup(CONFIG);
    descriptor(&ram, 0, TABLE, 0x10_0000, INDIRECT, 0);
    indirect(&ram, 0, DATA, 8, NEXT, 0xffff);
    let error = bad_chain(&ram, &mut ring, 8);
    assert_eq!(
        error,
        ChainError::Fault(Fault {
            addr: TABLE + 0xf_fff0
        })
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
    let error = bad_chain(&ram, &mut ring, 8);
    assert_eq!(error, ChainError::Fault(Fault { addr }));
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

// The ring.

/// Checks that a ring that is broken stays so and does nothing more, until it is started anew.
#[track_caller]
fn stays_broken(ram: &Ram, ring: &mut Split, broken: Broken) {
    let mut storage = [Segment::EMPTY; 4];
    // The driver cannot repair it.
    ram.poke16(AVAIL + 2, ring.state().avail_index.wrapping_add(1));
    for slot in 0..SIZE {
        ram.poke16(AVAIL + 4 + 2 * u64::from(slot), 0);
    }
    ram.take_log();
    for _ in 0..3 {
        match ring.pop(ram, &mut storage) {
            Err(PopError::Ring(RingError::Broken(again))) => assert_eq!(again, broken),
            other => panic!("{other:?}"),
        }
        assert_eq!(
            ring.enable_notifications(ram),
            Err(RingError::Broken(broken))
        );
        assert_eq!(ring.broken(), Some(broken));
    }
    assert!(ram.take_log().is_empty());

    let state = ring.state();
    ring.set_state(state);
    assert_eq!(ring.broken(), None);
    descriptor(ram, 0, DATA, 8, 0, 0);
    let chain = ring.pop(ram, &mut storage).unwrap().unwrap();
    let _ = chain.into_token();
}

#[test]
fn a_head_is_within_the_table() {
    for head in [SIZE, SIZE + 1, 0x8000, 0xffff] {
        let (ram, mut ring) = setup(CONFIG);
        offer(&ram, head);
        let mut storage = [Segment::EMPTY; 4];
        let broken = Broken::Head { head, size: SIZE };
        match ring.pop(&ram, &mut storage) {
            Err(PopError::Ring(RingError::Broken(error))) => assert_eq!(error, broken),
            other => panic!("{other:?}"),
        }
        assert_eq!(ring.in_flight(), 0);
        stays_broken(&ram, &mut ring, broken);
    }
}

#[test]
fn the_available_index_is_at_most_the_queue_size_ahead() {
    for start in [0, 5, 0xfffe] {
        for ahead in [SIZE + 1, SIZE + 2, 0x7fff, 0x8000, 0xffff] {
            let (ram, mut ring) = setup(CONFIG);
            ring.set_state(SplitState { avail_index: start });
            let index = start.wrapping_add(ahead);
            ram.poke16(AVAIL + 2, index);
            let broken = Broken::AvailableIndex {
                index,
                next: start,
                last: start.wrapping_add(SIZE),
            };
            assert_eq!(
                ring.enable_notifications(&ram),
                Err(RingError::Broken(broken))
            );
            let mut storage = [Segment::EMPTY; 4];
            assert!(matches!(
                ring.pop(&ram, &mut storage),
                Err(PopError::Ring(RingError::Broken(error))) if error == broken
            ));
            stays_broken(&ram, &mut ring, broken);
        }
    }
}

#[test]
fn chains_in_flight_count_against_the_queue_size() {
    let (ram, mut ring) = setup(CONFIG);
    let mut storage = [Segment::EMPTY; 4];
    let mut tokens = Vec::new();
    descriptor(&ram, 0, DATA, 8, 0, 0);
    ram.poke16(AVAIL + 2, SIZE);
    for _ in 0..SIZE {
        tokens.push(ring.pop(&ram, &mut storage).unwrap().unwrap().into_token());
    }
    assert!(ring.pop(&ram, &mut storage).unwrap().is_none());
    // Given back but not shown to the driver, so it cannot know.
    ring.complete(&ram, tokens.pop().unwrap(), 0).unwrap();
    ram.poke16(AVAIL + 2, SIZE + 1);
    assert_eq!(
        ring.enable_notifications(&ram),
        Err(RingError::Broken(Broken::AvailableIndex {
            index: 5,
            next: 4,
            last: 4
        }))
    );
    // What is in flight can be given back all the same, and the driver sees it.
    for token in tokens {
        ring.complete(&ram, token, 0).unwrap();
    }
    ring.publish(&ram).unwrap();
    assert!(ring.needs_notification(&ram));
    assert_eq!(ram.peek16(USED + 2), SIZE);
}

#[test]
fn the_available_index_does_not_go_backwards() {
    let (ram, mut ring) = setup(CONFIG);
    let mut storage = [Segment::EMPTY; 4];
    descriptor(&ram, 0, DATA, 8, 0, 0);
    ram.poke16(AVAIL + 2, 2);
    let first = ring.pop(&ram, &mut storage).unwrap().unwrap().into_token();
    let second = ring.pop(&ram, &mut storage).unwrap().unwrap().into_token();
    ram.poke16(AVAIL + 2, 1);
    let broken = Broken::AvailableIndex {
        index: 1,
        next: 2,
        last: 4,
    };
    match ring.pop(&ram, &mut storage) {
        Err(PopError::Ring(RingError::Broken(error))) => assert_eq!(error, broken),
        other => panic!("{other:?}"),
    }
    ring.complete(&ram, first, 0).unwrap();
    ring.complete(&ram, second, 0).unwrap();
    stays_broken(&ram, &mut ring, broken);
}

#[test]
fn a_ring_that_cannot_be_read_can_be_tried_again() {
    let (ram, mut ring) = setup(CONFIG);
    let mut storage = [Segment::EMPTY; 4];
    descriptor(&ram, 0, DATA, 8, 0, 0);
    offer(&ram, 0);
    for hole in [AVAIL + 2, AVAIL + 4] {
        ram.set_hole(Some((hole, 2)));
        match ring.pop(&ram, &mut storage) {
            Err(PopError::Ring(RingError::Fault(fault))) => assert_eq!(fault.addr, hole),
            other => panic!("{other:?}"),
        }
        assert_eq!((ring.in_flight(), ring.broken()), (0, None));
    }
    ram.set_hole(Some((USED, 2)));
    assert_eq!(
        ring.disable_notifications(&ram),
        Err(RingError::Fault(Fault { addr: USED }))
    );
    assert_eq!(
        ring.enable_notifications(&ram),
        Err(RingError::Fault(Fault { addr: USED }))
    );
    ram.set_hole(None);
    assert_eq!(ring.enable_notifications(&ram), Ok(true));
    let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
    ring.complete(&ram, chain.into_token(), 0).unwrap();

    ram.set_hole(Some((USED + 2, 2)));
    assert_eq!(
        ring.publish(&ram),
        Err(RingError::Fault(Fault { addr: USED + 2 }))
    );
    assert!(
        !ring.needs_notification(&ram),
        "the driver sees nothing new"
    );
    ram.set_hole(None);
    ring.publish(&ram).unwrap();
    assert!(ring.needs_notification(&ram));
    assert_eq!(ram.peek16(USED + 2), 1);
}

#[test]
fn a_used_ring_that_cannot_be_written_breaks_the_queue() {
    let (ram, mut ring) = setup(CONFIG);
    let mut storage = [Segment::EMPTY; 4];
    descriptor(&ram, 0, DATA, 8, 0, 0);
    offer(&ram, 0);
    offer(&ram, 0);
    let first = ring.pop(&ram, &mut storage).unwrap().unwrap().into_token();
    let second = ring.pop(&ram, &mut storage).unwrap().unwrap().into_token();
    ram.set_hole(Some((USED + 4, 8)));
    let broken = Broken::UsedRing(Fault { addr: USED + 4 });
    assert_eq!(
        ring.complete(&ram, first, 0),
        Err(RingError::Broken(broken))
    );
    ram.set_hole(None);
    assert_eq!(
        ring.complete(&ram, second, 0),
        Err(RingError::Broken(broken))
    );
    stays_broken(&ram, &mut ring, broken);
    assert_eq!(ram.peek16(USED + 2), 0);
}

#[test]
fn notifications_that_cannot_be_decided_are_sent() {
    for event_idx in [false, true] {
        let (ram, mut ring) = setup(SplitConfig {
            event_idx,
            ..CONFIG
        });
        let mut storage = [Segment::EMPTY; 4];
        descriptor(&ram, 0, DATA, 8, 0, 0);
        offer(&ram, 0);
        let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
        ring.complete(&ram, chain.into_token(), 0).unwrap();
        ring.publish(&ram).unwrap();
        ram.set_hole(Some(if event_idx {
            (AVAIL + 4 + 2 * u64::from(SIZE), 2)
        } else {
            (AVAIL, 2)
        }));
        assert!(ring.needs_notification(&ram));
        assert!(!ring.needs_notification(&ram), "nothing new since");
    }
}

// Tokens and state.

#[test]
fn a_chain_that_was_put_back_comes_again() {
    let (ram, mut ring) = setup(CONFIG);
    let mut storage = [Segment::EMPTY; 4];
    descriptor(&ram, 0, DATA, 8, 0, 0);
    descriptor(&ram, 1, DATA, 9, 0, 0);
    offer(&ram, 0);
    offer(&ram, 1);
    let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
    ring.unpop(chain.into_token()).unwrap();
    assert_eq!(ring.in_flight(), 0);
    assert_eq!(ring.enable_notifications(&ram), Ok(true));

    let first = ring.pop(&ram, &mut storage).unwrap().unwrap();
    assert_eq!((first.id(), first.readable_len()), (0, 8));
    let first = first.into_token();
    let second = ring.pop(&ram, &mut storage).unwrap().unwrap();
    assert_eq!((second.id(), second.readable_len()), (1, 9));

    // Only in the opposite order of taking.
    let first = ring.unpop(first).unwrap_err();
    ring.unpop(second.into_token()).unwrap();
    ring.unpop(first).unwrap();
    assert_eq!(ring.state().avail_index, 0);

    // A bad chain can be put back, too, and is as bad the next time.
    descriptor(&ram, 0, DATA, 8, NEXT, 9);
    for _ in 0..2 {
        match ring.pop(&ram, &mut storage) {
            Err(PopError::Chain(bad)) => ring.unpop(bad.token).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_token_of_an_earlier_life_is_refused() {
    let (ram, mut ring) = setup(CONFIG);
    let mut storage = [Segment::EMPTY; 4];
    descriptor(&ram, 0, DATA, 8, 0, 0);
    offer(&ram, 0);
    let stale = ring.pop(&ram, &mut storage).unwrap().unwrap().into_token();
    ring.set_state(SplitState { avail_index: 1 });
    ram.take_log();
    let stale = ring.unpop(stale).unwrap_err();
    assert_eq!(ring.complete(&ram, stale, 0), Err(RingError::NotInFlight));
    assert!(ram.take_log().is_empty());
    ring.publish(&ram).unwrap();
    assert!(!ring.needs_notification(&ram));
    assert!(
        ram.take_log().is_empty(),
        "nothing to publish, nothing to ask"
    );
}

#[test]
fn a_device_goes_on_where_another_left_off() {
    let (ram, mut ring) = setup(CONFIG);
    let mut storage = [Segment::EMPTY; 4];
    descriptor(&ram, 0, DATA, 8, 0, 0);
    ring.set_state(SplitState {
        avail_index: 0xffff,
    });
    ram.poke16(AVAIL + 2, 1);
    let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
    ring.complete(&ram, chain.into_token(), 3).unwrap();
    ring.publish(&ram).unwrap();
    assert_eq!(ram.peek16(USED + 2), 0);
    assert_eq!(ram.peek32(USED + 4 + 8 * 3 + 4), 3, "in the last slot");
    let state = ring.state();
    assert_eq!(state, SplitState { avail_index: 0 });

    let mut other = Split::new(&CONFIG).unwrap();
    other.set_state(state);
    let chain = other.pop(&ram, &mut storage).unwrap().unwrap();
    other.complete(&ram, chain.into_token(), 4).unwrap();
    other.publish(&ram).unwrap();
    assert_eq!(ram.peek16(USED + 2), 1);
    assert_eq!(ram.peek32(USED + 4 + 4), 4, "in the first slot");
    assert!(other.pop(&ram, &mut storage).unwrap().is_none());
}

#[test]
fn what_another_device_left_in_the_flags_is_overwritten() {
    let (ram, mut ring) = setup(CONFIG);
    ram.poke16(USED, 1);
    assert_eq!(ring.enable_notifications(&ram), Ok(false));
    assert_eq!(ram.peek16(USED), 0);
    ring.disable_notifications(&ram).unwrap();
    assert_eq!(ram.peek16(USED), 1);
    assert_eq!(ring.enable_notifications(&ram), Ok(false));
    assert_eq!(ram.peek16(USED), 0);
    // Another device had the ring in between.
    ram.poke16(USED, 1);
    ring.set_state(ring.state());
    assert_eq!(ring.enable_notifications(&ram), Ok(false));
    assert_eq!(ram.peek16(USED), 0);
}

// What the performance rests on.

#[test]
fn a_batch_costs_one_load_one_store_and_one_barrier() {
    let (ram, mut ring) = setup(CONFIG);
    let mut storage = [Segment::EMPTY; 4];
    descriptor(&ram, 0, DATA, 8, 0, 0);
    ram.poke16(AVAIL + 2, SIZE);
    ram.take_log();
    for _ in 0..SIZE {
        let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
        ring.complete(&ram, chain.into_token(), 0).unwrap();
    }
    ring.publish(&ram).unwrap();
    assert!(ring.needs_notification(&ram));
    let log = ram.take_log();
    let count = |kind: Kind| log.iter().filter(|access| access.kind == kind).count();
    let size = usize::from(SIZE);
    assert_eq!(count(Kind::Load), 1 + size + 1, "index, heads, flags");
    assert_eq!(count(Kind::Read), size, "descriptors");
    assert_eq!(count(Kind::Write), size, "used elements");
    assert_eq!(count(Kind::Store), 1, "used index");
    assert_eq!(count(Kind::Barrier), 1);
    // The order that the driver relies on: elements, index, barrier, flags.
    let kinds: Vec<Kind> = log.iter().rev().map(|access| access.kind).take(4).collect();
    assert_eq!(kinds, [Kind::Load, Kind::Barrier, Kind::Store, Kind::Write]);
}

#[test]
fn flags_are_written_only_when_they_change() {
    let (ram, mut ring) = setup(CONFIG);
    for _ in 0..3 {
        ring.disable_notifications(&ram).unwrap();
    }
    let stores = ram
        .take_log()
        .iter()
        .filter(|access| access.writes())
        .count();
    assert_eq!(stores, 1);
    let (ram, mut ring) = setup(SplitConfig {
        event_idx: true,
        ..CONFIG
    });
    ring.disable_notifications(&ram).unwrap();
    assert!(ram.take_log().is_empty(), "section 2.7.10.2: flags stay 0");
}
