// SPDX-License-Identifier: GPL-2.0

//! What a scenario asks for, in the comment lines at its top.
//!
//! ```text
//! # title: stock virtio_vdpa on our bus
//! # modules: ours/vdpa stock/virtio_vdpa
//! # tools: vdpa mkfs.ext4 guest
//! ```
//!
//! | line | meaning | without it |
//! | --- | --- | --- |
//! | `title` | what it shows, in a few words | the name of the file |
//! | `modules` | modules for the guest, as `FROM/NAME`: `ours`, `stock`, or `c` for the C twins that the stock kernel does not have; what they depend on comes along; `ours/DIRECTORY/NAME` for drivers that were built with `EXTRA` or by `make examples` | none |
//! | `tools` | programs for the guest: of this workspace, or of the root | only busybox |
//! | `files` | files of the project, or of `{kernel}`, which the guest finds in `/files` | none |
//! | `cpus` | virtual CPUs | 2; 1 with `icount`, and on the debugging kernel |
//! | `memory` | as QEMU takes it | 1G |
//! | `timeout` | seconds until it has failed | 120 |
//! | `append` | words for the kernel's command line | none |
//! | `qemu` | more arguments for QEMU | none |
//! | `icount` | `yes`: one CPU, one instruction takes one nanosecond | no |
//! | `model` | a modelled IFC virtual function with these settings, see `ifcvf-model --help` | none |
//! | `iommu` | `intel`: an IOMMU; needs a model | none |
//! | `others` | `yes`: programs of others, from a root of their own that the guest can mount (`tests/others.sh`) | no |
//! | `allocations` | `fail`: the kernel may say so | it may not |
//! | `check` | `no, because …`: only when somebody asks for it | it is part of `make check` |
//! | `debugging` | `only`: for the debugging kernel; `no, because …`: not for that | for all kernels |
//!
//! `modules`, `tools`, `files`, `append`, `qemu` and `model` may be given on several lines. In
//! `qemu` and `model`, `{dir}` stands for a directory in which sockets can be.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};

use crate::modules::ModuleName;

/// A script and what it asks for; or several that are run in one boot.
pub struct Scenario {
    /// The name of the file without its ending.
    pub name: String,
    /// The scripts, in the order in which they are run.
    pub scripts: Vec<PathBuf>,
    /// What it shows, in a few words.
    pub title: String,
    /// Modules that the guest shall find.
    pub modules: Vec<ModuleName>,
    /// Programs that the guest shall find.
    pub tools: Vec<String>,
    /// Files that the guest shall find.
    pub files: Vec<PathBuf>,
    /// How long it may take.
    pub timeout: Duration,
    /// What it is run on.
    pub machine: Machine,
    /// For which kernels it is.
    pub kernels: Kernels,
}

/// A machine, without what is in it. Scenarios that ask for the same one can share a boot.
#[derive(PartialEq, Eq)]
pub struct Machine {
    /// Virtual CPUs; 0 until it is settled.
    pub cpus: u32,
    /// Memory, as QEMU takes it.
    pub memory: String,
    /// Words for the kernel's command line.
    pub append: Vec<String>,
    /// More arguments for QEMU.
    pub qemu: Vec<String>,
    /// Whether time is counted in instructions.
    pub icount: bool,
    /// Settings of each modelled device.
    pub models: Vec<String>,
    /// Whether there is an IOMMU.
    pub iommu: bool,
    /// Whether there is the root with programs of others.
    pub others: bool,
    /// Whether allocations fail, of which the kernel may speak.
    pub allocations_fail: bool,
}

/// Kernels that a scenario can be run on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kernels {
    /// All.
    All,
    /// The debugging kernel.
    Debugging,
    /// All but that, and why.
    NotDebugging(String),
}

impl Kernels {
    /// Why a scenario cannot be run on a kernel, if so.
    pub fn refusal(&self, debugging: bool) -> Option<&str> {
        match self {
            Kernels::Debugging if !debugging => Some("it is for the debugging kernel"),
            Kernels::NotDebugging(why) if debugging => Some(why),
            _ => None,
        }
    }

