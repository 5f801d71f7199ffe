// SPDX-License-Identifier: GPL-2.0

//! The numbers of `linux/vhost.h` and `linux/vhost_types.h`, as constants and complete: the crate
//! `vhost` has them as functions, and not all.

use crate::sys::Request;

/// The kind of all of vhost's ioctls.
pub const VHOST_VIRTIO: u8 = 0xaf;

const fn none(number: u8) -> Request {
    Request::none(VHOST_VIRTIO, number)
}

const fn set(number: u8, size: usize) -> Request {
    Request::to_kernel(VHOST_VIRTIO, number, size)
}

const fn get(number: u8, size: usize) -> Request {
    Request::from_kernel(VHOST_VIRTIO, number, size)
}

const fn ask(number: u8, size: usize) -> Request {
    Request::both_ways(VHOST_VIRTIO, number, size)
}

/// The size of `struct vhost_vring_state` and `struct vhost_vring_file`: an index and a value.
pub const STATE_SIZE: usize = 8;
/// The size of `struct vhost_vring_addr`.
pub const ADDR_SIZE: usize = 40;
/// The size of `struct vhost_vdpa_config` without the bytes that follow.
pub const CONFIG_HEADER_SIZE: usize = 8;

macro_rules! requests {
    ($($name:ident = $value:expr;)*) => {
        $(
            #[allow(missing_docs, reason = "the header says what it does")]
            pub const $name: Request = $value;
        )*

        /// All ioctls with their names.
        pub const REQUESTS: &[(&str, Request)] = &[$((stringify!($name), $name)),*];
    };
}

requests! {
    VHOST_GET_FEATURES = get(0x00, 8);
    VHOST_SET_FEATURES = set(0x00, 8);
    VHOST_SET_OWNER = none(0x01);
    VHOST_RESET_OWNER = none(0x02);
    VHOST_SET_MEM_TABLE = set(0x03, 8);
    VHOST_SET_LOG_BASE = set(0x04, 8);
    VHOST_SET_LOG_FD = set(0x07, 4);
    VHOST_NEW_WORKER = get(0x08, 4);
    VHOST_FREE_WORKER = set(0x09, 4);
    VHOST_SET_VRING_NUM = set(0x10, STATE_SIZE);
    VHOST_SET_VRING_ADDR = set(0x11, ADDR_SIZE);
    VHOST_SET_VRING_BASE = set(0x12, STATE_SIZE);
    VHOST_GET_VRING_BASE = ask(0x12, STATE_SIZE);
    VHOST_SET_VRING_ENDIAN = set(0x13, STATE_SIZE);
    VHOST_GET_VRING_ENDIAN = set(0x14, STATE_SIZE);
    VHOST_ATTACH_VRING_WORKER = set(0x15, STATE_SIZE);
    VHOST_GET_VRING_WORKER = ask(0x16, STATE_SIZE);
    VHOST_SET_VRING_KICK = set(0x20, STATE_SIZE);
    VHOST_SET_VRING_CALL = set(0x21, STATE_SIZE);
    VHOST_SET_VRING_ERR = set(0x22, STATE_SIZE);
    VHOST_SET_VRING_BUSYLOOP_TIMEOUT = set(0x23, STATE_SIZE);
    VHOST_GET_VRING_BUSYLOOP_TIMEOUT = set(0x24, STATE_SIZE);
    VHOST_SET_BACKEND_FEATURES = set(0x25, 8);
    VHOST_GET_BACKEND_FEATURES = get(0x26, 8);
    VHOST_NET_SET_BACKEND = set(0x30, STATE_SIZE);
    VHOST_VDPA_GET_DEVICE_ID = get(0x70, 4);
    VHOST_VDPA_GET_STATUS = get(0x71, 1);
    VHOST_VDPA_SET_STATUS = set(0x72, 1);
    VHOST_VDPA_GET_CONFIG = get(0x73, CONFIG_HEADER_SIZE);
    VHOST_VDPA_SET_CONFIG = set(0x74, CONFIG_HEADER_SIZE);
    VHOST_VDPA_SET_VRING_ENABLE = set(0x75, STATE_SIZE);
    VHOST_VDPA_GET_VRING_NUM = get(0x76, 2);
    VHOST_VDPA_SET_CONFIG_CALL = set(0x77, 4);
    VHOST_VDPA_GET_IOVA_RANGE = get(0x78, 16);
    VHOST_VDPA_GET_CONFIG_SIZE = get(0x79, 4);
    VHOST_VDPA_GET_AS_NUM = get(0x7a, 4);
    VHOST_VDPA_GET_VRING_GROUP = ask(0x7b, STATE_SIZE);
    VHOST_VDPA_SET_GROUP_ASID = set(0x7c, STATE_SIZE);
    VHOST_VDPA_SUSPEND = none(0x7d);
    VHOST_VDPA_RESUME = none(0x7e);
    VHOST_VDPA_GET_VRING_DESC_GROUP = ask(0x7f, STATE_SIZE);
    VHOST_VDPA_GET_VQS_COUNT = get(0x80, 4);
    VHOST_VDPA_GET_GROUP_NUM = get(0x81, 4);
    VHOST_VDPA_GET_VRING_SIZE = ask(0x82, STATE_SIZE);
    VHOST_GET_FEATURES_ARRAY = get(0x83, 8);
    VHOST_SET_FEATURES_ARRAY = set(0x83, 8);
    VHOST_SET_FORK_FROM_OWNER = set(0x84, 1);
    VHOST_GET_FORK_FROM_OWNER = get(0x85, 1);
}

