// SPDX-License-Identifier: GPL-2.0

//! Calls in any order with any arguments.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use checks::random::Random;
use vhost_client::device::Device;
use vhost_client::iotlb::{self, Format, Message};
use vhost_client::memory::{Kind, Memory};
use vhost_client::session::{Session, REQUIRED};
use vhost_client::sys::{Mailbox, Request};
use vhost_client::traffic::IOVA;
use vhost_client::uapi::*;
use vmm_sys_util::eventfd::EventFd;

/// How many calls a session has.
const CALLS: u64 = 300;

/// How much memory is mapped. Rings are in it, and what it contains is random, too.
const MEMORY: usize = 1 << 20;

/// What is called. Backend features are not changed: without mappings that survive a reset, some
/// devices see all memory after one.
const REQUESTS: [Request; 22] = [
    VHOST_GET_FEATURES,
    VHOST_SET_FEATURES,
    VHOST_SET_OWNER,
    VHOST_SET_VRING_NUM,
    VHOST_SET_VRING_ADDR,
    VHOST_SET_VRING_BASE,
    VHOST_GET_VRING_BASE,
    VHOST_SET_VRING_KICK,
    VHOST_SET_VRING_CALL,
    VHOST_SET_VRING_ERR,
    VHOST_VDPA_GET_STATUS,
    VHOST_VDPA_SET_STATUS,
    VHOST_VDPA_GET_CONFIG,
    VHOST_VDPA_SET_CONFIG,
    VHOST_VDPA_SET_VRING_ENABLE,
    VHOST_VDPA_SET_CONFIG_CALL,
    VHOST_VDPA_GET_VRING_GROUP,
    VHOST_VDPA_SET_GROUP_ASID,
    VHOST_VDPA_SUSPEND,
    VHOST_VDPA_RESUME,
    VHOST_VDPA_GET_VRING_SIZE,
    VHOST_VDPA_GET_VRING_DESC_GROUP,
];

/// Numbers at which something changes.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    3,
    4,
    8,
    15,
    16,
    255,
    256,
    257,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    u64::MAX,
];

/// Makes sessions of random calls, after each of which the device must work.
pub fn run(path: &str, rounds: u64, seed: u64) -> Result<()> {
    for round in 0..rounds {
        session(path, &mut Random::new(seed + round)).with_context(|| format!("round {round}"))?;
        if round % 8 == 7 {
            super::works(path).with_context(|| format!("after round {round}"))?;
        }
    }
    super::works(path)
}

/// One session.
pub fn session(path: &str, random: &mut Random) -> Result<()> {
    let session = Session::open(path)?;
    let device = &session.device;
    let memory = Memory::new(Kind::File, IOVA, MEMORY)?;
    let kick = vhost_client::queue::event()?;
    let mailbox = Mailbox::new()?;

    device.set_backend_features(device.backend_features()?)?;
    // A space in which nothing was ever mapped may be all of memory.
    for space in 0..device.number(VHOST_VDPA_GET_AS_NUM)? {
        session.map(space, &memory)?;
    }
    fill(&memory, random)?;
    for _ in 0..CALLS {
        match random.below(10) {
            0 => drop(device.send(&message(&memory, random))),
            1 => kick.write(1)?,
            _ => call(device, &mailbox, &kick, random)?,
        }
    }
    Ok(())
}

fn fill(memory: &Memory, random: &mut Random) -> Result<()> {
    let mut bytes = vec![0; MEMORY];

    random.fill(&mut bytes);
    // Many small numbers, so that indexes are not only far out of range.
    for chunk in bytes.chunks_mut(16) {
        if random.below(2) == 0 {
            chunk[2..].fill(0);
        }
    }
    memory.write(memory.iova(), &bytes)
}

fn number(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1 => random.pick(&NUMBERS),
        _ => random.below(4),
    }
}

/// An address of a ring, mostly in the memory that is mapped.
fn ring_address(random: &mut Random) -> u64 {
    match random.below(16) {
        0 => random.next(),
        _ => IOVA + (random.below(MEMORY as u64) & !0xf),
    }
}

fn call(device: &Device, mailbox: &Mailbox, kick: &EventFd, random: &mut Random) -> Result<()> {
    let request = random.pick(&REQUESTS);
    let mut bytes = vring_state(number(random) as u32, number(random) as u32).to_vec();

    if request == VHOST_SET_VRING_ADDR {
        bytes = VringAddr {
            index: number(random) as u32,
            flags: u32::from(random.below(16) == 0),
            desc: ring_address(random),
            used: ring_address(random),
            avail: ring_address(random),
            log: 0,
        }
        .bytes()
        .to_vec();
    } else if request == VHOST_SET_FEATURES {
        bytes = (random.next() | REQUIRED).to_ne_bytes().to_vec();
    } else if [
        VHOST_SET_VRING_KICK,
        VHOST_SET_VRING_CALL,
        VHOST_SET_VRING_ERR,
    ]
    .contains(&request)
    {
        let fd = random.pick(&[kick.as_raw_fd(), kick.as_raw_fd(), -1, 0, 1000]);
        bytes = vring_file(random.below(4) as u32, fd).to_vec();
    } else if request == VHOST_VDPA_SET_CONFIG_CALL {
        bytes = random.pick(&[kick.as_raw_fd(), -1]).to_ne_bytes().to_vec();
    } else if request == VHOST_VDPA_SET_STATUS {
        bytes = vec![random.pick(&[0, 1, 3, 11, 15, 15, 15, 255])];
    }
    bytes.resize(bytes.len().max(request.size()) + 64, 0);

    let place = mailbox.put(&bytes)?;
    // Whatever comes of it.
    let _ = device.call_mail(request, mailbox, place);
    Ok(())
}

/// A message that leaves most of the memory mapped.
fn message(memory: &Memory, random: &mut Random) -> Message {
    let iova = if random.below(4) == 0 {
        random.next()
    } else {
        IOVA + (1 << 30) + random.below(1 << 24)
    };
    let size = random.pick(&[0, 1, 4096, 8192, 0xffff, 1 << 20, u64::MAX]);

    Message {
        format: random.pick(&[Format::V1, Format::V2(0), Format::V2(1), Format::V2(7)]),
        iova,
        size,
        uaddr: random.pick(&[0, memory.address(), memory.address() + 100, u64::MAX]),
        perm: random.pick(&[iotlb::RW, iotlb::RO, iotlb::WO, 0, 255]),
        kind: random.below(8) as u8,
    }
}
