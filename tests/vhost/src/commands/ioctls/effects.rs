// SPDX-License-Identifier: GPL-2.0

//! What each ioctl does when it succeeds.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use checks::report::Report;
use std::os::fd::AsRawFd;
use vhost_client::device::{supported, Device};
use vhost_client::memory::{Kind, Memory};
use vhost_client::queue::{event, wait_event, PATIENCE};
use vhost_client::session::{Session, REQUIRED};
use vhost_client::sys::Mailbox;
use vhost_client::traffic::{self, Running, Traffic};
use vhost_client::uapi::*;

use super::fixture::Facts;

type Check = fn(&str, &Facts) -> Result<()>;

const CHECKS: [(&str, Check); 18] = [
    ("before-owner", before_owner),
    ("status-step-by-step", status_steps),
    ("status-in-one-step", status_one_step),
    ("reset-forgets", reset_forgets),
    ("features-until-they-are-ok", features_again),
    ("backend-features", backend_features),
    ("config-in-parts", config_parts),
    ("config-written-back", config_written_back),
    ("vring-num", vring_num),
    ("vring-size", vring_size),
    ("vring-base", vring_base),
    ("vring-files", vring_files),
    ("groups", groups),
    ("mem-table", mem_table),
    ("suspend-before-ready", suspend_before_ready),
    ("suspend-and-resume", suspend_and_resume),
    ("call-is-replaced", call_is_replaced),
    ("config-call", config_call),
];

/// Makes all checks.
pub fn run(path: &str, facts: &Facts, report: &mut Report) {
    for (name, check) in CHECKS {
        report.check(format_args!("ioctls/effect/{name}"), check(path, facts));
    }
}

/// A monitor asks these before it takes the device.
fn before_owner(path: &str, facts: &Facts) -> Result<()> {
    let device = Device::open(path)?;

    ensure!(
        matches!(device.number(VHOST_VDPA_GET_DEVICE_ID)?, 1 | 2),
        "another device"
    );
    ensure!(device.status()? == 0, "the status is not 0 after opening");
    ensure!(
        device.features()? & REQUIRED == REQUIRED,
        "features are missing"
    );
    let always = backend::IOTLB_MSG_V2 | backend::IOTLB_BATCH | backend::IOTLB_ASID;
    ensure!(
        facts.backend & always == always,
        "backend features are missing"
    );
    ensure!(
        facts.backend & !backend::ALL == 0,
        "unknown backend features"
    );
    device.config(0, facts.config as usize).context("config")?;

    let range: [u8; 16] = device.get(VHOST_VDPA_GET_IOVA_RANGE)?;
    let (first, last) = range.split_at(8);
    ensure!(
        u64::from_ne_bytes(first.try_into()?) < u64::from_ne_bytes(last.try_into()?),
        "the range of addresses is {range:?}"
    );
    Ok(())
}

fn status_steps(path: &str, _: &Facts) -> Result<()> {
    let device = Device::open(path)?;

    for _ in 0..2 {
        for status in [1, 3, 3, 11, 15, 15] {
            if status == 11 {
                device.set_features(REQUIRED)?;
            }
            device.set_status(status)?;
            let kept = device.status()?;
            ensure!(kept == status, "{kept:#x} after {status:#x} was set");
        }
        device.set_status(0)?;
        ensure!(device.status()? == 0, "not 0 after a reset");
    }
    Ok(())
}

/// As cloud-hypervisor does it: all is set up, and enabled, before there is a status.
fn status_one_step(path: &str, facts: &Facts) -> Result<()> {
    let mut session = Session::open(path)?;

    session.features = traffic::features(&session)? | REQUIRED;
    session.device.set_features(session.features)?;
    session.device.set_backend_features(facts.backend)?;
    let memory = Memory::new(Kind::File, traffic::IOVA, traffic::MEMORY)?;
    session.map(0, &memory)?;
    let mut traffic = Traffic::new(&session, &memory)?;

    session.device.set_status(0xf)?;
    let kept = session.device.status()?;
    ensure!(kept == 0xf, "{kept:#x} after 0xf was set");
    traffic.prove(1, 40)
}

fn reset_forgets(path: &str, facts: &Facts) -> Result<()> {
    let session = Session::open(path)?;
    let device = &session.device;

    for index in 0..facts.queues {
        device.set(VHOST_SET_VRING_BASE, vring_state(index, 5))?;
    }
    device.set_status(1)?;
    device.set_status(0)?;
    for index in 0..facts.queues {
        let base = device.ask(VHOST_GET_VRING_BASE, index)?;
        ensure!(
            base == 0,
            "virtqueue {index} goes on at {base} after a reset"
        );
    }
    Ok(())
}

fn features_again(path: &str, facts: &Facts) -> Result<()> {
    let mut session = Session::open(path)?;

    session.device.set_status(3)?;
    session.device.set_features(facts.features)?;
    session.device.set_features(REQUIRED)?;
    // Sets them once more.
    session.negotiate(0, backend::ALL)
}

