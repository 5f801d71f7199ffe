// SPDX-License-Identifier: GPL-2.0

//! Random use of whatever the modules offer to programs and drivers: nothing that comes of it may
//! harm the kernel.
//!
//! What each thread does follows from the seed and its number alone; how threads interleave, and so
//! what the kernel answers, does not.
//!
//! Every command prints one line for each check, `ok NAME` or `not ok NAME: why`, on standard
//! output. Its exit status is 0 if all checks passed, 1 if one failed or none was made, and 2 if
//! it was called in a way that it does not understand.

mod budget;
mod calls;
mod coverage;
mod journal;
mod kernel_log;
mod rings;
mod sys;
mod tally;
mod team;

use std::process::ExitCode;

use checks::arguments::{Arguments, Misuse};
use checks::report::Report;

const USAGE: &str = "\
usage: fuzz COMMAND [OPTION]...

  calls     calls, messages about mappings, netlink messages, and devices that come and go
      --modules DIR    where the modules are, to load them again and to tell what was
                       reached of them [/modules/ours]
      --worst          with a device of vdpa_worst, which works with the device inner0
  rings     rings that no driver would make
      --dev PATH       for this device; may be given several times

How much of it:
      --seed S         what is done follows from this number [1]
      --seconds N      for so long, or on slow machines until each was done once [60]
      --threads T      in so many threads

All numbers may be decimal or, after 0x, hexadecimal.";

fn run(command: &str, arguments: &mut Arguments, report: &mut Report) -> anyhow::Result<()> {
    match command {
        "calls" => calls::run(arguments, report),
        "rings" => rings::run(arguments, report),
        other => Err(Misuse(format!("there is no command {other:?}")).into()),
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    let Some(command) = arguments.command() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut report = Report::new(std::io::stdout());

    if let Err(error) = run(&command, &mut arguments, &mut report) {
        if error.is::<Misuse>() {
            eprintln!("fuzz {command}: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
        report.check(&command, Err(error));
    }
    report.status()
}
