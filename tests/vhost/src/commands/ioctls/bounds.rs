// SPDX-License-Identifier: GPL-2.0

//! Numbers that are out of range.

use checks::report::Report;
use libc::{EINVAL, ENOBUFS, EOPNOTSUPP};
use vhost_client::sys::Request;
use vhost_client::uapi::*;

use super::fixture::{Facts, State};
use super::{run_cases, Case};

/// Checks all, in states where nothing but the number is wrong.
pub fn run(path: &str, facts: &Facts, report: &mut Report) {
    let mut cases = indexes(facts);
    cases.extend(sizes(facts));
    cases.extend(addresses());
    cases.extend(groups(facts));
    cases.push(Case::new(
        "SET_VRING_BASE/more-than-16-bits",
        VHOST_SET_VRING_BASE,
        vring_state(0, 0x1_0000),
        &[EINVAL],
    ));
    cases.push(Case::new(
        "SET_VRING_BASE/largest",
        VHOST_SET_VRING_BASE,
        vring_state(0, u32::MAX),
        &[EINVAL],
    ));
    run_cases(path, State::FeaturesOk, &cases, report);

    for state in [State::Opened, State::Running] {
        run_cases(path, state, &config(facts), report);
    }
    // A queue that works cannot be mistaken for one that is not there.
    run_cases(path, State::Running, &indexes(facts), report);
}

/// Virtqueues that do not exist.
fn indexes(facts: &Facts) -> Vec<Case> {
    let requests: [(&str, Request); 9] = [
        ("SET_VRING_NUM", VHOST_SET_VRING_NUM),
        ("SET_VRING_BASE", VHOST_SET_VRING_BASE),
        ("GET_VRING_BASE", VHOST_GET_VRING_BASE),
        ("SET_VRING_KICK", VHOST_SET_VRING_KICK),
        ("SET_VRING_CALL", VHOST_SET_VRING_CALL),
        ("SET_VRING_ERR", VHOST_SET_VRING_ERR),
        ("SET_VRING_ENABLE", VHOST_VDPA_SET_VRING_ENABLE),
        ("GET_VRING_GROUP", VHOST_VDPA_GET_VRING_GROUP),
        ("GET_VRING_SIZE", VHOST_VDPA_GET_VRING_SIZE),
    ];
    let indexes = [facts.queues, facts.queues + 1, 0x1_0000, 1 << 31, u32::MAX];
    let mut cases = Vec::new();

    for index in indexes {
        for (name, request) in requests {
            cases.push(Case::new(
                format!("{name}/virtqueue-{index}"),
                request,
                vring_state(index, 1),
                &[ENOBUFS],
            ));
        }
        let ring = VringAddr {
            index,
            ..Default::default()
        };
        cases.push(Case::new(
            format!("SET_VRING_ADDR/virtqueue-{index}"),
            VHOST_SET_VRING_ADDR,
            ring.bytes(),
            &[ENOBUFS],
        ));
        // Not known to all devices.
        cases.push(Case::new(
            format!("GET_VRING_DESC_GROUP/virtqueue-{index}"),
            VHOST_VDPA_GET_VRING_DESC_GROUP,
            vring_state(index, 0),
            &[ENOBUFS, EOPNOTSUPP],
        ));
    }
    cases
}

/// Rings of sizes that cannot be.
fn sizes(facts: &Facts) -> Vec<Case> {
    let largest = facts.largest;

    [
        0,
        3,
        largest - 1,
        largest + 1,
        2 * largest,
        0x8000 * 2,
        0x1_0000 + largest,
        1 << 31,
        u32::MAX,
    ]
    .into_iter()
    .map(|num| {
        Case::new(
            format!("SET_VRING_NUM/{num}-descriptors"),
            VHOST_SET_VRING_NUM,
            vring_state(0, num),
            &[EINVAL],
        )
    })
    .collect()
}