fn backend_features(path: &str, facts: &Facts) -> Result<()> {
    let session = Session::open(path)?;

    session.device.set_backend_features(facts.backend)?;
    session.device.set_backend_features(0)?;
    for bit in (0..64).map(|shift| 1 << shift) {
        if facts.backend & bit != 0 {
            let with = if bit == backend::DESC_ASID {
                bit | backend::IOTLB_ASID
            } else {
                bit
            };
            session
                .device
                .set_backend_features(with)
                .with_context(|| format!("{with:#x}"))?;
        }
    }
    ensure!(
        session.device.backend_features()? == facts.backend,
        "what is offered changed"
    );
    Ok(())
}

fn config_parts(path: &str, facts: &Facts) -> Result<()> {
    let device = Device::open(path)?;
    let size = facts.config as usize;
    let all = device.config(0, size)?;

    for start in 0..size {
        for len in [1, 2, 7, size - start] {
            let len = len.min(size - start);
            let part = device
                .config(start as u32, len)
                .with_context(|| format!("{len} bytes from {start} on"))?;
            ensure!(
                part == all[start..start + len],
                "{len} bytes from {start} on are {part:?}"
            );
        }
    }
    Ok(())
}

fn config_written_back(path: &str, facts: &Facts) -> Result<()> {
    let device = Device::open(path)?;
    let all = device.config(0, facts.config as usize)?;
    let mailbox = Mailbox::new()?;

    for start in 0..all.len() {
        let mut bytes = vring_state(start as u32, (all.len() - start) as u32).to_vec();
        bytes.extend(&all[start..]);
        let place = mailbox.put(&bytes)?;
        device.call_mail(VHOST_VDPA_SET_CONFIG, &mailbox, place)?;
    }
    ensure!(
        device.config(0, all.len())? == all,
        "it changed though the same was written"
    );
    Ok(())
}

fn vring_num(path: &str, facts: &Facts) -> Result<()> {
    let session = Session::open(path)?;
    let sizes = (0..16).map(|shift| 1 << shift);

    for num in sizes.take_while(|num| *num <= facts.largest) {
        for index in 0..facts.queues {
            session
                .device
                .set(VHOST_SET_VRING_NUM, vring_state(index, num))
                .with_context(|| format!("{num} descriptors"))?;
        }
    }
    Ok(())
}

fn vring_size(path: &str, facts: &Facts) -> Result<()> {
    let session = Session::open(path)?;
    let ask = |session: &Session, index| session.device.ask(VHOST_VDPA_GET_VRING_SIZE, index);

    for index in 0..facts.queues {
        let size = ask(&session, index)?;
        ensure!(
            size > 0 && size <= facts.largest,
            "virtqueue {index} may have {size} descriptors"
        );
    }
    drop(session);

    let mut running = Running::start(path, Kind::File, 0, backend::ALL)?;
    for queue in running.traffic.queues() {
        let (wanted, index) = (u32::from(queue.ring.size()), queue.index);
        let size = ask(&running.session, index)?;
        ensure!(
            size == wanted,
            "virtqueue {index} has {size} descriptors, not {wanted}"
        );
    }
    Ok(())
}

fn vring_base(path: &str, facts: &Facts) -> Result<()> {
    let session = Session::open(path)?;

    for index in 0..facts.queues {
        for base in [1, 0xffff, 0x8000, 0] {
            let device = &session.device;
            device.set(VHOST_SET_VRING_BASE, vring_state(index, base))?;
            let kept = device.ask(VHOST_GET_VRING_BASE, index)?;
            ensure!(
                kept == base,
                "virtqueue {index}: {kept} after {base} was set"
            );
        }
    }
    Ok(())
}

fn vring_files(path: &str, facts: &Facts) -> Result<()> {
    let session = Session::open(path)?;
    let device = &session.device;
    let (one, other) = (event()?, event()?);

    for request in [
        VHOST_SET_VRING_KICK,
        VHOST_SET_VRING_CALL,
        VHOST_SET_VRING_ERR,
    ] {
        for index in 0..facts.queues {
            for fd in [
                one.as_raw_fd(),
                one.as_raw_fd(),
                other.as_raw_fd(),
                VHOST_FILE_UNBIND,
                VHOST_FILE_UNBIND,
                one.as_raw_fd(),
            ] {
                device
                    .set_file(request, index, fd)
                    .with_context(|| format!("{request:?} {index} {fd}"))?;
            }
        }
    }
    for fd in [one.as_raw_fd(), other.as_raw_fd(), VHOST_FILE_UNBIND] {
        device.set(VHOST_VDPA_SET_CONFIG_CALL, fd.to_ne_bytes())?;
    }
    // Nobody listens to these any more.
    one.write(1)?;
    other.write(1)?;
    Ok(())
}

