// SPDX-License-Identifier: GPL-2.0

//! Any device: what it says of itself, and one request of two buffers.

use std::io;

use anyhow::{ensure, Context, Result};
use checks::arguments::{Arguments, Misuse};
use checks::report::Report;
use vhost::vdpa::VhostVdpa;
use vhost_client::device::supported;
use vhost_client::memory::{Memory, Room};
use vhost_client::queue::{event, wait_event, Queue, PATIENCE};
use vhost_client::ring::Segment;
use vhost_client::session::Session;
use vhost_client::uapi::*;
use vmm_sys_util::eventfd::EventFd;

use super::config::{self, from_hex, hex};
use super::Manner;

/// The largest ring, and the largest buffer.
const MOST_DESCRIPTORS: u16 = 256;
const MOST_BYTES: usize = 1 << 20;

/// What the device is asked.
struct Request {
    queue: u32,
    out: Vec<u8>,
    room: usize,
    /// Written to the configuration before the device is started.
    config: Option<(u32, Vec<u8>)>,
    /// The device is suspended and goes on afterwards, and is asked once more.
    suspend: bool,
    /// It has to say that its configuration has changed.
    changes: bool,
}

impl Request {
    /// Takes the options that say it, if there is to be one.
    fn take(arguments: &mut Arguments) -> Result<Option<Self>> {
        let Some(queue) = arguments.optional("--queue")? else {
            return Ok(None);
        };
        let queue = queue
            .parse()
            .map_err(|_| Misuse(format!("--queue is {queue:?}, which is no number")))?;
        let out = from_hex(&arguments.text("--out", "")?)?;
        let room = arguments.number("--in", 0, 0..=MOST_BYTES as u64)? as usize;
        let config = arguments
            .optional("--config")?
            .map(|text| {
                let (offset, bytes) = text
                    .split_once(':')
                    .ok_or_else(|| Misuse(format!("--config is {text:?}, not OFFSET:BYTES")))?;
                let offset = offset
                    .parse()
                    .map_err(|_| Misuse(format!("{offset:?} is no offset")))?;

                Ok::<_, anyhow::Error>((offset, from_hex(bytes)?))
            })
            .transpose()?;

        if out.is_empty() && room == 0 {
            return Err(Misuse("a request has --out, --in or both".into()).into());
        }
        Ok(Some(Self {
            queue,
            out,
            room,
            config,
            suspend: arguments.flag("--suspend"),
            changes: arguments.flag("--changes"),
        }))
    }
}

/// The command `raw`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let manner = Manner::take(arguments)?;
    let request = Request::take(arguments)?;
    arguments.finish()?;

    let session = Session::open(&manner.path)?;
    let told = tell(&session, report);
    report.check("raw/questions", told);
    // It is reset when it is opened again.
    drop(session);

    if let Some(request) = request {
        make(&manner, &request, report)?;
    }
    Ok(())
}

/// Says what the device is.
fn tell(session: &Session, report: &mut Report) -> Result<()> {
    let device = &session.device;
    let queues = device
        .number(VHOST_VDPA_GET_VQS_COUNT)
        .context("GET_VQS_COUNT")?;
    let sizes = [
        ("device id", device.number(VHOST_VDPA_GET_DEVICE_ID)),
        ("virtqueues", Ok(queues)),
        ("groups", device.number(VHOST_VDPA_GET_GROUP_NUM)),
        ("address spaces", device.number(VHOST_VDPA_GET_AS_NUM)),
        (
            "bytes of configuration",
            device.number(VHOST_VDPA_GET_CONFIG_SIZE),
        ),
    ];

    for (what, number) in sizes {
        let number = number.with_context(|| what.to_owned())?;
        report.note(format_args!("{what}: {number}"));
    }
    let features = device.features().context("GET_FEATURES")?;
    report.note(format_args!("features: {features:#x}"));
    let features = device.backend_features().context("GET_BACKEND_FEATURES")?;
    report.note(format_args!("backend features: {features:#x}"));
    let status = device.status().context("GET_STATUS")?;
    report.note(format_args!("status: {status:#x}"));
    for index in 0..queues {
        let size = optional(device.ask(VHOST_VDPA_GET_VRING_SIZE, index))?;
        let group = optional(device.ask(VHOST_VDPA_GET_VRING_GROUP, index))?;
        report.note(format_args!(
            "virtqueue {index}: size {size}, group {group}"
        ));
    }
    Ok(())
}

