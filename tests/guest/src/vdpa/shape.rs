// SPDX-License-Identifier: GPL-2.0

//! What an answer of the family may look like, so that it holds no more than was asked for.

use anyhow::{bail, ensure, Context, Result};

use super::schema::{attribute, attribute_type, command, Kind, VERSION};
use crate::netlink::answer::{Content, Received};
use crate::netlink::message::Attribute;
use crate::netlink::Part;

/// The highest number of an error that programs know.
const MAX_ERRNO: i32 = 133;

/// The attributes of the answers, in groups that differ by device type.
const PARENT: &[u16] = &[attribute::MGMTDEV_BUS_NAME, attribute::MGMTDEV_DEV_NAME];

const MANAGEMENT: &[u16] = &[
    attribute::MGMTDEV_SUPPORTED_CLASSES,
    attribute::DEV_MGMTDEV_MAX_VQS,
    attribute::DEV_SUPPORTED_FEATURES,
];

const DEVICE: &[u16] = &[
    attribute::DEV_NAME,
    attribute::DEV_ID,
    attribute::DEV_VENDOR_ID,
    attribute::DEV_MAX_VQS,
    attribute::DEV_MAX_VQ_SIZE,
    attribute::DEV_MIN_VQ_SIZE,
];

const CONFIGURATION: &[u16] = &[
    attribute::DEV_NAME,
    attribute::DEV_ID,
    attribute::DEV_NEGOTIATED_FEATURES,
    attribute::DEV_FEATURES,
    attribute::DEV_NET_CFG_MTU,
    attribute::DEV_NET_CFG_MACADDR,
    attribute::DEV_NET_STATUS,
    attribute::DEV_NET_CFG_MAX_VQP,
];

const STATISTICS: &[u16] = &[
    attribute::DEV_NAME,
    attribute::DEV_ID,
    attribute::DEV_NEGOTIATED_FEATURES,
    attribute::DEV_NET_CFG_MAX_VQP,
    attribute::DEV_QUEUE_INDEX,
    attribute::DEV_VENDOR_ATTR_NAME,
    attribute::DEV_VENDOR_ATTR_VALUE,
];

/// Whether an answer to `command` may hold an attribute.
fn is_allowed(command: u8, kind: u16) -> bool {
    let of_disk = (attribute::DEV_BLK_CFG_CAPACITY..=attribute::DEV_BLK_FLUSH).contains(&kind);

    kind == attribute::PAD
        || match command {
            command::MGMTDEV_NEW => PARENT.contains(&kind) || MANAGEMENT.contains(&kind),
            command::DEV_NEW => PARENT.contains(&kind) || DEVICE.contains(&kind),
            command::DEV_CONFIG_GET => CONFIGURATION.contains(&kind) || of_disk,
            command::DEV_VSTATS_GET => STATISTICS.contains(&kind),
            _ => false,
        }
}

/// Those that programs rely on: `vdpa` of iproute2 fails without them.
fn needed(command: u8) -> &'static [u16] {
    match command {
        command::MGMTDEV_NEW => &[attribute::MGMTDEV_DEV_NAME],
        command::DEV_NEW => &[
            attribute::MGMTDEV_DEV_NAME,
            attribute::DEV_NAME,
            attribute::DEV_ID,
        ],
        _ => &[attribute::DEV_NAME, attribute::DEV_ID],
    }
}

/// Fails if an answer is not one that the family may give.
pub fn check(part: &Part) -> Result<()> {
    let attributes = part.attributes().context("an answer is malformed")?;

    ensure!(
        part.version == VERSION,
        "an answer has version {}",
        part.version
    );
    for attribute in &attributes {
        ensure!(
            is_allowed(part.command, attribute.kind),
            "an answer to command {} holds attribute {}",
            part.command,
            attribute.kind
        );
        check_value(attribute).with_context(|| format!("attribute {}", attribute.kind))?;
    }
    for kind in needed(part.command) {
        let count = attributes
            .iter()
            .filter(|found| found.kind == *kind)
            .count();

        ensure!(
            count == 1,
            "an answer to command {} holds attribute {kind} {count} times",
            part.command
        );
    }
    check_statistics(part.command, &attributes)
}

/// Fails if a message from the kernel makes no sense. Returns the number of the error if it is a
/// refusal, or 0.
pub fn judge(answer: &Received, family: u16) -> Result<i32> {
    let refusal = match &answer.content {
        Content::Part(part) => {
            // The rest of a message that was cut may be one to another family.
            if part.family == family {
                check(part)?;
            }
            return Ok(0);
        }
        Content::Acknowledgement { refusal, .. } | Content::Done(refusal) => refusal,
    };

    // Errors that programs do not know, and those that only a mistake of the kernel leads to.
    ensure!(
        (0..=MAX_ERRNO).contains(&refusal.errno)
            && ![libc::EFAULT, libc::ENOMEM, libc::EINTR].contains(&refusal.errno),
        "it was refused with error {}",
        refusal.errno
    );
    Ok(refusal.errno)
}

