// SPDX-License-Identifier: GPL-2.0

//! What can be made wrong with the device.
//!
//! Each fault is a word, most of them with values after colons. They can be given when the model is
//! started and be changed while it runs.

use std::fmt;
use std::str::FromStr;

use anyhow::{bail, ensure, Context, Result};

/// The faults, for people.
pub const FAULTS: &str = "\
vanish:N            gone after N register accesses: reads are all ones, no DMA, no interrupts
ones:AREA           all-ones reads of common, isr, device or migration, or of pci: capabilities
noise:AREA:N:SEED   N of 256 reads of an area are wrong, in ways that follow from SEED
storm:N             register accesses raise any vector, N times in all
reset:never|N       a reset ends never, or after its status was read N times
stop:never|MS       a queue that was disabled reads as enabled and goes on, for ever or so many
                    milliseconds, unless it is enabled again
enable:strict       a queue that was enabled cannot be set up any more
enables:Q:N         queue Q can be enabled N times, and then not until a reset
features:N          these features are offered
features-ok:refused FEATURES_OK is never accepted
vectors:refused     no vector is accepted for a queue or the configuration
queues:N            number of queues that is shown
queue-size:[Q:]N    size of all queues, or of queue Q, before the driver sets one
notify-off:[Q:]N    notification offset of all queues, or of queue Q
multiplier:N        multiplier for notification offsets
msix:N              MSI-X vectors; 0: no MSI-X [at start only]
chain:loop|low|beyond|end|empty
                    the list of capabilities has a loop, goes on in the header, goes on in the last
                    four bytes, has its last capability cut by the end, or has nothing of virtio
cap-missing:CAP     no capability of this kind: common, notify, isr or device
cap-len:CAP:N       length of the capability itself, in bytes
cap-bar:CAP:N       BAR that it refers to
cap-offset:CAP:N    offset in the BAR
cap-length:CAP:N    length in the BAR
stray:ADDRESS       each doorbell also makes it read 8 bytes at this bus address
churn:N[:TIMES]     the configuration changes after every N reads of it, as many times [for ever]
flap:MS             the link goes down and up every MS milliseconds";

/// A virtio structure that a capability refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// `VIRTIO_PCI_CAP_COMMON_CFG`.
    Common,
    /// `VIRTIO_PCI_CAP_NOTIFY_CFG`.
    Notify,
    /// `VIRTIO_PCI_CAP_ISR_CFG`.
    Isr,
    /// `VIRTIO_PCI_CAP_DEVICE_CFG`.
    Device,
}

/// Registers that can be made to read as all ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The common configuration.
    Common,
    /// The interrupt status.
    Isr,
    /// The device's configuration.
    Device,
    /// The live-migration registers.
    Migration,
    /// Configuration space.
    Pci,
}

/// How long a reset takes, in reads of the device status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetTime {
    /// So many reads still see the old status.
    Reads(u32),
    /// All reads do.
    Never,
}

/// What is wrong with the list of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// The second capability is followed by the first.
    Loop,
    /// The second is followed by what lies in the header.
    Low,
    /// The second is followed by the last four bytes of configuration space.
    Beyond,
    /// The last capability is cut by the end of configuration space.
    End,
    /// There are no virtio capabilities.
    Empty,
}

impl Chain {
    /// Whether QEMU must not see it: it copies the list when it starts, without an end for a loop,
    /// and shows the copy to the guest. What it has not seen it passes on.
    pub fn is_hidden(self) -> bool {
        matches!(self, Chain::Loop | Chain::Low | Chain::Beyond)
    }
}

/// What is wrong with one field of a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The capability is not there.
    Missing,
    /// Its own length.
    Len(u8),
    /// The number of the BAR.
    Bar(u8),
    /// The offset in the BAR.
    Offset(u32),
    /// The length in the BAR.
    Length(u32),
}

/// A configuration that changes while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Churn {
    /// Reads between two changes.
    pub reads: u32,
    /// Changes still to come; for ever without.
    pub times: Option<u32>,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Gone after so many register accesses.
    Vanish(u64),
    /// Registers that read as all ones.
    Ones(Area),
    /// Registers of which so many reads of 256 are wrong, and what these follow from.
    Noise(Area, u8, u32),
    /// So many interrupts that nobody expects.
    Storm(u32),
    /// A reset that takes its time.
    Reset(ResetTime),
    /// Queues that are disabled go on, for so many milliseconds; for ever without.
    Stop(Option<u64>),
    /// Queues cannot be set up when they are enabled.
    EnableStrict,
    /// How often a queue can be enabled after a reset.
    Enables(u16, u32),
    /// The features offered.
    Features(u64),
    /// No features are accepted.
    FeaturesRefused,
    /// No vectors are accepted.
    VectorsRefused,
    /// The number of queues.
    Queues(u16),
    /// The size of one queue or of all.
    QueueSize(Option<u16>, u16),
    /// The notification offset of one queue or of all.
    NotifyOff(Option<u16>, u16),
    /// The multiplier for notification offsets.
    Multiplier(u32),
    /// The number of MSI-X vectors.
    Msix(u16),
    /// The list of capabilities.
    Chain(Chain),
    /// A field of a capability.
    Capability(Structure, Field),
    /// A bus address that the device reads.
    Stray(u64),
    /// A configuration that changes while it is read.
    Churn(Churn),
    /// A link that goes down and up, with milliseconds between.
    Flap(u64),
}

