// SPDX-License-Identifier: GPL-2.0

//! Devices that do not stop, or do not go on, when they are told: they stay as they are, all of
//! them.

use std::thread;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use checks::arguments::Misuse;
use checks::report::Report;
use libc::{EIO, ETIMEDOUT};
use vhost_client::net::{self, Net, RX, TX};
use vhost_client::traffic::{self, Running, Traffic};
use vhost_client::uapi::*;

use super::stop::{ask, expect_quiet};
use super::Manner;
use crate::commands::ioctls::expect;

/// How long after the driver has given up a device may still do what it was told.
const LATE: Duration = Duration::from_millis(500);

/// Checks what comes of a step that the device does not do.
pub fn run(manner: &Manner, step: &str, report: &mut Report) -> Result<()> {
    let result = match step {
        "suspend" => suspend(manner),
        "resume" => resume(manner),
        _ => return Err(Misuse("--unwilling is suspend or resume".into()).into()),
    };

    report.check(format_args!("states/unwilling/{step}"), result);
    Ok(())
}

/// A virtqueue does not stop in time.
fn suspend(manner: &Manner) -> Result<()> {
    let mut running = Running::start(&manner.path, manner.memory, manner.features, manner.backend)?;

    running.traffic.prove(1, 20)?;
    expect(
        running.session.device.plain(VHOST_VDPA_SUSPEND),
        &[ETIMEDOUT],
    )?;
    thread::sleep(LATE);
    running
        .traffic
        .prove(2, 20)
        .context("after it was not suspended")
}

/// The third virtqueue of a network device cannot be enabled a second time.
fn resume(manner: &Manner) -> Result<()> {
    const THIRD: u32 = 2;
    let session = manner.open(net::MAC)?;
    let memory = manner.share(&session, traffic::MEMORY)?;
    let mut room = memory.room();
    let device = Net::new(&session, &memory, &mut room)?;
    let mut traffic = Traffic::Net(device, None, net::mac(&session)?);
    let ring = session.ring(&memory, &mut room, session.ring_size(16)?)?;
    let _third = session.add_queue(THIRD, ring, 0)?;
    let bases = || -> Result<Vec<u32>> {
        let queues = [RX, TX, THIRD].into_iter();
        queues.map(|index| session.base(index)).collect()
    };

    session.start()?;
    traffic.prove(1, 20)?;
    session.device.plain(VHOST_VDPA_SUSPEND)?;
    let before = bases()?;

    expect(session.device.plain(VHOST_VDPA_RESUME), &[EIO])?;
    ask(&mut traffic)?;
    expect_quiet(&mut traffic).context("after it was not resumed")?;
    session.device.plain(VHOST_VDPA_SUSPEND)?;
    let after = bases()?;
    ensure!(after == before, "it was at {before:?}, now {after:?}");
    Ok(())
}
