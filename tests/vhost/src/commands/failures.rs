// SPDX-License-Identifier: GPL-2.0

//! What a device's file does, with each allocation in it failing in turn.
//!
//! Each time a session is brought to the step in question, the step is taken, and the session ends.
//! Whatever failed: the next session is as good as the first, and nothing stays pinned.

use std::io;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use checks::arguments::Arguments;
use checks::faults::{Injector, Repeated};
use checks::report::Report;
use vhost_client::device::Device;
use vhost_client::iotlb::{self, kind, Message};
use vhost_client::memory::Memory;
use vhost_client::process::Pinned;
use vhost_client::queue::Queue;
use vhost_client::session::Session;
use vhost_client::sys::{Mailbox, Place, Request, PAGE};
use vhost_client::traffic::{Running, IOVA};
use vhost_client::uapi::*;

use super::Manner;

/// The length of the mapping that is made.
const LEN: usize = 16 * PAGE;

/// Where a session has got to.
enum Subject {
    Closed(String),
    Opened(Device),
    Negotiated(Session, Memory),
    Running(Box<Running>),
    Asking(Session, Mailbox, Place),
}

type Prepare = fn(&Manner) -> Result<Subject>;
type Act = fn(&mut Subject) -> io::Result<()>;

/// All steps: what is before it, and what is done.
const STEPS: [(&str, Prepare, Act); 21] = [
    ("open", closed, open),
    ("own", opened, own),
    ("map", negotiated, map),
    ("map-batch", negotiated, map_batch),
    ("unmap", mapped, unmap),
    ("unmap-half", mapped, unmap_half),
    ("group", negotiated, group),
    ("num", prepared, |subject| {
        set_state(subject, VHOST_SET_VRING_NUM, 64)
    }),
    ("addr", prepared, addr),
    ("base", prepared, |subject| {
        set_state(subject, VHOST_SET_VRING_BASE, 0)
    }),
    ("kick", prepared, |subject| {
        set_file(subject, VHOST_SET_VRING_KICK)
    }),
    ("call", prepared, |subject| {
        set_file(subject, VHOST_SET_VRING_CALL)
    }),
    ("err", prepared, |subject| {
        set_file(subject, VHOST_SET_VRING_ERR)
    }),
    ("config-call", prepared, config_call),
    ("get-config", asking, get_config),
    ("start", prepared, start),
    ("suspend", running, |subject| {
        device(subject)?.plain(VHOST_VDPA_SUSPEND)
    }),
    ("resume", suspended, |subject| {
        device(subject)?.plain(VHOST_VDPA_RESUME)
    }),
    ("reset", running, |subject| device(subject)?.set_status(0)),
    ("get-base", running, |subject| {
        device(subject)?.ask(VHOST_GET_VRING_BASE, 0).map(drop)
    }),
    ("close", running, close),
];

/// Steps that send messages. One that cannot be read whole counts as too short.
const MESSAGES: [&str; 4] = ["map", "map-batch", "unmap", "unmap-half"];

/// The command `failures`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let manner = Manner::take(arguments)?;
    let only = arguments.optional("--only")?;
    arguments.finish()?;

    let injector = Injector::new(1)?;
    for (name, prepare, act) in STEPS {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let more: &[i32] = match MESSAGES.contains(&name) {
            true => &[libc::EINVAL],
            false => &[],
        };
        let result = step(&injector, &manner, more, prepare, act);
        let name = format!("failures/{name}");
        if let Ok(repeated) = &result {
            report.note(format_args!("{name}: {repeated}"));
        }
        report.check(name, result.map(drop));
    }
    // One call may have nothing in it that can fail.
    if only.is_none() {
        report.check("failures/injected", injector.check());
    }
    report.check("failures/works-afterwards", prove(&manner));
    Ok(())
}

/// Takes a step, again and again.
fn step(
    injector: &Injector,
    manner: &Manner,
    more: &[i32],
    prepare: Prepare,
    act: Act,
) -> Result<Repeated> {
    let before = Pinned::now()?;

    injector.each(
        more,
        || prepare(manner),
        act,
        |subject, _| {
            drop(subject);
            before.unchanged()
        },
    )
}

fn prove(manner: &Manner) -> Result<()> {
    let mut running = start_running(manner)?;

    running.traffic.prove(1, 50)
}

// --- What is before a step -----------------------------------------------------------------------

fn closed(manner: &Manner) -> Result<Subject> {
    Ok(Subject::Closed(manner.path.clone()))
}

fn opened(manner: &Manner) -> Result<Subject> {
    Ok(Subject::Opened(Device::open(&manner.path)?))
}

fn negotiated(manner: &Manner) -> Result<Subject> {
    let session = manner.open(0)?;
    let memory = Memory::new(manner.memory, IOVA, LEN)?;

    // The pages are there, so that only what the driver does can fail.
    memory.write(IOVA, &[0x55; LEN])?;
    Ok(Subject::Negotiated(session, memory))
}

fn mapped(manner: &Manner) -> Result<Subject> {
    let mut subject = negotiated(manner)?;

    map(&mut subject).context("mapping")?;
    Ok(subject)
}

