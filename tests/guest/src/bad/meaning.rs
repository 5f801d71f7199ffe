// SPDX-License-Identifier: GPL-2.0

//! Messages that are well-formed, but ask for what cannot be.

use anyhow::{ensure, Result};
use libc::{EAGAIN, EEXIST, EINVAL, ENODEV, EOPNOTSUPP};

use super::case::{Case, Expect};
use super::checker::Checker;
use super::subject::{unknown_name, Disk, Request, Subject, ADDRESS, OTHER_ADDRESS, REQUESTS};
use crate::netlink::{End, Message};
use crate::report::Report;
use crate::vdpa::family::describe;
use crate::vdpa::schema::{attribute, command, feature};

const BROADCAST: [u8; 6] = [0xff; 6];
const MULTICAST: [u8; 6] = [0x01, 0x00, 0x5e, 0, 0, 1];

/// All cases.
pub fn cases(subject: &Subject) -> Vec<Case> {
    [
        good(subject),
        missing(subject),
        unknown(subject),
        addresses(subject),
        features(subject),
        taken(subject),
        subject
            .disk
            .as_ref()
            .map_or_else(Vec::new, |disk| of_disk(subject, disk)),
    ]
    .concat()
}

/// Good requests, without which all refusals would prove nothing.
fn good(subject: &Subject) -> Vec<Case> {
    REQUESTS
        .iter()
        // Those two change something, and are checked elsewhere.
        .filter(|request| {
            request.command != command::DEV_DEL && request.command != command::DEV_ATTR_SET
        })
        .map(|request| {
            let expect = match request.command {
                _ if request.dump => Expect::AnsweredAll,
                command::MGMTDEV_GET => Expect::Answered(subject.mgmtdev.clone()),
                command::DEV_NEW => Expect::Made(subject.free_name()),
                command::DEV_VSTATS_GET if !subject.negotiated => Expect::Refused(&[EAGAIN]),
                _ => Expect::Answered(subject.device.clone()),
            };

            Case::new(
                format!("good/{}", request.name),
                subject.good(request),
                expect,
            )
        })
        .collect()
}

/// Requests that lack what they are about.
fn missing(subject: &Subject) -> Vec<Case> {
    let mut cases = Vec::new();

    for request in REQUESTS.iter().filter(|request| !request.dump) {
        for (kind, _) in subject.needs(request) {
            let of_what = match kind {
                attribute::MGMTDEV_DEV_NAME => "mgmtdev",
                attribute::DEV_NAME => "name",
                attribute::DEV_QUEUE_INDEX => "index",
                _ => "change",
            };
            let expect = match of_what {
                // The family may take this for a change that it does not know.
                "change" => Expect::Refused(&[EINVAL, EOPNOTSUPP]),
                _ => Expect::Refused(&[EINVAL]),
            };

            cases.push(Case::new(
                format!("missing/{}/{of_what}", request.name),
                subject.request_without(request, kind),
                expect,
            ));
        }
        cases.push(Case::new(
            format!("missing/{}/all", request.name),
            subject.request(request.command),
            Expect::Refused(&[EINVAL]),
        ));
    }
    cases
}

/// Requests about what there is not.
fn unknown(subject: &Subject) -> Vec<Case> {
    let prefix = &subject.device[..subject.device.len() - 1];
    let names = [
        ("name", unknown_name()),
        ("prefix", prefix.to_owned()),
        ("longer", format!("{}x", subject.device)),
        ("upper-case", subject.device.to_uppercase()),
        ("path", format!("../{}", subject.device)),
        ("format", "%s%n".to_owned()),
    ];
    let mut cases = Vec::new();

    for request in takes_name() {
        for (title, name) in &names {
            cases.push(Case::new(
                format!("unknown/{}/{title}", request.name),
                subject
                    .request_without(request, attribute::DEV_NAME)
                    .string(attribute::DEV_NAME, name),
                Expect::Refused(&[ENODEV]),
            ));
        }
    }

    for request in takes_parent() {
        cases.push(Case::new(
            format!("unknown/{}/mgmtdev", request.name),
            subject
                .request_without(request, attribute::MGMTDEV_DEV_NAME)
                .string(attribute::MGMTDEV_DEV_NAME, &unknown_name()),
            Expect::Refused(&[ENODEV]),
        ));
        // The management device is simulated, and so on no bus at all.
        cases.push(Case::new(
            format!("unknown/{}/bus", request.name),
            subject
                .good(request)
                .string(attribute::MGMTDEV_BUS_NAME, "pci"),
            Expect::Refused(&[ENODEV]),
        ));
    }
    cases
}

