// SPDX-License-Identifier: GPL-2.0

//! Management devices, which make vDPA devices at an administrator's request.
//!
//! # Locking
//!
//! The list of management devices, and everything a management device is asked to do, is protected
//! by the lock of [`registry`](crate::registry). Additions, deletions and changes of vDPA devices
//! are asked for with that lock held for writing, and changes with the device's `cf_lock` too.

use crate::{
    config::lock_exclusive,
    device::Registered,
    registry::Registry, //
};
use core::mem::offset_of;
use kernel::{
    device,
    error::to_result,
    interop::list::{
        CList,
        CListHead, //
    },
    prelude::*,
    types::Opaque, //
};
use vdpa::{
    bindings,
    rwsem::WriteGuard,
    Device,
    Features, //
};

/// A `struct vdpa_mgmt_dev`.
///
/// # Invariants
///
/// The management device is registered, or about to be: `device`, `ops`, and the operations to add
/// and delete devices are there.
#[repr(transparent)]
pub(crate) struct MgmtDev(Opaque<bindings::vdpa_mgmt_dev>);

// SAFETY: The operations of a management device may be called from any thread.
unsafe impl Send for MgmtDev {}

// SAFETY: As above; all that is changed is protected by the lock of the registry.
unsafe impl Sync for MgmtDev {}

/// The device types that a management device can make.
pub(crate) struct Classes {
    /// One bit per virtio device id below 64.
    pub(crate) mask: u64,
    /// How many there are.
    pub(crate) count: usize,
}

impl Classes {
    /// Whether devices with virtio device id `id` can be made.
    pub(crate) fn has(&self, id: u32) -> bool {
        id < u64::BITS && self.mask & (1 << id) != 0
    }
}

impl MgmtDev {
    /// Wraps a management device.
    ///
    /// # Safety
    ///
    /// The type's invariants must hold for `ptr` during `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::vdpa_mgmt_dev) -> &'a Self {
        // SAFETY: `MgmtDev` is a transparent wrapper; the rest is the safety requirement of this
        // function.
        unsafe { &*ptr.cast() }
    }

    /// Wraps a management device that somebody wants to register.
    ///
    /// # Errors
    ///
    /// `EINVAL` if anything that is needed is missing.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid during `'a`, with pointers that are valid or NULL.
    pub(crate) unsafe fn try_from_raw<'a>(ptr: *mut bindings::vdpa_mgmt_dev) -> Result<&'a Self> {
        // SAFETY: By the safety requirements of this function.
        let (device, ops) = unsafe { ((*ptr).device, (*ptr).ops.as_ref()) };

        if device.is_null() || !ops.is_some_and(|o| o.dev_add.is_some() && o.dev_del.is_some()) {
            return Err(EINVAL);
        }
        // SAFETY: By the safety requirements of this function, and the checks above.
        Ok(unsafe { Self::from_raw(ptr) })
    }

    /// The C structure.
    pub(crate) fn as_raw(&self) -> *mut bindings::vdpa_mgmt_dev {
        self.0.get()
    }

    fn raw(&self) -> &bindings::vdpa_mgmt_dev {
        // SAFETY: By the type invariants. Its driver may change the numbers in it only when nobody
        // asks, that is before it is registered.
        unsafe { &*self.as_raw() }
    }

    fn ops(&self) -> &bindings::vdpa_mgmtdev_ops {
        // SAFETY: By the type invariants.
        unsafe { &*self.raw().ops }
    }

    fn device(&self) -> &device::Device {
        // SAFETY: By the type invariants.
        unsafe { device::Device::from_raw(self.raw().device) }
    }

    /// The name of the parent device.
    pub(crate) fn name(&self) -> &CStr {
        self.device().name()
    }

    /// The name of the bus that the parent device is on; a simulator's is on none.
    pub(crate) fn bus_name(&self) -> Option<&CStr> {
        // SAFETY: The parent device is valid. A device does not leave its bus as long as it exists,
        // and a bus has a name.
        unsafe {
            let bus = (*self.raw().device).bus.as_ref()?;

            Some(CStr::from_char_ptr(bus.name))
        }
    }

    /// The device types that can be made.
    pub(crate) fn classes(&self) -> Classes {
        let mut classes = Classes { mask: 0, count: 0 };
        let mut entry = self.raw().id_table.cast_const();

        if entry.is_null() {
            return classes;
        }
        loop {
            // SAFETY: The table ends with an id of zero, which has not been met yet.
            let id = unsafe { (*entry).device };

            if id == 0 {
                return classes;
            }
            if id < u64::BITS {
                classes.mask |= 1 << id;
                classes.count += 1;
            }
            // SAFETY: As above.
            entry = unsafe { entry.add(1) };
        }
    }

    /// The largest number of virtqueues that a device can have.
    pub(crate) fn max_supported_vqs(&self) -> u32 {
        self.raw().max_supported_vqs
    }

    /// The virtio features that devices can have.
    pub(crate) fn supported_features(&self) -> Features {
        Features(self.raw().supported_features)
    }

    /// The attributes that a new device can be given: a bit for each of `enum vdpa_attr`.
    pub(crate) fn config_attr_mask(&self) -> u64 {
        self.raw().config_attr_mask
    }

    /// Asks for a new device.
    pub(crate) fn dev_add(
        &self,
        _registry: &WriteGuard<'_, Registry>,
        name: &CStr,
        config: &bindings::vdpa_dev_set_config,
    ) -> Result {
        let op = self.ops().dev_add.ok_or(EOPNOTSUPP)?;

        // SAFETY: The operation belongs to this management device; the arguments are valid during
        // the call.
        to_result(unsafe { op(self.as_raw(), name.as_char_ptr(), config) })
    }

    /// Asks for a device to be deleted.
    ///
    /// # Safety
    ///
    /// The device must be registered, and made by this management device. The registry must be
    /// locked for writing. Afterwards the device must not be taken for registered any more.
    pub(crate) unsafe fn dev_del(&self, dev: &Device) {
        if let Some(op) = self.ops().dev_del {
            // SAFETY: By the safety requirements of this function.
            unsafe { op(self.as_raw(), dev.as_raw()) };
        }
    }
}

