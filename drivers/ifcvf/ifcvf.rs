// SPDX-License-Identifier: GPL-2.0

//! Driver for virtual functions of Intel's network cards that move data as virtio says.
//!
//! They are PCI functions with the structures of a virtio device, and registers of the vendor's for
//! the state of virtqueues. Translation of addresses is the platform's.

#![deny(unsafe_code)]

mod capability;
mod config;
mod fault;
mod hardware;
mod interrupts;
mod limits;
mod management;
mod probe;
mod queues;
mod registers;
mod vf;

use hardware::Hardware;
use kernel::{
    device::Core,
    pci,
    prelude::*, //
};
use management::Operations;
use vdpa::{
    bindings,
    mgmt,
    pci::subsystem_id, //
};

const VENDOR: u16 = bindings::PCI_VENDOR_ID_REDHAT_QUMRANET as u16;
const SUBVENDOR: u16 = bindings::PCI_VENDOR_ID_INTEL as u16;
const N3000: u16 = 0x001a;
const NET: u16 = bindings::VIRTIO_ID_NET as u16;
const BLOCK: u16 = bindings::VIRTIO_ID_BLOCK as u16;
/// Device ids of virtio devices: modern, and of a network and a block device that could be used by
/// older drivers too (virtio 1.3, section 4.1.2).
const MODERN_NET: u16 = 0x1041;
const TRANSITIONAL_NET: u16 = 0x1000;
const TRANSITIONAL_BLOCK: u16 = 0x1001;

kernel::pci_device_table!(
    IDS,
    <Ifcvf as pci::Driver>::IdInfo,
    [
        // N3000, network
        (subsystem_id(VENDOR, MODERN_NET, SUBVENDOR, N3000), ()),
        // C5000X-PL and F2000X-PL, network
        (subsystem_id(VENDOR, TRANSITIONAL_NET, SUBVENDOR, NET), ()),
        // C5000X-PL, block
        (
            subsystem_id(VENDOR, TRANSITIONAL_BLOCK, SUBVENDOR, BLOCK),
            ()
        ),
    ]
);

/// A function that is bound. Unbinding it removes the vDPA device, and then lets go of the
/// hardware.
#[pin_data]
struct Ifcvf {
    #[pin]
    _mgmt: mgmt::Registration<Operations>,
}

impl pci::Driver for Ifcvf {
    type IdInfo = ();
    type Data<'bound> = Self;
    const ID_TABLE: pci::IdTable<Self::IdInfo> = &IDS;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _id: Option<&'bound ()>,
    ) -> impl PinInit<Self, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            let hardware = Hardware::probe(pdev)?;

            Ok(try_pin_init!(Self {
                _mgmt <- mgmt::Registration::new(
                    mgmt::Info {
                        device: pdev.as_ref(),
                        classes: &[hardware.device_id],
                        attributes: mgmt::Attributes::FEATURES,
                        features: hardware.features,
                        max_virtqueues: u32::try_from(hardware.queues.len())?,
                    },
                    Operations(hardware),
                ),
            }))
        })
    }
}

kernel::module_pci_driver! {
    type: Ifcvf,
    name: "ifcvf",
    authors: ["rust-vdpa developers"],
    description: "vDPA driver for virtual functions of Intel's network cards",
    license: "GPL",
}
