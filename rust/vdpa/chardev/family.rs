// SPDX-License-Identifier: GPL-2.0

//! What the devices of a family have in common: numbers, a bus, a class.

use crate::bindings;
use core::ptr::{
    null_mut,
    NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Release, //
        },
        rcu,
        Arc, //
    },
    types::Opaque, //
};

/// The number of devices that a family can have: all minors.
const DEV_MAX: u32 = 1 << bindings::MINORBITS;

/// A family of character devices, for a `static` of the module that has the devices.
///
/// # Examples
///
/// ```
/// # use kernel::{device, prelude::*, sync::Arc};
/// use vdpa::chardev;
///
/// static FAMILY: chardev::Family = chardev::Family::new(c"vhost-vdpa");
///
/// // When the module is loaded, before its driver is registered; kept for as long as the module.
/// fn init() -> Result<chardev::Registration> {
///     FAMILY.register()
/// }
///
/// // In the driver's `probe`.
/// fn add<T: chardev::File>(
///     parent: &device::Device,
///     data: Arc<T::Device>,
/// ) -> Result<chardev::CharDevice<T>> {
///     chardev::CharDevice::new(&FAMILY, parent, data)
/// }
/// ```
///
/// # Invariants
///
/// `current` is NULL or a reference to `Members`, which this owns, and which is dropped no
/// earlier than an RCU grace period after it was removed from here.
pub struct Family {
    name: &'static CStr,
    current: Atomic<*mut Members>,
}

impl Family {
    /// Names a family.
    #[inline]
    pub const fn new(name: &'static CStr) -> Self {
        // INVARIANT: NULL.
        Self {
            name,
            current: Atomic::new(null_mut()),
        }
    }

    /// Registers the family, until the result is dropped.
    ///
    /// Devices that are left then keep what they need of it until they are dropped too.
    ///
    /// # Errors
    ///
    /// - `EBUSY` where it is registered already, or there are no numbers left,
    /// - `EEXIST` where its name is that of another bus,
    /// - `ENOMEM`, which also stands for a name that another class has.
    #[inline]
    pub fn register(&'static self) -> Result<Registration> {
        let members = Arc::into_raw(Arc::new(Members::new(self.name)?, GFP_KERNEL)?);

        // INVARIANT: The reference is given to the family.
        match self
            .current
            .cmpxchg(null_mut(), members.cast_mut(), Release)
        {
            Ok(_) => Ok(Registration(self)),
            Err(_) => {
                // SAFETY: The pointer is from `into_raw()` above, and was not given away.
                drop(unsafe { Arc::from_raw(members) });
                Err(EBUSY)
            }
        }
    }

    /// Returns what the devices need, if the family is registered.
    #[inline]
    pub(super) fn members(&self) -> Option<Arc<Members>> {
        let _guard = rcu::read_lock();
        let members = NonNull::new(self.current.load(Acquire))?;

        // SAFETY: By the type invariant there is a reference, which is not dropped before the guard
        // is. The clone is one more; the first one is left where it is.
        let members = core::mem::ManuallyDrop::new(unsafe { Arc::from_raw(members.as_ptr()) });

        Some(Arc::clone(&members))
    }
}

/// A [`Family`] is registered for as long as this exists.
#[doc(alias = "alloc_chrdev_region")]
#[doc(alias = "unregister_chrdev_region")]
#[doc(alias = "bus_register")]
#[doc(alias = "bus_unregister")]
#[doc(alias = "class_compat_register")]
#[doc(alias = "class_compat_unregister")]
#[must_use = "the family is unregistered when this is dropped"]
pub struct Registration(&'static Family);

impl Drop for Registration {
    #[inline]
    fn drop(&mut self) {
        let members = self.0.current.xchg(null_mut(), Full);

        if members.is_null() {
            return;
        }
        // SAFETY: No requirements, but that this may sleep.
        unsafe { bindings::synchronize_rcu() };
        // SAFETY: By the type invariant of `Family`, whose reference this was. The grace period is
        // over.
        drop(unsafe { Arc::from_raw(members) });
    }
}

/// What a family is made of.
pub(super) struct Members {
    pub(super) name: &'static CStr,
    numbers: Numbers,
    minors: Minors,
    bus: Bus,
    class: Class,
}

impl Members {
    #[inline]
    fn new(name: &'static CStr) -> Result<Self> {
        Ok(Self {
            name,
            numbers: Numbers::new(name)?,
            minors: Minors::new()?,
            bus: Bus::new(name)?,
            class: Class::new(name)?,
        })
    }

    /// Returns the bus that the devices are on.
    #[inline]
    pub(super) fn bus(&self) -> *const bindings::bus_type {
        self.bus.0.get()
    }

    /// Returns the class that the devices are linked from.
    #[inline]
    pub(super) fn class(&self) -> *mut bindings::class_compat {
        self.class.0.as_ptr()
    }
}

/// The major number, with all its minors.
///
/// # Invariants
///
/// The region that begins at this number is allocated.
struct Numbers(bindings::dev_t);

impl Numbers {
    #[inline]
    fn new(name: &'static CStr) -> Result<Self> {
        let mut first = 0;

        // SAFETY: `first` is valid for writes; the name lives indefinitely.
        to_result(unsafe {
            bindings::alloc_chrdev_region(&mut first, 0, DEV_MAX, name.as_char_ptr())
        })?;
        // INVARIANT: Allocated just above.
        Ok(Self(first))
    }
}

impl Drop for Numbers {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::unregister_chrdev_region(self.0, DEV_MAX) };
    }
}

