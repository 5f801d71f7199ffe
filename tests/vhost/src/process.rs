// SPDX-License-Identifier: GPL-2.0

//! What the kernel counts of pinned memory.

use std::fs;
use std::ops::Range;

use anyhow::{ensure, Context, Result};

/// How much is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// What this process is charged for, in KiB: `VmPin` in `/proc/self/status`.
    pub charged: u64,
    /// Pages that are pinned anywhere in the system.
    pub pages: i64,
}

impl Pinned {
    /// Counts now.
    pub fn now() -> Result<Self> {
        // Counts of other CPUs are summed up from time to time, or when this is written.
        fs::write("/proc/sys/vm/stat_refresh", "1").context("stat_refresh, which needs root")?;
        let counters = fs::read_to_string("/proc/vmstat")?;
        let counter = |name| number(&counters, name).with_context(|| format!("no {name}"));

        Ok(Self {
            charged: charged()?,
            pages: counter("nr_foll_pin_acquired")? as i64
                - counter("nr_foll_pin_released")? as i64,
        })
    }

    /// Fails unless as much is pinned now.
    pub fn unchanged(&self) -> Result<()> {
        let now = Self::now()?;

        ensure!(now == *self, "{self:?} before, {now:?} after");
        Ok(())
    }
}

/// What this process is charged for pinned memory, in KiB.
pub fn charged() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;

    number(&status, "VmPin:").context("no VmPin")
}

/// Whether nothing of this process lies in a range of addresses.
pub fn is_hole(range: Range<u64>) -> Result<bool> {
    let maps = fs::read_to_string("/proc/self/maps")?;

    for line in maps.lines() {
        let (start, rest) = line.split_once('-').context("/proc/self/maps")?;
        let (end, _) = rest.split_once(' ').context("/proc/self/maps")?;
        let start = u64::from_str_radix(start, 16)?;
        let end = u64::from_str_radix(end, 16)?;
        if start < range.end && range.start < end {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The number after a word at the start of a line.
pub fn number(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(char::is_whitespace))
        .find(|(word, _)| *word == name)?
        .1
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_after_their_name() {
        let text = "VmPinned:\t1 kB\nVmPin:\t      24 kB\nnr_x 7\n";

        assert_eq!(number(text, "VmPin:"), Some(24));
        assert_eq!(number(text, "nr_x"), Some(7));
        assert_eq!(number(text, "VmLck:"), None);
    }
}
