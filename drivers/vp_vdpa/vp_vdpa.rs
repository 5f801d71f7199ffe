// SPDX-License-Identifier: GPL-2.0

//! Driver that makes vDPA devices of virtio devices on the PCI bus, whatever kind they are of.
//!
//! It takes no function by itself, as there are drivers for the devices that they are. Users say
//! which ones are for it, with `driver_override` or `new_id`.

#![deny(unsafe_code)]

use kernel::{
    driver,
    pci,
    prelude::*,
    InPlaceModule, //
};
use vdpa::pci::{
    virtio,
    NO_IDS, //
};

/// What these functions add to virtio: nothing.
struct VpVdpa;

#[vtable]
impl virtio::Driver for VpVdpa {
    type Own<'bound> = ();

    const NAME: &'static CStr = c"vp_vdpa";
    const IDS: pci::IdTable<()> = NO_IDS;

    fn probe<'bound>(_probe: &mut virtio::Probe<'_, 'bound>, _virtqueues: u16) -> Result {
        Ok(())
    }
}

#[pin_data]
struct Module {
    #[pin]
    _driver: driver::Registration<pci::Adapter<virtio::Adapter<VpVdpa>>>,
}

impl InPlaceModule for Module {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // Not the name of the module, but what the driver in C has in sysfs.
            _driver <- driver::Registration::new(c"vp-vdpa", module),
        })
    }
}

module! {
    type: Module,
    name: "vp_vdpa",
    authors: ["rust-vdpa developers"],
    description: "vDPA driver for virtio devices on the PCI bus",
    license: "GPL",
}
