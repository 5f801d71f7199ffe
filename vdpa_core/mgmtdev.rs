// SPDX-License-Identifier: GPL-2.0

//! Management devices, which make vDPA devices at an administrator's request.
//!
//! # Locking
//!
//! A management device is asked to do one thing at a time: see [`registry`](crate::registry).
//! Changes of a device are asked for with its `cf_lock` held for writing, too.

use crate::{
    config::lock_exclusive,
    device::Registered, //
};
use kernel::{
    device,
    error::to_result,
    prelude::*,
    types::Opaque, //
};
use vdpa::{
    bindings,
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

// SAFETY: As above; the structure is not changed while it is registered.
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
                classes.count = classes.count.saturating_add(1);
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
    ///
    /// # Safety
    ///
    /// The lock of its operations must be held.
    pub(crate) unsafe fn dev_add(
        &self,
        name: &CStr,
        config: &bindings::vdpa_dev_set_config,
    ) -> Result {
        let op = self.ops().dev_add.ok_or(EOPNOTSUPP)?;

        // SAFETY: The operation belongs to this management device; the arguments are valid during
        // the call. The rest is the safety requirement of this function.
        to_result(unsafe { op(self.as_raw(), name.as_char_ptr(), config) })
    }

    /// Asks for a device to be deleted.
    ///
    /// # Safety
    ///
    /// The lock of its operations must be held. The device must be registered, made by this
    /// management device, and the caller's to delete. Afterwards it must not be taken for
    /// registered any more.
    pub(crate) unsafe fn dev_del(&self, dev: *mut bindings::vdpa_device) {
        if let Some(op) = self.ops().dev_del {
            // SAFETY: By the safety requirements of this function.
            unsafe { op(self.as_raw(), dev) };
        }
    }

    /// Asks for attributes of a device to be changed.
    ///
    /// Returns [`None`] if it cannot change any.
    ///
    /// # Safety
    ///
    /// The lock of its operations must be held, and the device be made by this management device.
    pub(crate) unsafe fn dev_set_attr(
        &self,
        dev: Registered<'_>,
        config: &bindings::vdpa_dev_set_config,
    ) -> Option<Result> {
        let op = self.ops().dev_set_attr?;
        let _locked = lock_exclusive(dev);

        // SAFETY: By the safety requirements of this function. The attributes are valid during the
        // call.
        Some(to_result(unsafe {
            op(self.as_raw(), dev.as_raw(), config)
        }))
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
}
