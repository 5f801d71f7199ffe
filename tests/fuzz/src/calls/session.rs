// SPDX-License-Identifier: GPL-2.0

//! What a thread does with a character device: mostly what a virtual machine monitor does, so that
//! the device works, and then whatever else can be done.

use checks::random::Random;
use vhost_client::iotlb::{self, kind, Message};
use vhost_client::ring::Segment;
use vhost_client::session::{EVENT_IDX, INDIRECT, REQUIRED};
use vhost_client::sys::{Request, PAGE};
use vhost_client::uapi::*;

use super::action::{Action, Bytes, Fd, Given, Place};
use super::cast::Cast;
use super::layout::{self, Home, DEVICES, QUEUES, RINGS};
use super::netlink;
use super::{argument, message};
use crate::sys::{Errand, Piece, PIECE, PIECES};

/// The longest time for which a thread does nothing, in milliseconds.
const LONGEST_WAIT: u64 = 20;

/// Makes the actions of a thread.
pub struct Script<'a> {
    random: &'a mut Random,
    cast: Cast,
    home: Home,
    device: usize,
    actions: Vec<Action>,
}

/// One session of a thread with a device, which is mostly that of number `own`.
pub fn session(random: &mut Random, cast: Cast, thread: usize, own: usize) -> Vec<Action> {
    let devices = cast.names().len();
    // Otherwise it would always be somebody else who has it.
    let device = match random.below(8) {
        0 => random.index(devices),
        _ => own % devices,
    };
    let mut script = Script {
        random,
        cast,
        home: Home::of(thread),
        device,
        actions: Vec::new(),
    };

    for round in 0..=script.random.below(2) {
        // The device may have gone by the second time.
        if round == 0 || script.random.below(2) == 0 {
            script.open();
            script.prepare();
        }
        script.negotiate();
        script.queues();
        script.call(VHOST_VDPA_SET_STATUS, Given::bytes([15]));
        script.work();
        if script.random.below(2) == 0 {
            script.call(VHOST_VDPA_SET_STATUS, Given::bytes([0]));
        }
    }
    let mut actions = script.actions;

    disturb(random, &mut actions, thread, device);
    actions
}

/// Changes a few things, and puts others in between.
fn disturb(random: &mut Random, actions: &mut Vec<Action>, thread: usize, device: usize) {
    let home = Home::of(thread);
    let good = std::mem::take(actions);

    for action in good {
        match random.below(24) {
            // It is left out, or done twice.
            0 => continue,
            1 => actions.push(action.clone()),
            // It comes too late.
            2 if !actions.is_empty() => {
                let earlier = random.index(actions.len());
                let moved = std::mem::replace(&mut actions[earlier], action);
                actions.push(moved);
                continue;
            }
            3 => {
                actions.push(spoilt(random, action));
                continue;
            }
            4..=6 => actions.push(any(random, device, &home)),
            _ => (),
        }
        actions.push(action);
    }
}

/// The same call with one byte of its argument changed.
///
/// Not so with messages: what else their address might be is another thread's.
fn spoilt(random: &mut Random, mut action: Action) -> Action {
    if let Action::Call { given, .. } = &mut action {
        let index = random.index(given.bytes.0.len());

        if let Some(byte) = given.bytes.0.get_mut(index) {
            *byte = random.pick(&[0, 1, 2, 0x7f, 0x80, 0xff]);
        }
    }
    action
}

