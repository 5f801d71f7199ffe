// SPDX-License-Identifier: GPL-2.0

//! The devices that are registered.
//!
//! The index of a device is used again when it is gone, and its structure has no room for more. So
//! what the bus has of a device is in a table: its [number](Numbered), which tells it from those
//! before and after it; how far it has come; and its gate.
//!
//! A device is *coming* while the parent makes it. When that is done it is *here*, and found. It is
//! *going* from when somebody has taken it upon himself to unregister it. Its name is taken all that
//! time.
//!
//! # Locking
//!
//! See [`registry`](crate::registry).

use crate::{
    device::Registered,
    mgmtdev::{
        Managed,
        MgmtDev, //
    },
    module_static::{
        Initialised,
        ModuleStatic, //
    },
    numbered::Numbered, //
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use vdpa::{
    bindings,
    rwsem::{
        new_rwsem,
        ReadGuard,
        RwSem, //
    },
    Device, //
};

/// How far a device has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Coming,
    Here,
    Going,
}

/// A lock that those hold for reading who have commands for a device, and that is `true` until
/// somebody unregisters it, for which he waits for them.
type Gate = RwSem<bool>;

/// A device in the table.
///
/// # Invariants
///
/// The device is valid for as long as the entry is in the table. It is registered while the stage
/// is [`Stage::Here`] or the gate is open and locked.
pub(crate) struct Entry {
    dev: NonNull<bindings::vdpa_device>,
    stage: Stage,
    gate: Arc<Gate>,
}

// SAFETY: A device is bound to no thread.
unsafe impl Send for Entry {}

// SAFETY: All that is done with a shared reference is to compare the pointer, and to read what does
// not change while the device is registered.
unsafe impl Sync for Entry {}

impl Entry {
    fn device(&self) -> &Device {
        // SAFETY: By the type invariant; who has a reference to an entry has the table locked.
        unsafe { Device::from_raw(self.dev.as_ptr()) }
    }

    fn is_named(&self, name: &CStr) -> bool {
        self.device().as_ref().name() == name
    }

    /// The management device that makes or has made it, or NULL.
    fn mgmtdev(&self) -> *mut bindings::vdpa_mgmt_dev {
        // SAFETY: The device is valid, and the pointer was set before it was registered.
        unsafe { (*self.dev.as_ptr()).mdev }
    }

