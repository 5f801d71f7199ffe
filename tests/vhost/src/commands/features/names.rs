// SPDX-License-Identifier: GPL-2.0

//! What feature bits are called, from the kernel's headers.

use vhost_client::uapi::backend;
use virtio_bindings::{virtio_blk, virtio_config, virtio_ids, virtio_net, virtio_ring};

/// A feature: its bit, and what it is called.
type Named = (u32, &'static str);

macro_rules! names {
    ($list:ident, $header:ident: $($name:ident)*) => {
        const $list: &[Named] = &[$(($header::$name, stringify!($name))),*];
    };
}

names! { TRANSPORT, virtio_config:
    VIRTIO_F_NOTIFY_ON_EMPTY VIRTIO_F_ANY_LAYOUT VIRTIO_F_VERSION_1 VIRTIO_F_ACCESS_PLATFORM
    VIRTIO_F_RING_PACKED VIRTIO_F_IN_ORDER VIRTIO_F_ORDER_PLATFORM VIRTIO_F_SR_IOV
    VIRTIO_F_NOTIFICATION_DATA VIRTIO_F_NOTIF_CONFIG_DATA VIRTIO_F_RING_RESET VIRTIO_F_ADMIN_VQ
}

names! { RING, virtio_ring:
    VIRTIO_RING_F_INDIRECT_DESC VIRTIO_RING_F_EVENT_IDX
}

names! { NET, virtio_net:
    VIRTIO_NET_F_CSUM VIRTIO_NET_F_GUEST_CSUM VIRTIO_NET_F_CTRL_GUEST_OFFLOADS VIRTIO_NET_F_MTU
    VIRTIO_NET_F_MAC VIRTIO_NET_F_GSO VIRTIO_NET_F_GUEST_TSO4 VIRTIO_NET_F_GUEST_TSO6
    VIRTIO_NET_F_GUEST_ECN VIRTIO_NET_F_GUEST_UFO VIRTIO_NET_F_HOST_TSO4 VIRTIO_NET_F_HOST_TSO6
    VIRTIO_NET_F_HOST_ECN VIRTIO_NET_F_HOST_UFO VIRTIO_NET_F_MRG_RXBUF VIRTIO_NET_F_STATUS
    VIRTIO_NET_F_CTRL_VQ VIRTIO_NET_F_CTRL_RX VIRTIO_NET_F_CTRL_VLAN VIRTIO_NET_F_CTRL_RX_EXTRA
    VIRTIO_NET_F_GUEST_ANNOUNCE VIRTIO_NET_F_MQ VIRTIO_NET_F_CTRL_MAC_ADDR
    VIRTIO_NET_F_DEVICE_STATS VIRTIO_NET_F_VQ_NOTF_COAL VIRTIO_NET_F_NOTF_COAL
    VIRTIO_NET_F_GUEST_USO4 VIRTIO_NET_F_GUEST_USO6 VIRTIO_NET_F_HOST_USO
    VIRTIO_NET_F_HASH_REPORT VIRTIO_NET_F_GUEST_HDRLEN VIRTIO_NET_F_RSS VIRTIO_NET_F_RSC_EXT
    VIRTIO_NET_F_STANDBY VIRTIO_NET_F_SPEED_DUPLEX
}

names! { BLK, virtio_blk:
    VIRTIO_BLK_F_BARRIER VIRTIO_BLK_F_SIZE_MAX VIRTIO_BLK_F_SEG_MAX VIRTIO_BLK_F_GEOMETRY
    VIRTIO_BLK_F_RO VIRTIO_BLK_F_BLK_SIZE VIRTIO_BLK_F_SCSI VIRTIO_BLK_F_FLUSH
    VIRTIO_BLK_F_TOPOLOGY VIRTIO_BLK_F_CONFIG_WCE VIRTIO_BLK_F_MQ VIRTIO_BLK_F_DISCARD
    VIRTIO_BLK_F_WRITE_ZEROES VIRTIO_BLK_F_SECURE_ERASE VIRTIO_BLK_F_ZONED
}

const BACKEND: &[Named] = &[
    (
        backend::IOTLB_MSG_V2.ilog2(),
        "VHOST_BACKEND_F_IOTLB_MSG_V2",
    ),
    (backend::IOTLB_BATCH.ilog2(), "VHOST_BACKEND_F_IOTLB_BATCH"),
    (backend::IOTLB_ASID.ilog2(), "VHOST_BACKEND_F_IOTLB_ASID"),
    (backend::SUSPEND.ilog2(), "VHOST_BACKEND_F_SUSPEND"),
    (backend::RESUME.ilog2(), "VHOST_BACKEND_F_RESUME"),
    (
        backend::ENABLE_AFTER_DRIVER_OK.ilog2(),
        "VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK",
    ),
    (backend::DESC_ASID.ilog2(), "VHOST_BACKEND_F_DESC_ASID"),
    (
        backend::IOTLB_PERSIST.ilog2(),
        "VHOST_BACKEND_F_IOTLB_PERSIST",
    ),
];

/// The bits that are set, in order, with their names in one of the lists.
fn named(features: u64, lists: [&[Named]; 3]) -> Vec<(u32, String)> {
    (0..u64::BITS)
        .filter(|bit| features & (1 << bit) != 0)
        .map(|bit| {
            let mut known = lists.into_iter().flatten();
            let name = known.find(|(number, _)| *number == bit);
            (
                bit,
                name.map_or(format!("bit {bit}"), |(_, name)| (*name).to_owned()),
            )
        })
        .collect()
}

/// The features of a device of this kind.
pub fn of_device(id: u32, features: u64) -> Vec<(u32, String)> {
    let own = match id {
        virtio_ids::VIRTIO_ID_NET => NET,
        virtio_ids::VIRTIO_ID_BLOCK => BLK,
        _ => &[],
    };

    named(features, [TRANSPORT, RING, own])
}

/// Whether a feature is one of all kinds of devices.
pub fn is_common(name: &str) -> bool {
    [TRANSPORT, RING]
        .into_iter()
        .flatten()
        .any(|(_, known)| *known == name)
}

/// Backend features.
pub fn of_backend(features: u64) -> Vec<(u32, String)> {
    named(features, [BACKEND, &[], &[]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_the_names_of_their_device() {
        let bits = [5, 32, 48].iter().map(|bit| 1 << bit).sum();
        let names = |id| -> Vec<_> {
            let names = of_device(id, bits);
            names.into_iter().map(|(_, name)| name).collect()
        };

        assert_eq!(
            names(virtio_ids::VIRTIO_ID_NET),
            ["VIRTIO_NET_F_MAC", "VIRTIO_F_VERSION_1", "bit 48"]
        );
        assert_eq!(names(virtio_ids::VIRTIO_ID_BLOCK)[0], "VIRTIO_BLK_F_RO");
        assert_eq!(names(virtio_ids::VIRTIO_ID_RNG)[0], "bit 5");
    }
}