/// A number, decimal or after 0x hexadecimal, that fits its place.
fn number<T: TryFrom<u64>>(text: &str) -> Result<T> {
    let value = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let value = value.with_context(|| format!("'{text}' is not a number"))?;
    T::try_from(value).map_err(|_| anyhow::anyhow!("{text} is too large"))
}

/// `[QUEUE:]VALUE`.
fn per_queue(values: &[&str]) -> Result<(Option<u16>, u16)> {
    match values {
        [value] => Ok((None, number(value)?)),
        [queue, value] => Ok((Some(number(queue)?), number(value)?)),
        _ => bail!("one value, or a queue and a value"),
    }
}

impl FromStr for Structure {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "common" => Structure::Common,
            "notify" => Structure::Notify,
            "isr" => Structure::Isr,
            "device" => Structure::Device,
            _ => bail!("'{text}' is none of common, notify, isr and device"),
        })
    }
}

impl FromStr for Area {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "common" => Area::Common,
            "isr" => Area::Isr,
            "device" => Area::Device,
            "migration" => Area::Migration,
            "pci" => Area::Pci,
            _ => bail!("'{text}' is none of common, isr, device, migration and pci"),
        })
    }
}

impl FromStr for Chain {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "loop" => Chain::Loop,
            "low" => Chain::Low,
            "beyond" => Chain::Beyond,
            "end" => Chain::End,
            "empty" => Chain::Empty,
            _ => bail!("'{text}' is none of loop, low, beyond, end and empty"),
        })
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split(':');
        let name = words.next().unwrap_or_default();
        let values: Vec<&str> = words.collect();
        Fault::parse(name, &values).with_context(|| format!("fault '{text}'"))
    }
}

impl Fault {
    fn parse(name: &str, values: &[&str]) -> Result<Self> {
        let capability = |field: fn(&str) -> Result<Field>| match values {
            [structure, value] => Ok(Fault::Capability(structure.parse()?, field(value)?)),
            _ => bail!("a capability and a value are needed"),
        };
        match name {
            "queue-size" => return per_queue(values).map(|(q, n)| Fault::QueueSize(q, n)),
            "notify-off" => return per_queue(values).map(|(q, n)| Fault::NotifyOff(q, n)),
            "cap-len" => return capability(|n| number(n).map(Field::Len)),
            "cap-bar" => return capability(|n| number(n).map(Field::Bar)),
            "cap-offset" => return capability(|n| number(n).map(Field::Offset)),
            "cap-length" => return capability(|n| number(n).map(Field::Length)),
            "churn" => return churn(values),
            "enables" => return enables(values),
            "noise" => return noise(values),
            _ => (),
        }
        let [value] = values else {
            bail!("one value is needed");
        };
        Ok(match name {
            "vanish" => Fault::Vanish(number(value)?),
            "ones" => Fault::Ones(value.parse()?),
            "reset" if *value == "never" => Fault::Reset(ResetTime::Never),
            "reset" => Fault::Reset(ResetTime::Reads(number(value)?)),
            "stop" if *value == "never" => Fault::Stop(None),
            "stop" => Fault::Stop(Some(number(value)?)),
            "enable" if *value == "strict" => Fault::EnableStrict,
            "features" => Fault::Features(number(value)?),
            "features-ok" if *value == "refused" => Fault::FeaturesRefused,
            "vectors" if *value == "refused" => Fault::VectorsRefused,
            "queues" => Fault::Queues(number(value)?),
            "multiplier" => Fault::Multiplier(number(value)?),
            "msix" => Fault::Msix(number(value)?),
            "chain" => Fault::Chain(value.parse()?),
            "cap-missing" => Fault::Capability(value.parse()?, Field::Missing),
            "stray" => Fault::Stray(number(value)?),
            "storm" => Fault::Storm(number(value)?),
            "flap" => {
                let interval = number(value)?;
                ensure!(interval > 0, "an interval of at least 1 ms");
                Fault::Flap(interval)
            }
            _ => bail!("there is none such; there are:\n{FAULTS}"),
        })
    }
}

