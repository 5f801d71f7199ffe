// SPDX-License-Identifier: GPL-2.0

//! Whether a guest really boots under KVM on this machine.
//!
//! The device node does not tell: inside some virtual machines it is there and every guest hangs.
//! So one is booted, and what came of it is remembered until this machine itself is booted again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{ensure, Context, Result};

use crate::initramfs;
use crate::qemu::{self, Logs};
use crate::Places;

/// A guest under KVM boots in a second or two; one that hangs is not waited for much longer.
const PATIENCE: Duration = Duration::from_secs(6);

/// How the instructions of a guest are executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accel {
    /// By the processor.
    Kvm,
    /// Emulated.
    Tcg,
}

impl Accel {
    /// The argument of QEMU's `-accel`.
    pub fn argument(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg,thread=multi",
        }
    }

    /// What works here, tried once in the lifetime of this machine's kernel.
    pub fn detect(places: &Places) -> Result<Self> {
        if fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_err()
        {
            return Ok(Accel::Tcg);
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .context("cannot tell when this machine was booted")?;
        // For all checkouts, if there is a place for that: to find out takes a while where it hangs.
        let memory = match std::env::var_os("TOOLBOX_CACHE") {
            Some(cache) => PathBuf::from(cache).join("kvm"),
            None => places.scratch("vm")?.join("kvm"),
        };
        if let Some(known) = recall(&memory, &boot) {
            return Ok(known);
        }
        let accel = if boots_under_kvm(places)? {
            Accel::Kvm
        } else {
            Accel::Tcg
        };
        fs::write(&memory, format!("{}\n{}", boot.trim(), accel.argument()))?;
        Ok(accel)
    }
}

/// What was found out since that boot.
fn recall(memory: &Path, boot: &str) -> Option<Accel> {
    let text = fs::read_to_string(memory).ok()?;
    let (known, accel) = text.split_once('\n')?;
    if known != boot.trim() {
        return None;
    }
    [Accel::Kvm, Accel::Tcg]
        .into_iter()
        .find(|candidate| candidate.argument() == accel.trim())
}

fn boots_under_kvm(places: &Places) -> Result<bool> {
    // Nothing is to be remembered of what cannot be tried.
    let image = places.image();
    ensure!(image.is_file(), "there is no {}", image.display());
    let patience = places.patience(PATIENCE);
    let archive = initramfs::build_empty(places)?;
    let logs = Logs::new(places, "kvm")?;
    let mut command = qemu::machine(places, &archive, &logs, &[]);
    command.args([
        "-cpu",
        "max",
        "-accel",
        Accel::Kvm.argument(),
        "-smp",
        "2",
        "-m",
        "512M",
    ]);
    let (end, _) = qemu::run_command(&mut command, &logs, patience, patience, &mut |_| ())?;
    Ok(qemu::succeeded(&end))
}
