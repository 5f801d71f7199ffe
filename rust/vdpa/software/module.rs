// SPDX-License-Identifier: GPL-2.0

//! Modules that are nothing but the driver of one kind of device in software.

use super::{
    Model,
    Options,
    Software, //
};
use crate::{
    parent::{
        Adapter,
        Events,
        Manageable, //
    },
    DeviceInfo,
    Features,
    UnregisteredDevice, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Declares a module that lets users make devices of one [`Model`]: its `vdpa dev add` takes the
/// module's name as `mgmtdev`, and `device_features`.
///
/// The model begins as its [`Default`]. Models that need more to be made, or have more that can be
/// asked for, have their own [`mgmt::Operations`](crate::mgmt::Operations) with
/// [`create`](super::create).
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
        $crate::module_parent! {
            type: $crate::software::Software<$model>,
            $($f)*
        }
    };
}

impl<M: Model + Default> Manageable for Software<M> {
    const DEVICE_ID: u32 = M::DEVICE_ID;
    const QUEUES: u32 = M::QUEUES;
    const GROUPS: u32 = M::GROUPS;
    const ADDRESS_SPACES: u32 = M::ADDRESS_SPACES;
    const FEATURES: Features = M::FEATURES;

    #[inline]
    fn new(name: &CStr, offered: Features, events: Arc<Events>) -> impl PinInit<Self, Error> {
        Software::new(name, offered, Options::default(), events, M::default())
    }

    #[inline]
    fn allocate(
        info: &DeviceInfo<'_>,
        data: impl PinInit<Adapter<Self>, Error>,
    ) -> Result<UnregisteredDevice<Adapter<Self>>> {
        UnregisteredDevice::in_software(info, Options::default().mapping, data)
    }
}