/// In the place of a file descriptor: none.
pub const VHOST_FILE_UNBIND: i32 = -1;

/// Writes to the used ring are to be logged.
pub const VHOST_VRING_F_LOG: u32 = 1 << 0;

/// Backend features, as bits.
pub mod backend {
    /// Messages have the second format.
    pub const IOTLB_MSG_V2: u64 = 1 << 1;
    /// Messages can be marked as belonging together.
    pub const IOTLB_BATCH: u64 = 1 << 2;
    /// Messages name an address space.
    pub const IOTLB_ASID: u64 = 1 << 3;
    /// The device can be suspended.
    pub const SUSPEND: u64 = 1 << 4;
    /// The device can be resumed.
    pub const RESUME: u64 = 1 << 5;
    /// Virtqueues can be enabled when the driver is ready.
    pub const ENABLE_AFTER_DRIVER_OK: u64 = 1 << 6;
    /// Rings can have another address space than buffers.
    pub const DESC_ASID: u64 = 1 << 7;
    /// Mappings survive a reset.
    pub const IOTLB_PERSIST: u64 = 1 << 8;
    /// All that have a meaning.
    pub const ALL: u64 = 0x1fe;
}

/// The state of the device, as bits: virtio 1.3, section 2.1.
pub mod status {
    use virtio_bindings::virtio_config as config;

    /// The driver has seen the device.
    pub const ACKNOWLEDGE: u8 = config::VIRTIO_CONFIG_S_ACKNOWLEDGE as u8;
    /// It knows how to drive it.
    pub const DRIVER: u8 = config::VIRTIO_CONFIG_S_DRIVER as u8;
    /// It drives it.
    pub const DRIVER_OK: u8 = config::VIRTIO_CONFIG_S_DRIVER_OK as u8;
    /// Features are negotiated.
    pub const FEATURES_OK: u8 = config::VIRTIO_CONFIG_S_FEATURES_OK as u8;
    /// The device must be reset.
    pub const NEEDS_RESET: u8 = config::VIRTIO_CONFIG_S_NEEDS_RESET as u8;
}

/// Two numbers as `struct vhost_vring_state` has them.
pub fn vring_state(index: u32, num: u32) -> [u8; STATE_SIZE] {
    let mut bytes = [0; STATE_SIZE];

    bytes[..4].copy_from_slice(&index.to_ne_bytes());
    bytes[4..].copy_from_slice(&num.to_ne_bytes());
    bytes
}

/// A queue and a file as `struct vhost_vring_file` has them.
pub fn vring_file(index: u32, fd: i32) -> [u8; STATE_SIZE] {
    vring_state(index, fd as u32)
}

/// The addresses of a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VringAddr {
    /// Which virtqueue.
    pub index: u32,
    /// `VHOST_VRING_F_*`.
    pub flags: u32,
    /// The descriptors.
    pub desc: u64,
    /// The used ring, or what the device writes.
    pub used: u64,
    /// The available ring, or what the driver writes.
    pub avail: u64,
    /// Where writes to the used ring are logged.
    pub log: u64,
}

impl VringAddr {
    /// As `struct vhost_vring_addr` has it.
    pub fn bytes(&self) -> [u8; ADDR_SIZE] {
        let mut bytes = [0; ADDR_SIZE];

        bytes[..8].copy_from_slice(&vring_state(self.index, self.flags));
        for (slot, value) in bytes[8..]
            .chunks_mut(8)
            .zip([self.desc, self.used, self.avail, self.log])
        {
            slot.copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost::vhost_kern::vhost_binding as crate_has;

    #[test]
    fn numbers_are_those_of_the_crate() {
        for (ours, theirs) in [
            (VHOST_GET_FEATURES, crate_has::VHOST_GET_FEATURES()),
            (VHOST_SET_FEATURES, crate_has::VHOST_SET_FEATURES()),
            (VHOST_SET_OWNER, crate_has::VHOST_SET_OWNER()),
            (VHOST_SET_MEM_TABLE, crate_has::VHOST_SET_MEM_TABLE()),
            (VHOST_SET_VRING_ADDR, crate_has::VHOST_SET_VRING_ADDR()),
            (VHOST_GET_VRING_BASE, crate_has::VHOST_GET_VRING_BASE()),
            (VHOST_SET_VRING_CALL, crate_has::VHOST_SET_VRING_CALL()),
            (VHOST_VDPA_GET_STATUS, crate_has::VHOST_VDPA_GET_STATUS()),
            (VHOST_VDPA_GET_CONFIG, crate_has::VHOST_VDPA_GET_CONFIG()),
            (
                VHOST_VDPA_GET_VRING_NUM,
                crate_has::VHOST_VDPA_GET_VRING_NUM(),
            ),
            (
                VHOST_VDPA_GET_IOVA_RANGE,
                crate_has::VHOST_VDPA_GET_IOVA_RANGE(),
            ),
            (
                VHOST_VDPA_GET_VQS_COUNT,
                crate_has::VHOST_VDPA_GET_VQS_COUNT(),
            ),
            (VHOST_VDPA_SUSPEND, crate_has::VHOST_VDPA_SUSPEND()),
        ] {
            assert_eq!(u64::from(ours.0), theirs);
        }
    }

    #[test]
    fn structures_have_their_sizes() {
        assert_eq!(size_of::<crate_has::vhost_vring_addr>(), ADDR_SIZE);
        assert_eq!(size_of::<crate_has::vhost_vring_file>(), STATE_SIZE);
        assert_eq!(
            VringAddr {
                used: 1,
                ..Default::default()
            }
            .bytes()[16],
            1
        );
    }
}
