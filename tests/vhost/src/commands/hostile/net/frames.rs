// SPDX-License-Identifier: GPL-2.0

//! Ordinary frames around hostile ones, and chains that are wrong for both queues.

use anyhow::{ensure, Context, Result};
use vhost_client::net;
use vhost_client::session::INDIRECT as INDIRECT_FEATURE;
use virtio_bindings::virtio_net::VIRTIO_NET_F_MTU;

use super::super::bed::Bed;
use super::super::chain::{linked, Chain, Desc, INDIRECT, NEXT};
use super::super::layout::*;

pub use vhost_client::net::{CVQ, RX, TX};

/// What the driver negotiates, unless the case is about it.
pub const FEATURES: u64 = net::MAC | net::CONTROL | (1 << VIRTIO_NET_F_MTU) | INDIRECT_FEATURE;

/// The number of queues.
pub const QUEUES: u32 = 3;

/// `struct virtio_net_hdr_v1`.
pub const HEADER_LEN: u32 = 12;

/// The length of ordinary frames.
pub const FRAME_LEN: usize = 100;

/// The size of the buffers of ordinary frames, of which there are four in each direction.
const BUFFER_LEN: u32 = 2048;
const BUFFERS: u16 = 4;

/// A frame that comes back, all bytes of which have their top bit clear.
pub fn frame(bed: &Bed, number: u64, len: usize) -> Result<Vec<u8>> {
    let mut frame = net::mac(&bed.session)?.to_vec();

    frame.extend([2, 0, 0, 0, 0, 1, 0x08, 0x00]);
    frame.extend(
        (frame.len() as u64..)
            .take(len.saturating_sub(14))
            .map(|i| ((i * 7 + number * 37 + (i >> 7)) & 0x7f) as u8),
    );
    frame.truncate(len);
    Ok(frame)
}

/// What is in front of a received frame: virtio 1.3, section 5.1.6.4.1.
pub const RX_HEADER: [u8; HEADER_LEN as usize] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];

/// The first descriptor of an ordinary frame.
pub fn head(bed: &Bed, slot: u16) -> u16 {
    bed.ring_size() - BUFFERS + slot
}

/// Gives an ordinary buffer to be received into.
pub fn put_buffer(bed: &mut Bed, slot: u16) -> Result<()> {
    let (head, at) = (head(bed, slot), GOOD.at(u64::from(slot) * 2048));

    bed.memory.clear_part(at, BUFFER_LEN.into())?;
    bed.describe(RX, head, &[Desc::write(at, BUFFER_LEN)])?;
    bed.offer(RX, head)
}

/// Sends an ordinary frame, or what is one in other respects.
pub fn put_frame(bed: &mut Bed, slot: u16, frame: &[u8]) -> Result<()> {
    let (head, at) = (head(bed, slot), MORE.at(u64::from(slot) * 2048));
    let len = HEADER_LEN + frame.len() as u32;

    bed.memory.write(at, &[0; HEADER_LEN as usize])?;
    bed.memory.write(at + u64::from(HEADER_LEN), frame)?;
    bed.describe(TX, head, &[Desc::read(at, len)])?;
    bed.offer(TX, head)
}

/// Waits for an ordinary frame to be taken back.
pub fn take_frame(bed: &mut Bed, slot: u16) -> Result<()> {
    let head = head(bed, slot);
    let len = bed
        .expect(TX, head)
        .with_context(|| format!("good frame {slot}"))?;

    ensure!(len == 0, "{len} bytes of what was sent are written");
    bed.rings[TX as usize].forget(head);
    Ok(())
}

/// Waits for a frame in an ordinary buffer.
pub fn take_buffer(bed: &mut Bed, slot: u16) -> Result<Vec<u8>> {
    let head = head(bed, slot);
    let len = bed
        .expect(RX, head)
        .with_context(|| format!("good buffer {slot}"))?;

    ensure!(
        (HEADER_LEN..=BUFFER_LEN).contains(&len),
        "good buffer {slot} was given back with length {len}"
    );
    bed.rings[RX as usize].forget(head);
    let bytes = bed.memory.read(GOOD.at(u64::from(slot) * 2048), len)?;
    let (header, frame) = bytes.split_at(HEADER_LEN as usize);

    ensure!(header == RX_HEADER, "the header is {header:?}");
    Ok(frame.to_vec())
}

/// Checks that an ordinary buffer has this frame.
pub fn check_buffer(bed: &mut Bed, slot: u16, wanted: &[u8]) -> Result<()> {
    let found = take_buffer(bed, slot)?;

    ensure!(
        found == wanted,
        "good buffer {slot} has another frame, of {} bytes",
        found.len()
    );
    Ok(())
}

