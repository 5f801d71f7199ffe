// SPDX-License-Identifier: GPL-2.0

//! Management devices that are registered, what they are asked to do, and who waits for whom.
//!
//! A parent may take seconds for what it is asked, such as a command to firmware, and so may a
//! consumer whose `remove()` waits for a process. Only those wait for it who want something of the
//! same management device. Others do not, and neither do those who only look at devices.
//!
//! # Locking
//!
//! From the outermost to the innermost:
//!
//! - *The operations of a management device*, a lock for each. It is held while the parent makes,
//!   deletes or changes one of its devices, and so while such a device is registered, is given to a
//!   driver, is taken from it, and is unregistered. It is held to unregister the management device,
//!   too. So a parent is asked for one thing at a time, registers and unregisters with
//!   `_vdpa_register_device()` and `_vdpa_unregister_device()` from within these calls, and is not
//!   asked for anything more when `vdpa_mgmtdev_unregister()` has returned. These three are what
//!   parents got from the one lock that C's bus has.
//! - The driver core's lock of a vDPA device.
//! - *The gate of a device* ([`devices`]), which those hold for reading who look at it, or change
//!   it. Who unregisters a device has it not be found, and then closes its gate, for which he waits
//!   for those who have found it before. So a device stays registered for as long as a command looks
//!   at it, and with it its management device, which goes after its devices. A device that its
//!   parent is still making, or has begun to delete, is not found, so nobody waits for that.
//! - `cf_lock` of a device.
//! - *The tables* of devices and of management devices, a lock for each. They are innermost: with
//!   one of them held nobody is called, and no other lock is taken.
//!
//! A gate is not held while its device is registered, as nobody finds the device then, nor while it
//! is unregistered, as it is closed then. So what waits for the driver core's lock, or for a driver,
//! has no gate.
//!
//! The driver core's lock of a *parent* device is outside of all these.
//!
//! Commands of processes wait killably.

use crate::{
    devices::{
        self,
        Handle, //
    },
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
    sync::Arc,
    warn_on, //
};
use vdpa::{
    bindings,
    rwsem::{
        new_rwsem,
        ReadGuard,
        RwSem,
        WriteGuard, //
    }, //
};

/// The lock of what a management device is asked to do, which is `true` until it is unregistered.
type Operations = RwSem<bool>;

/// A management device in the table.
///
/// # Invariants
///
/// The invariants of [`MgmtDev`] hold for as long as the entry is in the table.
pub(crate) struct Entry {
    mgmtdev: NonNull<bindings::vdpa_mgmt_dev>,
    /// It is being unregistered, and not found any more.
    going: bool,
    operations: Arc<Operations>,
}

// SAFETY: The operations of a management device may be called from any thread.
unsafe impl Send for Entry {}

// SAFETY: As above; `MgmtDev`, which is what is shared, is `Sync`.
unsafe impl Sync for Entry {}

impl Entry {
    fn get(&self) -> &MgmtDev {
        // SAFETY: By the type invariant; who has a reference to an entry has the table locked.
        unsafe { MgmtDev::from_raw(self.mgmtdev.as_ptr()) }
    }

    fn is(&self, mgmtdev: *mut bindings::vdpa_mgmt_dev) -> bool {
        self.mgmtdev.as_ptr() == mgmtdev
    }

    fn management(&self) -> Management {
        Management {
            mgmtdev: self.mgmtdev,
            operations: self.operations.clone(),
        }
    }
}

/// The table, with its lock.
pub(crate) type Lock = RwSem<Numbered<Entry>>;

// SAFETY: `init()` is called first when the module is loaded; what uses the table, that is other
// modules and requests, is gone when the module is unloaded.
static MGMTDEVS: ModuleStatic<Lock> = unsafe { ModuleStatic::new() };

/// Makes the table, with nothing in it.
pub(crate) fn init() -> Initialised<Lock> {
    // SAFETY: This function is called once, when the module is loaded.
    unsafe { MGMTDEVS.init(new_rwsem!(Numbered::new(), "vdpa_mgmtdevs")) }
}

