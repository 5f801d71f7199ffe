// SPDX-License-Identifier: GPL-2.0

//! Models of hardware that run beside QEMU: one process, with a device for each `model` line.
//!
//! The devices are at 0000:00:08.0 and the slots after it. The guest's third serial port is the
//! model's console, where faults are made and reports are had.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};

use crate::scenario::Machine;

/// The program, which lies beside this one.
const PROGRAM: &str = "ifcvf-model";
/// The slot of the first device, and how many slots there are from it on.
const FIRST_SLOT: usize = 8;
const SLOTS: usize = 23;
/// How long to wait for its sockets, and for its end when QEMU has gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// The model of a running machine. It is killed when this goes away.
pub struct Model(Child);

/// Names of sockets in a directory; they must be short.
struct Sockets<'a>(&'a Path);

impl Sockets<'_> {
    fn console(&self) -> PathBuf {
        self.0.join("console")
    }

    fn device(&self, number: usize) -> PathBuf {
        self.0.join(format!("vf{number}"))
    }
}

/// Replaces `{dir}` by the directory of sockets.
pub fn in_directory(text: &str, directory: &Path) -> String {
    text.replace("{dir}", &directory.display().to_string())
}

/// What QEMU has to be told to have these devices.
pub fn arguments(machine: &Machine, directory: &Path) -> Vec<String> {
    let sockets = Sockets(directory);
    let console = sockets.console();
    let mut arguments = vec![
        // The model reaches the guest's memory only if it is a file that both share.
        "-object".to_owned(),
        format!(
            "memory-backend-memfd,id=ram,share=on,size={}",
            machine.memory
        ),
        "-machine".to_owned(),
        "q35,memory-backend=ram".to_owned(),
        "-chardev".to_owned(),
        format!("socket,id=model,path={}", console.display()),
        "-serial".to_owned(),
        "chardev:model".to_owned(),
    ];
    if machine.iommu {
        arguments.push("-device".to_owned());
        // With caching mode the guest says what it maps, and QEMU passes that on. Remapped
        // interrupts are of no interest, and make the kernel try how fast its timer is, which this
        // may not be.
        arguments.push("intel-iommu,caching-mode=on,intremap=off".to_owned());
    }
    for number in 0..machine.models.len() {
        arguments.push("-device".to_owned());
        arguments.push(format!(
            "{{\"driver\":\"vfio-user-pci\",\"addr\":\"{:x}.0\",\
             \"socket\":{{\"type\":\"unix\",\"path\":\"{}\"}}}}",
            FIRST_SLOT + number,
            sockets.device(number).display()
        ));
    }
    arguments
}

impl Model {
    /// Starts the model for a machine, if it wants one, and waits until it listens.
    pub fn start(machine: &Machine, directory: &Path, log: &Path) -> Result<Option<Self>> {
        if machine.models.is_empty() {
            return Ok(None);
        }
        ensure!(
            machine.models.len() <= SLOTS,
            "there is room for {SLOTS} models"
        );
        let sockets = Sockets(directory);
        let console = sockets.console();
        if console.exists() {
            fs::remove_file(&console)?;
        }
        let program = std::env::current_exe()?.with_file_name(PROGRAM);
        let mut command = Command::new(&program);
        command.arg("--once").arg("--console").arg(&console);
        for (number, settings) in machine.models.iter().enumerate() {
            let socket = sockets.device(number);
            let settings = in_directory(settings, directory);
            let separator = if settings.is_empty() { "" } else { "," };
            command.arg("--device");
            command.arg(format!("{}{separator}{settings}", socket.display()));
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log).with_context(|| format!("cannot write {}", log.display()))?);
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let mut model = Self(child);
        // The console is the last that it makes.
        let deadline = Instant::now() + PATIENCE;
        while !console.exists() {
            if let Some(status) = model.0.try_wait()? {
                bail!("{PROGRAM}: {status}\n{}", fs::read_to_string(log)?);
            }
            ensure!(Instant::now() < deadline, "{PROGRAM} does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Some(model))
    }

    /// Waits for its end, which comes when QEMU has gone, and says what was wrong with it.
    pub fn finish(mut self) -> Result<Option<String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.0.try_wait()? {
                Some(status) => return Ok(complaint(status)),
                None if Instant::now() >= deadline => {
                    return Ok(Some("did not end with QEMU".to_owned()))
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

fn complaint(status: ExitStatus) -> Option<String> {
    (!status.success()).then(|| status.to_string())
}

impl Drop for Model {
    fn drop(&mut self) {
        // Both fail only if it has already been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn devices() {
        let text = "# model: size=64\n# model:\n# iommu: intel\n";
        let scenario = Scenario::parse(Path::new("x/some.sh"), text).unwrap();
        let arguments = arguments(&scenario.machine, Path::new("d")).join(" ");
        assert!(arguments.contains("\"addr\":\"8.0\""), "{arguments}");
        assert!(arguments.contains("\"path\":\"d/vf1\""), "{arguments}");
        let iommu = arguments.find("intel-iommu").unwrap();
        assert!(iommu < arguments.find("vfio-user-pci").unwrap());
    }
}
