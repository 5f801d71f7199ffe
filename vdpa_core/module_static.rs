// SPDX-License-Identifier: GPL-2.0

//! Statics that are initialised when the module is loaded.
//!
//! The C entry points have no argument that could lead them to the state of the module, and locks
//! cannot be initialised at compile time.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit, //
};
use kernel::prelude::*;

/// Space for a `T`.
///
/// # Invariants
///
/// The space holds a valid `T` whenever [`get`](Self::get) is called, by the promise made to
/// [`new`](Self::new).
pub(crate) struct ModuleStatic<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: All that is shared is a `&T`; the `T` is made and dropped by one thread that has it for
// itself.
unsafe impl<T: Send + Sync> Sync for ModuleStatic<T> {}

impl<T> ModuleStatic<T> {
    /// Makes the space.
    ///
    /// # Safety
    ///
    /// [`get`](Self::get) may only be called after [`init`](Self::init), and not after what that
    /// returned has been dropped.
    pub(crate) const unsafe fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Makes the `T`. It lives until what is returned is dropped.
    ///
    /// # Safety
    ///
    /// Must not be called a second time.
    pub(crate) unsafe fn init(&'static self, init: impl PinInit<T>) -> Initialised<T> {
        // SAFETY: Nobody else uses the space: this function is called once and, by the promise made
        // to `new()`, before `get()`. A static is never moved.
        unsafe { pin_init::raw_init(self.0.get().cast(), init) };
        Initialised(self)
    }

    /// Returns the `T`.
    pub(crate) fn get(&'static self) -> &'static T {
        // SAFETY: By the type invariant.
        unsafe { (*self.0.get()).assume_init_ref() }
    }
}

/// Stands for an initialised [`ModuleStatic`], whose content is dropped with it.
pub(crate) struct Initialised<T: 'static>(&'static ModuleStatic<T>);

// SAFETY: Dropping is the only thing that can be done with it, which drops the `T`.
unsafe impl<T: Send> Send for Initialised<T> {}

// SAFETY: Nothing can be done with a shared reference.
unsafe impl<T> Sync for Initialised<T> {}

impl<T> Drop for Initialised<T> {
    fn drop(&mut self) {
        // SAFETY: The content was made by `init()`, and, by the promise made to `new()`, nobody
        // uses it any more.
        unsafe { (*self.0 .0.get()).assume_init_drop() };
    }
}
