// SPDX-License-Identifier: GPL-2.0

//! Drivers on the vDPA bus.
//!
//! C header: `include/linux/vdpa.h`

use crate::{
    bindings,
    Device, //
};
use core::{
    marker::PhantomData,
    mem::offset_of, //
};
use kernel::{
    device::{
        Core,
        CoreInternal, //
    },
    driver,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    types::Opaque,
    ThisModule, //
};

/// An adapter for the registration of vDPA drivers.
#[doc(alias = "vdpa_register_driver")]
#[doc(alias = "__vdpa_register_driver")]
#[doc(alias = "vdpa_unregister_driver")]
pub struct Adapter<T: Driver>(PhantomData<T>);

// SAFETY:
// - `bindings::vdpa_driver` is a C type declared as `repr(C)`.
// - `T::Data` is the type of the driver's device private data.
// - `struct vdpa_driver` embeds a `struct device_driver`.
// - `DEVICE_DRIVER_OFFSET` is the correct byte offset to the embedded `struct device_driver`.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::vdpa_driver;
    type DriverData<'bound> = T::Data<'bound>;
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(Self::DriverType, driver);
}

// SAFETY: A call to `unregister` for a given instance of `DriverType` is guaranteed to be valid if
// a preceding call to `register` has been successful.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        vdrv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: It's safe to set the fields of `struct vdpa_driver` on initialization.
        unsafe {
            (*vdrv.get()).driver.name = name.as_char_ptr();
            (*vdrv.get()).probe = Some(Self::probe_callback);
            (*vdrv.get()).remove = Some(Self::remove_callback);
        }

        // SAFETY: `vdrv` is guaranteed to be a valid `DriverType`.
        to_result(unsafe { bindings::__vdpa_register_driver(vdrv.get(), module.as_ptr()) })
    }

    unsafe fn unregister(vdrv: &Opaque<Self::DriverType>) {
        // SAFETY: `vdrv` is guaranteed to be a valid `DriverType`.
        unsafe { bindings::vdpa_unregister_driver(vdrv.get()) }

        // Parents may be about to call `Callbacks`, which are this module's code, until the last of
        // them were freed.
        // SAFETY: No requirements; this is process context.
        unsafe { bindings::rust_vdpa_rcu_barrier_tasks() };
    }
}

impl<T: Driver> Adapter<T> {
    extern "C" fn probe_callback(vdev: *mut bindings::vdpa_device) -> c_int {
        // SAFETY: The vDPA bus only ever calls the probe callback with a valid pointer to a
        // `struct vdpa_device`, which is registered.
        //
        // INVARIANT: `vdev` is valid for the duration of `probe_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<CoreInternal<'_>>>() };

        from_result(|| {
            let data = T::probe(vdev);

            vdev.as_ref().set_drvdata(data)?;
            Ok(0)
        })
    }

    extern "C" fn remove_callback(vdev: *mut bindings::vdpa_device) {
        // SAFETY: The vDPA bus only ever calls the remove callback with a valid pointer to a
        // `struct vdpa_device`, which is registered.
        //
        // INVARIANT: `vdev` is valid for the duration of `remove_callback()`.
        let vdev = unsafe { &*vdev.cast::<Device<CoreInternal<'_>>>() };

        // SAFETY: `remove_callback` is only ever called after a successful call to
        // `probe_callback`, hence it's guaranteed that `Device::set_drvdata()` has been called
        // and stored a `Pin<KBox<T::Data<'_>>>`.
        let data = unsafe { vdev.as_ref().drvdata_borrow::<T::Data<'_>>() };

        T::unbind(vdev, data);
    }
}

/// Declares a kernel module that exposes a single vDPA driver.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Core, prelude::*};
/// # struct MyDriver;
/// # impl vdpa::driver::Driver for MyDriver {
/// #     type Data<'bound> = Self;
/// #     fn probe<'bound>(
/// #         vdev: &'bound vdpa::Device<Core<'_>>,
/// #     ) -> impl PinInit<Self, Error> + 'bound {
/// #         try_init!(Self {}? Error)
/// #     }
/// # }
/// # fn main() {}
/// vdpa::module_vdpa_driver! {
///     type: MyDriver,
///     name: "my_driver",
///     authors: ["Author name"],
///     description: "My vDPA driver",
///     license: "GPL v2",
/// }
/// ```
#[macro_export]
macro_rules! module_vdpa_driver {
    ($($f:tt)*) => {
        ::kernel::module_driver!(<T>, $crate::driver::Adapter<T>, { $($f)* });
    };
}

/// The vDPA driver trait.
///
/// Drivers must implement this trait in order to get a vDPA driver registered. There is no table of
/// ids: a driver is offered every device, unless `driver_override` names another one.
///
/// # Examples
///
/// ```
/// use kernel::{device::Core, prelude::*};
/// use vdpa::bindings::VIRTIO_ID_NET;
///
/// struct MyDriver;
///
/// impl vdpa::driver::Driver for MyDriver {
///     type Data<'bound> = Self;
///
///     fn probe<'bound>(
///         vdev: &'bound vdpa::Device<Core<'_>>,
///     ) -> impl PinInit<Self, Error> + 'bound {
///         if vdev.device_id() != VIRTIO_ID_NET {
///             return Err(ENODEV);
///         }
///         dev_info!(vdev.as_ref(), "{} virtqueues\n", vdev.nvqs());
///         Ok(Self)
///     }
/// }
/// ```
pub trait Driver {
    /// The type of the driver's bus device private data.
    type Data<'bound>: Send + 'bound;

    /// vDPA driver probe.
    ///
    /// Called when a vDPA device is offered to the driver. `ENODEV` and `ENXIO` turn it down
    /// silently.
    fn probe<'bound>(
        vdev: &'bound Device<Core<'_>>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// vDPA driver unbind.
    ///
    /// Called when a [`Device`] is unbound from its bound [`Driver`]. Implementing this callback
    /// is optional.
    ///
    /// This callback serves as a place for drivers to perform teardown operations that require a
    /// `&Device<Core>` reference. Otherwise, release operations for driver resources should be
    /// performed in `Drop`.
    fn unbind<'bound>(vdev: &'bound Device<Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        let _ = (vdev, this);
    }
}
