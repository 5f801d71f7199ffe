// SPDX-License-Identifier: GPL-2.0

//! The driver takes the device again, with each allocation in that failing in turn, while somebody
//! opens the character device as soon as it is there.
//!
//! It is there before all of it is. Who has opened one that was never complete, and waits for something
//! to happen, is told that it is gone.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{anyhow, ensure, Context, Result};
use checks::arguments::Arguments;
use checks::faults::Injector;
use checks::report::Report;
use libc::ENODEV;
use vhost_client::device::Device;
use vhost_client::uapi::VHOST_VDPA_GET_DEVICE_ID;

use super::gone::wait;
use super::ioctls::expect;

/// The driver's directory.
const DRIVER: &str = "/sys/bus/vdpa/drivers/vhost_vdpa";

/// Who opens it has to be there at the right moment, of which each round has a few.
const ROUNDS: u32 = 10;

/// Who has opened it waits that long, if nobody tells anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// The command `bind`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    arguments.finish()?;

    let subject = Subject::new(&path)?;
    let injector = Injector::new(1)?;
    let early = subject.open_half_way(&injector);
    if let Ok(early) = &early {
        report.note(format_args!("opened half-way: {early} times"));
    }
    report.check("bind/opened-half-way", early.map(drop));
    report.check("bind/injected", injector.check());
    report.check("bind/works-afterwards", subject.works());
    Ok(())
}

/// The device with which all is done.
struct Subject {
    /// The character device.
    path: String,
    /// The directory of the vDPA device.
    directory: PathBuf,
    /// Its name.
    name: String,
}

impl Subject {
    fn new(path: &str) -> Result<Self> {
        let node = Path::new(path).file_name().context("no name")?;
        let real = fs::canonicalize(Path::new("/sys/class/vhost-vdpa").join(node))?;
        let directory = real.parent().context("no parent")?;
        let name = directory.file_name().context("no name")?;

        Ok(Self {
            path: path.to_owned(),
            name: name.to_string_lossy().into_owned(),
            directory: directory.to_owned(),
        })
    }

    fn is_bound(&self) -> bool {
        self.directory.join("driver").exists()
    }

    fn unbind(&self) -> Result<()> {
        if self.is_bound() {
            fs::write(format!("{DRIVER}/unbind"), &self.name).context("unbind")?;
        }
        Ok(())
    }

    /// Repeats all of it until somebody has opened what was never complete, and returns how often.
    fn open_half_way(&self, injector: &Injector) -> Result<u32> {
        let mut early = 0;

        for _ in 0..ROUNDS {
            injector.each(
                &[],
                || self.begin(),
                |attempt| attempt.bind.write(self.name.as_bytes()),
                |attempt, bound| {
                    early += u32::from(self.end(attempt, &bound)?);
                    Ok(())
                },
            )?;
            if early > 0 {
                return Ok(early);
            }
        }
        Err(anyhow!("nobody was in time, in {ROUNDS} rounds"))
    }

    /// Takes the device from the driver, and has somebody open it from now on.
    fn begin(&self) -> Result<Attempt> {
        self.unbind()?;

        let path = self.path.clone();
        let enough = Arc::new(AtomicBool::new(false));
        let stop = enough.clone();
        Ok(Attempt {
            bind: File::options().write(true).open(format!("{DRIVER}/bind"))?,
            enough,
            opener: thread::spawn(move || loop {
                if let Ok(device) = Device::open(&path) {
                    let told = wait(&device, PATIENCE);
                    return Some((device, told));
                }
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
            }),
        })
    }

    /// Looks at what came of it. Returns whether somebody opened what was never complete.
    fn end(&self, attempt: Attempt, bound: &io::Result<usize>) -> Result<bool> {
        let is_bound = self.is_bound();
        ensure!(
            is_bound == bound.is_ok(),
            "{bound:?}, and there is {} driver",
            if is_bound { "a" } else { "no" }
        );
        attempt.enough.store(true, Ordering::Relaxed);
        // Or who waits would do so for nothing.
        self.unbind()?;
        let opened = attempt.opener.join();

        match opened.map_err(|_| anyhow!("a thread panicked"))? {
            Some((device, told)) if bound.is_err() => {
                told?;
                expect(device.number(VHOST_VDPA_GET_DEVICE_ID).map(drop), &[ENODEV])?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether the driver takes the device, and it can be used.
    fn works(&self) -> Result<()> {
        self.unbind()?;
        fs::write(format!("{DRIVER}/bind"), &self.name).context("bind")?;
        Device::open(&self.path)?.number(VHOST_VDPA_GET_DEVICE_ID)?;
        Ok(())
    }
}

/// One attempt to bind the driver.
struct Attempt {
    bind: File,
    enough: Arc<AtomicBool>,
    /// Has what was opened, and whether it was told that it is gone.
    opener: JoinHandle<Option<(Device, Result<()>)>>,
}