    /// Those that both can be run on, if there are any.
    fn both(&self, other: &Self) -> Option<Self> {
        let both = if *self == Kernels::All { other } else { self };
        let runs = |debugging| {
            [self, other]
                .iter()
                .all(|kernels| kernels.refusal(debugging).is_none())
        };
        (runs(false) || runs(true)).then(|| both.clone())
    }
}

impl FromStr for Kernels {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(", ") {
            None if text == "only" => Ok(Kernels::Debugging),
            Some(("no", why)) => Ok(Kernels::NotDebugging(why.to_owned())),
            _ => bail!("'{text}' is neither 'only' nor 'no, ' and why not"),
        }
    }
}

impl Scenario {
    /// Reads the script and the lines at its top.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(path, &text).with_context(|| path.display().to_string())
    }

    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let name = path
            .file_stem()
            .context("no name")?
            .to_string_lossy()
            .into_owned();
        let mut scenario = Self {
            title: name.clone(),
            name,
            scripts: vec![path.to_owned()],
            modules: Vec::new(),
            tools: Vec::new(),
            files: Vec::new(),
            timeout: Duration::from_secs(120),
            machine: Machine {
                cpus: 0,
                memory: "1G".to_owned(),
                append: Vec::new(),
                qemu: Vec::new(),
                icount: false,
                models: Vec::new(),
                iommu: false,
                others: false,
                allocations_fail: false,
            },
            kernels: Kernels::All,
        };
        for line in text.lines().take_while(|line| line.starts_with('#')) {
            if let Some((key, value)) = header(line) {
                scenario
                    .set(key, value)
                    .with_context(|| format!("line '{line}'"))?;
            }
        }
        let machine = &mut scenario.machine;
        ensure!(
            !machine.icount || machine.cpus <= 1,
            "with icount there is one CPU"
        );
        ensure!(
            !machine.iommu || !machine.models.is_empty(),
            "an IOMMU is of use to models only"
        );
        if machine.icount {
            machine.cpus = 1;
        }
        Ok(scenario)
    }

    /// Has it have virtual CPUs, if it does not say how many. The debugging kernel takes locks of its own at each
    /// allocation and at each lock, so that where a second one is emulated, a third of the time is spent waiting for
    /// these; what is about concurrency says that it wants two.
    pub fn settle(mut self, debugging: bool) -> Self {
        if self.machine.cpus == 0 {
            self.machine.cpus = if debugging { 1 } else { 2 };
        }
        self
    }

    /// Has another one run after this one, in the same boot.
    fn append(&mut self, other: Self) {
        self.kernels = self.kernels.both(&other.kernels).unwrap_or(other.kernels);
        self.name = format!("{}+{}", self.name, other.name);
        self.title = format!("{}; {}", self.title, other.title);
        self.scripts.extend(other.scripts);
        self.modules.extend(other.modules);
        self.tools.extend(other.tools);
        self.files.extend(other.files);
        self.timeout += other.timeout;
    }

    /// Whether both can be run in one boot: they ask for the same machine, and there is a kernel for both.
    fn fits(&self, other: &Self) -> bool {
        self.machine == other.machine && self.kernels.both(&other.kernels).is_some()
    }

    /// Puts those that can be run in one boot together, `most` of them at most and no longer than
    /// `longest`, and what may take long first. What that kernel refuses is not together with what it does not.
    pub fn together(
        mut scenarios: Vec<Self>,
        debugging: bool,
        most: usize,
        longest: Duration,
    ) -> Vec<Self> {
        let is_refused = |scenario: &Self| scenario.kernels.refusal(debugging).is_some();
        let mut boots: Vec<Self> = Vec::new();
        scenarios.sort_by_key(|scenario| Reverse(scenario.timeout));
        for scenario in scenarios {
            let takes = |boot: &&mut Self| {
                boot.scripts.len() < most
                    && boot.timeout + scenario.timeout <= longest
                    && boot.fits(&scenario)
                    && is_refused(boot) == is_refused(&scenario)
            };
            match boots.iter_mut().find(takes) {
                Some(boot) => boot.append(scenario),
                None => boots.push(scenario),
            }
        }
        boots.sort_by_key(|boot| Reverse(boot.timeout));
        boots
    }

    /// Several that are run in one boot, in this order.
    pub fn in_one_boot(scenarios: Vec<Self>) -> Result<Self> {
        let mut scenarios = scenarios.into_iter();
        let mut boot = scenarios.next().context("no scenario")?;
        for scenario in scenarios {
            ensure!(
                boot.fits(&scenario),
                "{} does not ask for the same machine as {}",
                scenario.name,
                boot.name
            );
            boot.append(scenario);
        }
        Ok(boot)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let words = || value.split_whitespace();
        let machine = &mut self.machine;
        match key {
            "title" => self.title = value.to_owned(),
            "modules" => {
                for word in words() {
                    self.modules.push(word.parse()?);
                }
            }
            "tools" => self.tools.extend(words().map(str::to_owned)),
            "files" => self.files.extend(words().map(PathBuf::from)),
            "cpus" => machine.cpus = number(value)?,
            "memory" => machine.memory = value.to_owned(),
            "timeout" => self.timeout = Duration::from_secs(number(value)?.into()),
            "append" => machine.append.extend(words().map(str::to_owned)),
            "qemu" => machine.qemu.extend(words().map(str::to_owned)),
            "icount" => machine.icount = yes_or_no(value)?,
            "others" => machine.others = yes_or_no(value)?,
            "model" => machine.models.push(value.to_owned()),
            "iommu" => match value {
                "intel" => machine.iommu = true,
                _ => bail!("'{value}' is no IOMMU that is known; intel is"),
            },
            "allocations" => match value {
                "fail" => machine.allocations_fail = true,
                _ => bail!("allocations can 'fail', not '{value}'"),
            },
            // For tools/steps.
            "check" => ensure!(
                value.starts_with("no, "),
                "'{value}' is not 'no, ' and why not"
            ),
            "debugging" => self.kernels = value.parse()?,
            _ => bail!(
                "no such key '{key}'; there are title, modules, tools, files, cpus, memory, \
                 timeout, append, qemu, icount, model, iommu, others, allocations, \
                 check and debugging"
            ),
        }
        Ok(())
    }
}

