// SPDX-License-Identifier: GPL-2.0

//! Numbers and addresses that are too short, too long, or out of range.

use libc::{EAGAIN, EINVAL, EOPNOTSUPP, ERANGE};

use super::case::{Case, Expect};
use super::subject::{Request, Subject, REQUESTS};
use crate::netlink::NESTED;
use crate::vdpa::schema::{attribute, attribute_type, command};

/// Those that requests may hold, and the error that the policy has for a wrong length.
///
/// An address is not a number to the policy, but bytes whose count has a range.
const NUMBERS: [(&str, u16, &[i32]); 5] = [
    ("address", attribute::DEV_NET_CFG_MACADDR, &[ERANGE]),
    ("pairs", attribute::DEV_NET_CFG_MAX_VQP, &[EINVAL]),
    ("mtu", attribute::DEV_NET_CFG_MTU, &[EINVAL]),
    ("index", attribute::DEV_QUEUE_INDEX, &[EINVAL]),
    ("features", attribute::DEV_FEATURES, &[EINVAL]),
];

/// All cases.
pub fn cases(subject: &Subject) -> Vec<Case> {
    let mut cases = Vec::new();

    for request in REQUESTS {
        for (title, kind, errnos) in NUMBERS {
            cases.extend(lengths(subject, request, title, kind, errnos));
        }
    }
    cases.extend(mtus(subject));
    cases.extend(pairs(subject));
    cases.extend(indexes(subject));
    cases
}

/// Wrong lengths, and a wrong type, whether or not the request needs the number.
fn lengths(
    subject: &Subject,
    request: &Request,
    title: &str,
    kind: u16,
    errnos: &'static [i32],
) -> Vec<Case> {
    let Some(len) = attribute_type(kind).and_then(|(_, kind)| kind.length()) else {
        return Vec::new();
    };
    // A value that is good, as far as it goes.
    let value = |len| [vec![2; 1], vec![0; 2000]].concat()[..len].to_vec();
    let mut wrong = vec![0, 1, len - 1, len + 1, 2 * len, 64, 2000];

    wrong.sort_unstable();
    wrong.dedup();

    let mut cases: Vec<_> = wrong
        .into_iter()
        .map(|wrong| {
            Case::new(
                format!("number/{}/{title}-of-{wrong}-bytes", request.name),
                subject
                    .request_without(request, kind)
                    .attribute(kind, &value(wrong)),
                Expect::Refused(errnos),
            )
        })
        .collect();
    cases.push(Case::new(
        format!("number/{}/{title}-nested", request.name),
        subject
            .request_without(request, kind)
            .attribute(kind | NESTED, &value(len)),
        Expect::Refused(&[EINVAL]),
    ));
    cases
}

/// The virtio specification, 5.1.4: at least 68.
fn mtus(subject: &Subject) -> Vec<Case> {
    let name = subject.free_name();
    let refused = || Expect::Refused(&[ERANGE]);

    [
        (0, refused()),
        (1, refused()),
        (67, refused()),
        (68, Expect::Made(name.clone())),
        (1500, Expect::Made(name.clone())),
        // A device may have a limit of its own.
        (
            u16::MAX,
            Expect::RefusedOrMade(&[ERANGE, EINVAL], name.clone()),
        ),
    ]
    .into_iter()
    .map(|(mtu, expect)| {
        Case::new(
            format!("number/dev-new/mtu-{mtu}"),
            subject
                .new_device(&name)
                .attribute(attribute::DEV_NET_CFG_MTU, &mtu.to_ne_bytes()),
            expect,
        )
    })
    .collect()
}

/// None is refused elsewhere; more than one needs a device that has them.
fn pairs(subject: &Subject) -> Vec<Case> {
    let name = subject.free_name();

    [1, 2, 0x8000, 0x8001, u16::MAX]
        .into_iter()
        .map(|pairs| {
            Case::new(
                format!("number/dev-new/pairs-{pairs}"),
                subject
                    .new_device(&name)
                    .attribute(attribute::DEV_NET_CFG_MAX_VQP, &pairs.to_ne_bytes()),
                Expect::RefusedOrMade(&[EOPNOTSUPP, EINVAL, ERANGE], name.clone()),
            )
        })
        .collect()
}

/// Indexes of virtqueues that are not there, also such that are when cut to 16 bits.
fn indexes(subject: &Subject) -> Vec<Case> {
    let queues = subject.queues;
    let mut cases = Vec::new();

    for index in 0..queues {
        let expect = if subject.negotiated {
            Expect::Answered(subject.device.clone())
        } else {
            Expect::Refused(&[EAGAIN])
        };

        cases.push((index, expect));
    }
    for index in [
        queues,
        queues + 1,
        0x7fff,
        0x8000,
        0x8001,
        0xffff,
        0x1_0000,
        0x1_0001,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX,
    ] {
        // It is out of range, or not valid for this device. Without a driver there may be no
        // statistics at all.
        let expect = if subject.negotiated {
            Expect::Refused(&[ERANGE, EINVAL])
        } else {
            Expect::Refused(&[ERANGE, EINVAL, EAGAIN])
        };

        cases.push((index, expect));
    }

    cases
        .into_iter()
        .map(|(index, expect)| {
            Case::new(
                format!("number/vstats-get/index-{index:#x}"),
                subject
                    .request(command::DEV_VSTATS_GET)
                    .string(attribute::DEV_NAME, &subject.device)
                    .attribute(attribute::DEV_QUEUE_INDEX, &index.to_ne_bytes()),
                expect,
            )
        })
        .collect()
}
