// SPDX-License-Identifier: GPL-2.0

//! Numbers of which there are good and bad ones.

use proptest::prelude::*;

use crate::capability::{Place, Structures};
use crate::fault::{Fault, Kind};
use crate::limits::*;
use crate::place;
use crate::space::{find, space, BARS, GOOD};

#[test]
fn queue_counts() {
    for count in 0..=u16::MAX {
        let good = (1..=65534).contains(&count);
        assert_eq!(queue_count(count).is_ok(), good, "{count}");
    }
    assert_eq!(
        queue_count(65535).unwrap_err().to_string(),
        "there are 65535 virtqueues, must be 1 to 65534"
    );
}

#[test]
fn queue_sizes() {
    let good: Vec<u16> = (0..=u16::MAX)
        .filter(|&size| queue_size(0, size) == Ok(Some(size)))
        .collect();
    assert_eq!(good, (0..16).map(|bit| 1 << bit).collect::<Vec<_>>());
    assert_eq!(queue_size(0, 0), Ok(None));
    for size in [3, 65535] {
        let queue = 7;
        assert_eq!(
            queue_size(queue, size),
            Err(Fault::QueueSize { queue, size })
        );
    }
    assert_eq!(
        queue_size(7, 3).unwrap_err().to_string(),
        "virtqueue 7 has 3 descriptors, must be a power of two up to 32768, or 0 for none"
    );
}

#[test]
fn one_queue_is_needed() {
    assert_eq!(any_queue([None, Some(1)].into_iter()), Ok(()));
    assert_eq!(any_queue([None; 3].into_iter()), Err(Fault::NoQueue));
}

#[test]
fn states_of_virtqueues() {
    let found = find(&space(&GOOD), &BARS).unwrap();
    for (count, need) in [(1, 0x24), (2, 0x28), (1024, 0x1020), (65534, 0x40018)] {
        let mut bars = BARS;
        bars[4] = need;
        let range = 0x20..need;
        assert_eq!(
            place::find(count, &found, &bars),
            Ok(Place { bar: 4, range })
        );
        assert!(place::offset(count - 1) as u64 + 2 <= need - 0x20);
        for bar_len in [0, need - 1] {
            bars[4] = bar_len;
            assert_eq!(
                place::find(count, &found, &bars),
                Err(place::Fault::TooShort { bar_len, need })
            );
        }
    }
}

#[test]
fn states_where_something_else_is() {
    let mut caps = GOOD;
    for (index, kind) in [Kind::Common, Kind::Notify, Kind::Isr, Kind::Device]
        .into_iter()
        .enumerate()
    {
        let mut change = |offset| {
            caps = GOOD;
            (caps[index].bar, caps[index].offset, caps[index].size) = (4, offset, 0x38);
            place::find(2, &find(&space(&caps), &BARS).unwrap(), &BARS)
        };
        for offset in [0, 0x24] {
            assert_eq!(
                change(offset),
                Err(place::Fault::Overlap { kind, need: 0x28 })
            );
        }
        assert!(change(0x28).is_ok());
    }
}

#[test]
fn doorbells() {
    assert_eq!(doorbell(0, 0, 0, 2), Ok(0));
    assert_eq!(doorbell(1, 3, 4, 14), Ok(12));
    assert_eq!(
        doorbell(0, u16::MAX, u32::MAX - 1, u64::MAX),
        Ok(0xffff * 0xffff_fffe)
    );
    for (notify_off, multiplier, len) in [
        (0, 0, 1),
        (3, 4, 13),
        (1, 3, 100),
        (u16::MAX, u32::MAX, 0x1000),
        (u16::MAX, 0x10001, 0x1000),
    ] {
        let expected = Fault::Doorbell {
            queue: 5,
            notify_off,
            multiplier,
            len,
        };
        assert_eq!(doorbell(5, notify_off, multiplier, len), Err(expected));
    }
}

/// A device with `len` bytes of notifications, from 0x1000 on in a BAR where nothing else is.
fn notifying(len: u64, notify_multiplier: u32) -> Structures {
    let mut found = find(&space(&GOOD), &BARS).unwrap();
    found.notify.range = 0x1000..0x1000 + len;
    found.notify_multiplier = notify_multiplier;
    found.msix = Some([found.isr.clone(), found.isr.clone()]);
    found
}

const STATES: Place = Place {
    bar: 4,
    range: 0x20..0x28,
};

#[test]
fn areas_for_userspace() {
    for (offset, multiplier, len, expected) in [
        (0x1000, 0x1000, 0x2000, Some(4096)),
        (0, 0, 4096, Some(4096)),
        // Something else may be behind it.
        (0, 0, 4095, None),
        (0x1000, 0x1000, 0x1fff, None),
    ] {
        let found = notifying(len, multiplier);
        assert_eq!(doorbell_area(offset, 4096, &found, Some(&STATES)), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn doorbells_are_in_the_structure(
        notify_off: u16,
        multiplier in prop_oneof![0u32..0x2000, any::<u32>()],
        len in prop_oneof![0u64..0x10000, any::<u32>().prop_map(u64::from)],
    ) {
        if let Ok(offset) = doorbell(0, notify_off, multiplier, len) {
            prop_assert!(offset + 2 <= len);
            prop_assert_eq!(offset % 2, 0);
            prop_assert_eq!(offset, u64::from(notify_off) * u64::from(multiplier));
            let found = notifying(len, multiplier);
            if let Some(size) = doorbell_area(offset, 4096, &found, Some(&STATES)) {
                prop_assert!(offset + size <= len);
            }
        }
    }

    #[test]
    fn areas_for_userspace_have_nothing_else_in_them(
        which in 0..6,
        bar in 2u8..4,
        start in 0x1f00u64..0x3100,
        len in 1u64..0x1100,
    ) {
        let place = Place { bar, range: start..start + len };
        let mut found = notifying(0x2000, 0x1000);
        let mut own = STATES;
        match which {
            0 => found.common = place,
            1 => found.isr = place,
            2 => found.device = Some(place),
            3 => found.msix = Some([place, found.isr.clone()]),
            4 => found.msix = Some([found.isr.clone(), place]),
            _ => own = place,
        }
        let beside = bar != 2 || start + len <= 0x2000 || start >= 0x3000;
        let area = doorbell_area(0x1000, 4096, &found, Some(&own));
        prop_assert_eq!(area, beside.then_some(4096));
    }
}
