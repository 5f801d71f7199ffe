// SPDX-License-Identifier: GPL-2.0

//! `VDPA_CMD_DEV_NEW`, `VDPA_CMD_DEV_DEL` and `VDPA_CMD_DEV_GET`: adding, deleting and showing
//! devices.

use super::{
    attr,
    cmd,
    dev_name,
    dump_devs,
    find_with_management,
    mgmtdev,
    no_such_dev,
    provision::Provision,
    with_dev, //
};
use crate::{
    devices,
    genl::{
        Do,
        Dump,
        DumpRequest,
        Message,
        Request,
        Shortened, //
    },
    lifecycle,
    mgmtdev::Managed, //
};
use kernel::prelude::*;

/// `vdpa dev add`
pub(super) struct New;

impl Do for New {
    fn run(request: &Request<'_>) -> Result {
        let name = dev_name(request)?;
        let provision = Provision::parse(request)?;

        check_name(request, name)?;

        let management = mgmtdev::find(request)?;
        let operating = (management.operate()?).ok_or_else(|| mgmtdev::no_such(request))?;
        let mgmtdev = operating.mgmtdev();

        provision.check(request, mgmtdev)?;
        // The name may be taken before it is used, which is said with less words then.
        if devices::is_taken(name) {
            return Err(request.refuse_attr(
                attr::DEV_NAME,
                EEXIST,
                fmt!("the name \"{}\" is taken", Shortened(name)),
            ));
        }
        operating
            .add(name, provision.config())
            .map_err(|error| provision.explain(request, mgmtdev, name, error))
    }
}

/// Refuses what would not be the name of the device in sysfs, or could not be.
///
/// Parents that register devices on their own are not held to this: the driver core replaces
/// slashes.
fn check_name(request: &Request<'_>, name: &CStr) -> Result {
    let bytes = name.to_bytes();
    let refuse = |why: &str| {
        Err(request.refuse_attr(
            attr::DEV_NAME,
            EINVAL,
            fmt!("name \"{}\" refused: {}", Shortened(name), why),
        ))
    };

    if !lifecycle::is_name(bytes) {
        return refuse("must not be empty, \".\" or \"..\"");
    }
    if bytes.contains(&b'/') {
        return refuse("must not contain \"/\"");
    }
    if bytes.iter().any(u8::is_ascii_control) {
        return refuse("must be printable");
    }
    Ok(())
}

/// `vdpa dev del`
pub(super) struct Del;

impl Do for Del {
    fn run(request: &Request<'_>) -> Result {
        let (handle, management) = find_with_management(request)?;
        let name = dev_name(request)?;
        let gone = || no_such_dev(request, name);

        if (management.operate()?).ok_or_else(gone)?.delete(&handle) {
            Ok(())
        } else {
            Err(gone())
        }
    }
}

/// `vdpa dev show`
pub(super) struct Get;

impl Do for Get {
    fn run(request: &Request<'_>) -> Result {
        request.reply(cmd::DEV_NEW, |msg| {
            with_dev(request, |managed| fill(msg, managed))
        })
    }
}

impl Dump for Get {
    fn run(request: &mut DumpRequest<'_>) -> Result {
        dump_devs(request, cmd::DEV_NEW, fill)
    }
}

fn fill(msg: &mut Message<'_>, managed: Managed<'_>) -> Result {
    let dev = managed.dev();

    mgmtdev::fill_handle(msg, managed.mgmtdev())?;
    msg.put_c_str(attr::DEV_NAME, dev.name())?;
    msg.put_u32(attr::DEV_ID, dev.device_id())?;
    msg.put_u32(attr::DEV_VENDOR_ID, dev.vendor_id())?;
    msg.put_u32(attr::DEV_MAX_VQS, dev.nvqs())?;
    msg.put_u16(attr::DEV_MAX_VQ_SIZE, dev.vq_num_max())?;
    msg.put_u16(attr::DEV_MIN_VQ_SIZE, dev.vq_num_min())
}
