// SPDX-License-Identifier: GPL-2.0

//! Runs test scenarios, each in a virtual machine of its own or several in one, and adds up what was found.
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
mod record;
mod scenario;
mod times;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use pico_args::Arguments;

use accel::Accel;
use outcome::Totals;
use scenario::Scenario;

const USAGE: &str = "\
usage: vm run [--show] [--keep-going] [--record FILE] SCENARIO...
       vm plan [--together N] [--longest SECONDS] SCENARIO...
       vm summary DIR FILE SECONDS

`run' runs scenarios one after the other. A scenario is a path, or the name of one in tests/scenarios, or several
of these with + between them, which are run in one boot.

  --show        print what the scenario prints, as it comes, and nothing else
  --keep-going  run the others when one has failed
  --record FILE leave there what came of it and what it took

`plan' prints what to give to `run', a line each, so that each kind of machine is booted seldom; what may take
long comes first. With --kernel it finds out whether that boots under KVM.

  --debugging         for the debugging kernel
  --together N        boot once for up to N scenarios that ask for the same machine [1]
  --longest SECONDS   which together may not take longer than that [600]

`summary' adds up the records in a directory, of a run that took so many seconds, leaves all of it in a file, and
prints what was most expensive; its last line counts.

For `run' and `plan':

  --kernel DIR  a kernel as /lib/modules/RELEASE, with vmlinux in it [$KERNEL_MODULES]
  --others DIR  the root with programs of others, for scenarios that ask for it [$OTHERS]
  --build DIR   where modules are found and logs are left [build]
";

/// Where things are.
pub struct Places {
    /// The modules of the kernel to boot, as in `/lib/modules/RELEASE`; its image is `vmlinux`
    /// there.
    pub kernel: PathBuf,
    /// The release of that kernel.
    pub release: String,
    /// The root with programs of others, where it was made.
    pub others: Option<PathBuf>,
    /// The directory of what is built: our modules, logs, scratch.
    pub build: PathBuf,
}

/// How the release of the debugging kernel ends (tests/debug/kernel.config).
const DEBUGGING: &str = "-debug";
/// How many times as long a scenario may take there.
const SLOWNESS: u32 = 5;
/// What its command line has for KUnit: suites are run when they are loaded.
const SUITES: [&str; 2] = ["kunit.enable=1", "kunit.autorun=1"];
/// What it has besides where devices write to memory, which the kernel cannot see otherwise: free
/// pages have a known content.
const POISONED: &str = "page_poison=1";

impl Places {
    fn from_arguments(arguments: &mut Arguments) -> Result<Self> {
        let kernel = match arguments.opt_value_from_str::<_, PathBuf>("--kernel")? {
            Some(kernel) => kernel,
            None => std::env::var_os("KERNEL_MODULES")
                .context("which kernel? Give --kernel, or run this by `tools/toolbox run`")?
                .into(),
        };
        let others = arguments
            .opt_value_from_str("--others")?
            .or_else(|| std::env::var_os("OTHERS").map(PathBuf::from));
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
            others,
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

    /// The kernel image, which is an ELF file: to unpack itself takes a kernel a second where it is
    /// emulated.
    pub fn image(&self) -> PathBuf {
        self.kernel.join("vmlinux")
    }

    /// A file that a scenario names: `{kernel}` at its beginning is the directory of the kernel.
    pub fn file(&self, name: &Path) -> PathBuf {
        match name.strip_prefix("{kernel}") {
            Ok(rest) => self.kernel.join(rest),
            Err(_) => name.to_owned(),
        }
    }

    /// The root with programs of others.
    pub fn others(&self) -> Result<&Path> {
        let others = self.others.as_deref();
        others.context("programs of others are not there: `tools/toolbox others' gets them")
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
    match arguments.subcommand()?.as_deref() {
        Some("run") => {
            let places = Places::from_arguments(&mut arguments)?;
            let show = arguments.contains("--show");
            let keep_going = arguments.contains("--keep-going");
            let record: Option<PathBuf> = arguments.opt_value_from_str("--record")?;
            let scenarios = on_kernel(&places, scenarios(places.debugging(), arguments)?);
            check::one_by_one(&places, &scenarios, show, keep_going, record.as_deref())
        }
        Some("plan") => {
            let most = arguments.opt_value_from_str("--together")?.unwrap_or(1);
            let longest = arguments.opt_value_from_str("--longest")?.unwrap_or(600);
            let longest = Duration::from_secs(longest);
            let debugging = arguments.contains("--debugging");
            // Once, before several machines want to know it at a time.
            Accel::detect(&Places::from_arguments(&mut arguments)?)?;
            let scenarios = scenarios(debugging, arguments)?;
            for boot in Scenario::together(scenarios, debugging, most, longest) {
                println!("{}", boot.name);
            }
            Ok(Totals::default())
        }
        Some("summary") => {
            let directory: PathBuf = arguments.free_from_str()?;
            let file: PathBuf = arguments.free_from_str()?;
            let wall = arguments.free_from_str()?;
            let totals = record::summary(&directory, &file, wall)?;
            println!("{totals}");
            Ok(totals)
        }
        Some(other) => bail!("unknown command '{other}'\n{USAGE}"),
        None => bail!("no command\n{USAGE}"),
    }
}

fn scenarios(debugging: bool, arguments: Arguments) -> Result<Vec<Scenario>> {
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
            Scenario::in_one_boot(
                name.split('+')
                    .map(|name| scenario(debugging, name))
                    .collect::<Result<_>>()?,
            )
        })
        .collect()
}

/// The scenario at a path, or of a name, for a debugging kernel or another one.
fn scenario(debugging: bool, name: &str) -> Result<Scenario> {
    let path = if name.ends_with(".sh") {
        PathBuf::from(name)
    } else {
        Path::new("tests/scenarios").join(format!("{name}.sh"))
    };
    Ok(Scenario::read(&path)?.settle(debugging))
}

/// What the kernel changes in them.
fn on_kernel(places: &Places, mut scenarios: Vec<Scenario>) -> Vec<Scenario> {
    if places.debugging() {
        for scenario in &mut scenarios {
            // What it leaves is beside what it leaves on the other kernel.
            scenario.name += DEBUGGING;
            scenario.timeout = places.patience(scenario.timeout);
            let append = &mut scenario.machine.append;
            // What a scenario says itself comes later, and counts.
            append.splice(0..0, SUITES.map(str::to_owned));
            if !scenario.machine.models.is_empty() {
                append.push(POISONED.to_owned());
            }
        }
    }
    scenarios
}
