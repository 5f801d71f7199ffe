// SPDX-License-Identifier: GPL-2.0

//! Reading and writing the memory that a software device was given.

use crate::{
    bindings,
    soft_iommu::Space,
    MapRange, //
};
use core::{
    cell::Cell,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    mm::{
        Mm,
        MmWithUser, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        barrier, //
    },
    types::NotThreadSafe, //
};

/// The current kernel thread has taken on the address space of a process.
///
/// # Invariants
///
/// `kthread_use_mm()` was called for `mm` by the thread that this value cannot leave.
pub(crate) struct UsedMm {
    mm: ARef<MmWithUser>,
    _thread: NotThreadSafe,
}

impl UsedMm {
    /// Takes on an address space; [`None`] where it is gone.
    #[inline]
    pub(crate) fn new(mm: &Mm) -> Option<Self> {
        let mm = mm.mmget_not_zero()?;

        // SAFETY: There are users of `mm`, one of which is held here.
        unsafe { bindings::kthread_use_mm(mm.as_raw()) };
        // INVARIANT: Called just above.
        Some(Self {
            mm,
            _thread: NotThreadSafe,
        })
    }
}

impl Drop for UsedMm {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::kthread_unuse_mm(self.mm.as_raw()) };
    }
}

/// What the device is about to do.
#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

/// Where the addresses in a mapping lead.
#[derive(Clone, Copy)]
enum Behind {
    /// Physical memory.
    Physical,
    /// The memory of the process whose address space the thread has taken on.
    User,
}

/// A piece of memory behind some bus addresses.
///
/// # Invariants
///
/// For [`Behind::Physical`], `ptr` is the address, in the kernel's direct map, of `len` bytes that
/// the consumer has given to the device, for as long as the [`Memory`] it came from exists.
struct Piece {
    ptr: *mut u8,
    len: usize,
}

/// Memory as it is seen through one address space of a [`SoftIommu`](crate::SoftIommu).
///
/// All functions fail with `EFAULT` where an address is not mapped or may not be used that way. The
/// memory belongs to somebody who may change it at any time.
///
/// # Context
///
/// May sleep, where memory of a process has to be brought in.
pub struct Memory<'a> {
    space: Option<&'a Space>,
    /// Physical addresses are accepted as they are.
    identity: bool,
    behind: Behind,
    /// The mapping that was used last.
    ///
    /// A virtqueue's rings are read and written all the time and lie in one or two mappings.
    last: Cell<Option<MapRange>>,
    _thread: PhantomData<NotThreadSafe>,
}

impl<'a> Memory<'a> {
    #[inline]
    pub(crate) fn new(
        space: Option<&'a Space>,
        kernel_driver: bool,
        mm: Option<&'a UsedMm>,
    ) -> Self {
        Self {
            space,
            identity: kernel_driver && mm.is_none() && space.is_some_and(|space| space.untouched),
            behind: if mm.is_some() {
                Behind::User
            } else {
                Behind::Physical
            },
            last: Cell::new(None),
            _thread: PhantomData,
        }
    }

    /// Finds what is behind `iova`: at least one byte, at most `len`.
    #[inline]
    fn translate(&self, iova: u64, len: usize, access: Access) -> Result<Piece> {
        let (addr, len) = if self.identity {
            // A page at a time: physical memory has holes.
            let rest = bindings::PAGE_SIZE - (iova as usize & (bindings::PAGE_SIZE - 1));
            (iova, len.min(rest))
        } else {
            self.lookup(iova, len, access)?
        };

        match self.behind {
            Behind::User => Ok(Piece {
                ptr: core::ptr::with_exposed_provenance_mut(addr as usize),
                len,
            }),
            Behind::Physical => {
                // SAFETY: Any address can be asked about.
                let ptr = unsafe { bindings::rust_vdpa_phys_to_virt(addr) };

                // INVARIANT: The consumer has mapped this memory for the device, and takes it back
                // only through the tables that are locked while `self` exists; a kernel driver
                // does so after a reset.
                NonNull::new(ptr.cast::<u8>())
                    .map(|ptr| Piece {
                        ptr: ptr.as_ptr(),
                        len,
                    })
                    .ok_or(EFAULT)
            }
        }
    }

