// SPDX-License-Identifier: GPL-2.0

//! Virtio-PCI parents: the search for capabilities, in configuration spaces made for it.

use core::ops::Range;
use kernel::prelude::*;
use vdpa::pci::virtio::{
    capability::ConfigSpace,
    Place,
    Structures, //
};

/// A configuration space, byte by byte.
pub(crate) struct Space(pub(crate) [u8; 256]);

impl ConfigSpace for Space {
    fn read32(&self, offset: u8) -> u32 {
        let offset = usize::from(offset);

        self.0
            .get(offset..offset + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(u32::MAX, u32::from_le_bytes)
    }
}

/// A capability of virtio's.
#[derive(Clone, Copy)]
pub(crate) struct Cap {
    pub(crate) at: u8,
    pub(crate) next: u8,
    pub(crate) len: u8,
    pub(crate) cfg_type: u8,
    pub(crate) bar: u8,
    pub(crate) offset: u32,
    pub(crate) size: u32,
}

const fn cap(at: u8, next: u8, cfg_type: u8, bar: u8, offset: u32, size: u32) -> Cap {
    let len = if cfg_type == 2 { 20 } else { 16 };

    Cap {
        at,
        next,
        len,
        cfg_type,
        bar,
        offset,
        size,
    }
}

/// The sizes of the BARs.
pub(crate) const BARS: [u64; 6] = [0x1000, 0, 0x8000, 0, 0x1000, 0];

/// A device that is as it should be: common configuration, notifications, ISR status, device
/// configuration.
pub(crate) const GOOD: [Cap; 4] = [
    cap(0x40, 0x54, 1, 0, 0, 0x38),
    cap(0x54, 0x68, 2, 2, 0x1000, 0x4000),
    cap(0x68, 0x78, 3, 0, 0x38, 1),
    cap(0x78, 0, 4, 0, 0x100, 0x100),
];

/// The distance between doorbells.
const MULTIPLIER: u32 = 0x1000;

/// Makes a configuration space. What of a capability is behind its end is left out.
pub(crate) fn space(caps: &[Cap]) -> Space {
    let mut space = Space([0; 256]);
    let mut put = |at: usize, bytes: &[u8]| {
        for (slot, byte) in space.0.iter_mut().skip(at).zip(bytes) {
            *slot = *byte;
        }
    };

    put(0, &0x1041_1af4u32.to_le_bytes());
    // The status: there are capabilities.
    put(6, &[0x10]);
    put(0x34, &[caps.first().map_or(0, |cap| cap.at)]);
    for cap in caps {
        let at = usize::from(cap.at);

        put(at, &[0x09, cap.next, cap.len, cap.cfg_type, cap.bar]);
        put(at + 8, &cap.offset.to_le_bytes());
        put(at + 12, &cap.size.to_le_bytes());
        if cap.cfg_type == 2 {
            put(at + 16, &MULTIPLIER.to_le_bytes());
        }
    }
    space
}

/// The good device with one of its capabilities changed.
pub(crate) fn changed(index: usize, change: impl FnOnce(&mut Cap)) -> Space {
    let mut caps = GOOD;

    if let Some(cap) = caps.get_mut(index) {
        change(cap);
    }
    space(&caps)
}

/// What is found in the good device.
pub(crate) fn good() -> Structures {
    let place = |bar, range: Range<u64>| Place { bar, range };

    Structures {
        common: place(0, 0..0x38),
        notify: place(2, 0x1000..0x5000),
        isr: place(0, 0x38..0x39),
        device: Some(place(0, 0x100..0x200)),
        notify_multiplier: MULTIPLIER,
        msix: None,
    }
}

#[kunit_tests(vdpa_virtio_pci_capabilities)]
mod tests {
    use super::*;
    use vdpa::pci::virtio::{
        capability,
        fault::{
            Fault,
            Kind, //
        }, //
    };

    /// Of a kind of device that has a configuration.
    fn find(space: &Space, bars: &[u64; 6]) -> Result<Structures, Fault> {
        capability::find(space, bars, true)
    }

    const KINDS: [Kind; 4] = [Kind::Common, Kind::Notify, Kind::Isr, Kind::Device];

    fn fault(space: &Space) -> Option<Fault> {
        find(space, &BARS).err()
    }

    #[test]
    fn a_device_that_is_as_it_should_be() {
        assert!(find(&space(&GOOD), &BARS) == Ok(good()));
        // The two lowest bits of a pointer are reserved.
        assert!(find(&changed(0, |cap| cap.next |= 3), &BARS) == Ok(good()));
    }

    #[test]
    fn no_device_and_no_list() {
        assert_eq!(fault(&Space([0xff; 256])), Some(Fault::Absent));
        assert_eq!(fault(&Space([0; 256])), Some(Fault::NoCapabilities));
        let mut empty = space(&GOOD);
        empty.0[0x34] = 0;
        assert!(matches!(fault(&empty), Some(Fault::Missing { .. })));
    }

    #[test]
    fn a_list_that_does_not_end() {
        for next in [0x40, 0x54, 0x68, 0x78] {
            let space = changed(3, |cap| cap.next = next);
            assert_eq!(fault(&space), Some(Fault::EndlessList));
        }
        // Of none of virtio's, in the last four bytes.
        let mut space = changed(3, |cap| cap.next = 0xfc);
        space.0[0xfc..].copy_from_slice(&[0x05, 0xfc, 0, 0]);
        assert_eq!(fault(&space), Some(Fault::EndlessList));
    }

