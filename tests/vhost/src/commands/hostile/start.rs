// SPDX-License-Identifier: GPL-2.0

//! Queues that cannot start, or not yet: virtio 1.3, section 2.7.
//!
//! Whoever sets up the queue is told at once, or the driver with DEVICE_NEEDS_RESET when it says
//! that it is ready. It need not notify anybody for that.

use std::time::Instant;

use anyhow::{ensure, Context, Result};
use checks::report::Report;
use vhost_client::iotlb::{RO, WO};
use vhost_client::queue::wait_event;
use vhost_client::uapi::*;

use super::bed::{Bed, PATIENCE, QUIET};
use super::layout::*;
use super::subject::Subject;

/// What is changed in the addresses of a queue.
type Change = fn(&mut VringAddr);

const ADDRESSES: [(&str, &str, Change); 10] = [
    ("descriptors-at-1", "2.7", |at| at.desc += 1),
    ("descriptors-at-8", "2.7", |at| at.desc += 8),
    ("available-ring-at-1", "2.7", |at| at.avail += 1),
    ("used-ring-at-1", "2.7", |at| at.used += 1),
    ("used-ring-at-2", "2.7", |at| at.used += 2),
    ("descriptors-wrap", "2.7", |at| at.desc = u64::MAX - 15),
    ("available-ring-wraps", "2.7", |at| at.avail = u64::MAX - 1),
    ("used-ring-wraps", "2.7", |at| at.used = u64::MAX - 3),
    ("used-ring-wraps-at-its-end", "2.7", |at| {
        at.used = u64::MAX - 3 - 8 * u64::from(RING_SIZE)
    }),
    ("descriptors-wrap-at-their-end", "2.7", |at| {
        at.desc = u64::MAX - 15 - 8 * u64::from(RING_SIZE)
    }),
];

/// Makes all checks of starting.
pub fn run<S: Subject>(bed: &mut Bed, report: &mut Report) {
    let name = |what: &str| format!("hostile/{}/start/{what}", S::NAME);

    for (what, section, change) in ADDRESSES {
        report.check(
            format_args!("{} ({section})", name(what)),
            bad_address::<S>(bed, change),
        );
    }
    for (what, part, perm) in [
        ("descriptors-forbidden", 0, WO),
        ("available-ring-forbidden", 1, WO),
        ("used-ring-forbidden", 2, RO),
    ] {
        report.check(
            format_args!("{} (2.7)", name(what)),
            forbidden::<S>(bed, part, perm),
        );
    }
    report.check(
        format_args!("{} (2.7)", name("descriptors-at-8-enabled-late")),
        enabled_late::<S>(bed),
    );
    for num in [0, 3, 512, 32768, 65536, u32::MAX] {
        report.check(
            format_args!("{}-{num} (2.7)", name("size")),
            bad_size::<S>(bed, num),
        );
    }
    for (what, part) in [
        ("descriptors-mapped-late", 0),
        ("available-ring-mapped-late", 1),
        ("used-ring-mapped-late", 2),
    ] {
        report.check(
            format_args!("{} (2.7)", name(what)),
            mapped_late::<S>(bed, part),
        );
    }
    report.check(
        format_args!("{} (3.1.1)", name("address-put-right")),
        put_right::<S>(bed),
    );
    for (what, old, index) in [
        ("available-index-ahead", false, RING_SIZE + 1),
        ("available-index-far-ahead", false, 0x8000),
        ("available-index-behind", true, 0),
        ("available-index-far-behind", true, 0xff00),
    ] {
        report.check(
            format_args!("{} (2.7.6)", name(what)),
            bad_index::<S>(bed, old, index),
        );
    }
}

/// Resets the device and makes rings, of which it is not told.
fn prepare<S: Subject>(bed: &mut Bed) -> Result<()> {
    bed.reset(S::FEATURES)?;
    for index in 0..S::QUEUES {
        bed.make(index)?;
    }
    Ok(())
}

/// The place of a part of the queue.
fn place<S: Subject>(bed: &Bed, part: usize) -> Place {
    bed.rings[S::QUEUE as usize].places[part]
}

fn attach_all<S: Subject>(bed: &Bed) -> Result<()> {
    (0..S::QUEUES).try_for_each(|index| bed.attach(index))
}

