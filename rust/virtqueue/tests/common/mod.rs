// SPDX-License-Identifier: GPL-2.0

//! What the tests share: a driver's memory that keeps a record of all accesses, and a driver.

// Each test program uses its part of it.
#![allow(dead_code, unreachable_pub)]

pub mod driver;
pub mod fixture;
pub mod ram;
pub mod vectors;

/// Bytes that differ from place to place, so that a byte that is lost, repeated or swapped shows.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}
