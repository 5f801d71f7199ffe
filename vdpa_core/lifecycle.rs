// SPDX-License-Identifier: GPL-2.0

//! How a device is made, comes onto the bus, and goes.
//!
//! A parent allocates a device, which from then on is reference-counted; fills its own part of the
//! structure; and registers it. Whether that works or not, the last reference that is dropped
//! releases the device: the parent's `free` is called, its index is free again, and so is the
//! memory.
//!
//! # Locking
//!
//! A name is entered into the table of [`devices`] before the device is registered, so that no other
//! one gets it meanwhile. Indices need no lock.

use crate::{
    bus,
    devices,
    ida::Ida,
    module_static::{
        Initialised,
        ModuleStatic, //
    }, //
};
use core::{
    alloc::Layout,
    ptr::{
        null,
        NonNull, //
    },
};
use kernel::{
    alloc::{
        allocator::Kmalloc,
        Allocator,
        NumaNode, //
    },
    container_of,
    error::to_result,
    prelude::*,
    static_lock_class,
    types::ScopeGuard, //
};
use vdpa::{
    bindings,
    rwsem::RwSem,
    Device, //
};

/// The longest name of a device, in bytes: what a directory in sysfs can be called.
pub(crate) const NAME_MAX: usize = bindings::NAME_MAX as usize;

// SAFETY: `init()` is called when the module is loaded, before there can be devices, and all of
// them are gone when it is unloaded.
static INDICES: ModuleStatic<Ida> = unsafe { ModuleStatic::new() };

/// Makes the set of indices, all of them free.
pub(crate) fn init() -> Initialised<Ida> {
    // SAFETY: This function is called once, when the module is loaded.
    unsafe { INDICES.init(Ida::new()) }
}

/// What a parent says of a device that it wants to make.
pub(crate) struct Spec<'a> {
    /// The device that the new one is a child of, or NULL.
    pub(crate) parent: *mut bindings::device,
    /// The parent's operations.
    pub(crate) ops: &'static bindings::vdpa_config_ops,
    /// The operations that map memory for the device, or NULL.
    pub(crate) map: *const bindings::virtio_map_ops,
    /// The number of groups of virtqueues.
    pub(crate) ngroups: u32,
    /// The number of address spaces.
    pub(crate) nas: u32,
    /// The size of the structure that begins with `struct vdpa_device`, in bytes.
    pub(crate) size: usize,
    /// The name; without one it is "vdpa" and the index.
    pub(crate) name: Option<&'a CStr>,
    /// Whether the device is given virtual addresses.
    pub(crate) use_va: bool,
}

impl Spec<'_> {
    fn check(&self) -> Result {
        let ops = self.ops;
        let own_translation = ops.dma_map.is_some() || ops.set_map.is_some();

        if ops.dma_map.is_some() != ops.dma_unmap.is_some()
            || (self.use_va && !own_translation)
            || self.size < size_of::<bindings::vdpa_device>()
            || self.name.is_some_and(|name| !is_name(name.to_bytes()))
        {
            return Err(EINVAL);
        }
        Ok(())
    }
}

/// Whether `name` can be the name of a directory in sysfs.
///
/// A slash is none of this function's business: the driver core makes an exclamation mark of it.
pub(crate) fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.len() <= NAME_MAX
}

/// Makes a device, not registered yet, with one reference.
///
/// # Errors
///
/// `EINVAL` if the operations contradict each other or the name is none; `ENOMEM`; `ENOSPC` when
/// there are 2^31 devices.
///
/// # Safety
///
/// The pointers must be valid, or NULL where that is allowed, until the device is released.
pub(crate) unsafe fn alloc(spec: &Spec<'_>) -> Result<NonNull<bindings::vdpa_device>> {
    spec.check()?;

    let memory = ScopeGuard::new_with_data(zeroed(spec.size)?, |ptr| {
        // SAFETY: The memory is not used any more.
        unsafe { bindings::kfree(ptr.as_ptr().cast()) };
    });
    let index = ScopeGuard::new_with_data(INDICES.get().alloc()?, |index| {
        INDICES.get().free(index);
    });
    let ptr = memory.as_ptr();

    // SAFETY: The memory is zeroed, which is a valid `struct vdpa_device` that is not initialised
    // yet, and nobody else uses it. The rest is the safety requirement of this function.
    unsafe {
        (*ptr).dev.bus = bus::as_raw();
        (*ptr).dev.parent = spec.parent;
        (*ptr).dev.release = Some(release);
        (*ptr).index = *index;
        (*ptr).config = spec.ops;
        (*ptr).map = spec.map;
        (*ptr).features_valid = false;
        (*ptr).use_va = spec.use_va;
        (*ptr).ngroups = spec.ngroups;
        (*ptr).nas = spec.nas;
        set_name(&raw mut (*ptr).dev, spec.name, *index)?;
        RwSem::init_raw(
            &raw mut (*ptr).cf_lock,
            c"&vdev->cf_lock",
            static_lock_class!(),
        );
        bindings::device_initialize(&raw mut (*ptr).dev);
    }

    // From here on `release()` frees them.
    index.dismiss();
    Ok(memory.dismiss())
}

