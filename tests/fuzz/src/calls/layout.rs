// SPDX-License-Identifier: GPL-2.0

//! Where things are: for each thread memory of its own, and where devices see it.

use vhost_client::sys::PAGE;

use crate::sys::{Arena, PIECE, PIECES};

/// How many character devices are used, from 0 on.
pub const DEVICES: usize = 3;

/// How many virtqueues are used.
pub const QUEUES: usize = 3;

/// The number of descriptors that rings have room for.
pub const MOST: u16 = 256;

/// The piece in which rings and buffers are.
pub const RINGS: usize = 0;

/// How much of it each virtqueue has, for its three areas and its buffers.
const STRIDE: u64 = 0x1_0000;
const AVAIL: u64 = 0x1000;
const USED: u64 = 0x2000;
const BUFFERS: u64 = 0x4000;

/// The memory of a thread.
#[derive(Clone, Copy, Debug)]
pub struct Home {
    /// In this process.
    pub address: u64,
    /// As devices see it.
    pub iova: u64,
}

/// Its length in bytes.
pub const SIZE: u64 = (PIECES * PIECE) as u64;

impl Home {
    /// The memory of thread `number`.
    pub fn of(number: usize) -> Self {
        Self {
            address: Arena::address(number),
            // Not where the process sees it, and not where physical memory is.
            iova: 0x7_0000_0000 + number as u64 * SIZE,
        }
    }
}

/// The descriptors of a virtqueue, as an offset into the memory.
pub fn descriptors(queue: usize) -> u64 {
    (RINGS * PIECE) as u64 + queue as u64 * STRIDE
}

/// Its available ring.
pub fn available(queue: usize) -> u64 {
    descriptors(queue) + AVAIL
}

/// Its used ring.
pub fn used(queue: usize) -> u64 {
    descriptors(queue) + USED
}

/// Its buffer number `index`, of a page.
pub fn buffer(queue: usize, index: u64) -> u64 {
    descriptors(queue) + BUFFERS + index % BUFFER_COUNT * PAGE as u64
}

/// How many buffers a virtqueue has.
pub const BUFFER_COUNT: u64 = (STRIDE - BUFFERS) / PAGE as u64;
