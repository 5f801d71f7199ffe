// SPDX-License-Identifier: GPL-2.0

//! Reaching a device from places that may outlive its driver.
//!
//! What a driver does in its callbacks has a device that is bound. An open file, or the wake-up of
//! an eventfd, has not: the device may go away under it. Here are two ways for such places to ask
//! whether it is still there, and to keep it there while they work on it.

use crate::Device;
use core::ops::Deref;
use kernel::{
    device::Bound,
    devres,
    new_mutex,
    prelude::*,
    revocable::{
        Revocable,
        RevocableGuard, //
    },
    sync::{
        aref::ARef,
        lock::mutex::MutexGuard,
        Arc,
        Mutex, //
    }, //
};

/// State that is there for as long as a device is bound to its driver.
///
/// Whoever holds the [lock](Self::lock) has the state, and a device that stays bound meanwhile:
/// unbinding waits for the lock. So it must not be held while waiting for something that takes its
/// time, user space first of all.
///
/// No reference to the device is kept longer than it is bound: what the last one to be dropped
/// calls is code of the device's parent, which may be gone by then.
#[pin_data]
pub struct BoundState<T: Send + Unpin + 'static> {
    #[pin]
    inner: Mutex<Option<Inner<T>>>,
}

/// # Invariants
///
/// While this is the content of a [`BoundState`], the device is bound.
struct Inner<T> {
    dev: ARef<Device>,
    state: T,
}

impl<T: Send + Unpin + 'static> BoundState<T> {
    /// Ties `state` to the binding of `dev`.
    #[inline]
    pub fn new(dev: &Device<Bound>, state: T) -> Result<Arc<Self>> {
        // INVARIANT: `dev` is bound, and the state is taken away before that ends: by what is
        // registered just below. Nobody gets at it before.
        let inner = Inner {
            dev: dev.into(),
            state,
        };
        let this = Arc::pin_init(
            pin_init!(Self {
                inner <- new_mutex!(Some(inner), "vdpa_bound_state"),
            }),
            GFP_KERNEL,
        )?;

        devres::register(dev.as_ref(), RevokeState(this.clone()), GFP_KERNEL)?;
        Ok(this)
    }

    /// Waits for the state. [`None`] where the device is not bound any more.
    #[inline]
    pub fn lock(&self) -> Option<BoundStateGuard<'_, T>> {
        let guard = self.inner.lock();

        // INVARIANT: Just checked.
        guard.is_some().then_some(BoundStateGuard(guard))
    }

    /// Takes the state away: [`lock`](Self::lock) fails from now on.
    ///
    /// This happens by itself when the driver is unbound, after its data was dropped. A driver for
    /// which this is too late does it in its `unbind`.
    #[inline]
    pub fn revoke(&self) -> Option<T> {
        // Not in one statement, which would drop the device with the lock held.
        let inner = self.inner.lock().take();

        inner.map(|inner| inner.state)
    }
}

/// Takes the state away when it is dropped.
struct RevokeState<T: Send + Unpin + 'static>(Arc<BoundState<T>>);

impl<T: Send + Unpin + 'static> Drop for RevokeState<T> {
    #[inline]
    fn drop(&mut self) {
        self.0.revoke();
    }
}

/// The state of a bound device. See [`BoundState::lock`].
///
/// # Invariants
///
/// There is something in it.
pub struct BoundStateGuard<'a, T: Send + Unpin + 'static>(MutexGuard<'a, Option<Inner<T>>>);

impl<T: Send + Unpin + 'static> BoundStateGuard<'_, T> {
    /// Returns the state and the device.
    #[inline]
    pub fn split(&mut self) -> (&mut T, &Device<Bound>) {
        // SAFETY: By the type invariant.
        let inner = unsafe { (*self.0).as_mut().unwrap_unchecked() };
        // SAFETY: By the invariant of `Inner` the device is bound, until the state is taken away,
        // for which the lock is needed.
        let dev = unsafe { Device::from_raw(inner.dev.as_raw()) };

        (&mut inner.state, dev)
    }
}

/// A device that can be asked for anywhere, with interrupts off too.
#[pin_data]
pub struct BoundDevice {
    #[pin]
    dev: Revocable<ARef<Device>>,
}

impl BoundDevice {
    /// Makes `dev` available for as long as it is bound.
    #[inline]
    pub fn new(dev: &Device<Bound>) -> Result<Arc<Self>> {
        let this = Arc::pin_init(
            try_pin_init!(Self {
                dev <- Revocable::new(Ok::<ARef<Device>, Error>(dev.into())),
            }),
            GFP_KERNEL,
        )?;

        devres::register(dev.as_ref(), RevokeDevice(this.clone()), GFP_KERNEL)?;
        Ok(this)
    }

    /// Returns the device. [`None`] where it is not bound any more.
    ///
    /// # Context
    ///
    /// Any. There must be no sleeping while the result exists.
    #[inline]
    pub fn get(&self) -> Option<BoundDeviceGuard<'_>> {
        // INVARIANT: The device was bound, and it is revoked before that ends.
        self.dev.try_access().map(BoundDeviceGuard)
    }

    /// Takes the device away. When this returns nobody uses it any more, and nobody will.
    #[inline]
    pub fn revoke(&self) {
        self.dev.revoke();
    }
}

/// Takes the device away when it is dropped.
struct RevokeDevice(Arc<BoundDevice>);

impl Drop for RevokeDevice {
    #[inline]
    fn drop(&mut self) {
        self.0.revoke();
    }
}

/// A device that stays bound for as long as this exists. See [`BoundDevice::get`].
///
/// # Invariants
///
/// The device is bound.
pub struct BoundDeviceGuard<'a>(RevocableGuard<'a, ARef<Device>>);

impl Deref for BoundDeviceGuard<'_> {
    type Target = Device<Bound>;

    #[inline]
    fn deref(&self) -> &Device<Bound> {
        // SAFETY: By the type invariant.
        unsafe { Device::from_raw(self.0.as_raw()) }
    }
}
