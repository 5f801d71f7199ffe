// SPDX-License-Identifier: GPL-2.0

//! What things cost. One line for each, for those who compare drivers: `bench: WHAT | VALUE |
//! UNIT`.
//!
//! Time is taken in nanoseconds, which are instructions on a machine that runs one in each.

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use checks::arguments::Arguments;
use checks::report::Report;
use vhost_client::device::{errno, Device};
use vhost_client::iotlb::{self, kind, Message};
use vhost_client::memory::{Kind, Memory, HUGE_PAGE};
use vhost_client::net::stream::Stream;
use vhost_client::session::Session;
use vhost_client::sys::{Advice, Area, PAGE};
use vhost_client::traffic::{self, Running, Traffic, MEMORY};
use vhost_client::uapi::backend;

use super::ioctls::errno_name;

/// Where memory is mapped that nothing looks at.
const IOVA: u64 = 0x5_0000_0000;

/// How many small mappings a batch has.
const UPDATES: usize = 10_000;

/// The command `bench`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let mib = arguments.number("--mib", 64, 2..=1 << 16)? as usize;
    let count = arguments.number("--count", 2000, 1..=1 << 20)? as usize;
    let only = arguments.optional("--only")?;
    arguments.finish()?;

    type Bench<'a> = (&'a str, &'a dyn Fn() -> Result<()>);
    let all: [Bench<'_>; 4] = [
        ("mappings", &|| mappings(&path, mib)),
        ("updates", &|| updates(&path, UPDATES)),
        ("sessions", &|| sessions(&path)),
        ("round-trips", &|| round_trips(&path, count)),
    ];
    for (name, bench) in all {
        if only.as_deref().is_none_or(|only| only == name) {
            report.check(format_args!("bench/{name}"), bench());
        }
    }
    Ok(())
}

fn print(what: &str, value: impl Display, unit: &str) {
    println!("bench: {what} | {value} | {unit}");
}

/// Memory of a kind whose pages are there. No two small ones are neighbours in physical memory too:
/// otherwise what the kernel happens to have left would decide what is measured.
fn memory(pages: &str, len: usize) -> Result<Area> {
    match pages {
        "small" => scattered(len, |len| {
            let area = Area::anonymous(len)?;
            area.advise(Advice::Small)?;
            Ok(area)
        }),
        "shared small" => scattered(len, |len| Kind::File.area(len)),
        "transparent huge" => {
            let area = Area::anonymous(len)?;
            area.advise(Advice::Huge)?;
            area.touch()?;
            Ok(area)
        }
        _ => {
            let area = Kind::HugeFile.area(len)?;
            area.touch()?;
            Ok(area)
        }
    }
}

/// One of two areas whose pages were brought in by turns.
fn scattered(len: usize, make: impl Fn(usize) -> Result<Area>) -> Result<Area> {
    let (area, other) = (make(len)?, make(len)?);

    for offset in (0..len).step_by(PAGE) {
        area.write(offset, &[1])?;
        other.write(offset, &[1])?;
    }
    Ok(area)
}

/// Sends one message as virtual machine monitors do, with one before and one after it.
fn in_batch(device: &Device, message: &Message) -> io::Result<()> {
    device.send(&Message::new(0, kind::BATCH_BEGIN))?;
    device.send(message)?;
    device.send(&Message::new(0, kind::BATCH_END))
}

/// One large mapping of each kind of memory.
fn mappings(path: &str, mib: usize) -> Result<()> {
    let len = (mib << 20).next_multiple_of(HUGE_PAGE);

    for pages in ["small", "transparent huge", "shared small", "hugetlbfs"] {
        let area = match memory(pages, len) {
            Ok(area) => area,
            Err(error) => {
                println!("# no memory in {pages} pages: {error:#}");
                continue;
            }
        };
        let session = Session::open(path)?;
        session
            .device
            .set_backend_features(session.device.backend_features()? & backend::ALL)?;
        let update = Message::update(0, IOVA, len as u64, area.address(), iotlb::RW);

        let start = Instant::now();
        if let Err(error) = in_batch(&session.device, &update) {
            let name = errno_name(errno(&error));
            print(&format!("map 1 GiB, {pages} pages"), &name, "instructions");
            continue;
        }
        let mapped = start.elapsed();
        let start = Instant::now();
        in_batch(&session.device, &Message::invalidate(0, IOVA, len as u64))?;
        let unmapped = start.elapsed();

        for (what, time) in [("map", mapped), ("unmap", unmapped)] {
            let per_gib = time.as_nanos() * 1024 / (len >> 20) as u128;
            print(
                &format!("{what} 1 GiB, {pages} pages"),
                per_gib,
                "instructions",
            );
        }
    }
    Ok(())
}

