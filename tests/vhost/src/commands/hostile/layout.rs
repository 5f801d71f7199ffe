// SPDX-License-Identifier: GPL-2.0

//! Where things are in the memory of a hostile driver.
//!
//! Each place is a mapping of its own, so that one can be taken away, or given with other
//! permissions, while the others stay.

use vhost_client::iotlb::{RO, RW, WO};

/// Where the device sees the memory.
pub const IOVA: u64 = 0x7_0000_0000;

/// The size of a page, in which mappings are.
pub const PAGE: u64 = 4096;

/// How many pages there are, with holes.
pub const PAGES: u64 = 36;

/// The most descriptors of a ring here.
pub const RING_SIZE: u16 = 64;

/// The first byte of a page that the device cannot reach, between [`EDGE`] and [`LAST`].
pub const HOLE: u64 = EDGE.at(PAGE);

/// A place: whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the first page.
    page: u64,
    /// How many there are.
    pages: u64,
    /// What the device may do there, unless a case says otherwise.
    pub perm: u8,
}

impl Place {
    const fn new(page: u64, pages: u64, perm: u8) -> Self {
        Self { page, pages, perm }
    }

    /// An address in it.
    pub const fn at(self, offset: u64) -> u64 {
        IOVA + self.page * PAGE + offset
    }

    /// Its length in bytes.
    pub const fn len(self) -> u64 {
        self.pages * PAGE
    }
}

/// How the memory is mapped while a case is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// As it should be.
    Right,
    /// Without a place.
    Absent(Place),
    /// The same; when it is there again the device is notified.
    AbsentUntilKick(Place),
    /// A place has these permissions.
    Only(Place, u8),
}

impl Mapping {
    /// The place that is not there.
    pub fn absent(self) -> Option<Place> {
        match self {
            Self::Absent(place) | Self::AbsentUntilKick(place) => Some(place),
            Self::Right | Self::Only(..) => None,
        }
    }
}

/// The descriptor table of a queue.
pub const fn desc_table(queue: u32) -> Place {
    Place::new(3 * queue as u64, 1, RW)
}

/// The available ring of a queue.
pub const fn avail_ring(queue: u32) -> Place {
    Place::new(3 * queue as u64 + 1, 1, RW)
}

/// The used ring of a queue.
pub const fn used_ring(queue: u32) -> Place {
    Place::new(3 * queue as u64 + 2, 1, RW)
}

/// Indirect tables.
pub const TABLE: Place = Place::new(9, 2, RW);
/// Headers of requests.
pub const HEADER: Place = Place::new(11, 1, RW);
/// What the device answers with.
pub const STATUS: Place = Place::new(12, 1, RW);
/// Data.
pub const DATA: Place = Place::new(13, 4, RW);
/// More of it, right behind.
pub const MORE: Place = Place::new(17, 4, RW);
/// What ordinary requests use, of which some are made before, beside and after hostile ones.
pub const GOOD: Place = Place::new(21, 4, RW);
/// What the device may read only, right behind.
pub const READ_ONLY: Place = Place::new(25, 2, RO);
/// A page in front of the next.
pub const BEFORE: Place = Place::new(28, 1, RW);
/// What the device may write only.
pub const WRITE_ONLY: Place = Place::new(29, 2, WO);
/// A page with nothing behind it.
pub const EDGE: Place = Place::new(32, 1, RW);
/// What is behind [`HOLE`].
pub const LAST: Place = Place::new(34, 1, RW);

/// All places.
pub const PLACES: [Place; 20] = [
    desc_table(0),
    avail_ring(0),
    used_ring(0),
    desc_table(1),
    avail_ring(1),
    used_ring(1),
    desc_table(2),
    avail_ring(2),
    used_ring(2),
    TABLE,
    HEADER,
    STATUS,
    DATA,
    MORE,
    GOOD,
    READ_ONLY,
    BEFORE,
    WRITE_ONLY,
    EDGE,
    LAST,
];
