// SPDX-License-Identifier: GPL-2.0

//! Runs test scenarios, each in a virtual machine of its own.
//!
//! A scenario is a shell script for busybox; comment lines at its top say which modules and
//! programs it needs (see [`scenario`]). The guest has two serial ports: the kernel's console, and
//! what the scenario itself prints. A scenario passes if it reached its end, all its checks passed,
//! it made at least one, and the kernel reported nothing wrong.
//!
//! This program runs in the root of the toolbox, which has QEMU, busybox and the programs that
//! scenarios name: `tools/toolbox run …`.

mod accel;
mod check;
mod console;
mod emulator;
mod initramfs;
mod model;
mod modules;
mod outcome;
mod qemu;
mod scenario;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use pico_args::Arguments;

use outcome::Totals;
use scenario::Scenario;

const USAGE: &str = "\
usage: vm run [--show] [--keep-going] SCENARIO...   one after the other
       vm check [-j N] [--together N] SCENARIO...   several at a time; the last line counts

A scenario is a path, or the name of one in tests/scenarios.

  --show        print what the scenario prints, as it comes, and nothing else
  --keep-going  run the others when one has failed
  -j N          so many at a time [one for each CPU, at most 8]
  --together N  boot once for up to N scenarios that ask for the same machine [1]
  --kernel DIR  a kernel as /lib/modules/RELEASE, with vmlinuz in it [$KERNEL_MODULES]
  --build DIR   where modules are found and logs are left [build]
";

/// Where things are.
pub struct Places {
    /// The modules of the kernel to boot, as in `/lib/modules/RELEASE`; its image is `vmlinuz`
    /// there.
    pub kernel: PathBuf,
    /// The release of that kernel.
    pub release: String,
    /// The directory of what is built: our modules, logs, scratch.
    pub build: PathBuf,
}

/// How the release of the debugging kernel ends (tests/debug/kernel.config).
const DEBUGGING: &str = "-debug";
/// How many times as long a scenario may take there.
const SLOWNESS: u32 = 5;
/// What its command line needs besides: free pages have a known content.
const POISONED: &str = "page_poison=1";

impl Places {
    fn from_arguments(arguments: &mut Arguments) -> Result<Self> {
        let kernel = match arguments.opt_value_from_str::<_, PathBuf>("--kernel")? {
            Some(kernel) => kernel,
            None => std::env::var_os("KERNEL_MODULES")
                .context("which kernel? Give --kernel, or run this by `tools/toolbox run`")?
                .into(),
        };
        let build = arguments
            .opt_value_from_str("--build")?
            .unwrap_or_else(|| "build".into());
        let release = kernel
            .file_name()
            .and_then(|name| name.to_str())
            .with_context(|| format!("{} is not named as a kernel release", kernel.display()))?
            .to_owned();
        Ok(Self {
            kernel,
            release,
            build,
        })
    }

    /// Whether that is the debugging kernel, which looks closely and is slow.
    pub fn debugging(&self) -> bool {
        self.release.ends_with(DEBUGGING)
    }

    /// How long something may take that takes no longer than `limit` on a kernel as users have it.
    pub fn patience(&self, limit: Duration) -> Duration {
        if self.debugging() {
            limit * SLOWNESS
        } else {
            limit
        }
    }

    /// Whether modules of ours are built in, which run before the first program does.
    pub fn ours_built_in(&self) -> bool {
        std::fs::read_to_string(self.kernel.join("modules.builtin"))
            .is_ok_and(|list| list.contains("drivers/vdpa/rust/"))
    }

    /// The kernel image.
    pub fn image(&self) -> PathBuf {
        self.kernel.join("vmlinuz")
    }

    /// A directory below the build directory, which is made.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let directory = self.build.join(name);
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(directory)
    }
}

fn main() -> ExitCode {
    match command(Arguments::from_env()) {
        Ok(totals) if totals.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vm: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn command(mut arguments: Arguments) -> Result<Totals> {
    if arguments.contains(["-h", "--help"]) {
        print!("{USAGE}");
        return Ok(Totals::default());
    }
    let places = Places::from_arguments(&mut arguments)?;
    match arguments.subcommand()?.as_deref() {
        Some("run") => {
            let show = arguments.contains("--show");
            let keep_going = arguments.contains("--keep-going");
            let scenarios = on_kernel(&places, scenarios(arguments)?);
            check::one_by_one(&places, &scenarios, show, keep_going)
        }
        Some("check") => {
            let jobs = arguments.opt_value_from_str("-j")?;
            let most = arguments.opt_value_from_str("--together")?.unwrap_or(1);
            let scenarios = Scenario::together(scenarios(arguments)?, most);
            check::in_parallel(&places, on_kernel(&places, scenarios), jobs)
        }
        Some(other) => bail!("unknown command '{other}'\n{USAGE}"),
        None => bail!("no command\n{USAGE}"),
    }
}

fn scenarios(arguments: Arguments) -> Result<Vec<Scenario>> {
    let names = arguments.finish();
    if names.is_empty() {
        bail!("no scenario\n{USAGE}");
    }
    names
        .iter()
        .map(|name| {
            let name = name.to_string_lossy();
            if name.starts_with('-') {
                bail!("unknown option '{name}'\n{USAGE}");
            }
            let path = if name.ends_with(".sh") {
                PathBuf::from(&*name)
            } else {
                Path::new("tests/scenarios").join(format!("{name}.sh"))
            };
            Scenario::read(&path)
        })
        .collect()
}

/// What the kernel changes in them.
fn on_kernel(places: &Places, mut scenarios: Vec<Scenario>) -> Vec<Scenario> {
    if places.debugging() {
        for scenario in &mut scenarios {
            // What it leaves is beside what it leaves on the other kernel.
            scenario.name += DEBUGGING;
            scenario.timeout = places.patience(scenario.timeout);
            scenario.machine.append.push(POISONED.to_owned());
        }
    }
    scenarios
}