    fn handle(&self) -> Handle {
        Handle {
            dev: self.dev,
            mgmtdev: self.mgmtdev(),
            gate: self.gate.clone(),
        }
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

/// Enters a device whose name is set, as one that is coming.
///
/// # Errors
///
/// `EEXIST` if the name is taken; `ENOMEM`.
///
/// # Safety
///
/// The device must be valid until it is [removed](remove).
pub(crate) unsafe fn add(dev: &Device) -> Result {
    let gate = Arc::pin_init(new_rwsem!(true, "vdpa_device_gate"), GFP_KERNEL)?;
    let name = dev.as_ref().name();
    let mut devices = DEVICES.get().write();

    if devices.iter().any(|other| other.is_named(name)) {
        return Err(EEXIST);
    }
    // INVARIANT: By the safety requirement of this function. The gate can be had when the device is
    // here.
    devices.push(Entry {
        dev: NonNull::from(dev).cast(),
        stage: Stage::Coming,
        gate,
    })?;
    Ok(())
}

/// Has a device be found that was registered.
pub(crate) fn arrive(dev: *mut bindings::vdpa_device) {
    arrive_if(|entry| entry.dev.as_ptr() == dev);
}

/// Has those be found that a management device has registered.
pub(crate) fn arrive_from(mgmtdev: &MgmtDev) {
    arrive_if(|entry| entry.mgmtdev() == mgmtdev.as_raw());
}

fn arrive_if(is_it: impl Fn(&Entry) -> bool) {
    for entry in DEVICES.get().write().iter_mut() {
        if entry.stage == Stage::Coming && is_it(entry) {
            // INVARIANT: The callers have registered it.
            entry.stage = Stage::Here;
        }
    }
}

/// Has a device not be found any more, and waits for those who have found it.
pub(crate) fn leave(dev: *mut bindings::vdpa_device) {
    let gate = DEVICES
        .get()
        .write()
        .iter_mut()
        .find(|entry| entry.dev.as_ptr() == dev)
        .map(|entry| {
            entry.stage = Stage::Going;
            entry.gate.clone()
        });

    if let Some(gate) = gate {
        // INVARIANT: From here on the gate is closed.
        *gate.write() = false;
    }
}

/// Removes a device, if it is there.
pub(crate) fn remove(dev: *mut bindings::vdpa_device) {
    let entry = DEVICES
        .get()
        .write()
        .take(|entry| entry.dev.as_ptr() == dev);

    // Not with the table locked.
    drop(entry);
}

/// Whether a device has a name, one that is coming or going included.
pub(crate) fn is_taken(name: &CStr) -> bool {
    DEVICES
        .get()
        .read()
        .iter()
        .any(|entry| entry.is_named(name))
}

/// Finds a device by its name.
pub(crate) fn find(name: &CStr) -> Option<Handle> {
    DEVICES
        .get()
        .read()
        .iter()
        .find(|entry| entry.stage == Stage::Here && entry.is_named(name))
        .map(Entry::handle)
}

/// Finds the first device after a number that was made by a management device, and returns it with
/// its own number.
pub(crate) fn next_managed(number: u64) -> Option<(u64, Handle)> {
    DEVICES
        .get()
        .read()
        .after(number)
        .find(|(_, entry)| entry.stage == Stage::Here && !entry.mgmtdev().is_null())
        .map(|(number, entry)| (number, entry.handle()))
}

/// Claims a device that was found, if it is still there: nobody else unregisters it, and nobody has
/// commands for it any more.
pub(crate) fn claim(handle: &Handle) -> Option<NonNull<bindings::vdpa_device>> {
    claim_if(|entry| Arc::ptr_eq(&entry.gate, &handle.gate))
}

/// Claims the first of the devices that a management device has made, as [`claim`] does.
pub(crate) fn claim_from(mgmtdev: &MgmtDev) -> Option<NonNull<bindings::vdpa_device>> {
    claim_if(|entry| entry.mgmtdev() == mgmtdev.as_raw())
}

fn claim_if(is_it: impl Fn(&Entry) -> bool) -> Option<NonNull<bindings::vdpa_device>> {
    let (dev, gate) = {
        let mut devices = DEVICES.get().write();
        let entry = devices
            .iter_mut()
            .find(|entry| entry.stage == Stage::Here && is_it(entry))?;

        entry.stage = Stage::Going;
        (entry.dev, entry.gate.clone())
    };

    // INVARIANT: From here on the gate is closed.
    *gate.write() = false;
    Some(dev)
}

/// A device that was found. It may be gone since.
pub(crate) struct Handle {
    dev: NonNull<bindings::vdpa_device>,
    mgmtdev: *mut bindings::vdpa_mgmt_dev,
    gate: Arc<Gate>,
}

impl Handle {
    /// The management device that has made it, or NULL, to compare it.
    pub(crate) fn mgmtdev(&self) -> *mut bindings::vdpa_mgmt_dev {
        self.mgmtdev
    }

    /// Keeps the device from being unregistered, if it is there, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `EINTR` if the task is being killed.
    pub(crate) fn enter(&self) -> Result<Option<Inside<'_>>> {
        let gate = self.gate.read_killable()?;

        // INVARIANT: Checked here.
        Ok((*gate).then_some(Inside {
            handle: self,
            _gate: gate,
        }))
    }
}

/// A device that stays registered.
///
/// # Invariants
///
/// Its gate is open, and locked.
pub(crate) struct Inside<'a> {
    handle: &'a Handle,
    _gate: ReadGuard<'a, bool>,
}

impl Inside<'_> {
    /// The device.
    pub(crate) fn dev(&self) -> Registered<'_> {
        // SAFETY: By the type invariant, and that of `Entry`.
        unsafe { Registered::from_raw(self.handle.dev.as_ptr()) }
    }

    /// Gives access to the device, and to its management device.
    ///
    /// Returns [`None`] if it was not made by one.
    pub(crate) fn managed(&self) -> Option<Managed<'_>> {
        let mgmtdev = NonNull::new(self.handle.mgmtdev)?;

        // SAFETY: The device is registered. A management device deletes its devices when it is
        // unregistered, for which it waits at their gates, so it is there for as long.
        Some(unsafe { Managed::new(self.dev(), MgmtDev::from_raw(mgmtdev.as_ptr())) })
    }
}
