// SPDX-License-Identifier: GPL-2.0

//! Virtio devices for the kernel's own virtio drivers, with a vDPA device behind them.
//!
//! A *transport* is a driver on the vDPA bus that registers a virtio device for each vDPA device it
//! is bound to. It implements [`Transport`], with the names and the meaning of the operations of
//! `struct virtio_config_ops`, and calls [`Device::register`] from its `probe`. This module keeps
//! what has to be kept alive, and turns the C calls into calls of the trait.
//!
//! # What lives how long
//!
//! - The virtio device is registered until the vDPA device is unbound from the transport. This is
//!   tied to the unbinding itself, not to a value that could be lost. So while one of the
//!   operations of a transport runs, the vDPA device is bound, and [`Device::vdpa`] can say so.
//!   The virtio device's memory may be there for longer; it keeps nothing of the vDPA device.
//! - A [`Virtqueue`] has a ring, whose memory the device uses, and a callback, which the device
//!   calls. It belongs to the transport until it is handed to the virtio driver
//!   ([`Slot::fill`]), and then lives until that driver gives all of them back. They are only freed
//!   on a device that is quiet.
//! - What the vDPA device is given to call is neither of them, but something that knows whether
//!   they are still there, for as long as the vDPA device is bound ([`Callbacks`]): parents may
//!   call when nobody expects it.
//!
//! [`Callbacks`]: crate::Callbacks
//!
//! C headers: `include/linux/virtio.h`, `include/linux/virtio_config.h`,
//! `include/linux/virtio_ring.h`

mod affinity;
mod device;
mod line;
mod transport;
mod virtqueue;

pub use self::{
    affinity::{
        CpuGroups,
        IrqAffinity, //
    },
    device::{
        Device,
        DeviceId, //
    },
    transport::Transport,
    virtqueue::{
        Layout,
        Slot,
        Slots,
        Virtqueue, //
    },
};
