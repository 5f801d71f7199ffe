// SPDX-License-Identifier: GPL-2.0

//! `VDPA_CMD_DEV_ATTR_SET`: changing a device.
//!
//! Only the MAC address of a network device can be changed.

use super::{
    attr,
    dev_name,
    find_with_management,
    id,
    no_such_dev,
    provision::{
        MacAddr,
        Names, //
    }, //
};
use crate::{
    genl::{
        Do,
        Request,
        Shortened, //
    },
    mgmtdev::Managed,
    registry::Operating, //
};
use kernel::prelude::*;
use vdpa::bindings;

/// `vdpa dev set`
pub(super) struct Set;

impl Do for Set {
    fn run(request: &Request<'_>) -> Result {
        let (handle, management) = find_with_management(request)?;
        let name = dev_name(request)?;
        let gone = || no_such_dev(request, name);
        let operating = management.operate()?.ok_or_else(gone)?;
        let inside = handle.enter()?.ok_or_else(gone)?;

        set(request, &operating, inside.managed().ok_or_else(gone)?)
    }
}

fn set(request: &Request<'_>, operating: &Operating<'_>, managed: Managed<'_>) -> Result {
    let (dev, mgmtdev) = (managed.dev(), managed.mgmtdev());

    if dev.device_id() != id::NET {
        return Err(request.refuse_attr(
            attr::DEV_NAME,
            EOPNOTSUPP,
            fmt!(
                "\"{}\" has device id {}; only net (1) can be changed",
                Shortened(dev.name()),
                dev.device_id()
            ),
        ));
    }

    let config = parse(request)?;

    match operating.set_attr(managed, &config) {
        None => Err(request.refuse(
            EOPNOTSUPP,
            fmt!("{} cannot change its devices", Shortened(mgmtdev.name())),
        )),
        Some(result) => result.map_err(|error| {
            request.extack().refuse_unless_explained(
                error,
                fmt!(
                    "{} refused to change \"{}\": error {}",
                    Shortened(mgmtdev.name()),
                    Shortened(dev.name()),
                    error.to_errno()
                ),
            )
        }),
    }
}

/// Reads the attributes of a request. All refusals are `EOPNOTSUPP`, as they have always been.
fn parse(request: &Request<'_>) -> Result<bindings::vdpa_dev_set_config> {
    let attrs = request.attrs();
    let mut config = pin_init::zeroed::<bindings::vdpa_dev_set_config>();

    for (attr, _) in attr::PROVISIONED {
        if attr != attr::DEV_NET_CFG_MACADDR && attrs.has(attr) {
            return Err(request.refuse_attr(
                attr,
                EOPNOTSUPP,
                fmt!("{} cannot be changed, only mac", Names(attr::bit(attr))),
            ));
        }
    }
    let Some(mac) = attrs.bytes(attr::DEV_NET_CFG_MACADDR)? else {
        return Err(request.refuse(EOPNOTSUPP, fmt!("nothing to change: mac can be")));
    };
    let addr = MacAddr(mac);

    if addr.is_multicast() || addr.is_zero() {
        return Err(request.refuse_attr(
            attr::DEV_NET_CFG_MACADDR,
            EOPNOTSUPP,
            fmt!("MAC address {} refused: must be unicast and not zero", addr),
        ));
    }
    config.mask = attr::bit(attr::DEV_NET_CFG_MACADDR);
    config.net.mac = mac;
    Ok(config)
}
