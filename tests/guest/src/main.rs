// SPDX-License-Identifier: GPL-2.0

//! What the test scenarios run inside a virtual machine, in one static program.
//!
//! Every command prints one line for each check, `ok NAME` or `not ok NAME: why`, on standard
//! output. Its exit status is 0 if all checks passed, 1 if one failed or none was made, and 2 if
//! it was called in a way that it does not understand.

mod bad;
mod blk;
mod counts;
mod failures;
mod frames;

use std::process::ExitCode;

use arguments::Arguments;
use checks::{arguments, random, report};
use guest::{netlink, sys, vdpa};
use report::Report;

const USAGE: &str = "\
usage: guest COMMAND [OPTION]...

  netlink-bad  send malformed, truncated and random messages to the vdpa family
      --mgmtdev NAME      management device of a network device [vdpasim_net]
      --blk-mgmtdev NAME  the same of a block device, used if it is there [vdpasim_blk]
      --dev NAME          name for the device made for the test [bad0]
      --only PREFIX       only the checks whose name begins so
      --skip PREFIX       not those; may be given several times
      --many N            devices in the test of long dumps [60]
      --fuzz N            that many random messages too [0]
      --seed S            what they are derived from [1]
  vdpa dump    decode what the family answers, attribute by attribute
  frames       send Ethernet frames to oneself and compare what comes back
      --if NAME           the interface, which must be up
      --to NAME           another one, which is to receive the frames
      --count N           frames to send [1000]
      --size BYTES        length of each, 32 to 9014 [64]
      --inflight K        how many may be on their way at a time [32]
      --seed S            what the contents are derived from [1]
      --bench             compare sequence numbers only, to measure the device and not the test
      --drop-check        which destinations come back, instead of a stream
  blk          verify a disk; its contents are lost
      --dev PATH          the block device
      --serial TEXT       what its serial number must be
      --discard-zeroes    discarded sectors must read as zeroes
      --seed S            what the contents are derived from [1]
  blk-bench    measure a disk; when writing, its contents are lost
      --dev PATH --rw read|write --size BYTES --depth N --ops N [--random] [--seed S]
  vduse        destroy a VDUSE device that its server has left behind
      --destroy NAME
  counts       print what could leak: references, devices, threads, memory
      --compare FILE      compare with an earlier output instead
      --slack-kb N        how much more memory is no leak [512];
                          on a debugging kernel, which looks itself, any
  failures     repeat each step with the first, second, third ... allocation in it failing
      --module FILE       steps: this module is loaded, unloaded
      --mgmtdev NAME      steps: a device is made, asked about, removed
      --every N           not each of them fails, but one of N [1]

All numbers may be decimal or, after 0x, hexadecimal.";

/// Runs the named command with its options.
fn run(command: &str, arguments: &mut Arguments, report: &mut Report) -> anyhow::Result<()> {
    match command {
        "netlink-bad" => bad::run(arguments, report),
        bad::privilege::COMMAND => bad::privilege::child(arguments, report),
        "vdpa" => vdpa::dump::run(arguments, report),
        "frames" => frames::run(arguments, report),
        "blk" => blk::run(arguments, report),
        "blk-bench" => blk::bench::run(arguments, report),
        "vduse" => vduse(arguments, report),
        "counts" => counts::run(arguments, report),
        "failures" => failures::run(arguments, report),
        other => Err(arguments::Misuse(format!("there is no command {other:?}")).into()),
    }
}

/// The command `vduse`.
fn vduse(arguments: &mut Arguments, report: &mut Report) -> anyhow::Result<()> {
    let name = arguments.required("--destroy")?;
    arguments.finish()?;

    report.check("destroy", sys::vduse::destroy(&name).map_err(Into::into));
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    let Some(command) = arguments.command() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut report = Report::new(std::io::stdout());

    if let Err(error) = run(&command, &mut arguments, &mut report) {
        if error.is::<arguments::Misuse>() {
            eprintln!("guest {command}: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
        report.check(&command, Err(error));
    }
    report.status()
}
