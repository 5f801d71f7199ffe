// SPDX-License-Identifier: GPL-2.0

//! Messages whose frame is wrong: headers, lengths, types and commands.

use anyhow::{ensure, Result};
use libc::{EINVAL, ENODEV, EOPNOTSUPP};

use super::case::{judge, Case, Expect};
use super::checker::Checker;
use super::subject::{unknown_name, Request, Subject, REQUESTS};
use crate::netlink::{
    ATTRIBUTE_HEADER, DUMP, GENERIC_HEADER, MESSAGE_HEADER, MULTI, NET_BYTEORDER, REQUEST,
};
use crate::report::Report;
use crate::vdpa::schema::{attribute, command};

/// All cases.
pub fn cases(subject: &Subject) -> Vec<Case> {
    let mut cases: Vec<_> = REQUESTS
        .iter()
        .flat_map(|request| [headers(subject, request), attributes(subject, request)].concat())
        .collect();

    cases.extend(commands(subject));
    cases.extend(loose(subject));
    cases.extend(strict(subject));
    cases.extend(repeated(subject));
    cases
}

/// Headers that are cut, or claim what is not there.
fn headers(subject: &Subject, request: &Request) -> Vec<Case> {
    let name = |what: &str| format!("header/{}/{what}", request.name);
    let good = || subject.good(request);
    let mut cases = Vec::new();

    // Nothing to answer to: there is no sequence number, or the claim is impossible.
    for len in [1, 4, 15] {
        cases.push(Case::new(
            name(&format!("cut-to-{len}")),
            good().cut(len),
            Expect::Silence,
        ));
    }
    for claim in [0, 1, 15, 0x1_0000, u32::MAX] {
        cases.push(Case::new(
            name(&format!("claims-{claim}")),
            good().claiming(claim),
            Expect::Silence,
        ));
    }
    // Netlink's header is whole, but not that of generic netlink.
    for len in MESSAGE_HEADER..MESSAGE_HEADER + GENERIC_HEADER {
        cases.push(Case::new(
            name(&format!("cut-to-{len}")),
            good().cut(len),
            Expect::RefusedEarly(&[EINVAL]),
        ));
    }
    cases
}

/// Attributes that claim too little or too much, are not whole, or that nobody asks for.
fn attributes(subject: &Subject, request: &Request) -> Vec<Case> {
    let name = |what: &str| format!("attribute/{}/{what}", request.name);
    let text = [subject.device.as_bytes(), &[0]].concat();
    let refused = || Expect::Refused(&[EINVAL]);
    let mut cases = Vec::new();

    for claim in [0, 1, ATTRIBUTE_HEADER as u16 - 1, 200, u16::MAX] {
        cases.push(Case::new(
            name(&format!("claims-{claim}")),
            subject
                .request_without(request, attribute::DEV_NAME)
                .attribute_claiming(attribute::DEV_NAME, claim, &text),
            refused(),
        ));
    }
    for len in 1..ATTRIBUTE_HEADER {
        cases.push(Case::new(
            name(&format!("{len}-bytes-too-many")),
            subject.good(request).raw(&vec![1; len]),
            refused(),
        ));
    }

    // Numbers that no attribute has, and those of answers.
    for (title, kind) in [
        ("padding", attribute::PAD),
        ("unknown-100", 100),
        ("unknown-0x3fff", 0x3fff),
        ("of-answer-classes", attribute::MGMTDEV_SUPPORTED_CLASSES),
        ("of-answer-id", attribute::DEV_ID),
        ("of-answer-vendor", attribute::DEV_VENDOR_ID),
        ("of-answer-queues", attribute::DEV_MAX_VQS),
        ("of-answer-status", attribute::DEV_NET_STATUS),
        ("of-answer-negotiated", attribute::DEV_NEGOTIATED_FEATURES),
        ("of-answer-supported", attribute::DEV_SUPPORTED_FEATURES),
        ("of-answer-vendor-name", attribute::DEV_VENDOR_ATTR_NAME),
        ("of-answer-vendor-value", attribute::DEV_VENDOR_ATTR_VALUE),
    ] {
        cases.push(Case::new(
            name(title),
            subject.good(request).attribute(kind, &[0; 8]),
            refused(),
        ));
    }
    cases
}

/// Commands that there are not, or not for all.
fn commands(subject: &Subject) -> Vec<Case> {
    let mut cases = Vec::new();

    for number in [0, command::MGMTDEV_NEW, 100, u8::MAX] {
        for (title, flags) in [("do", 0), ("dump", DUMP)] {
            cases.push(Case::new(
                format!("command/{number}-{title}"),
                subject
                    .request(number)
                    .with_flags(flags)
                    .string(attribute::DEV_NAME, &subject.device),
                Expect::RefusedEarly(&[EOPNOTSUPP]),
            ));
        }
    }
    for request in REQUESTS {
        if matches!(
            request.command,
            command::DEV_NEW | command::DEV_DEL | command::DEV_VSTATS_GET | command::DEV_ATTR_SET
        ) {
            cases.push(Case::new(
                format!("command/{}-of-all", request.name),
                subject.good(request).with_flags(DUMP),
                Expect::RefusedEarly(&[EOPNOTSUPP]),
            ));
        }
    }
    cases
}

