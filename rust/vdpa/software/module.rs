// SPDX-License-Identifier: GPL-2.0

//! Modules that are nothing but the driver of one kind of device in software.

use super::{
    create,
    Device,
    Model,
    Options, //
};
use crate::{
    mgmt,
    RootDevice,
    UnregisteredDevice, //
};
use core::marker::PhantomData;
use kernel::{
    device,
    prelude::*, //
};

/// Declares a module that lets users make devices of one [`Model`]: its `vdpa dev add` takes the
/// module's name as `mgmtdev`, and `device_features`.
///
/// The model begins as its [`Default`]. Models that need more to be made, or have more that can be
/// asked for, have their own [`mgmt::Operations`](crate::mgmt::Operations) with [`create`].
///
/// # Examples
///
/// ```ignore
/// vdpa::module_software_device! {
///     type: MyModel,
///     name: "my_device",
///     authors: ["Author name"],
///     description: "My device",
///     license: "GPL",
/// }
/// ```
#[macro_export]
macro_rules! module_software_device {
    (type: $model:ty, $($f:tt)*) => {
        #[::kernel::prelude::pin_data]
        struct SoftwareModule {
            #[pin]
            _management: $crate::software::Management<$model>,
        }

        impl ::kernel::InPlaceModule for SoftwareModule {
            fn init(
                module: &'static ::kernel::ThisModule,
            ) -> impl ::pin_init::PinInit<Self, ::kernel::error::Error> {
                ::kernel::try_pin_init!(Self {
                    _management <- $crate::software::Management::new(
                        <Self as ::kernel::ModuleMetadata>::NAME,
                        module,
                    ),
                })
            }
        }

        ::kernel::prelude::module! {
            type: SoftwareModule,
            $($f)*
        }
    };
}

/// A management device for one [`Model`], in `/sys/devices`.
#[pin_data]
pub struct Management<M: Model + Default> {
    #[pin]
    registration: mgmt::Registration<Operations<M>>,
    // After what refers to it.
    root: RootDevice,
}

impl<M: Model + Default> Management<M> {
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
                        classes: &[M::DEVICE_ID],
                        attributes: mgmt::Attributes::FEATURES,
                        features: M::FEATURES,
                        max_virtqueues: M::QUEUES,
                    },
                    Operations(PhantomData),
                ),
                root,
            }))
        })
    }
}

struct Operations<M>(PhantomData<fn() -> M>);

#[vtable]
impl<M: Model + Default> mgmt::Operations for Operations<M> {
    type OwnerModule = M::OwnerModule;

    type Device = Device<M>;

    fn dev_add(
        &self,
        _mgmt: &device::Device,
        name: &CStr,
        config: &mgmt::Config,
    ) -> Result<UnregisteredDevice<Self::Device>> {
        create(name, config, Options::default(), M::default())
    }
}
