// SPDX-License-Identifier: GPL-2.0

//! What the search for structures finds, and that it finds nothing that is not there.

use proptest::prelude::*;

use crate::capability::{Place, Structures, COMMON_LEN};
use crate::space::{changed, find, space, Cap, Space, BARS, GOOD};

fn place(bar: u8, start: u64, len: u64) -> Place {
    Place {
        bar,
        range: start..start + len,
    }
}

#[test]
fn a_good_device() {
    let found = find(&space(&GOOD), &BARS).unwrap();
    let expected = Structures {
        common: place(0, 0, 0x38),
        notify: place(2, 0x1000, 0x4000),
        isr: place(0, 0x38, 1),
        device: Some(place(0, 0x100, 0x100)),
        notify_multiplier: 0x1000,
        msix: None,
    };
    assert_eq!(found, expected);
}

#[test]
fn up_to_the_last_byte() {
    let found = find(
        &changed(1, |cap| (cap.offset, cap.size) = (0x7ffe, 2)),
        &BARS,
    );
    assert_eq!(found.unwrap().notify, place(2, 0x7ffe, 2));
    // The last capability ends with the configuration space.
    let mut caps = GOOD;
    caps[2].next = 0xf0;
    caps[3].at = 0xf0;
    assert!(find(&space(&caps), &BARS).is_ok());
}

#[test]
fn reserved_bits_of_pointers_do_not_count() {
    assert!(find(&changed(0, |cap| cap.next = 0x57), &BARS).is_ok());
}

#[test]
fn other_capabilities_are_passed_over() {
    let mut caps = GOOD;
    caps[3].next = 0x90;
    let mut space = space(&caps);
    // Power management, then one of virtio's that is no structure.
    space.0[0x90..0x94].copy_from_slice(&[0x01, 0xa0, 0, 0]);
    space.0[0xa0..0xa4].copy_from_slice(&[0x09, 0, 16, 5]);
    assert_eq!(find(&space, &BARS), find(&self::space(&GOOD), &BARS));
}

#[test]
fn vectors() {
    // Any bits in front of the number of vectors, less one; the table; the pending bits.
    for (control, table, pending, expected) in [
        (
            0x0000u16,
            0x0000u32,
            0x0000u32,
            [place(0, 0, 16), place(0, 0, 8)],
        ),
        (
            0xf83f,
            0x1002,
            0x2004,
            [place(2, 0x1000, 1024), place(4, 0x2000, 8)],
        ),
        (
            0x0040,
            0x1002,
            0x2004,
            [place(2, 0x1000, 1040), place(4, 0x2000, 16)],
        ),
        (
            0x07ff,
            u32::MAX,
            u32::MAX,
            [place(7, 0xffff_fff8, 0x8000), place(7, 0xffff_fff8, 0x100)],
        ),
    ] {
        // There is no room for all of it in the last places.
        for (at, is_there) in [(0x90, true), (0xf4, true), (0xf8, false), (0xfc, false)] {
            let mut space = changed(3, |cap| cap.next = at);
            let mut bytes = vec![0x11, 0];
            bytes.extend(control.to_le_bytes());
            bytes.extend(table.to_le_bytes());
            bytes.extend(pending.to_le_bytes());
            for (slot, byte) in space.0[at.into()..].iter_mut().zip(bytes) {
                *slot = byte;
            }
            let found = find(&space, &BARS).unwrap().msix;
            assert_eq!(found, is_there.then(|| expected.clone()), "{at:#x}");
        }
    }
}

/// Section 4.1.4.1 of the specification: the first, and none with a reserved value.
#[test]
fn the_first_that_can_be_used_counts() {
    let mut caps: Vec<Cap> = GOOD.to_vec();
    caps[3].next = 0x90;
    caps.push(Cap {
        at: 0x90,
        next: 0xb0,
        bar: 2,
        ..GOOD[0]
    });
    caps.push(Cap {
        at: 0xb0,
        next: 0,
        bar: 4,
        ..GOOD[0]
    });
    assert_eq!(find(&space(&caps), &BARS).unwrap().common.bar, 0);
    for bar in [6, 255, 1] {
        caps[0].bar = bar;
        assert_eq!(find(&space(&caps), &BARS).unwrap().common.bar, 2, "{bar}");
    }
}

fn check(space: &Space, bars: &[u64; 6]) {
    let Ok(found) = find(space, bars) else {
        return;
    };
    for (place, least, align) in [
        (&found.common, u64::from(COMMON_LEN), 4),
        (&found.notify, 2, 2),
        (&found.isr, 1, 1),
        (found.device.as_ref().unwrap(), 1, 4),
    ] {
        assert!(place.range.end <= bars[usize::from(place.bar)]);
        assert!(place.range.end - place.range.start >= least);
        assert_eq!(place.range.start % align, 0);
    }
}

fn any_bars() -> impl Strategy<Value = [u64; 6]> {
    prop::array::uniform6(prop_oneof![
        Just(0u64),
        Just(0x1000),
        Just(1 << 32),
        any::<u64>()
    ])
}

fn any_cap() -> impl Strategy<Value = Cap> {
    let number = || prop_oneof![0u32..0x100, Just(u32::MAX), Just(0x38), any::<u32>()];
    let at = || prop_oneof![Just(0), 0x40..=255u8, any::<u8>()];
    (
        at(),
        at(),
        prop_oneof![Just(16u8), Just(20), any::<u8>()],
        0u8..6,
        0u8..8,
        number(),
        number(),
        number(),
    )
        .prop_map(
            |(at, next, len, cfg_type, bar, offset, size, multiplier)| Cap {
                at,
                next,
                len,
                cfg_type,
                bar,
                offset,
                size,
                multiplier,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 256), bars in any_bars()) {
        let mut bytes: [u8; 256] = bytes.try_into().unwrap();
        check(&Space(bytes), &bars);
        bytes[6] |= 0x10;
        check(&Space(bytes), &bars);
    }

    #[test]
    fn any_list(caps in prop::collection::vec(any_cap(), 1..12), bars in any_bars()) {
        check(&space(&caps), &bars);
    }

    #[test]
    fn one_field_is_any(index in 0usize..4, cap in any_cap(), field in 0..6) {
        let space = changed(index, |good| match field {
            0 => good.next = cap.next,
            1 => good.len = cap.len,
            2 => good.bar = cap.bar,
            3 => good.offset = cap.offset,
            4 => good.size = cap.size,
            _ => good.cfg_type = cap.cfg_type,
        });
        check(&space, &BARS);
    }
}
