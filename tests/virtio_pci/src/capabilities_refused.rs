// SPDX-License-Identifier: GPL-2.0

//! Lists of capabilities that make no sense, and what users are told of them.

use crate::fault::{Fault, Kind};
use crate::space::{changed, find, space, Cap, Space, BARS, GOOD};

const KINDS: [Kind; 4] = [Kind::Common, Kind::Notify, Kind::Isr, Kind::Device];

fn fault(space: &Space) -> Fault {
    find(space, &BARS).unwrap_err()
}

/// What is said when capability `index` is changed.
fn said(index: usize, change: impl FnOnce(&mut Cap)) -> String {
    fault(&changed(index, change)).to_string()
}

#[test]
fn no_device() {
    assert_eq!(fault(&Space([0xff; 256])), Fault::Absent);
}

#[test]
fn no_list() {
    let mut space = space(&GOOD);
    space.0[6] = 0;
    assert_eq!(fault(&space), Fault::NoCapabilities);
}

#[test]
fn a_list_without_structures() {
    let mut space = space(&GOOD);
    space.0[0x34] = 0;
    assert!(matches!(fault(&space), Fault::Missing { .. }));
}

#[test]
fn in_the_header() {
    for pointer in [0x3c, 0x3f, 0x04] {
        let expected = Fault::BadPointer {
            pointer: pointer & !3,
        };
        assert_eq!(fault(&changed(3, |cap| cap.next = pointer)), expected);
    }
    assert_eq!(
        said(3, |cap| cap.next = 0x3c),
        "the list of PCI capabilities goes on at 0x3c, must be 0x40 or above"
    );
}

#[test]
fn circles() {
    for next in [0x40, 0x54, 0x68, 0x78] {
        assert_eq!(
            fault(&changed(3, |cap| cap.next = next)),
            Fault::EndlessList
        );
    }
    // Of one that is not virtio's, and shorter than all of those.
    let mut space = changed(3, |cap| cap.next = 0xfc);
    space.0[0xfc..].copy_from_slice(&[0x05, 0xfc, 0, 0]);
    assert_eq!(fault(&space), Fault::EndlessList);
}

#[test]
fn missing() {
    for (index, kind) in KINDS.into_iter().enumerate() {
        // A type that is reserved is to be ignored.
        let space = changed(index, |cap| cap.cfg_type = 0x77);
        assert_eq!(fault(&space), Fault::Missing { kind });
    }
    assert_eq!(
        said(1, |cap| cap.cfg_type = 0),
        "there is no PCI capability for the notification"
    );
}

#[test]
fn truncated() {
    for (index, need) in [(0, 16), (1, 20), (2, 16), (3, 16)] {
        for len in [0, 4, need - 1] {
            let expected = Fault::Truncated {
                kind: KINDS[index],
                at: GOOD[index].at,
                len,
                need,
            };
            assert_eq!(fault(&changed(index, |cap| cap.len = len)), expected);
        }
    }
}

#[test]
fn over_the_end() {
    for (at, len) in [(0xf4, 12), (0xfc, 4)] {
        let mut caps = GOOD;
        caps[2].next = at;
        caps[3].at = at;
        let expected = Fault::Truncated {
            kind: Kind::Device,
            at,
            len,
            need: 16,
        };
        assert_eq!(fault(&space(&caps)), expected);
    }
}

#[test]
fn no_such_bar() {
    for bar in [6, 7, 255] {
        for (index, kind) in KINDS.into_iter().enumerate() {
            let space = changed(index, |cap| cap.bar = bar);
            assert_eq!(fault(&space), Fault::BadBar { kind, bar });
        }
    }
    assert_eq!(
        said(2, |cap| cap.bar = 9),
        "the ISR status is in BAR 9, must be in one of 0 to 5"
    );
}

#[test]
fn a_bar_that_is_no_memory() {
    let space = changed(0, |cap| cap.bar = 1);
    let expected = Fault::NoMemory {
        kind: Kind::Common,
        bar: 1,
    };
    assert_eq!(fault(&space), expected);
}

#[test]
fn out_of_the_bar() {
    for (offset, len) in [
        (0x0fcc, 0x38),
        (0x1000, 0x38),
        (0, 0x1001),
        (0xffff_fff0, 0x38),
        (0xffff_fffc, u32::MAX),
        (4, 0xffff_ffff),
    ] {
        let space = changed(0, |cap| (cap.offset, cap.size) = (offset, len));
        let expected = Fault::OutOfBar {
            kind: Kind::Common,
            bar: 0,
            offset,
            len,
            bar_len: 0x1000,
        };
        assert_eq!(fault(&space), expected);
    }
    assert_eq!(
        said(0, |cap| cap.offset = 0x1000),
        "the common configuration has 0x38 bytes at 0x1000 in BAR 0, which has 0x1000"
    );
}

#[test]
fn too_short() {
    for (index, need) in [(0, 0x38), (1, 2), (2, 1), (3, 1)] {
        let space = changed(index, |cap| cap.size = need - 1);
        let expected = Fault::TooShort {
            kind: KINDS[index],
            len: need - 1,
            need,
        };
        assert_eq!(fault(&space), expected);
    }
}

#[test]
fn misaligned() {
    for (index, align) in [(0, 4), (1, 2), (3, 4)] {
        let offset = GOOD[index].offset + align - 1;
        let space = changed(index, |cap| cap.offset = offset);
        let expected = Fault::Misaligned {
            kind: KINDS[index],
            offset,
            align,
        };
        assert_eq!(fault(&space), expected);
    }
}
