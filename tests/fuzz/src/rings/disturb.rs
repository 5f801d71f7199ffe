// SPDX-License-Identifier: GPL-2.0

//! What other threads do while a device is at work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use checks::random::Random;
use vhost_client::device::Device;
use vhost_client::uapi::*;
use vmm_sys_util::eventfd::EventFd;

use super::arena::{Arena, BASE, BUFFERS, RING, TABLES};
use super::{count, garbage, Counts};

/// What a thread does until it shall stop.
pub type Disturb = fn(&Surroundings<'_>, &mut Random) -> Result<()>;

/// All of it, in a thread each; some in each session.
pub const ALL: [Disturb; 5] = [writes, mappings, stops, kicks, kicks];

/// Pauses between what is done, so that the others get their turn.
const PAUSES: [u64; 3] = [100, 500, 3000];

/// What there is to disturb.
pub struct Surroundings<'a> {
    pub device: Device,
    pub arena: &'a Arena,
    /// The descriptors of each queue, their number, and how it is notified.
    pub queues: Vec<(u32, u16, EventFd)>,
    pub counts: &'a Counts,
    pub stop: AtomicBool,
}

impl Surroundings<'_> {
    fn going_on(&self, random: &mut Random) -> bool {
        thread::sleep(Duration::from_micros(random.pick(&PAUSES)));
        !self.stop.load(Ordering::Relaxed)
    }

    fn some_queue(&self, random: &mut Random) -> &(u32, u16, EventFd) {
        &self.queues[random.index(self.queues.len())]
    }
}

/// Changes what the device may just be reading: descriptors, heads, tables, requests. Not used
/// indices, which say how far the device has come.
fn writes(around: &Surroundings<'_>, random: &mut Random) -> Result<()> {
    let memory = &around.arena.memory;

    while around.going_on(random) {
        for _ in 0..random.below(64) {
            let (index, size, _) = *around.some_queue(random);
            let ring = BASE + u64::from(index) * RING;
            let at = match random.below(8) {
                0..=2 => ring + random.below(16 * u64::from(size)),
                3 => ring + 0x1000 + 4 + random.below(2 * u64::from(size)),
                4..=5 => BASE + TABLES + random.below(BUFFERS - TABLES - 8),
                // Buffers are everywhere; what is written is lost in most of them.
                _ => BASE + BUFFERS + random.below(0x1_0000),
            };

            match random.below(4) {
                // A small number, which is a descriptor of most rings.
                0 | 1 => memory.write(at & !1, &[random.below(size.into()) as u8, 0])?,
                2 => memory.write(at & !1, &garbage::word(random).to_le_bytes())?,
                _ => memory.write(at & !7, &garbage::addr(random).to_le_bytes())?,
            }
            count(&around.counts.touched);
        }
    }
    Ok(())
}

/// Takes memory away and gives it back with other permissions.
fn mappings(around: &Surroundings<'_>, random: &mut Random) -> Result<()> {
    let (arena, device) = (around.arena, &around.device);

    while around.going_on(random) {
        // Whether it is refused depends on what is mapped.
        let _ = match random.below(6) {
            0 => arena.take_away(device, random),
            1..=2 => arena.give(device, random),
            _ => arena.give_back(device),
        };
        count(&around.counts.mapped);
    }
    let _ = arena.give_back(device);
    Ok(())
}

/// Stops and starts queues and the device, and moves where they go on.
fn stops(around: &Surroundings<'_>, random: &mut Random) -> Result<()> {
    let device = &around.device;

    while around.going_on(random) {
        let index = around.some_queue(random).0;
        let enable = |enabled| device.set(VHOST_VDPA_SET_VRING_ENABLE, vring_state(index, enabled));

        let _ = match random.below(12) {
            0..=2 => enable(0).and_then(|()| enable(1)),
            3..=5 => device
                .plain(VHOST_VDPA_SUSPEND)
                .and_then(|()| device.plain(VHOST_VDPA_RESUME)),
            6..=7 => device.ask(VHOST_GET_VRING_BASE, index).map(drop),
            8 => {
                let base = garbage::word(random).into();
                device.set(VHOST_SET_VRING_BASE, vring_state(index, base))
            }
            9 => {
                let size = garbage::word(random).into();
                device.set(VHOST_SET_VRING_NUM, vring_state(index, size))
            }
            10 => device.status().map(drop),
            _ => device.config(0, 8).map(drop).map_err(std::io::Error::other),
        };
        count(&around.counts.stopped);
        thread::sleep(Duration::from_millis(random.below(10)));
    }
    Ok(())
}

/// Notifies for nothing.
fn kicks(around: &Surroundings<'_>, random: &mut Random) -> Result<()> {
    while around.going_on(random) {
        for _ in 0..random.below(16) {
            let _ = around.some_queue(random).2.write(1);
            count(&around.counts.kicked);
        }
    }
    Ok(())
}
