// SPDX-License-Identifier: GPL-2.0

//! The devices that are registered.
//!
//! The index of a device is used again when it is gone, and its structure has no room for more. So
//! what tells a device from those before and after it, its [number](Numbered), is here.
//!
//! # Locking
//!
//! The table has a lock of its own, which is innermost: nothing is called with it held. That a
//! device stays after it was found here is a matter of the lock of [`registry`](crate::registry).

use crate::{
    module_static::{
        Initialised,
        ModuleStatic, //
    },
    numbered::Numbered, //
};
use core::ptr::NonNull;
use kernel::prelude::*;
use vdpa::{
    bindings,
    rwsem::{
        new_rwsem,
        RwSem, //
    },
    Device, //
};

/// A registered device, or one that is being registered or unregistered.
///
/// # Invariants
///
/// The device is valid for as long as the entry is in the table.
pub(crate) struct Entry(NonNull<bindings::vdpa_device>);

// SAFETY: A device is bound to no thread.
unsafe impl Send for Entry {}

// SAFETY: All that is done with a shared reference is to compare the pointer, and to read the name,
// which does not change while the device is registered.
unsafe impl Sync for Entry {}

impl Entry {
    fn device(&self) -> &Device {
        // SAFETY: By the type invariant; who has a reference to an entry has the table locked.
        unsafe { Device::from_raw(self.0.as_ptr()) }
    }

    fn is_named(&self, name: &CStr) -> bool {
        self.device().as_ref().name() == name
    }
}

/// The table, with its lock.
pub(crate) type Lock = RwSem<Numbered<Entry>>;

// SAFETY: `init()` is called when the module is loaded, before there can be devices, and all of
// them are gone when it is unloaded.
static DEVICES: ModuleStatic<Lock> = unsafe { ModuleStatic::new() };

/// Makes the table, with nothing in it.
pub(crate) fn init() -> Initialised<Lock> {
    // SAFETY: This function is called once, when the module is loaded.
    unsafe { DEVICES.init(new_rwsem!(Numbered::new(), "vdpa_devices")) }
}

/// Enters a device whose name is set.
///
/// # Errors
///
/// `EEXIST` if the name is taken; `ENOMEM`.
///
/// # Safety
///
/// The device must be valid until it is [removed](remove).
pub(crate) unsafe fn add(dev: &Device) -> Result {
    let mut devices = DEVICES.get().write();
    let name = dev.as_ref().name();

    if devices.iter().any(|other| other.is_named(name)) {
        return Err(EEXIST);
    }
    // INVARIANT: By the safety requirement of this function.
    devices.push(Entry(NonNull::from(dev).cast()))?;
    Ok(())
}

/// Removes a device, if it is there.
pub(crate) fn remove(dev: *mut bindings::vdpa_device) {
    DEVICES.get().write().take(|entry| entry.0.as_ptr() == dev);
}

/// Finds a device by its name.
pub(crate) fn find(name: &CStr) -> Option<NonNull<bindings::vdpa_device>> {
    DEVICES
        .get()
        .read()
        .iter()
        .find(|entry| entry.is_named(name))
        .map(|entry| entry.0)
}

/// Returns the first device after a number that `f` returns something for, with its number.
pub(crate) fn find_after<R>(
    number: u64,
    mut f: impl FnMut(&Device) -> Option<R>,
) -> Option<(u64, R)> {
    DEVICES
        .get()
        .read()
        .after(number)
        .find_map(|(number, entry)| Some((number, f(entry.device())?)))
}
