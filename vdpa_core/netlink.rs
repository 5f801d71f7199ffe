// SPDX-License-Identifier: GPL-2.0

//! The generic netlink family `vdpa`: what the command `vdpa` of iproute2 talks to.
//!
//! - [`mgmtdev`]: management devices.
//! - [`dev`]: devices: adding, deleting, showing.
//! - [`provision`]: the attributes that a new device is given.
//! - [`config`]: a device's configuration.
//! - [`stats`]: a device's statistics.
//! - [`attr_set`]: changing a device.
//!
//! Messages have the attributes, and the order of attributes, of the family's first implementation,
//! `drivers/vdpa/vdpa.c`; parsers depend on both. Refusals have its error numbers, and an
//! explanation, which names what was refused and, where that can be known, what would be accepted.
//! Only what the netlink core refuses, by the policy, has the core's explanation; and a lack of
//! memory or of room in an answer, or a process that is killed while it waits, has none.
//!
//! # Locking
//!
//! Handlers run concurrently. Each waits, killably, for the management device or the device that it
//! is about, and for no other: see [`registry`](crate::registry). It has let go of both before it
//! answers.
//!
//! UAPI header: `include/uapi/linux/vdpa.h`

#![deny(unsafe_code)]

mod attr;
mod attr_set;
mod config;
mod dev;
mod mgmtdev;
mod provision;
mod stats;

use crate::{
    devices::{
        self,
        Handle, //
    },
    genl::{
        DumpRequest,
        Family,
        Message,
        Operation,
        Policies,
        Policy,
        Request,
        Shortened, //
    },
    lifecycle::NAME_MAX,
    mgmtdev::Managed,
    registry::{
        self,
        Management, //
    },
    Vdpa, //
};
use kernel::{
    module::this_module,
    prelude::*, //
};
use vdpa::bindings;

/// The family.
pub(crate) static FAMILY: Family = Family::new(
    c"vdpa",
    bindings::VDPA_GENL_VERSION,
    &POLICIES,
    &OPERATIONS,
    cmd::DEV_VSTATS_GET + 1,
    this_module::<Vdpa>(),
);

static OPERATIONS: [Operation; 7] = [
    Operation::new::<mgmtdev::Get>(cmd::MGMTDEV_GET).with_dump::<mgmtdev::Get>(),
    Operation::new::<dev::New>(cmd::DEV_NEW).admin(),
    Operation::new::<dev::Del>(cmd::DEV_DEL).admin(),
    Operation::new::<dev::Get>(cmd::DEV_GET).with_dump::<dev::Get>(),
    Operation::new::<config::Get>(cmd::DEV_CONFIG_GET).with_dump::<config::Get>(),
    Operation::new::<stats::Get>(cmd::DEV_VSTATS_GET).admin(),
    Operation::new::<attr_set::Set>(cmd::DEV_ATTR_SET).admin(),
];

static POLICIES: Policies<{ attr::MAX as usize + 1 }> = Policies::new()
    .with(attr::MGMTDEV_BUS_NAME, Policy::c_string(NAME_MAX))
    .with(attr::MGMTDEV_DEV_NAME, Policy::c_string(NAME_MAX))
    .with(attr::DEV_NAME, Policy::c_string(NAME_MAX))
    .with(attr::DEV_NET_CFG_MACADDR, Policy::bytes(MAC_LEN))
    .with(attr::DEV_NET_CFG_MAX_VQP, Policy::U16)
    .with(
        attr::DEV_NET_CFG_MTU,
        Policy::u16_checked::<provision::CheckMtu>(),
    )
    .with(attr::DEV_QUEUE_INDEX, Policy::U32)
    .with(attr::DEV_FEATURES, Policy::U64);

/// The length of a MAC address in bytes.
const MAC_LEN: usize = bindings::ETH_ALEN as usize;

/// Virtio device ids (`uapi/linux/virtio_ids.h`) with a configuration that this family knows.
mod id {
    use vdpa::bindings;