impl Script<'_> {
    fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn call(&mut self, request: Request, given: Given) {
        let name = REQUESTS
            .iter()
            .find(|(_, known)| *known == request)
            .map_or("some ioctl", |(name, _)| name);

        self.push(Action::Call {
            device: self.device,
            name,
            request,
            given,
        });
    }

    fn set(&mut self, request: Request, index: usize, value: u32) {
        self.call(request, Given::bytes(vring_state(index as u32, value)));
    }

    fn set_fd(&mut self, request: Request, index: usize, fd: Fd) {
        self.call(
            request,
            Given {
                fd: Some((4, fd)),
                ..Given::bytes(vring_state(index as u32, 0))
            },
        );
    }

    fn send(&mut self, name: &'static str, message: &Message) {
        self.push(message::good(self.device, name, message));
    }

    /// Becomes the owner of the device.
    fn open(&mut self) {
        let device = self.device;
        let flags = libc::O_RDWR
            | self
                .random
                .pick(&[0, 0, 0, libc::O_NONBLOCK, libc::O_SYNC, libc::O_APPEND]);

        // It may have gone.
        self.push(netlink::add(self.cast, self.cast.names()[device]));
        self.push(Action::Close { device });
        self.push(Action::Open { device, flags });
        if self.random.below(4) == 0 {
            let fork = self.random.pick(&[0, 1]);
            self.call(VHOST_SET_FORK_FROM_OWNER, Given::bytes([fork]));
        }
        self.call(VHOST_SET_OWNER, Given::bytes([]));
    }

    /// Has memory for rings, and others.
    fn prepare(&mut self) {
        let own = self
            .random
            .pick(&[Piece::File, Piece::File, Piece::Anonymous]);

        self.push(Action::Put {
            piece: RINGS,
            kind: own,
        });
        for _ in 0..self.random.below(3) {
            let piece = self.random.index(PIECES);
            let kind = self.random.pick(&Piece::ALL);
            // That of rings stays as it is.
            if piece != RINGS {
                self.push(Action::Put { piece, kind });
            }
        }
        let features = argument::backend_features(self.random);
        self.call(VHOST_GET_BACKEND_FEATURES, Given::bytes([0; 8]));
        self.call(
            VHOST_SET_BACKEND_FEATURES,
            Given::bytes(features.to_ne_bytes()),
        );
    }

    /// Agrees on features, and lets the device see memory.
    fn negotiate(&mut self) {
        for status in [1, 3] {
            self.call(VHOST_VDPA_SET_STATUS, Given::bytes([status]));
        }
        self.call(VHOST_GET_FEATURES, Given::bytes([0; 8]));
        let features = REQUIRED
            | self
                .random
                .pick(&[0, 0, EVENT_IDX, INDIRECT, EVENT_IDX | INDIRECT]);
        self.call(VHOST_SET_FEATURES, Given::bytes(features.to_ne_bytes()));
        self.call(VHOST_VDPA_SET_STATUS, Given::bytes([11]));
        for _ in 0..self.random.below(8) {
            // Other calls, while there is no reason to refuse them.
            let (_, request) = self.random.pick(REQUESTS);
            let given = argument::argument(self.random, request, &self.home);
            self.call(
                request,
                Given {
                    place: Place::Good,
                    ..given
                },
            );
        }

        let batch = self.random.below(2) == 0;
        if batch {
            self.send("IOTLB batch begin", &Message::new(0, kind::BATCH_BEGIN));
        }
        for piece in [RINGS, 1 + self.random.index(PIECES - 1)] {
            self.send(
                "IOTLB update",
                &message::piece(&self.home, 0, piece, iotlb::RW),
            );
        }
        if batch {
            self.send("IOTLB batch end", &Message::new(0, kind::BATCH_END));
        }
        if self.random.below(2) == 0 {
            self.send(
                "IOTLB update",
                &message::piece(&self.home, 1, RINGS, iotlb::RW),
            );
            // The virtqueue for commands is in a group of its own.
            self.set(VHOST_VDPA_SET_GROUP_ASID, 1, 1);
        }
    }

    /// Sets up virtqueues.
    fn queues(&mut self) {
        let size = 1 << (2 + self.random.below(7));

        self.push(Action::Rings { size });
        for queue in 0..QUEUES {
            let at = |offset| self.home.iova + offset;
            let addresses = VringAddr {
                index: queue as u32,
                desc: at(layout::descriptors(queue)),
                avail: at(layout::available(queue)),
                used: at(layout::used(queue)),
                ..VringAddr::default()
            };

            self.set(VHOST_SET_VRING_NUM, queue, size.into());
            self.call(VHOST_SET_VRING_ADDR, Given::bytes(addresses.bytes()));
            self.set(VHOST_SET_VRING_BASE, queue, 0);
            self.set_fd(VHOST_SET_VRING_CALL, queue, Fd::Call(queue));
            self.set_fd(VHOST_SET_VRING_KICK, queue, Fd::Kick(queue));
            if self.random.below(4) == 0 {
                self.set_fd(VHOST_SET_VRING_ERR, queue, Fd::Call(queue));
            }
            self.set(VHOST_VDPA_SET_VRING_ENABLE, queue, 1);
        }
    }

    /// Gives the device something to do, and disturbs it.
    fn work(&mut self) {
        for _ in 0..5 + self.random.below(30) {
            let queue = self.random.index(QUEUES);

            match self.random.below(16) {
                0..=3 => {
                    for _ in 0..=self.random.below(4) {
                        let chain = chain(self.random, queue, &self.home);
                        self.push(chain);
                    }
                    self.push(Action::Kick { queue });
                }
                4 => {
                    self.call(VHOST_VDPA_SUSPEND, Given::bytes([]));
                    self.set(VHOST_GET_VRING_BASE, queue, 0);
                    self.call(VHOST_VDPA_RESUME, Given::bytes([]));
                }
                5 => {
                    let message = message::piece(&self.home, 0, RINGS, iotlb::RW);
                    let (start, size) = (message.iova, message.size);
                    self.send("IOTLB invalidate", &Message::invalidate(0, start, size));
                    self.send("IOTLB update", &message);
                }
                // Simulators have none.
                6 if self.cast == Cast::Worst => self.push(Action::Doorbell {
                    device: self.device,
                    page: queue as u64,
                    len: PAGE,
                    protection: libc::PROT_WRITE,
                    flags: libc::MAP_SHARED,
                    resize: None,
                }),
                _ => {
                    let action = any(self.random, self.device, &self.home);
                    self.push(action);
                }
            }
        }
    }
}

