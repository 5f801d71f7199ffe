// SPDX-License-Identifier: GPL-2.0

//! Kernel modules: where they come from, what they depend on, and a copy that a guest can load.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{bail, ensure, Context, Result};

use crate::Places;

/// Who built a module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// This project.
    Ours,
    /// The distribution.
    Stock,
    /// The C twins, built from the distribution's source.
    C,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Source::Ours => "ours",
            Source::Stock => "stock",
            Source::C => "c",
        }
    }
}

/// A module and who built it, written `FROM/NAME`, or `ours/DIRECTORY/NAME` for one of a driver that was built from a
/// directory of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ModuleName {
    /// Who built it.
    pub source: Source,
    /// Its name as `lsmod` shows it.
    pub name: String,
}

impl FromStr for ModuleName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (source, name) = text
            .split_once('/')
            .with_context(|| format!("'{text}' does not say where from: FROM/NAME"))?;
        let source = match source {
            "ours" => Source::Ours,
            "stock" => Source::Stock,
            "c" => Source::C,
            _ => bail!("'{text}': modules come from ours, stock or c"),
        };
        Ok(Self {
            source,
            name: name.replace('-', "_"),
        })
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source.name(), self.name)
    }
}

/// A module that can be loaded as it is.
#[derive(Debug)]
pub struct Module {
    /// The file, neither compressed nor with debugging information.
    pub file: PathBuf,
    /// What must be loaded before it, in this order.
    pub needs: Vec<ModuleName>,
}

/// Finds the modules named and all that they depend on.
pub fn resolve(places: &Places, names: &[ModuleName]) -> Result<BTreeMap<ModuleName, Module>> {
    let mut found = BTreeMap::new();
    let mut wanted: VecDeque<_> = names.iter().cloned().collect();
    while let Some(name) = wanted.pop_front() {
        if found.contains_key(&name) {
            continue;
        }
        let module = match name.source {
            Source::Stock => stock(places, &name)?,
            Source::Ours | Source::C => built(places, &name)?,
        };
        wanted.extend(module.needs.iter().cloned());
        found.insert(name, module);
    }
    Ok(found)
}

/// The directory of the modules that were built here.
fn built_directory(places: &Places, source: Source) -> PathBuf {
    let kind = if source == Source::C {
        "c-modules"
    } else {
        "modules"
    };
    places.build.join(kind).join(&places.release)
}

fn built(places: &Places, name: &ModuleName) -> Result<Module> {
    let directory = built_directory(places, name.source);
    let path = directory.join(format!("{}.ko", name.name));
    ensure!(
        path.exists(),
        "there is no module {name} ({})",
        path.display()
    );

    let depends = output(Command::new("modinfo").args(["-F", "depends"]).arg(&path))?;
    let needs = depends
        .trim()
        .split(',')
        .filter(|need| !need.is_empty())
        .map(|need| {
            // A twin of the same make, if there is one; else the distribution's.
            let twin = directory.join(format!("{need}.ko")).exists();
            let source = if twin { name.source } else { Source::Stock };
            ModuleName {
                source,
                name: need.replace('-', "_"),
            }
        });
    let needs = needs.collect();

    let file = places.scratch(&format!("vm/{}/{}", name.source.name(), places.release))?;
    let file = file.join(format!("{}.ko", name.name));
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    strip(&path, &file)?;
    Ok(Module { file, needs })
}

fn stock(places: &Places, name: &ModuleName) -> Result<Module> {
    let mut base = places.kernel.clone();
    ensure!(
        base.pop() && base.ends_with("lib/modules"),
        "{} is not as /lib/modules/RELEASE",
        places.kernel.display()
    );
    let listed = output(
        Command::new("modprobe")
            .args([
                "--show-depends",
                "--config",
                "/dev/null",
                "--set-version",
                &places.release,
            ])
            .arg("--dirname")
            .arg(base.join("../.."))
            .arg(&name.name),
    )
    .with_context(|| format!("there is no module {name}"))?;

    // In the order of loading; the last is the module itself.
    let mut paths = listed
        .lines()
        .filter_map(|line| line.strip_prefix("insmod "));
    let path = paths.next_back().map(|path| Path::new(path.trim()));
    let path =
        path.with_context(|| format!("{name} is built into the kernel: do not ask for it"))?;
    let needs = paths.map(|path| ModuleName {
        source: Source::Stock,
        name: stem(path.trim()),
    });
    let needs = needs.collect();

    let file = places.scratch(&format!("vm/stock/{}", places.release))?;
    let file = file.join(format!("{}.ko", name.name));
    refresh(path, &file, |new| {
        let compressed = path.extension().is_some_and(|end| end == "xz");
        let program = if compressed { "xzcat" } else { "cat" };
        let to = fs::File::create(new)?;
        let status = Command::new(program).arg(path).stdout(to).status()?;
        ensure!(status.success(), "{program} {} failed", path.display());
        Ok(())
    })?;
    Ok(Module { file, needs })
}

/// Makes a copy without debugging information, which would only have to be unpacked.
pub fn strip(from: &Path, to: &Path) -> Result<()> {
    refresh(from, to, |new| {
        output(
            Command::new("strip")
                .args(["--strip-debug", "-o"])
                .arg(new)
                .arg(from),
        )
        .map(drop)
    })
}

/// The name of a module, from its file's.
fn stem(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// Makes `to` by `make` if it is older than `from`. Others may be doing the same.
fn refresh(from: &Path, to: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    if matches!((changed(to), changed(from)), (Ok(to), Ok(from)) if to > from) {
        return Ok(());
    }
    // Others run in process namespaces of their own, where numbers of processes are the same.
    let unique = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let new = to.with_extension(unique.trim());
    make(&new).with_context(|| format!("cannot make {}", to.display()))?;
    fs::rename(&new, to).with_context(|| format!("cannot make {}", to.display()))
}

/// What a program prints, if it succeeds.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name: ModuleName = "stock/virtio-net".parse().unwrap();
        assert_eq!(name.to_string(), "stock/virtio_net");
        assert_eq!(
            stem("/lib/modules/x/kernel/net/virtio-net.ko.xz"),
            "virtio_net"
        );
        assert!("c".parse::<ModuleName>().is_err());
    }
}