/// Everything is set up, and the device not started.
fn prepared(manner: &Manner) -> Result<Subject> {
    let session = Session::open(&manner.path)?;
    let running = Running::prepare(session, manner.memory, manner.features, manner.backend)?;

    Ok(Subject::Running(Box::new(running)))
}

/// A buffer for a part of the configuration space is there.
fn asking(manner: &Manner) -> Result<Subject> {
    let session = manner.open(0)?;
    let mailbox = Mailbox::new()?;
    let mut bytes = [0; CONFIG_HEADER_SIZE + 4];

    bytes[..CONFIG_HEADER_SIZE].copy_from_slice(&vring_state(0, 4));
    let place = mailbox.put(&bytes)?;
    Ok(Subject::Asking(session, mailbox, place))
}

fn start_running(manner: &Manner) -> Result<Running> {
    Running::start(&manner.path, manner.memory, manner.features, manner.backend)
}

fn running(manner: &Manner) -> Result<Subject> {
    let mut running = start_running(manner)?;

    running.traffic.prove(1, 5)?;
    Ok(Subject::Running(Box::new(running)))
}

fn suspended(manner: &Manner) -> Result<Subject> {
    let subject = running(manner)?;

    device(&subject)?.plain(VHOST_VDPA_SUSPEND)?;
    Ok(subject)
}

// --- Steps ---------------------------------------------------------------------------------------

fn device(subject: &Subject) -> io::Result<&Device> {
    match subject {
        Subject::Closed(_) => Err(io::ErrorKind::NotConnected.into()),
        Subject::Opened(device) => Ok(device),
        Subject::Negotiated(session, _) | Subject::Asking(session, ..) => Ok(&session.device),
        Subject::Running(running) => Ok(&running.session.device),
    }
}

fn memory(subject: &Subject) -> io::Result<&Memory> {
    match subject {
        Subject::Negotiated(_, memory) => Ok(memory),
        _ => Err(io::ErrorKind::NotConnected.into()),
    }
}

/// The first virtqueue.
fn queue(subject: &mut Subject) -> io::Result<&mut Queue> {
    let Subject::Running(running) = subject else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let first = running.traffic.queues().into_iter().next();

    first.ok_or_else(|| io::ErrorKind::NotConnected.into())
}

fn open(subject: &mut Subject) -> io::Result<()> {
    if let Subject::Closed(path) = subject {
        *subject = Subject::Opened(Device::open(path)?);
    }
    Ok(())
}

fn close(subject: &mut Subject) -> io::Result<()> {
    drop(std::mem::replace(subject, Subject::Closed(String::new())));
    Ok(())
}

fn own(subject: &mut Subject) -> io::Result<()> {
    device(subject)?.plain(VHOST_SET_OWNER)
}

fn update(subject: &Subject) -> io::Result<Message> {
    let memory = memory(subject)?;
    let (iova, len, address) = (memory.iova(), memory.len(), memory.address());

    Ok(Message::update(0, iova, len, address, iotlb::RW))
}

fn map(subject: &mut Subject) -> io::Result<()> {
    device(subject)?.send(&update(subject)?)
}

fn map_batch(subject: &mut Subject) -> io::Result<()> {
    let device = device(subject)?;

    device.send(&Message::new(0, kind::BATCH_BEGIN))?;
    device.send(&update(subject)?)?;
    device.send(&Message::new(0, kind::BATCH_END))
}

fn unmap(subject: &mut Subject) -> io::Result<()> {
    device(subject)?.send(&Message::invalidate(0, IOVA, LEN as u64))
}

/// A part in the middle, so that a mapping becomes two.
fn unmap_half(subject: &mut Subject) -> io::Result<()> {
    let len = LEN as u64;

    device(subject)?.send(&Message::invalidate(0, IOVA + len / 4, len / 2))
}

fn group(subject: &mut Subject) -> io::Result<()> {
    device(subject)?.set(VHOST_VDPA_SET_GROUP_ASID, vring_state(0, 0))
}

fn set_state(subject: &mut Subject, request: Request, value: u32) -> io::Result<()> {
    device(subject)?.set(request, vring_state(0, value))
}

fn addr(subject: &mut Subject) -> io::Result<()> {
    let at = queue(subject)?.ring.addresses();
    let addr = VringAddr {
        index: 0,
        desc: at.desc,
        used: at.device,
        avail: at.driver,
        ..VringAddr::default()
    };

    device(subject)?.set(VHOST_SET_VRING_ADDR, addr.bytes())
}

fn set_file(subject: &mut Subject, request: Request) -> io::Result<()> {
    let fd = queue(subject)?.kick.as_raw_fd();

    device(subject)?.set_file(request, 0, fd)
}

fn config_call(subject: &mut Subject) -> io::Result<()> {
    let fd = queue(subject)?.call.as_raw_fd();

    device(subject)?.set(VHOST_VDPA_SET_CONFIG_CALL, fd.to_ne_bytes())
}

fn get_config(subject: &mut Subject) -> io::Result<()> {
    let Subject::Asking(session, mailbox, place) = subject else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let answer = session
        .device
        .call_mail(VHOST_VDPA_GET_CONFIG, mailbox, *place);

    answer.map(drop)
}

fn start(subject: &mut Subject) -> io::Result<()> {
    let device = device(subject)?;
    let status = device.status()?;

    device.set_status(status | status::DRIVER_OK)
}