/// Rings where they cannot be: virtio 1.3, section 2.7, table of alignments.
fn addresses() -> Vec<Case> {
    let good = VringAddr {
        desc: 0x1000,
        avail: 0x2000,
        used: 0x3000,
        ..Default::default()
    };
    let cases: [(&str, VringAddr, &'static [i32]); 7] = [
        (
            "avail-unaligned",
            VringAddr {
                avail: 0x2001,
                ..good
            },
            &[EINVAL],
        ),
        (
            "used-unaligned-by-1",
            VringAddr {
                used: 0x3001,
                ..good
            },
            &[EINVAL],
        ),
        (
            "used-unaligned-by-2",
            VringAddr {
                used: 0x3002,
                ..good
            },
            &[EINVAL],
        ),
        ("log-unaligned", VringAddr { log: 2, ..good }, &[EINVAL]),
        (
            "unknown-flag",
            VringAddr { flags: 2, ..good },
            &[EOPNOTSUPP],
        ),
        (
            "last-flag",
            VringAddr {
                flags: 1 << 31,
                ..good
            },
            &[EOPNOTSUPP],
        ),
        (
            "all-flags",
            VringAddr {
                flags: u32::MAX,
                ..good
            },
            &[EOPNOTSUPP],
        ),
    ];

    cases
        .into_iter()
        .map(|(name, ring, expected)| {
            Case::new(
                format!("SET_VRING_ADDR/{name}"),
                VHOST_SET_VRING_ADDR,
                ring.bytes(),
                expected,
            )
        })
        .collect()
}

/// Groups and address spaces that do not exist.
fn groups(facts: &Facts) -> Vec<Case> {
    let mut cases = Vec::new();

    for asid in [facts.spaces, facts.spaces + 1, 0xffff, u32::MAX] {
        for group in 0..facts.groups {
            cases.push(Case::new(
                format!("SET_GROUP_ASID/group-{group}-space-{asid}"),
                VHOST_VDPA_SET_GROUP_ASID,
                vring_state(group, asid),
                &[EINVAL],
            ));
        }
    }
    for group in [facts.groups, facts.groups + 1, 0xffff, u32::MAX] {
        // A group is not a virtqueue, but was taken for one.
        let expected: &[i32] = if group < facts.queues {
            &[EINVAL]
        } else {
            &[EINVAL, ENOBUFS]
        };
        cases.push(Case::new(
            format!("SET_GROUP_ASID/group-{group}"),
            VHOST_VDPA_SET_GROUP_ASID,
            vring_state(group, 0),
            expected,
        ));
    }
    cases
}

/// Parts of the configuration space that do not exist.
fn config(facts: &Facts) -> Vec<Case> {
    let size = facts.config;
    let mut cases = Vec::new();

    for (name, offset, len) in [
        ("no-bytes", 0, 0),
        ("no-bytes-at-the-end", size, 0),
        ("at-the-end", size, 1),
        ("one-too-many", 0, size + 1),
        ("one-too-many-later", size - 1, 2),
        ("behind", size + 1, 1),
        ("far-behind", u32::MAX, 1),
        ("wraps", u32::MAX, 2),
        ("wraps-to-the-start", 4, u32::MAX - 3),
        ("largest-both", u32::MAX, u32::MAX),
        ("largest-length", 0, u32::MAX),
        ("2-GiB", 0, 1 << 31),
    ] {
        for (verb, request) in [
            ("GET_CONFIG", VHOST_VDPA_GET_CONFIG),
            ("SET_CONFIG", VHOST_VDPA_SET_CONFIG),
        ] {
            let mut bytes = vring_state(offset, len).to_vec();

            // There is something to be read if a length was believed.
            bytes.resize(CONFIG_HEADER_SIZE + 512, 0x5a);
            cases.push(Case::new(
                format!("{verb}/{name}"),
                request,
                bytes,
                &[EINVAL],
            ));
        }
    }
    cases
}
