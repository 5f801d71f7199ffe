// SPDX-License-Identifier: GPL-2.0

//! The attributes: `enum vdpa_attr`.

use vdpa::bindings::*;

pub(super) const PAD: u16 = vdpa_attr_VDPA_ATTR_PAD as u16;
pub(super) const MGMTDEV_BUS_NAME: u16 = vdpa_attr_VDPA_ATTR_MGMTDEV_BUS_NAME as u16;
pub(super) const MGMTDEV_DEV_NAME: u16 = vdpa_attr_VDPA_ATTR_MGMTDEV_DEV_NAME as u16;
pub(super) const MGMTDEV_SUPPORTED_CLASSES: u16 =
    vdpa_attr_VDPA_ATTR_MGMTDEV_SUPPORTED_CLASSES as u16;

pub(super) const DEV_NAME: u16 = vdpa_attr_VDPA_ATTR_DEV_NAME as u16;
pub(super) const DEV_ID: u16 = vdpa_attr_VDPA_ATTR_DEV_ID as u16;
pub(super) const DEV_VENDOR_ID: u16 = vdpa_attr_VDPA_ATTR_DEV_VENDOR_ID as u16;
pub(super) const DEV_MAX_VQS: u16 = vdpa_attr_VDPA_ATTR_DEV_MAX_VQS as u16;
pub(super) const DEV_MAX_VQ_SIZE: u16 = vdpa_attr_VDPA_ATTR_DEV_MAX_VQ_SIZE as u16;
pub(super) const DEV_MIN_VQ_SIZE: u16 = vdpa_attr_VDPA_ATTR_DEV_MIN_VQ_SIZE as u16;

pub(super) const DEV_NET_CFG_MACADDR: u16 = vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MACADDR as u16;
pub(super) const DEV_NET_STATUS: u16 = vdpa_attr_VDPA_ATTR_DEV_NET_STATUS as u16;
pub(super) const DEV_NET_CFG_MAX_VQP: u16 = vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MAX_VQP as u16;
pub(super) const DEV_NET_CFG_MTU: u16 = vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MTU as u16;

pub(super) const DEV_NEGOTIATED_FEATURES: u16 = vdpa_attr_VDPA_ATTR_DEV_NEGOTIATED_FEATURES as u16;
pub(super) const DEV_MGMTDEV_MAX_VQS: u16 = vdpa_attr_VDPA_ATTR_DEV_MGMTDEV_MAX_VQS as u16;
pub(super) const DEV_SUPPORTED_FEATURES: u16 = vdpa_attr_VDPA_ATTR_DEV_SUPPORTED_FEATURES as u16;
pub(super) const DEV_QUEUE_INDEX: u16 = vdpa_attr_VDPA_ATTR_DEV_QUEUE_INDEX as u16;
pub(super) const DEV_FEATURES: u16 = vdpa_attr_VDPA_ATTR_DEV_FEATURES as u16;

pub(super) const DEV_BLK_CFG_CAPACITY: u16 = vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_CAPACITY as u16;
pub(super) const DEV_BLK_CFG_SIZE_MAX: u16 = vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_SIZE_MAX as u16;
pub(super) const DEV_BLK_CFG_BLK_SIZE: u16 = vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_BLK_SIZE as u16;
pub(super) const DEV_BLK_CFG_SEG_MAX: u16 = vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_SEG_MAX as u16;
pub(super) const DEV_BLK_CFG_NUM_QUEUES: u16 = vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_NUM_QUEUES as u16;
pub(super) const DEV_BLK_CFG_PHY_BLK_EXP: u16 = vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_PHY_BLK_EXP as u16;
pub(super) const DEV_BLK_CFG_ALIGN_OFFSET: u16 =
    vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_ALIGN_OFFSET as u16;
pub(super) const DEV_BLK_CFG_MIN_IO_SIZE: u16 = vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_MIN_IO_SIZE as u16;
pub(super) const DEV_BLK_CFG_OPT_IO_SIZE: u16 = vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_OPT_IO_SIZE as u16;
pub(super) const DEV_BLK_CFG_MAX_DISCARD_SEC: u16 =
    vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_MAX_DISCARD_SEC as u16;
pub(super) const DEV_BLK_CFG_MAX_DISCARD_SEG: u16 =
    vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_MAX_DISCARD_SEG as u16;
pub(super) const DEV_BLK_CFG_DISCARD_SEC_ALIGN: u16 =
    vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_DISCARD_SEC_ALIGN as u16;
pub(super) const DEV_BLK_CFG_MAX_WRITE_ZEROES_SEC: u16 =
    vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_MAX_WRITE_ZEROES_SEC as u16;
pub(super) const DEV_BLK_CFG_MAX_WRITE_ZEROES_SEG: u16 =
    vdpa_attr_VDPA_ATTR_DEV_BLK_CFG_MAX_WRITE_ZEROES_SEG as u16;
pub(super) const DEV_BLK_READ_ONLY: u16 = vdpa_attr_VDPA_ATTR_DEV_BLK_READ_ONLY as u16;
pub(super) const DEV_BLK_FLUSH: u16 = vdpa_attr_VDPA_ATTR_DEV_BLK_FLUSH as u16;

/// One more than the last attribute, by an oddity of the header.
pub(super) const MAX: u16 = vdpa_attr_VDPA_ATTR_MAX as u16;

/// The attributes that a new device can be given, with the names that `vdpa dev add` has for them.
pub(super) const PROVISIONED: [(u16, &str); 4] = [
    (DEV_NET_CFG_MACADDR, "mac"),
    (DEV_NET_CFG_MTU, "mtu"),
    (DEV_NET_CFG_MAX_VQP, "max_vqp"),
    (DEV_FEATURES, "device_features"),
];

/// The attributes of network devices among them.
pub(super) const NET_MASK: u64 =
    bit(DEV_NET_CFG_MACADDR) | bit(DEV_NET_CFG_MTU) | bit(DEV_NET_CFG_MAX_VQP);

/// An attribute's bit in a mask of attributes.
pub(super) const fn bit(attr: u16) -> u64 {
    1 << attr
}
