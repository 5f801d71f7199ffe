// SPDX-License-Identifier: GPL-2.0

//! vDPA devices as the drivers that use them see them.
//!
//! C header: `include/linux/vdpa.h`

mod callbacks;
mod config;
mod mapping;
mod vq;

pub use self::{
    callbacks::{
        Callbacks,
        Target, //
    },
    mapping::{
        Source,
        Translation, //
    },
    vq::Vq, //
};

use crate::{
    bindings,
    rwsem::RwSem, //
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    device,
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
    types::Opaque, //
};

/// Calls an operation of the device's table. [`None`] where the table does not have it.
///
/// The arguments are plain values. Where an operation is given a pointer, the place of the call
/// says why the pointer is valid.
macro_rules! call {
    ($dev:expr, $op:ident $(, $arg:ident)*) => {{
        let dev: &$crate::Device<::kernel::device::Bound> = $dev;

        dev.ops().$op.map(|op| {
            // SAFETY: By the type invariant of `Device<Bound>` the device is registered, so that
            // its parent serves the operations of its table. Numbers of virtqueues, groups and
            // address spaces were compared with the limits of this device.
            unsafe { op(dev.as_raw() $(, $arg)*) }
        })
    }};
}
use call;

/// The function of a callback.
pub(crate) type CallbackFn = unsafe extern "C" fn(*mut c_void) -> bindings::irqreturn_t;

/// What an operation that can fail has returned; absent operations fail with `EOPNOTSUPP`.
#[inline]
fn result(ret: Option<c_int>) -> Result {
    kernel::error::to_result(ret.ok_or(EOPNOTSUPP)?)
}

/// A vDPA device.
///
/// This is the consumer's side: safe methods over the operations that the device's parent provides
/// (`struct vdpa_config_ops`). Those of a single virtqueue are methods of [`Vq`], which
/// [`Device::vq`] returns for a number that the device has.
///
/// # Context
///
/// Methods sleep, unless they only return a field of the structure. The exceptions are
/// [`Vq::kick`] and [`Vq::kick_with_data`], which can be called anywhere.
///
/// # Locking
///
/// Methods that change the status, the features or the configuration space, and those that read
/// the configuration space, take the device's `cf_lock`, so that management commands see a
/// consistent device. Everything else is up to the device's driver: parents rely on it not to
/// touch a virtqueue from two threads at a time (kicking it excepted).
///
/// # Missing operations
///
/// What `include/linux/vdpa.h` calls optional is an [`Option`], or fails with `EOPNOTSUPP`. A
/// parent that lacks an operation that is not optional gets the same for those that can fail; what
/// cannot fail does nothing, or returns 0.
///
/// # Invariants
///
/// An instance is a valid `struct vdpa_device`, with at least one reference to it for as long as
/// the instance can be used. With the context [`device::Bound`] it is registered, its parent serves
/// the operations of its table, and, as everywhere in the kernel, it is bound to a driver.
#[repr(transparent)]
pub struct Device<Ctx: device::DeviceContext = device::Normal>(
    Opaque<bindings::vdpa_device>,
    PhantomData<Ctx>,
);

impl<Ctx: device::DeviceContext> Device<Ctx> {
    /// Returns the C device.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::vdpa_device {
        self.0.get()
    }

    /// Wraps a C device.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for `'a`, and the device in the state that `Ctx` stands for. For
    /// [`device::Bound`] that means: it is bound to a driver, or just being probed or removed by
    /// one, and stays so for `'a`. A device that is registered need not have a driver.
    #[inline]
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::vdpa_device) -> &'a Self {
        // CAST: `Device` is a transparent wrapper.
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: As above.
        unsafe { &*ptr.cast() }
    }

    /// Returns the number that the bus gave to the device.
    #[inline]
    pub fn index(&self) -> u32 {
        // SAFETY: By the type invariant; set once, before the device is registered.
        unsafe { (*self.as_raw()).index }
    }

    /// Returns the number of virtqueues.
    #[inline]
    pub fn nvqs(&self) -> u32 {
        // SAFETY: As for `index`.
        unsafe { (*self.as_raw()).nvqs }
    }

    /// Returns the number of virtqueue groups.
    #[inline]
    pub fn ngroups(&self) -> u32 {
        // SAFETY: As for `index`.
        unsafe { (*self.as_raw()).ngroups }
    }

    /// Returns the number of address spaces.
    #[inline]
    pub fn nas(&self) -> u32 {
        // SAFETY: As for `index`.
        unsafe { (*self.as_raw()).nas }
    }

    /// Whether mappings are of virtual addresses of a process (see [`Device::bind_mm`]).
    #[inline]
    pub fn use_va(&self) -> bool {
        // SAFETY: As for `index`.
        unsafe { (*self.as_raw()).use_va }
    }
}

