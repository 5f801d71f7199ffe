// SPDX-License-Identifier: GPL-2.0

//! What exists, and the global lock that protects it.
//!
//! # Locking
//!
//! One lock protects the list of management devices, that registered devices stay so, and the
//! operations of management devices. It is held
//!
//! - for reading by the commands that only look;
//! - for writing by what adds, deletes or changes anything, *including the calls into parents that
//!   do the work*. So a parent registers and unregisters with `_vdpa_register_device()` and
//!   `_vdpa_unregister_device()` from within these calls.
//!
//! A consumer's `remove()` runs with the lock held for writing, and some wait there for a process
//! to close a file. Requests of other processes therefore wait killably.

use crate::{
    device::Registered,
    devices,
    mgmtdev::{
        Managed,
        MgmtDev,
        MgmtDevList, //
    },
    module_static::{
        Initialised,
        ModuleStatic, //
    }, //
};
use core::ptr::NonNull;
use kernel::prelude::*;
use vdpa::{
    bindings,
    rwsem::{
        new_rwsem,
        ReadGuard,
        RwSem,
        WriteGuard, //
    }, //
};

/// The lock, with what it protects.
pub(crate) type Lock = RwSem<Registry>;

// SAFETY: `init()` is called first when the module is loaded; what uses the registry, that is other
// modules and requests, is gone when the module is unloaded.
static REGISTRY: ModuleStatic<Lock> = unsafe { ModuleStatic::new() };

/// Makes the registry, with nothing in it.
pub(crate) fn init() -> Initialised<Lock> {
    // SAFETY: This function is called once, when the module is loaded.
    unsafe { REGISTRY.init(new_rwsem!(Registry::new(), "vdpa_dev_lock")) }
}

/// Locks the registry to look at it, for a request of a process.
///
/// # Errors
///
/// `EINTR` if the process is killed while it waits.
pub(crate) fn read() -> Result<ReadGuard<'static, Registry>> {
    REGISTRY.get().read_killable()
}

/// Locks the registry to change it, for a request of a process.
///
/// # Errors
///
/// `EINTR` if the process is killed while it waits.
pub(crate) fn write() -> Result<WriteGuard<'static, Registry>> {
    REGISTRY.get().write_killable()
}

/// Locks the registry to change it, for a driver, which cannot give up.
pub(crate) fn write_unkillable() -> WriteGuard<'static, Registry> {
    REGISTRY.get().write()
}

/// Warns if the registry is not locked for writing.
pub(crate) fn assert_held_write() {
    REGISTRY.get().assert_held_write();
}

/// Management devices, and access to those of devices.
pub(crate) struct Registry {
    mgmtdevs: MgmtDevList,
}

/// A device that was looked for, and found. It stays registered.
pub(crate) struct Found<'a> {
    dev: Registered<'a>,
    registry: &'a Registry,
}

impl Found<'_> {
    /// The name of the device.
    pub(crate) fn name(&self) -> &CStr {
        self.dev.name()
    }

    /// Gives access to the device, and to its management device.
    ///
    /// Returns [`None`] if it was not made by one.
    pub(crate) fn managed(&self) -> Option<Managed<'_>> {
        self.registry.managed(self.dev)
    }
}

impl Registry {
    fn new() -> Self {
        Self {
            mgmtdevs: MgmtDevList::new(),
        }
    }

    /// The management devices after a number, each with its own, in the order of their
    /// registration.
    pub(crate) fn mgmtdevs_after(&self, number: u64) -> impl Iterator<Item = (u64, &MgmtDev)> {
        self.mgmtdevs.after(number)
    }

    /// Finds a management device by the names of its bus, where it is on one, and of its device.
    pub(crate) fn find_mgmtdev(&self, bus: Option<&CStr>, name: &CStr) -> Option<&MgmtDev> {
        self.mgmtdevs
            .iter()
            .find(|mdev| mdev.bus_name() == bus && mdev.name() == name)
    }

    /// Finds a device by its name.
    pub(crate) fn find_dev(&self, name: &CStr) -> Option<Found<'_>> {
        let dev = devices::find(name)?;

        // SAFETY: The device is registered, and devices are unregistered with the registry borrowed
        // mutably.
        let dev = unsafe { Registered::from_raw(dev.as_ptr()) };

        Some(Found {
            dev,
            registry: self,
        })
    }

    /// Gives access to a device that was found in this registry, and to its management device.
    ///
    /// Returns [`None`] if it was not made by one.
    fn managed<'a>(&'a self, dev: Registered<'a>) -> Option<Managed<'a>> {
        let mgmtdev = NonNull::new(mgmtdev_of(dev.as_raw()))?;

        // SAFETY: The device is registered. A management device deletes its devices when it is
        // unregistered, for which the registry is borrowed mutably too, so it is there for as long.
        Some(unsafe { Managed::new(dev, MgmtDev::from_raw(mgmtdev.as_ptr())) })
    }

    /// The first device after a number that was made by a management device, in the order of their
    /// registration, with its own number.
    pub(crate) fn next_managed(&self, number: u64) -> Option<(u64, Managed<'_>)> {
        let (number, dev) = devices::find_after(number, |dev| {
            (!mgmtdev_of(dev.as_raw()).is_null()).then(|| dev.as_raw())
        })?;
        // SAFETY: As in `find_dev()`.
        let dev = unsafe { Registered::from_raw(dev) };

        Some((number, self.managed(dev)?))
    }

    /// Adds a management device.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it is registered already; `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The management device must be valid until it is removed.
    pub(crate) unsafe fn add_mgmtdev(&mut self, mdev: &MgmtDev) -> Result {
        // SAFETY: By the safety requirements of this function.
        unsafe { self.mgmtdevs.add(mdev) }
    }

    /// Removes a management device with the devices that it has made, and returns whether it was
    /// there.
    pub(crate) fn remove_mgmtdev(&mut self, mdev: *mut bindings::vdpa_mgmt_dev) -> bool {
        let Some(mgmtdev) = self.mgmtdevs.iter().find(|other| other.as_raw() == mdev) else {
            return false;
        };
        let mut last = 0;

        while let Some((number, dev)) = devices::find_after(last, |dev| {
            (mgmtdev_of(dev.as_raw()) == mdev).then(|| dev.as_raw())
        }) {
            // SAFETY: The device is registered. The registry is borrowed mutably, so it is locked
            // for writing, and nobody has anything that was found in it.
            unsafe { mgmtdev.dev_del(dev) };
            last = number;
        }
        self.mgmtdevs.remove(mdev)
    }

    /// Has the management device that made a device delete it.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is no device of this name, `EINVAL` if it was not made by a management
    /// device.
    pub(crate) fn delete(&mut self, name: &CStr) -> Result {
        let found = self.find_dev(name).ok_or(ENODEV)?;
        let mgmtdev = found.managed().ok_or(EINVAL)?.mgmtdev();

        // SAFETY: As above; what was found here is not used after this.
        unsafe { mgmtdev.dev_del(found.dev.as_raw()) };
        Ok(())
    }
}

/// The management device that made a device, or NULL.
fn mgmtdev_of(dev: *mut bindings::vdpa_device) -> *mut bindings::vdpa_mgmt_dev {
    // SAFETY: The device is valid, and the pointer was set before it was registered.
    unsafe { (*dev).mdev }
}
