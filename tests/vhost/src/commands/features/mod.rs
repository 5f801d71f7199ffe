// SPDX-License-Identifier: GPL-2.0

//! What a device can do, as far as it can be asked: for a table in the documentation.
//!
//! Printed are lines `ORDER|WHAT|VALUE`, where `ORDER` is the number of a table and a place in it.

mod names;

use std::fmt::Display;
use std::fs;
use std::os::fd::AsFd;
use std::process::Command;

use anyhow::{Context, Result};
use checks::arguments::Arguments;
use checks::report::Report;
use vhost_client::device::supported;
use vhost_client::memory::{Kind, Memory};
use vhost_client::process;
use vhost_client::session::Session;
use vhost_client::sys::{Doorbell, PAGE};
use vhost_client::traffic::IOVA;
use vhost_client::uapi::*;

/// The command `features`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let name = arguments.required("--name")?;
    arguments.finish()?;

    report.check("features/asked", ask(&path, &name));
    Ok(())
}

/// The tables, in their order.
#[derive(Clone, Copy)]
enum Table {
    Features = 1,
    Backend,
    Queues,
    Memory,
    Control,
}

fn print(table: Table, place: u32, what: &str, value: impl Display) {
    println!("{}.{place:03}.{what}|{what}|{value}", table as u32);
}

fn yes<T>(answer: Option<T>) -> &'static str {
    answer.map_or("", |_| "yes")
}

fn ask(path: &str, name: &str) -> Result<()> {
    let session = Session::open(path)?;

    features(&session)?;
    numbers(&session)?;
    groups(&session)?;
    memory(&session)?;
    at_work(&session, name)
}

fn features(session: &Session) -> Result<()> {
    let device = &session.device;

    for (bit, name) in names::of_device(session.id()?, device.features()?) {
        // Those of one kind of device come last.
        let place = if name.contains("_F_") && !names::is_common(&name) {
            u64::BITS + bit
        } else {
            bit
        };
        print(Table::Features, place, &name, "yes");
    }
    for (bit, name) in names::of_backend(device.backend_features()?) {
        print(Table::Backend, bit, &name, "yes");
    }
    Ok(())
}

fn numbers(session: &Session) -> Result<()> {
    let device = &session.device;
    let size = device
        .get(VHOST_VDPA_GET_VRING_NUM)
        .map(u16::from_ne_bytes)?;
    let count = device.number(VHOST_VDPA_GET_VQS_COUNT)?;

    print(Table::Queues, 1, "virtqueues", count);
    print(Table::Queues, 2, "largest size of a virtqueue", size);
    let size = supported(device.ask(VHOST_VDPA_GET_VRING_SIZE, 0))?;
    print(Table::Queues, 3, "size of each can be asked", yes(size));
    let size = device.number(VHOST_VDPA_GET_CONFIG_SIZE)?;
    print(Table::Queues, 4, "bytes of configuration", size);
    Ok(())
}

fn groups(session: &Session) -> Result<()> {
    let device = &session.device;
    let count = device.number(VHOST_VDPA_GET_VQS_COUNT)?;
    let groups = device.number(VHOST_VDPA_GET_GROUP_NUM)?;
    let spaces = device.number(VHOST_VDPA_GET_AS_NUM)?;
    let of_each = (0..count)
        .map(|index| supported(device.ask(VHOST_VDPA_GET_VRING_GROUP, index)))
        .collect::<std::io::Result<Option<Vec<_>>>>()?;
    let bound = device.set(
        VHOST_VDPA_SET_GROUP_ASID,
        vring_state(groups.saturating_sub(1), spaces.saturating_sub(1)),
    );

    print(Table::Memory, 1, "groups", groups);
    let of_each = of_each
        .unwrap_or_default()
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>();
    print(
        Table::Memory,
        2,
        "group of each virtqueue",
        of_each.join(" "),
    );
    print(Table::Memory, 3, "address spaces", spaces);
    print(
        Table::Memory,
        4,
        "address space of a group can be set",
        yes(supported(bound)?),
    );
    Ok(())
}

fn memory(session: &Session) -> Result<()> {
    let range = session.device.get::<16>(VHOST_VDPA_GET_IOVA_RANGE)?;
    let last = u64::from_ne_bytes(range[8..].try_into()?);
    let before = process::charged()?;
    let memory = Memory::new(Kind::Anonymous, IOVA, PAGE)?;

    session.map(0, &memory)?;
    let pinned = process::charged()? > before;
    print(
        Table::Memory,
        5,
        "bits of an address",
        u64::BITS - last.leading_zeros(),
    );
    print(
        Table::Memory,
        6,
        "memory of a process is pinned",
        yes(pinned.then_some(())),
    );
    Ok(())
}

fn at_work(session: &Session, name: &str) -> Result<()> {
    let device = &session.device;
    let before = interrupts()?;

    session.add_status(status::ACKNOWLEDGE | status::DRIVER)?;
    device
        .set_features(device.features()?)
        .context("SET_FEATURES")?;
    session.add_status(status::FEATURES_OK)?;
    let doorbell = supported(Doorbell::of_queue(device.as_fd(), 0))?;
    let statistics = Command::new("vdpa")
        .args(["dev", "vstats", "show", name, "qidx", "0"])
        .output()
        .context("vdpa")?;
    session.start()?;
    let own = interrupts()?.saturating_sub(before);

    print(Table::Queues, 5, "doorbells for processes", yes(doorbell));
    print(Table::Queues, 6, "interrupts", own);
    let suspended = supported(device.plain(VHOST_VDPA_SUSPEND))?;
    print(Table::Control, 1, "suspend", yes(suspended));
    print(
        Table::Control,
        2,
        "resume",
        yes(supported(device.plain(VHOST_VDPA_RESUME))?),
    );
    let statistics = statistics.status.success().then_some(());
    print(Table::Control, 3, "statistics", yes(statistics));
    Ok(())
}

/// How many interrupts with a number somebody has. A name may have a line break in it.
fn interrupts() -> Result<usize> {
    let lines = fs::read_to_string("/proc/interrupts")?;
    let is_number = |line: &str| {
        let number = line
            .split_once(':')
            .map(|(number, _)| number.trim().parse::<u32>());
        matches!(number, Some(Ok(_)))
    };

    Ok(lines.lines().filter(|line| is_number(line)).count())
}