/// Fails if an attribute's value is not of its type.
fn check_value(attribute: &Attribute<'_>) -> Result<()> {
    let Some((_, kind)) = attribute_type(attribute.kind) else {
        bail!("nobody knows its type");
    };
    let value = attribute.value;

    ensure!(
        attribute.flags == 0,
        "it has the flags {:#x}",
        attribute.flags
    );
    if let Some(len) = kind.length() {
        ensure!(value.len() == len, "it is {} bytes long", value.len());
    }
    if kind == Kind::Text {
        ensure!(
            value.iter().position(|&byte| byte == 0) == Some(value.len().wrapping_sub(1)),
            "its text {value:x?} does not end at its only zero byte"
        );
    }
    Ok(())
}

/// Fails if statistics are not in the order that the parser of iproute2 depends on.
fn check_statistics(command: u8, attributes: &[Attribute<'_>]) -> Result<()> {
    if command != command::DEV_VSTATS_GET {
        return Ok(());
    }
    let index = attributes
        .iter()
        .position(|found| found.kind == attribute::DEV_QUEUE_INDEX)
        .context("statistics without the index of their virtqueue")?;
    let (before, after) = attributes.split_at(index);
    let values: Vec<_> = after[1..]
        .iter()
        .map(|found| found.kind)
        .filter(|&kind| kind != attribute::PAD)
        .collect();

    ensure!(
        before
            .iter()
            .any(|found| found.kind == attribute::DEV_NEGOTIATED_FEATURES),
        "the features do not come before the index of the virtqueue"
    );
    ensure!(
        values.chunks(2).all(|pair| {
            pair == [
                attribute::DEV_VENDOR_ATTR_NAME,
                attribute::DEV_VENDOR_ATTR_VALUE,
            ]
        }),
        "after the index of the virtqueue come not names with values, but {values:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{message, Message};

    fn part(command: u8, message: Message) -> Part {
        Part {
            flags: 0,
            family: 0x20,
            command,
            version: VERSION,
            payload: message.finish(0)[message::ATTRIBUTES..].to_vec(),
        }
    }

    fn device() -> Message {
        Message::generic(0x20, 0, 0, 1)
            .string(attribute::DEV_NAME, "a")
            .attribute(attribute::DEV_ID, &1u32.to_ne_bytes())
    }

    #[test]
    fn a_configuration_may_hold_a_mac_address_of_six_bytes() {
        let with = |len| {
            let mac = vec![2; len];
            check(&part(
                command::DEV_CONFIG_GET,
                device().attribute(attribute::DEV_NET_CFG_MACADDR, &mac),
            ))
        };
        assert!(with(6).is_ok());
        assert!(with(5).is_err());
    }

    #[test]
    fn names_end_at_their_zero_byte() {
        for bad in [&b"a"[..], b"", b"a\0b\0", b"a\0\0"] {
            let message = Message::generic(0x20, 0, 0, 1)
                .attribute(attribute::DEV_NAME, bad)
                .attribute(attribute::DEV_ID, &1u32.to_ne_bytes());
            assert!(check(&part(command::DEV_CONFIG_GET, message)).is_err());
        }
    }

    #[test]
    fn nothing_is_missing_or_too_much() {
        assert!(check(&part(command::DEV_CONFIG_GET, device())).is_ok());
        assert!(check(&part(command::DEV_NEW, device())).is_err());
        assert!(check(&part(
            command::DEV_CONFIG_GET,
            device().string(attribute::MGMTDEV_DEV_NAME, "m")
        ))
        .is_err());
    }

    #[test]
    fn statistics_have_an_order() {
        let features = (attribute::DEV_NEGOTIATED_FEATURES, 1u64);
        let value = (attribute::DEV_VENDOR_ATTR_VALUE, 1u64);
        let long = |message: Message, (kind, value): (u16, u64)| {
            message.attribute(kind, &value.to_ne_bytes())
        };
        let index =
            |message: Message| message.attribute(attribute::DEV_QUEUE_INDEX, &0u32.to_ne_bytes());
        let name = |message: Message| message.string(attribute::DEV_VENDOR_ATTR_NAME, "n");

        let good = long(name(index(long(device(), features))), value);
        assert!(check(&part(command::DEV_VSTATS_GET, good)).is_ok());
        let late = long(index(device()), features);
        assert!(check(&part(command::DEV_VSTATS_GET, late)).is_err());
        let alone = long(index(long(device(), features)), value);
        assert!(check(&part(command::DEV_VSTATS_GET, alone)).is_err());
    }
}
