// SPDX-License-Identifier: GPL-2.0

//! Management devices: what `vdpa dev add` makes devices with.
//!
//! C header: `include/linux/vdpa.h`, `struct vdpa_mgmt_dev`.

use crate::{
    alloc::Allocation,
    bindings,
    root_device::as_raw,
    ConfigOps,
    Features,
    UnregisteredDevice, //
};
use core::ptr::NonNull;
use kernel::{
    build_error,
    device::{
        self,
        Bound, //
    },
    devres::Devres,
    error::{
        from_result,
        to_result,
        VTABLE_DEFAULT_ERROR, //
    },
    prelude::*,
    sync::aref::ARef,
    types::Opaque, //
};

/// The vendor in a table of ids that stands for all (`VIRTIO_DEV_ANY_ID`).
const VENDOR_ANY: u32 = u32::MAX;

/// What a user can ask for when a device is added or changed, as a set.
///
/// The bits are the numbers of `enum vdpa_attr` (`uapi/linux/vdpa.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Attributes(u64);

impl Attributes {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The MAC address of a network device.
    pub const NET_MAC: Self = Self(1 << bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MACADDR);
    /// The MTU of a network device.
    pub const NET_MTU: Self = Self(1 << bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MTU);
    /// The number of queue pairs of a network device.
    pub const NET_MAX_VQ_PAIRS: Self = Self(1 << bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MAX_VQP);
    /// The features that the device offers.
    pub const FEATURES: Self = Self(1 << bindings::vdpa_attr_VDPA_ATTR_DEV_FEATURES);

    /// The attributes of both sets.
    #[inline]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline]
    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What a user asked for.
///
/// When a device is [added](Operations::dev_add), there is only what the management device
/// [accepts](Info::attributes): the vDPA core refuses the rest. When a device is
/// [changed](Operations::dev_set_attr), there may be what it does not accept: the core does not
/// compare that, and lets a MAC address through.
#[repr(transparent)]
pub struct Config(bindings::vdpa_dev_set_config);

impl Config {
    #[inline]
    fn get<T>(&self, attribute: Attributes, value: T) -> Option<T> {
        Attributes(self.0.mask).has(attribute).then_some(value)
    }

    /// The MAC address for a network device, if one was given.
    #[inline]
    pub fn mac(&self) -> Option<[u8; 6]> {
        self.get(Attributes::NET_MAC, self.0.net.mac)
    }

    /// The MTU for a network device in bytes, 68 or more, if one was given.
    #[inline]
    pub fn mtu(&self) -> Option<u16> {
        self.get(Attributes::NET_MTU, self.0.net.mtu)
    }

    /// The number of queue pairs for a network device, 1 or more, if one was given.
    #[inline]
    pub fn max_vq_pairs(&self) -> Option<u16> {
        self.get(Attributes::NET_MAX_VQ_PAIRS, self.0.net.max_vq_pairs)
    }

    /// The features that the device is to offer, if they were given.
    ///
    /// The core does not know which of them can be had.
    #[inline]
    pub fn features(&self) -> Option<Features> {
        self.get(Attributes::FEATURES, Features(self.0.device_features))
    }

    /// The features that the device is to offer, or `all` that it can if none were given.
    ///
    /// # Errors
    ///
    /// Those that it cannot.
    #[inline]
    pub fn features_of(&self, all: Features) -> Result<Features, Features> {
        let offered = self.features().unwrap_or(all);
        let missing = offered.difference(all);

        if missing.is_empty() {
            Ok(offered)
        } else {
            Err(missing)
        }
    }
}

/// What a management device can do, as `vdpa mgmtdev show` says it.
pub struct Info<'a> {
    /// The device that stands for it.
    pub device: &'a device::Device,
    /// The virtio device ids (`uapi/linux/virtio_ids.h`) of the devices it can make, none of them
    /// 0.
    pub classes: &'a [u32],
    /// What a user can ask for when a device is added.
    pub attributes: Attributes,
    /// The features that devices can offer.
    pub features: Features,
    /// The largest number of virtqueues of a device.
    pub max_virtqueues: u32,
}

/// The operations of a management device.
///
/// # Context
///
/// All may sleep, and take as long as it takes: a management device is asked for one thing at a
/// time, under a lock of the vDPA core, which is its own on our bus, and that of all in the C core.
///
/// The driver core's lock of the device that stands for the management device is outside of that
/// one: a driver makes its [`Registration`] when it is probed, and drops it when it is removed,
/// with the former held. So the operations must not take it.
#[vtable]
pub trait Operations: Send + Sync + Sized {
    /// What is made.
    type Device: ConfigOps;

