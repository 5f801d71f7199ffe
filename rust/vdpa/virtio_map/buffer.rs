// SPDX-License-Identifier: GPL-2.0

//! Buffers of kernel drivers, lent to a parent.

use crate::bindings::{
    self,
    phys_addr_t, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// Where `len` bytes from byte `at` of a buffer of `size` bytes on are.
#[inline]
fn range(phys: phys_addr_t, size: usize, at: usize, len: usize) -> Result<phys_addr_t> {
    at.checked_add(len)
        .filter(|end| *end <= size)
        .and_then(|_| phys.checked_add(at as phys_addr_t))
        .ok_or(EFAULT)
}

/// A buffer of a kernel driver that the device is to read.
///
/// # Invariants
///
/// There are `len` bytes of memory at `phys`, which for `'a` stay where they are, and may be read.
pub struct ToDevice<'a> {
    phys: phys_addr_t,
    len: usize,
    _lent: PhantomData<&'a [u8]>,
}

impl ToDevice<'_> {
    /// # Safety
    ///
    /// What the type invariant says.
    #[inline]
    pub(super) unsafe fn new(phys: phys_addr_t, len: usize) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self {
            phys,
            len,
            _lent: PhantomData,
        }
    }

    /// Returns its size in bytes.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "no buffer is empty")]
    pub fn len(&self) -> usize {
        self.len
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
        let phys = range(self.phys, self.len, at, buf.len())?;

        // SAFETY: By the type invariant, and checked just above. The bytes may change meanwhile,
        // which is why C copies them.
        unsafe { bindings::rust_vdpa_read_phys(buf.as_mut_ptr().cast(), phys, buf.len()) };
        Ok(())
    }
}

/// A buffer of a kernel driver that the device was to write.
///
/// # Invariants
///
/// There are `len` bytes of memory at `phys`, which for `'a` stay where they are, and may be
/// written.
pub struct FromDevice<'a> {
    phys: phys_addr_t,
    len: usize,
    _lent: PhantomData<&'a [u8]>,
}

impl FromDevice<'_> {
    /// # Safety
    ///
    /// What the type invariant says.
    #[inline]
    pub(super) unsafe fn new(phys: phys_addr_t, len: usize) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self {
            phys,
            len,
            _lent: PhantomData,
        }
    }

    /// Returns its size in bytes.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "no buffer is empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Writes from byte `at` on. Errors and context are those of [`ToDevice::read`].
    #[inline]
    pub fn write(&self, at: usize, buf: &[u8]) -> Result {
        let phys = range(self.phys, self.len, at, buf.len())?;

        // SAFETY: As in `ToDevice::read`.
        unsafe { bindings::rust_vdpa_write_phys(phys, buf.as_ptr().cast(), buf.len()) };
        Ok(())
    }
}
