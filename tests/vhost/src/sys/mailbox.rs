// SPDX-License-Identifier: GPL-2.0

//! Arguments of ioctls that end where accessible memory ends.

use anyhow::{ensure, Result};

use super::{Area, Awaited, PAGE};

/// The pages: nothing, one to read and write, nothing, one to read, nothing.
const WRITABLE: usize = 1;
const READABLE: usize = 3;
const PAGES: usize = 5;

/// Two pages with inaccessible ones around each.
///
/// # Invariants
///
/// The first and the last page, and that between the two, are not accessible.
pub struct Mailbox(Area);

/// An offset into a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

impl Mailbox {
    /// Makes one anywhere.
    pub fn new() -> Result<Self> {
        Self::with(Area::anonymous(PAGES * PAGE)?)
    }

    /// Makes one at an address that fits into 32 bits.
    pub fn low() -> Result<Self> {
        Self::with(Area::low(PAGES * PAGE)?)
    }

    /// Makes one whose writable page is awaited.
    pub fn awaited() -> Result<(Self, Awaited)> {
        let mailbox = Self::new()?;
        let start = mailbox.address(Place(WRITABLE * PAGE));
        let awaited = Awaited::new(start..start + PAGE as u64)?;

        Ok((mailbox, awaited))
    }

    fn with(area: Area) -> Result<Self> {
        for page in [0, 2, 4] {
            area.protect(page * PAGE..(page + 1) * PAGE, libc::PROT_NONE)?;
        }
        Ok(Self(area))
    }

    /// The place of the last `len` bytes that can be written.
    pub fn last_writable(&self, len: usize) -> Place {
        Place((WRITABLE + 1) * PAGE - len.min(PAGE))
    }

    /// Puts `bytes` where the byte after them is not accessible.
    pub fn put(&self, bytes: &[u8]) -> Result<Place> {
        ensure!(bytes.len() <= PAGE, "{} bytes do not fit", bytes.len());
        let place = self.last_writable(bytes.len());

        self.0.write(place.0, bytes)?;
        Ok(place)
    }

    /// Puts `bytes` where they cannot be changed, and the byte after them is not accessible.
    pub fn put_read_only(&self, bytes: &[u8]) -> Result<Place> {
        ensure!(bytes.len() <= PAGE, "{} bytes do not fit", bytes.len());
        let page = READABLE * PAGE..(READABLE + 1) * PAGE;
        let place = Place(page.end - bytes.len());

        self.0
            .protect(page.clone(), libc::PROT_READ | libc::PROT_WRITE)?;
        self.0.write(place.0, bytes)?;
        self.0.protect(page, libc::PROT_READ)?;
        Ok(place)
    }

    /// A place from which nothing can be read.
    pub fn inaccessible(&self) -> Place {
        Place((WRITABLE + 1) * PAGE)
    }

    /// Reads what is at a place that is accessible.
    pub fn read(&self, place: Place, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];

        self.0.read(place.0, &mut bytes)?;
        Ok(bytes)
    }

    /// Where a place is in the address space.
    pub(super) fn address(&self, place: Place) -> u64 {
        // Places are made by mailboxes only, and all are of the same size.
        self.0.address() + place.0 as u64
    }
}