/// Splits `# key: value`; other comments are for people.
fn header(line: &str) -> Option<(&str, &str)> {
    // A key may have nothing after it.
    let (key, value) = line.strip_prefix("# ")?.split_once(':')?;
    if !value.is_empty() && !value.starts_with(' ') {
        return None;
    }
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase());
    is_key.then(|| (key, value.trim()))
}

fn yes_or_no(value: &str) -> Result<bool> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => bail!("'{value}' is neither yes nor no"),
    }
}

fn number(value: &str) -> Result<u32> {
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => bail!("'{value}' is not a number above 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Scenario> {
        Scenario::parse(Path::new("tests/scenarios/some.sh"), text)
    }

    #[test]
    fn values_and_defaults() {
        let scenario = parse(
            "# SPDX-License-Identifier: GPL-2.0\n#\n# title: a: b\n# modules: ours/vdpa stock/ext4\n\
             # modules: c/vdpa_sim\n# timeout: 7\n\n# tools: late\n",
        )
        .unwrap();
        assert_eq!(scenario.name, "some");
        assert_eq!(scenario.title, "a: b");
        assert_eq!(scenario.modules.len(), 3);
        assert_eq!(scenario.timeout, Duration::from_secs(7));
        assert_eq!(scenario.machine.cpus, 0);
        assert!(
            scenario.tools.is_empty(),
            "below the first empty line is the script"
        );
        assert_eq!(scenario.settle(false).machine.cpus, 2);
    }

    #[test]
    fn refusals() {
        for text in [
            "# module: ours/vdpa",
            "# modules: vdpa",
            "# modules: theirs/vdpa",
            "# timeout: 0",
            "# cpus: two",
            "# icount: maybe",
            "# others: some",
            "# check: no",
            "# icount: yes\n# cpus: 2",
            "# iommu: intel",
            "# iommu: amd\n# model:",
            "# allocations: succeed",
            "# debugging: also",
            "# debugging: yes",
            "# debugging: no",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let cpus = |text| parse(text).unwrap().settle(true).machine.cpus;
        assert_eq!(cpus("# icount: yes"), 1);
        assert_eq!(cpus("# cpus: 2"), 2);
        assert_eq!(cpus("# title: any"), 1);
    }

    #[test]
    fn kernels() {
        let refusal = |text: &str, debugging| {
            let scenario = parse(text).unwrap();
            scenario.kernels.refusal(debugging).map(str::to_owned)
        };
        assert_eq!(refusal("# cpus: 1", true), None);
        assert_eq!(refusal("# debugging: only", true), None);
        assert!(refusal("# debugging: only", false).is_some());
        let slow = "# debugging: no, it is slow";
        assert_eq!(refusal(slow, true).as_deref(), Some("it is slow"));
        assert_eq!(refusal(slow, false), None);
    }

    #[test]
    fn same_machines_are_booted_once() {
        let texts = [
            "# tools: a",
            "# cpus: 3",
            "# tools: b\n# timeout: 7",
            "",
            "# cpus: 3",
        ];
        let scenarios = texts.iter().map(|text| parse(text).unwrap()).collect();
        let boots = Scenario::together(scenarios, false, 2, Duration::from_secs(241));
        let scripts: Vec<_> = boots.iter().map(|boot| boot.scripts.len()).collect();
        // In the order of what they may take: 240 s twice, 7 s.
        assert_eq!(scripts, [2, 2, 1]);
        assert_eq!(boots[0].tools, ["a"]);
        assert_eq!(boots[2].tools, ["b"]);
        assert_eq!(boots[0].timeout, Duration::from_secs(240));
        assert_eq!(boots[0].name, "some+some");
    }

    #[test]
    fn boots_are_not_too_long() {
        let texts = ["# timeout: 60", "# timeout: 50", "# timeout: 40"];
        let scenarios = texts.iter().map(|text| parse(text).unwrap()).collect();
        let boots = Scenario::together(scenarios, false, 9, Duration::from_secs(100));
        let timeouts: Vec<_> = boots.iter().map(|boot| boot.timeout.as_secs()).collect();
        assert_eq!(timeouts, [100, 50]);
    }

    #[test]
    fn what_is_refused_takes_nothing_along() {
        let texts = ["# title: any", "# debugging: only", "# debugging: no, why"];
        let boots = |debugging| {
            let scenarios = texts.iter().map(|text| parse(text).unwrap()).collect();
            let boots = Scenario::together(scenarios, debugging, 9, Duration::from_secs(999));
            boots
                .iter()
                .map(|boot| boot.scripts.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(boots(false), [2, 1]);
        assert_eq!(boots(true), [2, 1]);
    }

    #[test]
    fn one_boot_is_one_machine() {
        let boot = |texts: &[&str]| {
            Scenario::in_one_boot(texts.iter().map(|text| parse(text).unwrap()).collect())
        };
        assert_eq!(boot(&["# cpus: 3", "# cpus: 3"]).unwrap().scripts.len(), 2);
        assert!(boot(&["# cpus: 3", "# cpus: 2"]).is_err());
        assert!(boot(&["# others: yes", "# others: no"]).is_err());
        assert!(boot(&["# debugging: only", "# debugging: no, why"]).is_err());
        let both = boot(&["# title: any", "# debugging: no, why"]).unwrap();
        assert_eq!(both.kernels.refusal(true), Some("why"));
        assert!(boot(&[]).is_err());
    }

    #[test]
    fn sentences_are_no_headers() {
        assert!(parse("# Note: this is prose.\n# see tests/x: also prose").is_ok());
    }
}