/// Many small ones in one batch.
fn updates(path: &str, count: usize) -> Result<()> {
    let area = memory("shared small", count * PAGE)?;
    let session = Session::open(path)?;
    let device = &session.device;
    let page = |number: usize| (number * PAGE) as u64;
    let print_each = |what, time: Duration| {
        let what = format!("{what} of a batch of {count}");

        print(&what, time.as_nanos() / count as u128, "instructions");
    };
    device.set_backend_features(device.backend_features()? & backend::ALL)?;

    let start = Instant::now();
    device.send(&Message::new(0, kind::BATCH_BEGIN))?;
    for number in 0..count {
        let address = area.address() + page(number);
        let iova = IOVA + 2 * page(number);
        let update = Message::update(0, iova, PAGE as u64, address, iotlb::RW);

        if let Err(error) = device.send(&update) {
            let name = errno_name(errno(&error));
            print(
                &format!("one update of a batch of {count}"),
                &name,
                "instructions",
            );
            println!("# at number {number}");
            return Ok(());
        }
    }
    device.send(&Message::new(0, kind::BATCH_END))?;
    print_each("one update", start.elapsed());

    let start = Instant::now();
    device.send(&Message::new(0, kind::BATCH_BEGIN))?;
    device.send(&Message::invalidate(0, IOVA, 2 * page(count)))?;
    device.send(&Message::new(0, kind::BATCH_END))?;
    print_each("taking back one", start.elapsed());
    Ok(())
}

/// From opening the device until it works, and until it is closed.
fn sessions(path: &str) -> Result<()> {
    const COUNT: u32 = 50;
    let mut opened = Duration::ZERO;
    let mut closed = Duration::ZERO;

    // Its pages are there, so that only the driver's part of mapping them is counted.
    let area = Arc::new(memory("shared small", MEMORY)?);
    let memory = Memory::of(area, traffic::IOVA);

    for _ in 0..COUNT {
        let start = Instant::now();
        let mut session = Session::open(path)?;
        session.negotiate(traffic::features(&session)?, backend::ALL)?;
        session.map(0, &memory)?;
        let traffic = Traffic::new(&session, &memory)?;
        session.start()?;
        opened += start.elapsed();

        let start = Instant::now();
        drop(session);
        closed += start.elapsed();
        drop(traffic);
    }
    // Together: what the one does not prepare the other need not undo.
    let each = (opened + closed) / COUNT;
    print("open, DRIVER_OK, close", each.as_nanos(), "instructions");
    println!("# of these {} until DRIVER_OK", (opened / COUNT).as_nanos());
    Ok(())
}

/// One thing at a time: kick, work, call.
fn round_trips(path: &str, count: usize) -> Result<()> {
    let mut running = Running::start(path, Kind::File, 0, backend::ALL)?;
    let start = Instant::now();

    match &mut running.traffic {
        Traffic::Net(device, _, mac) => {
            Stream {
                to: *mac,
                count: count as u64,
                size: 64,
                inflight: 1,
                seed: 1,
                compare: false,
            }
            .run(device)
            .context("frames")?;
        }
        Traffic::Blk(disk) => {
            for _ in 0..count {
                let kind = virtio_bindings::virtio_blk::VIRTIO_BLK_T_FLUSH;
                let nothing = vhost_client::blk::Data::ToDevice(Vec::new());
                disk.ask(kind, 0, nothing)?;
            }
        }
    }
    let each = start.elapsed().as_nanos() / count as u128;
    print("kick, used, call", each, "instructions");
    Ok(())
}