fn groups(path: &str, facts: &Facts) -> Result<()> {
    let session = Session::open(path)?;
    let device = &session.device;

    for index in 0..facts.queues {
        let group = device.ask(VHOST_VDPA_GET_VRING_GROUP, index)?;
        ensure!(
            group < facts.groups,
            "virtqueue {index} is in group {group}"
        );
        match supported(device.ask(VHOST_VDPA_GET_VRING_DESC_GROUP, index))? {
            None => ensure!(facts.backend & backend::DESC_ASID == 0, "offered, not had"),
            Some(group) => ensure!(group < facts.groups, "no such group of descriptors"),
        }
    }
    for group in 0..facts.groups {
        for asid in (0..facts.spaces).chain([0]) {
            device
                .set(VHOST_VDPA_SET_GROUP_ASID, vring_state(group, asid))
                .with_context(|| format!("group {group}, space {asid}"))?;
        }
    }
    Ok(())
}

/// It has no meaning here, but monitors set it.
fn mem_table(path: &str, _: &Facts) -> Result<()> {
    let session = Session::open(path)?;

    Ok(session.device.set(VHOST_SET_MEM_TABLE, [0; 8])?)
}

fn suspend_before_ready(path: &str, _: &Facts) -> Result<()> {
    let mut session = Session::open(path)?;

    session.device.plain(VHOST_VDPA_SUSPEND)?;
    session.device.plain(VHOST_VDPA_RESUME)?;
    session.negotiate(0, backend::ALL)?;
    session.device.plain(VHOST_VDPA_SUSPEND)?;
    session.device.plain(VHOST_VDPA_RESUME)?;
    Ok(())
}

fn suspend_and_resume(path: &str, facts: &Facts) -> Result<()> {
    let mut running = Running::start(path, Kind::File, 0, backend::ALL)?;
    let offered = backend::SUSPEND | backend::RESUME;

    ensure!(facts.backend & offered == offered, "the device cannot");
    for seed in 0..3 {
        running.traffic.prove(seed, 20)?;
        running.session.device.plain(VHOST_VDPA_SUSPEND)?;
        if seed == 1 {
            running.session.device.plain(VHOST_VDPA_SUSPEND)?;
        }
        ensure!(
            running.session.device.status()? == 0xf,
            "the status changed"
        );
        running.session.device.plain(VHOST_VDPA_RESUME)?;
    }
    running.session.device.plain(VHOST_VDPA_RESUME)?;
    running.traffic.prove(9, 20)
}

/// A device at work calls whom it was told last, and nobody else.
fn call_is_replaced(path: &str, _: &Facts) -> Result<()> {
    let mut running = Running::start(path, Kind::File, 0, backend::ALL)?;
    let device = running.session.device.try_clone()?;

    running.traffic.prove(1, 20)?;
    let mut old = Vec::new();
    for queue in running.traffic.queues() {
        let new = event()?;

        device.set_file(VHOST_SET_VRING_CALL, queue.index, new.as_raw_fd())?;
        old.push(std::mem::replace(&mut queue.call, new));
    }
    for call in &old {
        wait_event(call, Duration::ZERO)?;
    }
    running
        .traffic
        .prove(2, 20)
        .context("with other eventfds")?;
    for call in &old {
        ensure!(
            !wait_event(call, Duration::ZERO)?,
            "the old eventfd is signalled"
        );
    }

    for queue in running.traffic.queues() {
        device.set_file(VHOST_SET_VRING_CALL, queue.index, VHOST_FILE_UNBIND)?;
        device.set_file(VHOST_SET_VRING_CALL, queue.index, queue.call.as_raw_fd())?;
    }
    running
        .traffic
        .prove(3, 20)
        .context("with the same taken away and given back")
}

/// Whoever was named last is told that the device must be reset, and nobody else.
fn config_call(path: &str, _: &Facts) -> Result<()> {
    let mut running = Running::start(path, Kind::File, 0, backend::ALL)?;
    let device = running.session.device.try_clone()?;
    let memory = running.memory.clone();
    let (old, new) = (event()?, event()?);

    for call in [&old, &new] {
        device.set(VHOST_VDPA_SET_CONFIG_CALL, call.as_raw_fd().to_ne_bytes())?;
    }
    running.traffic.prove(1, 20)?;
    ensure!(
        !wait_event(&new, Duration::ZERO)?,
        "it is signalled without a reason"
    );

    // More chains than there are descriptors: nothing can be made of that.
    for queue in running.traffic.queues() {
        let index = queue.ring.addresses().driver + 2;

        memory.store(index, memory.load(index)?.wrapping_add(0x8000))?;
        queue.kick.write(1)?;
    }
    ensure!(wait_event(&new, PATIENCE)?, "it is not signalled");
    ensure!(
        !wait_event(&old, Duration::ZERO)?,
        "the old eventfd is signalled"
    );
    let found = device.status()?;
    ensure!(found & status::NEEDS_RESET != 0, "the status is {found:#x}");
    Ok(())
}