/// A chain of buffers: for a network device a frame or room for one, for a disk a request, and what
/// is either makes little difference.
fn chain(random: &mut Random, queue: usize, home: &Home) -> Action {
    let first = random.below(layout::BUFFER_COUNT);
    let at = |index: u64| home.iova + layout::buffer(queue, first + index);
    let len = |random: &mut Random| match random.below(8) {
        0 => argument::number(random) as usize,
        _ => random.pick(&[1, 2, 12, 16, 64, 512, 512, 1024, 1526, 4096]),
    };
    let middle = Segment {
        write: random.below(2) == 0,
        ..Segment::read(at(1), len(random))
    };
    let chain = match random.below(4) {
        0 => vec![Segment::write(at(0), len(random))],
        1 => vec![Segment::read(at(0), len(random)), middle],
        _ => vec![Segment::read(at(0), 16), middle, Segment::write(at(2), 1)],
    };

    Action::Chain { queue, chain }
}

/// What is in a buffer: the header of a request to a disk, or a command to a network device.
fn fill(random: &mut Random) -> Action {
    let queue = random.index(QUEUES);
    let mut bytes = vec![0; random.pick(&[16, 64, 128])];

    random.fill(&mut bytes);
    let kind = random.pick(&[0u32, 1, 4, 8, 11, 13, 0x0001_0001]);
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[8..16].copy_from_slice(&(argument::number(random) % 0x5_0000).to_le_bytes());
    Action::Fill {
        offset: layout::buffer(queue, random.below(layout::BUFFER_COUNT)),
        bytes: Bytes(bytes),
    }
}

