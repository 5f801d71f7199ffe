// SPDX-License-Identifier: GPL-2.0

//! Registers of a PCI function: ranges of its BARs, chosen and checked at run time.

use super::memory_bar_len;
use crate::NotificationArea;
use core::ops::Range;
use kernel::{
    device::Bound,
    io::Io,
    pci::{
        self,
        DevresBar, //
    },
    prelude::*,
    sync::Arc, //
};

/// How many BARs a function can have.
pub const BARS: usize = 6;

/// The BARs of a function, each mapped when a part of it is asked for the first time.
pub struct Bars<'a> {
    pdev: &'a pci::Device<Bound>,
    name: &'static CStr,
    mapped: [Option<Arc<DevresBar>>; BARS],
}

impl<'a> Bars<'a> {
    /// Prepares for mapping. The name is shown in `/proc/iomem`.
    #[inline]
    pub fn new(pdev: &'a pci::Device<Bound>, name: &'static CStr) -> Self {
        Self {
            pdev,
            name,
            mapped: [const { None }; BARS],
        }
    }

    /// Returns the sizes of the BARs in bytes. 0 for what is not memory.
    #[inline]
    pub fn sizes(&self) -> [u64; BARS] {
        let mut sizes = [0; BARS];

        for (bar, size) in (0..).zip(sizes.iter_mut()) {
            *size = memory_bar_len(self.pdev, bar);
        }
        sizes
    }

    /// Returns a part of a BAR, whose ends are in bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the range is not in a BAR that is memory, `EBUSY` where somebody else has
    /// that, `ENOMEM`.
    #[inline]
    pub fn window(&mut self, bar: u8, range: Range<u64>) -> Result<Window> {
        if range.is_empty() || range.end > memory_bar_len(self.pdev, bar) {
            return Err(EINVAL);
        }
        let mapped = self.mapped.get_mut(usize::from(bar)).ok_or(EINVAL)?;
        let whole = match mapped {
            Some(whole) => whole,
            None => {
                let whole = self.pdev.iomap_region(bar.into(), self.name)?;
                mapped.insert(Arc::new(whole.into_devres()?, GFP_KERNEL)?)
            }
        };

        // INVARIANT: The size of the BAR was compared with the end of the range.
        Ok(Window {
            bar: whole.clone(),
            physical: self
                .pdev
                .resource_start(bar.into())?
                .checked_add(range.start)
                .ok_or(EINVAL)?,
            offset: usize::try_from(range.start)?,
            len: usize::try_from(range.end - range.start)?,
        })
    }
}

/// A range of a BAR.
///
/// Accesses are checked against the range. `EINVAL` is what lies outside or is not aligned,
/// `ENODEV` that the driver is not bound any more. Registers are little endian.
///
/// # Context
///
/// Any, for all accesses.
///
/// # Invariants
///
/// `offset + len` is within the BAR, and does not overflow. `physical` is where `offset` is.
#[derive(Clone)]
pub struct Window {
    bar: Arc<DevresBar>,
    physical: u64,
    offset: usize,
    len: usize,
}

impl Window {
    /// Returns the size in bytes.
    #[inline]
    #[expect(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `size` bytes at `at` as an area with doorbells. [`None`] where that is not all in
    /// the range.
    #[inline]
    pub fn notification_area(&self, at: u64, size: u64) -> Option<NotificationArea> {
        let end = at.checked_add(size)?;

        (end <= self.len as u64).then(|| {
            // By the type invariant this does not wrap around.
            let start = self.physical.wrapping_add(at);

            // SAFETY: By the type invariant this is within a BAR of the function.
            unsafe { NotificationArea::new(start, size) }
        })
    }

    /// Where in the BAR `size` bytes at `at` are.
    #[inline]
    fn locate(&self, at: usize, size: usize) -> Result<usize> {
        match at.checked_add(size) {
            // By the type invariant this does not wrap around.
            Some(end) if end <= self.len => Ok(self.offset.wrapping_add(at)),
            _ => Err(EINVAL),
        }
    }

    /// Reads a byte.
    #[inline]
    pub fn read8(&self, at: usize) -> Result<u8> {
        let at = self.locate(at, 1)?;

        self.bar.try_access().ok_or(ENODEV)?.try_read8(at)
    }

    /// Reads two bytes.
    #[inline]
    pub fn read16(&self, at: usize) -> Result<u16> {
        let at = self.locate(at, 2)?;

        self.bar.try_access().ok_or(ENODEV)?.try_read16(at)
    }

    /// Reads four bytes.
    #[inline]
    pub fn read32(&self, at: usize) -> Result<u32> {
        let at = self.locate(at, 4)?;

        self.bar.try_access().ok_or(ENODEV)?.try_read32(at)
    }

    /// Writes a byte.
    #[inline]
    pub fn write8(&self, value: u8, at: usize) -> Result {
        let at = self.locate(at, 1)?;

        self.bar.try_access().ok_or(ENODEV)?.try_write8(value, at)
    }

    /// Writes two bytes.
    #[inline]
    pub fn write16(&self, value: u16, at: usize) -> Result {
        let at = self.locate(at, 2)?;

        self.bar.try_access().ok_or(ENODEV)?.try_write16(value, at)
    }

    /// Writes four bytes.
    #[inline]
    pub fn write32(&self, value: u32, at: usize) -> Result {
        let at = self.locate(at, 4)?;

        self.bar.try_access().ok_or(ENODEV)?.try_write32(value, at)
    }
}
