// SPDX-License-Identifier: GPL-2.0

//! Where the virtio structures of a function are, as its PCI capabilities say.
//!
//! Virtio 1.3, section 4.1.4. Nothing here needs a device: what is read is behind a trait, so that
//! it can be anything in a test.

use super::fault::{
    Fault,
    Kind, //
};
use core::ops::Range;

/// The configuration space of a function.
pub trait ConfigSpace {
    /// Reads four bytes, as a little endian number. The offset is a multiple of four.
    fn read32(&self, offset: u8) -> u32;
}

/// Offset of the word with the status, in its upper half (PCI Local Bus 3.0, section 6.2.3).
const COMMAND_STATUS: u8 = 0x04;
/// The function has capabilities.
const STATUS_CAPABILITIES: u32 = 1 << (16 + 4);
/// Offset of the byte that says where the first capability is.
const CAPABILITIES: u8 = 0x34;
/// The end of the header: where the first capability can be.
const HEADER_LEN: u8 = 0x40;
/// How many capabilities there can be if none is there twice.
const CAPABILITIES_MAX: usize = (256 - HEADER_LEN as usize) / 4;
/// The id of a vendor's capability.
const VENDOR: u8 = 0x09;
/// The id of the capability for MSI-X (PCI Local Bus 3.0, section 6.8.2).
const MSIX: u8 = 0x11;
/// In its message control: the number of vectors, less one.
const MSIX_VECTORS: u16 = 0x7ff;
/// In the words that say where something is: the number of the BAR.
const MSIX_BAR: u32 = 7;

/// The size of a `struct virtio_pci_cap`.
const CAP_LEN: u8 = 16;
/// The size of a `struct virtio_pci_notify_cap`.
const NOTIFY_CAP_LEN: u8 = 20;

/// The size of a `struct virtio_pci_common_cfg` up to the fields that all devices have.
pub const COMMON_LEN: u32 = 0x38;

/// Where in a BAR a structure is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the BAR, 0 to 5.
    pub bar: u8,
    /// The bytes, all of which are in the BAR.
    pub range: Range<u64>,
}

impl Place {
    /// Whether there are bytes that are in both.
    #[inline]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.bar == other.bar
            && self.range.start < other.range.end
            && other.range.start < self.range.end
    }
}

/// Where all structures of a device are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structures {
    /// Common configuration.
    pub common: Place,
    /// Notifications.
    pub notify: Place,
    /// ISR status.
    pub isr: Place,
    /// The device configuration. [`None`] for a kind of device that has none.
    pub device: Option<Place>,
    /// What `queue_notify_off` is to be multiplied with, in bytes.
    pub notify_multiplier: u32,
    /// Where the MSI-X table is, and the pending bits. [`None`] where that is not known. Not
    /// checked.
    pub msix: Option<[Place; 2]>,
}

impl Structures {
    /// All of them.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &Place)> {
        let device = self.device.as_ref().map(|place| (Kind::Device, place));

        [
            (Kind::Common, &self.common),
            (Kind::Notify, &self.notify),
            (Kind::Isr, &self.isr),
        ]
        .into_iter()
        .chain(device)
    }
}

/// The capabilities of a function, one after the other.
struct Capabilities<'a, C> {
    space: &'a C,
    next: u8,
    /// How many there can still be.
    left: usize,
}

/// A capability: where it is, and its first four bytes.
#[derive(Clone, Copy)]
struct Capability {
    at: u8,
    id: u8,
    len: u8,
    cfg_type: u8,
}

impl<'a, C: ConfigSpace> Capabilities<'a, C> {
    #[inline]
    fn new(space: &'a C) -> Result<Self, Fault> {
        if space.read32(0) == u32::MAX {
            return Err(Fault::Absent);
        }
        if space.read32(COMMAND_STATUS) & STATUS_CAPABILITIES == 0 {
            return Err(Fault::NoCapabilities);
        }
        let [next, ..] = space.read32(CAPABILITIES).to_le_bytes();

        Ok(Self {
            space,
            next,
            left: CAPABILITIES_MAX,
        })
    }

    #[inline]
    fn following(&mut self) -> Result<Option<Capability>, Fault> {
        // The two lowest bits are reserved.
        let at = self.next & !3;

        if at == 0 {
            return Ok(None);
        }
        if at < HEADER_LEN {
            return Err(Fault::BadPointer { pointer: at });
        }
        self.left = self.left.checked_sub(1).ok_or(Fault::EndlessList)?;

        let [id, next, len, cfg_type] = self.space.read32(at).to_le_bytes();
        self.next = next;
        Ok(Some(Capability {
            at,
            id,
            len,
            cfg_type,
        }))
    }
}

impl Capability {
    #[inline]
    fn kind(self) -> Option<Kind> {
        match (self.id, self.cfg_type) {
            (VENDOR, 1) => Some(Kind::Common),
            (VENDOR, 2) => Some(Kind::Notify),
            (VENDOR, 3) => Some(Kind::Isr),
            (VENDOR, 4) => Some(Kind::Device),
            _ => None,
        }
    }