/// A number that not every device has.
fn optional(number: io::Result<u32>) -> io::Result<String> {
    let number = supported(number)?;

    Ok(number.map_or_else(|| "none".to_owned(), |number| number.to_string()))
}

/// A device that was started.
struct Started {
    session: Session,
    memory: Memory,
    queue: Queue,
    /// Where the buffers are.
    out: u64,
    room: u64,
    changed: EventFd,
}

impl Started {
    fn new(manner: &Manner, request: &Request) -> Result<Self> {
        let session = manner.open(0)?;
        let memory = manner.share(&session, 4 * MOST_BYTES)?;
        let mut room: Room = memory.room();
        let ring = session.ring(&memory, &mut room, session.ring_size(MOST_DESCRIPTORS)?)?;
        let queue = session.add_queue(request.queue, ring, 0)?;
        let changed = event()?;

        session
            .vdpa
            .set_config_call(&changed)
            .context("SET_CONFIG_CALL")?;
        if let Some((offset, bytes)) = &request.config {
            config::write(&session.device, *offset, bytes)?;
        }
        session.start()?;
        Ok(Self {
            out: room.take(request.out.len().max(1), 64)?,
            room: room.take(request.room.max(1), 64)?,
            session,
            memory,
            queue,
            changed,
        })
    }

    /// Makes the request, and returns what was written for it.
    fn ask(&mut self, request: &Request) -> Result<Vec<u8>> {
        // What no device happens to write.
        const BEFORE: u8 = 0xa5;
        let mut chain = Vec::new();

        if !request.out.is_empty() {
            self.memory.write(self.out, &request.out)?;
            chain.push(Segment::read(self.out, request.out.len()));
        }
        if request.room != 0 {
            self.memory.write(self.room, &vec![BEFORE; request.room])?;
            chain.push(Segment::write(self.room, request.room));
        }
        let token = self.queue.add(&chain)?;
        self.queue.notify()?;

        let used = match self.queue.wait() {
            Ok(used) => used,
            Err(error) => {
                let status = self.session.device.status()?;
                return Err(error.context(format!("the status is {status:#x}")));
            }
        };
        let written = used.written as usize;
        ensure!(used.token == token, "another request came back");
        ensure!(
            written <= request.room,
            "{written} bytes were written, for which there is no room"
        );

        let mut bytes = vec![0; request.room];
        self.memory.read(self.room, &mut bytes)?;
        let rest = bytes.split_off(written);
        ensure!(
            rest.iter().all(|byte| *byte == BEFORE),
            "more was written than the {written} bytes that it says"
        );
        Ok(bytes)
    }

    /// Stops the device and has it go on.
    fn suspend(&mut self, report: &mut Report) -> Result<()> {
        let index = self.queue.index;

        self.session
            .device
            .plain(VHOST_VDPA_SUSPEND)
            .context("SUSPEND")?;
        let base = self.session.base(index)?;
        report.note(format_args!("virtqueue {index} stands at {base}"));
        let idle = self.queue.ring.base_when_idle();
        ensure!(base == idle, "it stands at {base}, after {idle} requests");
        self.session
            .device
            .plain(VHOST_VDPA_RESUME)
            .context("RESUME")
    }

    fn has_changed(&self) -> Result<()> {
        ensure!(
            wait_event(&self.changed, PATIENCE)?,
            "no change of the configuration was told"
        );
        Ok(())
    }
}

/// Makes a request, and what was asked for around it.
fn make(manner: &Manner, request: &Request, report: &mut Report) -> Result<()> {
    let mut started = Started::new(manner, request)?;

    let written = started.ask(request);
    say(written, "raw/request", report);
    if request.changes {
        report.check("raw/change", started.has_changed());
    }
    if request.suspend {
        let suspended = started.suspend(report);
        report.check("raw/suspended-and-resumed", suspended);
        let written = started.ask(request);
        say(written, "raw/request-again", report);
    }
    let device = &started.session.device;
    let size = config::size(device)?;
    if size != 0 {
        let bytes = config::read(device, 0, size)?;
        report.note(format_args!("configuration afterwards: {}", hex(&bytes)));
    }
    report.note(format_args!("status afterwards: {:#x}", device.status()?));
    Ok(())
}

/// Prints what came of a request.
fn say(written: Result<Vec<u8>>, name: &str, report: &mut Report) {
    let written = written.map(|bytes| {
        report.note(format_args!(
            "written: {} bytes: {}",
            bytes.len(),
            hex(&bytes)
        ));
    });

    report.check(name, written);
}
