// SPDX-License-Identifier: GPL-2.0

//! Abstractions for vDPA devices and drivers.
//!
//! C header: `include/linux/vdpa.h`

mod alloc;
pub mod bindings;
mod bottom_half;
mod callback;
mod device;
pub mod driver;
mod iotlb;
mod memory;
pub mod mgmt;
mod ops;
mod ops_map;
mod provider;
mod ratelimit;
mod root_device;
pub mod rwsem;
mod soft_iommu;
mod stats;
mod types;
pub mod virtio;
mod worker;

pub use self::{
    alloc::{
        DeviceInfo,
        Registration,
        UnregisteredDevice, //
    },
    bottom_half::BottomHalfGuard,
    callback::Callback,
    device::{
        Callbacks,
        Device,
        Target,
        Translation,
        Vq, //
    },
    iotlb::{
        Iotlb,
        MapRange,
        Permission, //
    },
    memory::Memory,
    provider::{
        ConfigOps,
        DmaMap,
        SetMap,
        SoftDma, //
    },
    ratelimit::ratelimit,
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
    worker::{
        Work,
        Worker, //
    },
};
