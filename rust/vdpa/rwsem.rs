// SPDX-License-Identifier: GPL-2.0

//! A reader-writer semaphore.
//!
//! This module allows Rust code to use the kernel's `struct rw_semaphore`.
//!
//! `kernel::sync::lock::Backend` describes locks with one holder at a time, so a lock with many
//! readers cannot be one.
//!
//! C header: `include/linux/rwsem.h`

use crate::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomPinned,
    ops::{
        Deref,
        DerefMut, //
    },
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::LockClassKey,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};
use pin_init::Wrapper;

/// Creates a [`RwSem`] initialiser with the given name and a newly-created lock class.
///
/// It uses the name if one is given, otherwise it generates one based on the file name and line
/// number.
#[macro_export]
macro_rules! new_rwsem {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::rwsem::RwSem::new(
            $inner, ::kernel::optional_name!($($name)?), ::kernel::static_lock_class!())
    };
}
pub use new_rwsem;

/// A lock that many readers or one writer can hold.
///
/// Exposes the kernel's `struct rw_semaphore`. A reader waits for the writer, and for writers that
/// came before it; a writer waits for all others. Waiting sleeps, so the lock must not be taken in
/// atomic context.
///
/// The killable methods let a task that is being killed give up waiting. They are for paths that a
/// process enters by a system call, behind somebody who may hold the lock for long.
///
/// Instances need a lock class and to be pinned; they are made with [`new_rwsem!`].
///
/// # Examples
///
/// ```
/// # use kernel::prelude::*;
/// use vdpa::rwsem::{new_rwsem, RwSem};
///
/// let lock = KBox::pin_init(new_rwsem!(0u32), GFP_KERNEL)?;
///
/// *lock.write() += 1;
/// assert_eq!(*lock.read(), 1);
/// assert_eq!(*lock.read_killable()?, 1);
/// # Ok::<(), Error>(())
/// ```
// `repr(C)` is for `from_raw()`.
#[repr(C)]
#[pin_data]
pub struct RwSem<T: ?Sized> {
    /// The kernel's lock.
    #[pin]
    sem: Opaque<bindings::rw_semaphore>,

    /// Waiters and lockdep keep pointers to the lock.
    #[pin]
    _pin: PhantomPinned,

    /// The data protected by the lock.
    #[pin]
    data: UnsafeCell<T>,
}

// SAFETY: The lock can be used from any thread, so it can be sent wherever its data can.
unsafe impl<T: ?Sized + Send> Send for RwSem<T> {}

// SAFETY: A writer gets at the data alone, which needs `Send`; readers share it, which needs
// `Sync`.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwSem<T> {}

impl<T> RwSem<T> {
    /// Constructs a new lock initialiser.
    #[doc(alias = "init_rwsem")]
    #[doc(alias = "__init_rwsem")]
    #[inline]
    pub fn new(
        data: impl PinInit<T>,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            data <- UnsafeCell::pin_init(data),
            _pin: PhantomPinned,
            // SAFETY: `slot` is valid while the closure is called, and both `name` and `key` live
            // indefinitely.
            sem <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_rwsem(slot, name.as_char_ptr(), key.as_ptr())
            }),
        })
    }
}

impl RwSem<()> {
    /// Initialises a lock that is embedded in a C structure.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for writes, and nobody else may use the lock yet.
    #[inline]
    pub unsafe fn init_raw(
        ptr: *mut bindings::rw_semaphore,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) {
        // SAFETY: By the safety requirements of this function; name and key live indefinitely.
        unsafe { bindings::__init_rwsem(ptr, name.as_char_ptr(), key.as_ptr()) }
    }

    /// Wraps a lock that is embedded in a C structure, such as `cf_lock` of `struct vdpa_device`.
    ///
    /// # Safety
    ///
    /// `ptr` must point to an initialised lock that stays valid, and in its place, for `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::rw_semaphore) -> &'a Self {
        // SAFETY: By the safety requirements of this function the lock is valid. All that this
        // type has besides it is of size zero, so with `repr(C)` the layouts are the same.
        unsafe { &*ptr.cast() }
    }
}

impl<T: ?Sized> RwSem<T> {
    /// Waits until there is no writer, then lets the caller read.
    #[doc(alias = "down_read")]
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, T> {
        // SAFETY: The existence of the object proves that the lock is initialised.
        unsafe { bindings::down_read(self.sem.get()) };
        ReadGuard::new(self)
    }

