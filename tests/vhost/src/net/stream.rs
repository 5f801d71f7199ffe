// SPDX-License-Identifier: GPL-2.0

//! Many frames, each of which must come back once, in order and unchanged.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Result};

use super::{frame, Mac, Net, MOST_FRAMES};
use crate::queue::PATIENCE;

/// A stream of frames.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// Where they go.
    pub to: Mac,
    /// How many.
    pub count: u64,
    /// The length of each in bytes.
    pub size: usize,
    /// How many may be on their way.
    pub inflight: usize,
    /// What their contents are derived from.
    pub seed: u64,
    /// Whether all bytes are compared, or the numbers only.
    pub compare: bool,
}

impl Stream {
    /// Sends all, receives all, and tells how long it took.
    pub fn run(&self, net: &mut Net) -> Result<Duration> {
        ensure!(
            (1..=MOST_FRAMES).contains(&self.inflight),
            "{} frames cannot be on their way",
            self.inflight
        );
        // Made in advance where this would be most of the time.
        let prepared = (!self.compare).then(|| frame::make(self.to, self.seed, 0, self.size));
        let start = Instant::now();
        let (mut sent, mut received) = (0, 0);

        while received < self.count {
            let before = sent;
            while sent < self.count && sent - received < self.inflight as u64 {
                if !self.send(net, sent, prepared.as_deref())? {
                    break;
                }
                sent += 1;
            }
            if sent != before {
                net.notify()?;
            }
            let Some(frame) = net.receive(PATIENCE)? else {
                bail!("frame {received} did not come back for {PATIENCE:?}");
            };
            self.check(&frame, received)?;
            received += 1;
            net.reap()?;
        }
        net.reap_all()?;
        Ok(start.elapsed())
    }

    /// Sends frame `number` with a buffer to receive it. Tells whether there was room.
    pub fn send(&self, net: &mut Net, number: u64, prepared: Option<&[u8]>) -> Result<bool> {
        let mut frame = match prepared {
            Some(frame) => frame.to_vec(),
            None => frame::make(self.to, self.seed, number, self.size),
        };

        frame::set_number(&mut frame, number);
        if !net.send(&frame)? {
            return Ok(false);
        }
        ensure!(net.post()?, "there is no buffer to receive frame {number}");
        Ok(true)
    }

    /// Checks that a frame is the one that was to come.
    pub fn check(&self, frame: &[u8], number: u64) -> Result<()> {
        if self.compare {
            return frame::check(frame, self.to, self.seed, number, self.size);
        }
        let found = frame::number(frame)?;
        ensure!(found == number, "frame {found} came, not {number}");
        Ok(())
    }
}
