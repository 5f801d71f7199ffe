// SPDX-License-Identifier: GPL-2.0

//! A device that is taken away while it is in use.
//!
//! Prints `READY` when it may be taken away, and waits for that.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use checks::arguments::{Arguments, Misuse};
use checks::kernel::patience;
use checks::report::Report;
use libc::{ENODEV, ENOENT, ENOTTY, ENXIO, SIGBUS};
use vhost_client::device::{errno, Device};
use vhost_client::iotlb::Message;
use vhost_client::memory::Kind;
use vhost_client::process::Pinned;
use vhost_client::session::Session;
use vhost_client::sys::{Doorbell, Mailbox};
use vhost_client::traffic::Running;
use vhost_client::uapi::*;

use super::ioctls::expect;
use super::states::stop::ask;

/// What the device is used for when it goes.
enum Use {
    Opened(Device),
    Owned(Session),
    Running(Box<Running>),
}

impl Use {
    fn new(path: &str, how: &str, kind: Kind) -> Result<Self> {
        Ok(match how {
            "opened" => Self::Opened(Device::open(path)?),
            "owned" => Self::Owned(Session::open(path)?),
            "running" => {
                let mut running = Running::start(path, kind, 0, backend::ALL)?;
                running.traffic.prove(1, 50)?;
                Self::Running(Box::new(running))
            }
            _ => return Err(Misuse("--use is opened, owned or running".into()).into()),
        })
    }

    fn device(&self) -> &Device {
        match self {
            Self::Opened(device) => device,
            Self::Owned(session) => &session.device,
            Self::Running(running) => &running.session.device,
        }
    }
}

/// The command `gone`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let how = arguments.text("--use", "running")?;
    let seconds = arguments.number("--timeout", 30, 1..=3600)?;
    let kind = if arguments.flag("--anon") {
        Kind::Anonymous
    } else {
        Kind::File
    };
    let doorbells = arguments.flag("--doorbells");
    arguments.finish()?;
    if doorbells && how != "running" {
        return Err(Misuse("--doorbells are for a device that is running".into()).into());
    }

    let name = |what: &str| format!("gone/{how}/{what}");
    let before = Pinned::now()?;
    let mut using = Use::new(&path, &how, kind)?;
    if let (Use::Running(running), true) = (&mut using, doorbells) {
        report.check(name("doorbells-ring"), ring(running));
    }
    println!("READY");
    std::io::stdout().flush()?;

    let left = wait(using.device(), Duration::from_secs(seconds));
    let is_gone = left.is_ok();
    report.check(name("poll-wakes-up"), left);
    if !is_gone {
        // Closing it lets who takes it away go on.
        drop(using);
        return Ok(());
    }

    report.check(name("ioctls"), ioctls(using.device()));
    report.check(name("unknown-ioctl"), unknown(using.device()));
    report.check(name("messages"), messages(using.device()));
    report.check(name("read"), read(using.device()));
    report.check(name("mmap"), mmap(using.device()));
    report.check(name("poll-again"), poll_again(using.device()));
    report.check(name("cannot-be-opened"), open(&path));
    if let Use::Running(running) = &mut using {
        // The program itself shall not ring any more.
        let mapped = take_doorbells(running);
        if doorbells {
            report.check(name("doorbells-taken-back"), taken_back(&mapped));
        }
        drop(mapped);
        report.check(name("kicks-do-nothing"), kicks(running));
    }
    // Who went has given back what was the process's, though the file is open.
    report.check(name("nothing-pinned"), before.unchanged());
    report.check(name("closed"), close(using));
    Ok(())
}

/// Maps the doorbell of each virtqueue, and has the device work by them alone.
fn ring(running: &mut Running) -> Result<()> {
    let Running {
        session, traffic, ..
    } = running;

    for queue in traffic.queues() {
        let index = queue.index;
        let doorbell = Doorbell::of_queue(session.device.as_fd(), index)
            .with_context(|| format!("mapping the doorbell of virtqueue {index}"))?;

        // Each is used, so that there is a page to be taken back. The device finds nothing new.
        doorbell.ring(index as u16);
        let ended = doorbell.ring_in_child(index as u16)?;
        ensure!(
            ended.success(),
            "virtqueue {index}: a child that rings ends by {ended}"
        );
        queue.doorbell = Some(doorbell);
    }
    traffic.prove(2, 50)
}

/// What was mapped, with the virtqueue's number.
fn take_doorbells(running: &mut Running) -> Vec<(u16, Doorbell)> {
    let queues = running.traffic.queues().into_iter();

    queues
        .filter_map(|queue| Some((queue.index as u16, queue.doorbell.take()?)))
        .collect()
}

