// SPDX-License-Identifier: GPL-2.0

//! To whom a frame must go to come back.

use anyhow::{bail, ensure, Result};

use super::frame::{Format, ADDRESS, MAX_LENGTH};
use super::interface::Interface;
use super::stream::send;
use crate::random::mix;
use crate::report::Report;
use crate::sys::packet::Packet;

const SIZE: usize = 64;

/// Frames for each destination: more than a device looks at in one go.
const COUNT: u64 = 16;

/// Checks which destinations come back.
pub fn run(interface: &Interface, report: &mut Report, seed: u64) -> Result<()> {
    let own = interface.address;
    let changed = |index: usize, bit: u8| {
        let mut address = own;
        address[index] ^= bit;
        address
    };

    for (title, address, returns) in [
        ("own", own, true),
        ("broadcast", [0xff; ADDRESS], true),
        ("multicast", [0x33, 0x33, 0, 0, 0, 1], true),
        ("multicast-ip", [0x01, 0, 0x5e, 0x7f, 0, 1], true),
        // Unicast: the lowest bit of the first byte is clear.
        ("foreign", [0x02, 0xde, 0xad, 0xbe, 0xef, 0x99], false),
        ("zeroes", [0; ADDRESS], false),
        // Near to the own one, at each end and in the middle.
        ("differs-in-first-byte", changed(0, 0x04), false),
        ("differs-in-middle", changed(2, 0x01), false),
        ("differs-in-last-byte", changed(5, 0x01), false),
        // All that is behind a zero byte counts too.
        ("differs-in-last-bit", changed(5, 0x80), false),
    ] {
        if address == own && !returns {
            continue;
        }
        report.check(
            format_args!("destination/{title}"),
            check(interface, address, returns, seed),
        );
    }
    Ok(())
}

/// Sends frames to `destination`, and then one to the interface itself: as order is kept, nothing
/// that comes back can come after that one, and nobody has to wait for what does not come.
fn check(
    interface: &Interface,
    destination: [u8; ADDRESS],
    returns: bool,
    seed: u64,
) -> Result<()> {
    let mut socket = interface.socket()?;
    let format = Format {
        destination,
        source: interface.address,
        stream: mix(seed ^ u64::from_be_bytes([&destination[..], &[0; 2]].concat()[..].try_into()?)),
    };
    let marker = Format {
        destination: interface.address,
        ..format
    };
    let mut frames = vec![vec![0; SIZE]; COUNT as usize + 1];

    for (sequence, frame) in (0..COUNT).zip(&mut frames) {
        format.write(frame, sequence);
    }
    marker.write(&mut frames[COUNT as usize], COUNT);
    send(&mut socket, &frames)?;

    let mut count = 0;
    loop {
        let frame = receive(&mut socket)?;
        match format.sequence(&frame) {
            Some(COUNT) => break marker.check(&frame, COUNT, SIZE)?,
            Some(sequence) => {
                ensure!(returns, "frame {sequence} came back");
                ensure!(
                    sequence == count,
                    "frame {sequence} came instead of {count}"
                );
                format.check(&frame, sequence, SIZE)?;
                count += 1;
            }
            None => (),
        }
    }
    ensure!(
        !returns || count == COUNT,
        "{count} of {COUNT} frames came back"
    );
    Ok(())
}

fn receive(socket: &mut Packet) -> Result<Vec<u8>> {
    let mut buffers = [vec![0; MAX_LENGTH + 1]];
    let mut length = 0;

    if let Err(error) = socket.receive(&mut buffers, |_, len| length = len) {
        bail!("the frame to the interface itself did not come back: {error}");
    }
    let [mut frame] = buffers;
    frame.truncate(length);
    Ok(frame)
}
