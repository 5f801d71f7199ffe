// SPDX-License-Identifier: GPL-2.0

//! Searching what is in order.

use kernel::prelude::*;

// For what is tested of the crate, where it is not public.
pub(crate) use vdpa::sorted::partition_point;

#[kunit_tests(vdpa_sorted)]
mod tests {
    use super::*;

    /// Each number of elements, and each place among them, is found as slices find it.
    #[test]
    fn every_place_is_found() {
        const ELEMENTS: [usize; 40] = {
            let mut elements = [0; 40];
            let mut i = 0;

            while i < elements.len() {
                elements[i] = i;
                i += 1;
            }
            elements
        };

        for len in 0..=ELEMENTS.len() {
            let sorted = &ELEMENTS[..len];

            for place in 0..=len {
                let is_before = |element: &usize| *element < place;

                assert_eq!(partition_point(sorted, is_before), place);
                assert_eq!(sorted.partition_point(is_before), place);
            }
        }
    }

    /// It does not look at more elements than halving takes.
    #[test]
    fn it_is_halved_each_time() {
        let sorted = [(); 1 << 10];
        let mut looks = 0;

        let place = partition_point(&sorted, |()| {
            looks += 1;
            looks % 2 == 0
        });
        assert!(place < sorted.len());
        assert!(looks <= 11);
    }
}
