// SPDX-License-Identifier: GPL-2.0

//! The virtio device of a transport.

use super::{
    line::Line,
    transport::Table,
    Transport, //
};
use crate::{
    bindings,
    Callbacks,
    Features,
    Status, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    container_of,
    device::{
        self,
        Bound, //
    },
    devres,
    error::to_result,
    new_mutex,
    prelude::*,
    sync::{
        rcu::synchronize_rcu,
        Arc,
        Mutex, //
    },
    types::Opaque, //
};

/// What a virtio driver is chosen by: `struct virtio_device_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceId {
    /// The kind of device (`uapi/linux/virtio_ids.h`), not 0.
    pub device: u32,
    /// The vendor.
    pub vendor: u32,
}

/// A virtio device with the transport `T`.
///
/// References exist only during the operations of [`Transport`].
///
/// # Invariants
///
/// - `vdev` is a valid `struct virtio_device`, counted by the `struct device` in it, whose
///   allocation is that of the whole.
/// - While there are references to an instance, `vdpa` is bound.
#[repr(C)]
pub struct Device<T: Transport> {
    vdev: Opaque<bindings::virtio_device>,
    // Not counted. Virtio drivers may keep the virtio device for longer than the vDPA device is
    // bound, and the last reference to the latter calls its parent, which may be gone by then.
    vdpa: NonNull<crate::Device<Bound>>,
    /// Until the vDPA device is unbound.
    callbacks: Arc<Mutex<Option<Callbacks<Line>>>>,
    _transport: PhantomData<T>,
}

impl<T: Transport> Device<T> {
    /// Registers a virtio device for a vDPA device, until the latter is unbound.
    ///
    /// `parent` is the parent in the device tree, which drivers take for the device that does DMA:
    /// [`dma_device`](crate::Device::dma_device).
    ///
    /// When a driver for `id` is there, it probes the device before this returns.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device id is 0, `ENOMEM`, and what adding a device to its bus returns.
    #[doc(alias = "register_virtio_device")]
    #[doc(alias = "unregister_virtio_device")]
    pub fn register(vdpa: &crate::Device<Bound>, parent: &device::Device, id: DeviceId) -> Result {
        if id.device == 0 {
            return Err(EINVAL);
        }

        let callbacks = Callbacks::new(vdpa, |_| Line::of_virtqueue(), Line::of_config()?)?;
        let callbacks = Arc::pin_init(
            new_mutex!(Some(callbacks), "vdpa_virtio_callbacks"),
            GFP_KERNEL,
        )?;
        let dev = KBox::init(
            init!(Self {
                vdev <- pin_init::init_zeroed(),
                vdpa: vdpa.into(),
                callbacks,
                _transport: PhantomData,
            }? Error),
            GFP_KERNEL,
        )?;
        // The reference count takes over; `release` ends it.
        let dev = KBox::leak(dev);
        let vdev = dev.vdev.get();

        // SAFETY: The structure is ours alone, and zeroed, which is how it has to be before it is
        // registered. CAST: `device::Device` is a transparent wrapper of `struct device`.
        unsafe {
            (*vdev).dev.parent = core::ptr::from_ref(parent).cast_mut().cast();
            (*vdev).dev.release = Some(Self::release);
            (*vdev).id.device = id.device;
            (*vdev).id.vendor = id.vendor;
            (*vdev).config = &Table::<T>::OPS;
            (*vdev).map = vdpa.map_ops();
            (*vdev).vmap = vdpa.map();
        }

        // SAFETY: Filled in just above. The operations can be called from here on until the device
        // is unregistered, which is before `vdpa` is unbound: either below, or by devres.
        if let Err(e) = to_result(unsafe { bindings::register_virtio_device(vdev) }) {
            // SAFETY: Failing has left us the reference that registering began with.
            unsafe { bindings::put_device(&raw mut (*vdev).dev) };
            return Err(e);
        }

        // SAFETY: The device is registered, so it has a reference, to which this adds one.
        unsafe { bindings::get_device(&raw mut (*vdev).dev) };

        // INVARIANT: Registered, and counted, just above.
        let registration = Registration {
            dev: NonNull::from(dev),
        };

        devres::register(vdpa.as_ref(), registration, GFP_KERNEL)
    }

    /// Frees a device whose last reference is gone.
    ///
    /// # Safety
    ///
    /// To be called by the driver core only, as the `release` of a device made by
    /// [`register`](Self::register).
    unsafe extern "C" fn release(dev: *mut bindings::device) {
        // SAFETY: By the safety requirements of this function, the device is that of an instance
        // which was a `KBox` before it was registered.
        drop(unsafe {
            let vdev = container_of!(dev, bindings::virtio_device, dev);

            KBox::from_raw(vdev.cast::<Self>())
        });
    }