/// A registered device that was made by a management device.
///
/// # Invariants
///
/// `mgmtdev` has made `dev`.
#[derive(Clone, Copy)]
pub(crate) struct Managed<'a> {
    dev: Registered<'a>,
    mgmtdev: &'a MgmtDev,
}

impl<'a> Managed<'a> {
    /// Makes the pair.
    ///
    /// # Safety
    ///
    /// The type's invariants must hold.
    pub(crate) unsafe fn new(dev: Registered<'a>, mgmtdev: &'a MgmtDev) -> Self {
        // INVARIANT: By the safety requirement of this function.
        Self { dev, mgmtdev }
    }

    /// The device.
    pub(crate) fn dev(self) -> Registered<'a> {
        self.dev
    }

    /// The management device that made it.
    pub(crate) fn mgmtdev(self) -> &'a MgmtDev {
        self.mgmtdev
    }

    /// Asks the management device to change attributes of the device.
    ///
    /// Returns [`None`] if it cannot change any.
    pub(crate) fn set_attr(
        self,
        _registry: &WriteGuard<'_, Registry>,
        config: &bindings::vdpa_dev_set_config,
    ) -> Option<Result> {
        let op = self.mgmtdev.ops().dev_set_attr?;
        let _locked = lock_exclusive(self.dev);

        // SAFETY: By the type invariants, the operation is there for this device. The attributes
        // are valid during the call.
        Some(to_result(unsafe {
            op(self.mgmtdev.as_raw(), self.dev.as_raw(), config)
        }))
    }
}

/// The management devices, in the order of their registration.
///
/// They are linked by a `struct list_head` in each, which its owner allocates with it.
///
/// # Invariants
///
/// Each element is a management device that [`MgmtDev`]'s invariants hold for, as long as it is in
/// the list.
#[pin_data]
pub(crate) struct MgmtDevList {
    #[pin]
    head: CListHead,
}

impl MgmtDevList {
    /// Makes an empty list.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            head <- CListHead::new(),
        })
    }

    /// The management devices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &MgmtDev> {
        // SAFETY: The head is valid and, like its elements, not changed while `self` is borrowed.
        // All elements are `struct vdpa_mgmt_dev`, linked by the field `list`.
        let list = unsafe {
            CList::<MgmtDev, { offset_of!(bindings::vdpa_mgmt_dev, list) }>::from_raw(
                self.head.as_raw(),
            )
        };

        list.iter()
    }

    /// Whether a management device is in the list.
    fn contains(&self, mdev: *mut bindings::vdpa_mgmt_dev) -> bool {
        self.iter().any(|other| other.as_raw() == mdev)
    }

    /// Adds a management device at the end.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it is in the list already.
    ///
    /// # Safety
    ///
    /// The management device must be valid until it is [removed](Self::remove).
    pub(crate) unsafe fn add(self: Pin<&mut Self>, mdev: &MgmtDev) -> Result {
        if self.contains(mdev.as_raw()) {
            return Err(EEXIST);
        }
        // SAFETY: The head is valid, and the link is in no list. Nobody else looks at the list,
        // since it is borrowed mutably.
        unsafe { bindings::list_add_tail(&raw mut (*mdev.as_raw()).list, self.head.as_raw()) };
        Ok(())
    }

    /// Removes a management device, and returns whether it was in the list.
    pub(crate) fn remove(self: Pin<&mut Self>, mdev: *mut bindings::vdpa_mgmt_dev) -> bool {
        let found = self.contains(mdev);

        if found {
            // SAFETY: It is in this list, which nobody else looks at, since it is borrowed mutably.
            unsafe { bindings::rust_vdpa_list_del(&raw mut (*mdev).list) };
        }
        found
    }
}
