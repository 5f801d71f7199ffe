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
        Management, //
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
            let (bus, name) = handle(request)?;

            match registry::mgmtdevs().find(bus, name) {
                Some(mgmtdev) => fill(msg, mgmtdev),
                None => Err(no_such(request)),
            }
        })
    }
}

impl Dump for Get {
    fn run(request: &mut DumpRequest<'_>) -> Result {
        for (number, mgmtdev) in registry::mgmtdevs().after(request.last()) {
            request.item(number, cmd::MGMTDEV_NEW, |msg| fill(msg, mgmtdev))?;
        }
        Ok(())
    }
}

/// The management device of a request: the name of its bus, where it is on one, and its name.
type Handle<'a> = (Option<&'a CStr>, &'a CStr);

fn handle<'a>(request: &Request<'a>) -> Result<Handle<'a>> {
    let attrs = request.attrs();
    let bus = attrs.c_str(attr::MGMTDEV_BUS_NAME)?;
    let name = attrs.c_str(attr::MGMTDEV_DEV_NAME)?.ok_or_else(|| {
        request.refuse_without(
            attr::MGMTDEV_DEV_NAME,
            fmt!("the name of a management device is missing"),
        )
    })?;

    Ok((bus, name))
}

/// As a user writes it, with a slash after the name of the bus.
struct Shown<'a>(Handle<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bus, name) = self.0;

        if let Some(bus) = bus {
            fmt::Display::fmt(&Shortened(bus), f)?;
            f.write_str("/")?;
        }
        fmt::Display::fmt(&Shortened(name), f)
    }
}

/// Refuses a request for a management device that is not there.
pub(super) fn no_such(request: &Request<'_>) -> Error {
    handle(request).map_or_else(
        |error| error,
        |handle| {
            request.refuse_attr(
                attr::MGMTDEV_DEV_NAME,
                ENODEV,
                fmt!("no management device \"{}\"", Shown(handle)),
            )
        },
    )
}

/// Finds the management device of a request. It may be gone when it is used.
pub(super) fn find(request: &Request<'_>) -> Result<Management> {
    let (bus, name) = handle(request)?;

    registry::find(bus, name).ok_or_else(|| no_such(request))
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
