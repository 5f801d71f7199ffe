// SPDX-License-Identifier: GPL-2.0

//! Every ioctl: what it must do, and what it must refuse.
//!
//! What is refused must leave everything as it was: that is compared after each case, and a device
//! that was working must still work at the end.

mod bounds;
mod effects;
mod files;
mod fixture;
mod other;
mod pointers;
mod refusals;
mod snapshot;
mod unknown;

use anyhow::{bail, Result};
use checks::arguments::Arguments;
use checks::report::Report;
use vhost_client::device::{errno, Device};
use vhost_client::sys::{Mailbox, Request};

use fixture::{Fixture, State};
pub use other::{run_other_process, OTHER_PROCESS};

/// One ioctl and what may come of it.
pub struct Case {
    /// What it is.
    pub name: String,
    /// The ioctl.
    pub request: Request,
    /// Its argument.
    pub bytes: Vec<u8>,
    /// The errnos that are right; 0 is success.
    pub expected: &'static [i32],
}

impl Case {
    /// A case that is refused with one of the errnos.
    pub fn new(
        name: impl Into<String>,
        request: Request,
        bytes: impl Into<Vec<u8>>,
        expected: &'static [i32],
    ) -> Self {
        Self {
            name: name.into(),
            request,
            bytes: bytes.into(),
            expected,
        }
    }

    /// Makes the ioctl, with memory that ends where its argument does.
    fn run(&self, device: &Device) -> Result<()> {
        let mailbox = Mailbox::new()?;
        let place = mailbox.put(&self.bytes)?;
        let result = device.call_mail(self.request, &mailbox, place);

        expect(result.map(drop), self.expected)
    }
}

/// What is known by a number, for those who read the report.
pub fn errno_name(number: i32) -> String {
    let name = match number {
        0 => "success",
        libc::EPERM => "EPERM",
        libc::EBADF => "EBADF",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::ENODEV => "ENODEV",
        libc::EINVAL => "EINVAL",
        libc::ENOTTY => "ENOTTY",
        libc::ENOBUFS => "ENOBUFS",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ENOMEM => "ENOMEM",
        _ => return format!("errno {number}"),
    };
    name.to_owned()
}

/// Checks the result of a call.
pub fn expect(result: std::io::Result<()>, expected: &[i32]) -> Result<()> {
    let found = result.map_or_else(|error| errno(&error), |()| 0);

    if expected.contains(&found) {
        return Ok(());
    }
    let names: Vec<_> = expected.iter().map(|number| errno_name(*number)).collect();
    bail!("{}, not {}", errno_name(found), names.join(" or "))
}

/// Checks cases one after the other with a device in one state.
pub fn run_cases(path: &str, state: State, cases: &[Case], report: &mut Report) {
    let mut fixture = None;

    for case in cases {
        let result = run_case(path, state, case, &mut fixture);

        report.check(format_args!("ioctls/{state}/{}", case.name), result);
    }
    if let Some(mut fixture) = fixture {
        report.check(
            format_args!("ioctls/{state}/works-afterwards"),
            fixture.prove(),
        );
    }
}

/// Checks one case; what it changed is not there for the next one.
fn run_case(path: &str, state: State, case: &Case, kept: &mut Option<Fixture>) -> Result<()> {
    let fixture = match kept.take() {
        Some(fixture) => fixture,
        None => Fixture::new(path, state)?,
    };
    let before = snapshot::take(fixture.device());

    case.run(fixture.device())?;
    snapshot::compare(&before, &snapshot::take(fixture.device()))?;
    *kept = Some(fixture);
    Ok(())
}

/// The command `ioctls`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    arguments.finish()?;

    let facts = fixture::Facts::of(&path)?;

    refusals::run(&path, &facts, report);
    bounds::run(&path, &facts, report);
    files::run(&path, report);
    pointers::run(&path, report);
    unknown::run(&path, report);
    effects::run(&path, &facts, report);
    other::run(&path, &facts, report);
    Ok(())
}
