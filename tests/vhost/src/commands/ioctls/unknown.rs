// SPDX-License-Identifier: GPL-2.0

//! Ioctls that do not exist, or not for these devices.

use anyhow::{Context, Result};
use checks::report::Report;
use libc::{ENOTTY, EPERM};
use vhost_client::device::Device;
use vhost_client::sys::{Argument, Mailbox, Request};
use vhost_client::uapi::*;

use super::fixture::{Fixture, State, STATES};
use super::{expect, snapshot};

/// What other vhost devices have, or a version of the header that is yet to come.
fn named() -> [(&'static str, Request); 17] {
    [
        ("RESET_OWNER", VHOST_RESET_OWNER),
        ("NEW_WORKER", VHOST_NEW_WORKER),
        ("FREE_WORKER", VHOST_FREE_WORKER),
        ("ATTACH_VRING_WORKER", VHOST_ATTACH_VRING_WORKER),
        ("GET_VRING_WORKER", VHOST_GET_VRING_WORKER),
        ("NET_SET_BACKEND", VHOST_NET_SET_BACKEND),
        ("number-0-nothing", Request(0)),
        ("number-all-bits", Request(u32::MAX)),
        ("TCGETS", Request(0x5401)),
        ("TIOCSTI", Request(0x5412)),
        ("BLKGETSIZE", Request(0x1260)),
        (
            "status-as-32-bits",
            Request::from_kernel(VHOST_VIRTIO, 0x71, 4),
        ),
        ("status-no-argument", Request::none(VHOST_VIRTIO, 0x71)),
        (
            "set-status-both-ways",
            Request::both_ways(VHOST_VIRTIO, 0x72, 1),
        ),
        (
            "suspend-with-argument",
            Request::to_kernel(VHOST_VIRTIO, 0x7d, 8),
        ),
        (
            "owner-with-argument",
            Request::to_kernel(VHOST_VIRTIO, 0x01, 8),
        ),
        (
            "vring-num-larger",
            Request::to_kernel(VHOST_VIRTIO, 0x10, 16),
        ),
    ]
}

/// Numbers that no vhost device has, with and without an argument.
fn nameless() -> impl Iterator<Item = Request> {
    [
        0x05, 0x06, 0x0a, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x50, 0x6f, 0x86, 0x90, 0xfe, 0xff,
    ]
    .into_iter()
    .flat_map(|number| {
        [
            Request::none(VHOST_VIRTIO, number),
            Request::to_kernel(VHOST_VIRTIO, number, 8),
            Request::from_kernel(VHOST_VIRTIO, number, 8),
        ]
    })
}

/// Checks that each is unknown in all states, whatever its argument.
pub fn run(path: &str, report: &mut Report) {
    for state in STATES {
        let result = Fixture::new(path, state).map(|mut fixture| {
            let device = fixture.device();
            for (name, request) in named() {
                let result = unknown(device, state, request);

                report.check(format_args!("ioctls/unknown/{state}/{name}"), result);
            }
            let result = nameless().try_for_each(|request| {
                unknown(device, state, request).with_context(|| format!("{request:?}"))
            });
            report.check(format_args!("ioctls/unknown/{state}/other-numbers"), result);
            report.check(
                format_args!("ioctls/unknown/{state}/works-afterwards"),
                fixture.prove(),
            );
        });
        if let Err(error) = result {
            report.check(format_args!("ioctls/unknown/{state}"), Err(error));
        }
    }
}

fn unknown(device: &Device, state: State, request: Request) -> Result<()> {
    // Who has no right to anything need not be told that it does not exist.
    let expected: &[i32] = if state == State::Opened {
        &[ENOTTY, EPERM]
    } else {
        &[ENOTTY]
    };
    let mailbox = Mailbox::new()?;
    let place = mailbox.put(&[0; 64])?;
    let before = snapshot::take(device);

    for argument in [
        Argument::Mail(&mailbox, place),
        Argument::Nowhere(0),
        Argument::Nowhere(u64::MAX),
    ] {
        expect(device.ioctl(request, argument).map(drop), expected)?;
    }
    snapshot::compare(&before, &snapshot::take(device))
}
