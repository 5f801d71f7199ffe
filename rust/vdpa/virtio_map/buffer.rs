// SPDX-License-Identifier: GPL-2.0

//! Buffers of kernel drivers, lent to a parent.

use crate::bindings::{
    self,
    phys_addr_t, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// A buffer of a kernel driver.
///
/// # Invariants
///
/// There are `len` bytes of memory at `phys`, which for `'a` stay where they are.
struct Lent<'a> {
    phys: phys_addr_t,
    len: usize,
    _lent: PhantomData<&'a [u8]>,
}

impl Lent<'_> {
    /// # Safety
    ///
    /// What the type invariant says.
    #[inline]
    unsafe fn new(phys: phys_addr_t, len: usize) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self {
            phys,
            len,
            _lent: PhantomData,
        }
    }

    /// Where `len` bytes from byte `at` on are.
    #[inline]
    fn range(&self, at: usize, len: usize) -> Result<phys_addr_t> {
        at.checked_add(len)
            .filter(|end| *end <= self.len)
            .and_then(|_| self.phys.checked_add(at as phys_addr_t))
            .ok_or(EFAULT)
    }
}

/// A buffer of a kernel driver that the device is to read.
///
/// # Invariants
///
/// It may be read.
pub struct ToDevice<'a>(Lent<'a>);

impl ToDevice<'_> {
    /// # Safety
    ///
    /// For as long as this exists, there must be `len` bytes of memory at `phys` that stay where
    /// they are, and may be read.
    #[inline]
    pub(super) unsafe fn new(phys: phys_addr_t, len: usize) -> Self {
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: As above.
        Self(unsafe { Lent::new(phys, len) })
    }

    /// Returns its size in bytes.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "no buffer is empty")]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Reads from byte `at` on.
    ///
    /// # Errors
    ///
    /// `EFAULT` where that is not in the buffer.
    ///
    /// # Context
    ///
    /// Any.
    #[inline]
    pub fn read(&self, at: usize, buf: &mut [u8]) -> Result {
        let phys = self.0.range(at, buf.len())?;

        // SAFETY: By the type invariants, and checked just above. The bytes may change meanwhile,
        // which is why C copies them.
        unsafe { bindings::rust_vdpa_read_phys(buf.as_mut_ptr().cast(), phys, buf.len()) };
        Ok(())
    }
}

/// A buffer of a kernel driver that the device was to write.
///
/// # Invariants
///
/// It may be written.
pub struct FromDevice<'a>(Lent<'a>);

impl FromDevice<'_> {
    /// # Safety
    ///
    /// For as long as this exists, there must be `len` bytes of memory at `phys` that stay where
    /// they are, and may be written.
    #[inline]
    pub(super) unsafe fn new(phys: phys_addr_t, len: usize) -> Self {
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: As above.
        Self(unsafe { Lent::new(phys, len) })
    }

    /// Returns its size in bytes.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "no buffer is empty")]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Writes from byte `at` on. Errors and context are those of [`ToDevice::read`].
    #[inline]
    pub fn write(&self, at: usize, buf: &[u8]) -> Result {
        let phys = self.0.range(at, buf.len())?;

        // SAFETY: As in `ToDevice::read`.
        unsafe { bindings::rust_vdpa_write_phys(phys, buf.as_ptr().cast(), buf.len()) };
        Ok(())
    }
}