    /// Like [`read`](Self::read), but a task that is being killed does not wait.
    ///
    /// # Errors
    ///
    /// `EINTR` if the task is being killed.
    #[doc(alias = "down_read_killable")]
    #[inline]
    pub fn read_killable(&self) -> Result<ReadGuard<'_, T>> {
        // SAFETY: The existence of the object proves that the lock is initialised.
        to_result(unsafe { bindings::down_read_killable(self.sem.get()) })?;
        Ok(ReadGuard::new(self))
    }

    /// Waits until there is neither writer nor reader, then gives the caller the data alone.
    #[doc(alias = "down_write")]
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, T> {
        // SAFETY: The existence of the object proves that the lock is initialised.
        unsafe { bindings::down_write(self.sem.get()) };
        WriteGuard::new(self)
    }

    /// Like [`write`](Self::write), but a task that is being killed does not wait.
    ///
    /// # Errors
    ///
    /// `EINTR` if the task is being killed.
    #[doc(alias = "down_write_killable")]
    #[inline]
    pub fn write_killable(&self) -> Result<WriteGuard<'_, T>> {
        // SAFETY: The existence of the object proves that the lock is initialised.
        to_result(unsafe { bindings::down_write_killable(self.sem.get()) })?;
        Ok(WriteGuard::new(self))
    }

    /// Like [`write`](Self::write), but does not wait.
    #[doc(alias = "down_write_trylock")]
    #[must_use = "if unused, the lock will be immediately unlocked"]
    #[inline]
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        // SAFETY: The existence of the object proves that the lock is initialised.
        let taken = unsafe { bindings::down_write_trylock(self.sem.get()) } != 0;

        taken.then(|| WriteGuard::new(self))
    }

    /// Warns, with a stack trace, if nobody holds the lock for writing.
    ///
    /// With lockdep, if it is not the current task that does.
    ///
    /// This is for callbacks that C code enters with the lock held.
    #[doc(alias = "rwsem_assert_held_write")]
    #[inline]
    pub fn assert_held_write(&self) {
        // SAFETY: The existence of the object proves that the lock is initialised.
        unsafe { bindings::rust_vdpa_rwsem_assert_held_write(self.sem.get()) };
    }
}

/// Shared access to the data of a [`RwSem`], until it is dropped.
///
/// # Invariants
///
/// The current task holds the lock for reading.
#[doc(alias = "up_read")]
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct ReadGuard<'a, T: ?Sized> {
    lock: &'a RwSem<T>,
    // A semaphore is released by the task that took it.
    _not_send: NotThreadSafe,
}

// SAFETY: All that the guard gives access to is a `&T`.
unsafe impl<T: ?Sized + Sync> Sync for ReadGuard<'_, T> {}

impl<'a, T: ?Sized> ReadGuard<'a, T> {
    /// To be called with the lock just taken for reading.
    #[inline]
    fn new(lock: &'a RwSem<T>) -> Self {
        // INVARIANT: By the requirement of this function.
        Self {
            lock,
            _not_send: NotThreadSafe,
        }
    }
}

impl<T: ?Sized> Deref for ReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant there is no writer.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for ReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the current task holds the lock for reading.
        unsafe { bindings::up_read(self.lock.sem.get()) };
    }
}

/// Exclusive access to the data of a [`RwSem`], until it is dropped.
///
/// # Invariants
///
/// The current task holds the lock for writing.
#[doc(alias = "up_write")]
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct WriteGuard<'a, T: ?Sized> {
    lock: &'a RwSem<T>,
    // A semaphore is released by the task that took it.
    _not_send: NotThreadSafe,
}

// SAFETY: A shared guard gives access to a `&T` only.
unsafe impl<T: ?Sized + Sync> Sync for WriteGuard<'_, T> {}

impl<'a, T: ?Sized> WriteGuard<'a, T> {
    /// To be called with the lock just taken for writing.
    #[inline]
    fn new(lock: &'a RwSem<T>) -> Self {
        // INVARIANT: By the requirement of this function.
        Self {
            lock,
            _not_send: NotThreadSafe,
        }
    }

    /// Returns a pinned mutable reference to the protected data.
    ///
    /// For [`Unpin`] data the guard implements [`DerefMut`], which is to be used instead.
    #[inline]
    pub fn as_mut(&mut self) -> Pin<&mut T> {
        // SAFETY: By the type invariant nobody else has access, and the data is structurally
        // pinned.
        unsafe { Pin::new_unchecked(&mut *self.lock.data.get()) }
    }
}

impl<T: ?Sized> Deref for WriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant nobody else has access.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized + Unpin> DerefMut for WriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariant nobody else has access.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for WriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the current task holds the lock for writing.
        unsafe { bindings::up_write(self.lock.sem.get()) };
    }
}
