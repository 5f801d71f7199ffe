// SPDX-License-Identifier: GPL-2.0

//! Driver for virtual functions of Intel's network cards that move data as virtio says.
//!
//! They are PCI functions with the structures of a virtio device, and registers of the vendor's for
//! the state of virtqueues. Translation of addresses is the platform's.

#![deny(unsafe_code)]

mod place;
mod states;

use kernel::{
    pci,
    prelude::*, //
};
use states::States;
use vdpa::{
    bindings,
    pci::{
        subsystem_id,
        virtio, //
    },
    Features, //
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
    (),
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

/// What these cards add to virtio.
struct Ifcvf;

#[vtable]
impl virtio::Driver for Ifcvf {
    type Own<'bound> = States<'bound>;

    const NAME: &'static CStr = c"ifcvf";
    const IDS: pci::IdTable<()> = &IDS;
    // Not the packed virtqueues, as there are 16 bits for the state of one, and no resetting of
    // one, as these stop when they are disabled.
    const FEATURES: Features = virtio::TRANSPORT.difference(Features::from_bits(&[
        bindings::VIRTIO_F_RING_PACKED,
        bindings::VIRTIO_F_RING_RESET,
    ]));
    const SIZE_MIN: u16 = 64;

    fn device_id(pdev: &pci::Device) -> Result<u32> {
        match virtio::device_id(pdev) {
            id @ (bindings::VIRTIO_ID_NET | bindings::VIRTIO_ID_BLOCK) => Ok(id),
            id => {
                dev_err!(
                    pdev,
                    "the device has virtio id {id}, must be 1 (network) or 2 (block)\n"
                );
                Err(EOPNOTSUPP)
            }
        }
    }

    fn probe<'bound>(
        probe: &mut virtio::Probe<'_, 'bound>,
        virtqueues: u16,
    ) -> Result<States<'bound>> {
        States::probe(probe, virtqueues)
    }
}

kernel::module_pci_driver! {
    type: virtio::Adapter<Ifcvf>,
    name: "ifcvf",
    authors: ["rust-vdpa developers"],
    description: "vDPA driver for virtual functions of Intel's network cards",
    license: "GPL",
}
