// SPDX-License-Identifier: GPL-2.0

//! The driver for the PCI bus, `vdpa dev add` and `vdpa dev del`.

use super::{
    device::{
        Claim,
        Device, //
    },
    hardware::Hardware,
    Driver, //
};
use crate::{
    mgmt,
    parent,
    DeviceInfo,
    UnregisteredDevice, //
};
use core::marker::PhantomData;
use kernel::{
    device::{
        self,
        Core, //
    },
    pci,
    prelude::*,
    sync::Arc, //
};

/// The driver for the PCI bus that a [`Driver`] is part of.
pub struct Adapter<D>(PhantomData<D>);

/// What there is of a function that the driver is bound to. Unbinding it removes the vDPA device,
/// and then lets go of the function.
#[pin_data]
pub struct Data<'bound, D: Driver> {
    #[pin]
    mgmt: mgmt::BoundRegistration<Operations<'bound, D>>,
}

impl<D: Driver> pci::Driver for Adapter<D> {
    type IdInfo = ();
    type Data<'bound> = Data<'bound, D>;
    const ID_TABLE: pci::IdTable<Self::IdInfo> = D::IDS;

    #[inline]
    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _id: Option<&'bound ()>,
    ) -> impl PinInit<Data<'bound, D>, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            let hardware = Hardware::<D>::probe(pdev)?;

            Ok(try_pin_init!(Data {
                mgmt <- mgmt::BoundRegistration::with_bound(
                    pdev.as_ref(),
                    mgmt::Info {
                        device: pdev.as_ref(),
                        classes: &[hardware.device_id],
                        attributes: mgmt::Attributes::FEATURES,
                        features: hardware.features,
                        max_virtqueues: u32::try_from(hardware.queues.len())?,
                    },
                    Operations(hardware),
                ),
            }))
        })
    }
}

/// What the management device of a function does.
struct Operations<'bound, D: Driver>(Arc<Hardware<'bound, D>>);

#[vtable]
impl<'bound, D: Driver> mgmt::Operations for Operations<'bound, D> {
    type OwnerModule = D::OwnerModule;

    type Device = parent::Adapter<Device<'bound, D>>;

    fn dev_add(
        &self,
        mgmt: &device::Device,
        name: &CStr,
        config: &mgmt::Config,
    ) -> Result<UnregisteredDevice<Self::Device>> {
        let hardware = &self.0;
        let offered = config.features_of(hardware.features).map_err(|missing| {
            dev_err!(
                mgmt,
                "features {:#x} cannot be offered, only {:#x}\n",
                missing.0,
                hardware.features.0
            );
            EINVAL
        })?;
        hardware.common.check_present()?;
        let claim = Claim::take(hardware)?;

        let info = DeviceInfo {
            name: Some(name),
            parent: Some(mgmt),
            dma_device: Some(mgmt),
            virtqueues: u32::try_from(hardware.queues.len())?,
            groups: 1,
            address_spaces: 1,
        };

        UnregisteredDevice::new(
            &info,
            parent::Adapter::new(&info, |events| Ok(Device::new(claim, offered, events))),
        )
    }
}
