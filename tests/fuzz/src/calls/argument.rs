// SPDX-License-Identifier: GPL-2.0

//! Arguments of ioctls: mostly such as the kernel can take, and otherwise at the edge of that.

use checks::random::Random;
use vhost_client::session::{EVENT_IDX, INDIRECT, PACKED, REQUIRED};
use vhost_client::sys::Request;
use vhost_client::uapi::*;

use super::action::{Bytes, Fd, Given, Place};
use super::layout::{self, Home, QUEUES};

/// Numbers at which something changes.
const NUMBERS: [u64; 24] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    17,
    64,
    255,
    256,
    257,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 47,
    1 << 63,
    u64::MAX,
];

/// A number of any size, mostly small or at the edge of something.
pub fn number(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1 | 2 => random.pick(&NUMBERS),
        3 => random.pick(&NUMBERS).wrapping_sub(random.below(3)),
        _ => random.below(5),
    }
}

/// The index of a virtqueue, which the device mostly has.
fn queue(random: &mut Random) -> u32 {
    match random.below(12) {
        0 => number(random) as u32,
        _ => random.index(QUEUES) as u32,
    }
}

/// The number of descriptors of a virtqueue.
fn size(random: &mut Random) -> u32 {
    match random.below(6) {
        0 => number(random) as u32,
        _ => 1 << random.below(9),
    }
}

/// Features to accept.
pub fn features(random: &mut Random) -> u64 {
    let net = random.next() & 0xff_ffff;

    match random.below(8) {
        0 => random.next(),
        1 => REQUIRED | net,
        2 => REQUIRED | PACKED,
        3 => 1 << random.below(64),
        4 => 0,
        _ => REQUIRED | random.pick(&[0, EVENT_IDX, INDIRECT, EVENT_IDX | INDIRECT]),
    }
}

/// Backend features to accept.
pub fn backend_features(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1 => 1 << random.below(12),
        _ => backend::ALL & !backend::DESC_ASID & !random.pick(&[0, 0, 0, backend::IOTLB_PERSIST]),
    }
}

/// The addresses of a ring: mostly those that a thread has for it.
fn address(random: &mut Random, home: &Home) -> VringAddr {
    let index = queue(random);
    let own = index as usize % QUEUES;
    let mut addresses = VringAddr {
        index,
        flags: 0,
        desc: home.iova + layout::descriptors(own),
        used: home.iova + layout::used(own),
        avail: home.iova + layout::available(own),
        log: 0,
    };

    if random.below(4) == 0 {
        let other = match random.below(4) {
            0 => number(random),
            1 => random.next(),
            // In memory that may be mapped or not.
            _ => home.iova + random.below(layout::SIZE),
        };
        match random.below(5) {
            0 => addresses.desc = other,
            1 => addresses.used = other,
            2 => addresses.avail = other,
            3 => addresses.log = other,
            _ => addresses.flags = other as u32,
        }
    }
    addresses
}

/// A file descriptor, mostly that of the right eventfd.
fn fd(random: &mut Random, index: usize) -> Fd {
    match random.below(12) {
        0 => Fd::Number(number(random) as i32),
        1 => Fd::Device,
        2 => Fd::Number(random.below(64) as i32),
        3 | 4 => Fd::Number(VHOST_FILE_UNBIND),
        5 => Fd::Kick(random.index(QUEUES)),
        6 | 7 => Fd::Kick(index % QUEUES),
        _ => Fd::Call(index % QUEUES),
    }
}

/// What is read or written of a configuration space.
fn config(random: &mut Random) -> Vec<u8> {
    let offset = match random.below(4) {
        0 => number(random) as u32,
        _ => random.below(24) as u32,
    };
    let len = match random.below(8) {
        0 => number(random) as u32,
        1 => 0,
        2 => random.below(64) as u32,
        _ => random.below(12) as u32,
    };
    let mut bytes = vec![0; CONFIG_HEADER_SIZE + (len as usize).min(4088)];

    random.fill(&mut bytes);
    bytes[..CONFIG_HEADER_SIZE].copy_from_slice(&vring_state(offset, len));
    bytes
}