fn churn(values: &[&str]) -> Result<Fault> {
    let (reads, times) = match values {
        [reads] => (number(reads)?, None),
        [reads, times] => (number(reads)?, Some(number(times)?)),
        _ => bail!("reads, and how many times"),
    };
    ensure!(reads > 0, "at least 1 read between changes");
    Ok(Fault::Churn(Churn { reads, times }))
}

fn enables(values: &[&str]) -> Result<Fault> {
    match values {
        [queue, times] => Ok(Fault::Enables(number(queue)?, number(times)?)),
        _ => bail!("a queue, and how many times"),
    }
}

fn noise(values: &[&str]) -> Result<Fault> {
    match values {
        [area, rate, seed] => Ok(Fault::Noise(area.parse()?, number(rate)?, number(seed)?)),
        _ => bail!("an area, how many of 256 reads are wrong, and a seed"),
    }
}

/// The faults that a device has.
#[derive(Clone, Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds one. The one given last counts, where only one can.
    pub fn add(&mut self, fault: Fault) {
        self.0.insert(0, fault);
    }

    /// Removes all, but keeps what QEMU has been told at its start.
    pub fn clear(&mut self) {
        self.0.retain(|fault| matches!(fault, Fault::Msix(_)));
    }

    /// The first for which `select` has an answer.
    pub fn find<T>(&self, select: impl FnMut(&Fault) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(select)
    }

    /// Whether it is there exactly so.
    pub fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    /// All of them, the latest first.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// A value that is given for one queue or for all, or `otherwise`.
    pub fn for_queue(
        &self,
        index: u16,
        otherwise: u16,
        select: impl Fn(&Fault) -> Option<(Option<u16>, u16)>,
    ) -> u16 {
        let fits = |fault: &Fault| {
            select(fault)
                .filter(|(queue, _)| queue.is_none_or(|queue| queue == index))
                .map(|(_, value)| value)
        };
        self.find(fits).unwrap_or(otherwise)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let names: Vec<String> = self.0.iter().map(|fault| format!("{fault:?}")).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understood() {
        for (text, fault) in [
            ("vanish:0", Fault::Vanish(0)),
            ("ones:migration", Fault::Ones(Area::Migration)),
            ("noise:pci:3:9", Fault::Noise(Area::Pci, 3, 9)),
            ("storm:100", Fault::Storm(100)),
            ("reset:never", Fault::Reset(ResetTime::Never)),
            ("reset:7", Fault::Reset(ResetTime::Reads(7))),
            ("stop:never", Fault::Stop(None)),
            ("stop:1200", Fault::Stop(Some(1200))),
            ("enables:1:0", Fault::Enables(1, 0)),
            ("queue-size:65535", Fault::QueueSize(None, 65535)),
            ("queue-size:1:0", Fault::QueueSize(Some(1), 0)),
            ("multiplier:0xffffffff", Fault::Multiplier(u32::MAX)),
            ("stray:0xffffffffffffffff", Fault::Stray(u64::MAX)),
            (
                "cap-bar:isr:6",
                Fault::Capability(Structure::Isr, Field::Bar(6)),
            ),
            (
                "cap-missing:notify",
                Fault::Capability(Structure::Notify, Field::Missing),
            ),
            (
                "churn:3:9",
                Fault::Churn(Churn {
                    reads: 3,
                    times: Some(9),
                }),
            ),
        ] {
            assert_eq!(text.parse::<Fault>().unwrap(), fault, "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "vanish",
            "vanish:-1",
            "vanish:1:2",
            "gone:1",
            "reset:soon",
            "stop:soon",
            "enables:1",
            "enables:65536:1",
            "queue-size:65536",
            "queue-size:0:1:2",
            "cap-bar:isr",
            "cap-bar:pci:1",
            "cap-len:isr:256",
            "chain:ring",
            "noise:all:1:1",
            "noise:isr:256:1",
            "noise:isr:1",
            "churn:0",
            "churn:1:2:3",
            "flap:0",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_counts() {
        let mut faults = Faults::default();
        for text in ["queue-size:3", "queue-size:1:0", "msix:1"] {
            faults.add(text.parse().unwrap());
        }
        let size = |faults: &Faults, queue| {
            faults.for_queue(queue, 256, |fault| match *fault {
                Fault::QueueSize(queue, size) => Some((queue, size)),
                _ => None,
            })
        };
        assert_eq!((size(&faults, 0), size(&faults, 1)), (3, 0));
        faults.clear();
        assert_eq!(size(&faults, 0), 256);
        assert!(faults.has(Fault::Msix(1)));
    }
}
