// SPDX-License-Identifier: GPL-2.0

//! Bad input to the vdpa family: every message is refused as it should be, changes nothing, and
//! leaves the family at work.

pub mod case;
pub mod checker;
pub mod framing;
pub mod fuzz;
pub mod many;
pub mod meaning;
pub mod numbers;
pub mod privilege;
pub mod strings;
pub mod subject;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::random::MAX_SEED;
use crate::report::Report;
use checker::Checker;
use subject::{Names, Subject};

/// Which checks to make.
pub struct Filter {
    only: Option<String>,
    skip: Vec<String>,
}

impl Filter {
    /// Whether to make the check `name`.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.starts_with(only))
            && !self.skip.iter().any(|skip| name.starts_with(skip))
    }
}

/// The command `netlink-bad`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let names = Names {
        mgmtdev: arguments.text("--mgmtdev", "vdpasim_net")?,
        disk_mgmtdev: arguments.text("--blk-mgmtdev", "vdpasim_blk")?,
        device: arguments.text("--dev", "bad0")?,
    };
    let filter = Filter {
        only: arguments.optional("--only")?,
        skip: arguments.all("--skip")?,
    };
    let many = arguments.number("--many", 60, 2..=10_000)?;
    let fuzz = arguments.number("--fuzz", 0, 0..=u64::MAX)?;
    let seed = arguments.number("--seed", 1, 0..=MAX_SEED)?;
    arguments.finish()?;

    let subject = Subject::prepare(&names)?;
    let mut checker = Checker::new(&subject, &filter)?;

    report.note(format_args!("subject: {subject:?}"));
    for case in meaning::cases(&subject)
        .into_iter()
        .chain(strings::cases(&subject))
        .chain(numbers::cases(&subject))
        .chain(framing::cases(&subject))
    {
        checker.run(report, &case)?;
    }
    meaning::change_address(&mut checker, report)?;
    framing::several_at_once(&mut checker, report)?;
    privilege::run(&mut checker, report)?;
    many::run(&mut checker, report, many as usize)?;
    fuzz::run(&mut checker, report, fuzz, seed)?;
    drop(checker);

    report.check("end/nothing-is-left", subject.remove());
    Ok(())
}
