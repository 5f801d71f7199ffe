// SPDX-License-Identifier: GPL-2.0

//! Sends one message after the other, and looks at everything after each.

use anyhow::{ensure, Context, Result};

use super::case::{judge, Case};
use super::subject::Subject;
use super::Filter;
use crate::netlink::{End, Part};
use crate::report::Report;
use crate::vdpa::family::describe;
use crate::vdpa::schema::{attribute, command};
use crate::vdpa::Family;

/// What a bad message must not change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    names: Vec<String>,
    management: Vec<Part>,
    device: Part,
    configuration: Part,
}

impl State {
    fn read(family: &mut Family, subject: &Subject) -> Result<Self> {
        Ok(Self {
            names: family.names()?,
            management: family.dump(command::MGMTDEV_GET)?,
            device: family.device(&subject.device)?,
            configuration: family.configuration(&subject.device)?,
        })
    }

    /// Says how another state differs.
    fn compare(&self, now: &Self) -> Result<()> {
        ensure!(
            self.names == now.names,
            "the devices were {:?}, now they are {:?}",
            self.names,
            now.names
        );
        difference(&self.device, &now.device).context("the device has changed")?;
        difference(&self.configuration, &now.configuration)
            .context("the configuration has changed")?;
        ensure!(
            self.management == now.management,
            "the management devices have changed"
        );
        Ok(())
    }
}

/// Names the first attribute in which two answers differ.
fn difference(before: &Part, after: &Part) -> Result<()> {
    let (old, new) = (before.attributes()?, after.attributes()?);

    for (old, new) in old.iter().zip(&new) {
        ensure!(
            old == new,
            "attribute {} was {:02x?}, now attribute {} is {:02x?}",
            old.kind,
            old.value,
            new.kind,
            new.value
        );
    }
    ensure!(
        before == after,
        "there were {} attributes, now there are {}",
        old.len(),
        new.len()
    );
    Ok(())
}

/// Sends messages and looks at the consequences.
pub struct Checker<'a> {
    /// The connection that they are sent on.
    pub family: Family,
    /// What they are about.
    pub subject: &'a Subject,
    filter: &'a Filter,
    before: State,
}

impl<'a> Checker<'a> {
    /// Remembers the present state: no message may change it.
    pub fn new(subject: &'a Subject, filter: &'a Filter) -> Result<Self> {
        let mut family = Family::open()?;

        Ok(Self {
            before: State::read(&mut family, subject)?,
            family,
            subject,
            filter,
        })
    }

    /// Whether to make the check `name`.
    pub fn wants(&self, name: &str) -> bool {
        self.filter.wants(name)
    }

    /// Names of the devices that there should be.
    pub fn names(&self) -> &[String] {
        &self.before.names
    }

    /// Makes the check of one case, and repairs what it broke. Fails only if that is impossible.
    pub fn run(&mut self, report: &mut Report, case: &Case) -> Result<()> {
        if !self.wants(&case.name) {
            return Ok(());
        }
        let verdict = self.ask(case);

        self.report(report, &case.name, verdict)
    }

    /// Reports a check, with any change of the state that it brought, and repairs that. Fails only
    /// if that is impossible.
    pub fn report(&mut self, report: &mut Report, name: &str, verdict: Result<()>) -> Result<()> {
        if verdict.is_err() {
            // Answers that nobody has read must not be taken for others.
            self.family = Family::open()?;
        }
        let change = self.change();
        let changed = change.is_err();

        report.check(
            name,
            match (verdict, change) {
                (Err(why), Err(change)) => Err(anyhow::anyhow!("{why:#}; and {change:#}")),
                (Err(why), Ok(())) | (Ok(()), Err(why)) => Err(why),
                (Ok(()), Ok(())) => Ok(()),
            },
        );
        if changed {
            self.repair()
                .with_context(|| format!("cannot go on after {name}"))?;
        }
        Ok(())
    }

    /// Sends the message of a case, and judges the answer.
    fn ask(&mut self, case: &Case) -> Result<()> {
        let answer = self.family.client.ask(&case.message)?;

        judge(&case.expect, &answer)?;
        match case.made() {
            Some(name) if answer.end == End::Done => self.unmake(name),
            _ => Ok(()),
        }
    }

    /// Removes a device that a case was allowed to make, and fails unless it could be seen.
    fn unmake(&mut self, name: &str) -> Result<()> {
        let seen = self.is_seen(name);

        // One that cannot be seen could not be found later.
        self.family.remove(name).context("it was made").and(seen)
    }

    fn is_seen(&mut self, name: &str) -> Result<()> {
        self.family
            .device(name)
            .context("it was made, but cannot be seen")?;
        ensure!(
            self.family.names()?.iter().any(|found| found == name),
            "it was made, but is not among all devices"
        );
        Ok(())
    }

    /// Fails if the state is not as before.
    fn change(&mut self) -> Result<()> {
        let now = State::read(&mut self.family, self.subject)?;

        self.before.compare(&now)
    }

    /// Makes the state again as it was before: only what was there, and all of it.
    pub fn repair(&mut self) -> Result<()> {
        self.family = Family::open()?;

        // Names as the kernel gives them, as they need not be text.
        let mut found = Vec::new();
        for part in self.family.dump(command::DEV_GET)? {
            found.push(part.find(attribute::DEV_NAME).context("no name")?);
        }
        for name in &found {
            let is = |known: &String| name.strip_suffix(&[0]) == Some(known.as_bytes());

            // The subject may have been changed in a way that nobody sees.
            if is(&self.subject.device) || !self.before.names.iter().any(is) {
                self.remove(name)?;
            }
        }

        self.subject.make(&mut self.family)?;
        if let Some(disk) = &self.subject.disk {
            if !self.family.names()?.contains(&disk.device) {
                self.subject.make_disk(&mut self.family, disk)?;
            }
        }
        self.before = State::read(&mut self.family, self.subject)?;
        Ok(())
    }

    /// Removes a device whose name is given with its zero byte.
    fn remove(&mut self, name: &[u8]) -> Result<()> {
        let message = self
            .subject
            .request(command::DEV_DEL)
            .attribute(attribute::DEV_NAME, name);
        let answer = self.family.client.ask(&message)?;

        ensure!(
            answer.end == End::Done,
            "cannot remove the device {:?}: {}",
            String::from_utf8_lossy(name),
            describe(&answer)
        );
        Ok(())
    }
}