/// Requests about a device that must be there.
pub fn takes_name() -> impl Iterator<Item = &'static Request> {
    REQUESTS.iter().filter(|request| {
        !request.dump
            && request.command != command::MGMTDEV_GET
            && request.command != command::DEV_NEW
    })
}

/// Requests about a management device.
pub fn takes_parent() -> impl Iterator<Item = &'static Request> {
    REQUESTS.iter().filter(|request| {
        !request.dump
            && (request.command == command::MGMTDEV_GET || request.command == command::DEV_NEW)
    })
}

/// Addresses that no interface may have.
fn addresses(subject: &Subject) -> Vec<Case> {
    let mut cases = Vec::new();

    for (title, address) in [
        ("zero", [0; 6]),
        ("multicast", MULTICAST),
        ("broadcast", BROADCAST),
    ] {
        // A new device may have any: some take zeroes as a wish to choose one themselves.
        cases.push(Case::new(
            format!("address/dev-new/{title}"),
            subject
                .new_device(&subject.free_name())
                .attribute(attribute::DEV_NET_CFG_MACADDR, &address),
            Expect::RefusedOrMade(&[EINVAL, EOPNOTSUPP], subject.free_name()),
        ));
        // To change it to such a one has been "not supported" ever since.
        cases.push(Case::new(
            format!("address/attr-set/{title}"),
            subject
                .request(command::DEV_ATTR_SET)
                .string(attribute::DEV_NAME, &subject.device)
                .attribute(attribute::DEV_NET_CFG_MACADDR, &address),
            Expect::Refused(&[EINVAL, EOPNOTSUPP]),
        ));
    }
    cases
}

/// Features that are not there, or do not fit the rest.
fn features(subject: &Subject) -> Vec<Case> {
    let name = subject.free_name();
    let new = |features: u64| {
        subject
            .new_device(&name)
            .attribute(attribute::DEV_FEATURES, &features.to_ne_bytes())
    };
    let pairs = |message: Message, pairs: u16| {
        message.attribute(attribute::DEV_NET_CFG_MAX_VQP, &pairs.to_ne_bytes())
    };
    let offered = subject.features;

    vec![
        Case::new(
            "features/all-offered",
            new(offered),
            Expect::Made(name.clone()),
        ),
        Case::new(
            "features/not-offered",
            new(offered | feature::UNKNOWN),
            Expect::Refused(&[EINVAL]),
        ),
        Case::new(
            "features/every-bit",
            new(u64::MAX),
            Expect::Refused(&[EINVAL]),
        ),
        Case::new(
            "features/address-without",
            new(offered & !feature::NET_MAC)
                .attribute(attribute::DEV_NET_CFG_MACADDR, &OTHER_ADDRESS),
            Expect::Refused(&[EINVAL]),
        ),
        Case::new(
            "features/mtu-without",
            new(offered & !feature::NET_MTU)
                .attribute(attribute::DEV_NET_CFG_MTU, &1400u16.to_ne_bytes()),
            Expect::Refused(&[EINVAL]),
        ),
        // A device without multiqueue may refuse the number before it compares the features.
        Case::new(
            "features/pairs-without",
            pairs(new(offered & !(1 << 22)), 2),
            Expect::Refused(&[EINVAL, EOPNOTSUPP]),
        ),
        Case::new(
            "features/no-pairs",
            pairs(subject.new_device(&name), 0),
            Expect::Refused(&[EINVAL]),
        ),
    ]
}

