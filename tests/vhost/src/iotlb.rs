// SPDX-License-Identifier: GPL-2.0

//! Messages about mappings: `struct vhost_msg` and `struct vhost_msg_v2` of `linux/vhost_types.h`.

use vhost::vhost_kern::vhost_binding as binding;

/// The size of a message in bytes, in both formats.
pub const SIZE: usize = 72;

/// The device may read.
pub const RO: u8 = binding::VHOST_ACCESS_RO;
/// The device may write.
pub const WO: u8 = binding::VHOST_ACCESS_WO;
/// The device may read and write.
pub const RW: u8 = binding::VHOST_ACCESS_RW;

/// What a message is about; others that the header names go from the kernel to programs.
pub mod kind {
    use super::binding;

    /// Add a mapping.
    pub const UPDATE: u8 = binding::VHOST_IOTLB_UPDATE;
    /// Remove mappings.
    pub const INVALIDATE: u8 = binding::VHOST_IOTLB_INVALIDATE;
    /// What follows belongs together.
    pub const BATCH_BEGIN: u8 = binding::VHOST_IOTLB_BATCH_BEGIN;
    /// This was all.
    pub const BATCH_END: u8 = binding::VHOST_IOTLB_BATCH_END;
}

/// The format of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `VHOST_IOTLB_MSG`.
    V1,
    /// `VHOST_IOTLB_MSG_V2`, with an address space, which has a meaning with
    /// `VHOST_BACKEND_F_IOTLB_ASID` only.
    V2(u32),
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its format.
    pub format: Format,
    /// The first address as the device sees it.
    pub iova: u64,
    /// How many bytes.
    pub size: u64,
    /// The first address in the process.
    pub uaddr: u64,
    /// What the device may do.
    pub perm: u8,
    /// See [`kind`].
    pub kind: u8,
}

impl Message {
    /// One of the second format that says only what it is about.
    pub fn new(asid: u32, kind: u8) -> Self {
        Self {
            format: Format::V2(asid),
            iova: 0,
            size: 0,
            uaddr: 0,
            perm: 0,
            kind,
        }
    }

    /// Maps memory of the process.
    pub fn update(asid: u32, iova: u64, size: u64, uaddr: u64, perm: u8) -> Self {
        Self {
            iova,
            size,
            uaddr,
            perm,
            ..Self::new(asid, kind::UPDATE)
        }
    }

    /// Unmaps all that lies in a range; all there is if `size` and `iova` are 0.
    pub fn invalidate(asid: u32, iova: u64, size: u64) -> Self {
        Self {
            iova,
            size,
            ..Self::new(asid, kind::INVALIDATE)
        }
    }

    /// The same in the first format.
    pub fn v1(self) -> Self {
        Self {
            format: Format::V1,
            ..self
        }
    }

    /// As it is written to the device.
    pub fn bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let mut put = |offset: usize, value: &[u8]| {
            bytes[offset..offset + value.len()].copy_from_slice(value);
        };

        match self.format {
            Format::V1 => put(0, &binding::VHOST_IOTLB_MSG.to_ne_bytes()),
            Format::V2(asid) => {
                put(0, &binding::VHOST_IOTLB_MSG_V2.to_ne_bytes());
                put(4, &asid.to_ne_bytes());
            }
        }
        put(8, &self.iova.to_ne_bytes());
        put(16, &self.size.to_ne_bytes());
        put(24, &self.uaddr.to_ne_bytes());
        put(32, &[self.perm, self.kind]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_their_size() {
        assert_eq!(size_of::<binding::vhost_msg>(), SIZE);
        assert_eq!(size_of::<binding::vhost_msg_v2>(), SIZE);
    }

    #[test]
    fn the_second_names_an_address_space() {
        let message = Message::update(7, 1, 2, 3, RW);

        assert_eq!(message.bytes()[..8], [2, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(message.v1().bytes()[..8], [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message.bytes()[8..], message.v1().bytes()[8..]);
    }
}
