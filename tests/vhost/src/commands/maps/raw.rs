// SPDX-License-Identifier: GPL-2.0

//! What is written to the device but is no message.

use anyhow::{bail, Result};
use checks::report::Report;
use libc::{EFAULT, EINVAL};
use vhost_client::device::{errno, Device};
use vhost_client::iotlb::{Message, SIZE};

use super::super::ioctls::errno_name;
use super::{Mapper, Setting, IOVA};

/// What may come of a write: a number of bytes, or an errno.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Taken(usize),
    Refused(i32),
}

fn describe(outcome: Outcome) -> String {
    match outcome {
        Outcome::Taken(count) => format!("{count} bytes taken"),
        Outcome::Refused(number) => errno_name(number),
    }
}

fn write(device: &Device, bytes: &[u8], expected: &[Outcome]) -> Result<()> {
    let outcome = match device.write(bytes) {
        Ok(count) => Outcome::Taken(count),
        Err(error) => Outcome::Refused(errno(&error)),
    };

    if expected.contains(&outcome) {
        return Ok(());
    }
    let names: Vec<_> = expected.iter().map(|outcome| describe(*outcome)).collect();
    bail!("{}, not {}", describe(outcome), names.join(" or "))
}

/// Checks sizes and formats.
pub fn run(setting: &Setting, report: &mut Report) {
    use Outcome::{Refused, Taken};

    let good = Message::update(0, IOVA, 0x1000, 0, 3);
    let mut cases: Vec<(String, Vec<u8>, Vec<Outcome>)> = Vec::new();

    // Up to the last byte that has a meaning. Nothing can be taken of nothing.
    for len in [0, 1, 3, 4, 7, 8, 16, 33, 39] {
        let expected = if len == 0 {
            vec![Refused(EINVAL), Taken(0)]
        } else {
            vec![Refused(EINVAL)]
        };
        for (format, bytes) in [("v1", good.v1().bytes()), ("v2", good.bytes())] {
            let name = format!("{format}-{len}-bytes");
            cases.push((name, bytes[..len].to_vec(), expected.clone()));
        }
    }
    for kind in [0u32, 3, 0x100, 0x8000_0002, u32::MAX] {
        let mut bytes = good.bytes().to_vec();
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        cases.push((format!("format-{kind:#x}"), bytes, vec![Refused(EINVAL)]));
    }
    for kind in [0, 1, 4, 7, 0x82, 0xff] {
        let mut message = Message::new(0, kind);
        message.size = 0x1000;
        for (format, message) in [("v1", message.v1()), ("v2", message)] {
            let name = format!("{format}-kind-{kind}");
            let expected = vec![Refused(EFAULT), Refused(EINVAL)];
            cases.push((name, message.bytes().to_vec(), expected));
        }
    }

    for (name, bytes, expected) in cases {
        let result = Mapper::new(setting, 1).and_then(|mapper| {
            // With an address space that is there.
            mapper.map(IOVA + 0x10_0000, 0, 1)?;
            write(&mapper.session.device, &bytes, &expected)?;
            mapper.expect_pinned(setting, 1)
        });
        report.check(format_args!("maps/write/{name}"), result);
    }
    report.check("maps/write/unused-bytes-missing", padding_missing(setting));
    report.check("maps/write/two-at-once", two_at_once(setting));
}

/// The padding may be needed or not, but no more bytes are taken than there are.
fn padding_missing(setting: &Setting) -> Result<()> {
    for len in [40, 56, 71] {
        let mapper = Mapper::new(setting, 1)?;
        let bytes = mapper.update(IOVA, 0, 1).bytes();
        let expected = [Outcome::Refused(EINVAL), Outcome::Taken(len)];

        write(&mapper.session.device, &bytes[..len], &expected)?;
    }
    Ok(())
}

/// One write is one message; who writes more is told what was taken.
fn two_at_once(setting: &Setting) -> Result<()> {
    let mapper = Mapper::new(setting, 2)?;
    let mut bytes = mapper.update(IOVA, 0, 1).bytes().to_vec();

    bytes.extend(mapper.update(IOVA + 0x10_0000, 1, 1).bytes());
    write(&mapper.session.device, &bytes, &[Outcome::Taken(SIZE)])?;
    mapper.expect_pinned(setting, 1)
}
