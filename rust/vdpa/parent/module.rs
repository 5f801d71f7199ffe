// SPDX-License-Identifier: GPL-2.0

//! Modules that are nothing but the driver of one kind of device.

use super::{
    Adapter,
    Events,
    Parent, //
};
use crate::{
    mgmt,
    DeviceInfo,
    Features,
    RootDevice,
    UnregisteredDevice, //
};
use core::marker::PhantomData;
use kernel::{
    device,
    prelude::*,
    sync::Arc, //
};

/// A [`Parent`] of which users make devices, with `vdpa dev add`.
pub trait Manageable: Parent + 'static {
    /// The virtio device id (`uapi/linux/virtio_ids.h`), not 0.
    const DEVICE_ID: u32;
    /// The number of virtqueues.
    const QUEUES: u32;
    /// The number of virtqueue groups.
    const GROUPS: u32 = 1;
    /// The number of address spaces.
    const ADDRESS_SPACES: u32 = 1;
    /// All features that a device can offer.
    const FEATURES: Features;

    /// Makes the data of a device, which [offers](Parent::features) `offered`, and keeps `events` to
    /// tell its driver what happens.
    ///
    /// # Context
    ///
    /// A process; may sleep.
    fn new(name: &CStr, offered: Features, events: Arc<Events>) -> impl PinInit<Self, Error>;

    /// Makes the device, with the constructor of [`UnregisteredDevice`] that says how it reaches
    /// memory.
    ///
    /// # Errors
    ///
    /// Those of the constructor.
    fn allocate(
        info: &DeviceInfo<'_>,
        data: impl PinInit<Adapter<Self>, Error>,
    ) -> Result<UnregisteredDevice<Adapter<Self>>>;
}

/// Makes a device for `vdpa dev add`, in `/sys/devices`.
///
/// # Errors
///
/// `EINVAL` where the user wants features that the parent does not have; those of
/// [`new`](Manageable::new) and [`allocate`](Manageable::allocate); `ENOMEM`.
#[inline]
pub fn create<P: Manageable>(
    name: &CStr,
    config: &mgmt::Config,
) -> Result<UnregisteredDevice<Adapter<P>>> {
    let offered = config.features_of(P::FEATURES).map_err(|_| EINVAL)?;
    let info = DeviceInfo {
        name: Some(name),
        // In `/sys/devices`, where programs look for devices that are no hardware.
        parent: None,
        dma_device: None,
        virtqueues: P::QUEUES,
        groups: P::GROUPS,
        address_spaces: P::ADDRESS_SPACES,
    };

    P::allocate(
        &info,
        Adapter::new(&info, |events| P::new(name, offered, events)),
    )
}

/// Declares a module that lets users make devices of one [`Manageable`] parent: its `vdpa dev add`
/// takes the module's name as `mgmtdev`, and `device_features`.
///
/// It is for devices that are no hardware. A driver for hardware has a management device for each
/// device of the bus that it is bound to.
///
/// # Examples
///
/// ```ignore
/// vdpa::module_parent! {
///     type: MyParent,
///     name: "my_device",
///     authors: ["Author name"],
///     description: "My device",
///     license: "GPL",
/// }
/// ```
#[macro_export]
macro_rules! module_parent {
    (type: $parent:ty, $($f:tt)*) => {
        #[::kernel::prelude::pin_data]
        struct ParentModule {
            #[pin]
            _management: $crate::parent::Management<$parent>,
        }

        impl ::kernel::InPlaceModule for ParentModule {
            fn init(
                module: &'static ::kernel::ThisModule,
            ) -> impl ::pin_init::PinInit<Self, ::kernel::error::Error> {
                ::kernel::try_pin_init!(Self {
                    _management <- $crate::parent::Management::new(
                        <Self as ::kernel::ModuleMetadata>::NAME,
                        module,
                    ),
                })
            }
        }

        ::kernel::prelude::module! {
            type: ParentModule,
            $($f)*
        }
    };
}

/// A management device for one [`Manageable`] parent, in `/sys/devices`.
#[pin_data]
pub struct Management<P: Manageable> {
    #[pin]
    registration: mgmt::Registration<Operations<P>>,
    // After what refers to it.
    root: RootDevice,
}

impl<P: Manageable> Management<P> {
    /// Registers the management device.
    ///
    /// # Errors
    ///
    /// `EEXIST` where the name is taken, `ENOMEM`.
    #[inline]
    pub fn new(name: &'static CStr, module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let root = RootDevice::new(name, module)?;

            Ok(try_pin_init!(Self {
                registration <- mgmt::Registration::new(
                    mgmt::Info {
                        device: root.as_ref(),
                        classes: &[P::DEVICE_ID],
                        attributes: mgmt::Attributes::FEATURES,
                        features: P::FEATURES,
                        max_virtqueues: P::QUEUES,
                    },
                    Operations(PhantomData),
                ),
                root,
            }))
        })
    }
}

struct Operations<P>(PhantomData<fn() -> P>);

#[vtable]
impl<P: Manageable> mgmt::Operations for Operations<P> {
    type OwnerModule = P::OwnerModule;

    type Device = Adapter<P>;

    fn dev_add(
        &self,
        _mgmt: &device::Device,
        name: &CStr,
        config: &mgmt::Config,
    ) -> Result<UnregisteredDevice<Self::Device>> {
        create::<P>(name, config)
    }
}
