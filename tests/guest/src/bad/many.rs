// SPDX-License-Identifier: GPL-2.0

//! Answers so long that they come in several datagrams, and listeners who leave before the end.

use anyhow::{ensure, Context, Result};

use super::case::about;
use super::checker::Checker;
use super::subject::Subject;
use crate::netlink::Client;
use crate::report::Report;
use crate::vdpa::family::Parent;
use crate::vdpa::schema::command;
use crate::vdpa::Family;

/// The shortest buffer that the kernel fits its parts to. About 25 devices fit.
const SHORT: usize = 4096;

/// Makes `count` more devices, asks for all of them in several ways, and removes them.
pub fn run(checker: &mut Checker<'_>, report: &mut Report, count: usize) -> Result<()> {
    let name = "many";

    if !checker.wants(name) {
        return Ok(());
    }
    let names = names(checker.subject, count);
    let mut verdict = make(checker, &names);

    if verdict.is_ok() {
        for (title, command) in [
            ("dev-dump", command::DEV_GET),
            ("config-dump", command::DEV_CONFIG_GET),
        ] {
            report.check(
                format_args!("many/{title}"),
                all_are_listed(checker, &names, command),
            );
            report.check(format_args!("many/{title}-left"), left(checker, command));
        }
        verdict = remove(checker, &names);
    }
    checker.report(report, name, verdict)
}

/// Names long enough that few devices fill a datagram.
fn names(subject: &Subject, count: usize) -> Vec<String> {
    (0..count)
        .map(|index| format!("{}-{index:05}-{}", subject.device, "x".repeat(40)))
        .collect()
}

fn make(checker: &mut Checker<'_>, names: &[String]) -> Result<()> {
    let parent = Parent {
        bus: None,
        name: &checker.subject.mgmtdev,
    };

    names
        .iter()
        .try_for_each(|name| checker.family.add(&parent, name))
}

fn remove(checker: &mut Checker<'_>, names: &[String]) -> Result<()> {
    // Neither in the order in which they were made nor in the opposite one.
    let (even, odd): (Vec<_>, Vec<_>) = names
        .iter()
        .enumerate()
        .partition(|(index, _)| index % 2 == 0);

    even.into_iter()
        .chain(odd)
        .try_for_each(|(_, name)| checker.family.remove(name))
}

/// Fails unless each device is listed once, in as many datagrams as it takes.
fn all_are_listed(checker: &Checker<'_>, names: &[String], command: u8) -> Result<()> {
    let mut family = Family::with_client(Client::with_buffer(SHORT)?)?;
    let mut found = family
        .dump(command)?
        .iter()
        .map(|part| about(part).context("a device without name"))
        .collect::<Result<Vec<_>>>()?;
    let mut expected = [checker.names(), names].concat();

    found.sort_unstable();
    expected.sort_unstable();
    ensure!(
        found == expected,
        "{} devices are listed instead of {}",
        found.len(),
        expected.len()
    );
    Ok(())
}

/// Fails if the family does not work any more after someone asked and did not listen.
fn left(checker: &mut Checker<'_>, command: u8) -> Result<()> {
    for _ in 0..8 {
        let mut family = Family::with_client(Client::with_buffer(SHORT)?)?;
        let message = family.dump_request(command);

        family.client.send(&message)?;
    }
    let name = &checker.subject.device;
    checker.family.device(name).map(drop)
}