    /// Makes a device, in the device tree below the management device if it has no better place.
    /// It is registered when this has returned. Its data is dropped when the user deletes it, or
    /// the management device goes, after it was unregistered.
    ///
    /// # Errors
    ///
    /// Go to the user. `EOPNOTSUPP` for what this device cannot be made with, `ENOSPC` where no
    /// more can be made.
    #[doc(alias = "_vdpa_register_device")]
    #[doc(alias = "_vdpa_unregister_device")]
    fn dev_add(
        &self,
        mgmt: &device::Device,
        name: &CStr,
        config: &Config,
    ) -> Result<UnregisteredDevice<Self::Device>>;

    /// Changes a device. The `cf_lock` of the device is held.
    ///
    /// # Errors
    ///
    /// Go to the user. `EOPNOTSUPP` for what cannot be changed.
    fn dev_set_attr(&self, device: &Self::Device, config: &Config) -> Result {
        let _ = (device, config);
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// Takes a management device from the bus, with all devices that it has made.
///
/// # Invariants
///
/// The management device is registered, and nobody else unregisters it.
pub struct Registered(NonNull<bindings::vdpa_mgmt_dev>);

// SAFETY: Any thread can do it.
unsafe impl Send for Registered {}

// SAFETY: It has no methods.
unsafe impl Sync for Registered {}

impl Drop for Registered {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::vdpa_mgmtdev_unregister(self.0.as_ptr()) };
    }
}

/// A management device that users see. Dropping it removes all devices that it has made.
///
/// `R` is who does that: nobody else, or for a [`BoundRegistration`] whoever unbinds the
/// driver, too.
///
/// # Invariants
///
/// `mdev` is registered, with the operations of `T`, for as long as `registered` is there.
#[doc(alias = "vdpa_mgmtdev_unregister")]
#[repr(C)]
#[pin_data]
pub struct Registration<T: Operations, R = Registered> {
    // First, so that a pointer to it is one to the registration.
    #[pin]
    mdev: Opaque<bindings::vdpa_mgmt_dev>,
    // Dropped before what `mdev` refers to.
    registered: R,
    // Ends with an entry of zeroes. The core reads it as long as `mdev` is registered.
    id_table: KVec<bindings::virtio_device_id>,
    device: ARef<device::Device>,
    operations: T,
}

// SAFETY: `T` is `Send` and `Sync`, and what C has access to is protected by its locks.
unsafe impl<T: Operations, R: Send> Send for Registration<T, R> {}

// SAFETY: As above.
unsafe impl<T: Operations, R: Sync> Sync for Registration<T, R> {}

impl<T: Operations> Registration<T> {
    /// Registers a management device.
    ///
    /// # Errors
    ///
    /// `EINVAL` where 0, which would end the list for the core, is among the classes; `ENOMEM`.
    #[doc(alias = "vdpa_mgmtdev_register")]
    #[inline]
    pub fn new<'a>(info: Info<'a>, operations: T) -> impl PinInit<Self, Error> + use<'a, T>
    where
        T: 'static,
    {
        Self::with(info, operations, Ok)
    }
}

/// A management device that is there no longer than its driver is bound.
pub type BoundRegistration<T> = Registration<T, Devres<Registered>>;

impl<T: Operations> BoundRegistration<T> {
    /// Registers a management device for a driver that is bound to `bound`, until that is unbound
    /// or the result is dropped, whichever comes first. So the operations, and the devices that they
    /// make, may borrow what is there while it is bound.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    #[inline]
    pub fn with_bound<'a>(
        bound: &'a device::Device<Bound>,
        info: Info<'a>,
        operations: T,
    ) -> impl PinInit<Self, Error> + use<'a, T>
    where
        T: 'a,
    {
        Self::with(info, operations, |registered| {
            Devres::new(bound, registered)
        })
    }
}

impl<T: Operations, R> Registration<T, R> {
    const OPS: bindings::vdpa_mgmtdev_ops = bindings::vdpa_mgmtdev_ops {
        dev_add: Some(Self::dev_add),
        dev_del: Some(Self::dev_del),
        dev_set_attr: if T::HAS_DEV_SET_ATTR {
            Some(Self::dev_set_attr)
        } else {
            None
        },
    };

