// SPDX-License-Identifier: GPL-2.0

//! What cannot be done in a state of the device, however well it is asked for.

use checks::report::Report;
use libc::{EBUSY, EINVAL, ENOTTY, EOPNOTSUPP, EPERM};
use vhost_client::session::REQUIRED;
use vhost_client::uapi::*;

use super::fixture::{Facts, State};
use super::{run_cases, Case};

/// Checks all states.
pub fn run(path: &str, facts: &Facts, report: &mut Report) {
    run_cases(path, State::Opened, &without_owner(), report);
    run_cases(path, State::Owned, &owned(facts), report);
    run_cases(path, State::FeaturesOk, &negotiated(), report);
    run_cases(path, State::Running, &running(), report);
    run_cases(path, State::Suspended, &suspended(), report);
}

fn ring(index: u32) -> VringAddr {
    VringAddr {
        index,
        desc: 0x1000,
        avail: 0x2000,
        used: 0x3000,
        ..Default::default()
    }
}

/// What needs an owner, as it is about memory or virtqueues.
fn without_owner() -> Vec<Case> {
    let mut cases: Vec<_> = [
        ("SET_VRING_NUM", VHOST_SET_VRING_NUM, vring_state(0, 16)),
        ("SET_VRING_BASE", VHOST_SET_VRING_BASE, vring_state(0, 1)),
        ("GET_VRING_BASE", VHOST_GET_VRING_BASE, vring_state(0, 0)),
        ("SET_VRING_KICK", VHOST_SET_VRING_KICK, vring_file(0, -1)),
        ("SET_VRING_CALL", VHOST_SET_VRING_CALL, vring_file(0, -1)),
        ("SET_VRING_ERR", VHOST_SET_VRING_ERR, vring_file(0, -1)),
        (
            "SET_VRING_ENABLE",
            VHOST_VDPA_SET_VRING_ENABLE,
            vring_state(0, 1),
        ),
        (
            "GET_VRING_GROUP",
            VHOST_VDPA_GET_VRING_GROUP,
            vring_state(0, 0),
        ),
        (
            "GET_VRING_SIZE",
            VHOST_VDPA_GET_VRING_SIZE,
            vring_state(0, 0),
        ),
        (
            "SET_GROUP_ASID",
            VHOST_VDPA_SET_GROUP_ASID,
            vring_state(0, 0),
        ),
        ("SET_MEM_TABLE", VHOST_SET_MEM_TABLE, [0; 8]),
    ]
    .into_iter()
    .map(|(name, request, bytes)| Case::new(name, request, bytes, &[EPERM]))
    .collect();

    cases.push(Case::new(
        "SET_VRING_ADDR",
        VHOST_SET_VRING_ADDR,
        ring(0).bytes(),
        &[EPERM],
    ));
    cases.extend(no_logging());
    cases
}

/// Devices log no writes.
fn no_logging() -> Vec<Case> {
    vec![
        Case::new("SET_LOG_BASE", VHOST_SET_LOG_BASE, [0; 8], &[ENOTTY]),
        Case::new(
            "SET_LOG_FD",
            VHOST_SET_LOG_FD,
            (-1i32).to_ne_bytes(),
            &[ENOTTY],
        ),
    ]
}

fn features(name: &str, value: u64, expected: &'static [i32]) -> Case {
    Case::new(name, VHOST_SET_FEATURES, value.to_ne_bytes(), expected)
}

fn backend_features(name: &str, value: u64, expected: &'static [i32]) -> Case {
    Case::new(
        format!("SET_BACKEND_FEATURES/{name}"),
        VHOST_SET_BACKEND_FEATURES,
        value.to_ne_bytes(),
        expected,
    )
}

fn status(value: u8) -> Case {
    Case::new(
        format!("SET_STATUS/{value:#04x}-takes-bits-away"),
        VHOST_VDPA_SET_STATUS,
        [value],
        &[EINVAL],
    )
}

