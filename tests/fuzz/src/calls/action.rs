// SPDX-License-Identifier: GPL-2.0

//! What a thread can do, in words: the same for each run with the same seed.

use std::fmt;

use vhost_client::ring::Segment;
use vhost_client::sys::Request;

use crate::sys::{Errand, Piece};

/// Bytes, printed as hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A file descriptor in an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fd {
    /// The eventfd by which the thread kicks a virtqueue.
    Kick(usize),
    /// The one by which a virtqueue calls the thread.
    Call(usize),
    /// The device itself.
    Device,
    /// This number, which may be open or not.
    Number(i32),
}

/// Where an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where it can be read and written, and nothing can behind it.
    Good,
    /// Where it can only be read.
    ReadOnly,
    /// Only so many bytes are where they can be accessed.
    Cut(usize),
    /// Where nothing can be accessed.
    Inaccessible,
    /// At an address where nothing is.
    Nowhere(u64),
}

/// The argument of an ioctl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The bytes.
    pub bytes: Bytes,
    /// In them, at an offset, a file descriptor.
    pub fd: Option<(usize, Fd)>,
    /// Where they are.
    pub place: Place,
}

impl Given {
    /// Bytes at a good place.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: Bytes(bytes.into()),
            fd: None,
            place: Place::Good,
        }
    }
}

/// How much of an answer is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// All of it.
    All,
    /// The first datagram, or nothing.
    Cut(bool),
}

/// Something that a thread does. Devices are counted as their character devices are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Opens a device with flags of `open(2)`, for all threads to use.
    Open { device: usize, flags: i32 },
    /// Closes it, unless other threads are using it: then they will.
    Close { device: usize },
    /// Makes the same open file one more descriptor, and closes that.
    Duplicate { device: usize },
    /// An ioctl.
    Call {
        device: usize,
        name: &'static str,
        request: Request,
        given: Given,
    },
    /// Writes a message, in two pieces if `split` is not 0.
    Message {
        device: usize,
        name: &'static str,
        bytes: Bytes,
        split: usize,
    },
    /// Reads from a device.
    Read { device: usize, len: usize },
    /// Waits for a device for so many milliseconds.
    Poll { device: usize, wait: u64 },
    /// Maps pages of a device, moves or protects them, has a child write to them, and unmaps them.
    Doorbell {
        device: usize,
        page: u64,
        len: usize,
        protection: i32,
        flags: i32,
        resize: Option<usize>,
    },
    /// Has another process do something.
    Child { device: usize, errand: Errand },
    /// Signals the eventfd of a virtqueue.
    Kick { queue: usize },
    /// Closes the eventfds of a virtqueue, whoever holds them, and makes other ones.
    Renew { queue: usize },
    /// Forgets what is in the rings of this thread.
    Rings { size: u16 },
    /// Puts a chain into a ring, and announces it.
    Chain { queue: usize, chain: Vec<Segment> },
    /// Writes to the memory of this thread.
    Fill { offset: u64, bytes: Bytes },
    /// Puts something new where a piece of that memory is.
    Put { piece: usize, kind: Piece },
    /// Gives advice about a piece.
    Advise { piece: usize, advice: i32 },
    /// Changes what it may be accessed for.
    Protect { piece: usize, protection: i32 },
    /// Changes the length of its file.
    Truncate { piece: usize, len: u64 },
    /// Limits how much memory may be pinned.
    Limit { bytes: Option<u64> },
    /// Sends netlink messages to the family in one datagram.
    Ask {
        name: &'static str,
        messages: Vec<Bytes>,
        listen: Listen,
    },
    /// Removes devices with names that are not among those that threads use.
    Clean,
    /// Unloads a module, whatever uses it, and loads it again.
    Reload {
        module: &'static str,
        parameters: String,
    },
    /// Writes to a file in sysfs.
    Set {
        name: &'static str,
        path: String,
        text: Bytes,
    },
    /// Reads a file in sysfs.
    Get { path: String },
    /// Does nothing for so many milliseconds.
    Wait { time: u64 },
}

impl Action {
    /// What it is counted as.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Close { .. } => "close",
            Self::Duplicate { .. } => "dup",
            Self::Call { name, .. }
            | Self::Message { name, .. }
            | Self::Ask { name, .. }
            | Self::Set { name, .. } => name,
            Self::Read { .. } => "read",
            Self::Poll { .. } => "poll",
            Self::Doorbell { .. } => "mmap",
            Self::Child { errand, .. } => match errand {
                Errand::Write(_) => "write by another process",
                Errand::Call(_) => "ioctl by another process",
                Errand::Wait(_) => "fork",
            },
            Self::Kick { .. } => "kick",
            Self::Renew { .. } => "eventfds exchanged",
            Self::Rings { .. } | Self::Chain { .. } | Self::Fill { .. } => "rings written",
            Self::Put { .. } => "memory put",
            Self::Advise { .. } => "madvise",
            Self::Protect { .. } => "mprotect",
            Self::Truncate { .. } => "ftruncate",
            Self::Limit { .. } => "setrlimit",
            Self::Clean => "devices cleaned up",
            Self::Reload { .. } => "module reloaded",
            Self::Get { .. } => "sysfs read",
            Self::Wait { .. } => "wait",
        }
    }
}
