// SPDX-License-Identifier: GPL-2.0

//! vDPA devices for user space.
//!
//! Each vDPA device that this driver is bound to becomes a character device, `/dev/vhost-vdpa-N`,
//! with which a virtual machine monitor, or a driver in user space, sets the device up: it is a
//! vhost device whose virtqueues are worked on by the vDPA device.
//!
//! - [`device`] and [`file`]: the character device, and who may use it;
//! - [`session`]: what one process has set up, with its parts [`status`], [`features`], [`config`],
//!   [`vring`], [`line`] and [`call`], [`spaces`] with [`segments`] and [`update`], and
//!   [`doorbell`];
//! - [`ioctl`], [`uapi`], [`message`] and [`mem_table`]: how it is told what to set up.
//!
//! C header: `include/uapi/linux/vhost.h`

#![deny(unsafe_code)]

mod call;
mod config;
mod device;
mod doorbell;
mod features;
mod file;
mod ioctl;
mod line;
mod mem_table;
mod message;
mod segments;
mod session;
mod spaces;
mod status;
mod uapi;
mod update;
mod vring;

use device::VhostVdpa;
use kernel::{
    device::Core,
    driver,
    prelude::*,
    sync::Arc,
    InPlaceModule,
    ModuleMetadata,
    ThisModule, //
};
use vdpa::{
    chardev::{
        self,
        CharDevice,
        Family, //
    },
    driver::{
        Adapter,
        Driver, //
    },
    Device,
    Translation, //
};

vdpa::module_param!(
    vhost_vdpa.max_iotlb_entries: int = 0,
    "Maximum number of mappings of a session (default: 0, no limit for pinned memory, else 65535)"
);

static FAMILY: Family = Family::new(c"vhost-vdpa");

/// What there is of this driver for a device.
struct VhostDriver {
    vhost: Arc<VhostVdpa>,
    _chardev: CharDevice<file::File>,
}

impl Driver for VhostDriver {
    type Data<'bound> = Self;

    fn probe<'bound>(dev: &'bound Device<Core<'_>>) -> impl PinInit<Self, Error> + 'bound {
        // Once the character device is there it may be opened, so nothing must fail after that:
        // this is done when there is a place for the result.
        try_init!(Self {
            vhost: Self::vhost(dev)?,
            // If it fails half-way, somebody may have opened it.
            _chardev: CharDevice::<file::File>::new(&FAMILY, dev.as_ref(), vhost.clone())
                .inspect_err(|_| vhost.remove(dev))?,
        }? Error)
    }

    fn unbind<'bound>(dev: &'bound Device<Core<'_>>, this: Pin<&Self>) {
        this.vhost.remove(dev);
    }
}

impl VhostDriver {
    fn vhost(dev: &Device<Core<'_>>) -> Result<Arc<VhostVdpa>> {
        // The platform knows devices, not groups of virtqueues.
        if dev.translation() == Translation::Platform && (dev.ngroups() > 1 || dev.nas() > 1) {
            dev_err!(
                dev,
                "{} groups, {} address spaces: must be 1 and 1 if it does not translate itself\n",
                dev.ngroups(),
                dev.nas()
            );
            return Err(EOPNOTSUPP);
        }
        VhostVdpa::new(dev)
    }
}

/// The module: first the driver goes, then what its devices need.
#[pin_data]
struct VhostVdpaModule {
    #[pin]
    _driver: driver::Registration<Adapter<VhostDriver>>,
    _family: chardev::Registration,
}

impl InPlaceModule for VhostVdpaModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _family: FAMILY.register()?,
            _driver <- driver::Registration::new(<Self as ModuleMetadata>::NAME, module),
        })
    }
}

module! {
    type: VhostVdpaModule,
    name: "vhost_vdpa",
    authors: ["rust-vdpa developers"],
    description: "vDPA devices for user space",
    license: "GPL v2",
}