/// The management devices, which stay for as long as this is there. Nothing may be waited for
/// meanwhile.
pub(crate) struct MgmtDevs(ReadGuard<'static, Numbered<Entry>>);

/// Lets the caller look at the management devices.
pub(crate) fn mgmtdevs() -> MgmtDevs {
    MgmtDevs(MGMTDEVS.get().read())
}

impl MgmtDevs {
    /// Those after a number, each with its own, in the order of their registration.
    pub(crate) fn after(&self, number: u64) -> impl Iterator<Item = (u64, &MgmtDev)> {
        self.0
            .after(number)
            .filter(|(_, entry)| !entry.going)
            .map(|(number, entry)| (number, entry.get()))
    }

    fn find_entry(&self, bus: Option<&CStr>, name: &CStr) -> Option<&Entry> {
        self.0.iter().find(|entry| {
            !entry.going && entry.get().bus_name() == bus && entry.get().name() == name
        })
    }

    /// Finds one by the names of its bus, where it is on one, and of its device.
    pub(crate) fn find(&self, bus: Option<&CStr>, name: &CStr) -> Option<&MgmtDev> {
        self.find_entry(bus, name).map(Entry::get)
    }
}

/// Finds a management device, to have it do something.
pub(crate) fn find(bus: Option<&CStr>, name: &CStr) -> Option<Management> {
    mgmtdevs().find_entry(bus, name).map(Entry::management)
}

/// Finds the management device that has made a device, to have it do something.
pub(crate) fn find_of(handle: &Handle) -> Option<Management> {
    find_raw(handle.mgmtdev())
}

fn find_raw(mgmtdev: *mut bindings::vdpa_mgmt_dev) -> Option<Management> {
    mgmtdevs()
        .0
        .iter()
        .find(|entry| entry.is(mgmtdev))
        .map(Entry::management)
}

/// Warns unless a management device has been asked to do something.
pub(crate) fn assert_operating(mgmtdev: *mut bindings::vdpa_mgmt_dev) {
    match find_raw(mgmtdev) {
        Some(management) => management.operations.assert_held_write(),
        None => {
            warn_on!(true);
        }
    }
}

/// Registers a management device.
///
/// # Errors
///
/// `EEXIST` if it is registered already; `ENOMEM`.
///
/// # Safety
///
/// The management device must be valid until it is unregistered.
pub(crate) unsafe fn register(mgmtdev: &MgmtDev) -> Result {
    let operations = Arc::pin_init(new_rwsem!(true, "vdpa_mgmtdev"), GFP_KERNEL)?;
    let mut mgmtdevs = MGMTDEVS.get().write();

    if mgmtdevs.iter().any(|other| other.is(mgmtdev.as_raw())) {
        return Err(EEXIST);
    }
    // INVARIANT: By the safety requirement of this function.
    mgmtdevs.push(Entry {
        mgmtdev: NonNull::from(mgmtdev).cast(),
        going: false,
        operations,
    })?;
    Ok(())
}

/// Unregisters a management device, deletes the devices that it has made, and returns whether it
/// was there.
pub(crate) fn unregister(mgmtdev: *mut bindings::vdpa_mgmt_dev) -> bool {
    let Some(management) = hide(mgmtdev) else {
        return false;
    };
    let mut registered = management.operations.write();

    // What has waited for this lock finds that it is too late.
    *registered = false;

    // SAFETY: It is in the table, from which only this function removes it.
    let mgmtdev = unsafe { MgmtDev::from_raw(mgmtdev) };

    while let Some(dev) = devices::claim_from(mgmtdev) {
        // SAFETY: The lock is held. The device was made by this management device, and claimed.
        unsafe { mgmtdev.dev_del(dev.as_ptr()) };
    }
    drop(registered);

    let entry = MGMTDEVS
        .get()
        .write()
        .take(|entry| entry.is(mgmtdev.as_raw()));

    entry.is_some()
}

/// Has a management device not be found by name any more.
fn hide(mgmtdev: *mut bindings::vdpa_mgmt_dev) -> Option<Management> {
    MGMTDEVS
        .get()
        .write()
        .iter_mut()
        .find(|entry| entry.is(mgmtdev) && !entry.going)
        .map(|entry| {
            entry.going = true;
            entry.management()
        })
}

/// A management device that was found. It may be gone since.
pub(crate) struct Management {
    mgmtdev: NonNull<bindings::vdpa_mgmt_dev>,
    operations: Arc<Operations>,
}

impl Management {
    /// Waits until it has nothing else to do, and lets the caller ask for something, if it is still
    /// there.
    ///
    /// # Errors
    ///
    /// `EINTR` if the task is being killed.
    pub(crate) fn operate(&self) -> Result<Option<Operating<'_>>> {
        let registered = self.operations.write_killable()?;

        // INVARIANT: Checked here.
        Ok((*registered).then_some(Operating {
            management: self,
            _registered: registered,
        }))
    }
}

/// A management device that can be asked to do something.
///
/// # Invariants
///
/// It is registered, and the lock of its operations is held.
pub(crate) struct Operating<'a> {
    management: &'a Management,
    _registered: WriteGuard<'a, bool>,
}

impl Operating<'_> {
    /// What it is.
    pub(crate) fn mgmtdev(&self) -> &MgmtDev {
        // SAFETY: By the type invariant. It is unregistered with the lock held, so after this.
        unsafe { MgmtDev::from_raw(self.management.mgmtdev.as_ptr()) }
    }

    /// Has it make a device.
    ///
    /// # Errors
    ///
    /// Those of the parent.
    pub(crate) fn add(&self, name: &CStr, config: &bindings::vdpa_dev_set_config) -> Result {
        // SAFETY: By the type invariant.
        let result = unsafe { self.mgmtdev().dev_add(name, config) };

        // Whatever the parent says: what it has left registered is there.
        devices::arrive_from(self.mgmtdev());
        result
    }

    /// Has it delete a device that it has made. Returns whether that was still there.
    pub(crate) fn delete(&self, handle: &Handle) -> bool {
        if handle.mgmtdev() != self.mgmtdev().as_raw() {
            return false;
        }
        let Some(dev) = devices::claim(handle) else {
            return false;
        };

        // SAFETY: By the type invariant; the device was claimed.
        unsafe { self.mgmtdev().dev_del(dev.as_ptr()) };
        true
    }

    /// Has it change a device that it has made.
    ///
    /// Returns [`None`] if it cannot change any.
    ///
    /// # Errors
    ///
    /// Those of the parent; `EINVAL` if the device was made by another one.
    pub(crate) fn set_attr(
        &self,
        managed: Managed<'_>,
        config: &bindings::vdpa_dev_set_config,
    ) -> Option<Result> {
        if managed.mgmtdev().as_raw() != self.mgmtdev().as_raw() {
            return Some(Err(EINVAL));
        }
        // SAFETY: By the type invariant, and the check above.
        unsafe { self.mgmtdev().dev_set_attr(managed.dev(), config) }
    }
}
