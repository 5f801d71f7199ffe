// SPDX-License-Identifier: GPL-2.0

//! One virtual machine, from start to end.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::accel::Accel;
use crate::console;
use crate::emulator;
use crate::initramfs;
use crate::model::{self, Model};
use crate::outcome::Outcome;
use crate::scenario::{Machine, Scenario};
use crate::times::{self, Times, Watch};
use crate::Places;

/// What the guest writes to the debug-exit port when no check failed; QEMU exits with `2n + 1`.
const NO_FAILURE: i32 = 16;

/// What the kernel need not try out where processors are emulated by threads that may have to wait: all
/// clocks are QEMU's.
const CLOCKS_ARE_GOOD: [&str; 2] = ["tsc=reliable", "no_timer_check"];

/// What tells a kernel that it copies and clears memory best by instructions that take it byte by byte, which
/// those of an emulator really do. It takes eight bytes at a time without.
const BYTE_BY_BYTE: [&str; 4] = ["erms", "fsrm", "fsrs", "fzrm"];

/// A boot takes 4 s, and more on a machine that has much else to do.
const BOOT: Duration = Duration::from_secs(60);

/// How often a machine is booted again when the emulator was at fault; once if it only had little time.
const AGAIN: usize = 2;

/// The check of the debugging kernel for memory that nothing points to (guest/leaks.sh).
const LOST: &str = "no memory is lost";

/// Lines of each log that are shown when a guest did not reach its end.
const TAIL: usize = 8;

/// How a virtual machine ended.
pub enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It had to be killed when its time was over.
    TimedOut,
    /// It had to be killed as its first program had not printed anything after that time.
    Stuck(Duration),
}

/// The files of one run.
pub struct Logs {
    /// The kernel's console.
    pub console: PathBuf,
    /// What the scenario printed.
    pub scenario: PathBuf,
    /// What QEMU itself had to say.
    qemu: PathBuf,
    /// What the model of hardware had to say.
    model: PathBuf,
}

impl Logs {
    /// Logs of that name, empty.
    pub fn new(places: &Places, name: &str) -> Result<Self> {
        let directory = places.scratch("logs")?;
        let logs = Self {
            console: directory.join(format!("{name}.console.log")),
            scenario: directory.join(format!("{name}.log")),
            qemu: directory.join(format!("{name}.qemu.log")),
            model: directory.join(format!("{name}.model.log")),
        };
        for log in [&logs.console, &logs.scenario, &logs.qemu] {
            File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        }
        Ok(logs)
    }

    /// Keeps what there is of the boot of that number when there is another.
    fn keep(&self, boot: usize) -> Result<PathBuf> {
        let mut kept = PathBuf::new();
        for log in [&self.console, &self.scenario] {
            kept = log.with_extension(format!("{boot}.log"));
            fs::rename(log, &kept).with_context(|| format!("cannot make {}", kept.display()))?;
        }
        Ok(kept)
    }
}

/// Runs a scenario; `show` gets each line that it prints. What the emulator got wrong is no result:
/// the scenario is run again, and the outcome says so.
pub fn run(
    places: &Places,
    scenario: &Scenario,
    accel: Accel,
    show: &mut dyn FnMut(&str),
) -> Result<Outcome> {
    let archive = initramfs::build(places, scenario)?;
    let begin = Instant::now();
    let before = times::of_children();
    let mut notes = Vec::new();
    loop {
        let logs = Logs::new(places, &scenario.name)?;
        let mut outcome = boot(places, scenario, accel, &archive, &logs, show)?;
        // Else it could be ours.
        let is_alone = || accel == Accel::Tcg && !places.ours_built_in();
        let again = if outcome.starved { 1 } else { AGAIN };
        let fault = outcome.fault.take();
        let fault = fault.filter(|_| notes.len() < again && is_alone());
        if let Some(fault) = fault {
            let kept = logs.keep(notes.len() + 1)?;
            let what = outcome
                .failures
                .first()
                .and_then(|text| text.lines().next());
            let what = what.unwrap_or_default();
            let note = format!("{fault} ({what}); run again, see {}", kept.display());
            show(&format!("# {note}"));
            notes.push(note);
            continue;
        }
        outcome.notes = notes;
        outcome.times = Times {
            wall: begin.elapsed().as_secs_f64(),
            processor: times::of_children() - before,
            waiting: None,
        };
        outcome.log = Some(logs.scenario);
        return Ok(outcome);
    }
}

