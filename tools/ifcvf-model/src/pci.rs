// SPDX-License-Identifier: GPL-2.0

//! The configuration space of the function.

use crate::faults::{Chain, Fault, Faults, Field, Structure};
use crate::layout;
use crate::settings::{Card, Settings};

/// Bytes of configuration space.
pub const SIZE: usize = 256;

/// Reads of the guest are of at most this many bytes. QEMU itself reads all when it starts.
const GUEST_READ: usize = 4;

const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const CAPABILITY_LIST: usize = 0x34;
/// Bit of the command register: the function may access memory.
const BUS_MASTER: u8 = 1 << 2;
/// Bit of the status register: there is a list of capabilities.
const HAS_CAPABILITIES: u8 = 1 << 4;

/// The end of the header; capabilities are behind it.
pub const HEADER_LEN: u64 = 0x40;

const MSIX: usize = 0x40;
/// Where the last capability is that the end of configuration space cuts.
const CUT: usize = 0xf8;
/// A capability of which there is only room for the header.
const LAST_WORD: usize = 0xfc;

/// Bits that the guest can write, by offset. QEMU itself keeps the BARs.
const WRITABLE: &[(usize, u8)] = &[
    (COMMAND, 0x06),
    (COMMAND + 1, 0x04),
    (0x3c, 0xff),
    (MSIX + 3, 0xc0),
];

/// One virtio capability and where it is by default.
struct Virtio {
    structure: Structure,
    at: usize,
    /// `VIRTIO_PCI_CAP_…`.
    kind: u8,
    len: u8,
    offset: u64,
    length: u64,
}

/// Configuration space as the guest sees it.
pub struct ConfigSpace {
    /// What cannot be written.
    fixed: [u8; SIZE],
    /// What was written.
    written: [u8; SIZE],
    /// QEMU sees no list of capabilities.
    hidden: bool,
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    // What the end cuts is not there.
    for (byte, value) in bytes.iter_mut().skip(at).zip(value) {
        *byte = *value;
    }
}

impl ConfigSpace {
    /// The space of a function that was reset. `device_len` is the length of its device's
    /// configuration.
    pub fn new(settings: &Settings, faults: &Faults, device_len: u64) -> Self {
        let mut space = Self {
            fixed: [0; SIZE],
            written: [0; SIZE],
            hidden: false,
        };
        space.set_faults(settings, faults, device_len);
        space
    }

    /// Builds anew what cannot be written.
    pub fn set_faults(&mut self, settings: &Settings, faults: &Faults, device_len: u64) {
        let chain = faults.find(|fault| match fault {
            Fault::Chain(chain) => Some(*chain),
            _ => None,
        });
        let mut bytes = [0; SIZE];
        header(&mut bytes, settings.card);
        capabilities(&mut bytes, settings, faults, chain, device_len);
        self.fixed = bytes;
        self.hidden = chain.is_some_and(Chain::is_hidden);
    }

    /// Forgets what was written.
    pub fn reset(&mut self) {
        self.written = [0; SIZE];
    }

    /// Whether the function may access memory.
    pub fn bus_master(&self) -> bool {
        self.written[COMMAND] & BUS_MASTER != 0
    }

    /// Reads; beyond the end is nothing.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        let mut bytes = self.fixed;
        for (at, _) in WRITABLE {
            bytes[*at] |= self.written[*at];
        }
        if self.hidden && data.len() > GUEST_READ {
            bytes[STATUS] &= !HAS_CAPABILITIES;
            bytes[CAPABILITY_LIST] = 0;
        }
        let start = usize::try_from(offset).unwrap_or(SIZE).min(SIZE);
        data.fill(0);
        put(data, 0, &bytes[start..]);
    }

    /// Writes what can be written.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        for (at, mask) in WRITABLE {
            let within = (*at as u64).checked_sub(offset);
            let byte = within.and_then(|within| data.get(usize::try_from(within).ok()?));
            if let Some(byte) = byte {
                self.written[*at] = byte & mask;
            }
        }
    }
}

