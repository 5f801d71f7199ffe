// SPDX-License-Identifier: GPL-2.0

//! A device is made, asked about, changed and removed.

use std::io;

use anyhow::{ensure, Context, Result};
use checks::faults::{Injector, Outcome, Repeated};

use super::conclude;
use crate::netlink::{Answer, End, Message};
use crate::report::Report;
use crate::vdpa::family::{self, Family, Parent};
use crate::vdpa::schema::{attribute, command};

/// The name of the device.
const DEVICE: &str = "failing0";

/// What came of a request.
struct Said(Result<Answer>);

impl Said {
    /// Whether it was done, if the kernel told.
    fn done(&self) -> Option<bool> {
        let answer = self.0.as_ref().ok()?;

        Some(answer.end == End::Done)
    }
}

impl Outcome for Said {
    fn error(&self) -> Option<Option<i32>> {
        match &self.0 {
            Ok(answer) => match &answer.end {
                End::Done => None,
                End::Refused(refusal) => Some(Some(refusal.errno)),
                // An answer that cannot be sent is an error of the socket.
                End::Silent => Some(None),
            },
            Err(error) => {
                let cause = error.downcast_ref::<io::Error>();
                Some(cause.and_then(io::Error::raw_os_error))
            }
        }
    }
}

/// Steps with a management device.
struct Subject<'a> {
    injector: &'a Injector,
    parent: Parent<'a>,
}

/// Makes all checks with a management device.
pub fn run(injector: &Injector, mgmtdev: &str, report: &mut Report) -> Result<()> {
    let subject = Subject {
        injector,
        parent: Parent {
            bus: None,
            name: mgmtdev,
        },
    };
    let name = |step: &str| format!("failures/{mgmtdev}/{step}");

    conclude(report, &name("add"), subject.add());
    Family::open()?.add(&subject.parent, DEVICE)?;
    for (step, request) in requests() {
        let mut family = Family::open()?;
        let request = request(&family, &subject.parent);
        let answer = family.client.ask(&request)?;

        // Not every device has statistics, or has them without a driver.
        if answer.end != End::Done {
            report.note(format_args!("{step}: {}", family::describe(&answer)));
            continue;
        }
        conclude(report, &name(step), subject.ask(&request));
    }
    Family::open()?.remove(DEVICE)?;
    conclude(report, &name("remove"), subject.remove());
    Ok(())
}

type Request = fn(&Family, &Parent<'_>) -> Message;

/// Requests that leave a device as it is.
fn requests() -> [(&'static str, Request); 6] {
    [
        ("ask-parent", |family, parent| {
            family::of_parent(family.request(command::MGMTDEV_GET), parent)
        }),
        ("ask", |family, _| of_device(family, command::DEV_GET)),
        ("ask-configuration", |family, _| {
            of_device(family, command::DEV_CONFIG_GET)
        }),
        ("ask-statistics", |family, _| {
            of_device(family, command::DEV_VSTATS_GET)
                .attribute(attribute::DEV_QUEUE_INDEX, &0u32.to_ne_bytes())
        }),
        ("ask-all", |family, _| family.dump_request(command::DEV_GET)),
        ("ask-all-configurations", |family, _| {
            family.dump_request(command::DEV_CONFIG_GET)
        }),
    ]
}

fn of_device(family: &Family, command: u8) -> Message {
    family.request(command).string(attribute::DEV_NAME, DEVICE)
}

/// Whether the device is there.
fn is_there() -> Result<bool> {
    Ok(Family::open()?.names()?.iter().any(|name| name == DEVICE))
}

/// Checks that the device is there if it should be, where that is known, and removes it.
fn clear(wanted: Option<bool>) -> Result<()> {
    let there = is_there()?;

    ensure!(
        wanted.is_none_or(|wanted| wanted == there),
        "there is {} device",
        if there { "a" } else { "no" }
    );
    if there {
        Family::open()?.remove(DEVICE)?;
    }
    ensure!(!is_there()?, "it was removed and is there");
    Ok(())
}

impl Subject<'_> {
    fn add(&self) -> Result<Repeated> {
        self.injector.each(
            &[],
            Family::open,
            |family| {
                let request = family::of_parent(family.request(command::DEV_NEW), &self.parent);
                Said(
                    family
                        .client
                        .ask(&request.string(attribute::DEV_NAME, DEVICE)),
                )
            },
            |_, said| clear(said.done()),
        )
    }

    fn remove(&self) -> Result<Repeated> {
        self.injector.each(
            &[],
            || {
                let mut family = Family::open()?;
                family.add(&self.parent, DEVICE)?;
                Ok(family)
            },
            |family| Said(family.client.ask(&of_device(family, command::DEV_DEL))),
            |_, said| clear(said.done().map(|done| !done)),
        )
    }

    fn ask(&self, request: &Message) -> Result<Repeated> {
        let repeated = self.injector.each(
            &[],
            Family::open,
            |family| Said(family.client.ask(request)),
            |_, _| Ok(()),
        )?;

        ensure!(is_there().context("afterwards")?, "the device is gone");
        Ok(repeated)
    }
}
