// SPDX-License-Identifier: GPL-2.0

//! What parents that are PCI functions need, and `kernel::pci` does not have yet.
//!
//! What is here borrows the function from the time that its driver is bound. So does the data of a
//! device that is made with it, which is dropped when the device is unregistered: with
//! [`mgmt::BoundRegistration`](crate::mgmt::BoundRegistration), before the driver is
//! unbound.
//!
//! C header: `include/linux/pci.h`.

mod function;
mod ids;
mod vectors;
pub mod virtio;
mod window;

pub use self::{
    function::{
        memory_bar_len,
        Function, //
    },
    ids::{
        subsystem_id,
        NO_IDS, //
    },
    vectors::Vectors,
    window::{
        Bars,
        Registers,
        Window,
        BARS, //
    },
};

use crate::bindings;
use kernel::{
    device,
    pci, //
};

/// The C representation of a PCI function.
#[inline]
fn as_raw<Ctx: device::DeviceContext>(pdev: &pci::Device<Ctx>) -> *mut bindings::pci_dev {
    // CAST: `pci::Device` is a transparent wrapper of `struct pci_dev`.
    core::ptr::from_ref(pdev).cast_mut().cast()
}