    /// Wraps the C device.
    ///
    /// # Safety
    ///
    /// `vdev` must be a device made by [`register`](Self::register), and registered for `'a`.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(vdev: *mut bindings::virtio_device) -> &'a Self {
        // CAST: `vdev` is the first member, and `repr(C)`.
        // INVARIANT: A device is unregistered before the vDPA device is unbound.
        // SAFETY: By the safety requirements of this function.
        unsafe { &*vdev.cast::<Self>() }
    }

    /// Returns the C device.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::virtio_device {
        self.vdev.get()
    }

    /// Returns the vDPA device.
    #[inline]
    pub fn vdpa(&self) -> &crate::Device<Bound> {
        // SAFETY: By the type invariant it is bound, and so valid, while `self` can be used.
        unsafe { self.vdpa.as_ref() }
    }

    /// Returns the features as negotiated so far: offered by the device and known to the driver.
    ///
    /// Those beyond number 63, which a vDPA device cannot have, are not included.
    #[inline]
    pub fn features(&self) -> Features {
        // SAFETY: By the type invariant. The union's members are integers at the same place. The
        // virtio core changes them only while it probes a driver, which is when transports look.
        Features(unsafe { (*self.as_raw()).__bindgen_anon_1.features })
    }

    /// Takes a feature back, which must not have been sent to the device yet.
    #[inline]
    pub fn clear_feature(&self, bit: u32) {
        let features = self.features().difference(Features::from_bits(&[bit]));

        // SAFETY: As in `features`.
        unsafe { (*self.as_raw()).__bindgen_anon_1.features = features.0 };
    }

    /// Takes back the features with a meaning for transports and rings that this kernel's rings do
    /// not know.
    #[doc(alias = "vring_transport_features")]
    #[inline]
    pub fn filter_ring_features(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::vring_transport_features(self.as_raw()) };
    }

    /// Has `f` do something with what the vDPA device calls.
    ///
    /// # Errors
    ///
    /// Those of `f`; `ENODEV` where the vDPA device is being unbound.
    #[inline]
    pub(super) fn with_callbacks<R>(
        &self,
        f: impl FnOnce(&mut Callbacks<Line>) -> Result<R>,
    ) -> Result<R> {
        let mut guard = self.callbacks.lock();
        let callbacks: &mut Option<_> = &mut guard;

        f(callbacks.as_mut().ok_or(ENODEV)?)
    }

    /// Has the virtio driver told of configuration changes from now on, until it gives its
    /// virtqueues back.
    ///
    /// # Errors
    ///
    /// `ENODEV` where the vDPA device is being unbound.
    #[inline]
    pub fn enable_config_cb(&self) -> Result {
        self.with_callbacks(|callbacks| {
            // SAFETY: The device is freed after it was unregistered, by which time the line was
            // disconnected, in `quiesce`, and a grace period has passed.
            unsafe { callbacks.config().connect(self.as_raw().cast()) };
            callbacks.install_config(self.vdpa())
        })
    }

    /// Resets the vDPA device, after which it is quiet.
    ///
    /// That is not left to the transport: what is freed after it must not depend on what that does.
    #[inline]
    pub(super) fn reset(&self) {
        if let Err(e) = self.vdpa().reset(false) {
            dev_warn!(self.vdpa(), "reset failed: {:?}\n", e);
        }
    }

    /// Undoes [`enable_config_cb`](Self::enable_config_cb) and
    /// [`Virtqueue::enable_cb`](super::Virtqueue::enable_cb), with the vDPA device quiet from
    /// before that on: it uses no virtqueue. Nobody is called when this returns, whatever a parent
    /// may do.
    #[inline]
    pub(super) fn quiesce(&self) {
        // A driver makes an end of its own: it gives its virtqueues back before the device runs, or
        // after a reset. One whose probe fails late may forget.
        if self.vdpa().status().has(Status::DRIVER_OK) {
            self.reset();
        }

        let disconnected = self.with_callbacks(|callbacks| {
            callbacks.remove(self.vdpa())?;
            Ok(callbacks
                .targets()
                .fold(false, |any, line| line.disconnect() || any))
        });

        // Otherwise nobody can be in there.
        if disconnected != Ok(false) {
            synchronize_rcu();
        }
    }
}

impl<T: Transport> AsRef<device::Device> for Device<T> {
    #[inline]
    fn as_ref(&self) -> &device::Device {
        // SAFETY: By the type invariant.
        unsafe { device::Device::from_raw(&raw mut (*self.as_raw()).dev) }
    }
}

/// The registration of a virtio device, owned by the devres of the vDPA device.
///
/// # Invariants
///
/// `dev` is registered until this is dropped, which happens while the vDPA device is bound. One of
/// its references belongs to this.
struct Registration<T: Transport> {
    dev: NonNull<Device<T>>,
}

// SAFETY: A device can be unregistered by any thread.
unsafe impl<T: Transport> Send for Registration<T> {}

impl<T: Transport> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        let dev = unsafe { self.dev.as_ref() };

        // SAFETY: By the type invariant. The virtio driver, if there is one, is unbound by this;
        // when it returns, no operation of the transport runs, and none will be called.
        unsafe { bindings::unregister_virtio_device(dev.as_raw()) };

        // What the vDPA device may still have of us is gone after this.
        dev.quiesce();
        // Not with the lock held.
        let callbacks = dev.callbacks.lock().take();

        drop(callbacks);

        // SAFETY: By the type invariant; there is no use of the device after this.
        unsafe { bindings::put_device(&raw mut (*dev.as_raw()).dev) };
    }
}
