// SPDX-License-Identifier: GPL-2.0

//! What parents that are PCI functions need, and `kernel::pci` does not have yet.
//!
//! The operations of a vDPA device are called for as long as it is registered, through an object
//! that can outlive the binding of its parent. So what is here can be kept in such an object: it is
//! the function's only while its driver is bound, and answers `ENODEV` from then on.
//!
//! C header: `include/linux/pci.h`.

mod function;
mod vectors;
mod window;

pub use self::{
    function::{
        memory_bar_len,
        subsystem_id,
        Function, //
    },
    vectors::Vectors,
    window::{
        Bars,
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
