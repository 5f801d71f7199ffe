// SPDX-License-Identifier: GPL-2.0

//! The numbers of the ioctls.
//!
//! C header: `include/uapi/linux/vhost.h`

use kernel::ioctl::{
    _IO,
    _IOR,
    _IOW,
    _IOWR, //
};
use vdpa::bindings::{
    vhost_memory,
    vhost_vdpa_config,
    vhost_vdpa_iova_range,
    vhost_vring_addr,
    vhost_vring_file,
    vhost_vring_state,
    VHOST_VIRTIO, //
};

pub(crate) const GET_FEATURES: u32 = _IOR::<u64>(VHOST_VIRTIO, 0x00);
pub(crate) const SET_FEATURES: u32 = _IOW::<u64>(VHOST_VIRTIO, 0x00);
pub(crate) const SET_OWNER: u32 = _IO(VHOST_VIRTIO, 0x01);
pub(crate) const SET_MEM_TABLE: u32 = _IOW::<vhost_memory>(VHOST_VIRTIO, 0x03);

pub(crate) const SET_VRING_NUM: u32 = _IOW::<vhost_vring_state>(VHOST_VIRTIO, 0x10);
pub(crate) const SET_VRING_ADDR: u32 = _IOW::<vhost_vring_addr>(VHOST_VIRTIO, 0x11);
pub(crate) const SET_VRING_BASE: u32 = _IOW::<vhost_vring_state>(VHOST_VIRTIO, 0x12);
pub(crate) const GET_VRING_BASE: u32 = _IOWR::<vhost_vring_state>(VHOST_VIRTIO, 0x12);
pub(crate) const SET_VRING_KICK: u32 = _IOW::<vhost_vring_file>(VHOST_VIRTIO, 0x20);
pub(crate) const SET_VRING_CALL: u32 = _IOW::<vhost_vring_file>(VHOST_VIRTIO, 0x21);
pub(crate) const SET_VRING_ERR: u32 = _IOW::<vhost_vring_file>(VHOST_VIRTIO, 0x22);
pub(crate) const SET_VRING_BUSYLOOP_TIMEOUT: u32 = _IOW::<vhost_vring_state>(VHOST_VIRTIO, 0x23);
pub(crate) const GET_VRING_BUSYLOOP_TIMEOUT: u32 = _IOW::<vhost_vring_state>(VHOST_VIRTIO, 0x24);

pub(crate) const SET_BACKEND_FEATURES: u32 = _IOW::<u64>(VHOST_VIRTIO, 0x25);
pub(crate) const GET_BACKEND_FEATURES: u32 = _IOR::<u64>(VHOST_VIRTIO, 0x26);

pub(crate) const GET_DEVICE_ID: u32 = _IOR::<u32>(VHOST_VIRTIO, 0x70);
pub(crate) const GET_STATUS: u32 = _IOR::<u8>(VHOST_VIRTIO, 0x71);
pub(crate) const SET_STATUS: u32 = _IOW::<u8>(VHOST_VIRTIO, 0x72);
pub(crate) const GET_CONFIG: u32 = _IOR::<vhost_vdpa_config>(VHOST_VIRTIO, 0x73);
pub(crate) const SET_CONFIG: u32 = _IOW::<vhost_vdpa_config>(VHOST_VIRTIO, 0x74);
pub(crate) const SET_VRING_ENABLE: u32 = _IOW::<vhost_vring_state>(VHOST_VIRTIO, 0x75);
pub(crate) const GET_VRING_NUM: u32 = _IOR::<u16>(VHOST_VIRTIO, 0x76);
pub(crate) const SET_CONFIG_CALL: u32 = _IOW::<i32>(VHOST_VIRTIO, 0x77);
pub(crate) const GET_IOVA_RANGE: u32 = _IOR::<vhost_vdpa_iova_range>(VHOST_VIRTIO, 0x78);
pub(crate) const GET_CONFIG_SIZE: u32 = _IOR::<u32>(VHOST_VIRTIO, 0x79);
pub(crate) const GET_AS_NUM: u32 = _IOR::<u32>(VHOST_VIRTIO, 0x7a);
pub(crate) const GET_VRING_GROUP: u32 = _IOWR::<vhost_vring_state>(VHOST_VIRTIO, 0x7b);
pub(crate) const SET_GROUP_ASID: u32 = _IOW::<vhost_vring_state>(VHOST_VIRTIO, 0x7c);
pub(crate) const SUSPEND: u32 = _IO(VHOST_VIRTIO, 0x7d);
pub(crate) const RESUME: u32 = _IO(VHOST_VIRTIO, 0x7e);
pub(crate) const GET_VRING_DESC_GROUP: u32 = _IOWR::<vhost_vring_state>(VHOST_VIRTIO, 0x7f);
pub(crate) const GET_VQS_COUNT: u32 = _IOR::<u32>(VHOST_VIRTIO, 0x80);
pub(crate) const GET_GROUP_NUM: u32 = _IOR::<u32>(VHOST_VIRTIO, 0x81);
pub(crate) const GET_VRING_SIZE: u32 = _IOWR::<vhost_vring_state>(VHOST_VIRTIO, 0x82);
pub(crate) const SET_FORK_FROM_OWNER: u32 = _IOW::<u8>(VHOST_VIRTIO, 0x84);
pub(crate) const GET_FORK_FROM_OWNER: u32 = _IOR::<u8>(VHOST_VIRTIO, 0x85);
