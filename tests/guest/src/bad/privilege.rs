// SPDX-License-Identifier: GPL-2.0

//! Who may ask for what: a process without rights, and one of another namespace.
//!
//! Rights once given up do not come back, so each of these lives in a process of its own.

use std::process::{Command, Stdio};

use anyhow::{ensure, Context, Result};
use libc::{ENOENT, EPERM};

use super::case::{judge, Expect};
use super::checker::Checker;
use super::subject::{Request, Subject, REQUESTS};
use crate::arguments::{Arguments, Misuse};
use crate::netlink::{controller, Client};
use crate::report::Report;
use crate::sys::process;
use crate::vdpa::schema::{attribute, command, NAME};
use crate::vdpa::Family;

/// The command that these processes are started with.
pub const COMMAND: &str = "netlink-bad-privilege";

/// The user `nobody`.
const NOBODY: u32 = 65534;

const ROLES: [&str; 3] = ["nobody", "other-users", "other-network"];

/// Checks each role.
pub fn run(checker: &mut Checker<'_>, report: &mut Report) -> Result<()> {
    for role in ROLES {
        let name = format!("privilege/{role}");

        if !checker.wants(&name) {
            continue;
        }
        let verdict = spawn(checker.subject, role).map(|output| report.adopt(&output));
        checker.report(report, &name, verdict)?;
    }
    Ok(())
}

/// Starts this program in a role, and returns what it printed.
fn spawn(subject: &Subject, role: &str) -> Result<String> {
    let output = Command::new("/proc/self/exe")
        .args([COMMAND, "--role", role])
        .args(["--mgmtdev", &subject.mgmtdev])
        .args(["--dev", &subject.device])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start another process")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();

    ensure!(
        output.status.code().is_some_and(|code| code < 2),
        "the other process ended with {}, having printed {text:?}",
        output.status
    );
    Ok(text)
}

/// The other process.
pub fn child(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let role = arguments.required("--role")?;
    let mgmtdev = arguments.required("--mgmtdev")?;
    let device = arguments.required("--dev")?;
    arguments.finish()?;

    let mut family = Family::open()?;
    let subject = Subject::existing(&mut family, &mgmtdev, &device)?;

    match role.as_str() {
        "nobody" => {
            process::become_user(NOBODY).context("cannot give up rights")?;
            // To have opened the socket as root is not enough.
            requests(report, "opened-before", &subject, &mut family.client);
            requests(report, "nobody", &subject, &mut Client::open()?);
        }
        "other-users" => {
            process::leave_users().context("cannot leave the user namespace")?;
            // All rights, but only there.
            requests(report, "other-users", &subject, &mut Client::open()?);
        }
        "other-network" => {
            process::leave_network().context("cannot leave the network namespace")?;
            other_network(report, &subject)?;
        }
        other => return Err(Misuse(format!("there is no role {other:?}")).into()),
    }
    Ok(())
}

fn needs_rights(request: &Request) -> bool {
    matches!(
        request.command,
        command::DEV_NEW | command::DEV_DEL | command::DEV_VSTATS_GET | command::DEV_ATTR_SET
    )
}

/// Sends each request without having the rights for some of them.
fn requests(report: &mut Report, title: &str, subject: &Subject, client: &mut Client) {
    for request in REQUESTS {
        let expect = match request.command {
            _ if needs_rights(request) => Expect::RefusedEarly(&[EPERM]),
            _ if request.dump => Expect::AnsweredAll,
            command::MGMTDEV_GET => Expect::Answered(subject.mgmtdev.clone()),
            _ => Expect::Answered(subject.device.clone()),
        };
        let verdict = client
            .ask(&subject.good(request))
            .and_then(|answer| judge(&expect, &answer));
        report.check(format_args!("privilege/{title}/{}", request.name), verdict);
    }

    // Nobody without rights gets as far as the policy.
    for request in REQUESTS.iter().filter(|request| needs_rights(request)) {
        let message = subject
            .good(request)
            .attribute(attribute::DEV_NET_CFG_MTU, &[1]);
        let verdict = client
            .ask(&message)
            .and_then(|answer| judge(&Expect::RefusedEarly(&[EPERM]), &answer));
        report.check(
            format_args!("privilege/{title}/{}-malformed", request.name),
            verdict,
        );
    }
}

/// Looks for the family where it is not.
fn other_network(report: &mut Report, subject: &Subject) -> Result<()> {
    let mut client = Client::open()?;
    let verdict = match controller::family(&mut client, NAME)? {
        None => Ok(()),
        Some(number) => Err(anyhow::anyhow!("the family is there, with number {number}")),
    };

    report.check("privilege/other-network/family", verdict);
    for request in REQUESTS {
        let verdict = client
            .ask(&subject.good(request))
            .and_then(|answer| judge(&Expect::RefusedEarly(&[ENOENT]), &answer));
        report.check(
            format_args!("privilege/other-network/{}", request.name),
            verdict,
        );
    }
    Ok(())
}
