// SPDX-License-Identifier: GPL-2.0

//! Which functions a driver is for.

use crate::bindings;
use core::ptr::null;
use kernel::{
    device_id::IdTable,
    pci, //
};

/// Makes an entry for a table of ids that looks at the subsystem too.
///
/// C: `PCI_DEVICE_SUB()`.
///
/// # Examples
///
/// ```ignore
/// kernel::pci_device_table!(
///     IDS,
///     (),
///     [(vdpa::pci::subsystem_id(0x1af4, 0x1041, 0x8086, 0x001a), ())]
/// );
/// ```
#[inline]
pub const fn subsystem_id(
    vendor: u16,
    device: u16,
    subvendor: u16,
    subdevice: u16,
) -> pci::DeviceId {
    let raw = bindings::pci_device_id {
        vendor: vendor as u32,
        device: device as u32,
        subvendor: subvendor as u32,
        subdevice: subdevice as u32,
        class: 0,
        class_mask: 0,
        driver_data: 0,
        override_only: 0,
    };

    // SAFETY: `pci::DeviceId` is a transparent wrapper, and all its values are valid.
    unsafe { core::mem::transmute::<bindings::pci_device_id, pci::DeviceId>(raw) }
}

/// A table that is not there.
struct Nothing;

impl IdTable<pci::DeviceId, ()> for Nothing {
    #[inline]
    fn as_ptr(&self) -> *const bindings::pci_device_id {
        null()
    }
}

/// For a driver that is for those functions only that users say, with `new_id` or
/// `driver_override`. An empty table would not do, as the PCI bus takes no `new_id` then.
pub const NO_IDS: pci::IdTable<()> = &Nothing;
