// SPDX-License-Identifier: GPL-2.0

//! Frames whose contents follow from their number.

use anyhow::{ensure, Result};
use checks::random::{mix, Random};

use super::Mac;

/// The shortest frame: addresses, type, number, and something to compare.
pub const MIN_FRAME: usize = 32;

/// For experiments on the local network.
const TYPE: [u8; 2] = [0x88, 0xb5];
const NUMBER: usize = 14;
const BODY: usize = NUMBER + 8;

/// Makes frame `number` of a stream, which is `len` bytes long.
pub fn make(to: Mac, seed: u64, number: u64, len: usize) -> Vec<u8> {
    let mut frame = vec![0; len.max(MIN_FRAME)];

    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[12..NUMBER].copy_from_slice(&TYPE);
    set_number(&mut frame, number);
    Random::new(seed ^ mix(number)).fill(&mut frame[BODY..]);
    frame
}

/// Gives a frame another number.
pub fn set_number(frame: &mut [u8], number: u64) {
    frame[NUMBER..BODY].copy_from_slice(&number.to_be_bytes());
}

/// Reads the number of a frame.
pub fn number(frame: &[u8]) -> Result<u64> {
    ensure!(
        frame.len() >= BODY,
        "a frame has {} bytes only",
        frame.len()
    );
    let mut bytes = [0; 8];

    bytes.copy_from_slice(&frame[NUMBER..BODY]);
    Ok(u64::from_be_bytes(bytes))
}

/// Checks that a frame is number `number`, unchanged.
pub fn check(frame: &[u8], to: Mac, seed: u64, expected: u64, len: usize) -> Result<()> {
    let found = number(frame)?;
    ensure!(found == expected, "frame {found} came, not {expected}");

    let wanted = make(to, seed, expected, len);
    ensure!(
        frame.len() == wanted.len(),
        "frame {expected} has {} bytes, not {}",
        frame.len(),
        wanted.len()
    );
    if let Some(at) = frame.iter().zip(&wanted).position(|(a, b)| a != b) {
        anyhow::bail!(
            "byte {at} of frame {expected} is {:#04x}, not {:#04x}",
            frame[at],
            wanted[at]
        );
    }
    Ok(())
}
