// SPDX-License-Identifier: GPL-2.0

//! Valid requests, while what they need is taken away and given again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use checks::report::Report;
use vhost_client::device::Device;
use vhost_client::iotlb::Message;
use vhost_client::session::INDIRECT;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};

use super::super::bed::Bed;
use super::super::chain::Chain;
use super::super::layout::*;
use super::request::*;

/// How many requests are made for each place.
const REQUESTS: u64 = 200;

/// Makes all checks of this kind.
pub fn run(bed: &mut Bed, report: &mut Report) {
    for (name, place, excused) in [
        ("descriptors", desc_table(QUEUE), false),
        ("available-ring", avail_ring(QUEUE), false),
        ("used-ring", used_ring(QUEUE), false),
        ("indirect-table", TABLE, false),
        ("status", STATUS, false),
        // That they were not there can be told.
        ("header", HEADER, true),
        ("data", DATA, true),
    ] {
        let result = check(bed, place, excused);
        let again = bed
            .start(FEATURES, 1)
            .and_then(|()| check_works(bed))
            .context("after a reset");

        report.check(
            format_args!("hostile/blk/replaced/{name}-{REQUESTS}-times (2.7.13)"),
            result.and(again),
        );
    }
}

/// Takes a place away and gives it again, until it is told to stop.
fn replace(device: &Device, place: Place, address: u64, stop: &AtomicBool) -> Result<()> {
    let absent = Message::invalidate(0, place.at(0), place.len());
    let there = Message::update(0, place.at(0), place.len(), address, place.perm);

    while !stop.load(Ordering::Relaxed) {
        device.send(&absent)?;
        thread::sleep(Duration::from_micros(100));
        device.send(&there)?;
        thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

fn check(bed: &mut Bed, place: Place, excused: bool) -> Result<()> {
    bed.start(FEATURES | INDIRECT, 1)?;
    let device = bed.session.device.try_clone()?;
    let address = bed.memory.address(place.at(0));
    let stop = AtomicBool::new(false);

    thread::scope(|scope| {
        let replacing = scope.spawn(|| replace(&device, place, address, &stop));
        let result = requests(bed, place == TABLE, excused);

        stop.store(true, Ordering::Relaxed);
        match replacing.join() {
            Ok(replaced) => result.and(replaced),
            Err(_) => bail!("the thread that replaces mappings ended"),
        }
    })
}

/// Makes requests, one at a time, and judges each.
fn requests(bed: &mut Bed, in_table: bool, excused: bool) -> Result<()> {
    let (mut undone, mut failed) = (0, 0);

    for number in 0..REQUESTS {
        let kind = match number % 2 {
            0 => VIRTIO_BLK_T_OUT,
            _ => VIRTIO_BLK_T_IN,
        };
        let descs = [header(), data(kind), status()];
        let chain = match in_table {
            true => Chain::indirect(descs),
            false => Chain::direct(descs),
        };
        let wanted = contents(WRITE_TO, number / 2);

        bed.memory
            .write(header().addr, &header_bytes(kind, WRITE_TO))?;
        match kind {
            VIRTIO_BLK_T_OUT => bed.memory.write(data(kind).addr, &wanted)?,
            _ => bed.memory.clear_part(data(kind).addr, SECTOR.into())?,
        }
        bed.memory.clear_part(status().addr, 1)?;
        bed.put(QUEUE, &chain)?;
        bed.publish(QUEUE)?;
        bed.expect(QUEUE, 0)
            .with_context(|| format!("request {number}"))?;
        bed.rings[QUEUE as usize].returned.clear();

        match bed.memory.answer(status().addr)?.map(u32::from) {
            Some(VIRTIO_BLK_S_OK) => {
                if kind == VIRTIO_BLK_T_IN {
                    let found = bed.memory.read(data(kind).addr, SECTOR)?;
                    // One that failed before it has not written this.
                    ensure!(
                        found == wanted || failed != 0,
                        "request {number} reads what was not written"
                    );
                }
            }
            Some(VIRTIO_BLK_S_IOERR) if excused => failed += 1,
            Some(other) => bail!("request {number} has status {other}"),
            None => undone += 1,
        }
    }
    ensure!(
        undone == 0,
        "{undone} of {REQUESTS} came back with the status as it was"
    );
    Ok(())
}
