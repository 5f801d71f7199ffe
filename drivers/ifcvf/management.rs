// SPDX-License-Identifier: GPL-2.0

//! `vdpa dev add` and `vdpa dev del`.

use crate::{
    hardware::Hardware,
    vf::Vf, //
};
use kernel::{
    device::Device,
    prelude::*,
    sync::Arc, //
};
use vdpa::{
    mgmt,
    parent::Adapter,
    DeviceInfo,
    UnregisteredDevice, //
};

/// The right to be the vDPA device that a function's hardware is. There is one.
pub(crate) struct Claim {
    hardware: Arc<Hardware>,
    /// Of which vDPA device it is, as it were: see [`release`](Self::release).
    number: u64,
}

impl Claim {
    /// # Errors
    ///
    /// `EBUSY` where somebody has it. The user is told.
    fn take(hardware: &Arc<Hardware>) -> Result<Self> {
        let mut owner = hardware.owner.lock();

        if owner.current.is_some() {
            dev_err!(
                hardware.dev,
                "this function is a vDPA device already, and cannot be two\n"
            );
            return Err(EBUSY);
        }
        // There are more numbers than there will ever be devices.
        owner.last = owner.last.wrapping_add(1);
        owner.current = Some(owner.last);
        Ok(Self {
            hardware: hardware.clone(),
            number: owner.last,
        })
    }

    /// Gives it up.
    ///
    /// A vDPA device can be there some time after it was deleted, when there is another one.
    pub(crate) fn release(&self) {
        let mut owner = self.hardware.owner.lock();

        if owner.current == Some(self.number) {
            owner.current = None;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

/// Who has the claim.
#[derive(Default)]
pub(crate) struct Owner {
    current: Option<u64>,
    last: u64,
}

/// What the management device of a function does.
pub(crate) struct Operations(pub(crate) Arc<Hardware>);

#[vtable]
impl mgmt::Operations for Operations {
    type Device = Adapter<Vf>;

    fn dev_add(
        &self,
        mgmt: &Device,
        name: &CStr,
        config: &mgmt::Config,
    ) -> Result<UnregisteredDevice<Adapter<Vf>>> {
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
        hardware.registers.check_present()?;
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
            Adapter::new(&info, |events| {
                Ok(Vf::new(hardware.clone(), offered, events, claim))
            }),
        )
    }

    fn dev_del(&self, device: &Adapter<Vf>) {
        device.parent().claim.release();
    }
}
