// SPDX-License-Identifier: GPL-2.0

//! Configuration spaces, made byte by byte.

use crate::capability::{self, ConfigSpace, Structures};
use crate::fault::Fault;

/// A configuration space.
pub struct Space(pub [u8; 256]);

impl ConfigSpace for Space {
    fn read32(&self, offset: u8) -> u32 {
        assert_eq!(offset % 4, 0, "a word is read at {offset:#x}");
        let at = usize::from(offset);
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }
}

/// A capability of virtio's.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    pub at: u8,
    pub next: u8,
    pub len: u8,
    pub cfg_type: u8,
    pub bar: u8,
    pub offset: u32,
    pub size: u32,
    pub multiplier: u32,
}

/// The sizes of the BARs that `good` is for.
pub const BARS: [u64; 6] = [0x1000, 0, 0x8000, 0, 0x1000, 0];

/// The capabilities of a device that is as it should be: common configuration, notifications, ISR
/// status, device configuration.
pub const GOOD: [Cap; 4] = [
    cap(0x40, 0x54, 1, 0, 0, 0x38, 0),
    cap(0x54, 0x68, 2, 2, 0x1000, 0x4000, 0x1000),
    cap(0x68, 0x78, 3, 0, 0x38, 1, 0),
    cap(0x78, 0, 4, 0, 0x100, 0x100, 0),
];

const fn cap(
    at: u8,
    next: u8,
    cfg_type: u8,
    bar: u8,
    offset: u32,
    size: u32,
    multiplier: u32,
) -> Cap {
    Cap {
        at,
        next,
        len: if cfg_type == 2 { 20 } else { 16 },
        cfg_type,
        bar,
        offset,
        size,
        multiplier,
    }
}

/// Makes a configuration space in which the first capability is the first of `caps`.
pub fn space(caps: &[Cap]) -> Space {
    let mut space = [0; 256];
    space[..4].copy_from_slice(&0x1041_1af4u32.to_le_bytes());
    space[6] = 0x10;
    space[0x34] = caps[0].at;
    for cap in caps {
        let mut bytes = vec![0x09, cap.next, cap.len, cap.cfg_type, cap.bar, 0, 0, 0];
        bytes.extend(cap.offset.to_le_bytes());
        bytes.extend(cap.size.to_le_bytes());
        if cap.cfg_type == 2 {
            bytes.extend(cap.multiplier.to_le_bytes());
        }
        let at = usize::from(cap.at);
        // What does not fit is what a test is about.
        let len = bytes.len().min(256 - at);
        space[at..at + len].copy_from_slice(&bytes[..len]);
    }
    Space(space)
}

/// The good device, with one of its capabilities changed.
pub fn changed(index: usize, change: impl FnOnce(&mut Cap)) -> Space {
    let mut caps = GOOD;
    change(&mut caps[index]);
    space(&caps)
}

/// Looks for the structures of a kind of device that has a configuration.
pub fn find(space: &Space, bars: &[u64; 6]) -> Result<Structures, Fault> {
    capability::find(space, bars, true)
}
