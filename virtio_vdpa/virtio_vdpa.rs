// SPDX-License-Identifier: GPL-2.0

//! Virtio devices on the vDPA bus.
//!
//! Each vDPA device that this driver is bound to becomes a virtio device, which the kernel's own
//! virtio drivers (network, block, …) drive: this is a transport, like PCI or MMIO.

#![deny(unsafe_code)]

mod affinity;
mod queue;
mod transport;

use kernel::{
    device::Core,
    prelude::*, //
};
use transport::VdpaTransport;
use vdpa::{
    driver::Driver,
    module_vdpa_driver,
    virtio, //
};

struct VirtioVdpa;

impl Driver for VirtioVdpa {
    type Data<'bound> = Self;

    fn probe<'bound>(vdpa: &'bound vdpa::Device<Core<'_>>) -> impl PinInit<Self, Error> + 'bound {
        register(vdpa).map(|()| Self)
    }
}

/// Registers a virtio device for as long as `vdpa` is bound.
fn register(vdpa: &vdpa::Device<Core<'_>>) -> Result {
    let id = virtio::DeviceId {
        device: vdpa.device_id(),
        vendor: vdpa.vendor_id(),
    };

    if id.device == 0 {
        dev_err!(vdpa, "device id 0 refused: must be 1 or more\n");
        return Err(EINVAL);
    }

    let Some(parent) = vdpa.dma_device() else {
        dev_err!(vdpa, "refused: its parent names no device that does DMA\n");
        return Err(EINVAL);
    };

    virtio::Device::<VdpaTransport>::register(vdpa, parent, id)
}

module_vdpa_driver! {
    type: VirtioVdpa,
    name: "virtio_vdpa",
    authors: ["rust-vdpa developers"],
    description: "vDPA bus driver for virtio devices",
    license: "GPL v2",
}
