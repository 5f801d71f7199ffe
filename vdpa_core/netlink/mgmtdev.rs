// SPDX-License-Identifier: GPL-2.0

//! `VDPA_CMD_MGMTDEV_GET`: management devices.

use super::{
    attr,
    cmd, //
};
use crate::{
    genl::{
        Do,
        Dump,
        DumpRequest,
        Message,
        Request,
        Shortened, //
    },
    mgmtdev::MgmtDev,
    registry::{
        self,
        Registry, //
    }, //
};
use kernel::{
    fmt,
    prelude::*, //
};

/// `vdpa mgmtdev show`
pub(super) struct Get;

impl Do for Get {
    fn run(request: &Request<'_>) -> Result {
        request.reply(cmd::MGMTDEV_NEW, |msg| {
            let registry = registry::read()?;

            fill(msg, find(request, &registry)?)
        })
    }
}

impl Dump for Get {
    fn run(request: &mut DumpRequest<'_>) -> Result {
        let registry = registry::read()?;

        for (number, mgmtdev) in registry.mgmtdevs_after(request.last()) {
            request.item(number, cmd::MGMTDEV_NEW, |msg| fill(msg, mgmtdev))?;
        }
        Ok(())
    }
}

/// The management device of a request, as a user writes it: the name of its bus, where it is on
/// one, a slash, and its name.
struct Handle<'a> {
    bus: Option<&'a CStr>,
    dev: &'a CStr,
}

impl fmt::Display for Handle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bus) = self.bus {
            fmt::Display::fmt(&Shortened(bus), f)?;
            f.write_str("/")?;
        }
        fmt::Display::fmt(&Shortened(self.dev), f)
    }
}

/// Finds the management device of a request.
pub(super) fn find<'a>(request: &Request<'_>, registry: &'a Registry) -> Result<&'a MgmtDev> {
    let attrs = request.attrs();
    let bus = attrs.c_str(attr::MGMTDEV_BUS_NAME)?;
    let Some(dev) = attrs.c_str(attr::MGMTDEV_DEV_NAME)? else {
        return Err(request.refuse_without(
            attr::MGMTDEV_DEV_NAME,
            fmt!("the name of a management device is missing"),
        ));
    };

    registry.find_mgmtdev(bus, dev).ok_or_else(|| {
        request.refuse_attr(
            attr::MGMTDEV_DEV_NAME,
            ENODEV,
            fmt!("no management device \"{}\"", Handle { bus, dev }),
        )
    })
}

/// Adds the names of a management device.
pub(super) fn fill_handle(msg: &mut Message<'_>, mgmtdev: &MgmtDev) -> Result {
    if let Some(bus) = mgmtdev.bus_name() {
        msg.put_c_str(attr::MGMTDEV_BUS_NAME, bus)?;
    }
    msg.put_c_str(attr::MGMTDEV_DEV_NAME, mgmtdev.name())
}

fn fill(msg: &mut Message<'_>, mgmtdev: &MgmtDev) -> Result {
    let classes = mgmtdev.classes().mask;
    let features = mgmtdev.supported_features().0;

    fill_handle(msg, mgmtdev)?;
    msg.put_u64(attr::MGMTDEV_SUPPORTED_CLASSES, classes, attr::PAD)?;
    msg.put_u32(attr::DEV_MGMTDEV_MAX_VQS, mgmtdev.max_supported_vqs())?;
    msg.put_u64(attr::DEV_SUPPORTED_FEATURES, features, attr::PAD)
}