/// The minor numbers that are in use.
///
/// # Invariants
///
/// The IDA is initialised.
struct Minors(Pin<KBox<Opaque<bindings::ida>>>);

impl Minors {
    #[inline]
    fn new() -> Result<Self> {
        let init = Opaque::ffi_init(|ida| {
            // SAFETY: `ida` is valid for writes.
            unsafe { bindings::rust_vdpa_ida_init(ida) }
        });

        // INVARIANT: Initialised just above.
        Ok(Self(KBox::pin_init(init, GFP_KERNEL)?))
    }
}

impl Drop for Minors {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::ida_destroy(self.0.get()) };
    }
}

// SAFETY: An IDA has its own lock.
unsafe impl Send for Minors {}

// SAFETY: As above.
unsafe impl Sync for Minors {}

/// A minor number, for as long as this exists.
///
/// # Invariants
///
/// `minor` is allocated from the minors of `members`.
pub(super) struct Minor {
    members: Arc<Members>,
    minor: u32,
}

impl Minor {
    /// Allocates the smallest number that is free.
    #[inline]
    pub(super) fn new(members: Arc<Members>) -> Result<Self> {
        // SAFETY: The IDA is initialised.
        let minor = unsafe {
            bindings::ida_alloc_range(members.minors.0.get(), 0, DEV_MAX - 1, bindings::GFP_KERNEL)
        };

        to_result(minor)?;
        // INVARIANT: Allocated just above.
        Ok(Self {
            members,
            minor: u32::try_from(minor)?,
        })
    }

    /// Returns the family.
    #[inline]
    pub(super) fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// Returns the number.
    #[inline]
    pub(super) fn get(&self) -> u32 {
        self.minor
    }

    /// Returns the number together with the major one.
    #[inline]
    pub(super) fn devt(&self) -> bindings::dev_t {
        self.members.numbers.0 | self.minor
    }
}

impl Drop for Minor {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::ida_free(self.members.minors.0.get(), self.minor) };
    }
}

/// A bus without drivers.
///
/// # Invariants
///
/// It is registered.
struct Bus(Pin<KBox<Opaque<bindings::bus_type>>>);

impl Bus {
    #[inline]
    fn new(name: &'static CStr) -> Result<Self> {
        let init = Opaque::try_ffi_init(|bus: *mut bindings::bus_type| {
            // SAFETY: `bus` is valid for writes, and stays where it is. The name lives
            // indefinitely.
            unsafe {
                bus.write(bindings::bus_type {
                    name: name.as_char_ptr(),
                    ..pin_init::zeroed()
                });
                to_result(bindings::bus_register(bus))
            }
        });

        // INVARIANT: Registered just above.
        Ok(Self(KBox::pin_init(init, GFP_KERNEL)?))
    }
}

impl Drop for Bus {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant. The devices, which are on it, have a reference to what it
        // is part of.
        unsafe { bindings::bus_unregister(self.0.get()) };
    }
}

// SAFETY: A bus can be used, and unregistered, by any thread.
unsafe impl Send for Bus {}

// SAFETY: As above.
unsafe impl Sync for Bus {}

/// A directory in `/sys/class`.
///
/// # Invariants
///
/// It is registered.
struct Class(NonNull<bindings::class_compat>);

impl Class {
    #[inline]
    fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: The name is copied.
        let class = unsafe { bindings::class_compat_register(name.as_char_ptr()) };

        // INVARIANT: Registered just above.
        NonNull::new(class).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for Class {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::class_compat_unregister(self.0.as_ptr()) };
    }
}

// SAFETY: A class can be used, and unregistered, by any thread.
unsafe impl Send for Class {}

// SAFETY: As above.
unsafe impl Sync for Class {}
