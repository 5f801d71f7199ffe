// SPDX-License-Identifier: GPL-2.0

//! What must be right with any parent, whatever its habits.

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use checks::arguments::{Arguments, Misuse};
use checks::kernel::patience;
use checks::report::Report;
use libc::{EFAULT, EOPNOTSUPP, SIGBUS};
use vhost_client::iotlb::{self, Message};
use vhost_client::memory::Kind;
use vhost_client::queue::wait_event;
use vhost_client::session::{Session, REQUIRED};
use vhost_client::sys::{map_of_bpf, Doorbell, PAGE};
use vhost_client::traffic::{Running, Traffic};
use vhost_client::uapi::*;

use super::ioctls::expect;
use super::maps::{refused, IOVA};

/// The command `parents`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let what = arguments.required("--what")?;
    let no_fs = arguments.flag("--no-file-system");
    arguments.finish()?;

    match what.as_str() {
        "doorbells" => doorbells(&path, report),
        "doorbells-by-features" => {
            report.check("parents/doorbells/by-features", by_features(&path));
            Ok(())
        }
        "calls" => {
            report.check("parents/calls/survive-a-reset", calls(&path));
            Ok(())
        }
        "files" => {
            report.check("parents/files/memory", files(&path));
            if no_fs {
                report.check("parents/files/no-file-system", no_file_system(&path));
            }
            Ok(())
        }
        "limit" => {
            report.check("parents/limit", limit(&path));
            Ok(())
        }
        _ => Err(Misuse(format!("--what {what} is not known")).into()),
    }
}

/// A child that rings is killed, or not.
fn rings(doorbell: &Doorbell, index: u32, wanted: bool) -> Result<()> {
    let ended = doorbell.ring_in_child(index as u16)?;
    let right = match wanted {
        true => ended.success(),
        false => ended.signal() == Some(SIGBUS),
    };

    ensure!(right, "virtqueue {index}: who rings ends by {ended}");
    Ok(())
}

/// Doorbells work from FEATURES_OK to reset, where they are at the time.
fn doorbells(path: &str, report: &mut Report) -> Result<()> {
    let session = Session::open(path)?;
    let early = Doorbell::of_queue(session.device.as_fd(), 0)?;

    report.check(
        "parents/doorbells/not-before-features",
        rings(&early, 0, false),
    );

    let mut running = Running::prepare(session, Kind::File, 0, backend::ALL)?;
    report.check("parents/doorbells/with-features", rings(&early, 0, true));
    running.session.start()?;
    report.check("parents/doorbells/ring", ring(&mut running));

    let again = reset(&mut running)?;
    report.check("parents/doorbells/not-after-reset", silent(&mut running));
    report.check(
        "parents/doorbells/ring-again",
        go_on(&mut running, again).and_then(|()| running.traffic.prove(4, 20)),
    );
    Ok(())
}

/// The device works by doorbells alone.
fn ring(running: &mut Running) -> Result<()> {
    for queue in running.traffic.queues() {
        let doorbell = Doorbell::of_queue(running.session.device.as_fd(), queue.index)?;

        queue.doorbell = Some(doorbell);
    }
    running.traffic.prove(3, 20)
}

fn silent(running: &mut Running) -> Result<()> {
    for queue in running.traffic.queues() {
        let doorbell = queue.doorbell.as_ref().context("there is none")?;

        rings(doorbell, queue.index, false)?;
    }
    Ok(())
}

/// A virtqueue whose doorbell depends on features has one when they are there.
fn by_features(path: &str) -> Result<()> {
    let session = Session::open(path)?;
    let control = Doorbell::of_queue(session.device.as_fd(), 2).map(drop);

    expect(control, &[EOPNOTSUPP]).context("before there are features")?;

    let mut running = Running::prepare(session, Kind::File, 0, backend::ALL)?;
    running.session.start()?;
    ring(&mut running)
}

/// Resets a device at work. Returns where each of its queues goes on.
fn reset(running: &mut Running) -> Result<Vec<u32>> {
    let device = &running.session.device;
    let mut bases = Vec::new();

    device.plain(VHOST_VDPA_SUSPEND).context("SUSPEND")?;
    for queue in running.traffic.queues() {
        bases.push(running.session.base(queue.index)?);
    }
    device.set_status(0)?;
    Ok(bases)
}

/// Starts a device again that was reset, which has its eventfds still.
fn go_on(running: &mut Running, bases: Vec<u32>) -> Result<()> {
    let mut again = running.session.again()?;

    again.negotiate(running.session.features & !REQUIRED, backend::ALL)?;
    for (queue, base) in running.traffic.queues().into_iter().zip(bases) {
        again.place(queue, base)?;
        again.enable(queue.index, true)?;
    }
    again.start()?;
    for queue in running.traffic.queues() {
        queue.kick.write(1)?;
    }
    Ok(())
}

/// Eventfds that were set before a reset belong to the same virtqueues after it.
fn calls(path: &str) -> Result<()> {
    let mut running = Running::start(path, Kind::File, 0, backend::ALL)?;

    running.traffic.prove(1, 20).context("at first")?;
    let bases = reset(&mut running)?;
    go_on(&mut running, bases)?;
    running.traffic.prove(2, 20).context("after a reset")?;

    let Traffic::Net(_, Some(control), mac) = &mut running.traffic else {
        bail!("there is no control queue");
    };
    // From earlier commands, whose answers were found without it.
    let _ = control.queue.call.read();

    control.queue.ring.enable_calls()?;
    control.ask_for_mac(*mac)?;
    ensure!(
        wait_event(&control.queue.call, patience(Duration::from_secs(5)))?,
        "the eventfd of the control queue is not signalled"
    );
    Ok(())
}

/// A device that takes files lets other memory pass, and has that of files.
fn files(path: &str) -> Result<()> {
    let session = Session::open(path)?;

    for (number, kind) in (0..).zip([Kind::Anonymous, Kind::File]) {
        let area = kind.area(PAGE)?;
        let update = Message::update(
            0,
            IOVA + number * PAGE as u64,
            PAGE as u64,
            area.address(),
            iotlb::RW,
        );

        session
            .device
            .send(&update)
            .with_context(|| format!("{kind:?}"))?;
    }
    Ok(())
}

/// Memory of what looks like a file and has no file system, as that of the device itself would be.
fn no_file_system(path: &str) -> Result<()> {
    let session = Session::open(path)?;
    let map = map_of_bpf().context("making a map of BPF")?;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let map = Doorbell::map(map.as_fd(), 0, PAGE, protection, libc::MAP_SHARED)?;
    let size = PAGE as u64;

    refused(
        session
            .device
            .send(&Message::update(0, IOVA, size, map.address(), iotlb::RW)),
        &[EFAULT],
    )
}

/// There are as many mappings as there can be, in all address spaces together.
fn limit(path: &str) -> Result<()> {
    let session = Session::open(path)?;
    let area = Kind::File.area(PAGE)?;
    let map = |space, number: u64| {
        let iova = IOVA + 2 * number * PAGE as u64;

        session.device.send(&Message::update(
            space,
            iova,
            PAGE as u64,
            area.address(),
            iotlb::RW,
        ))
    };

    session
        .device
        .set_backend_features(session.device.backend_features()?)?;
    for number in 0..100 {
        map(0, number).with_context(|| format!("mapping {number}"))?;
        map(1, number).with_context(|| format!("mapping {number} of the other"))?;
    }
    for space in [0, 1] {
        expect(map(space, 100), &[libc::ENOSPC])?;
    }
    session.device.send(&Message::invalidate(0, IOVA, 1))?;
    map(1, 100).context("in the place of one that is gone")
}
