// SPDX-License-Identifier: GPL-2.0

//! Arguments that cannot be read or written.

use anyhow::{Context, Result};
use checks::report::Report;
use libc::{EFAULT, EOPNOTSUPP};
use vhost_client::device::Device;
use vhost_client::sys::{Argument, Mailbox, Request};
use vhost_client::uapi::*;

use super::fixture::{Fixture, State};
use super::{expect, snapshot};

/// Which way an argument goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the kernel.
    In,
    /// From the kernel, and maybe to it before.
    Out,
}

/// What has an argument.
const REQUESTS: [(&str, Request, Way); 29] = [
    ("GET_FEATURES", VHOST_GET_FEATURES, Way::Out),
    ("SET_FEATURES", VHOST_SET_FEATURES, Way::In),
    ("SET_MEM_TABLE", VHOST_SET_MEM_TABLE, Way::In),
    ("SET_VRING_NUM", VHOST_SET_VRING_NUM, Way::In),
    ("SET_VRING_ADDR", VHOST_SET_VRING_ADDR, Way::In),
    ("SET_VRING_BASE", VHOST_SET_VRING_BASE, Way::In),
    ("GET_VRING_BASE", VHOST_GET_VRING_BASE, Way::Out),
    ("SET_VRING_KICK", VHOST_SET_VRING_KICK, Way::In),
    ("SET_VRING_CALL", VHOST_SET_VRING_CALL, Way::In),
    ("SET_VRING_ERR", VHOST_SET_VRING_ERR, Way::In),
    ("SET_BACKEND_FEATURES", VHOST_SET_BACKEND_FEATURES, Way::In),
    ("GET_BACKEND_FEATURES", VHOST_GET_BACKEND_FEATURES, Way::Out),
    ("GET_DEVICE_ID", VHOST_VDPA_GET_DEVICE_ID, Way::Out),
    ("GET_STATUS", VHOST_VDPA_GET_STATUS, Way::Out),
    ("SET_STATUS", VHOST_VDPA_SET_STATUS, Way::In),
    ("GET_CONFIG", VHOST_VDPA_GET_CONFIG, Way::Out),
    ("SET_CONFIG", VHOST_VDPA_SET_CONFIG, Way::In),
    ("SET_VRING_ENABLE", VHOST_VDPA_SET_VRING_ENABLE, Way::In),
    ("GET_VRING_NUM", VHOST_VDPA_GET_VRING_NUM, Way::Out),
    ("SET_CONFIG_CALL", VHOST_VDPA_SET_CONFIG_CALL, Way::In),
    ("GET_IOVA_RANGE", VHOST_VDPA_GET_IOVA_RANGE, Way::Out),
    ("GET_CONFIG_SIZE", VHOST_VDPA_GET_CONFIG_SIZE, Way::Out),
    ("GET_AS_NUM", VHOST_VDPA_GET_AS_NUM, Way::Out),
    ("GET_VRING_GROUP", VHOST_VDPA_GET_VRING_GROUP, Way::Out),
    ("SET_GROUP_ASID", VHOST_VDPA_SET_GROUP_ASID, Way::In),
    (
        "GET_VRING_DESC_GROUP",
        VHOST_VDPA_GET_VRING_DESC_GROUP,
        Way::Out,
    ),
    ("GET_VQS_COUNT", VHOST_VDPA_GET_VQS_COUNT, Way::Out),
    ("GET_GROUP_NUM", VHOST_VDPA_GET_GROUP_NUM, Way::Out),
    ("GET_VRING_SIZE", VHOST_VDPA_GET_VRING_SIZE, Way::Out),
];

/// Not all devices know these, and then the argument is not looked at.
const OPTIONAL: [Request; 2] = [VHOST_VDPA_GET_VRING_DESC_GROUP, VHOST_VDPA_GET_VRING_SIZE];

/// Checks each, for each thing that may be wrong with an address.
pub fn run(path: &str, report: &mut Report) {
    let fixture = match Fixture::new(path, State::Owned) {
        Ok(fixture) => fixture,
        Err(error) => return report.check("ioctls/pointers", Err(error)),
    };

    for (name, request, way) in REQUESTS {
        for (wrong, result) in try_all(fixture.device(), request, way) {
            report.check(format_args!("ioctls/pointer/{name}/{wrong}"), result);
        }
    }
}

/// An argument that would be right, of the size that it has.
fn good_argument(request: Request) -> Vec<u8> {
    let mut bytes = vec![0; request.size()];

    if request == VHOST_VDPA_GET_CONFIG || request == VHOST_VDPA_SET_CONFIG {
        bytes = vring_state(0, 6).to_vec();
        bytes.extend([0; 6]);
    }
    bytes
}

fn try_all(device: &Device, request: Request, way: Way) -> Vec<(&'static str, Result<()>)> {
    let mut results: Vec<_> = [
        ("null", 0),
        ("first-page", 8),
        ("upper-half", 1 << 63),
        ("kernel", 0xffff_8880_0000_1000),
        ("last-byte", u64::MAX),
    ]
    .into_iter()
    .map(|(name, address)| (name, try_one(device, request, Argument::Nowhere(address))))
    .collect();

    results.push((
        "no-access",
        in_mailbox(device, request, |_, mail| Ok(mail.inaccessible())),
    ));
    results.push((
        "cut-short",
        in_mailbox(device, request, |bytes, mail| {
            mail.put(&bytes[..bytes.len() - 1])
        }),
    ));
    if way == Way::Out {
        results.push((
            "read-only",
            in_mailbox(device, request, |bytes, mail| mail.put_read_only(bytes)),
        ));
    }
    results
}

fn in_mailbox(
    device: &Device,
    request: Request,
    put: impl FnOnce(&[u8], &Mailbox) -> Result<vhost_client::sys::Place>,
) -> Result<()> {
    let mailbox = Mailbox::new()?;
    let place = put(&good_argument(request), &mailbox)?;

    try_one(device, request, Argument::Mail(&mailbox, place))
}

fn try_one(device: &Device, request: Request, argument: Argument<'_>) -> Result<()> {
    let before = snapshot::take(device);
    let expected: &[i32] = if OPTIONAL.contains(&request) {
        &[EFAULT, EOPNOTSUPP]
    } else {
        &[EFAULT]
    };

    expect(device.ioctl(request, argument).map(drop), expected)?;
    snapshot::compare(&before, &snapshot::take(device)).context("afterwards")
}
