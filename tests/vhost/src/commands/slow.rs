// SPDX-License-Identifier: GPL-2.0

//! Arguments in memory that does not come: nobody but the caller waits for it.
//!
//! Prints `READY` at the end, with one call still waiting, and waits for the device to be taken
//! away.

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure, Context, Result};
use checks::arguments::Arguments;
use checks::report::Report;
use libc::ENODEV;
use vhost_client::device::{errno, Device};
use vhost_client::iotlb::Message;
use vhost_client::session::Session;
use vhost_client::sys::{Mailbox, Request};
use vhost_client::uapi::*;

/// How long a call may take that does not wait for memory.
const SOON: Duration = Duration::from_secs(5);

/// Calls whose argument is read, written, or both, by the largest number of bytes that they need.
const CALLS: &[(&str, Request)] = &[
    ("GET_STATUS", VHOST_VDPA_GET_STATUS),
    ("SET_STATUS", VHOST_VDPA_SET_STATUS),
    ("GET_CONFIG", VHOST_VDPA_GET_CONFIG),
    ("SET_CONFIG", VHOST_VDPA_SET_CONFIG),
    ("GET_FEATURES", VHOST_GET_FEATURES),
    ("SET_FEATURES", VHOST_SET_FEATURES),
    ("GET_IOVA_RANGE", VHOST_VDPA_GET_IOVA_RANGE),
    ("GET_VRING_GROUP", VHOST_VDPA_GET_VRING_GROUP),
    ("GET_VRING_BASE", VHOST_GET_VRING_BASE),
    ("SET_VRING_BASE", VHOST_SET_VRING_BASE),
    ("SET_VRING_NUM", VHOST_SET_VRING_NUM),
    ("SET_VRING_ADDR", VHOST_SET_VRING_ADDR),
    ("SET_VRING_KICK", VHOST_SET_VRING_KICK),
];

/// The command `slow`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let seconds = arguments.number("--timeout", 30, 1..=3600)?;
    arguments.finish()?;

    let session = Session::open(&path)?;
    for (name, request) in CALLS {
        report.check(
            format!("slow/{name}"),
            others_go_on(&session.device, *request),
        );
    }
    report.check(
        "slow/removal",
        removal(&session.device, Duration::from_secs(seconds)),
    );
    Ok(())
}

/// While a call waits for its argument, others do not wait for it.
fn others_go_on(device: &Device, request: Request) -> Result<()> {
    // Whatever it makes of zeros: it has got them.
    while_waiting(device, request, || prompt(device)).map(drop)
}

/// A device can be taken away meanwhile.
fn removal(device: &Device, timeout: Duration) -> Result<()> {
    let result = while_waiting(device, VHOST_SET_VRING_NUM, || {
        println!("READY");
        std::io::stdout().flush()?;
        let events = device.poll(0, timeout)?;
        ensure!(events != 0, "the device is still there after {timeout:?}");
        Ok(())
    })?;

    ensure!(
        result == ENODEV,
        "the call that waited ends with {result}, not ENODEV"
    );
    Ok(())
}

/// Has a thread make a call, does `meanwhile` when that waits for its argument, and lets it go on.
/// Returns the errno of that call, or 0.
fn while_waiting(
    device: &Device,
    request: Request,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<i32> {
    let (mailbox, awaited) = Mailbox::awaited()?;
    let place = mailbox.last_writable(request.size());
    let (sender, result) = mpsc::channel();

    thread::scope(|scope| {
        scope.spawn(|| {
            let result = device.call_mail(request, &mailbox, place);
            // Who is not listening any more has failed already.
            let _ = sender.send(result.map_or_else(|error| errno(&error), |_| 0));
        });
        let done = if awaited.is_needed(SOON)? {
            meanwhile()
        } else {
            Err(anyhow!("it does not wait for its argument"))
        };
        // In any case: the thread must end.
        awaited.provide()?;
        done?;
        result.recv_timeout(SOON).context("the call does not end")
    })
}

/// Calls that take each of the driver's locks.
fn prompt(device: &Device) -> Result<()> {
    let start = Instant::now();

    device.status()?;
    device.ask(VHOST_GET_VRING_BASE, 0)?;
    device.send(&Message::invalidate(0, 0x10000, 0x1000))?;
    device.number(VHOST_VDPA_GET_CONFIG_SIZE)?;
    let took = start.elapsed();
    ensure!(took < SOON, "others took {took:?}");
    Ok(())
}