fn boot(
    places: &Places,
    scenario: &Scenario,
    accel: Accel,
    archive: &Path,
    logs: &Logs,
    show: &mut dyn FnMut(&str),
) -> Result<Outcome> {
    let directory = places.scratch(&format!("vm/{}", scenario.name))?;
    let mut command = command(places, &scenario.machine, accel, archive, logs);
    add_devices(&mut command, &scenario.machine, &directory);
    if scenario.machine.others {
        add_others(&mut command, places.others()?);
    }
    let model = Model::start(&scenario.machine, &directory, &logs.model)?;
    let boot = places.patience(BOOT);
    let (end, mut watch) = run_command(&mut command, logs, boot, scenario.timeout, show)?;
    let mut outcome = judge(scenario, logs, &end)?;
    outcome.share = watch.share();
    (outcome.boot, outcome.parts) = watch.finish();
    if let Some(complaint) = model.map(Model::finish).transpose()?.flatten() {
        outcome.failures.push(format!(
            "the model: {complaint}, see {}",
            logs.model.display()
        ));
        // What it wrote is there until another one is started.
        outcome.fault = None;
        outcome.reported = true;
    }
    outcome.reported |= outcome.failures.iter().any(|what| what.starts_with(LOST));
    // That happened, however little time there was.
    if !outcome.good() && !outcome.reported && outcome.fault.is_none() {
        outcome.fault = emulator::starved(outcome.share);
        outcome.starved = outcome.fault.is_some();
    }
    Ok(outcome)
}

fn command(
    places: &Places,
    wanted: &Machine,
    accel: Accel,
    archive: &Path,
    logs: &Logs,
) -> Command {
    let mut append: Vec<&str> = wanted.append.iter().map(String::as_str).collect();
    let mut cpu = "max".to_owned();
    if accel == Accel::Tcg && !wanted.icount {
        append.extend(CLOCKS_ARE_GOOD);
        cpu.extend(BYTE_BY_BYTE.map(|feature| format!(",{feature}=off")));
    }
    let mut command = machine(places, archive, logs, &append);
    command.args(["-cpu", &cpu]);
    if wanted.icount {
        // Only one CPU can count, and only when it is emulated.
        command.args([
            "-accel",
            "tcg,thread=single",
            "-icount",
            "shift=0,sleep=off",
        ]);
    } else {
        command.args(["-accel", accel.argument()]);
    }
    command.args(["-smp", &wanted.cpus.to_string(), "-m", &wanted.memory]);
    command
}

/// What a scenario has besides. Sockets are in the directory.
fn add_devices(command: &mut Command, wanted: &Machine, directory: &Path) {
    if !wanted.models.is_empty() {
        command.args(model::arguments(wanted, directory));
    }
    let more = wanted.qemu.iter();
    command.args(more.map(|word| model::in_directory(word, directory)));
}

/// A directory of this machine, which the guest can mount and only read.
fn add_others(command: &mut Command, others: &Path) {
    let mut argument =
        std::ffi::OsString::from("local,mount_tag=others,security_model=none,readonly=on,path=");
    argument.push(others);
    command.arg("-virtfs").arg(argument);
}

/// A machine that boots an archive, without accelerator and memory.
pub fn machine(places: &Places, archive: &Path, logs: &Logs, append: &[&str]) -> Command {
    let mut console = std::ffi::OsString::from("file:");
    console.push(&logs.console);
    let mut line = "console=ttyS0 loglevel=5 panic=-1 oops=panic".to_owned();
    for word in append {
        line.push(' ');
        line.push_str(word);
    }
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args(["-device", "isa-debug-exit,iobase=0x501,iosize=1"])
        .arg("-serial")
        .arg(console)
        .args([
            "-chardev",
            "stdio,id=scenario,signal=off",
            "-serial",
            "chardev:scenario",
        ])
        .arg("-kernel")
        .arg(places.image())
        .arg("-initrd")
        .arg(archive)
        .args(["-append", &line]);
    command
}