/// Waits until the device stops, without notifying it.
fn check_stops<S: Subject>(bed: &mut Bed) -> Result<()> {
    let end = Instant::now() + PATIENCE;

    while !bed.is_stopped()? {
        ensure!(
            Instant::now() < end,
            "the device does not say that it cannot"
        );
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    ensure!(
        wait_event(&bed.config, PATIENCE)?,
        "DEVICE_NEEDS_RESET without a configuration interrupt"
    );
    Ok(())
}

/// Checks that nothing was written but used rings, and that the device works when it is reset.
fn check_after<S: Subject>(bed: &mut Bed, result: Result<()>) -> Result<()> {
    let unharmed = bed.memory.check(&bed.writable(&[]));
    let again = S::check_works(bed);

    result?;
    unharmed?;
    again.context("after a reset")
}

fn bad_address<S: Subject>(bed: &mut Bed, change: Change) -> Result<()> {
    prepare::<S>(bed)?;
    change(&mut bed.rings[S::QUEUE as usize].addresses);
    let result = match attach_all::<S>(bed) {
        // Told at once.
        Err(_) => Ok(()),
        Ok(()) => {
            bed.session.device.set_status(RUNNING)?;
            check_stops::<S>(bed)
        }
    };
    check_after::<S>(bed, result)
}

/// The status of a driver that is ready.
pub const RUNNING: u8 =
    status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK;

fn forbidden<S: Subject>(bed: &mut Bed, part: usize, perm: u8) -> Result<()> {
    prepare::<S>(bed)?;
    bed.map(place::<S>(bed, part), perm)?;
    attach_all::<S>(bed)?;
    bed.session.device.set_status(RUNNING)?;
    let result = check_stops::<S>(bed);
    check_after::<S>(bed, result)
}

/// The device is ready before the queue is.
fn enabled_late<S: Subject>(bed: &mut Bed) -> Result<()> {
    prepare::<S>(bed)?;
    bed.rings[S::QUEUE as usize].addresses.desc += 8;
    let result = match attach_all::<S>(bed) {
        Err(_) => Ok(()),
        Ok(()) => {
            bed.session.enable(S::QUEUE, false)?;
            bed.session.device.set_status(RUNNING)?;
            // It may be told at once, too.
            let _ = bed.session.enable(S::QUEUE, true);
            check_stops::<S>(bed)
        }
    };
    check_after::<S>(bed, result)
}

fn bad_size<S: Subject>(bed: &mut Bed, num: u32) -> Result<()> {
    prepare::<S>(bed)?;
    attach_all::<S>(bed)?;
    let state = vring_state(S::QUEUE, num);
    let result = match bed.session.device.set(VHOST_SET_VRING_NUM, state) {
        Err(_) => Ok(()),
        Ok(()) => {
            bed.session.device.set_status(RUNNING)?;
            check_stops::<S>(bed)
        }
    };
    check_after::<S>(bed, result)
}

fn mapped_late<S: Subject>(bed: &mut Bed, part: usize) -> Result<()> {
    prepare::<S>(bed)?;
    let place = place::<S>(bed, part);
    bed.unmap(place)?;
    attach_all::<S>(bed)?;
    bed.session.start()?;
    std::thread::sleep(QUIET);
    ensure!(!bed.is_stopped()?, "the device does not wait for {place:?}");
    bed.map(place, place.perm)?;
    S::work(bed)
}

fn put_right<S: Subject>(bed: &mut Bed) -> Result<()> {
    prepare::<S>(bed)?;
    let right = bed.rings[S::QUEUE as usize].addresses;

    bed.rings[S::QUEUE as usize].addresses.desc = u64::MAX - 15;
    // It may be refused, or not looked at before it counts.
    let _ = attach_all::<S>(bed);
    bed.rings[S::QUEUE as usize].addresses = right;
    attach_all::<S>(bed)?;
    bed.session.start()?;
    S::work(bed)
}

fn bad_index<S: Subject>(bed: &mut Bed, old: bool, index: u16) -> Result<()> {
    bed.start(S::FEATURES, S::QUEUES)?;
    if old {
        S::work(bed)?;
        S::put(bed, 0)?;
        bed.publish(S::QUEUE)?;
        S::take(bed, 0)?;
    }
    let at = place::<S>(bed, 1).at(2);

    bed.memory.store(at, index)?;
    bed.kick(S::QUEUE)?;
    let result = check_stops::<S>(bed);
    // Ordinary work was done in between.
    let again = S::check_works(bed);
    result?;
    again.context("after a reset")
}
