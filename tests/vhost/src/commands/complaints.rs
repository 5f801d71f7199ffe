// SPDX-License-Identifier: GPL-2.0

//! What is refused, and said in the log each time, as often as somebody likes.

use anyhow::{Context, Result};
use checks::arguments::{Arguments, Misuse};
use checks::report::Report;
use libc::{EINVAL, ENOSPC, EOPNOTSUPP};
use vhost_client::device::Device;
use vhost_client::iotlb::{self, Message};
use vhost_client::memory::Kind;
use vhost_client::session::{Session, REQUIRED};
use vhost_client::sys::PAGE;
use vhost_client::uapi::{backend, status};
use virtio_bindings::virtio_config::VIRTIO_F_ACCESS_PLATFORM;

use super::ioctls::expect;
use super::maps::IOVA;

/// The command `complaints`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let what = arguments.required("--what")?;
    let count = arguments.number("--count", 30, 1..=1000)?;
    arguments.finish()?;

    let result = match what.as_str() {
        "features" => features(&path, count),
        "mappings" => mappings(&path, count),
        "interrupts" => interrupts(&path, count),
        "opening" => opening(&path, count),
        _ => return Err(Misuse(format!("--what {what} is not known")).into()),
    };
    report.check(format!("complaints/{what}"), result);
    Ok(())
}

/// Features without the one that a device insists on.
fn features(path: &str, count: u64) -> Result<()> {
    let session = Session::open(path)?;

    session.add_status(status::ACKNOWLEDGE | status::DRIVER)?;
    for _ in 0..count {
        let features = REQUIRED & !(1 << VIRTIO_F_ACCESS_PLATFORM);

        expect(session.device.set_features(features), &[EINVAL])?;
    }
    Ok(())
}

/// More than one mapping, where that is all there can be (parameter `max_iotlb_entries`).
fn mappings(path: &str, count: u64) -> Result<()> {
    let session = Session::open(path)?;
    let area = Kind::File.area(PAGE)?;
    let map = |number: u64| {
        let iova = IOVA + number * PAGE as u64;

        session.device.send(&Message::update(
            0,
            iova,
            PAGE as u64,
            area.address(),
            iotlb::RW,
        ))
    };

    map(0).context("the first one")?;
    for number in 1..=count {
        expect(map(number), &[ENOSPC])?;
    }
    Ok(())
}

/// Starts of a device that finds no interrupts, or fewer than it wants.
fn interrupts(path: &str, count: u64) -> Result<()> {
    let mut session = Session::open(path)?;

    for _ in 0..count {
        session.negotiate(0, backend::ALL)?;

        let status = session.device.status()? | status::DRIVER_OK;
        session.device.set_status(status)?;
        session.device.set_status(0)?;
        session = session.again()?;
    }
    Ok(())
}

/// A device that cannot be opened, as nothing would confine it.
fn opening(path: &str, count: u64) -> Result<()> {
    for _ in 0..count {
        expect(Device::open(path).map(drop), &[EOPNOTSUPP])?;
    }
    Ok(())
}
