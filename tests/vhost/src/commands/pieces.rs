// SPDX-License-Identifier: GPL-2.0

//! Memory in mappings of one byte each, and requests that go through many of them: who else needs
//! the device waits for a moment only.

use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use checks::arguments::Arguments;
use checks::report::Report;
use vhost_client::blk::{Disk, MEMORY};
use vhost_client::iotlb::{self, kind, Message};
use vhost_client::memory::{Kind, Memory};
use vhost_client::ring::Segment;
use vhost_client::session::Session;
use vhost_client::sys::Area;
use vhost_client::traffic::IOVA;
use vhost_client::uapi::backend;
use virtio_bindings::virtio_blk::{VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_T_OUT};

/// Where the pieces are mapped.
const FINE: u64 = IOVA + (1 << 30);

/// The number of pieces. The simulators go through no more than 16,384 for a request.
const PIECES: usize = 20_000;

/// How often a request goes through all of them.
const TIMES: usize = 200;

/// The command `pieces`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let most = arguments.number("--most-ms", 1000, 1..=60_000)?;
    arguments.finish()?;

    report.check("pieces/others", others(&path, Duration::from_millis(most)));
    Ok(())
}

fn others(path: &str, most: Duration) -> Result<()> {
    let mut session = Session::open(path)?;
    // The disk's limits are for who knows them.
    session.negotiate(0, backend::ALL)?;
    let memory = Memory::new(Kind::Anonymous, IOVA, MEMORY)?;
    let area = Area::anonymous(PIECES)?;
    session.map(0, &memory)?;
    session.device.send(&Message::new(0, kind::BATCH_BEGIN))?;
    for at in 0..PIECES as u64 {
        let message = Message::update(0, FINE + at, 1, area.address() + at, iotlb::RW);
        session.device.send(&message)?;
    }
    session.device.send(&Message::new(0, kind::BATCH_END))?;

    let mut room = memory.room();
    let mut disk = Disk::new(&session, &memory, &mut room)?;
    session.start()?;
    let header = room.take(16, 16)?;
    let status = room.take(1, 1)?;
    memory.write(header, &[0; 16])?;
    memory.write(header, &VIRTIO_BLK_T_OUT.to_le_bytes())?;
    memory.write(status, &[0xff])?;

    let mut chain = vec![Segment::read(header, 16)];
    chain.extend([Segment::read(FINE, PIECES / 512 * 512)].repeat(TIMES));
    chain.push(Segment::write(status, 1));
    disk.queue.add(&chain)?;
    disk.queue.notify()?;

    let mut longest = Duration::ZERO;
    loop {
        let start = Instant::now();
        session.device.status()?;
        longest = longest.max(start.elapsed());
        ensure!(longest <= most, "GET_STATUS took {longest:?}");
        if disk.queue.poll(Duration::ZERO)?.is_some() {
            break;
        }
    }
    let [status] = memory.read_array(status)?;
    ensure!(
        [VIRTIO_BLK_S_OK, VIRTIO_BLK_S_IOERR].contains(&status.into()),
        "the request ends with status {status}"
    );
    Ok(())
}
