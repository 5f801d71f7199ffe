// SPDX-License-Identifier: GPL-2.0

//! A disk that reaches no memory by physical addresses.
//!
//! What a kernel driver maps is copied, as the device does it itself. What a process maps is read
//! and written through the files it is of.

#![deny(unsafe_code)]

mod disk;
mod space;

use disk::{
    Bounce,
    FEATURES, //
};
use kernel::prelude::*;
use vdpa::{
    bindings,
    mgmt,
    virtio_map::{
        FileDmaMaps,
        FileSetMaps, //
    },
    DeviceInfo,
    RootDevice,
    UnregisteredDevice, //
};

struct BounceOperations;

#[vtable]
impl mgmt::Operations for BounceOperations {
    type Device = Bounce;

    fn dev_add(
        &self,
        mgmt: &kernel::device::Device,
        name: &CStr,
        _config: &mgmt::Config,
    ) -> Result<UnregisteredDevice<Bounce>> {
        let info = DeviceInfo {
            name: Some(name),
            parent: Some(mgmt),
            dma_device: None,
            virtqueues: 1,
            groups: 1,
            address_spaces: 1,
        };
        let bounce = Bounce::new(name)?;

        if module_parameters::batch.value() != 0 {
            UnregisteredDevice::with_virtio_map::<FileSetMaps>(&info, Ok(bounce))
        } else {
            UnregisteredDevice::with_virtio_map::<FileDmaMaps>(&info, Ok(bounce))
        }
    }
}

#[pin_data]
struct VdpaBounce {
    #[pin]
    _mgmt: mgmt::Registration<BounceOperations>,
    // After what refers to it.
    _root: RootDevice,
}

impl kernel::InPlaceModule for VdpaBounce {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let root = RootDevice::new(c"vdpa_bounce", module)?;

            Ok(try_pin_init!(Self {
                _mgmt <- mgmt::Registration::new(
                    mgmt::Info {
                        device: root.as_ref(),
                        classes: &[bindings::VIRTIO_ID_BLOCK],
                        attributes: mgmt::Attributes::NONE,
                        features: FEATURES,
                        max_virtqueues: 1,
                    },
                    BounceOperations,
                ),
                _root: root,
            }))
        })
    }
}

module! {
    type: VdpaBounce,
    name: "vdpa_bounce",
    authors: ["rust-vdpa developers"],
    description: "vDPA disk that has its memory mapped by itself and by files",
    license: "GPL",
    params: {
        batch: u32 {
            default: 0,
            description: "Whether it is told of whole address spaces, not of single mappings",
        },
    },
}