/// What netlink has always let pass, and so must for ever.
fn loose(subject: &Subject) -> Vec<Case> {
    let get = || {
        subject
            .request(command::DEV_GET)
            .string(attribute::DEV_NAME, &subject.device)
    };
    let answered = || Expect::Answered(subject.device.clone());

    vec![
        Case::new("loose/version-0", get().with_payload_byte(1, 0), answered()),
        Case::new(
            "loose/version-255",
            get().with_payload_byte(1, 255),
            answered(),
        ),
        Case::new("loose/reserved", get().with_payload_byte(2, 1), answered()),
        Case::new("loose/flags", get().with_flags(MULTI | 0x500), answered()),
        Case::new(
            "loose/byte-order-flag",
            subject
                .request(command::DEV_GET)
                .string(attribute::DEV_NAME | NET_BYTEORDER, &subject.device),
            answered(),
        ),
        // What is not a request is acknowledged, and ignored.
        Case::new(
            "loose/no-request",
            subject
                .request(command::DEV_DEL)
                .string(attribute::DEV_NAME, &subject.device)
                .without_flags(REQUEST),
            Expect::Acknowledged,
        ),
    ]
}

/// Where the newest command is stricter than the others.
fn strict(subject: &Subject) -> Vec<Case> {
    let set = || {
        subject
            .request(command::DEV_ATTR_SET)
            .string(attribute::DEV_NAME, &subject.device)
            .attribute(
                attribute::DEV_NET_CFG_MACADDR,
                &super::subject::OTHER_ADDRESS,
            )
    };
    let refused = || Expect::RefusedEarly(&[EINVAL]);

    vec![
        Case::new("strict/reserved", set().with_payload_byte(2, 1), refused()),
        Case::new(
            "strict/reserved-high",
            set().with_payload_byte(3, 1),
            refused(),
        ),
        Case::new("strict/flag-multi", set().with_flags(MULTI), refused()),
        Case::new("strict/flag-root", set().with_flags(0x100), refused()),
        Case::new("strict/flag-create", set().with_flags(0x400), refused()),
    ]
}

/// Attributes that come more than once: the last one counts.
fn repeated(subject: &Subject) -> Vec<Case> {
    let get = || subject.request(command::DEV_GET);
    let mut many = get();

    for _ in 0..4000 {
        many = many.string(attribute::DEV_NAME, &unknown_name());
    }
    vec![
        Case::new(
            "repeated/last-is-known",
            get()
                .string(attribute::DEV_NAME, &unknown_name())
                .string(attribute::DEV_NAME, &subject.device),
            Expect::Answered(subject.device.clone()),
        ),
        Case::new(
            "repeated/last-is-unknown",
            get()
                .string(attribute::DEV_NAME, &subject.device)
                .string(attribute::DEV_NAME, &unknown_name()),
            Expect::Refused(&[ENODEV]),
        ),
        Case::new(
            "repeated/4000-times",
            many.string(attribute::DEV_NAME, &subject.device),
            Expect::Answered(subject.device.clone()),
        ),
    ]
}

/// Checks that a bad message does not affect others in the same datagram.
pub fn several_at_once(checker: &mut Checker<'_>, report: &mut Report) -> Result<()> {
    let name = "header/several-at-once";

    if !checker.wants(name) {
        return Ok(());
    }
    let verdict = several(checker);
    checker.report(report, name, verdict)
}

fn several(checker: &mut Checker<'_>) -> Result<()> {
    let subject = checker.subject;
    let get = || {
        subject
            .request(command::DEV_GET)
            .string(attribute::DEV_NAME, &subject.device)
    };
    let answered = || Expect::Answered(subject.device.clone());
    let expected = [
        (get(), answered()),
        (
            get().attribute(attribute::DEV_NET_CFG_MTU, &[1]),
            Expect::Refused(&[EINVAL]),
        ),
        (get(), answered()),
        (
            subject
                .request(command::DEV_DEL)
                .string(attribute::DEV_NAME, &unknown_name()),
            Expect::Refused(&[ENODEV]),
        ),
        (get(), answered()),
    ];
    let (messages, expects): (Vec<_>, Vec<_>) = expected.into_iter().unzip();
    let answers = checker.family.client.ask_all(&messages)?;

    ensure!(answers.len() == expects.len(), "{} answers", answers.len());
    for (expect, answer) in expects.iter().zip(&answers) {
        judge(expect, answer)?;
    }
    Ok(())
}