/// Allocates `size` bytes, all zero, for a structure that begins with a `struct vdpa_device`.
fn zeroed(size: usize) -> Result<NonNull<bindings::vdpa_device>> {
    let layout =
        Layout::from_size_align(size, align_of::<bindings::vdpa_device>()).map_err(|_| EINVAL)?;
    let memory = Kmalloc::alloc(layout, GFP_KERNEL | __GFP_ZERO, NumaNode::NO_NODE)?;

    Ok(memory.cast())
}

/// Names a device.
///
/// # Safety
///
/// `dev` must be a device that is not initialised yet, all zero but for its fields.
unsafe fn set_name(dev: *mut bindings::device, name: Option<&CStr>, index: u32) -> Result {
    // SAFETY: By the safety requirements of this function; the arguments are of the types that the
    // format asks for.
    to_result(unsafe {
        match name {
            Some(name) => bindings::dev_set_name(dev, c"%s".as_char_ptr(), name.as_char_ptr()),
            None => bindings::dev_set_name(dev, c"vdpa%u".as_char_ptr(), index),
        }
    })
}

/// Releases a device whose last reference was dropped.
///
/// # Safety
///
/// Must be called by the driver core: `dev` was made by [`alloc`], and nobody uses it any more.
unsafe extern "C" fn release(dev: *mut bindings::device) {
    // SAFETY: By the safety requirements of this function the structure, with its table of
    // operations, is there until it is freed here. `free` frees what the parent keeps in it.
    unsafe {
        let ptr = container_of!(dev, bindings::vdpa_device, dev);

        if let Some(free) = (*(*ptr).config).free {
            free(ptr);
        }
        INDICES.get().free((*ptr).index);
        bindings::kfree(ptr.cast());
    }
}

/// Puts a device with `nvqs` virtqueues onto the bus. It is found after it has
/// [arrived](devices::arrive).
///
/// # Errors
///
/// `EEXIST` if the name is taken; `ENOENT` if the parent is not registered; what `device_add()`
/// returns otherwise.
///
/// # Safety
///
/// The device must not be registered yet, and nobody else may register it. Its parent must not be
/// unregistered meanwhile.
pub(crate) unsafe fn register(dev: &Device, nvqs: u32) -> Result {
    // SAFETY: The device is not on the bus yet, so nobody reads the number.
    unsafe { (*dev.as_raw()).nvqs = nvqs };

    // SAFETY: It is valid until it is unregistered, or not registered below, and is removed then.
    unsafe { devices::add(dev) }?;
    // SAFETY: By the safety requirements of this function.
    unsafe { add_to_bus(dev) }.inspect_err(|_| devices::remove(dev.as_raw()))
}

/// Has the driver core look for a driver of a device.
///
/// # Safety
///
/// As for [`register`].
unsafe fn add_to_bus(dev: &Device) -> Result {
    // SAFETY: By the safety requirements of this function.
    unsafe { check_place(dev) }?;
    // SAFETY: The device is initialised, and by the safety requirements of this function it is not
    // registered.
    to_result(unsafe { bindings::device_add(&raw mut (*dev.as_raw()).dev) })
}

/// Refuses a device for which no directory can be made in sysfs: that of its parent is not there,
/// or has something of the device's name already, which may be another child, or an attribute, such
/// as `uevent`. Without a parent its place is `/sys/devices`.
///
/// `device_add()` would refuse it as well, but with lines in the log, even a stack trace, and any
/// name can come from a user.
///
/// # Errors
///
/// `ENOENT` if the parent is not registered; `EEXIST` if the name is taken.
///
/// # Safety
///
/// The device must not be registered yet, and have a name. Its parent must not be unregistered
/// meanwhile.
unsafe fn check_place(dev: &Device) -> Result {
    // SAFETY: The pointer is valid.
    let raw = unsafe { &raw mut (*dev.as_raw()).dev };

    // SAFETY: By the safety requirements of this function. Which set a device belongs to was noted
    // when it was initialised.
    let dir = unsafe {
        match (*raw).parent.as_ref() {
            Some(parent) => parent.kobj.sd,
            None => (*(*raw).kobj.kset).kobj.sd,
        }
    };

    if dir.is_null() {
        return Err(ENOENT);
    }

    // SAFETY: As above: the directory is there. What is found in it is put back at once.
    let taken = unsafe {
        let node = bindings::kernfs_find_and_get_ns(dir, bindings::dev_name(raw), null());

        bindings::kernfs_put(node);
        !node.is_null()
    };

    if taken {
        return Err(EEXIST);
    }
    Ok(())
}

/// Takes a device from the bus, when nobody has commands for it any more, and drops the reference
/// that [`alloc`] made.
///
/// # Safety
///
/// The device must be registered, and may be gone afterwards.
pub(crate) unsafe fn unregister(dev: NonNull<bindings::vdpa_device>) {
    devices::leave(dev.as_ptr());
    // SAFETY: By the safety requirements of this function. The device is not used any more after
    // its reference was dropped.
    unsafe {
        bindings::device_del(&raw mut (*dev.as_ptr()).dev);
        devices::remove(dev.as_ptr());
        bindings::put_device(&raw mut (*dev.as_ptr()).dev);
    }
}