/// Kills and collects a child that is still there when this goes away.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has already been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a machine until it ends or its time is over. Its first line has to come within `boot`.
pub fn run_command(
    command: &mut Command,
    logs: &Logs,
    boot: Duration,
    timeout: Duration,
    show: &mut dyn FnMut(&str),
) -> Result<(End, Watch)> {
    let mut started = false;
    let mut log = File::create(&logs.scenario)?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&logs.qemu)?);
    let mut running = Running(command.spawn().context("cannot run qemu-system-x86_64")?);
    let mut watch = Watch::start(running.0.id());
    let lines = read_lines(running.0.stdout.take().context("no pipe")?);
    let end = loop {
        let patience = if started { timeout } else { boot.min(timeout) };
        match lines.recv_timeout(patience.saturating_sub(watch.elapsed())) {
            Ok(line) => {
                started = true;
                writeln!(log, "{line}")?;
                watch.line(&line);
                show(&line);
            }
            Err(RecvTimeoutError::Timeout) if started => {
                watch.share();
                break End::TimedOut;
            }
            Err(RecvTimeoutError::Timeout) => break End::Stuck(patience),
            // It has closed its output, so it is about to end.
            Err(RecvTimeoutError::Disconnected) => break End::Exited(running.0.wait()?),
        }
    };
    Ok((end, watch))
}

/// Lines of a pipe, without carriage returns; what is not UTF-8 is replaced.
fn read_lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line)
                .trim_end_matches('\r')
                .to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn judge(scenario: &Scenario, logs: &Logs, end: &End) -> Result<Outcome> {
    let console = String::from_utf8_lossy(&fs::read(&logs.console)?).into_owned();
    let qemu = fs::read_to_string(&logs.qemu)?;
    let log = fs::read_to_string(&logs.scenario)?;
    let (mut outcome, ended) = Outcome::from_log(&log);

    if let Some((lines, count)) = console::first_report(&console, scenario.machine.allocations_fail)
    {
        outcome.failures.push(format!(
            "the kernel has nothing to report: {count} lines in {}\n{}",
            logs.console.display(),
            lines.join("\n")
        ));
        outcome.reported = true;
        outcome.fault = emulator::fault(&lines);
    } else if let Some(why) = unfinished(scenario, end, ended, &outcome) {
        let last = [tail(&qemu), tail(&console), tail(&log)].concat();
        outcome.failures.push(format!(
            "the guest reaches its end: {why}\n{}",
            last.join("\n")
        ));
        if let End::Stuck(_) = end {
            let what = "the kernel did not get as far as its first program";
            outcome.fault = Some(what.to_owned());
        }
    }
    Ok(outcome)
}

/// Why a guest did not reach its end as it should have.
fn unfinished(scenario: &Scenario, end: &End, ended: bool, outcome: &Outcome) -> Option<String> {
    let status = match end {
        End::TimedOut => return Some(format!("killed after {} s", scenario.timeout.as_secs())),
        End::Stuck(after) => return Some(format!("killed at boot after {} s", after.as_secs())),
        End::Exited(status) => status,
    };
    if let Some(signal) = status.signal() {
        return Some(format!("QEMU was killed by signal {signal}"));
    }
    if !ended {
        return Some(format!("it stopped before, QEMU's {status}"));
    }
    // What the guest counted must be what was printed; it does not count beyond 100.
    let counted = outcome.failures.len().min(100) as i32;
    let expected = 2 * (NO_FAILURE + counted) + 1;
    (status.code() != Some(expected))
        .then(|| format!("QEMU's {status}, expected {expected} for {counted} failed checks"))
}

fn tail(log: &str) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].to_vec()
}

/// Whether a guest ended by itself with no check failed.
pub fn succeeded(end: &End) -> bool {
    matches!(end, End::Exited(status) if status.code() == Some(2 * NO_FAILURE + 1))
}
