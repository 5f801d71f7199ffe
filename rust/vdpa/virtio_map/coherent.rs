// SPDX-License-Identifier: GPL-2.0

//! Memory that a kernel driver and a device share.

use crate::{
    bindings,
    memory::release_barrier, //
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::barrier, //
};

/// Memory that a kernel driver and a device share: that of the rings of a virtqueue.
///
/// A parent can keep it for longer than the driver has it; then nobody else writes to it.
///
/// # Invariants
///
/// `ptr` is to `len` bytes in whole pages that were allocated for this, and that anybody may read
/// and write at any time.
pub struct Coherent {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: The memory belongs to no thread.
unsafe impl Send for Coherent {}

// SAFETY: As above, and what it is accessed by bears that others do so too.
unsafe impl Sync for Coherent {}

impl Coherent {
    /// Allocates memory that is all zeroes.
    #[inline]
    pub(super) fn new(len: usize, gfp: bindings::gfp_t) -> Result<Self> {
        // SAFETY: No requirements.
        let ptr = unsafe { bindings::rust_vdpa_alloc_pages(len, gfp) };

        // INVARIANT: Allocated just above.
        Ok(Self {
            ptr: NonNull::new(ptr.cast()).ok_or(ENOMEM)?,
            len,
        })
    }

    /// Returns the address for the driver.
    #[inline]
    pub(super) fn as_ptr(&self) -> *mut c_void {
        self.ptr.as_ptr().cast()
    }

    /// Returns its size in bytes.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where `len` bytes from byte `at` on are.
    #[inline]
    fn range(&self, at: usize, len: usize) -> Result<*mut u8> {
        at.checked_add(len)
            .filter(|end| *end <= self.len)
            .map(|_| self.ptr.as_ptr().wrapping_add(at))
            .ok_or(EFAULT)
    }

    /// Where the 16 bits at byte `at` are.
    #[inline]
    fn halfword(&self, at: usize) -> Result<*mut u16> {
        if at % align_of::<u16>() != 0 {
            return Err(EINVAL);
        }
        Ok(self.range(at, size_of::<u16>())?.cast())
    }

    /// Reads from byte `at` on.
    ///
    /// # Errors
    ///
    /// `EFAULT` where that is not in the memory.
    ///
    /// # Context
    ///
    /// Any.
    #[inline]
    pub fn read(&self, at: usize, buf: &mut [u8]) -> Result {
        let from = self.range(at, buf.len())?;

        // SAFETY: By the type invariant, and checked just above. The bytes may change meanwhile,
        // which is why C copies them.
        unsafe { bindings::memmove(buf.as_mut_ptr().cast(), from.cast(), buf.len()) };
        Ok(())
    }

    /// Writes from byte `at` on. Errors and context are those of [`read`](Self::read).
    #[inline]
    pub fn write(&self, at: usize, buf: &[u8]) -> Result {
        let to = self.range(at, buf.len())?;

        // SAFETY: As in `read`.
        unsafe { bindings::memmove(to.cast(), buf.as_ptr().cast(), buf.len()) };
        Ok(())
    }

    /// Reads 16 bits at once, as they are in memory, with acquire semantics: what is read later is
    /// at least as new.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and `EINVAL` where `at` is odd.
    #[inline]
    pub fn load_acquire_u16(&self, at: usize) -> Result<u16> {
        // SAFETY: By the type invariant, and aligned as the pages are.
        let value = unsafe { self.halfword(at)?.read_volatile() };

        barrier::smp_mb(barrier::Read);
        Ok(value)
    }

    /// Writes 16 bits at once, as they are to be in memory, with release semantics: what was written
    /// earlier is seen by who sees this. Errors are those of
    /// [`load_acquire_u16`](Self::load_acquire_u16).
    #[inline]
    pub fn store_release_u16(&self, at: usize, value: u16) -> Result {
        let ptr = self.halfword(at)?;

        release_barrier();
        // SAFETY: As in `load_acquire_u16`.
        unsafe { ptr.write_volatile(value) };
        Ok(())
    }
}

impl Drop for Coherent {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant. The driver has given it back, or was never told of it.
        unsafe { bindings::rust_vdpa_free_pages(self.ptr.as_ptr().cast(), self.len) };
    }
}
