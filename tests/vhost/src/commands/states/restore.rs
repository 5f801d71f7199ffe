// SPDX-License-Identifier: GPL-2.0

//! Work that one session begins and others finish: nothing is lost, nothing done twice.

use anyhow::{ensure, Context, Result};
use checks::random::Random;
use vhost_client::blk::{self, verify, Data, Disk, Request, SECTOR};
use vhost_client::memory::Memory;
use vhost_client::net::stream::Stream;
use vhost_client::net::{self, Net, RX, TX};
use vhost_client::queue::{Queue, PATIENCE};
use vhost_client::ring::{Options, Split};
use vhost_client::session::{Session, EVENT_IDX, INDIRECT, PACKED};
use vhost_client::traffic::IOVA;
use vhost_client::uapi::*;
use virtio_bindings::virtio_blk::{VIRTIO_BLK_S_OK, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT};

use super::Manner;

/// Stops the device where it is, and says where each queue goes on: the same each time it is asked.
fn stop(session: &Session, queues: &[u32]) -> Result<Vec<u32>> {
    session
        .device
        .plain(VHOST_VDPA_SUSPEND)
        .context("SUSPEND")?;
    let bases =
        || -> Result<Vec<u32>> { queues.iter().map(|index| session.base(*index)).collect() };
    let first = bases()?;

    ensure!(
        bases()? == first,
        "a base changes while the device is suspended"
    );
    Ok(first)
}

/// Opens the device again with the same memory.
fn reopen(manner: &Manner, session: Session, memory: &Memory, features: u64) -> Result<Session> {
    drop(session);
    let session = manner.open(features)?;

    session.map(0, memory)?;
    Ok(session)
}

/// Lets the device look at queues that hold work already.
fn go_on<'a>(session: &Session, queues: impl IntoIterator<Item = &'a Queue>) -> Result<()> {
    session.start()?;
    for queue in queues {
        queue.kick.write(1)?;
    }
    Ok(())
}

/// Frames of one stream through many sessions.
pub fn frames(manner: &Manner, rounds: u64, seed: u64) -> Result<()> {
    let mut random = Random::new(seed);
    let mut session = manner.open(net::MAC)?;
    let memory = manner.share(&session, net::MEMORY)?;
    let mut device = Net::new(&session, &memory, &mut memory.room())?;
    let stream = Stream {
        to: net::mac(&session)?,
        count: 0,
        size: 500,
        inflight: 0,
        seed,
        compare: true,
    };
    let (mut sent, mut received) = (0, 0);
    session.start()?;

    for round in 0..rounds {
        for _ in 0..random.below(60) {
            if sent - received < 100 && stream.send(&mut device, sent, None)? {
                sent += 1;
            }
        }
        device.notify()?;
        // Some come back while the others are on their way.
        for _ in 0..random.below(sent - received + 1) {
            let frame = device.receive(PATIENCE)?;
            let frame = frame.with_context(|| format!("round {round}: no frame {received}"))?;
            stream.check(&frame, received)?;
            received += 1;
        }
        device.reap()?;

        let bases = stop(&session, &[RX, TX])?;
        session = reopen(manner, session, &memory, net::MAC)?;
        device
            .restore(&session, bases[0], bases[1])
            .with_context(|| format!("round {round}: {bases:?}"))?;
        go_on(&session, [&device.rx, &device.tx])?;
    }

    while received < sent {
        let frame = device.receive(PATIENCE)?;
        let frame = frame.with_context(|| format!("frame {received} of {sent} is lost"))?;
        stream.check(&frame, received)?;
        received += 1;
    }
    device.reap_all()
}

/// Requests that overwrite each other: one done late or twice would leave old contents.
pub fn requests(manner: &Manner, rounds: u64, seed: u64) -> Result<()> {
    const PLACES: u64 = 8;
    let mut random = Random::new(seed);
    let mut session = manner.open(blk::BASIC)?;
    let memory = manner.share(&session, blk::MEMORY)?;
    let mut disk = Disk::new(&session, &memory, &mut memory.room())?;
    let mut last = [None; PLACES as usize];
    let finish = |disk: &mut Disk| -> Result<()> {
        let (request, answer) = disk.finish()?;
        ensure!(
            answer.status == VIRTIO_BLK_S_OK as u8,
            "sector {}: status {}",
            request.sector,
            answer.status
        );
        Ok(())
    };
    session.start()?;

    for round in 0..rounds {
        for _ in 0..random.below(20) {
            let (sector, contents) = (random.below(PLACES), random.next());
            let data = Data::ToDevice(verify::pattern(contents, sector, SECTOR));
            let kind = VIRTIO_BLK_T_OUT;

            if disk.start(Request { kind, sector, data })?.is_none() {
                break;
            }
            last[sector as usize] = Some(contents);
        }
        disk.queue.notify()?;
        for _ in 0..random.index(disk.running() + 1) {
            finish(&mut disk)?;
        }

        let bases = stop(&session, &[0])?;
        session = reopen(manner, session, &memory, blk::BASIC)?;
        session
            .restore_queue(&mut disk.queue, bases[0])
            .with_context(|| format!("round {round}: {bases:?}"))?;
        go_on(&session, [&disk.queue])?;
    }

    while disk.running() != 0 {
        finish(&mut disk)?;
    }
    for (sector, contents) in (0..).zip(last) {
        let Some(contents) = contents else { continue };
        let answer = disk.ask(VIRTIO_BLK_T_IN, sector, Data::FromDevice(SECTOR))?;
        let wanted = verify::pattern(contents, sector, SECTOR);
        verify::compare(&answer.data, &wanted, sector)?;
    }
    Ok(())
}

/// Rings that begin shortly before their indexes wrap around.
pub fn wraps(manner: &Manner, seed: u64) -> Result<()> {
    let session = manner.open(net::MAC)?;
    if session.features & PACKED != 0 {
        // Positions in a packed ring wrap all the time.
        return Ok(());
    }
    let memory = manner.share(&session, net::MEMORY)?;
    let mut device = Net::new(&session, &memory, &mut memory.room())?;
    let other = Memory::new(manner.memory, IOVA + 0x1_0000_0000, net::MEMORY)?;
    let mut room = other.room();
    let options = Options {
        event_idx: session.features & EVENT_IDX != 0,
        indirect: session.features & INDIRECT != 0,
    };

    session.map(0, &other)?;
    for (queue, index) in [(&mut device.rx, 0xfff0), (&mut device.tx, 0xfff8)] {
        session.enable(queue.index, false)?;
        let size = queue.ring.size();
        queue.ring = Box::new(Split::new(&other, &mut room, size, options, index)?);
        session.restore_queue(queue, index.into())?;
        let base = session.base(queue.index)?;
        ensure!(base == u32::from(index), "the base is {base}, not {index}");
    }
    session.start()?;
    Stream {
        to: net::mac(&session)?,
        count: 100,
        size: 500,
        inflight: 16,
        seed,
        compare: true,
    }
    .run(&mut device)?;
    for (index, wanted) in [(RX, 0xfff0u16), (TX, 0xfff8)] {
        let (base, wanted) = (session.base(index)?, wanted.wrapping_add(100));
        ensure!(
            base == u32::from(wanted),
            "virtqueue {index} goes on at {base}, not {wanted}"
        );
    }
    Ok(())
}
