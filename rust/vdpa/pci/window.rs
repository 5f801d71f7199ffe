// SPDX-License-Identifier: GPL-2.0

//! Registers of a PCI function: ranges of its BARs, chosen and checked at run time.

use super::memory_bar_len;
use crate::NotificationArea;
use core::ops::Range;
use kernel::{
    device::Bound,
    io::{
        Io,
        IoBackend,
        IoBase,
        IoCapable,
        Mmio,
        MmioBackend,
        MmioRaw, //
    },
    pci,
    prelude::*,
    ptr::KnownSize,
    sync::Arc, //
};

/// How many BARs a function can have.
pub const BARS: usize = 6;

/// The BARs of a function, each mapped when a part of it is asked for the first time.
pub struct Bars<'bound> {
    pdev: &'bound pci::Device<Bound>,
    name: &'static CStr,
    mapped: [Option<Arc<pci::Bar<'bound>>>; BARS],
}

impl<'bound> Bars<'bound> {
    /// Prepares for mapping. The name is shown in `/proc/iomem`.
    #[inline]
    pub fn new(pdev: &'bound pci::Device<Bound>, name: &'static CStr) -> Self {
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
    pub fn window(&mut self, bar: u8, range: Range<u64>) -> Result<Window<'bound>> {
        if range.is_empty() || range.end > memory_bar_len(self.pdev, bar) {
            return Err(EINVAL);
        }
        let mapped = self.mapped.get_mut(usize::from(bar)).ok_or(EINVAL)?;
        let whole = match mapped {
            Some(whole) => whole,
            None => {
                let whole = self.pdev.iomap_region(bar.into(), self.name)?;
                mapped.insert(Arc::new(whole, GFP_KERNEL)?)
            }
        };
        let start = usize::try_from(range.start)?;
        let view = (&**whole).as_view();

        // INVARIANT: The size of the BAR, which is mapped as a whole, was compared with the end of
        // the range.
        Ok(Window {
            addr: MmioBackend::as_ptr(view).addr().wrapping_add(start),
            bar: whole.clone(),
            physical: self
                .pdev
                .resource_start(bar.into())?
                .checked_add(range.start)
                .ok_or(EINVAL)?,
            len: usize::try_from(range.end - range.start)?,
        })
    }
}

/// A range of a BAR.
///
/// # Invariants
///
/// `len` bytes at `addr` are part of `bar`, and do not wrap around. `physical` is where they are
/// for processors.
#[derive(Clone)]
pub struct Window<'bound> {
    bar: Arc<pci::Bar<'bound>>,
    addr: usize,
    len: usize,
    physical: u64,
}

impl<'bound> Window<'bound> {
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

    /// Where a `T` that is `at` bytes from the beginning is mapped.
    #[inline]
    fn locate<T>(&self, at: usize) -> Result<usize> {
        let end = at.checked_add(size_of::<T>()).ok_or(EINVAL)?;
        // By the type invariant this does not wrap around if it is within the range.
        let addr = self.addr.wrapping_add(at);

        if end > self.len || addr % align_of::<T>() != 0 {
            return Err(EINVAL);
        }
        Ok(addr)
    }

    /// Returns the registers that are a `T`, `at` bytes from the beginning.
    ///
    /// # Errors
    ///
    /// `EINVAL` where that is not all in the range, or not aligned.
    #[inline]
    pub fn registers<T: FromBytes + IntoBytes>(&self, at: usize) -> Result<Registers<'bound, T>> {
        let addr = self.locate::<T>(at)?;

        // INVARIANT: By the type invariant, as it is within the range.
        Ok(Registers {
            _bar: self.bar.clone(),
            raw: MmioRaw::new(addr),
        })
    }

    /// Reads what is `at` bytes from the beginning.
    ///
    /// # Context
    ///
    /// Any.
    ///
    /// # Errors
    ///
    /// `EINVAL` where that is not all in the range, or not aligned.
    #[inline]
    pub fn read<T: FromBytes + IntoBytes>(&self, at: usize) -> Result<T>
    where
        MmioBackend: IoCapable<T>,
    {
        let addr = self.locate::<T>(at)?;

        // SAFETY: By the type invariant it is mapped while `self` is there.
        Ok(unsafe { Mmio::from_raw(MmioRaw::<T>::new(addr)) }.read_val())
    }

    /// Writes what is `at` bytes from the beginning.
    ///
    /// # Context
    ///
    /// Any.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    #[inline]
    pub fn write<T: FromBytes + IntoBytes>(&self, at: usize, value: T) -> Result
    where
        MmioBackend: IoCapable<T>,
    {
        let addr = self.locate::<T>(at)?;

        // SAFETY: As for `read`.
        unsafe { Mmio::from_raw(MmioRaw::<T>::new(addr)) }.write_val(value);
        Ok(())
    }
}

/// Registers of a function that together are a `T`.
///
/// They are used with the macros and methods of [`kernel::io`], which need not check where they are,
/// nor whether the driver is bound. Numbers are little endian, and read and written as those of the
/// processor.
///
/// # Invariants
///
/// `raw` is part of the BAR that is held, and aligned.
///
/// # Examples
///
/// ```
/// use kernel::{
///     io::{
///         io_read,
///         io_write, //
///     },
///     prelude::*,
/// };
/// use vdpa::pci::{
///     Registers,
///     Window, //
/// };
///
/// #[derive(FromBytes, IntoBytes)]
/// #[repr(C)]
/// struct Mailbox {
///     command: u32,
///     answer: u32,
/// }
///
/// fn ask(mailbox: &Registers<'_, Mailbox>, command: u32) -> u32 {
///     io_write!(mailbox, .command, command);
///     io_read!(mailbox, .answer)
/// }
///
/// fn find<'bound>(window: &Window<'bound>) -> Result<Registers<'bound, Mailbox>> {
///     window.registers(0x100)
/// }
/// ```
#[derive(Clone)]
pub struct Registers<'bound, T> {
    _bar: Arc<pci::Bar<'bound>>,
    raw: MmioRaw<T>,
}

impl<'a, T: KnownSize> IoBase<'a> for &'a Registers<'_, T> {
    type Backend = MmioBackend;
    type Target = T;

    #[inline]
    fn as_view(self) -> Mmio<'a, T> {
        // SAFETY: By the type invariant it is mapped while `self` is there.
        unsafe { Mmio::from_raw(self.raw) }
    }
}