    #[inline]
    fn lookup(&self, iova: u64, len: usize, access: Access) -> Result<(u64, usize)> {
        let range = match self.last.get() {
            Some(range) if range.iova.first <= iova && iova <= range.iova.last => range,
            _ => {
                let range = *self
                    .space
                    .and_then(|space| space.lookup(iova))
                    .ok_or(EFAULT)?;
                self.last.set(Some(range));
                range
            }
        };
        let allowed = match access {
            Access::Read => range.perm.read,
            Access::Write => range.perm.write,
        };
        if !allowed {
            return Err(EFAULT);
        }

        // `iova` lies in the range, so neither of these wraps around but the `+ 1` for the whole
        // of the 64-bit addresses.
        let offset = iova.wrapping_sub(range.iova.first);
        let rest = (range.iova.last.wrapping_sub(iova)).saturating_add(1);
        let addr = range.addr.checked_add(offset).ok_or(EFAULT)?;

        Ok((addr, len.min(usize::try_from(rest).unwrap_or(usize::MAX))))
    }

    /// Goes through the pieces behind `[iova, iova + len)`.
    #[inline]
    fn for_each_piece(
        &self,
        iova: u64,
        len: usize,
        access: Access,
        mut f: impl FnMut(Piece, usize) -> Result,
    ) -> Result {
        let mut done = 0;

        // Each round does at least one byte.
        while done < len {
            let at = iova.checked_add(done as u64).ok_or(EFAULT)?;
            let piece = self.translate(at, len - done, access)?;
            let got = piece.len;

            f(piece, done)?;
            done += got;
        }
        Ok(())
    }

    /// Reads `buf.len()` bytes from bus address `iova`.
    #[inline]
    pub fn read(&self, iova: u64, buf: &mut [u8]) -> Result {
        let len = buf.len();

        self.for_each_piece(iova, len, Access::Read, |piece, done| {
            let to = buf.get_mut(done..).ok_or(EFAULT)?.as_mut_ptr();

            // SAFETY: There are at least `piece.len` bytes left in `buf`.
            unsafe { self.copy_in(to, &piece) }
        })
    }

    /// Writes `buf` to bus address `iova`.
    #[inline]
    pub fn write(&self, iova: u64, buf: &[u8]) -> Result {
        let len = buf.len();

        self.for_each_piece(iova, len, Access::Write, |piece, done| {
            let from = buf.get(done..).ok_or(EFAULT)?.as_ptr();

            // SAFETY: There are at least `piece.len` bytes left in `buf`.
            unsafe { self.copy_out(&piece, from) }
        })
    }

    /// Reads 16 bits at once, as they are in memory, with acquire semantics: what is read later is
    /// at least as new. `iova` must be even.
    #[inline]
    pub fn load_acquire_u16(&self, iova: u64) -> Result<u16> {
        if iova & 1 != 0 {
            return Err(EINVAL);
        }
        let piece = self.translate(iova, 2, Access::Read)?;
        match self.behind {
            Behind::Physical if piece.len == 2 && piece.ptr.addr() & 1 == 0 => {
                // SAFETY: By the invariant of `Piece`, and aligned.
                let raw = unsafe { piece.ptr.cast::<u16>().read_volatile() };

                barrier::smp_mb(barrier::Read);
                Ok(raw)
            }
            Behind::User if piece.len == 2 => {
                let mut raw = 0;

                // SAFETY: The address is checked there; in one access, unlike `copy_from_user()`.
                to_result(unsafe { bindings::rust_vdpa_get_user_u16(&mut raw, piece.ptr.cast()) })?;
                barrier::smp_mb(barrier::Read);
                Ok(raw)
            }
            _ => Err(EFAULT),
        }
    }

    /// Writes 16 bits at once, as they are to be in memory, with release semantics: what was written
    /// earlier is seen by who sees this. `iova` must be even.
    #[inline]
    pub fn store_release_u16(&self, iova: u64, value: u16) -> Result {
        if iova & 1 != 0 {
            return Err(EINVAL);
        }
        let piece = self.translate(iova, 2, Access::Write)?;

        barrier::smp_mb(barrier::Write);
        match self.behind {
            Behind::Physical if piece.len == 2 && piece.ptr.addr() & 1 == 0 => {
                // SAFETY: By the invariant of `Piece`, and aligned.
                unsafe { piece.ptr.cast::<u16>().write_volatile(value) };
                Ok(())
            }
            Behind::User if piece.len == 2 => {
                // SAFETY: The address is checked there; in one access, unlike `copy_to_user()`.
                to_result(unsafe { bindings::rust_vdpa_put_user_u16(value, piece.ptr.cast()) })
            }
            _ => Err(EFAULT),
        }
    }

