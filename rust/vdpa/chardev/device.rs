// SPDX-License-Identifier: GPL-2.0

//! A device of a family.

use super::{
    family::Minor,
    file_ops::FileOps,
    Family,
    File, //
};
use crate::{
    bindings,
    root_device::as_raw, //
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    device,
    error::to_result,
    module::this_module,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// What a device is made of.
///
/// # Invariants
///
/// `dev` is initialised and counts the references to all of this.
#[repr(C)]
#[pin_data]
pub(super) struct Node<T: File> {
    // First, so that a pointer to it is one to the whole.
    #[pin]
    dev: Opaque<bindings::device>,
    #[pin]
    cdev: Opaque<bindings::cdev>,
    minor: Minor,
    pub(super) data: Arc<T::Device>,
}

impl<T: File> Node<T> {
    /// Returns what a `struct cdev` is part of.
    ///
    /// # Safety
    ///
    /// `cdev` must be that of a `Node<T>`, of which there is a reference for `'a`.
    #[inline]
    pub(super) unsafe fn from_cdev<'a>(cdev: *mut bindings::cdev) -> &'a Self {
        // SAFETY: By the safety requirements of this function.
        unsafe { &*cdev.byte_sub(offset_of!(Self, cdev)).cast() }
    }

    /// Makes a device that nobody knows of yet.
    #[inline]
    fn new(minor: Minor, parent: &device::Device, data: Arc<T::Device>) -> Result<NonNull<Self>> {
        let bus = minor.members().bus();
        let devt = minor.devt();
        let node = KBox::pin_init(
            pin_init!(Self {
                dev <- Opaque::ffi_init(|dev: *mut bindings::device| {
                    // SAFETY: `dev` is valid for writes. The bus lives as long as `minor`, which is
                    // dropped by `release`; registering the device takes a reference to the parent.
                    unsafe {
                        dev.write(pin_init::zeroed());
                        bindings::device_initialize(dev);
                        (*dev).release = Some(Self::release);
                        (*dev).parent = as_raw(Some(parent));
                        (*dev).bus = bus;
                        (*dev).devt = devt;
                    }
                }),
                cdev <- Opaque::ffi_init(|cdev: *mut bindings::cdev| {
                    // SAFETY: `cdev` is valid for writes; the table lives indefinitely.
                    unsafe {
                        bindings::cdev_init(cdev, FileOps::<T>::build());
                        (*cdev).owner = this_module::<T::OwnerModule>().as_ptr();
                    }
                }),
                minor,
                data,
            }),
            GFP_KERNEL,
        )?;

        // SAFETY: The device counts the references from now on; nothing is moved.
        Ok(NonNull::from(KBox::leak(unsafe {
            Pin::into_inner_unchecked(node)
        })))
    }

    /// Called when the last reference to the device was dropped.
    ///
    /// # Safety
    ///
    /// `dev` must be that of a `Node<T>` which nobody uses any more.
    unsafe extern "C" fn release(dev: *mut bindings::device) {
        // SAFETY: `dev` is the first field of a `Node<T>`, which was leaked from a box.
        drop(unsafe { KBox::from_raw(dev.cast::<Self>()) });
    }
}

/// A character device, registered until this is dropped.
///
/// Its files have the type `T`. Those that are open when this is dropped stay open, see the
/// [module](super).
///
/// # Invariants
///
/// This is a reference to a node, which is registered and linked from the class.
#[doc(alias = "cdev_device_del")]
#[doc(alias = "class_compat_remove_link")]
pub struct CharDevice<T: File>(NonNull<Node<T>>);

impl<T: File> CharDevice<T> {
    /// Registers a device of a family, under `parent`. Files can be opened from now on, before this
    /// returns even.
    ///
    /// # Errors
    ///
    /// - `ENODEV` where the family is not registered,
    /// - `ENOSPC` where it has as many devices as it can,
    /// - `ENOMEM`, and what the driver core returns.
    ///
    /// Then too, files may have been opened meanwhile. They stay open.
    #[doc(alias = "cdev_init")]
    #[doc(alias = "cdev_device_add")]
    #[doc(alias = "class_compat_create_link")]
    #[inline]
    pub fn new(
        family: &'static Family,
        parent: &device::Device,
        data: Arc<T::Device>,
    ) -> Result<Self> {
        let members = family.members().ok_or(ENODEV)?;
        let minor = Minor::new(members.clone())?;
        let number = minor.get();
        // Not registered before the end: until then it is a reference, and no more.
        let reference = Reference(Node::<T>::new(minor, parent, data)?);
        let (dev, cdev) = reference.as_raw();

        // SAFETY: The format takes a string and a number; both are valid for the call.
        to_result(unsafe {
            bindings::dev_set_name(
                dev,
                c"%s-%u".as_char_ptr(),
                members.name.as_char_ptr(),
                number,
            )
        })?;
        // SAFETY: Both are initialised. The first is what counts references for the second.
        to_result(unsafe { bindings::cdev_device_add(cdev, dev) })?;
        // SAFETY: The class is registered, the device too.
        to_result(unsafe { bindings::class_compat_create_link(members.class(), dev) })
            // SAFETY: Registered just above.
            .inspect_err(|_| unsafe { bindings::cdev_device_del(cdev, dev) })?;

        // INVARIANT: Registered and linked just above.
        let this = Self(reference.0);
        core::mem::forget(reference);
        Ok(this)
    }

    /// Returns what the files have in common.
    #[inline]
    pub fn data(&self) -> &Arc<T::Device> {
        // SAFETY: By the type invariant.
        &unsafe { self.0.as_ref() }.data
    }
}

impl<T: File> AsRef<device::Device> for CharDevice<T> {
    #[inline]
    fn as_ref(&self) -> &device::Device {
        // SAFETY: By the type invariant the device is valid for as long as `self`.
        unsafe { device::Device::from_raw(self.0.cast().as_ptr()) }
    }
}

impl<T: File> Drop for CharDevice<T> {
    #[inline]
    fn drop(&mut self) {
        let reference = Reference(self.0);
        let (dev, cdev) = reference.as_raw();
        // SAFETY: By the type invariant.
        let class = unsafe { self.0.as_ref() }.minor.members().class();

        // SAFETY: By the type invariant.
        unsafe {
            bindings::class_compat_remove_link(class, dev);
            bindings::cdev_device_del(cdev, dev);
        }
    }
}

// SAFETY: A device can be used, and unregistered, by any thread; `T::Device` can be shared.
unsafe impl<T: File> Send for CharDevice<T> {}

// SAFETY: As above.
unsafe impl<T: File> Sync for CharDevice<T> {}

/// A reference to a node.
struct Reference<T: File>(NonNull<Node<T>>);

impl<T: File> Reference<T> {
    #[inline]
    fn as_raw(&self) -> (*mut bindings::device, *mut bindings::cdev) {
        // SAFETY: There is a reference.
        let node = unsafe { self.0.as_ref() };

        (node.dev.get(), node.cdev.get())
    }
}

impl<T: File> Drop for Reference<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: There is a reference, which is not used any more.
        unsafe { bindings::put_device(self.0.cast().as_ptr()) };
    }
}
