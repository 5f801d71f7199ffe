// SPDX-License-Identifier: GPL-2.0

//! The vDPA bus.
//!
//! A vDPA device has the data path of a virtio device and a control path of its own. This module
//! brings its two sides together: the driver of the device, the *parent*, which provides a table of
//! operations (`struct vdpa_config_ops`), and the driver *on* this bus, the *consumer*, which makes
//! something of the device: a virtio device for the kernel, or a character device for userspace.
//! Administrators add, remove and inspect devices with the generic netlink family `vdpa`.
//!
//! Parents and consumers, in C and in Rust, reach it through the functions that `<linux/vdpa.h>`
//! declares.
//!
//! - [`entry`]: the functions of `<linux/vdpa.h>`.
//! - [`bus`]: `struct bus_type`: which driver gets which device.
//! - [`lifecycle`]: how a device is made, comes onto the bus, and goes.
//! - [`device`]: a device on the bus, with or without a driver.
//! - [`config`]: what a device's `cf_lock` protects.
//! - [`mgmtdev`]: management devices, which make vDPA devices at an administrator's request.
//! - [`devices`]: the devices that are registered, in order.
//! - [`numbered`]: what has an order, and stays in it.
//! - [`registry`]: the management devices that are registered, and who waits for whom.
//! - [`netlink`]: the commands of the netlink family, over the general layer of [`genl`].
//!
//! # Locking
//!
//! [`registry`] says which locks there are, and in which order they are taken. The lock of the
//! operations of a management device is outside the driver core's lock of a vDPA device, and that is
//! outside the device's `cf_lock`: a management device registers devices, which probes their
//! drivers, and a driver's probe reads configuration.
//!
//! The driver core's lock of a *parent* device is outside of all these: its driver registers
//! management devices and vDPA devices when it is probed, and unregisters them when it is removed.
//! So what a management device does for a command must not take it.
//!
//! C header: `include/linux/vdpa.h`

use kernel::prelude::*;

mod bus;
mod config;
mod device;
mod devices;
mod entry;
mod genl;
mod ida;
mod lifecycle;
mod mgmtdev;
mod module_static;
mod netlink;
mod numbered;
mod registry;

module! {
    type: Vdpa,
    name: "vdpa",
    authors: ["rust-vdpa developers"],
    description: "vDPA bus",
    license: "GPL",
}

/// What is undone, in this order, when the module is unloaded.
struct Vdpa {
    _family: genl::Registration,
    _bus: bus::Registration,
    _indices: module_static::Initialised<ida::Ida>,
    _devices: module_static::Initialised<devices::Lock>,
    _mgmtdevs: module_static::Initialised<registry::Lock>,
}

impl kernel::Module for Vdpa {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let mgmtdevs = registry::init();
        let devices = devices::init();
        let indices = lifecycle::init();
        let bus = bus::register()?;

        // Last: from here on there may be requests.
        Ok(Vdpa {
            _family: netlink::FAMILY.register()?,
            _bus: bus,
            _indices: indices,
            _devices: devices,
            _mgmtdevs: mgmtdevs,
        })
    }
}
