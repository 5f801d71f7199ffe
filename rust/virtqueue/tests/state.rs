// SPDX-License-Identifier: GPL-2.0

//! Tokens, the state of a ring, and what a batch costs.

mod common;

use common::{fixture::*, ram::Kind};
use virtqueue::{Ring, RingError, Segment, Split, SplitConfig, SplitState};

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

    // It is read anew: another length, and another head.
    descriptor(&ram, 1, DATA, 10, 0, 0);
    ram.poke16(AVAIL + 4, 1);
    let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
    assert_eq!((chain.id(), chain.readable_len()), (1, 10));
    let _ = chain.into_token();
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
    let failed = ring.complete(&ram, stale, 0).unwrap_err();
    assert_eq!(failed.error, RingError::NotInFlight);
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
}

#[test]
fn flags_are_0_with_an_event_index() {
    let (ram, mut ring) = setup(SplitConfig {
        event_idx: true,
        ..CONFIG
    });
    // Section 2.7.10.2, whatever another device has left there; once is enough.
    for first in [true, false] {
        ram.poke16(USED, 1);
        for _ in 0..3 {
            if first {
                ring.disable_notifications(&ram).unwrap();
            } else {
                assert_eq!(ring.enable_notifications(&ram), Ok(false));
            }
            assert_eq!(ram.peek16(USED), 0);
        }
        assert_eq!(ring.enable_notifications(&ram), Ok(false));
        ring.disable_notifications(&ram).unwrap();
        let stores = ram
            .take_log()
            .iter()
            .filter(|access| access.writes() && access.within(USED, 2))
            .count();
        assert_eq!(stores, 1);
        ring.set_state(ring.state());
    }
}

#[test]
fn the_first_chains_after_a_start_are_signalled() {
    for event_idx in [false, true] {
        let (ram, mut ring) = setup(SplitConfig {
            event_idx,
            ..CONFIG
        });
        let mut storage = [Segment::EMPTY; 4];
        descriptor(&ram, 0, DATA, 8, 0, 0);
        // The driver wants none: by the flags, and for an element that is far off.
        ram.poke16(AVAIL, 1);
        ram.poke16(AVAIL + 4 + 2 * u64::from(SIZE), 0x8000);
        let mut give_back = |ring: &mut Split, chains: u16| {
            for _ in 0..chains {
                offer(&ram, 0);
                let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
                ring.complete(&ram, chain.into_token(), 0).unwrap();
            }
            ring.publish(&ram).unwrap();
            ring.needs_notification(&ram)
        };
        assert!(!give_back(&mut ring, 1), "a ring that is new");

        // It goes on where it was, or another does: who knows what was signalled before?
        let mut other = Split::new(&SplitConfig {
            event_idx,
            ..CONFIG
        })
        .unwrap();
        for ring in [&mut ring, &mut other] {
            let avail_index = ram.peek16(AVAIL + 2);
            ring.set_state(SplitState { avail_index });
            assert!(!ring.needs_notification(&ram), "nothing is new");
            assert!(give_back(ring, 2));
            assert!(!ring.needs_notification(&ram));
            assert!(!give_back(ring, 1), "once is enough");
        }
    }
}
