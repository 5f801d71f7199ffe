// SPDX-License-Identifier: GPL-2.0

//! The memory of a device of VDUSE, mapped into the device itself.
//!
//! A kernel driver that uses such a device has its data copied into memory of the device, which the server maps. Who
//! gave that to the same device would have the kernel keep it by a reference to itself.
//!
//! Prints `READY` when the kernel driver may go, and waits for the character device.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use checks::arguments::Arguments;
use checks::report::Report;
use libc::{EFAULT, MAP_SHARED, PROT_READ, PROT_WRITE};
use vhost_client::iotlb::{self, Message};
use vhost_client::memory::Kind;
use vhost_client::session::Session;
use vhost_client::sys::{bounce_memory, Doorbell, PAGE};

use super::maps::{refused, IOVA};

/// Among so many pages is one that was used. The highest are the first to be.
const PAGES: u64 = 256;

/// The command `bounce`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let name = arguments.required("--name")?;
    let server = arguments.number("--server", 0, 1..=1 << 22)?;
    let seconds = arguments.number("--timeout", 30, 1..=3600)?;
    arguments.finish()?;

    let page = used_page(server as i32, &name)?;
    println!("READY");
    std::io::stdout().flush()?;
    let path = character_device(&name, Duration::from_secs(seconds))?;

    report.check("bounce/refused", into_itself(&path, &page));
    Ok(())
}

/// Maps a page of the device's memory that is there.
fn used_page(server: libc::pid_t, name: &str) -> Result<Doorbell> {
    let (file, len) = bounce_memory(server, name).context("asking for the device's memory")?;
    let page = PAGE as u64;

    for number in (0..len / page).rev().take(PAGES as usize) {
        let offset = (number * page) as libc::off_t;
        let mapped = Doorbell::map(
            file.as_fd(),
            offset,
            PAGE,
            PROT_READ | PROT_WRITE,
            MAP_SHARED,
        )?;

        if mapped.ring_in_child(0)?.success() {
            return Ok(mapped);
        }
    }
    bail!("none of the last {PAGES} pages of {len:#x} bytes is there")
}

/// Waits for the character device of a vDPA device.
fn character_device(name: &str, timeout: Duration) -> Result<String> {
    let begin = Instant::now();

    loop {
        let found = fs::read_dir(format!("/sys/bus/vdpa/devices/{name}"))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find(|name| name.starts_with("vhost-vdpa-"))
            .map(|name| format!("/dev/{name}"));

        match found {
            Some(path) if fs::exists(&path)? => return Ok(path),
            _ => ensure!(begin.elapsed() < timeout, "it has none after {timeout:?}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Other memory can be mapped in the place of the device's own.
fn into_itself(path: &str, page: &Doorbell) -> Result<()> {
    let session = Session::open(path)?;
    let update = |address| Message::update(0, IOVA, PAGE as u64, address, iotlb::RW);

    refused(session.device.send(&update(page.address())), &[EFAULT])?;
    let other = Kind::File.area(PAGE)?;
    session
        .device
        .send(&update(other.address()))
        .context("memory of a file")
}
