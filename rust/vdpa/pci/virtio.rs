// SPDX-License-Identifier: GPL-2.0

//! PCI functions with the structures of a virtio device, as vDPA devices.
//!
//! A [`Driver`] says which functions it is for, and what they have that virtio does not say of all.
//! [`Adapter`] is the rest, a driver for the PCI bus: it looks at a function and refuses what makes
//! no sense, lets users make one vDPA device of it, and does with its registers what a
//! [`Parent`](crate::parent::Parent) is asked for. Translation of addresses is the platform's.
//!
//! Nothing that a function says is taken for granted, nor that it is there, nor that it answers.
//!
//! Virtio 1.3, section 4.1.
//!
//! # Examples
//!
//! A driver for functions of one vendor's, which have nothing of their own:
//!
//! ```
//! use kernel::{
//!     pci,
//!     prelude::*, //
//! };
//! use vdpa::{
//!     bindings,
//!     pci::virtio, //
//! };
//!
//! kernel::pci_device_table!(
//!     IDS,
//!     (),
//!     [(vdpa::pci::subsystem_id(0x1af4, 0x1041, 0x1234, 0x1), ())]
//! );
//!
//! struct Example;
//!
//! #[vtable]
//! impl virtio::Driver for Example {
//!     type Own<'bound> = ();
//!
//!     const NAME: &'static CStr = c"example";
//!     const IDS: pci::IdTable<()> = &IDS;
//!
//!     fn probe<'bound>(
//!         _probe: &mut virtio::Probe<'_, 'bound>,
//!         _virtqueues: u16,
//!     ) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! kernel::module_pci_driver! {
//!     type: virtio::Adapter<Example>,
//!     name: "example",
//!     authors: ["Author name"],
//!     description: "vDPA driver for the example's functions",
//!     license: "GPL",
//! }
//! # fn main() {}
//! ```

pub mod capability;
mod common;
mod config;
mod device;
pub mod fault;
mod hardware;
mod interrupts;
pub mod limits;
mod management;
mod probe;
mod queues;

pub use self::{
    capability::{
        Place,
        Structures, //
    },
    management::Adapter,
    probe::{
        device_id,
        Probe, //
    }, //
};

use crate::{
    bindings,
    Features, //
};
use kernel::{
    pci,
    prelude::*, //
};

/// What functions of one kind have that virtio does not say of all.
#[vtable]
pub trait Driver: 'static {
    /// The name of the driver, shown in `/proc/iomem` and `/proc/interrupts`.
    const NAME: &'static CStr;
    /// The functions that it is for.
    const IDS: pci::IdTable<()>;
    /// The features of [`TRANSPORT`] that devices can offer if they have them. Those for a kind of
    /// device they offer anyway.
    const FEATURES: Features = TRANSPORT;
    /// The smallest size of a virtqueue that the hardware works well with.
    const SIZE_MIN: u16 = 1;

    /// The registers of its own that a function has.
    type Own<'bound>: Own + 'bound;

    /// Returns the virtio device id (section 4.1.2) of a function.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for one that this driver cannot be for. The user is told.
    #[inline]
    fn device_id(pdev: &pci::Device) -> Result<u32> {
        Ok(device_id(pdev))
    }

    /// Takes the registers of its own into use that a function with so many virtqueues has. It was
    /// reset, and its structures are where they can be.
    ///
    /// # Errors
    ///
    /// Any, where they make no sense. The user is told, with [`Probe::refuse`].
    fn probe<'bound>(probe: &mut Probe<'_, 'bound>, virtqueues: u16) -> Result<Self::Own<'bound>>;
}

/// The registers of its own that a function has.
///
/// Functions that have some say there where virtqueues stand, and stop one when they are told that
/// it is not enabled any more. Others, `()`, do not: those can begin at the beginning only, and stop
/// one virtqueue if they have VIRTIO_F_RING_RESET.
pub trait Own: Send + Sync {
    /// Whether there are any.
    const THERE: bool;

    /// Where they are.
    fn place(&self) -> Option<&Place>;

    /// Returns the next index of the available ring that the device will look at. It does not change
    /// while the virtqueue is not enabled.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` where there is no such register.
    fn avail_index(&self, queue: u16) -> Result<u16>;

    /// Sets the next index of the available ring that the device will look at. The virtqueue is not
    /// enabled.
    ///
    /// # Errors
    ///
    /// As for [`avail_index`](Self::avail_index).
    fn set_avail_index(&self, queue: u16, index: u16) -> Result;
}

impl Own for () {
    const THERE: bool = false;

    #[inline]
    fn place(&self) -> Option<&Place> {
        None
    }

    #[inline]
    fn avail_index(&self, _queue: u16) -> Result<u16> {
        Err(EOPNOTSUPP)
    }

    #[inline]
    fn set_avail_index(&self, _queue: u16, _index: u16) -> Result {
        Err(EOPNOTSUPP)
    }
}

/// The features that are not for a kind of device: bits 24 to 49 (section 2.2).
const RESERVED: Features = Features(((1 << 50) - 1) & !((1 << 24) - 1));

/// The features that concern the transport and the virtqueues, and that a device behind this can
/// have.
///
/// Missing are those that ask for virtqueues of their own, and those that have the driver say more
/// with a notification, as what comes from userspace through an eventfd says nothing more.
pub const TRANSPORT: Features = Features::from_bits(&[
    bindings::VIRTIO_F_NOTIFY_ON_EMPTY,
    bindings::VIRTIO_F_ANY_LAYOUT,
    bindings::VIRTIO_RING_F_INDIRECT_DESC,
    bindings::VIRTIO_RING_F_EVENT_IDX,
    bindings::VIRTIO_F_VERSION_1,
    bindings::VIRTIO_F_ACCESS_PLATFORM,
    bindings::VIRTIO_F_RING_PACKED,
    bindings::VIRTIO_F_IN_ORDER,
    bindings::VIRTIO_F_ORDER_PLATFORM,
    bindings::VIRTIO_F_RING_RESET,
]);

/// The features of `device` that functions of `D` can offer.
#[inline]
fn offered<D: Driver>(device: Features) -> Features {
    let transport = D::FEATURES.intersection(TRANSPORT);

    device
        .difference(RESERVED)
        .union(device.intersection(transport))
}
