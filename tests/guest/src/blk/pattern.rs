// SPDX-License-Identifier: GPL-2.0

//! Contents of a disk that tell where they belong.

use anyhow::{bail, Result};

use crate::random::mix;

/// The unit in which block devices count.
pub const SECTOR: usize = 512;

/// Contents for a whole disk, derived from a seed: no two sectors are equal.
#[derive(Clone, Copy)]
pub struct Pattern(pub u64);

impl Pattern {
    /// Eight bytes of a sector.
    #[inline]
    fn word(self, base: u64, index: usize) -> [u8; 8] {
        mix(base.wrapping_add(index as u64)).to_ne_bytes()
    }

    fn base(self, sector: u64) -> u64 {
        mix(mix(self.0) ^ sector)
    }

    /// Writes the contents from `sector` on. `bytes` are whole sectors.
    pub fn write(self, bytes: &mut [u8], sector: u64) {
        for (sector, bytes) in (sector..).zip(bytes.chunks_exact_mut(SECTOR)) {
            let base = self.base(sector);

            for (index, word) in bytes.chunks_exact_mut(8).enumerate() {
                word.copy_from_slice(&self.word(base, index));
            }
        }
    }

    /// Fails unless `bytes`, which are whole sectors, are the contents from `sector` on.
    pub fn check(self, bytes: &[u8], sector: u64) -> Result<()> {
        for (sector, bytes) in (sector..).zip(bytes.chunks_exact(SECTOR)) {
            if !self.is(bytes, sector) {
                bail!(
                    "sector {sector} begins with {:02x?} instead of {:02x?}",
                    &bytes[..16],
                    [
                        self.word(self.base(sector), 0),
                        self.word(self.base(sector), 1)
                    ]
                    .concat()
                );
            }
        }
        Ok(())
    }

    /// Whether `bytes` are the contents of `sector`.
    pub fn is(self, bytes: &[u8], sector: u64) -> bool {
        let base = self.base(sector);

        bytes
            .chunks_exact(8)
            .enumerate()
            .all(|(index, word)| *word == self.word(base, index))
    }
}

/// Fails unless `bytes`, read from `sector` on, are zeroes.
pub fn check_zeroes(bytes: &[u8], sector: u64) -> Result<()> {
    match bytes.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(place) => bail!(
            "sector {} holds {:#x}, not 0, at byte {}",
            sector + (place / SECTOR) as u64,
            bytes[place],
            place % SECTOR
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_know_their_place() {
        let mut bytes = vec![0; 4 * SECTOR];
        Pattern(1).write(&mut bytes, 10);
        assert!(Pattern(1).check(&bytes, 10).is_ok());
        assert!(Pattern(1).check(&bytes, 11).is_err());
        assert!(Pattern(2).check(&bytes, 10).is_err());
        assert!(Pattern(1).check(&bytes[SECTOR..], 11).is_ok());
    }

    #[test]
    fn every_byte_counts() {
        let mut bytes = vec![0; SECTOR];
        Pattern(1).write(&mut bytes, 0);
        for place in 0..SECTOR {
            bytes[place] ^= 0x80;
            assert!(Pattern(1).check(&bytes, 0).is_err());
            bytes[place] ^= 0x80;
        }
    }

    #[test]
    fn zeroes_are_zeroes() {
        let mut bytes = vec![0; 2 * SECTOR];
        assert!(check_zeroes(&bytes, 3).is_ok());
        bytes[SECTOR + 1] = 1;
        let why = check_zeroes(&bytes, 3).unwrap_err().to_string();
        assert!(why.contains("sector 4") && why.contains("byte 1"), "{why}");
    }
}