/// Names that are taken.
fn taken(subject: &Subject) -> Vec<Case> {
    let mut cases = vec![Case::new(
        "taken/same-mgmtdev",
        subject.new_device(&subject.device),
        Expect::Refused(&[EEXIST]),
    )];

    if let Some(disk) = &subject.disk {
        cases.push(Case::new(
            "taken/other-mgmtdev",
            new_disk(subject, disk, &subject.device),
            Expect::Refused(&[EEXIST]),
        ));
        cases.push(Case::new(
            "taken/by-other-mgmtdev",
            subject.new_device(&disk.device),
            Expect::Refused(&[EEXIST]),
        ));
    }
    cases
}

fn new_disk(subject: &Subject, disk: &Disk, name: &str) -> Message {
    subject
        .request(command::DEV_NEW)
        .string(attribute::MGMTDEV_DEV_NAME, &disk.mgmtdev)
        .string(attribute::DEV_NAME, name)
}

/// What a disk does not have.
fn of_disk(subject: &Subject, disk: &Disk) -> Vec<Case> {
    let name = subject.free_name();
    let new = || new_disk(subject, disk, &name);
    // It may be refused because the device has no such attribute, or is not of the right class.
    let not_for_disks = || Expect::Refused(&[EOPNOTSUPP, EINVAL]);

    vec![
        Case::new("disk/dev-new/good", new(), Expect::Made(name.clone())),
        Case::new(
            "disk/dev-new/address",
            new().attribute(attribute::DEV_NET_CFG_MACADDR, &ADDRESS),
            not_for_disks(),
        ),
        Case::new(
            "disk/dev-new/mtu",
            new().attribute(attribute::DEV_NET_CFG_MTU, &1500u16.to_ne_bytes()),
            not_for_disks(),
        ),
        Case::new(
            "disk/dev-new/pairs",
            new().attribute(attribute::DEV_NET_CFG_MAX_VQP, &1u16.to_ne_bytes()),
            not_for_disks(),
        ),
        Case::new(
            "disk/attr-set/address",
            subject
                .request(command::DEV_ATTR_SET)
                .string(attribute::DEV_NAME, &disk.device)
                .attribute(attribute::DEV_NET_CFG_MACADDR, &OTHER_ADDRESS),
            not_for_disks(),
        ),
        // Statistics are optional for a disk, and none may be ready.
        Case::new(
            "disk/vstats-get",
            subject
                .request(command::DEV_VSTATS_GET)
                .string(attribute::DEV_NAME, &disk.device)
                .attribute(attribute::DEV_QUEUE_INDEX, &[0; 4]),
            Expect::RefusedOrAnswered(&[EOPNOTSUPP, EAGAIN], disk.device.clone()),
        ),
        Case::new(
            "disk/config-get",
            subject
                .request(command::DEV_CONFIG_GET)
                .string(attribute::DEV_NAME, &disk.device),
            Expect::Answered(disk.device.clone()),
        ),
    ]
}

/// Checks that a good change of the address is made, and can be taken back.
pub fn change_address(checker: &mut Checker<'_>, report: &mut Report) -> Result<()> {
    let name = "good/attr-set";

    if !checker.wants(name) {
        return Ok(());
    }
    let verdict = [OTHER_ADDRESS, ADDRESS]
        .iter()
        .try_for_each(|address| set_address(checker, address));
    checker.report(report, name, verdict)
}

/// Changes the address, and fails unless that is seen.
pub fn set_address(checker: &mut Checker<'_>, address: &[u8; 6]) -> Result<()> {
    let subject = checker.subject;
    let message = subject
        .request(command::DEV_ATTR_SET)
        .string(attribute::DEV_NAME, &subject.device)
        .attribute(attribute::DEV_NET_CFG_MACADDR, address);
    let answer = checker.family.client.ask(&message)?;

    ensure!(answer.end == End::Done, "{}", describe(&answer));
    let found = checker
        .family
        .configuration(&subject.device)?
        .find(attribute::DEV_NET_CFG_MACADDR);
    ensure!(
        found.as_deref() == Some(&address[..]),
        "the address should be {address:02x?}, but is {found:02x?}"
    );
    Ok(())
}
