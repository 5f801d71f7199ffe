// SPDX-License-Identifier: GPL-2.0

//! Simulator of a vDPA block device: a disk in memory.

#![deny(unsafe_code)]

mod blk;
mod options;

use blk::{
    new_disk,
    Blk,
    Disk, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use options::options;
use vdpa::{
    mgmt::{
        self,
        Attributes, //
    },
    software::{
        self,
        Device,
        Model,
        Options, //
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
    options: Options,
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

        software::create(name, config, self.options, Blk::new(disk))
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
            let options = options(
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
                    BlkOperations { options, shared },
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
