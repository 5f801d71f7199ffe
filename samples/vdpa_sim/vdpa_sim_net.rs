// SPDX-License-Identifier: GPL-2.0

//! Simulator of a vDPA network device: frames that are sent come back.

#![deny(unsafe_code)]

mod net;
mod options;

use kernel::prelude::*;
use net::Net;
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
    vdpa_sim_net.batch_mapping: int = vdpasim_batch_mapping or 1,
    "Batched mapping: 1 - enable, 0 - disable"
);
vdpa::module_param!(
    vdpa_sim_net.max_iotlb_entries: int = vdpasim_max_iotlb_entries or 1 << 20,
    "Maximum number of mappings of an address space (2 or more)"
);
vdpa::module_param!(
    vdpa_sim_net.use_va: bool = vdpasim_use_va or true,
    "Map virtual addresses of processes"
);

/// The management device.
struct NetOperations(Options);

#[vtable]
impl mgmt::Operations for NetOperations {
    type Device = Device<Net>;

    fn dev_add(
        &self,
        _mgmt: &kernel::device::Device,
        name: &CStr,
        config: &mgmt::Config,
    ) -> Result<UnregisteredDevice<Self::Device>> {
        software::create(name, config, self.0, Net::new(config))
    }

    fn dev_set_attr(&self, device: &Self::Device, config: &mgmt::Config) -> Result {
        let mac = config.mac().ok_or(EOPNOTSUPP)?;

        device.parent().change(|net| net.set_mac(mac));
        Ok(())
    }
}

#[pin_data]
struct VdpaSimNet {
    #[pin]
    _mgmt: mgmt::Registration<NetOperations>,
    // After what refers to it.
    _root: RootDevice,
}

impl kernel::InPlaceModule for VdpaSimNet {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let options = options(
                batch_mapping.value(),
                max_iotlb_entries.value(),
                use_va.value(),
            )?;
            let root = RootDevice::new(c"vdpasim_net", module)?;

            Ok(try_pin_init!(Self {
                _mgmt <- mgmt::Registration::new(
                    mgmt::Info {
                        device: root.as_ref(),
                        classes: &[Net::DEVICE_ID],
                        attributes: Attributes::NET_MAC
                            .with(Attributes::NET_MTU)
                            .with(Attributes::FEATURES),
                        features: Net::FEATURES,
                        max_virtqueues: Net::QUEUES,
                    },
                    NetOperations(options),
                ),
                _root: root,
            }))
        })
    }
}

module! {
    type: VdpaSimNet,
    name: "vdpa_sim_net",
    authors: ["rust-vdpa developers"],
    description: "vDPA device simulator for a network device",
    license: "GPL",
}
