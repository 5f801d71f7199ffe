// SPDX-License-Identifier: GPL-2.0

//! Virtio-PCI parents: numbers in the registers of a device.

use kernel::prelude::*;

#[kunit_tests(vdpa_virtio_pci_numbers)]
mod tests {
    use crate::{
        capabilities::{
            good,
            BARS, //
        },
        place, //
    };
    use vdpa::pci::virtio::{
        fault::{
            Fault,
            Kind, //
        },
        limits::{
            any_queue,
            doorbell,
            doorbell_area,
            queue_count,
            queue_size, //
        },
        Place,
        Structures, //
    };

    #[test]
    fn numbers_of_virtqueues() {
        for count in 0..=u16::MAX {
            // Interrupts go through all that are used.
            match queue_count(count) {
                Ok(used) => assert_eq!(used, count.min(1024)),
                Err(_) => assert!(count == 0 || count == u16::MAX),
            }
        }
    }

    #[test]
    fn sizes_of_virtqueues() {
        assert!(queue_size(0, 0) == Ok(None));
        for size in 1..=u16::MAX {
            let good = size.is_power_of_two();
            assert_eq!(queue_size(3, size).is_ok(), good);
            assert!(!good || queue_size(3, size) == Ok(Some(size)));
        }
        assert!(any_queue([None, Some(1)].into_iter()).is_ok());
        assert!(any_queue([None, None].into_iter()) == Err(Fault::NoQueue));
    }

    #[test]
    fn states_are_in_their_bar() {
        for (count, need) in [(1, 0x24u64), (2, 0x28), (1024, 0x1020), (65534, 0x40018)] {
            let mut bars = BARS;

            bars[4] = need;
            let range = 0x20..need;
            assert!(place::find(count, &good(), &bars) == Ok(Place { bar: 4, range }));
            assert!(place::offset(count - 1) as u64 + 2 <= need - 0x20);
            for bar_len in [0, need - 1] {
                bars[4] = bar_len;
                let fault = place::Fault::TooShort { bar_len, need };
                assert!(place::find(count, &good(), &bars) == Err(fault));
            }
        }
    }

    #[test]
    fn states_are_not_where_something_else_is() {
        let mut found = good();

        found.isr = Place {
            bar: 4,
            range: 0x24..0x25,
        };
        assert!(place::find(1, &found, &BARS).is_ok());
        let fault = place::Fault::Overlap {
            kind: Kind::Isr,
            need: 0x28,
        };
        assert!(place::find(2, &found, &BARS) == Err(fault));
    }

    #[test]
    fn doorbells_are_in_their_structure() {
        for (notify_off, multiplier, len, expected) in [
            (0, 0, 2, Some(0)),
            (3, 4, 14, Some(12)),
            (0xffff, 0xffff_fffe, u64::MAX, Some(0xffff * 0xffff_fffe)),
            (0, 0, 1, None),
            (3, 4, 13, None),
            (1, 3, 100, None),
            (0xffff, u32::MAX, 0x1000, None),
            (0xffff, 0x1_0001, 0x1000, None),
        ] {
            assert!(doorbell(5, notify_off, multiplier, len).ok() == expected);
        }
    }

    /// A device with `len` bytes of notifications, from 0x1000 on in a BAR where nothing else is.
    fn notifying(len: u64, notify_multiplier: u32) -> Structures {
        let mut found = good();

        found.notify.range = 0x1000..0x1000 + len;
        found.notify_multiplier = notify_multiplier;
        found.msix = Some([found.isr.clone(), found.isr.clone()]);
        found
    }

    const PAGE: u64 = 4096;
    const STATES: Place = Place {
        bar: 4,
        range: 0x20..0x28,
    };

    #[test]
    fn doorbells_of_userspace_are_in_their_structure() {
        for (offset, multiplier, len, expected) in [
            (0x1000, 0x1000, 0x2000, Some(PAGE)),
            (0x1000, 0x1000, 0x1fff, None),
            (0, 0, PAGE, Some(PAGE)),
            (0, 0, PAGE - 1, None),
        ] {
            let found = notifying(len, multiplier);
            assert_eq!(doorbell_area(offset, PAGE, &found, Some(&STATES)), expected);
        }
    }

    #[test]
    fn doorbells_of_userspace_have_nothing_beside_them() {
        let changes: [fn(&mut Structures, Place); 5] = [
            |found, place| found.common = place,
            |found, place| found.isr = place,
            |found, place| found.device = Some(place),
            |found, place| found.msix = Some([place, found.isr.clone()]),
            |found, place| found.msix = Some([found.isr.clone(), place]),
        ];
        let clean = notifying(0x2000, 0x1000);
        let area = |found: &_, own: &_| doorbell_area(0x1000, PAGE, found, Some(own));

        // The page is from 0x2000 to 0x3000 in its BAR.
        for (range, expected) in [
            (0x1ff0..0x2000, Some(PAGE)),
            (0x1ff0..0x2001, None),
            (0x2800..0x2810, None),
            (0x1000..0x4000, None),
            (0x2fff..0x3010, None),
            (0x3000..0x3010, Some(PAGE)),
        ] {
            let place = Place { bar: 2, range };
            for change in changes {
                let mut found = clean.clone();
                change(&mut found, place.clone());
                assert_eq!(area(&found, &STATES), expected);
            }
            assert_eq!(area(&clean, &place), expected);
            assert_eq!(doorbell_area(0x1000, PAGE, &clean, None), Some(PAGE));
        }
        // Where the vectors are not known, they may be anywhere.
        let msix = None;
        assert_eq!(area(&Structures { msix, ..clean }, &STATES), None);
    }
}
