// SPDX-License-Identifier: GPL-2.0

//! The control queue in an address space of its own, as monitors have it that watch commands.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use checks::report::Report;
use vhost_client::memory::Memory;
use vhost_client::net::control::Control;
use vhost_client::net::stream::Stream;
use vhost_client::net::{self, frame, Mac, Net, CVQ, RX, TX};
use vhost_client::queue::PATIENCE;
use vhost_client::session::Session;
use vhost_client::traffic::IOVA;
use vhost_client::uapi::*;

use super::Manner;

type Check = fn(&Manner) -> Result<()>;

const CHECKS: [(&str, Check); 5] = [
    ("groups", groups),
    ("control-queue-isolated", isolated),
    ("control-queue-elsewhere", elsewhere),
    ("data-elsewhere", data_elsewhere),
    ("reset-takes-groups-back", reset),
];

/// Makes all checks.
pub fn run(manner: &Manner, report: &mut Report) {
    for (name, check) in CHECKS {
        report.check(format_args!("states/spaces/{name}"), check(manner));
    }
}

const FEATURES: u64 = net::MAC | net::CONTROL;

/// How long to wait for an answer that shall not come.
const QUIET: Duration = Duration::from_millis(300);

fn group(session: &Session, queue: u32) -> Result<u32> {
    Ok(session.device.ask(VHOST_VDPA_GET_VRING_GROUP, queue)?)
}

/// Gives the group of a virtqueue an address space.
fn assign(session: &Session, queue: u32, asid: u32) -> Result<()> {
    let group = group(session, queue)?;

    session
        .device
        .set(VHOST_VDPA_SET_GROUP_ASID, vring_state(group, asid))
        .with_context(|| format!("group {group}, space {asid}"))
}

fn groups(manner: &Manner) -> Result<()> {
    let session = Session::open(&manner.path)?;

    ensure!(
        group(&session, CVQ)? != group(&session, RX)?,
        "the control queue is not in a group of its own"
    );
    ensure!(
        group(&session, RX)? == group(&session, TX)?,
        "the others are not in one group"
    );
    Ok(())
}

fn stream(to: Mac) -> Stream {
    Stream {
        to,
        count: 50,
        size: 100,
        inflight: 8,
        seed: 5,
        compare: true,
    }
}

/// Memory for the control queue, at the same addresses as that of the others.
fn other_memory(manner: &Manner) -> Result<Memory> {
    Memory::new(manner.memory, IOVA, net::MEMORY)
}

fn isolated(manner: &Manner) -> Result<()> {
    let session = manner.open(FEATURES)?;
    let memory = manner.share(&session, net::MEMORY)?;
    let secret = other_memory(manner)?;

    assign(&session, CVQ, 1)?;
    session.map(1, &secret)?;
    let mut device = Net::new(&session, &memory, &mut memory.room())?;
    let mut control = Control::new(&session, &secret, &mut secret.room())?;
    session.start()?;

    let old = net::mac(&session)?;
    let new = [0x52, 0x54, 0x11, 0x77, 0x66, 0x55];
    stream(old).run(&mut device)?;
    ensure!(control.set_mac(new, PATIENCE)?, "no answer to a command");
    ensure!(
        net::mac(&session)? == new,
        "the address is {:x?}",
        net::mac(&session)?
    );
    stream(new)
        .run(&mut device)
        .context("with the new address")?;

    // Frames for the old one are not received any more.
    ensure!(device.post()?, "no buffer");
    ensure!(device.send(&frame::make(old, 0, 0, 100))?, "no buffer");
    device.notify()?;
    ensure!(
        device.receive(QUIET)?.is_none(),
        "a frame for the old address is received"
    );
    ensure!(control.set_mac(old, PATIENCE)?, "no answer to a command");
    Ok(())
}

/// The queue is where its group does not look.
fn elsewhere(manner: &Manner) -> Result<()> {
    let session = manner.open(FEATURES)?;
    let memory = manner.share(&session, net::MEMORY)?;
    let mut room = memory.room();
    let empty = other_memory(manner)?;
    let before = net::mac(&session)?;

    assign(&session, CVQ, 1)?;
    session.map(1, &empty)?;
    let mut device = Net::new(&session, &memory, &mut room)?;
    // In the memory of the others, so that the ring in its own space is empty.
    let mut control = Control::new(&session, &memory, &mut room)?;
    session.start()?;

    let answered = control.set_mac([0x52, 0x54, 0x11, 1, 1, 1], QUIET)?;
    ensure!(!answered, "a command from another space is answered");
    ensure!(net::mac(&session)? == before, "it is done");
    stream(before)
        .run(&mut device)
        .context("of the other queues")?;
    Ok(())
}

/// Both groups exchange their places.
fn data_elsewhere(manner: &Manner) -> Result<()> {
    let session = manner.open(FEATURES)?;
    let memory = manner.share(&session, net::MEMORY)?;
    let frames = other_memory(manner)?;

    assign(&session, RX, 1)?;
    session.map(1, &frames)?;
    let mut device = Net::new(&session, &frames, &mut frames.room())?;
    let mut control = Control::new(&session, &memory, &mut memory.room())?;
    session.start()?;

    let mac = net::mac(&session)?;
    stream(mac).run(&mut device)?;
    ensure!(control.set_mac(mac, PATIENCE)?, "no answer to a command");
    Ok(())
}

/// After a reset, all groups use the first address space.
fn reset(manner: &Manner) -> Result<()> {
    let mut session = manner.open(FEATURES)?;
    assign(&session, CVQ, 1)?;
    assign(&session, RX, 1)?;
    session.device.set_status(0)?;

    session = session.again()?;
    session.negotiate(FEATURES | manner.features, manner.backend)?;
    let memory = manner.share(&session, net::MEMORY)?;
    let mut room = memory.room();
    let mut device = Net::new(&session, &memory, &mut room)?;
    let mut control = Control::new(&session, &memory, &mut room)?;
    session.start()?;

    let mac = net::mac(&session)?;
    stream(mac).run(&mut device)?;
    ensure!(control.set_mac(mac, PATIENCE)?, "no answer to a command");
    Ok(())
}
