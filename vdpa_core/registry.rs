// SPDX-License-Identifier: GPL-2.0

//! What exists, and the global lock that protects it.
//!
//! # Locking
//!
//! One lock protects the list of management devices, the set of registered devices, and the
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
    bus,
    device::Registered,
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
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        }, //
    }, //
};
use vdpa::{
    bindings,
    rwsem::{
        new_rwsem,
        ReadGuard,
        RwSem,
        WriteGuard, //
    },
    Device, //
};

/// The lock, with what it protects.
pub(crate) type Lock = RwSem<Registry>;

// SAFETY: `init()` is called first when the module is loaded; what uses the registry, that is other
// modules and requests, is gone when the module is unloaded.
static REGISTRY: ModuleStatic<Lock> = unsafe { ModuleStatic::new() };

/// Changes with everything that is registered or unregistered.
static GENERATION: Atomic<u32> = Atomic::new(1);

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

/// Notes that something was registered or unregistered, with the registry locked for writing.
pub(crate) fn note_change() {
    GENERATION.store(GENERATION.load(Relaxed).wrapping_add(1), Relaxed);
}

/// Management devices, and access to those of devices.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    mgmtdevs: MgmtDevList,
}

/// A device that was looked for, and found. It stays registered, and in memory.
pub(crate) struct Found<'a> {
    dev: ARef<Device>,
    registry: &'a Registry,
}

impl Found<'_> {
    /// The name of the device.
    pub(crate) fn name(&self) -> &CStr {
        (*self.dev).as_ref().name()
    }

    /// Gives access to the device, and to its management device.
    ///
    /// Returns [`None`] if it was not made by one.
    pub(crate) fn managed(&self) -> Option<Managed<'_>> {
        // SAFETY: The device was found on the bus while the registry was locked, and the registry
        // is borrowed.
        unsafe { self.registry.managed(&self.dev) }
    }
}

impl Registry {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            mgmtdevs <- MgmtDevList::new(),
        })
    }

    /// A number that is another one after something was registered or unregistered.
    pub(crate) fn generation(&self) -> u32 {
        GENERATION.load(Relaxed)
    }

    /// The management devices, in the order of their registration.
    pub(crate) fn mgmtdevs(&self) -> impl Iterator<Item = &MgmtDev> {
        self.mgmtdevs.iter()
    }

    /// Finds a management device by the names of its bus, where it is on one, and of its device.
    pub(crate) fn find_mgmtdev(&self, bus: Option<&CStr>, name: &CStr) -> Option<&MgmtDev> {
        self.mgmtdevs()
            .find(|mdev| mdev.bus_name() == bus && mdev.name() == name)
    }

    /// Finds a device by its name.
    pub(crate) fn find_dev(&self, name: &CStr) -> Option<Found<'_>> {
        bus::find_device(name).map(|dev| Found {
            dev,
            registry: self,
        })
    }

    /// Gives access to a registered device, and to its management device.
    ///
    /// Returns [`None`] if it was not made by one.
    ///
    /// # Safety
    ///
    /// The device must have been on the bus since `self` was borrowed. It stays there during `'a`
    /// then, since devices are unregistered with the registry borrowed mutably.
    unsafe fn managed<'a>(&'a self, dev: &'a Device) -> Option<Managed<'a>> {
        let mgmtdev = NonNull::new(mgmtdev_of(dev))?;

        // SAFETY: By the safety requirements of this function the device is registered. A
        // management device deletes its devices when it is unregistered, for which the registry is
        // borrowed mutably too, so it is there for as long.
        Some(unsafe {
            Managed::new(
                Registered::from_raw(dev.as_raw()),
                MgmtDev::from_raw(mgmtdev.as_ptr()),
            )
        })
    }

    /// Calls a function for each device that was made by a management device, in the order of
    /// registration, until one returns an error.
    pub(crate) fn try_for_each_managed(&self, mut f: impl FnMut(Managed<'_>) -> Result) -> Result {
        bus::try_for_each_device(|dev| {
            // SAFETY: The device is on the bus, and the registry is locked.
            unsafe { self.managed(dev) }.map_or(Ok(()), &mut f)
        })
    }

    /// Adds a management device.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it is registered already.
    ///
    /// # Safety
    ///
    /// The management device must be valid until it is removed.
    pub(crate) unsafe fn add_mgmtdev(self: Pin<&mut Self>, mdev: &MgmtDev) -> Result {
        // SAFETY: By the safety requirements of this function.
        unsafe { self.project().mgmtdevs.add(mdev) }?;
        note_change();
        Ok(())
    }

    /// Removes a management device with the devices that it has made, and returns whether it was
    /// there.
    pub(crate) fn remove_mgmtdev(self: Pin<&mut Self>, mdev: *mut bindings::vdpa_mgmt_dev) -> bool {
        let Some(mgmtdev) = self.mgmtdevs().find(|other| other.as_raw() == mdev) else {
            return false;
        };

        // An error can only come from the bus not being there, and then there is nothing to delete.
        let _ = bus::try_for_each_device(|dev| {
            if mgmtdev_of(dev) == mdev {
                // SAFETY: The device is on the bus. The registry is borrowed mutably, so it is
                // locked for writing, and nobody has anything that was found in it.
                unsafe { mgmtdev.dev_del(dev) };
            }
            Ok(())
        });
        note_change();
        self.project().mgmtdevs.remove(mdev)
    }

    /// Has the management device that made a device delete it.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is no device of this name, `EINVAL` if it was not made by a management
    /// device.
    pub(crate) fn delete(self: Pin<&mut Self>, name: &CStr) -> Result {
        let found = self.find_dev(name).ok_or(ENODEV)?;
        let mgmtdev = found.managed().ok_or(EINVAL)?.mgmtdev();

        // SAFETY: As above; what was found here is only dropped after this.
        unsafe { mgmtdev.dev_del(&found.dev) };
        Ok(())
    }
}

/// The management device that made a device, or NULL.
fn mgmtdev_of(dev: &Device) -> *mut bindings::vdpa_mgmt_dev {
    // SAFETY: The device is valid, and the pointer was set before it was registered.
    unsafe { (*dev.as_raw()).mdev }
}
