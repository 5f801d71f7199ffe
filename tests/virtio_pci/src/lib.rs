// SPDX-License-Identifier: GPL-2.0

//! What parents that are virtio-PCI functions make of what those say, which needs neither a device
//! nor a kernel, and tests of that.
#![cfg(test)]

// What is here has the names that it has in the kernel.
extern crate self as vdpa;

#[path = "../../../rust/vdpa/pci/virtio/capability.rs"]
mod capability;
#[path = "../../../rust/vdpa/pci/virtio/fault.rs"]
mod fault;
#[path = "../../../rust/vdpa/pci/virtio/limits.rs"]
mod limits;
#[path = "../../../drivers/ifcvf/place.rs"]
mod place;

mod pci {
    pub(crate) mod virtio {
        pub(crate) use crate::capability::{Place, Structures};
        pub(crate) use crate::fault;
    }
}

mod capabilities_found;
mod capabilities_refused;
mod numbers;
mod space;