/// A table of memory (`struct vhost_memory`).
fn memory_table(random: &mut Random, home: &Home) -> Vec<u8> {
    let regions = random.below(4) as u32;
    let claimed = match random.below(6) {
        0 => number(random) as u32,
        _ => regions,
    };
    let mut bytes = vring_state(claimed, u32::from(random.below(8) == 0)).to_vec();

    for _ in 0..regions {
        let size = random.pick(&[0, 1, 4096, 4096, layout::SIZE, u64::MAX]);
        for value in [home.iova, size, home.address, 0] {
            bytes.extend(value.to_ne_bytes());
        }
    }
    bytes
}

/// The bytes of an argument for an ioctl, and a file descriptor in it.
fn contents(random: &mut Random, request: Request, home: &Home) -> (Vec<u8>, Option<(usize, Fd)>) {
    let state = |index, value: u64| vring_state(index, value as u32).to_vec();

    match request {
        VHOST_SET_FEATURES => (features(random).to_ne_bytes().to_vec(), None),
        VHOST_SET_BACKEND_FEATURES => (backend_features(random).to_ne_bytes().to_vec(), None),
        VHOST_VDPA_SET_STATUS => (vec![status(random)], None),
        VHOST_SET_FORK_FROM_OWNER => (vec![random.pick(&[0, 1, 1, 2, 255])], None),
        VHOST_SET_MEM_TABLE => (memory_table(random, home), None),
        VHOST_VDPA_GET_CONFIG | VHOST_VDPA_SET_CONFIG => (config(random), None),
        VHOST_SET_VRING_ADDR => (address(random, home).bytes().to_vec(), None),
        VHOST_SET_VRING_NUM => (state(queue(random), size(random).into()), None),
        VHOST_SET_VRING_KICK | VHOST_SET_VRING_CALL | VHOST_SET_VRING_ERR => {
            let index = queue(random);
            let fd = fd(random, index as usize);
            (state(index, 0), Some((4, fd)))
        }
        VHOST_VDPA_SET_CONFIG_CALL | VHOST_SET_LOG_FD => {
            let fd = fd(random, 0);
            (vec![0; 4], Some((0, fd)))
        }
        VHOST_VDPA_SET_VRING_ENABLE => (state(queue(random), random.pick(&[1, 1, 0, 2])), None),
        VHOST_VDPA_SET_GROUP_ASID => (state(random.below(3) as u32, random.below(3)), None),
        VHOST_SET_VRING_BASE => {
            let base = match random.below(3) {
                0 => number(random),
                _ => 0,
            };
            (state(queue(random), base), None)
        }
        _ => {
            let mut bytes = state(queue(random), number(random));
            bytes.resize(request.size().clamp(bytes.len(), 4096), 0);
            (bytes, None)
        }
    }
}

/// A status to set: mostly one that a driver at work would set.
fn status(random: &mut Random) -> u8 {
    const OK: u8 = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK;

    match random.below(10) {
        0 => 0,
        1 => random.next() as u8,
        2 => random.pick(&[1, 3, 11, 64, 128, 15 | 64]),
        _ => OK,
    }
}

/// Where an argument is: mostly at a good place.
fn place(random: &mut Random, len: usize) -> Place {
    match random.below(24) {
        0 => Place::Cut(random.index(len + 1)),
        1 => Place::Inaccessible,
        2 => Place::ReadOnly,
        3 => Place::Nowhere(random.pick(&[0, 1, 0xfff, 1 << 47, 1 << 63, u64::MAX, u64::MAX - 7])),
        _ => Place::Good,
    }
}

/// An argument for an ioctl.
pub fn argument(random: &mut Random, request: Request, home: &Home) -> Given {
    let (bytes, fd) = contents(random, request, home);

    Given {
        place: place(random, bytes.len()),
        bytes: Bytes(bytes),
        fd,
    }
}

/// An ioctl: mostly one that there is.
pub fn request(random: &mut Random) -> (&'static str, Request) {
    match random.below(24) {
        0 => (
            "some ioctl",
            Request(random.next() as u32 & 0xffff_00ff | 0xaf00),
        ),
        1 => {
            // The right number with another size or direction.
            let Request(known) = random.pick(REQUESTS).1;
            (
                "some ioctl",
                Request(known ^ (1 << (16 + random.below(16)))),
            )
        }
        2 => ("some ioctl", Request(random.next() as u32)),
        _ => random.pick(REQUESTS),
    }
}