/// What the device may write of ordinary buffers.
pub fn buffers() -> Chain {
    Chain::raw(vec![Desc::write(
        GOOD.at(0),
        BUFFER_LEN * u32::from(BUFFERS),
    )])
}

/// Checks that a device which is reset returns a frame.
pub fn check_works(bed: &mut Bed) -> Result<()> {
    bed.start(FEATURES, QUEUES)?;
    let wanted = frame(bed, 9, FRAME_LEN)?;

    put_buffer(bed, 0)?;
    bed.publish(RX)?;
    put_frame(bed, 0, &wanted)?;
    bed.publish(TX)?;
    take_frame(bed, 0)?;
    check_buffer(bed, 0, &wanted)
}

/// Chains that break a rule, of such buffers: the device stops.
pub fn broken(buffer: Desc) -> Vec<(&'static str, &'static str, Chain)> {
    let part = |offset: u64| Desc {
        addr: buffer.addr + offset,
        len: 32,
        ..buffer
    };
    let turned = Desc {
        flags: buffer.flags ^ super::super::chain::WRITE,
        ..part(256)
    };
    // The device-readable part first.
    let order = match buffer.has(super::super::chain::WRITE) {
        true => [buffer, turned],
        false => [turned, buffer],
    };
    let table = || linked([part(0), part(32), part(64)], 0);
    let in_table = |desc, table| Chain::in_table(desc, table);

    vec![
        (
            "loop/to-itself",
            "2.7.5.2",
            Chain::raw(vec![part(0).then(0)]),
        ),
        (
            "loop/two",
            "2.7.5.2",
            Chain::raw(vec![part(0).then(1), part(32).then(0)]),
        ),
        (
            "loop/of-no-bytes",
            "2.7.5.2",
            Chain::raw(vec![Desc { len: 0, ..buffer }.then(0)]),
        ),
        (
            "next/is-the-size",
            "2.7.5",
            Chain::raw(vec![buffer.then(RING_SIZE)]),
        ),
        (
            "next/far-beyond",
            "2.7.5",
            Chain::raw(vec![buffer.then(0xffff)]),
        ),
        (
            "sum/wraps",
            "2.7.5",
            Chain::direct([
                part(0),
                Desc {
                    addr: u64::MAX - 10,
                    ..buffer
                },
            ]),
        ),
        (
            "sum/beyond-4-gib",
            "2.7.5.2",
            Chain::direct(
                [Desc {
                    len: u32::MAX,
                    ..buffer
                }; 3],
            ),
        ),
        (
            "order/readable-after-writable",
            "2.7.4.2",
            Chain::direct(order),
        ),
        (
            "indirect/nested",
            "2.7.5.3.1",
            in_table(Desc::table(32), vec![part(0).then(1), Desc::table(16)]),
        ),
        (
            "indirect/with-next",
            "2.7.5.3.1",
            Chain {
                ring: vec![Desc::table(48).then(1), part(96)],
                table: table(),
                head: 0,
            },
        ),
        (
            "indirect/with-next-to-itself",
            "2.7.5.3.1",
            in_table(Desc::table(48).then(0), table()),
        ),
        (
            "indirect/of-no-length",
            "2.7.5.3.1",
            in_table(Desc::table(0), table()),
        ),
        (
            "indirect/of-47-bytes",
            "2.7.5.3",
            in_table(Desc::table(47), table()),
        ),
        (
            "indirect/next-beyond",
            "2.7.5.3",
            in_table(Desc::table(16), vec![part(0).then(1)]),
        ),
        (
            "indirect/loop",
            "2.7.5.2",
            in_table(Desc::table(32), vec![part(0).then(1), part(32).then(0)]),
        ),
        (
            "indirect/wraps",
            "2.7.5.3",
            Chain::raw(vec![Desc::read(u64::MAX - 31, 48).with(INDIRECT)]),
        ),
        (
            "indirect/more-than-fit",
            "2.7.5.3.1",
            Chain::indirect([Desc { len: 1, ..buffer }; 300]),
        ),
        (
            "head/is-the-size",
            "2.7.6",
            Chain {
                head: RING_SIZE,
                ..Chain::default()
            },
        ),
        (
            "head/far-beyond",
            "2.7.6",
            Chain {
                head: 0xffff,
                ..Chain::default()
            },
        ),
    ]
}

/// The same where indirect tables were not negotiated.
pub fn without_tables(buffer: Desc) -> Chain {
    Chain::raw(vec![buffer.with(INDIRECT | NEXT)])
}