/// Who uses what was mapped gets a signal, and does not reach what may be another's by now.
fn taken_back(doorbells: &[(u16, Doorbell)]) -> Result<()> {
    ensure!(!doorbells.is_empty(), "none was mapped");
    for (index, doorbell) in doorbells {
        let ended = doorbell.ring_in_child(*index)?;

        ensure!(
            ended.signal() == Some(SIGBUS),
            "virtqueue {index}: a process that rings ends by {ended}, not by SIGBUS"
        );
    }
    Ok(())
}

/// Waits for the device to go. It goes on working until then.
/// Waits until the device is gone, of which poll has to tell by itself.
pub fn wait(device: &Device, timeout: Duration) -> Result<()> {
    let begin = Instant::now();
    // Nothing but errors is asked for, so nothing else ends this.
    let events = device.poll(0, timeout)?;
    ensure!(events != 0, "the device is still there after {timeout:?}");
    // It looks again at the end, and finds what nobody has told it.
    ensure!(
        begin.elapsed() < timeout,
        "poll was not woken up: it gives {events:#x} after {timeout:?}"
    );
    let wanted = libc::POLLERR | libc::POLLHUP;
    ensure!(events & wanted != 0, "poll gives {events:#x}");
    match device.status() {
        Err(error) if errno(&error) == ENODEV => Ok(()),
        other => bail!("poll gives {events:#x}, but the status is {other:?}"),
    }
}

/// Those that exist, with arguments that would have been good.
fn ioctls(device: &Device) -> Result<()> {
    let mailbox = Mailbox::new()?;

    for (name, request) in REQUESTS.iter().filter(|(name, _)| is_known(name)) {
        let mut bytes = vec![0; request.size()];
        if *request == VHOST_VDPA_GET_CONFIG || *request == VHOST_VDPA_SET_CONFIG {
            bytes = vring_state(0, 4).to_vec();
            bytes.extend([0; 4]);
        }
        let place = mailbox.put(&bytes)?;
        let result = device.call_mail(*request, &mailbox, place);
        expect(result.map(drop), &[ENODEV]).with_context(|| (*name).to_owned())?;
    }
    Ok(())
}

/// Whether a vDPA device has ever known it.
fn is_known(name: &str) -> bool {
    name.starts_with("VHOST_VDPA_")
        || [
            "FEATURES",
            "SET_OWNER",
            "VRING_NUM",
            "VRING_ADDR",
            "VRING_BASE",
            "VRING_KICK",
            "VRING_CALL",
            "VRING_ERR",
        ]
        .iter()
        .any(|end| name.ends_with(end))
}

fn unknown(device: &Device) -> Result<()> {
    expect(device.plain(VHOST_RESET_OWNER), &[ENODEV, ENOTTY])
}

fn messages(device: &Device) -> Result<()> {
    let update = Message::update(0, 0x1000, 0x1000, 0, 3);

    for message in [
        update,
        update.v1(),
        Message::invalidate(0, 0, 0),
        Message::new(0, 5),
        Message::new(0, 6),
    ] {
        expect(device.send(&message), &[ENODEV]).with_context(|| format!("{message:x?}"))?;
    }
    Ok(())
}

/// Nothing could ever be read.
fn read(device: &Device) -> Result<()> {
    let mut bytes = [0; 72];

    expect(
        device.file().read(&mut bytes).map(drop),
        &[ENODEV, libc::EINVAL],
    )
}

fn mmap(device: &Device) -> Result<()> {
    let mapped = Doorbell::of_queue(device.as_fd(), 0);

    expect(mapped.map(drop), &[ENODEV])
}

fn poll_again(device: &Device) -> Result<()> {
    for asked in [0, libc::POLLIN, libc::POLLOUT] {
        let events = device.poll(asked, Duration::from_secs(1))?;
        ensure!(
            events & (libc::POLLERR | libc::POLLHUP) != 0,
            "poll gives {events:#x}"
        );
    }
    Ok(())
}

fn open(path: &str) -> Result<()> {
    expect(Device::open(path).map(drop), &[ENODEV, ENOENT, ENXIO])
}

/// The eventfds are still there, but nobody listens.
fn kicks(running: &mut Running) -> Result<()> {
    for queue in running.traffic.queues() {
        // Whatever was done before it went.
        while queue.ring.take()?.is_some() {}
    }
    ask(&mut running.traffic)?;
    thread::sleep(Duration::from_millis(100));
    for queue in running.traffic.queues() {
        ensure!(
            queue.ring.take()?.is_none(),
            "virtqueue {} still works",
            queue.index
        );
    }
    Ok(())
}

fn close(using: Use) -> Result<()> {
    let limit = patience(Duration::from_secs(2));
    let start = Instant::now();

    drop(using);
    let took = start.elapsed();
    ensure!(took < limit, "it took {took:?}, more than {limit:?}");
    Ok(())
}
