// SPDX-License-Identifier: GPL-2.0

//! Strings that do not end, are empty, too long, or of the wrong type.

use libc::{EINVAL, EMSGSIZE, ENAMETOOLONG, ENODEV, ERANGE};

use super::case::{Case, Expect};
use super::meaning::{takes_name, takes_parent};
use super::subject::{Request, Subject, REQUESTS};
use crate::netlink::NESTED;
use crate::vdpa::schema::{attribute, command};

const STRINGS: [(&str, u16); 3] = [
    ("bus", attribute::MGMTDEV_BUS_NAME),
    ("mgmtdev", attribute::MGMTDEV_DEV_NAME),
    ("name", attribute::DEV_NAME),
];

/// All cases.
pub fn cases(subject: &Subject) -> Vec<Case> {
    let mut cases = Vec::new();

    for request in REQUESTS {
        for (title, kind) in STRINGS {
            cases.extend(malformed(subject, request, title, kind));
        }
    }
    cases.extend(takes_name().flat_map(|request| odd_names(subject, request)));
    cases.extend(takes_parent().flat_map(|request| odd_parents(subject, request)));
    cases.extend(new_names(subject));
    cases
}

/// Strings that the policy must refuse, whether or not the request needs them.
fn malformed(subject: &Subject, request: &Request, title: &str, kind: u16) -> Vec<Case> {
    let name = |what| format!("string/{}/{title}-{what}", request.name);
    let begin = || subject.request_without(request, kind);
    // Names of the right things, that only lack their end.
    let text = match kind {
        attribute::MGMTDEV_BUS_NAME => "pci",
        attribute::MGMTDEV_DEV_NAME => subject.mgmtdev.as_str(),
        _ => subject.device.as_str(),
    };
    let aligned = "abcd".repeat(4);
    let refused = || Expect::Refused(&[EINVAL]);

    vec![
        // The policy has two ways to find fault with nothing at all.
        Case::new(
            name("no-bytes"),
            begin().attribute(kind, &[]),
            Expect::Refused(&[EINVAL, ERANGE]),
        ),
        Case::new(
            name("unterminated"),
            begin().attribute(kind, text.as_bytes()),
            refused(),
        ),
        // Not even the padding of the message ends this one.
        Case::new(
            name("unterminated-last"),
            begin().attribute(kind, aligned.as_bytes()),
            refused(),
        ),
        // Here, more bytes that are not zero follow.
        Case::new(
            name("unterminated-first"),
            begin()
                .attribute(kind, aligned.as_bytes())
                .attribute(kind, text.as_bytes()),
            refused(),
        ),
        Case::new(name("one-byte"), begin().attribute(kind, b"x"), refused()),
        Case::new(
            name("nested"),
            begin().string(kind | NESTED, text),
            refused(),
        ),
    ]
}

/// Names of devices that the policy lets pass, but that are nobody's.
fn odd_names(subject: &Subject, request: &Request) -> Vec<Case> {
    let name = |what| format!("string/{}/name-{what}", request.name);
    let with = |value: &[u8]| {
        subject
            .request_without(request, attribute::DEV_NAME)
            .attribute(attribute::DEV_NAME, value)
    };
    // Too long is a fault of its own for those who compare lengths first.
    let nobody = || Expect::Refused(&[ENODEV, EINVAL, ERANGE, ENAMETOOLONG]);
    let long = |len| [vec![b'n'; len], vec![0]].concat();

    let mut cases = vec![
        Case::new(name("empty"), with(&[0]), nobody()),
        Case::new(name("zeroes"), with(&[0; 64]), nobody()),
        Case::new(name("long-256"), with(&long(256)), nobody()),
        Case::new(name("long-4096"), with(&long(4096)), nobody()),
        Case::new(name("long-65530"), with(&long(65530)), nobody()),
        Case::new(name("not-utf-8"), with(&[0xff, 0xfe, 0x80, 0]), nobody()),
    ];
    if request.command == command::DEV_GET || request.command == command::DEV_CONFIG_GET {
        // In C, a string ends at its first zero byte.
        let value = [subject.device.as_bytes(), b"\0rest\0"].concat();

        cases.push(Case::new(
            name("zero-within"),
            with(&value),
            Expect::RefusedOrAnswered(&[EINVAL, ENODEV], subject.device.clone()),
        ));
    }
    cases
}

/// The same for names of management devices.
fn odd_parents(subject: &Subject, request: &Request) -> Vec<Case> {
    let mut cases = Vec::new();

    for (title, kind) in [
        ("mgmtdev", attribute::MGMTDEV_DEV_NAME),
        ("bus", attribute::MGMTDEV_BUS_NAME),
    ] {
        for (what, value) in [
            ("empty", vec![0]),
            ("long-256", [vec![b'm'; 256], vec![0]].concat()),
            ("long-65530", [vec![b'm'; 65530], vec![0]].concat()),
            ("not-utf-8", vec![0xff, 0xfe, 0x80, 0]),
        ] {
            cases.push(Case::new(
                format!("string/{}/{title}-{what}", request.name),
                subject
                    .request_without(request, kind)
                    .attribute(kind, &value),
                Expect::Refused(&[ENODEV, EINVAL, ERANGE, ENAMETOOLONG]),
            ));
        }
    }
    cases
}

/// Names for new devices: no device may be made that cannot be seen or removed by its name.
fn new_names(subject: &Subject) -> Vec<Case> {
    let made = |what: &str, name: &str, seen: &str| {
        Case::new(
            format!("string/dev-new/name-{what}"),
            subject.new_device(name),
            Expect::RefusedOrMade(&[EINVAL, ERANGE, ENAMETOOLONG, EMSGSIZE], seen.to_owned()),
        )
    };
    let as_given = |what, name: &str| made(what, name, name);

    vec![
        Case::new(
            "string/dev-new/name-empty",
            subject.new_device(""),
            Expect::Refused(&[EINVAL]),
        ),
        // The last name that fits a file name, and the first that does not.
        as_given("long-200", &"n".repeat(200)),
        as_given("long-255", &"n".repeat(255)),
        as_given("long-256", &"n".repeat(256)),
        // Longer than a path, and longer than the answer that would describe the device.
        as_given("long-4096", &"n".repeat(4096)),
        as_given("long-65530", &"n".repeat(65530)),
        as_given("slash", "with/slash"),
        as_given("dot", "."),
        as_given("dots", ".."),
        as_given("format", "%s%n%p"),
        as_given("space", "with space"),
        as_given("newline", "with\nnewline"),
        made("zero-within", "begin\0end", "begin"),
    ]
}
