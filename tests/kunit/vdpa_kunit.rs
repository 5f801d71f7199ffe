// SPDX-License-Identifier: GPL-2.0

//! KUnit tests.
//!
//! One suite per file; all of them run when this module is loaded. What is private to the other
//! modules is compiled into this one, from the same source.
//!
//! There is unsafe code where a test takes the part of C code, or gets itself the memory of a
//! process.
//!
//! An assertion of KUnit ends the thread, without running destructors. Tests that register
//! something, or hold a lock, therefore return an error instead: see [`check!`].

#[macro_use]
mod check;

mod bed;
mod calls;
mod counting;
mod full;
mod pages;
mod ring;
#[macro_use]
mod table;
mod probe;
mod user;
mod vhost;

// Suites.
mod address_files;
mod address_space;
mod bus;
mod bus_failures;
mod capabilities;
mod gone;
mod iotlb;
mod iotlb_messages;
mod mgmt;
mod ops_absent;
mod ops_device;
mod ops_mapping;
mod ops_vq;
mod order;
mod parent;
mod parent_queues;
mod pieces_random;
mod registers;
mod sim_blk;
mod sim_net;
mod soft_iommu;
mod sorted;
mod types;
mod vhost_addresses;
mod vhost_ioctls;
mod vhost_memory;
mod vhost_vrings;
mod virtio;
mod virtio_map;
mod virtqueue_chains;
mod virtqueue_device;

/// What is tested of `drivers/ifcvf`.
#[path = "../../drivers/ifcvf/place.rs"]
mod place;

/// What is tested of the crate, where it is not public.
#[path = "../../rust/vdpa/address_space/pieces.rs"]
mod pieces;
// Of that.
use vdpa::{
    bindings,
    IovaRange,
    MapRange,
    Permission, //
};

/// What is tested of `vdpa_core`.
#[path = "../../vdpa_core/numbered.rs"]
mod numbered;

/// What is tested of `samples/vdpa_sim`.
#[path = "../../samples/vdpa_sim/blk.rs"]
mod blk;
#[expect(dead_code, reason = "models are tested without the device around them")]
#[path = "../../samples/vdpa_sim/net.rs"]
mod net;

/// What is tested of `vdpa_core`, and its suite.
mod genl;

/// What is tested of `vhost_vdpa`: all but the file.
#[path = "../../vhost_vdpa/call.rs"]
mod call;
#[path = "../../vhost_vdpa/config.rs"]
mod config;
#[expect(
    dead_code,
    reason = "tests have neither a file nor a device that goes away"
)]
#[path = "../../vhost_vdpa/device.rs"]
mod device;
#[expect(
    dead_code,
    reason = "tests have neither a file nor a device that goes away"
)]
#[path = "../../vhost_vdpa/doorbell.rs"]
mod doorbell;
#[path = "../../vhost_vdpa/features.rs"]
mod features;
#[path = "../../vhost_vdpa/ioctl.rs"]
mod ioctl;
#[path = "../../vhost_vdpa/line.rs"]
mod line;
#[path = "../../vhost_vdpa/mem_table.rs"]
mod mem_table;
#[path = "../../vhost_vdpa/message.rs"]
mod message;
#[path = "../../vhost_vdpa/segments.rs"]
mod segments;
#[path = "../../vhost_vdpa/session.rs"]
mod session;
#[path = "../../vhost_vdpa/spaces.rs"]
mod spaces;
#[path = "../../vhost_vdpa/status.rs"]
mod status;
#[path = "../../vhost_vdpa/uapi.rs"]
mod uapi;
#[path = "../../vhost_vdpa/update.rs"]
mod update;
#[path = "../../vhost_vdpa/vring.rs"]
mod vring;

/// The engine's vectors, which the host runs too.
#[expect(
    unreachable_pub,
    reason = "elsewhere it is part of a module that is public"
)]
#[path = "../../rust/virtqueue/tests/common/vectors.rs"]
mod vectors;

use kernel::prelude::*;

// What `vhost_vdpa` has. The name of the module is a part of it where this is built in.
vdpa::module_param!(
    vdpa_kunit.max_iotlb_entries: int = 0,
    "Maximum number of mappings of an address space (default: 0, no limit for pinned memory, else 1048576)"
);

module! {
    type: VdpaKunit,
    name: "vdpa_kunit",
    authors: ["rust-vdpa developers"],
    description: "KUnit tests of vDPA",
    license: "GPL",
}

/// The module, which is there for its suites.
struct VdpaKunit;

impl kernel::Module for VdpaKunit {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        bed::init();
        bus::init();
        mgmt::init();
        Ok(Self)
    }
}
