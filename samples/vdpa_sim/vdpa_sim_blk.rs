// SPDX-License-Identifier: GPL-2.0

//! Simulator of a vDPA block device: a disk in memory.

#![deny(unsafe_code)]

mod blk;
#[expect(dead_code, reason = "only a network device can be changed")]
mod device;
mod memory;
#[expect(dead_code, reason = "the network device receives, too")]
mod queue;
mod sim;

use blk::{
    new_disk,
    Blk,
    Disk, //
};
use device::Device;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use sim::{
    Model,
    Params, //
};
use vdpa::{
    mgmt::{
        self,
        Attributes, //
    },
    RootDevice,
    UnregisteredDevice, //
};

// Where they are not given, those of vdpa_sim are used.
vdpa::module_param!(
    vdpa_sim_blk.batch_mapping: int = vdpasim_batch_mapping or 1,
    "Batched mapping: 1 - enable, 0 - disable"
);
vdpa::module_param!(
    vdpa_sim_blk.max_iotlb_entries: int = vdpasim_max_iotlb_entries or 1 << 20,
    "Maximum number of mappings of an address space (2 or more)"
);
vdpa::module_param!(
    vdpa_sim_blk.use_va: bool = vdpasim_use_va or true,
    "Map virtual addresses of processes"
);
vdpa::module_param!(vdpa_sim_blk.shared_backend: bool = false, "All devices share one disk");

/// The management device.
struct BlkOperations {
    params: Params,
    /// The disk of all devices, if they share one.
    shared: Option<Arc<Disk>>,
}

#[vtable]
impl mgmt::Operations for BlkOperations {
    type Device = Device<Blk>;

    fn dev_add(
        &self,
        _mgmt: &kernel::device::Device,
        name: &CStr,
        config: &mgmt::Config,
    ) -> Result<UnregisteredDevice<Self::Device>> {
        let disk = match &self.shared {
            Some(disk) => disk.clone(),
            None => new_disk()?,
        };

        Device::create(name, config, self.params, Blk::new(disk))
    }
}

#[pin_data]
struct VdpaSimBlk {
    #[pin]
    _mgmt: mgmt::Registration<BlkOperations>,
    // After what refers to it.
    _root: RootDevice,
}

impl kernel::InPlaceModule for VdpaSimBlk {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let params = Params::new(
                batch_mapping.value(),
                max_iotlb_entries.value(),
                use_va.value(),
            )?;
            let shared = if shared_backend.value() {
                Some(new_disk()?)
            } else {
                None
            };
            let root = RootDevice::new(c"vdpasim_blk", module)?;

            Ok(try_pin_init!(Self {
                _mgmt <- mgmt::Registration::new(
                    mgmt::Info {
                        device: root.as_ref(),
                        classes: &[Blk::DEVICE_ID],
                        attributes: Attributes::FEATURES,
                        features: Blk::FEATURES,
                        max_virtqueues: Blk::QUEUES,
                    },
                    BlkOperations { params, shared },
                ),
                _root: root,
            }))
        })
    }
}

module! {
    type: VdpaSimBlk,
    name: "vdpa_sim_blk",
    authors: ["rust-vdpa developers"],
    description: "vDPA device simulator for a block device",
    license: "GPL",
}
