// SPDX-License-Identifier: GPL-2.0

//! A network interface, as sysfs shows it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};

use super::frame::{ADDRESS, ETHERTYPE};
use crate::sys::packet::Packet;

/// How long a frame may take. Only one that is lost needs so long, even when emulated.
const PATIENCE: Duration = Duration::from_secs(10);

/// An interface that is up.
pub struct Interface {
    directory: PathBuf,
    index: u32,
    /// Its address.
    pub address: [u8; ADDRESS],
}

/// What the interface has counted.
#[derive(Debug)]
pub struct Counters {
    rx_packets: u64,
    tx_packets: u64,
    rx_bytes: u64,
    tx_bytes: u64,
    errors: u64,
}

impl Interface {
    /// Looks for the interface `name`.
    pub fn open(name: &str) -> Result<Self> {
        let directory = PathBuf::from("/sys/class/net").join(name);
        let flags = read(&directory, "flags")?;
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).context("flags")?;

        ensure!(flags & 1 != 0, "the interface {name} is down");
        Ok(Self {
            index: read(&directory, "ifindex")?.parse().context("ifindex")?,
            address: parse_address(&read(&directory, "address")?)?,
            directory,
        })
    }

    /// Opens a socket for our frames.
    pub fn socket(&self) -> Result<Packet> {
        Packet::open(self.index, ETHERTYPE, PATIENCE).context("cannot open a packet socket")
    }

    /// Reads what was counted.
    pub fn counters(&self) -> Result<Counters> {
        let directory = self.directory.join("statistics");
        let counter = |name: &str| -> Result<u64> {
            read(&directory, name)?
                .parse()
                .with_context(|| name.to_owned())
        };

        Ok(Counters {
            rx_packets: counter("rx_packets")?,
            tx_packets: counter("tx_packets")?,
            rx_bytes: counter("rx_bytes")?,
            tx_bytes: counter("tx_bytes")?,
            errors: [
                "rx_errors",
                "rx_dropped",
                "rx_length_errors",
                "rx_frame_errors",
                "rx_missed_errors",
                "tx_errors",
                "tx_dropped",
            ]
            .into_iter()
            .map(counter)
            .sum::<Result<u64>>()?,
        })
    }
}

impl Counters {
    /// Fails unless `after` counts at least `frames` frames of `size` bytes more received, and no
    /// more errors. Others may use the interface too.
    pub fn check_received(&self, after: &Self, frames: u64, size: u64) -> Result<()> {
        grew("rx_packets", self.rx_packets, after.rx_packets, frames)?;
        grew("rx_bytes", self.rx_bytes, after.rx_bytes, frames * size)?;
        self.check_errors(after)
    }

    /// The same for frames that were sent.
    pub fn check_sent(&self, after: &Self, frames: u64, size: u64) -> Result<()> {
        grew("tx_packets", self.tx_packets, after.tx_packets, frames)?;
        grew("tx_bytes", self.tx_bytes, after.tx_bytes, frames * size)?;
        self.check_errors(after)
    }

    fn check_errors(&self, after: &Self) -> Result<()> {
        ensure!(
            self.errors == after.errors,
            "errors and drops grew from {} to {}",
            self.errors,
            after.errors
        );
        Ok(())
    }
}

fn grew(name: &str, before: u64, now: u64, least: u64) -> Result<()> {
    ensure!(
        now.saturating_sub(before) >= least,
        "{name} grew from {before} to {now}, not by {least}"
    );
    Ok(())
}

fn read(directory: &std::path::Path, name: &str) -> Result<String> {
    let path = directory.join(name);

    Ok(fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .trim()
        .to_owned())
}

fn parse_address(text: &str) -> Result<[u8; ADDRESS]> {
    let bytes = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<Vec<_>, _>>();

    match bytes.ok().and_then(|bytes| bytes.try_into().ok()) {
        Some(address) => Ok(address),
        None => bail!("{text:?} is not the address of an Ethernet interface"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_six_bytes() {
        assert_eq!(
            parse_address("02:00:00:00:00:ff").unwrap(),
            [2, 0, 0, 0, 0, 255]
        );
        assert!(parse_address("02:00:00:00:00").is_err());
        assert!(parse_address("").is_err());
    }
}