impl Device<device::Bound> {
    /// The parent's operations.
    #[inline]
    fn ops(&self) -> &bindings::vdpa_config_ops {
        // SAFETY: By the type invariant; a device cannot be created without a table, and the table
        // stays for as long as the device is registered.
        unsafe { &*(*self.as_raw()).config }
    }

    /// The lock that serialises what is said under "Locking" above.
    #[inline]
    fn cf_lock(&self) -> &RwSem<()> {
        // SAFETY: By the type invariant; the lock is initialised when the device is created, and
        // lives as long as it.
        unsafe { RwSem::from_raw(&raw mut (*self.as_raw()).cf_lock) }
    }
}

// SAFETY: `Device` is a transparent wrapper of `struct vdpa_device`, in which `dev` is at this
// offset.
unsafe impl<Ctx: device::DeviceContext> device::AsBusDevice<Ctx> for Device<Ctx> {
    const OFFSET: usize = offset_of!(bindings::vdpa_device, dev);
}

/// What `kernel::impl_device_context_deref!` does, with functions that are inline: this crate has
/// no code of its own.
macro_rules! impl_deref {
    ($src:ty => $dst:ty $(, $lt:lifetime)?) => {
        impl$(<$lt>)? Deref for Device<$src> {
            type Target = Device<$dst>;

            #[inline]
            fn deref(&self) -> &Self::Target {
                // SAFETY: `Device` is a transparent wrapper of a type that doesn't depend on its
                // generic argument, and a device in the first context is in the second one too.
                unsafe { &*core::ptr::from_ref(self).cast() }
            }
        }
    };
}
impl_deref!(device::CoreInternal<'a> => device::Core<'a>, 'a);
impl_deref!(device::Core<'a> => device::Bound, 'a);
impl_deref!(device::BoundInternal => device::Bound);
impl_deref!(device::Bound => device::Normal);

impl From<&Device<device::Bound>> for ARef<Device> {
    #[inline]
    fn from(dev: &Device<device::Bound>) -> Self {
        let dev: &Device = dev;

        dev.into()
    }
}

// SAFETY: A `struct vdpa_device` is counted by the `struct device` in it.
unsafe impl AlwaysRefCounted for Device {
    #[inline]
    fn inc_ref(&self) {
        // SAFETY: The existence of a reference guarantees that the count is not zero.
        unsafe { bindings::get_device(&raw mut (*self.as_raw()).dev) };
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // CAST: `Device` is a transparent wrapper.
        let vdev = obj.cast::<bindings::vdpa_device>().as_ptr();

        // SAFETY: The safety requirements guarantee that the count is not zero.
        unsafe { bindings::put_device(&raw mut (*vdev).dev) };
    }
}

impl<Ctx: device::DeviceContext> AsRef<device::Device<Ctx>> for Device<Ctx> {
    #[inline]
    fn as_ref(&self) -> &device::Device<Ctx> {
        // SAFETY: By the type invariant. The `struct device` is in the state that `Ctx` stands for
        // because the vDPA device is.
        unsafe { device::Device::from_raw(&raw mut (*self.as_raw()).dev) }
    }
}

// SAFETY: The last reference to a device can be dropped by any thread.
unsafe impl Send for Device {}

// SAFETY: The methods only read what does not change.
unsafe impl Sync for Device {}

// SAFETY: Parents expect calls from any thread. Where they rely on calls being serialised (see
// "Locking"), what is at stake is the state of the device, not memory.
unsafe impl Sync for Device<device::Bound> {}
