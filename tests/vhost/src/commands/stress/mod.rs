// SPDX-License-Identifier: GPL-2.0

//! Many at the same time, and ends that nobody expects.

mod child;
mod fuzz;
mod threads;

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use checks::arguments::Arguments;
use checks::random::{Random, MAX_SEED};
use checks::report::Report;
use vhost_client::device::Device;
use vhost_client::memory::Kind;
use vhost_client::process::Pinned;
use vhost_client::traffic::Running;
use vhost_client::uapi::backend;

pub use child::run as run_child;

/// The name of the command by which this program starts itself.
pub const CHILD: &str = "stress-child";

/// The command `stress`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let rounds = arguments.number("--rounds", 20, 1..=1_000_000)?;
    let count = arguments.number("--count", 200, 1..=1_000_000)? as usize;
    let seed = arguments.number("--seed", 1, 0..=MAX_SEED)?;
    let only = arguments.optional("--only")?;
    arguments.finish()?;

    let before = Pinned::now()?;
    for what in threads::DISTURBANCES {
        if only.as_deref().is_none_or(|only| only == what.name) {
            report.check(
                format_args!("stress/{}", what.name),
                threads::run(&path, what, seed, count),
            );
        }
    }
    if only.is_some() {
        return Ok(());
    }
    report.check(
        format_args!("stress/random-calls-{rounds}-times"),
        fuzz::run(&path, rounds, seed),
    );
    report.check(
        format_args!("stress/killed-{rounds}-times"),
        killed(&path, rounds, seed),
    );
    report.check("stress/works-afterwards", works(&path));
    report.check("stress/nothing-pinned", before.unchanged());
    Ok(())
}

/// The device does what it is made for.
pub fn works(path: &str) -> Result<()> {
    Running::start(path, Kind::File, 0, backend::ALL)?
        .traffic
        .prove(7, 50)
}

/// Programs that use the device are killed whatever they are doing. It can be opened as soon as
/// they are gone.
fn killed(path: &str, rounds: u64, seed: u64) -> Result<()> {
    let mut random = Random::new(seed);

    for round in 0..rounds {
        let child = start_child(path, random.below(u64::from(u32::MAX)))?;
        // Often while it is about to begin.
        let longest = random.pick(&[3, 20, 150]);

        thread::sleep(Duration::from_micros(random.below(longest * 1000)));
        let output = end_child(child)?;
        ensure!(output.is_empty(), "round {round}: it says {output:?}");

        let device = Device::open(path).with_context(|| format!("round {round}: opening"))?;
        let status = device.status()?;
        ensure!(status == 0, "round {round}: the status is {status:#x}");
        drop(device);
        if round % 8 == 7 {
            works(path).with_context(|| format!("after round {round}"))?;
        }
    }
    Ok(())
}

fn start_child(path: &str, seed: u64) -> Result<Child> {
    Ok(Command::new("/proc/self/exe")
        .args([CHILD, "--dev", path, "--seed", &seed.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?)
}

/// Kills a child, and gives what it said: it has nothing to say unless something is wrong.
fn end_child(mut child: Child) -> Result<String> {
    let mut output = String::new();

    child.kill()?;
    child.wait()?;
    match child.stdout.take() {
        Some(mut stdout) => stdout.read_to_string(&mut output)?,
        None => bail!("its output is lost"),
    };
    Ok(output)
}
