// SPDX-License-Identifier: GPL-2.0

//! What a device is, as it was asked for.

use std::path::PathBuf;

use anyhow::{bail, ensure, Context, Result};

use crate::faults::Faults;

/// The settings, for people.
pub const SETTINGS: &str = "\
card=n3000          1af4:1041, subsystem 8086:001a: network device of an N3000 [this]
card=c5000x-net     1af4:1000, subsystem 8086:0001: network device of a C5000X-PL or F2000X-PL
card=c5000x-blk     1af4:1001, subsystem 8086:0002: block device of a C5000X-PL
mac=ADDRESS         [52:54:00:12:34:56]
mtu=N               shown to the driver [not shown]
pairs=N             queue pairs, 1 to 8; with more than one there is a control queue [1]
size=N              queue size, a power of two up to 32768 [256]
net=loop            frames that are sent come back [this]
net=listen:PATH     they go to and come from who connects to this socket, in the format of QEMU's
                    -netdev stream
net=connect:PATH    the same, connects to the socket itself
disk=MIB            size of the disk [16]
fault=FAULT         something that is wrong, see below; may be given several times
trace               print every register access";

/// The card that a function belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// N3000, network.
    N3000,
    /// C5000X-PL or F2000X-PL, network.
    C5000xNet,
    /// C5000X-PL, block.
    C5000xBlk,
}

/// Where frames go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// Back.
    Loop,
    /// To who connects to the socket.
    Listen(PathBuf),
    /// To who listens on the socket.
    Connect(PathBuf),
}

/// All of a device.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The socket for QEMU.
    pub socket: PathBuf,
    /// Which ids it has.
    pub card: Card,
    /// The MAC address.
    pub mac: [u8; 6],
    /// The largest packet, if it is shown.
    pub mtu: Option<u16>,
    /// Pairs of a receive and a transmit queue.
    pub pairs: u16,
    /// Entries in each queue.
    pub size: u16,
    /// Where frames go.
    pub network: Network,
    /// Size of the disk, in MiB.
    pub disk: u32,
    /// What is wrong from the start.
    pub faults: Faults,
    /// Whether to print every register access.
    pub trace: bool,
}

impl Settings {
    /// A device of which nothing is said but its socket.
    pub fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            card: Card::N3000,
            mac: [0x52, 0x54, 0x00, 0x12, 0x34, 0x56],
            mtu: None,
            pairs: 1,
            size: 256,
            network: Network::Loop,
            disk: 16,
            faults: Faults::default(),
            trace: false,
        }
    }

    /// Reads `SOCKET[,SETTING]...`.
    ///
    /// # Errors
    ///
    /// For what is not understood or not possible, with what would be.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = text.split(',');
        let socket = parts.next().unwrap_or_default();
        ensure!(!socket.is_empty(), "device '{text}' has no socket");
        let mut settings = Self::new(socket.into());
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            settings
                .set(key, value)
                .with_context(|| format!("device '{socket}', setting '{part}'"))?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "card" => {
                self.card = match value {
                    "n3000" => Card::N3000,
                    "c5000x-net" => Card::C5000xNet,
                    "c5000x-blk" => Card::C5000xBlk,
                    _ => bail!("there are n3000, c5000x-net and c5000x-blk"),
                }
            }
            "mac" => self.mac = mac(value)?,
            "mtu" => self.mtu = Some(within(value, 68, 65535)? as u16),
            "pairs" => self.pairs = within(value, 1, 8)? as u16,
            "size" => {
                self.size = within(value, 1, 32768)? as u16;
                ensure!(self.size.is_power_of_two(), "it must be a power of two");
            }
            "net" => {
                self.network = match value.split_once(':') {
                    Some(("listen", path)) => Network::Listen(path.into()),
                    Some(("connect", path)) => Network::Connect(path.into()),
                    None if value == "loop" => Network::Loop,
                    _ => bail!("there are loop, listen:PATH and connect:PATH"),
                }
            }
            "disk" => self.disk = within(value, 1, 1024)?,
            "fault" => self.faults.add(value.parse()?),
            "trace" => self.trace = true,
            _ => bail!("there is none such; there are:\n{SETTINGS}"),
        }
        Ok(())
    }

    /// Whether it is a network device, and otherwise a block device.
    pub fn is_net(&self) -> bool {
        self.card != Card::C5000xBlk
    }

    /// The number of virtqueues.
    pub fn queues(&self) -> u16 {
        match (self.is_net(), self.pairs) {
            (false, _) => 1,
            (true, 1) => 2,
            (true, pairs) => 2 * pairs + 1,
        }
    }
}

fn within(text: &str, low: u32, high: u32) -> Result<u32> {
    match text.parse() {
        Ok(value) if (low..=high).contains(&value) => Ok(value),
        _ => bail!("'{text}' is not a number from {low} to {high}"),
    }
}

fn mac(text: &str) -> Result<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().context("six bytes are needed")?;
        *byte = u8::from_str_radix(part, 16).context("bytes are two hexadecimal digits")?;
    }
    ensure!(parts.next().is_none(), "six bytes are needed");
    ensure!(
        mac[0] & 1 == 0 && mac != [0; 6],
        "it is no address of a station"
    );
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;

    #[test]
    fn understood() {
        let settings = Settings::parse(
            "a.sock,mac=02:00:00:00:00:0A,pairs=2,net=listen:b.sock,size=64,fault=vanish:3,trace",
        )
        .unwrap();
        assert_eq!(settings.socket, PathBuf::from("a.sock"));
        assert_eq!(settings.mac, [2, 0, 0, 0, 0, 10]);
        assert_eq!(settings.queues(), 5);
        assert_eq!(settings.network, Network::Listen("b.sock".into()));
        assert!(settings.faults.has(Fault::Vanish(3)));
        assert!(settings.trace);
        assert_eq!(Settings::parse("a,card=c5000x-blk").unwrap().queues(), 1);
    }

    #[test]
    fn refused() {
        for text in [
            "",
            ",mtu=1500",
            "a,card=x",
            "a,mac=02:00:00:00:00",
            "a,mac=03:00:00:00:00:01",
            "a,mac=02:00:00:00:00:01:02",
            "a,pairs=0",
            "a,size=3",
            "a,size=65536",
            "a,net=tap",
            "a,fault=none",
            "a,colour=red",
        ] {
            assert!(Settings::parse(text).is_err(), "{text}");
        }
    }
}