fn owned(facts: &Facts) -> Vec<Case> {
    let mut cases = vec![
        Case::new("SET_OWNER/twice", VHOST_SET_OWNER, [], &[EBUSY]),
        Case::new("RESET_OWNER", VHOST_RESET_OWNER, [], &[ENOTTY]),
        features("SET_FEATURES/none", 0, &[EINVAL]),
        features(
            "SET_FEATURES/without-access-platform",
            REQUIRED & !(1 << virtio_bindings::virtio_config::VIRTIO_F_ACCESS_PLATFORM),
            &[EINVAL],
        ),
        Case::new(
            "SET_MEM_TABLE/padding",
            VHOST_SET_MEM_TABLE,
            vring_state(0, 1),
            &[EOPNOTSUPP, EINVAL],
        ),
    ];

    for (name, bit) in [
        ("bit-0", 1),
        ("bit-9", 1 << 9),
        ("bit-31", 1 << 31),
        ("bit-63", 1 << 63),
        ("all", u64::MAX),
    ] {
        cases.push(backend_features(name, bit, &[EOPNOTSUPP]));
        cases.push(backend_features(
            &format!("{name}-and-good-ones"),
            bit | backend::IOTLB_MSG_V2,
            &[EOPNOTSUPP],
        ));
    }
    // What is not offered cannot be had.
    for bit in (0..64).map(|shift| 1 << shift) {
        if backend::ALL & !facts.backend & bit != 0 {
            let asid = backend::IOTLB_ASID;
            cases.push(backend_features(
                &format!("{bit:#x}-not-offered"),
                bit | asid,
                &[EOPNOTSUPP],
            ));
        }
    }
    cases.push(backend_features(
        "DESC_ASID-without-ASID",
        backend::DESC_ASID,
        &[EINVAL],
    ));
    cases.extend(no_logging());
    cases
}

fn negotiated() -> Vec<Case> {
    vec![
        features("SET_FEATURES/again", REQUIRED, &[EBUSY]),
        features("SET_FEATURES/others", u64::MAX, &[EBUSY]),
        features("SET_FEATURES/none", 0, &[EBUSY]),
        status(status::ACKNOWLEDGE),
        status(status::DRIVER),
        status(status::ACKNOWLEDGE | status::DRIVER),
        status(status::FEATURES_OK),
        status(status::FEATURES_OK | status::DRIVER),
        status(status::DRIVER_OK),
    ]
}

fn running() -> Vec<Case> {
    let all = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK;
    let mut cases = vec![
        Case::new("SET_OWNER/twice", VHOST_SET_OWNER, [], &[EBUSY]),
        features("SET_FEATURES/again", REQUIRED, &[EBUSY]),
        Case::new(
            "SET_VRING_ADDR",
            VHOST_SET_VRING_ADDR,
            ring(0).bytes(),
            &[EINVAL],
        ),
        Case::new(
            "SET_VRING_BASE",
            VHOST_SET_VRING_BASE,
            vring_state(0, 77),
            &[EINVAL],
        ),
        Case::new(
            "SET_GROUP_ASID",
            VHOST_VDPA_SET_GROUP_ASID,
            vring_state(0, 0),
            &[EBUSY],
        ),
    ];

    for bit in [
        status::ACKNOWLEDGE,
        status::DRIVER,
        status::FEATURES_OK,
        status::DRIVER_OK,
    ] {
        cases.push(status(all & !bit));
        cases.push(status(bit));
    }
    cases.extend(no_logging());
    cases
}

/// A suspended device is ready still, so its features are what they are; addresses may change.
fn suspended() -> Vec<Case> {
    vec![
        features("SET_FEATURES/again", REQUIRED, &[EBUSY]),
        status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK),
        Case::new(
            "SET_GROUP_ASID",
            VHOST_VDPA_SET_GROUP_ASID,
            vring_state(0, 0),
            &[EBUSY],
        ),
    ]
}
