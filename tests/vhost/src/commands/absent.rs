// SPDX-License-Identifier: GPL-2.0

//! A device that needs memory of this process which does not come: nobody but the request waits.
//!
//! For simulators that use the addresses of the process. With `--until-gone` it prints `READY` with
//! a request waiting, and then waits for the device to be taken away.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use checks::arguments::Arguments;
use checks::report::Report;
use vhost::vdpa::VhostVdpa;
use vhost_client::blk::{Data, Disk, BASIC, MEMORY};
use vhost_client::iotlb::{self, Message};
use vhost_client::memory::{Kind, Memory};
use vhost_client::ring::Segment;
use vhost_client::session::Session;
use vhost_client::sys::{Area, Awaited};
use vhost_client::traffic::IOVA;
use vhost_client::uapi::backend;
use virtio_bindings::virtio_blk::{VIRTIO_BLK_S_OK, VIRTIO_BLK_T_IN};

/// How long a call may take that does not wait for memory.
const SOON: Duration = Duration::from_secs(5);

/// For how long nothing happens that must not.
const WHILE: Duration = Duration::from_millis(200);

const PAGE: u64 = 4096;

/// Where the memory is mapped that does not come: a page for each part of a request.
const ABSENT: u64 = IOVA + (1 << 30);

/// The parts of a request.
const PARTS: [&str; 3] = ["header", "data", "status"];

/// The command `absent`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let seconds = arguments.number("--timeout", 30, 1..=3600)?;
    let until_gone = arguments.flag("--until-gone");
    arguments.finish()?;

    if until_gone {
        report.check(
            "absent/removal",
            removal(&path, Duration::from_secs(seconds)),
        );
        return Ok(());
    }
    for (part, name) in PARTS.iter().enumerate() {
        report.check(format!("absent/{name}/others"), others_go_on(&path, part));
        report.check(format!("absent/{name}/reset"), reset(&path, part));
    }
    Ok(())
}

/// A disk with a request that waits for one of its parts.
struct Waiting {
    session: Session,
    disk: Disk,
    awaited: Awaited,
    // Mapped for the device.
    _memory: Memory,
    _area: Area,
}

impl Waiting {
    fn new(path: &str, part: usize) -> Result<Self> {
        let mut session = Session::open(path)?;
        session.negotiate(BASIC, backend::ALL)?;

        let memory = Memory::new(Kind::Anonymous, IOVA, MEMORY)?;
        session.map(0, &memory)?;
        let area = Area::anonymous(PARTS.len() * PAGE as usize)?;
        let awaited = area.awaited()?;
        let message = Message::update(0, ABSENT, area.len() as u64, area.address(), iotlb::RW);
        session.device.send(&message)?;

        let mut room = memory.room();
        let mut disk = Disk::new(&session, &memory, &mut room)?;
        session.start()?;

        // All zeros: to read from sector 0.
        let present = room.take(3 * PAGE as usize, PAGE)?;
        memory.write(present, &[0; 3 * PAGE as usize])?;
        let at = |index: usize| {
            let base = if index == part { ABSENT } else { present };
            base + index as u64 * PAGE
        };
        disk.queue.add(&[
            Segment::read(at(0), 16),
            Segment::write(at(1), PAGE as usize),
            Segment::write(at(2), 1),
        ])?;
        disk.queue.notify()?;
        ensure!(
            awaited.is_needed(SOON)?,
            "nobody asks for the memory of the {}",
            PARTS[part]
        );
        Ok(Self {
            session,
            disk,
            awaited,
            _memory: memory,
            _area: area,
        })
    }
}

/// Fails if `call` waits for somebody.
fn at_once<T>(what: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = call().with_context(|| what.to_owned())?;
    let took = start.elapsed();

    ensure!(took < SOON, "{what} took {took:?}");
    Ok(result)
}

/// What has nothing to do with the request goes on, and it does when its memory comes.
fn others_go_on(path: &str, part: usize) -> Result<()> {
    let mut waiting = Waiting::new(path, part)?;
    let session = &waiting.session;

    at_once("GET_STATUS", || Ok(session.device.status()?))?;
    at_once("GET_CONFIG", || {
        Ok(session.vdpa.get_config(0, &mut [0; 8])?)
    })?;
    // This lets the device look again, and then wait again.
    let other = Memory::new(Kind::Anonymous, IOVA + (1 << 32), PAGE as usize)?;
    at_once("mapping", || session.map(0, &other))?;
    at_once("unmapping", || session.unmap(0, &other))?;
    at_once("disabling", || session.enable(0, false))?;
    at_once("enabling", || session.enable(0, true))?;
    ensure!(
        waiting.disk.queue.poll(WHILE)?.is_none(),
        "the request is done without its memory"
    );

    waiting.awaited.provide()?;
    let used = waiting.disk.queue.wait()?;
    ensure!(
        used.written == PAGE as u32 + 1,
        "{} bytes were written",
        used.written
    );
    Ok(())
}

/// A reset ends the waiting, and the device works for the next driver, which gives it memory that is
/// there.
fn reset(path: &str, part: usize) -> Result<()> {
    let waiting = Waiting::new(path, part)?;
    at_once("the end of the session", || {
        waiting.session.vdpa.set_status(0).context("SET_STATUS 0")
    })?;

    // The process goes on, and has not given anything yet.
    let mut session = waiting.session.again()?;
    session.negotiate(BASIC, backend::ALL)?;
    let memory = Memory::new(Kind::Anonymous, IOVA, MEMORY)?;
    let old = Message::invalidate(0, 0, u64::MAX);
    let _ = session.device.send(&old);
    session.map(0, &memory)?;
    let mut disk = Disk::new(&session, &memory, &mut memory.room())?;
    session.start()?;
    let answer = at_once("a request", || {
        disk.ask(VIRTIO_BLK_T_IN, 0, Data::FromDevice(512))
    })?;
    ensure!(
        u32::from(answer.status) == VIRTIO_BLK_S_OK,
        "the next request ends with status {}",
        answer.status
    );
    Ok(())
}

/// The device can be taken away.
fn removal(path: &str, timeout: Duration) -> Result<()> {
    let waiting = Waiting::new(path, 1)?;

    println!("READY");
    std::io::stdout().flush()?;
    let events = waiting.session.device.poll(0, timeout)?;
    ensure!(events != 0, "the device is still there after {timeout:?}");
    Ok(())
}
