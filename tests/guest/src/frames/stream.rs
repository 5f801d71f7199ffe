// SPDX-License-Identifier: GPL-2.0

//! Many frames, some of which are on their way at any time.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};

use super::frame::{Format, MAX_LENGTH};
use super::interface::Interface;
use crate::random::mix;
use crate::sys::packet::Packet;

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Every byte. This costs time.
    Everything,
    /// Length and sequence number.
    Sequence,
}

/// What to send.
pub struct Stream {
    /// How many frames.
    pub count: u64,
    /// Length of each.
    pub size: usize,
    /// How many may be on their way at a time.
    pub inflight: usize,
    /// What their contents are derived from.
    pub seed: u64,
    /// What is compared.
    pub verify: Verify,
}

impl Stream {
    /// Sends the frames, and receives each of them once and in order: by the same interface, or by
    /// another. Returns the time it took.
    ///
    /// Frames go out in bursts: a new one begins when the last has come back, so that the device
    /// always has the same work and the measurement is the same each time.
    pub fn run(&self, interface: &Interface, other: Option<&Interface>) -> Result<Duration> {
        let receiver = other.unwrap_or(interface);
        let format = Format {
            destination: receiver.address,
            source: interface.address,
            // Not only the seed, so that late frames of an earlier run are not taken for ours.
            stream: mix(self.seed ^ u64::from(std::process::id()).rotate_left(40)),
        };
        let mut socket = receiver.socket()?;
        let mut sender = other.map(|_| interface.socket()).transpose()?;
        let mut outgoing = vec![vec![0; self.size]; self.inflight];
        let mut incoming = vec![vec![0; MAX_LENGTH + 1]; self.inflight];

        for frame in &mut outgoing {
            format.write(frame, 0);
        }

        let begin = Instant::now();
        let mut next = 0;
        while next < self.count {
            let burst = (self.count - next).min(self.inflight as u64) as usize;

            for (sequence, frame) in (next..).zip(&mut outgoing[..burst]) {
                match self.verify {
                    Verify::Everything => format.write(frame, sequence),
                    Verify::Sequence => format.renumber(frame, sequence),
                }
            }
            send(sender.as_mut().unwrap_or(&mut socket), &outgoing[..burst])?;
            self.receive(&mut socket, &format, &mut incoming, next, burst)?;
            next += burst as u64;
        }
        let time = begin.elapsed();

        // One more, so that nothing that came twice stays unseen behind the last one.
        format.write(&mut outgoing[0], next);
        send(sender.as_mut().unwrap_or(&mut socket), &outgoing[..1])?;
        self.receive(&mut socket, &format, &mut incoming, next, 1)?;

        ensure!(socket.dropped()?.0 == 0, "the socket dropped frames");
        Ok(time)
    }

    /// Receives the frames from `next` on.
    fn receive(
        &self,
        socket: &mut Packet,
        format: &Format,
        buffers: &mut [Vec<u8>],
        next: u64,
        burst: usize,
    ) -> Result<()> {
        let mut lengths = vec![0; burst];
        let end = next + burst as u64;
        let mut expected = next;

        while expected < end {
            let missing = (end - expected) as usize;
            let received = socket
                .receive(&mut buffers[..missing], |index, len| lengths[index] = len)
                .map_err(|error| match error.kind() {
                    std::io::ErrorKind::WouldBlock => anyhow::anyhow!(
                        "frame {expected} did not come back, with {missing} on their way"
                    ),
                    _ => anyhow::Error::new(error).context("cannot receive"),
                })?;

            for (buffer, &len) in buffers.iter().zip(&lengths[..received]) {
                let frame = &buffer[..len.min(buffer.len())];
                // Not ours: left from another run, or from someone else.
                let Some(sequence) = format.sequence(frame) else {
                    continue;
                };

                self.check(format, frame, sequence, expected)?;
                expected += 1;
            }
        }
        Ok(())
    }

    fn check(&self, format: &Format, frame: &[u8], sequence: u64, expected: u64) -> Result<()> {
        if sequence < expected {
            bail!("frame {sequence} came again, when {expected} was expected");
        }
        ensure!(
            sequence == expected,
            "frame {sequence} came when {expected} was expected: lost, or out of order"
        );
        match self.verify {
            Verify::Everything => format.check(frame, sequence, self.size),
            Verify::Sequence => {
                ensure!(
                    frame.len() == self.size,
                    "frame {sequence} is {} bytes long instead of {}",
                    frame.len(),
                    self.size
                );
                Ok(())
            }
        }
    }
}

/// Sends all of `frames`.
pub fn send(socket: &mut Packet, frames: &[Vec<u8>]) -> Result<()> {
    let mut rest: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();

    while !rest.is_empty() {
        let sent = socket.send(&rest).context("cannot send")?;

        rest.drain(..sent);
    }
    Ok(())
}
