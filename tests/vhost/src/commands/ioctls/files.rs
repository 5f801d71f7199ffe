// SPDX-License-Identifier: GPL-2.0

//! Files that are no eventfds.

use std::fs::File;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use checks::report::Report;
use libc::{EBADF, EINVAL};
use vhost_client::sys::Request;
use vhost_client::uapi::*;

use super::fixture::State;
use super::{run_cases, Case};

const REQUESTS: [(&str, Request); 3] = [
    ("SET_VRING_KICK", VHOST_SET_VRING_KICK),
    ("SET_VRING_CALL", VHOST_SET_VRING_CALL),
    ("SET_VRING_ERR", VHOST_SET_VRING_ERR),
];

/// Checks the ioctls that take a file.
pub fn run(path: &str, report: &mut Report) {
    match cases() {
        Ok((cases, _open)) => {
            for state in [State::FeaturesOk, State::Running] {
                run_cases(path, state, &cases, report);
            }
        }
        Err(error) => report.check("ioctls/files", Err(error)),
    }
}

/// The cases, and what must be open meanwhile.
fn cases() -> Result<(Vec<Case>, Vec<File>)> {
    let null = File::open("/dev/null").context("/dev/null")?;
    let own = File::open("/proc/self/exe")?;
    // Descriptors are given out from the lowest on.
    let closed = own.as_raw_fd() + 500;
    let numbers: [(&str, i32, &'static [i32]); 6] = [
        ("closed", closed, &[EBADF]),
        ("minus-2", -2, &[EBADF]),
        ("least", i32::MIN, &[EBADF]),
        ("most", i32::MAX, &[EBADF]),
        ("dev-null", null.as_raw_fd(), &[EINVAL]),
        ("program", own.as_raw_fd(), &[EINVAL]),
    ];
    let mut cases = Vec::new();

    for (name, fd, expected) in numbers {
        for (verb, request) in REQUESTS {
            cases.push(Case::new(
                format!("{verb}/{name}"),
                request,
                vring_file(0, fd),
                expected,
            ));
        }
        cases.push(Case::new(
            format!("SET_CONFIG_CALL/{name}"),
            VHOST_VDPA_SET_CONFIG_CALL,
            fd.to_ne_bytes(),
            expected,
        ));
    }
    Ok((cases, vec![null, own]))
}
