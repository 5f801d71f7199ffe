// SPDX-License-Identifier: GPL-2.0

//! A device at work, while threads disturb it in ways that change nothing of the result.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{anyhow, Context, Result};
use checks::random::Random;
use vhost_client::device::Device;
use vhost_client::iotlb::{self, Message};
use vhost_client::memory::{Kind, Memory};
use vhost_client::sys::PAGE;
use vhost_client::traffic::Running;
use vhost_client::uapi::*;
use vmm_sys_util::eventfd::EventFd;

/// What a thread does until it shall stop.
type Disturb = fn(&Surroundings, &mut Random) -> Result<()>;

/// A disturbance, which several threads make at a time.
#[derive(Clone, Copy)]
pub struct Disturbance {
    /// Its name.
    pub name: &'static str,
    /// What a thread does.
    pub disturb: Disturb,
    /// Kicks or calls may be lost by it, so that somebody must look from time to time.
    loses: bool,
}

const fn disturbance(name: &'static str, disturb: Disturb, loses: bool) -> Disturbance {
    Disturbance {
        name,
        disturb,
        loses,
    }
}

/// All of them.
pub const DISTURBANCES: [Disturbance; 6] = [
    disturbance("kicks", kicks, false),
    disturbance("calls-exchanged", calls, true),
    disturbance("kicks-exchanged", kick_files, true),
    disturbance("mappings", mappings, false),
    disturbance("suspended-and-resumed", suspends, false),
    disturbance("questions", questions, false),
];

const THREADS: u64 = 4;

/// What there is to disturb.
pub struct Surroundings {
    device: Device,
    /// The eventfds of each virtqueue.
    queues: Vec<(u32, EventFd, EventFd)>,
    /// Memory to map, besides what the device needs.
    spare: Memory,
    stop: AtomicBool,
}

impl Surroundings {
    /// Takes note of a device at work.
    pub fn new(running: &mut Running) -> Result<Self> {
        Ok(Self {
            device: running.session.device.try_clone()?,
            queues: running
                .traffic
                .queues()
                .into_iter()
                .map(|queue| {
                    Ok((
                        queue.index,
                        queue.kick.try_clone()?,
                        queue.call.try_clone()?,
                    ))
                })
                .collect::<Result<_>>()?,
            spare: Memory::new(Kind::File, 0x60_0000_0000, 64 * PAGE)?,
            stop: AtomicBool::new(false),
        })
    }

    /// Asks all threads to end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn going_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn some_queue(&self, random: &mut Random) -> &(u32, EventFd, EventFd) {
        &self.queues[random.index(self.queues.len())]
    }
}

/// Has `count` things done while threads do one thing.
pub fn run(path: &str, what: Disturbance, seed: u64, count: usize) -> Result<()> {
    let mut running = Running::start(path, Kind::File, 0, backend::ALL)?;
    let surroundings = Surroundings::new(&mut running)?;

    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let surroundings = &surroundings;
                scope.spawn(move || {
                    let mut random = Random::new(seed + number);
                    (what.disturb)(surroundings, &mut random)
                })
            })
            .collect();
        if what.loses {
            scope.spawn(|| remind(&surroundings));
        }

        let result = running.traffic.prove(seed, count).context("the work");
        surroundings.stop();
        for thread in threads {
            thread
                .join()
                .unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
                .context("a disturbing thread")?;
        }
        result
    })?;
    running.traffic.prove(seed, 20).context("afterwards")
}

/// Signals all eventfds every few milliseconds.
pub fn remind(surroundings: &Surroundings) {
    while surroundings.going_on() {
        for (_, kick, call) in &surroundings.queues {
            // Nothing is lost by one that is full.
            let _ = kick.write(1);
            let _ = call.write(1);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn kicks(surroundings: &Surroundings, random: &mut Random) -> Result<()> {
    while surroundings.going_on() {
        for _ in 0..random.below(50) {
            surroundings.some_queue(random).1.write(1)?;
        }
        thread::yield_now();
    }
    Ok(())
}

fn calls(surroundings: &Surroundings, random: &mut Random) -> Result<()> {
    let device = &surroundings.device;

    while surroundings.going_on() {
        let other = vhost_client::queue::event()?;
        let (index, _, call) = surroundings.some_queue(random);

        for fd in [other.as_raw_fd(), VHOST_FILE_UNBIND, call.as_raw_fd()] {
            device.set_file(VHOST_SET_VRING_CALL, *index, fd)?;
        }
        device.set_file(VHOST_SET_VRING_ERR, *index, other.as_raw_fd())?;
        device.set(VHOST_VDPA_SET_CONFIG_CALL, other.as_raw_fd().to_ne_bytes())?;
    }
    Ok(())
}

fn kick_files(surroundings: &Surroundings, random: &mut Random) -> Result<()> {
    let device = &surroundings.device;

    while surroundings.going_on() {
        let other = vhost_client::queue::event()?;
        let (index, kick, _) = surroundings.some_queue(random);

        device.set_file(VHOST_SET_VRING_KICK, *index, other.as_raw_fd())?;
        other.write(1)?;
        device.set_file(VHOST_SET_VRING_KICK, *index, kick.as_raw_fd())?;
    }
    Ok(())
}

fn mappings(surroundings: &Surroundings, random: &mut Random) -> Result<()> {
    let memory = &surroundings.spare;
    let size = PAGE as u64;

    while surroundings.going_on() {
        let page = random.below(64) * size;
        let iova = memory.iova() + page;
        let address = memory.address() + page;

        // Another thread may have mapped it.
        let _ = surroundings
            .device
            .send(&Message::update(0, iova, size, address, iotlb::RW));
        if random.below(3) == 0 {
            surroundings
                .device
                .send(&Message::invalidate(0, iova, size))?;
        }
    }
    Ok(())
}

fn suspends(surroundings: &Surroundings, random: &mut Random) -> Result<()> {
    while surroundings.going_on() {
        surroundings.device.plain(VHOST_VDPA_SUSPEND)?;
        thread::sleep(Duration::from_micros(random.below(500)));
        surroundings.device.plain(VHOST_VDPA_RESUME)?;
        thread::sleep(Duration::from_micros(random.below(3000)));
    }
    Ok(())
}

fn questions(surroundings: &Surroundings, random: &mut Random) -> Result<()> {
    let device = &surroundings.device;

    while surroundings.going_on() {
        let (index, ..) = surroundings.some_queue(random);

        device.ask(VHOST_GET_VRING_BASE, *index)?;
        device.ask(VHOST_VDPA_GET_VRING_GROUP, *index)?;
        device.status()?;
        device.features()?;
        device.config(0, 8)?;
    }
    Ok(())
}
