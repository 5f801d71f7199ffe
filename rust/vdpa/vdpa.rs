// SPDX-License-Identifier: GPL-2.0

//! Abstractions for vDPA devices and drivers.
//!
//! A vDPA device moves data as the virtio specification says, while its control path is the
//! vendor's. On the vDPA bus there are two sides:
//!
//! - A *parent* is the driver of such a device. One for a device in software implements
//!   [`software::Model`]; one for hardware [`parent::Parent`], or [`ConfigOps`], which is all that
//!   can be asked of a device. With [`mgmt::Operations`] it lets users make devices with `vdpa dev
//!   add`. For parents that are PCI functions there is the module `pci`.
//! - A *consumer* is a driver on the bus, which makes use of devices: [`driver::Driver`] and
//!   [`Device`]. One of them turns devices into virtio devices for the kernel's own drivers, with
//!   the [`virtio`] module.
//!
//! C headers: `include/linux/vdpa.h`, `include/linux/virtio_config.h`,
//! `include/linux/vhost_iotlb.h`.
//!
//! # How a device reaches memory
//!
//! That is a choice between constructors of [`UnregisteredDevice`], not a question at run time:
//!
//! | the device | constructor | what the parent implements |
//! | --- | --- | --- |
//! | is behind a platform IOMMU, or none | [`new`](UnregisteredDevice::new) | nothing more |
//! | translates, takes whole address spaces | [`with_set_map`](UnregisteredDevice::with_set_map) | [`SetMap`] |
//! | translates, takes single mappings | [`with_dma_map`](UnregisteredDevice::with_dma_map) | [`DmaMap`] |
//! | has another process map files, takes whole address spaces | [`with_file_set_map`](UnregisteredDevice::with_file_set_map) | [`FileSetMap`] |
//! | has another process map files, takes single mappings | [`with_file_dma_map`](UnregisteredDevice::with_file_dma_map) | [`FileDmaMap`] |
//! | maps the memory of kernel drivers itself, too | [`with_virtio_map`](UnregisteredDevice::with_virtio_map) | [`VirtioMap`](virtio_map::VirtioMap), and one of the four above |
//! | is software | [`in_software`](UnregisteredDevice::in_software) | [`SoftDma`] |
//!
//! # How this crate is linked
//!
//! It exports nothing. What is in it is generic or inline, and so becomes part of the module that
//! uses it; the crate's own object, which is linked into each of them, holds the rest, which is
//! lock classes. Modules talk to each other through the C interface alone.
//!
//! # Examples
//!
//! A complete parent. Its device has one virtqueue, and does nothing with it.
//!
//! ```
#![doc = include_str!("../../samples/vdpa_null/vdpa_null.rs")]
//! # fn main() {}
//! ```

// Everything is built like that, but rustdoc does not know when it looks for examples.
#![cfg_attr(doctest, no_std)]

/// What messages of the crate begin with, whichever module it is in.
const __LOG_PREFIX: &[u8] = b"vdpa\0";

mod absence;
mod address_space;
mod alloc;
mod binding;
pub mod bindings;
mod bottom_half;
mod callback;
pub mod chardev;
mod device;
mod doorbell;
pub mod driver;
#[cfg(CONFIG_EVENTFD)]
mod eventfd;
mod file_area;
mod gone;
#[cfg_attr(not(CONFIG_IOMMU_API), path = "no_iommu.rs")]
mod iommu_domain;
mod iotlb;
#[cfg(CONFIG_EVENTFD)]
mod irq_bypass;
mod kept;
mod map_file;
mod memory;
pub mod mgmt;
mod ops;
mod ops_device;
mod ops_files;
mod ops_map;
pub mod param;
pub mod parent;
#[cfg(CONFIG_PCI)]
pub mod pci;
mod pin;
mod provider;
mod random;
mod ratelimit;
mod root_device;
pub mod rwsem;
mod soft_iommu;
pub mod software;
pub mod sorted;
mod stats;
mod types;
pub mod virtio;
pub mod virtio_map;
mod vma;
mod worker;

pub use self::{
    address_space::{
        AddressSpace,
        Unmapped, //
    },
    alloc::{
        DeviceInfo,
        Registration,
        SoftMapping,
        UnregisteredDevice, //
    },
    binding::{
        BoundDevice,
        BoundDeviceGuard,
        BoundState,
        BoundStateGuard, //
    },
    bottom_half::BottomHalfGuard,
    callback::Callback,
    device::{
        Callbacks,
        Device,
        Source,
        Target,
        Translation,
        Vq, //
    },
    doorbell::Doorbells,
    file_area::{
        FileArea,
        FileIotlb,
        FileIter,
        FileRange, //
    },
    iotlb::{
        Iotlb,
        IotlbTable,
        MapRange,
        Permission, //
    },
    map_file::{
        segment,
        MapFile,
        Segment, //
    },
    memory::GuestMemory,
    pin::{
        Charge,
        PinnedRun,
        Pinner, //
    },
    provider::{
        ConfigOps,
        DmaMap,
        FileDmaMap,
        FileSetMap,
        SetMap,
        SoftDma, //
    },
    random::{
        random_bytes,
        random_mac, //
    },
    ratelimit::RateLimit,
    root_device::RootDevice,
    soft_iommu::{
        IommuGuard,
        SoftIommu, //
    },
    stats::VendorStats,
    types::{
        Asid,
        Features,
        GroupId,
        IovaRange,
        NotificationArea,
        Status,
        VqAddress,
        VqIndex,
        VqState, //
    },
    vma::page_offset,
    worker::{
        Work,
        Worker, //
    },
};

#[cfg(CONFIG_EVENTFD)]
pub use self::{
    eventfd::{
        EventFd,
        Kick,
        KickTarget, //
    },
    irq_bypass::IrqBypass,
};
