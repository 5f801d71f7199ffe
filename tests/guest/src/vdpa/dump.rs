// SPDX-License-Identifier: GPL-2.0

//! Prints what the family answers, attribute by attribute in the order of the message, so that
//! the outputs of two kernels can be compared.

use anyhow::{ensure, Context, Result};

use super::family::{describe, number, text};
use super::schema::{attribute, attribute_type, command, Kind};
use super::{shape, Family};
use crate::arguments::{Arguments, Misuse};
use crate::netlink::message::Attribute;
use crate::netlink::{Answer, End, Message};
use crate::report::Report;

/// The command `vdpa`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    match arguments.command().as_deref() {
        Some("dump") => arguments.finish()?,
        _ => return Err(Misuse("the one thing to do is \"dump\"".into()).into()),
    }
    let mut family = Family::open()?;

    for (name, command) in [
        ("mgmtdev-get", command::MGMTDEV_GET),
        ("dev-get", command::DEV_GET),
        ("dev-config-get", command::DEV_CONFIG_GET),
    ] {
        let message = family.dump_request(command);

        show(&mut family, report, &format!("{name} dump"), &message, true)?;
    }

    for part in family.dump(command::MGMTDEV_GET)? {
        let mut message = family.request(command::MGMTDEV_GET);

        for kind in [attribute::MGMTDEV_BUS_NAME, attribute::MGMTDEV_DEV_NAME] {
            if let Some(value) = part.find(kind) {
                message = message.attribute(kind, &value);
            }
        }
        let name = text(&part, attribute::MGMTDEV_DEV_NAME).context("no name")?;
        show(
            &mut family,
            report,
            &format!("mgmtdev-get {name}"),
            &message,
            true,
        )?;
    }

    for part in family.dump(command::DEV_GET)? {
        let name = text(&part, attribute::DEV_NAME).context("a device without name")?;
        let queues = number(&part, attribute::DEV_MAX_VQS).unwrap_or(0);

        for (title, command, needed) in [
            ("dev-get", command::DEV_GET, true),
            // Not every device type has these.
            ("dev-config-get", command::DEV_CONFIG_GET, false),
        ] {
            let message = family.request(command).string(attribute::DEV_NAME, &name);

            show(
                &mut family,
                report,
                &format!("{title} {name}"),
                &message,
                needed,
            )?;
        }
        for index in 0..queues {
            let message = family
                .request(command::DEV_VSTATS_GET)
                .string(attribute::DEV_NAME, &name)
                .attribute(attribute::DEV_QUEUE_INDEX, &index.to_ne_bytes());
            let title = format!("dev-vstats-get {name} {index}");

            show(&mut family, report, &title, &message, false)?;
        }
    }
    Ok(())
}

/// Sends a request, prints the answer, and checks that it is well-formed; and is good, if it is
/// `needed`.
fn show(
    family: &mut Family,
    report: &mut Report,
    title: &str,
    message: &Message,
    needed: bool,
) -> Result<()> {
    let answer = family.client.ask(message)?;

    print_answer(title, &answer);
    report.check(title.replace(' ', "/"), judge(&answer, needed));
    Ok(())
}

fn judge(answer: &Answer, needed: bool) -> Result<()> {
    for part in &answer.parts {
        shape::check(part)?;
    }
    match &answer.end {
        End::Done => Ok(()),
        End::Refused(refusal) if !needed && answer.parts.is_empty() => {
            ensure!(refusal.message.is_some(), "{}", describe(answer));
            Ok(())
        }
        _ => anyhow::bail!("{}", describe(answer)),
    }
}

fn print_answer(title: &str, answer: &Answer) {
    println!("{title}:");
    for (index, part) in answer.parts.iter().enumerate() {
        println!(
            "  message {index} command={} version={} flags={:#x}",
            part.command, part.version, part.flags
        );
        match part.attributes() {
            Ok(attributes) => attributes.iter().for_each(print_attribute),
            Err(error) => println!("    {error}: {:02x?}", part.payload),
        }
    }
    match &answer.end {
        End::Done => println!("  done"),
        End::Silent => println!("  silence"),
        End::Refused(refusal) => {
            println!("  error {}", super::family::errno_name(refusal.errno));
            // On a line of its own, as its wording is nobody's interface.
            if let Some(message) = &refusal.message {
                println!("  text {:?}", String::from_utf8_lossy(message));
            }
        }
    }
}

fn print_attribute(attribute: &Attribute<'_>) {
    let (name, value) = match attribute_type(attribute.kind) {
        Some((name, kind)) => (name, decode(kind, attribute.value)),
        None => ("?", format!("{:02x?}", attribute.value)),
    };

    println!(
        "    {:2} {name} len={} {value}",
        attribute.kind | attribute.flags,
        attribute.value.len()
    );
}

/// Prints a value as what it should be; as bytes if it is not.
fn decode(kind: Kind, value: &[u8]) -> String {
    let hex = || format!("{value:02x?}");

    if kind.length().is_some_and(|len| len != value.len()) {
        return hex();
    }
    match kind {
        Kind::Text => match std::str::from_utf8(value) {
            Ok(text) => format!("{text:?}"),
            Err(_) => hex(),
        },
        Kind::Mac | Kind::Padding => hex(),
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => {
            let mut wide = [0; 8];

            wide[..value.len()].copy_from_slice(value);
            // This program runs on little-endian machines only, as the rest of the tests do.
            let number = u64::from_le_bytes(wide);
            format!("{number} ({number:#x})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_by_type() {
        assert_eq!(decode(Kind::U16, &[0xdc, 5]), "1500 (0x5dc)");
        assert_eq!(decode(Kind::U16, &[1]), "[01]");
        assert_eq!(decode(Kind::Text, b"a\0"), "\"a\\0\"");
        assert_eq!(decode(Kind::Mac, &[2; 6]), "[02, 02, 02, 02, 02, 02]");
    }
}
