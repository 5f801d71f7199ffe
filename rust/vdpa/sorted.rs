// SPDX-License-Identifier: GPL-2.0

//! Searching what is in order.

/// Returns how many elements come before all that `is_before` is false for. It is true for those at
/// the beginning, and false for all others.
///
/// Does what `partition_point()` of slices does, in which a kernel that checks for overflow has a
/// place that could panic.
#[inline]
pub fn partition_point<T>(sorted: &[T], mut is_before: impl FnMut(&T) -> bool) -> usize {
    let mut before: usize = 0;
    let mut rest = sorted;

    // Those in front of `rest` come before, those behind it do not. It is halved each time.
    loop {
        let half = rest.len() / 2;
        let (low, high) = rest.split_at(half);
        let Some((middle, high)) = high.split_first() else {
            return before;
        };

        if is_before(middle) {
            // Never more than there are elements.
            before = before.wrapping_add(half).wrapping_add(1);
            rest = high;
        } else {
            rest = low;
        }
    }
}