    pub(super) const NET: u32 = bindings::VIRTIO_ID_NET;
    pub(super) const BLOCK: u32 = bindings::VIRTIO_ID_BLOCK;
}

/// The commands: `enum vdpa_command`.
mod cmd {
    use vdpa::bindings::*;

    pub(super) const MGMTDEV_NEW: u8 = vdpa_command_VDPA_CMD_MGMTDEV_NEW as u8;
    pub(super) const MGMTDEV_GET: u8 = vdpa_command_VDPA_CMD_MGMTDEV_GET as u8;
    pub(super) const DEV_NEW: u8 = vdpa_command_VDPA_CMD_DEV_NEW as u8;
    pub(super) const DEV_DEL: u8 = vdpa_command_VDPA_CMD_DEV_DEL as u8;
    pub(super) const DEV_GET: u8 = vdpa_command_VDPA_CMD_DEV_GET as u8;
    pub(super) const DEV_CONFIG_GET: u8 = vdpa_command_VDPA_CMD_DEV_CONFIG_GET as u8;
    pub(super) const DEV_VSTATS_GET: u8 = vdpa_command_VDPA_CMD_DEV_VSTATS_GET as u8;
    pub(super) const DEV_ATTR_SET: u8 = vdpa_command_VDPA_CMD_DEV_ATTR_SET as u8;
}

/// The name of a device in a request.
fn dev_name<'a>(request: &Request<'a>) -> Result<&'a CStr> {
    request.attrs().c_str(attr::DEV_NAME)?.ok_or_else(|| {
        request.refuse_without(attr::DEV_NAME, fmt!("the name of a device is missing"))
    })
}

/// Refuses a request for a device that is not there.
fn no_such_dev(request: &Request<'_>, name: &CStr) -> Error {
    request.refuse_attr(
        attr::DEV_NAME,
        ENODEV,
        fmt!("no device \"{}\"", Shortened(name)),
    )
}

/// Refuses a request for a device that has no management device, which it has to have.
fn not_managed(request: &Request<'_>, name: &CStr) -> Error {
    request.refuse_attr(
        attr::DEV_NAME,
        EINVAL,
        fmt!(
            "\"{}\" is its driver's, not made with \"vdpa dev add\"",
            Shortened(name)
        ),
    )
}

/// Has `f` do something with the device of a request, which stays registered meanwhile.
fn with_dev<R>(request: &Request<'_>, f: impl FnOnce(Managed<'_>) -> Result<R>) -> Result<R> {
    let name = dev_name(request)?;
    let handle = devices::find(name).ok_or_else(|| no_such_dev(request, name))?;
    let inside = handle.enter()?.ok_or_else(|| no_such_dev(request, name))?;

    f(inside.managed().ok_or_else(|| not_managed(request, name))?)
}

/// Finds the device of a request, and the management device that has made it. Either may be gone
/// when it is used.
fn find_with_management(request: &Request<'_>) -> Result<(Handle, Management)> {
    let name = dev_name(request)?;
    let handle = devices::find(name).ok_or_else(|| no_such_dev(request, name))?;

    if handle.mgmtdev().is_null() {
        return Err(not_managed(request, name));
    }
    let management = registry::find_of(&handle).ok_or_else(|| no_such_dev(request, name))?;

    Ok((handle, management))
}

/// Dumps the devices that management devices have made.
fn dump_devs(
    request: &mut DumpRequest<'_>,
    cmd: u8,
    fill: impl Fn(&mut Message<'_>, Managed<'_>) -> Result,
) -> Result {
    let mut last = request.last();

    while let Some((number, handle)) = devices::next_managed(last) {
        last = number;
        // One that is gone by now is left out.
        let Some(inside) = handle.enter()? else {
            continue;
        };

        if let Some(managed) = inside.managed() {
            request.item(number, cmd, |msg| fill(msg, managed))?;
        }
    }
    Ok(())
}
