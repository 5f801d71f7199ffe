// SPDX-License-Identifier: GPL-2.0

//! The file system of a guest: busybox, a program as init, the scenario and what it asks for.
//!
//! It is staged as a tree of symbolic links, which `cpio` follows, so nothing is copied twice.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{ensure, Context, Result};

use crate::modules::{self, output};
use crate::scenario::Scenario;
use crate::Places;

/// The first program of a guest, and what it runs besides scenarios.
const INIT: &str = include_str!("guest/init.sh");
const LIBRARY: &[(&str, &str)] = &[
    ("/lib/scenario.sh", include_str!("guest/scenario.sh")),
    ("/lib/tidy.sh", include_str!("guest/tidy.sh")),
    ("/lib/leaks.sh", include_str!("guest/leaks.sh")),
];

/// Where the root keeps programs.
const PROGRAMS: &[&str] = &["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin"];

/// A tree that becomes an archive.
struct Tree {
    top: PathBuf,
}

impl Tree {
    fn new(top: PathBuf) -> Result<Self> {
        if top.exists() {
            fs::remove_dir_all(&top).with_context(|| format!("cannot remove {}", top.display()))?;
        }
        for directory in [
            "bin", "dev", "etc", "files", "lib", "modules", "proc", "sys", "tmp",
        ] {
            fs::create_dir_all(top.join(directory))?;
        }
        Ok(Self { top })
    }

    /// The place of an absolute path in the tree, in a directory that exists.
    fn place(&self, path: &Path) -> Result<PathBuf> {
        let place = self.top.join(path.strip_prefix("/").unwrap_or(path));
        if let Some(directory) = place.parent() {
            fs::create_dir_all(directory)?;
        }
        Ok(place)
    }

    /// Puts a file there, once.
    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let place = self.place(to)?;
        let from = from
            .canonicalize()
            .with_context(|| format!("there is no {}", from.display()))?;
        if place.symlink_metadata().is_err() {
            symlink(&from, &place)?;
        }
        Ok(())
    }

    fn write(&self, to: &str, text: &str, mode: u32) -> Result<()> {
        let place = self.place(Path::new(to))?;
        fs::write(&place, text)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    /// Puts a program there with the libraries that it is linked to.
    fn program(&self, from: &Path, to: &Path) -> Result<()> {
        self.link(from, to)?;
        // A static program makes ldd fail, and needs nothing.
        let Ok(listed) = output(Command::new("ldd").arg(from)) else {
            return Ok(());
        };
        for library in libraries(&listed) {
            self.link(library, library)?;
        }
        Ok(())
    }

    fn archive(&self, to: &Path) -> Result<()> {
        let list = output(
            Command::new("find")
                .current_dir(&self.top)
                .args([".", "-print0"]),
        )?;
        let mut cpio = Command::new("cpio")
            .current_dir(&self.top)
            .args([
                "--create",
                "--null",
                "--format=newc",
                "--dereference",
                "--quiet",
            ])
            .stdin(Stdio::piped())
            .stdout(File::create(to).with_context(|| format!("cannot write {}", to.display()))?)
            .spawn()
            .context("cannot run cpio")?;
        cpio.stdin
            .take()
            .context("no pipe")?
            .write_all(list.as_bytes())?;
        ensure!(cpio.wait()?.success(), "cpio failed");
        Ok(())
    }
}

/// The files in what `ldd` prints: `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)` for the loader.
fn libraries(listed: &str) -> impl Iterator<Item = &Path> {
    listed.lines().filter_map(|line| {
        let path = line
            .split_once("=>")
            .map_or(line, |(_, path)| path)
            .split_whitespace()
            .next()?;
        path.starts_with('/').then(|| Path::new(path))
    })
}

/// Makes the archive of one scenario.
pub fn build(places: &Places, scenario: &Scenario) -> Result<PathBuf> {
    let directory = places.scratch(&format!("vm/{}", scenario.name))?;
    let tree = Tree::new(directory.join("tree"))?;
    base(&tree)?;
    for (number, script) in scenario.scripts.iter().enumerate() {
        let name = script
            .file_name()
            .with_context(|| format!("{} is no file", script.display()))?;
        // Sorted as they are to be run.
        let place = Path::new("/scenarios").join(format!("{number:03}"));
        tree.link(script, &place.join(name))?;
    }
    for (name, module) in modules::resolve(places, &scenario.modules)? {
        let place = format!("/modules/{name}");
        tree.link(&module.file, Path::new(&format!("{place}.ko")))?;
        let needs: Vec<_> = module
            .needs
            .iter()
            .map(|need| format!("{need}\n"))
            .collect();
        tree.write(&format!("{place}.needs"), &needs.concat(), 0o644)?;
    }
    for tool in &scenario.tools {
        let (from, to) = find_tool(places, tool)?;
        tree.program(&from, &to)?;
    }
    for file in &scenario.files {
        let name = file
            .file_name()
            .with_context(|| format!("{} is no file", file.display()))?;
        tree.link(&places.file(file), &Path::new("/files").join(name))?;
    }
    let archive = directory.join("initramfs.cpio");
    tree.archive(&archive)?;
    Ok(archive)
}

/// Makes an archive that boots and at once ends with success.
pub fn build_empty(places: &Places) -> Result<PathBuf> {
    let directory = places.scratch("vm/empty")?;
    let tree = Tree::new(directory.join("tree"))?;
    base(&tree)?;
    tree.write("/scenarios/000/empty.sh", "ok \"it boots\"\n", 0o644)?;
    let archive = directory.join("initramfs.cpio");
    tree.archive(&archive)?;
    Ok(archive)
}

fn base(tree: &Tree) -> Result<()> {
    tree.write("/init", INIT, 0o755)?;
    for (place, text) in LIBRARY {
        tree.write(place, text, 0o644)?;
    }
    tree.link(Path::new("/usr/bin/busybox"), Path::new("/bin/busybox"))
}

/// A program of this workspace lies beside this one; others are found where the root keeps
/// programs.
fn find_tool(places: &Places, tool: &str) -> Result<(PathBuf, PathBuf)> {
    let here = std::env::current_exe()?;
    let ours = here.with_file_name(tool);
    if ours.is_file() {
        let file = places.scratch("vm/programs")?.join(tool);
        modules::strip(&ours, &file)?;
        return Ok((file, Path::new("/usr/bin").join(tool)));
    }
    let found = PROGRAMS
        .iter()
        .map(|directory| Path::new("/").join(directory).join(tool));
    let path = found.into_iter().find(|path| path.is_file());
    let path = path.with_context(|| format!("there is no program {tool} in the root"))?;
    Ok((path.clone(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_prints() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                      \tlibmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found: Vec<_> = libraries(listed)
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(
            found,
            [
                "/lib/x86_64-linux-gnu/libmnl.so.0",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
    }
}