    /// Checks that the capability is all there.
    #[inline]
    fn check_len(self, kind: Kind) -> Result<(), Fault> {
        let need = match kind {
            Kind::Notify => NOTIFY_CAP_LEN,
            _ => CAP_LEN,
        };
        let to_end = u8::try_from(256 - u16::from(self.at)).unwrap_or(u8::MAX);
        let len = self.len.min(to_end);

        if len < need {
            let at = self.at;
            return Err(Fault::Truncated {
                kind,
                at,
                len,
                need,
            });
        }
        Ok(())
    }

    /// Reads where the structure is, and with a notification structure, the multiplier.
    #[inline]
    fn read(
        self,
        kind: Kind,
        space: &impl ConfigSpace,
        bars: &[u64; 6],
    ) -> Result<(Place, u32), Fault> {
        self.check_len(kind)?;

        // None of this wraps around, as the capability is all in the configuration space.
        let read = |offset| space.read32(self.at.wrapping_add(offset));
        let [bar, ..] = read(4).to_le_bytes();
        let offset = read(8);
        let len = read(12);
        let multiplier = match kind {
            Kind::Notify => read(16),
            _ => 0,
        };

        Ok((place(kind, bar, offset, len, bars)?, multiplier))
    }

    /// Reads where the MSI-X table and the pending bits are, if this says it.
    #[inline]
    fn read_msix(self, space: &impl ConfigSpace) -> Option<[Place; 2]> {
        if self.id != MSIX {
            return None;
        }
        // What is behind the header of any capability.
        let control = u16::from_le_bytes([self.len, self.cfg_type]);
        let vectors = u64::from(control & MSIX_VECTORS) + 1;
        let place = |at, len| {
            let word = space.read32(at);
            let start = u64::from(word & !MSIX_BAR);

            Place {
                bar: (word & MSIX_BAR) as u8,
                range: start..start + len,
            }
        };

        Some([
            place(self.at.checked_add(4)?, 16 * vectors),
            place(self.at.checked_add(8)?, 8 * vectors.div_ceil(64)),
        ])
    }
}

/// Checks where a structure is said to be. `bars` are the sizes of the BARs in bytes, 0 for those
/// that cannot be used.
#[inline]
fn place(kind: Kind, bar: u8, offset: u32, len: u32, bars: &[u64; 6]) -> Result<Place, Fault> {
    // Virtio 1.3, sections 4.1.4.3.1, 4.1.4.4.1, 4.1.4.6.1; any size of the last is accepted.
    let (need, align) = match kind {
        Kind::Common => (COMMON_LEN, 4),
        Kind::Notify => (2, 2),
        Kind::Isr => (1, 1),
        Kind::Device => (1, 4),
    };
    let bar_len = *bars
        .get(usize::from(bar))
        .ok_or(Fault::BadBar { kind, bar })?;
    let range = u64::from(offset)..u64::from(offset) + u64::from(len);

    if bar_len == 0 {
        return Err(Fault::NoMemory { kind, bar });
    }
    if range.end > bar_len {
        return Err(Fault::OutOfBar {
            kind,
            bar,
            offset,
            len,
            bar_len,
        });
    }
    if len < need {
        return Err(Fault::TooShort { kind, len, need });
    }
    if offset % align != 0 {
        return Err(Fault::Misaligned {
            kind,
            offset,
            align,
        });
    }
    Ok(Place { bar, range })
}

/// Finds the structures of a device.
///
/// Of each kind the first that can be used counts, as section 4.1.4.1 of the specification demands.
/// Where there is none, the error is what is wrong with the last of its kind. `has_config` is whether
/// a device of this kind must have a configuration (section 4.1.4.6).
#[inline]
pub fn find(
    space: &impl ConfigSpace,
    bars: &[u64; 6],
    has_config: bool,
) -> Result<Structures, Fault> {
    let missing = |kind| Err(Fault::Missing { kind });
    let mut common = missing(Kind::Common);
    let mut notify = missing(Kind::Notify);
    let mut isr = missing(Kind::Isr);
    let mut device = missing(Kind::Device);
    let mut msix = None;
    let mut capabilities = Capabilities::new(space)?;

    while let Some(capability) = capabilities.following()? {
        msix = msix.or_else(|| capability.read_msix(space));
        let Some(kind) = capability.kind() else {
            continue;
        };
        let found = match kind {
            Kind::Common => &mut common,
            Kind::Notify => &mut notify,
            Kind::Isr => &mut isr,
            Kind::Device => &mut device,
        };

        if found.is_err() {
            *found = capability.read(kind, space, bars);
        }
    }

    let (notify, notify_multiplier) = notify?;

    Ok(Structures {
        common: common?.0,
        notify,
        isr: isr?.0,
        device: match device {
            Ok((place, _)) => Some(place),
            Err(Fault::Missing { .. }) if !has_config => None,
            Err(fault) => return Err(fault),
        },
        notify_multiplier,
        msix,
    })
}