fn header(bytes: &mut [u8; SIZE], card: Card) {
    // Vendor 1af4 throughout; class, subsystem and device by card.
    let (device, class, subsystem): (u16, [u8; 3], u16) = match card {
        Card::N3000 => (0x1041, [0, 0, 0x02], 0x001a),
        Card::C5000xNet => (0x1000, [0, 0, 0x02], 0x0001),
        Card::C5000xBlk => (0x1001, [0, 0, 0x01], 0x0002),
    };
    put(bytes, 0x00, &0x1af4u16.to_le_bytes());
    put(bytes, 0x02, &device.to_le_bytes());
    // A revision from 1 on: a virtio device without the legacy interface.
    bytes[0x08] = 1;
    put(bytes, 0x09, &class);
    for bar in [layout::VIRTIO_BAR, layout::MSIX_BAR, layout::MIGRATION_BAR] {
        // Memory of 64 bits.
        bytes[0x10 + 4 * bar as usize] = 0x04;
    }
    put(bytes, 0x2c, &0x8086u16.to_le_bytes());
    put(bytes, 0x2e, &subsystem.to_le_bytes());
}

/// Vectors of the function.
pub fn vectors(settings: &Settings, faults: &Faults) -> u16 {
    let given = faults.find(|fault| match fault {
        Fault::Msix(count) => Some(*count),
        _ => None,
    });
    // The capability has eleven bits for the number less one.
    given.unwrap_or(settings.queues() + 1).min(2048)
}

fn capabilities(
    bytes: &mut [u8; SIZE],
    settings: &Settings,
    faults: &Faults,
    chain: Option<Chain>,
    device_len: u64,
) {
    let mut list = Vec::new();
    let vectors = vectors(settings, faults);
    if let Some(last) = vectors.checked_sub(1) {
        list.push(MSIX);
        bytes[MSIX] = 0x11;
        put(bytes, MSIX + 2, &last.to_le_bytes());
        let pending = layout::MSIX_PENDING | layout::MSIX_BAR;
        put(bytes, MSIX + 4, &layout::MSIX_BAR.to_le_bytes());
        put(bytes, MSIX + 8, &pending.to_le_bytes());
    }
    let first = list.len();
    if chain != Some(Chain::Empty) {
        for virtio in structures(settings, chain, device_len) {
            if virtio.write(bytes, faults) {
                list.push(virtio.at);
            }
        }
    }
    let mut link = CAPABILITY_LIST;
    for at in &list {
        bytes[link] = *at as u8;
        link = at + 1;
    }
    if !list.is_empty() {
        bytes[STATUS] |= HAS_CAPABILITIES;
    }
    let (Some(from), Some(second)) = (list.get(first), list.get(first + 1)) else {
        return;
    };
    match chain {
        Some(Chain::Loop) => bytes[second + 1] = *from as u8,
        Some(Chain::Low) => bytes[second + 1] = 0x10,
        Some(Chain::Beyond) => {
            bytes[second + 1] = LAST_WORD as u8;
            put(bytes, LAST_WORD, &[9, 0, 20, 2]);
        }
        _ => (),
    }
}

fn structures(settings: &Settings, chain: Option<Chain>, device_len: u64) -> [Virtio; 4] {
    let virtio = |structure, at, kind, len, offset, length| Virtio {
        structure,
        at,
        kind,
        len,
        offset,
        length,
    };
    let notify_len = layout::NOTIFY_STRIDE * u64::from(settings.queues());
    let notify_at = if chain == Some(Chain::End) { CUT } else { 0x80 };
    [
        virtio(
            Structure::Common,
            0x50,
            1,
            16,
            layout::COMMON,
            layout::COMMON_LEN,
        ),
        virtio(Structure::Isr, 0x60, 3, 16, layout::ISR, layout::ISR_LEN),
        virtio(Structure::Device, 0x70, 4, 16, layout::DEVICE, device_len),
        virtio(
            Structure::Notify,
            notify_at,
            2,
            20,
            layout::NOTIFY,
            notify_len,
        ),
    ]
}