    /// Reads `N` bytes from bus address `iova`.
    #[inline]
    pub fn read_array<const N: usize>(&self, iova: u64) -> Result<[u8; N]> {
        let piece = self.translate(iova, N, Access::Read)?;

        if piece.len == N && matches!(self.behind, Behind::Physical) {
            // SAFETY: By the invariant of `Piece`; bytes need no alignment.
            return Ok(unsafe { piece.ptr.cast::<[u8; N]>().read_volatile() });
        }
        let mut bytes = [0; N];
        self.read(iova, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes `N` bytes to bus address `iova`.
    #[inline]
    pub fn write_array<const N: usize>(&self, iova: u64, bytes: [u8; N]) -> Result {
        let piece = self.translate(iova, N, Access::Write)?;

        if piece.len == N && matches!(self.behind, Behind::Physical) {
            // SAFETY: By the invariant of `Piece`; bytes need no alignment.
            unsafe { piece.ptr.cast::<[u8; N]>().write_volatile(bytes) };
            return Ok(());
        }
        self.write(iova, &bytes)
    }

    /// Orders what was written before against what is read after, and the other way round.
    #[inline]
    pub fn full_barrier(&self) {
        barrier::smp_mb(barrier::Full);
    }

    /// Copies `len` bytes from bus address `from` to bus address `to` of `other`, without going
    /// through a buffer where both are physical memory.
    #[inline]
    pub fn copy_to(&self, from: u64, other: &Memory<'_>, to: u64, len: usize) -> Result {
        match self.behind {
            Behind::Physical => self.for_each_piece(from, len, Access::Read, |piece, done| {
                let to = to.checked_add(done as u64).ok_or(EFAULT)?;

                other.for_each_piece(to, piece.len, Access::Write, |target, done| {
                    // SAFETY: `done` is below `piece.len`, and the rest of `piece` is as long as
                    // `target` at least.
                    unsafe { other.copy_out(&target, piece.ptr.add(done)) }
                })
            }),
            Behind::User => {
                let mut buf = [0; 256];
                let mut done = 0;

                while done < len {
                    let n = (len - done).min(buf.len());
                    let part = buf.get_mut(..n).ok_or(EFAULT)?;

                    self.read(from.checked_add(done as u64).ok_or(EFAULT)?, part)?;
                    other.write(to.checked_add(done as u64).ok_or(EFAULT)?, part)?;
                    done += n;
                }
                Ok(())
            }
        }
    }

    /// Copies all of a piece to `to`.
    ///
    /// # Safety
    ///
    /// `to` must be valid for writing `from.len` bytes.
    #[inline]
    unsafe fn copy_in(&self, to: *mut u8, from: &Piece) -> Result {
        match self.behind {
            Behind::Physical => {
                // The C function, because the memory may change meanwhile.
                // SAFETY: By the invariant of `Piece` and the requirements of this function.
                unsafe { bindings::memcpy(to.cast(), from.ptr.cast(), from.len) };
                Ok(())
            }
            Behind::User => {
                // SAFETY: By the requirements of this function; the other side is checked.
                let left =
                    unsafe { bindings::copy_from_user(to.cast(), from.ptr.cast(), from.len) };
                if left == 0 {
                    Ok(())
                } else {
                    Err(EFAULT)
                }
            }
        }
    }

    /// Fills all of a piece from `from`.
    ///
    /// # Safety
    ///
    /// `from` must be valid for reading `to.len` bytes.
    #[inline]
    unsafe fn copy_out(&self, to: &Piece, from: *const u8) -> Result {
        match self.behind {
            Behind::Physical => {
                // The two may overlap: both are addresses that the driver chose.
                // SAFETY: By the invariant of `Piece` and the requirements of this function.
                unsafe { bindings::memmove(to.ptr.cast(), from.cast(), to.len) };
                Ok(())
            }
            Behind::User => {
                // SAFETY: By the requirements of this function; the other side is checked.
                let left = unsafe { bindings::copy_to_user(to.ptr.cast(), from.cast(), to.len) };
                if left == 0 {
                    Ok(())
                } else {
                    Err(EFAULT)
                }
            }
        }
    }
}
