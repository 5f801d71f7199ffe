// SPDX-License-Identifier: GPL-2.0

//! What the kernel does for modules and devices, with each allocation in it failing in turn.
//!
//! Whatever fails, the answer is an error that says so or the thing that was asked for; nothing is
//! half done, and it works the next time. Whether memory leaks is for the kernel's own detector to
//! tell.

mod devices;
mod modules;

use anyhow::Result;
use checks::faults::{Injector, Repeated};

use crate::arguments::{Arguments, Misuse};
use crate::report::Report;

/// The command `failures`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let module = arguments.optional("--module")?;
    let mgmtdev = arguments.optional("--mgmtdev")?;
    let every = arguments.number("--every", 1, 1..=1000)?;
    arguments.finish()?;

    let injector = Injector::new(every as usize)?;
    match (module, mgmtdev) {
        (Some(path), None) => modules::run(&injector, &path, report)?,
        (None, Some(name)) => devices::run(&injector, &name, report)?,
        _ => return Err(Misuse("either --module or --mgmtdev is needed".into()).into()),
    }
    report.check("failures/injected", injector.check());
    Ok(())
}

/// Reports how often a step was repeated.
fn conclude(report: &mut Report, name: &str, result: Result<Repeated>) {
    if let Ok(repeated) = &result {
        report.note(format_args!("{name}: {repeated}"));
    }
    report.check(name, result.map(drop));
}