impl Virtio {
    /// Writes it, all but the link to the next, if it is there.
    fn write(&self, bytes: &mut [u8; SIZE], faults: &Faults) -> bool {
        let (mut len, mut bar) = (self.len, layout::VIRTIO_BAR as u8);
        let (mut offset, mut length) = (self.offset as u32, self.length as u32);
        let mut multiplier = layout::NOTIFY_STRIDE as u32;
        for fault in faults.iter() {
            match *fault {
                Fault::Multiplier(value) => multiplier = value,
                Fault::Capability(structure, field) if structure == self.structure => match field {
                    Field::Missing => return false,
                    Field::Len(value) => len = value,
                    Field::Bar(value) => bar = value,
                    Field::Offset(value) => offset = value,
                    Field::Length(value) => length = value,
                },
                _ => (),
            }
        }
        put(bytes, self.at, &[9, 0, len, self.kind, bar, 0, 0, 0]);
        put(bytes, self.at + 8, &offset.to_le_bytes());
        put(bytes, self.at + 12, &length.to_le_bytes());
        if self.structure == Structure::Notify {
            put(bytes, self.at + 16, &multiplier.to_le_bytes());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(spec: &str) -> ConfigSpace {
        let settings = Settings::parse(spec).unwrap();
        ConfigSpace::new(&settings, &settings.faults, 12)
    }

    fn byte(space: &ConfigSpace, at: u64) -> u8 {
        let mut data = [0];
        space.read(at, &mut data);
        data[0]
    }

    /// Offset and kind of each capability in the list; at most ten.
    fn list(space: &ConfigSpace) -> Vec<(u8, u8)> {
        let mut found = Vec::new();
        let mut at = byte(space, 0x34);
        while at != 0 && found.len() < 10 {
            let kind = u64::from(at) + 3;
            let kind = if byte(space, at.into()) == 9 {
                byte(space, kind)
            } else {
                0
            };
            found.push((at, kind));
            at = byte(space, u64::from(at) + 1);
        }
        found
    }

    #[test]
    fn ids_and_capabilities() {
        let space = space("s,card=n3000");
        let mut all = [0; SIZE];
        space.read(0, &mut all);
        assert_eq!(all[..4], [0xf4, 0x1a, 0x41, 0x10]);
        assert_eq!(all[0x2c..0x30], [0x86, 0x80, 0x1a, 0x00]);
        let expected = [(0x40, 0), (0x50, 1), (0x60, 3), (0x70, 4), (0x80, 2)];
        assert_eq!(list(&space), expected);
        assert_eq!(all[0x42..0x44], [2, 0], "three vectors");
        assert_eq!(all[0x90..0x94], 0x1000u32.to_le_bytes());
    }

    #[test]
    fn writing() {
        let mut space = space("s");
        space.write(0, &[0xff; SIZE]);
        assert!(space.bus_master());
        assert_eq!(byte(&space, 0), 0xf4);
        assert_eq!(byte(&space, 0x43), 0xc0);
        space.write(u64::MAX, &[0; 4]);
        space.write(2, &[0; 3]);
        assert!(!space.bus_master());
        let mut end = [1; 8];
        space.read(252, &mut end);
        space.read(u64::MAX, &mut end);
        assert_eq!(end, [0; 8]);
    }

    #[test]
    fn broken_lists() {
        let kinds = |spec: &str| -> Vec<u8> {
            list(&space(spec))
                .into_iter()
                .map(|(_, kind)| kind)
                .collect()
        };
        assert_eq!(kinds("s,fault=chain:loop").len(), 10);
        assert_eq!(kinds("s,fault=chain:empty"), [0]);
        assert_eq!(kinds("s,fault=chain:beyond"), [0, 1, 3, 2]);
        assert_eq!(list(&space("s,fault=chain:end")).last(), Some(&(0xf8, 2)));
        assert_eq!(list(&space("s,fault=chain:low"))[3].0, 0x10);
        assert_eq!(kinds("s,fault=cap-missing:isr"), [0, 1, 4, 2]);
        assert_eq!(kinds("s,fault=msix:0"), [1, 3, 4, 2]);
    }

    #[test]
    fn hidden_from_qemu_only() {
        let space = space("s,fault=chain:loop");
        let mut all = [0; SIZE];
        space.read(0, &mut all);
        assert_eq!((all[0x06] & 0x10, all[0x34]), (0, 0));
        assert_eq!(byte(&space, 0x34), 0x40);
    }

    #[test]
    fn broken_fields() {
        let space = space(
            "s,fault=cap-bar:common:3,fault=cap-offset:isr:0xfffffff0,fault=cap-length:device:7,\
             fault=cap-len:notify:8,fault=multiplier:0x80000000",
        );
        assert_eq!(byte(&space, 0x54), 3);
        assert_eq!(byte(&space, 0x6b), 0xff);
        assert_eq!(byte(&space, 0x7c), 7);
        assert_eq!(byte(&space, 0x82), 8);
        assert_eq!(byte(&space, 0x93), 0x80);
    }
}