    #[inline]
    fn with<'a>(
        info: Info<'a>,
        operations: T,
        registered: impl FnOnce(Registered) -> Result<R> + 'a,
    ) -> impl PinInit<Self, Error> + 'a
    where
        T: 'a,
        R: 'a,
    {
        try_pin_init!(&this in Self {
            id_table: {
                if info.classes.contains(&0) {
                    return Err(EINVAL);
                }
                let mut table = KVec::with_capacity(info.classes.len() + 1, GFP_KERNEL)?;
                for &device in info.classes {
                    let vendor = VENDOR_ANY;
                    table.push_within_capacity(bindings::virtio_device_id { device, vendor })?;
                }
                table.push_within_capacity(bindings::virtio_device_id { device: 0, vendor: 0 })?;
                table
            },
            device: info.device.into(),
            operations,
            // Last: from here on the operations are called.
            mdev <- Opaque::try_ffi_init(|mdev: *mut bindings::vdpa_mgmt_dev| {
                // SAFETY: `mdev` is valid for writes, the other fields are initialised.
                unsafe {
                    let mut raw: bindings::vdpa_mgmt_dev = pin_init::zeroed();
                    raw.device = as_raw(Some(info.device));
                    raw.ops = const { &Self::OPS };
                    raw.id_table = (*this.as_ptr()).id_table.as_mut_ptr();
                    raw.config_attr_mask = info.attributes.0;
                    raw.supported_features = info.features.0;
                    raw.max_supported_vqs = info.max_virtqueues;
                    mdev.write(raw);
                    to_result(bindings::vdpa_mgmtdev_register(mdev))
                }
            }),
            // INVARIANT: It was registered just above, and is unregistered if this fails.
            registered: {
                // SAFETY: It is a field of what is being initialised.
                let mdev = Opaque::cast_into(unsafe { &raw const (*this.as_ptr()).mdev });

                registered(Registered(NonNull::new(mdev).ok_or(EINVAL)?))?
            },
        })
    }

    /// The registration that a C callback is about.
    ///
    /// # Safety
    ///
    /// `mdev` must be the one of a `Registration<T>` that lives for `'a`.
    #[inline]
    unsafe fn from_raw<'a>(mdev: *mut bindings::vdpa_mgmt_dev) -> &'a Self {
        // SAFETY: By the safety requirements of this function; it is the first field.
        unsafe { &*mdev.cast() }
    }

    /// # Safety
    ///
    /// Called by the vDPA core with a registered `mdev`, as are those below.
    unsafe extern "C" fn dev_add(
        mdev: *mut bindings::vdpa_mgmt_dev,
        name: *const c_char,
        config: *const bindings::vdpa_dev_set_config,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements of this function.
            let this = unsafe { Self::from_raw(mdev) };

            // SAFETY: Both are valid for the call; `Config` is a transparent wrapper.
            let (name, config) = unsafe { (CStr::from_char_ptr(name), &*config.cast::<Config>()) };

            let device = this.operations.dev_add(&this.device, name, config)?;
            // SAFETY: This is the operation in question.
            unsafe { device.register_managed(mdev) }?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`dev_add`](Self::dev_add).
    unsafe extern "C" fn dev_del(
        _mdev: *mut bindings::vdpa_mgmt_dev,
        vdev: *mut bindings::vdpa_device,
    ) {
        // SAFETY: By the safety requirements of this function, and because only `dev_add` makes
        // devices for `mdev`.
        unsafe {
            Allocation::<T::Device>::unregister(vdev, |vdev| {
                bindings::_vdpa_unregister_device(vdev)
            });
        }
    }

    /// # Safety
    ///
    /// See [`dev_add`](Self::dev_add).
    unsafe extern "C" fn dev_set_attr(
        mdev: *mut bindings::vdpa_mgmt_dev,
        vdev: *mut bindings::vdpa_device,
        config: *const bindings::vdpa_dev_set_config,
    ) -> c_int {
        from_result(|| {
            // SAFETY: As for `dev_del`; `config` is valid for the call.
            unsafe {
                Self::from_raw(mdev)
                    .operations
                    .dev_set_attr(Allocation::data(vdev), &*config.cast::<Config>())?;
            }
            Ok(0)
        })
    }
}
