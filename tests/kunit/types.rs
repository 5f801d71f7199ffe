// SPDX-License-Identifier: GPL-2.0

//! Numbers with a meaning: which values they take, and what becomes of the others.

use kernel::prelude::*;

#[kunit_tests(vdpa_types)]
mod tests {
    use vdpa::{
        bindings,
        Features,
        IovaRange,
        Status,
        VqIndex,
        VqState, //
    };

    #[test]
    fn an_index_is_below_the_number_of_virtqueues() {
        for nvqs in [0, 1, 2, 3, 255, 0xffff, 0x1_0000] {
            for index in [0, 1, 2, 3, 254, 255, 0xfffe, 0xffff, 0x1_0000, u32::MAX] {
                let made = VqIndex::new(index, nvqs).map(VqIndex::get);
                let right = (index < nvqs).then_some(index as u16);

                assert_eq!(made, right);
            }
        }
    }

    #[test]
    fn an_index_has_16_bits() {
        for index in [0x1_0000, 0x1_0001, u32::MAX - 1] {
            assert!(VqIndex::new(index, u32::MAX).is_none());
        }
        assert!(VqIndex::new(u32::MAX, u32::MAX).is_none());
        // The largest difference that the mask is made from.
        assert!(VqIndex::new(0, u32::MAX).is_some_and(|index| index.get() == 0));
    }

    fn range(first: u64, last: u64) -> IovaRange {
        IovaRange { first, last }
    }

    #[test]
    fn a_range_has_a_size() {
        for (first, size, last) in [
            (0, 1, 0),
            (0x1000, 0x2000, 0x2fff),
            (u64::MAX, 1, u64::MAX),
            (1, u64::MAX, u64::MAX),
            (0, u64::MAX, u64::MAX - 1),
        ] {
            assert_eq!(IovaRange::from_size(first, size), Some(range(first, last)));
            assert_eq!(range(first, last).size(), size);
        }
        // One more than there is a number for.
        assert_eq!(IovaRange::FULL.size(), u64::MAX);
    }

    #[test]
    fn a_range_is_not_empty_and_does_not_wrap_around() {
        for (first, size) in [(0, 0), (u64::MAX, 0), (u64::MAX, 2), (2, u64::MAX)] {
            assert_eq!(IovaRange::from_size(first, size), None);
        }
    }

    #[test]
    fn a_range_goes_on_after_an_address() {
        let some = range(10, 20);

        assert_eq!(some.after(10), Some(range(11, 20)));
        assert_eq!(some.after(19), Some(range(20, 20)));
        assert_eq!(some.after(3), Some(some));
        assert_eq!(some.after(20), None);
        assert_eq!(some.after(u64::MAX), None);
        assert_eq!(IovaRange::FULL.after(u64::MAX), None);
        assert_eq!(IovaRange::FULL.after(0), Some(range(1, u64::MAX)));
    }

    #[test]
    fn features_have_64_bits() {
        let set = Features::from_bits(&[0, 33, 63]);

        assert_eq!(set.0, 1 | 1 << 33 | 1 << 63);
        for bit in 0..200 {
            assert_eq!(set.has(bit), matches!(bit, 0 | 33 | 63));
        }
        assert!(!set.has(u32::MAX));
    }

    #[test]
    fn features_are_a_set() {
        let a = Features(0b1100);
        let b = Features(0b1010);

        assert_eq!(a.intersection(b), Features(0b1000));
        assert_eq!(a.union(b), Features(0b1110));
        assert_eq!(a.difference(b), Features(0b0100));
        assert!(a.difference(a).is_empty());
        assert!(!a.is_empty());
        assert_eq!(Features::from_bits(&[]), Features::default());
    }

    #[test]
    fn status_bits_are_those_of_the_specification() {
        // Virtio 1.3, section 2.1.
        assert_eq!(Status::ACKNOWLEDGE.0, 1);
        assert_eq!(Status::DRIVER.0, 2);
        assert_eq!(Status::DRIVER_OK.0, 4);
        assert_eq!(Status::FEATURES_OK.0, 8);
        assert_eq!(Status::NEEDS_RESET.0, 64);
        assert_eq!(Status::FAILED.0, 128);

        let both = Status(Status::DRIVER.0 | Status::ACKNOWLEDGE.0);
        assert!(both.has(Status::DRIVER) && both.has(both));
        assert!(!Status::DRIVER.has(both));
    }

    /// Through the C representation and back.
    fn round(state: VqState, packed: bool) -> VqState {
        VqState::from_raw(&state.to_raw(), packed)
    }

    #[test]
    fn split_states_survive() {
        for avail_index in [0, 1, 0x7fff, 0x8000, 0xffff] {
            let state = VqState::Split { avail_index };

            assert_eq!(round(state, false), state);
        }
    }

    #[test]
    fn packed_states_survive() {
        for index in [0, 1, 0x3fff, 0x7fff] {
            for bits in 0..4 {
                let state = VqState::Packed {
                    last_avail_counter: bits & 1 != 0,
                    last_avail_idx: index,
                    last_used_counter: bits & 2 != 0,
                    last_used_idx: 0x7fff - index,
                };

                assert_eq!(round(state, true), state);
            }
        }
    }

    #[test]
    fn an_index_does_not_run_into_the_counter() {
        let state = VqState::Packed {
            last_avail_counter: false,
            last_avail_idx: 0xffff,
            last_used_counter: false,
            last_used_idx: 0x8001,
        };
        let expected = VqState::Packed {
            last_avail_counter: false,
            last_avail_idx: 0x7fff,
            last_used_counter: false,
            last_used_idx: 1,
        };

        assert_eq!(round(state, true), expected);
    }

    #[test]
    fn both_sides_start_alike() {
        assert_eq!(VqState::initial(false), VqState::Split { avail_index: 0 });
        // Virtio 1.3, section 2.8.1: both wrap counters start with 1.
        assert!(matches!(
            VqState::initial(true),
            VqState::Packed {
                last_avail_counter: true,
                last_avail_idx: 0,
                last_used_counter: true,
                last_used_idx: 0,
            }
        ));
    }

    #[test]
    fn feature_numbers_are_those_of_the_specification() {
        // Virtio 1.3, section 6.
        assert_eq!(bindings::VIRTIO_F_VERSION_1, 32);
        assert_eq!(bindings::VIRTIO_F_ACCESS_PLATFORM, 33);
        assert_eq!(bindings::VIRTIO_F_RING_PACKED, 34);
        assert_eq!(bindings::VIRTIO_F_NOTIFICATION_DATA, 38);
    }
}