    #[test]
    fn a_pointer_into_the_header() {
        for next in [0x04, 0x3c, 0x3f] {
            let pointer = next & !3;
            let space = changed(3, |cap| cap.next = next);
            assert_eq!(fault(&space), Some(Fault::BadPointer { pointer }));
        }
    }

    #[test]
    fn each_structure_is_needed() {
        for (index, kind) in KINDS.into_iter().enumerate() {
            for cfg_type in [0, 0x77] {
                let space = changed(index, |cap| cap.cfg_type = cfg_type);
                assert_eq!(fault(&space), Some(Fault::Missing { kind }));
            }
        }
    }

    #[test]
    fn not_each_kind_of_device_has_a_configuration() {
        let find = |space: &_| capability::find(space, &BARS, false);
        let device = None;

        assert!(find(&space(&GOOD)) == Ok(good()));
        assert!(find(&changed(3, |cap| cap.cfg_type = 0)) == Ok(Structures { device, ..good() }));
        // One that makes no sense is not as good as none.
        assert!(matches!(
            find(&changed(3, |cap| cap.size = 0)),
            Err(Fault::TooShort { .. })
        ));
        assert!(matches!(
            find(&changed(2, |cap| cap.cfg_type = 0)),
            Err(Fault::Missing { kind: Kind::Isr })
        ));
    }

    #[test]
    fn capabilities_that_are_not_all_there() {
        for (index, need) in [(0, 16), (1, 20), (2, 16), (3, 16)] {
            for len in [0, 4, need - 1] {
                let space = changed(index, |cap| cap.len = len);
                assert!(matches!(fault(&space), Some(Fault::Truncated { .. })));
            }
        }
        // Over the end of the configuration space.
        for at in [0xf4, 0xf8, 0xfc] {
            let mut caps = GOOD;
            caps[2].next = at;
            caps[3].at = at;
            assert!(matches!(
                fault(&space(&caps)),
                Some(Fault::Truncated { .. })
            ));
        }
    }

    #[test]
    fn bars_that_are_not_there() {
        for (index, kind) in KINDS.into_iter().enumerate() {
            for bar in [6, 7, 0x80, 0xff] {
                let space = changed(index, |cap| cap.bar = bar);
                assert_eq!(fault(&space), Some(Fault::BadBar { kind, bar }));
            }
            for bar in [1, 3, 5] {
                let space = changed(index, |cap| cap.bar = bar);
                assert_eq!(fault(&space), Some(Fault::NoMemory { kind, bar }));
            }
        }
    }

    #[test]
    fn structures_are_in_their_bar() {
        for (offset, size) in [
            (0x0fcc, 0x38),
            (0x1000, 0x38),
            (0, 0x1001),
            (0xffff_fff0, 0x38),
            (0xffff_fffc, u32::MAX),
            (4, u32::MAX),
        ] {
            let space = changed(0, |cap| (cap.offset, cap.size) = (offset, size));
            assert!(matches!(fault(&space), Some(Fault::OutOfBar { .. })));
        }
        // The last place where it fits.
        assert!(find(&changed(0, |cap| cap.offset = 0xfc8), &BARS).is_ok());
    }

    #[test]
    fn structures_are_large_enough_and_aligned() {
        for (index, need) in [(0, 0x38), (1, 2), (2, 1), (3, 1)] {
            let space = changed(index, |cap| cap.size = need - 1);
            assert!(matches!(fault(&space), Some(Fault::TooShort { .. })));
        }
        for (index, align) in [(0, 4), (1, 2), (3, 4)] {
            let space = changed(index, |cap| cap.offset += align - 1);
            assert!(matches!(fault(&space), Some(Fault::Misaligned { .. })));
        }
    }

    #[test]
    fn where_the_vectors_are() {
        let place = |bar, range| Place { bar, range };
        let mut space = changed(3, |cap| cap.next = 0xb0);

        // Of 65 vectors the table is at 0x800 in BAR 2, the pending bits are at 0x18 in BAR 4.
        space.0[0xb0..0xbc].copy_from_slice(&[0x11, 0, 64, 0xc0, 2, 8, 0, 0, 0x1c, 0, 0, 0]);
        let msix = Some([place(2, 0x800..0xc10), place(4, 0x18..0x28)]);
        assert!(find(&space, &BARS) == Ok(Structures { msix, ..good() }));

        // Over the end of the configuration space.
        let mut space = changed(3, |cap| cap.next = 0xf8);
        space.0[0xf8..].copy_from_slice(&[0x11, 0, 64, 0xc0, 2, 8, 0, 0]);
        assert!(find(&space, &BARS) == Ok(good()));
    }

    #[test]
    fn the_first_that_can_be_used_counts() {
        let mut caps = [GOOD[0], GOOD[1], GOOD[2], GOOD[3], GOOD[0]];
        caps[3].next = 0xb0;
        caps[4] = Cap {
            at: 0xb0,
            next: 0,
            offset: 0x400,
            ..GOOD[0]
        };
        assert!(find(&space(&caps), &BARS) == Ok(good()));
        caps[0].bar = 6;
        assert!(find(&space(&caps), &BARS).is_ok_and(|found| found.common.range.start == 0x400));
    }
}
