// SPDX-License-Identifier: GPL-2.0

//! Each rule for the rings (virtio 1.3, sections 2.7.6 to 2.7.10), broken one at a time.

mod common;

use common::{fixture::*, ram::Ram};
use virtqueue::{Broken, Ring, RingError, Segment, Split, SplitState};

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
        assert_eq!(
            ring.pop(ram, &mut storage).unwrap_err(),
            RingError::Broken(broken)
        );
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
        assert_eq!(
            ring.pop(&ram, &mut storage).unwrap_err(),
            RingError::Broken(broken)
        );
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
            assert_eq!(
                ring.pop(&ram, &mut storage).unwrap_err(),
                RingError::Broken(broken)
            );
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
    assert_eq!(
        ring.pop(&ram, &mut storage).unwrap_err(),
        RingError::Broken(broken)
    );
    ring.complete(&ram, first, 0).unwrap();
    ring.complete(&ram, second, 0).unwrap();
    stays_broken(&ram, &mut ring, broken);
}