/// Anything that can be done with an open device.
pub fn any(random: &mut Random, device: usize, home: &Home) -> Action {
    let device = match random.below(16) {
        0 => random.index(DEVICES),
        _ => device,
    };

    match random.below(100) {
        0..=44 => {
            let (name, request) = argument::request(random);
            let given = argument::argument(random, request, home);
            Action::Call {
                device,
                name,
                request,
                given,
            }
        }
        45..=64 => message::any(random, device, home),
        65..=69 => Action::Kick {
            queue: random.index(QUEUES),
        },
        70..=73 => {
            let queue = random.index(QUEUES);
            chain(random, queue, home)
        }
        74..=76 => fill(random),
        77..=79 => Action::Renew {
            queue: random.index(QUEUES),
        },
        80..=87 => memory(random),
        88 => Action::Poll {
            device,
            wait: random.pick(&[0, 0, 1, 5]),
        },
        89 => Action::Read {
            device,
            len: random.pick(&[0, 1, 72, 4096]),
        },
        91..=93 => doorbell(random, device),
        94 | 95 => Action::Duplicate { device },
        90 | 96 => Action::Child {
            device,
            errand: errand(random, home),
        },
        97 => Action::Open {
            device,
            flags: random.pick(&[
                libc::O_RDWR,
                libc::O_RDWR,
                libc::O_RDWR,
                libc::O_RDWR | libc::O_NONBLOCK | libc::O_TRUNC,
                libc::O_RDONLY,
                libc::O_WRONLY,
            ]),
        },
        98 => Action::Limit {
            bytes: random.pick(&[None, None, None, Some(0), Some(0x1_0000), Some(1 << 20)]),
        },
        _ => Action::Wait {
            time: random.below(LONGEST_WAIT),
        },
    }
}

/// Something that happens to memory, which may be mapped.
fn memory(random: &mut Random) -> Action {
    // Most of the time rings stay where they are.
    let piece = match random.below(12) {
        0 => RINGS,
        _ => 1 + random.index(PIECES - 1),
    };

    match random.below(8) {
        0..=3 => Action::Put {
            piece,
            kind: random.pick(&Piece::ALL),
        },
        4 | 5 => Action::Advise {
            piece,
            advice: random.pick(&[
                libc::MADV_DONTNEED,
                libc::MADV_REMOVE,
                libc::MADV_COLD,
                libc::MADV_HUGEPAGE,
                libc::MADV_DONTFORK,
                libc::MADV_WILLNEED,
                libc::MADV_FREE,
            ]),
        },
        6 => Action::Protect {
            piece,
            protection: random.pick(&[
                libc::PROT_NONE,
                libc::PROT_READ,
                libc::PROT_READ | libc::PROT_WRITE,
            ]),
        },
        _ => Action::Truncate {
            // That of rings is in a file most of the time.
            piece: random.pick(&[piece, piece, RINGS]),
            len: random.pick(&[0, 1, 4096, PIECE as u64 / 2, PIECE as u64]),
        },
    }
}

fn doorbell(random: &mut Random, device: usize) -> Action {
    const WRITE: i32 = libc::PROT_WRITE;
    const BOTH: i32 = libc::PROT_READ | libc::PROT_WRITE;

    Action::Doorbell {
        device,
        page: match random.below(4) {
            0 => argument::number(random),
            _ => random.below(4),
        },
        len: random.pick(&[4096, 4096, 4096, 4096, 1, 8192, 0]),
        protection: random.pick(&[WRITE, WRITE, WRITE, BOTH, libc::PROT_READ, libc::PROT_NONE]),
        flags: random.pick(&[libc::MAP_SHARED, libc::MAP_SHARED, libc::MAP_PRIVATE]),
        resize: random.pick(&[None, None, Some(4096), Some(8192)]),
    }
}

/// Something for another process, which has no rights.
fn errand(random: &mut Random, home: &Home) -> Errand {
    match random.below(4) {
        0 => Errand::Write(message::piece(home, 0, 1, iotlb::RW).bytes()),
        1 => Errand::Write(Message::invalidate(0, home.iova, PIECE as u64).bytes()),
        2 => Errand::Call(VHOST_SET_OWNER.0),
        _ => Errand::Wait(random.below(LONGEST_WAIT) as u32),
    }
}
