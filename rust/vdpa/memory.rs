// SPDX-License-Identifier: GPL-2.0

//! Reading and writing the memory that a software device was given.

use crate::{
    absence::Absence,
    bindings,
    soft_iommu::Space,
    Asid,
    MapRange,
    SoftIommu, //
};
use core::{
    cell::Cell,
    marker::PhantomData,
    ptr::null_mut, //
};
use kernel::{
    mm::{
        Mm,
        MmWithUser,
        MmWithUserAsync, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        barrier, //
    },
    types::NotThreadSafe, //
};
use virtqueue::{
    Fault,
    Refusal, //
};

/// The current kernel thread has taken on the address space of a process, and does not wait for
/// memory of it to be brought in: what is not there is refused.
///
/// # Invariants
///
/// `kthread_use_mm()` was called for `mm` by the thread that this value cannot leave, and then
/// `pagefault_disable()`.
pub(crate) struct UsedMm {
    // Dropped with the locks of a device held: if the process has ended meanwhile, this is the last
    // user of all its memory, which can take seconds to free.
    mm: ARef<MmWithUserAsync>,
    _thread: NotThreadSafe,
}

impl UsedMm {
    /// Takes on an address space.
    ///
    /// # Errors
    ///
    /// `ESRCH` where it is gone, `EINVAL` where the current thread is not one of the kernel's, or
    /// has an address space already, which it would lose.
    #[inline]
    pub(crate) fn new(mm: &Mm) -> Result<Self> {
        // SAFETY: No requirements.
        if !unsafe { bindings::rust_vdpa_can_use_mm() } {
            return Err(EINVAL);
        }
        let mm = mm.mmget_not_zero().ok_or(ESRCH)?;

        // SAFETY: There are users of `mm`, one of which is held here. That the current thread may
        // take it on was checked just above.
        unsafe { bindings::kthread_use_mm(mm.as_raw()) };
        // SAFETY: Undone when this is dropped, by the same thread. It may sleep all the same.
        unsafe { bindings::rust_vdpa_pagefault_disable() };
        // INVARIANT: Called just above.
        Ok(Self {
            mm: MmWithUser::into_mmput_async(mm),
            _thread: NotThreadSafe,
        })
    }

    /// Whether it is this one.
    #[inline]
    pub(crate) fn is(&self, mm: &Mm) -> bool {
        self.mm.as_raw() == mm.as_raw()
    }
}

impl Drop for UsedMm {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_vdpa_pagefault_enable() };
        // SAFETY: As above.
        unsafe { bindings::kthread_unuse_mm(self.mm.as_raw()) };
    }
}

/// What the device is about to do.
#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

/// Where bus addresses lead.
#[derive(Clone, Copy)]
pub(crate) enum Translation<'a> {
    /// They are physical addresses.
    Identity,
    /// To physical addresses, with a table that does not change meanwhile; to none without one.
    Physical(Option<&'a Space>),
    /// To addresses of a process, with a table that may change at any time.
    Process {
        iommu: &'a SoftIommu,
        mm: &'a UsedMm,
        asid: Asid,
        absence: &'a Absence,
    },
}

/// The mapping that was used last, and of which [`SoftIommu::changes`].
#[derive(Clone, Copy)]
struct Last {
    range: MapRange,
    changes: i64,
}

/// Physical memory is there, or not, in blocks of this size.
#[cfg(CONFIG_SPARSEMEM)]
const BLOCK_SHIFT: u32 = bindings::SUBSECTION_SHIFT;
#[cfg(not(CONFIG_SPARSEMEM))]
const BLOCK_SHIFT: u32 = bindings::PAGE_SHIFT as u32;

/// A block of physical memory.
#[derive(Clone, Copy)]
struct Block {
    /// Its physical address, divided by its size.
    number: u64,
    /// Where it begins in the kernel's direct map.
    base: *mut u8,
}

impl Block {
    /// None: there is no such number.
    const NONE: Self = Self {
        number: u64::MAX,
        base: null_mut(),
    };
}

/// A piece of memory behind some bus addresses.
///
/// # Invariants
///
/// Unless it came from [`Translation::Process`], `ptr` is the address, in the kernel's direct map,
/// of `len` bytes that the consumer has given to the device, for as long as the [`GuestMemory`] it
/// came from exists.
struct Piece {
    ptr: *mut u8,
    len: usize,
}

/// Memory as it is seen through one address space of a [`SoftIommu`](crate::SoftIommu).
///
/// The memory belongs to somebody who may change it at any time.
///
/// # Errors
///
/// All functions fail with
///
/// - `EFAULT` where nothing is mapped, or nothing that can be reached: a mapping may come;
/// - `EACCES` where what is mapped cannot be used in this way, however often it is tried;
/// - `EAGAIN` where memory of a process has to be brought in first: let go of everything, call
///   [`SoftIommu::bring_in`](crate::SoftIommu::bring_in), and try again.
///
/// # Context
///
/// May sleep, but does not wait for memory of a process.
pub struct GuestMemory<'a> {
    translation: Translation<'a>,
    /// A virtqueue's rings are read and written all the time and lie in one or two mappings.
    last: Cell<Option<Last>>,
    block: Cell<Block>,
    /// How many more mappings may be looked for.
    allowance: Cell<u32>,
    _thread: PhantomData<NotThreadSafe>,
}

impl<'a> GuestMemory<'a> {
    #[inline]
    pub(crate) fn new(translation: Translation<'a>) -> Self {
        Self {
            translation,
            last: Cell::new(None),
            block: Cell::new(Block::NONE),
            allowance: Cell::new(u32::MAX),
            _thread: PhantomData,
        }
    }

    /// Bounds the work of what follows: `pieces` times may another mapping be looked for than the
    /// one used last; then everything fails with `EACCES`. Returns how many were left.
    #[inline]
    pub fn allow(&self, pieces: u32) -> u32 {
        self.allowance.replace(pieces)
    }

    /// Has at least so many pieces be allowed, however many were looked for.
    #[inline]
    pub fn allow_at_least(&self, pieces: u32) {
        self.allowance.set(self.allowance.get().max(pieces));
    }

    #[inline]
    fn is_physical(&self) -> bool {
        !matches!(self.translation, Translation::Process { .. })
    }

    /// Finds what is behind `iova`: at least one byte, at most `len`.
    #[inline]
    fn translate(&self, iova: u64, len: usize, access: Access) -> Result<Piece> {
        if matches!(self.translation, Translation::Identity) {
            // A page at a time: physical memory has holes.
            let rest = bindings::PAGE_SIZE - (iova as usize & (bindings::PAGE_SIZE - 1));

            // INVARIANT: A kernel driver takes memory back after a reset only.
            return Ok(Piece {
                ptr: self.direct(iova)?,
                len: len.min(rest),
            });
        }
        let (addr, len) = self.lookup(iova, len, access)?;

        // INVARIANT: The consumer has mapped this memory for the device, and takes it back only
        // through the tables. These are locked while `self` exists, if they are about physical
        // memory.
        Ok(Piece {
            ptr: if self.is_physical() {
                self.direct(addr)?
            } else {
                core::ptr::with_exposed_provenance_mut(addr as usize)
            },
            len,
        })
    }

    /// Finds physical memory in the kernel's direct map.
    #[inline]
    fn direct(&self, addr: u64) -> Result<*mut u8> {
        let number = addr >> BLOCK_SHIFT;
        let mut block = self.block.get();

        if block.number != number {
            let first = number << BLOCK_SHIFT;
            // SAFETY: Any address can be asked about.
            let base = unsafe { bindings::rust_vdpa_phys_to_virt(first) };
            if base.is_null() {
                return Err(EFAULT);
            }
            block = Block {
                number,
                base: base.cast(),
            };
            self.block.set(block);
        }
        Ok(block
            .base
            .wrapping_add((addr & ((1 << BLOCK_SHIFT) - 1)) as usize))
    }

    /// Finds the mapping that `iova` is in.
    #[inline]
    fn range(&self, iova: u64) -> Result<MapRange> {
        let changes = match self.translation {
            Translation::Process { iommu, .. } => iommu.changes(),
            _ => 0,
        };
        if let Some(Last { range, changes: at }) = self.last.get() {
            if range.iova.first <= iova && iova <= range.iova.last && at == changes {
                return Ok(range);
            }
        }

        let left = self.allowance.get().checked_sub(1).ok_or(EACCES)?;
        self.allowance.set(left);
        let (range, changes) = match self.translation {
            Translation::Process {
                iommu, mm, asid, ..
            } => iommu.lookup(asid, iova, mm),
            Translation::Physical(space) => space
                .and_then(|space| space.lookup(iova))
                .map(|range| (*range, 0)),
            Translation::Identity => None,
        }
        .ok_or(EFAULT)?;
        self.last.set(Some(Last { range, changes }));
        Ok(range)
    }

    #[inline]
    fn lookup(&self, iova: u64, len: usize, access: Access) -> Result<(u64, usize)> {
        let range = self.range(iova)?;
        let allowed = match access {
            Access::Read => range.perm.read,
            Access::Write => range.perm.write,
        };
        if !allowed {
            return Err(EACCES);
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
        let mut done: usize = 0;

        // Each round does at least one byte.
        while done < len {
            let at = iova.checked_add(done as u64).ok_or(EFAULT)?;
            let piece = self.translate(at, len - done, access)?;
            let got = piece.len;

            f(piece, done)?;
            // A piece is not longer than what was asked for.
            done = done.wrapping_add(got);
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

    /// Finds 16 bits that can be accessed at once: in one piece, and aligned in physical memory.
    #[inline]
    fn halfword(&self, iova: u64, access: Access) -> Result<*mut u8> {
        if iova & 1 != 0 {
            return Err(EINVAL);
        }
        let piece = self.translate(iova, 2, access)?;

        if piece.len != 2 || (self.is_physical() && piece.ptr.addr() & 1 != 0) {
            return Err(EACCES);
        }
        Ok(piece.ptr)
    }

    /// Reads 16 bits at once, as they are in memory, with acquire semantics: what is read later is
    /// at least as new. `iova` must be even.
    #[inline]
    pub fn load_acquire_u16(&self, iova: u64) -> Result<u16> {
        let ptr = self.halfword(iova, Access::Read)?;
        let raw = if self.is_physical() {
            // SAFETY: By the invariant of `Piece`, and aligned.
            unsafe { ptr.cast::<u16>().read_volatile() }
        } else {
            let mut raw = 0;

            // SAFETY: The address is checked there; in one access, unlike `copy_from_user()`.
            if unsafe { bindings::rust_vdpa_get_user_u16(&mut raw, ptr.cast()) } != 0 {
                return Err(self.absent(ptr, 2, Access::Read));
            }
            raw
        };

        barrier::smp_mb(barrier::Read);
        Ok(raw)
    }

    /// Writes 16 bits at once, as they are to be in memory, with release semantics: what was
    /// written earlier is seen by who sees this. `iova` must be even.
    #[inline]
    pub fn store_release_u16(&self, iova: u64, value: u16) -> Result {
        let ptr = self.halfword(iova, Access::Write)?;

        release_barrier();
        if self.is_physical() {
            // SAFETY: By the invariant of `Piece`, and aligned.
            unsafe { ptr.cast::<u16>().write_volatile(value) };
            Ok(())
        } else {
            // SAFETY: The address is checked there; in one access, unlike `copy_to_user()`.
            if unsafe { bindings::rust_vdpa_put_user_u16(value, ptr.cast()) } != 0 {
                return Err(self.absent(ptr, 2, Access::Write));
            }
            Ok(())
        }
    }

    /// Reads `N` bytes from bus address `iova`.
    #[inline]
    pub fn read_array<const N: usize>(&self, iova: u64) -> Result<[u8; N]> {
        let piece = self.translate(iova, N, Access::Read)?;

        let mut bytes = [0; N];

        // A descriptor, and headers of requests.
        if piece.len == N && self.is_physical() && in_words::<u64, N>(piece.ptr) {
            for (i, part) in bytes.chunks_exact_mut(size_of::<u64>()).enumerate() {
                // SAFETY: By the invariant of `Piece`, and aligned.
                let word = unsafe { piece.ptr.cast::<u64>().add(i).read_volatile() };

                part.copy_from_slice(&word.to_ne_bytes());
            }
            return Ok(bytes);
        }
        if piece.len == N {
            // SAFETY: There are as many bytes.
            unsafe { self.copy_in(bytes.as_mut_ptr(), &piece) }?;
        } else {
            self.read(iova, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// Writes `N` bytes to bus address `iova`.
    #[inline]
    pub fn write_array<const N: usize>(&self, iova: u64, bytes: [u8; N]) -> Result {
        let piece = self.translate(iova, N, Access::Write)?;

        if piece.len != N {
            return self.write(iova, &bytes);
        }
        // An element of a used ring, whose alignment is 4.
        if self.is_physical() && in_words::<u32, N>(piece.ptr) {
            for (i, part) in bytes.chunks_exact(size_of::<u32>()).enumerate() {
                let mut word = [0; size_of::<u32>()];

                word.copy_from_slice(part);
                let word = u32::from_ne_bytes(word);
                // SAFETY: By the invariant of `Piece`, and aligned.
                unsafe { piece.ptr.cast::<u32>().add(i).write_volatile(word) };
            }
            return Ok(());
        }
        // A status.
        if let ([byte], true) = (bytes.as_slice(), self.is_physical()) {
            // SAFETY: By the invariant of `Piece`.
            unsafe { piece.ptr.write_volatile(*byte) };
            return Ok(());
        }
        // SAFETY: There are as many bytes.
        unsafe { self.copy_out(&piece, bytes.as_ptr()) }
    }

    /// Orders what was written before against what is read after, and the other way round.
    #[inline]
    pub fn full_barrier(&self) {
        barrier::smp_mb(barrier::Full);
    }

    /// Copies `len` bytes from bus address `from` to bus address `to` of `other`, without going
    /// through a buffer where both are physical memory.
    #[inline]
    pub fn copy_to(&self, from: u64, other: &GuestMemory<'_>, to: u64, len: usize) -> Result {
        if self.is_physical() {
            return self.for_each_piece(from, len, Access::Read, |piece, done| {
                let to = to.checked_add(done as u64).ok_or(EFAULT)?;

                other.for_each_piece(to, piece.len, Access::Write, |target, done| {
                    // SAFETY: `done` is below `piece.len`, and the rest of `piece` is as long as
                    // `target` at least.
                    unsafe { other.copy_out(&target, piece.ptr.add(done)) }
                })
            });
        }

        let mut buf = [0; 256];
        let mut done: usize = 0;

        while done < len {
            let n = (len - done).min(buf.len());
            let part = buf.get_mut(..n).ok_or(EFAULT)?;

            self.read(from.checked_add(done as u64).ok_or(EFAULT)?, part)?;
            other.write(to.checked_add(done as u64).ok_or(EFAULT)?, part)?;
            // Not more than `len`.
            done = done.wrapping_add(n);
        }
        Ok(())
    }

    /// Copies all of a piece to `to`.
    ///
    /// # Safety
    ///
    /// `to` must be valid for writing `from.len` bytes.
    #[inline]
    unsafe fn copy_in(&self, to: *mut u8, from: &Piece) -> Result {
        if self.is_physical() {
            // SAFETY: By the invariant of `Piece` and the requirements of this function.
            unsafe { copy(to, from.ptr, from.len) };
            return Ok(());
        }
        // SAFETY: By the requirements of this function; the other side is checked.
        let left = unsafe {
            bindings::rust_vdpa_read_user(to.cast(), from.ptr.cast(), from.len) //
        };
        self.all_done(from, left, Access::Read)
    }

    /// Fills all of a piece from `from`.
    ///
    /// # Safety
    ///
    /// `from` must be valid for reading `to.len` bytes.
    #[inline]
    unsafe fn copy_out(&self, to: &Piece, from: *const u8) -> Result {
        if self.is_physical() {
            // SAFETY: By the invariant of `Piece` and the requirements of this function.
            unsafe { copy(to.ptr, from, to.len) };
            return Ok(());
        }
        // SAFETY: By the requirements of this function; the other side is checked.
        let left = unsafe {
            bindings::rust_vdpa_write_user(to.ptr.cast(), from.cast(), to.len) //
        };
        self.all_done(to, left, Access::Write)
    }

    /// Fails if `left` bytes of a piece of a process's memory were not reached.
    #[inline]
    fn all_done(&self, piece: &Piece, left: usize, access: Access) -> Result {
        if left == 0 {
            return Ok(());
        }
        let done = piece.len.saturating_sub(left);

        Err(self.absent(piece.ptr.wrapping_add(done), left, access))
    }

    /// Why a process's memory was not reached.
    #[cold]
    #[inline]
    fn absent(&self, ptr: *const u8, len: usize, access: Access) -> Error {
        match self.translation {
            Translation::Process { absence, .. } => {
                let changes = self.last.get().map_or(0, |last| last.changes);

                absence.note(ptr.addr(), len, matches!(access, Access::Write), changes)
            }
            _ => EFAULT,
        }
    }
}

/// What the engine makes of an error.
#[inline]
fn fault_at<T>(addr: u64, result: Result<T>) -> Result<T, Fault> {
    result.map_err(|error| Fault {
        addr,
        refusal: match error {
            EFAULT => Refusal::NotMapped,
            EAGAIN => Refusal::NotPresent,
            _ => Refusal::NotPermitted,
        },
    })
}

impl virtqueue::Memory for GuestMemory<'_> {
    #[inline]
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        fault_at(addr, self.read(addr, buf))
    }

    #[inline]
    fn write(&self, addr: u64, buf: &[u8]) -> Result<(), Fault> {
        fault_at(addr, self.write(addr, buf))
    }

    #[inline]
    fn load_acquire(&self, addr: u64) -> Result<u16, Fault> {
        fault_at(addr, self.load_acquire_u16(addr))
    }

    #[inline]
    fn store_release(&self, addr: u64, value: u16) -> Result<(), Fault> {
        fault_at(addr, self.store_release_u16(addr, value))
    }

    #[inline]
    fn barrier(&self) {
        self.full_barrier();
    }

    #[inline]
    fn copy_to(&self, src: u64, memory: &Self, dst: u64, len: usize) -> Result<(), Fault> {
        fault_at(src, self.copy_to(src, memory, dst, len))
    }

    #[inline]
    fn read_array<const N: usize>(&self, addr: u64) -> Result<[u8; N], Fault> {
        fault_at(addr, self.read_array(addr))
    }

    #[inline]
    fn write_array<const N: usize>(&self, addr: u64, bytes: [u8; N]) -> Result<(), Fault> {
        fault_at(addr, self.write_array(addr, bytes))
    }
}

/// Orders what was read and written before against what is written after: a driver may reuse, as
/// soon as it sees a used index, what was read from a buffer.
#[inline]
pub(crate) fn release_barrier() {
    if cfg!(CONFIG_X86) {
        // Nothing is written before what precedes it was read, so that the compiler is all there is
        // to keep from it.
        barrier::smp_mb(barrier::Write);
    } else {
        // The one for writes would let what was read before move behind it.
        barrier::smp_mb(barrier::Full);
    }
}

/// Whether `N` bytes can be accessed as values of type `W`. The compiler would make an access for
/// each byte of an array that may change meanwhile.
#[inline]
fn in_words<W, const N: usize>(ptr: *const u8) -> bool {
    N % size_of::<W>() == 0 && ptr.addr() % align_of::<W>() == 0
}

/// Copies bytes that may change meanwhile, which is why C does it. The two may overlap: both may be
/// addresses that a driver chose.
///
/// # Safety
///
/// `to` must be valid for writing, and `from` for reading `len` bytes.
#[inline]
unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    let page = |addr: usize| addr & (bindings::PAGE_SIZE - 1) == 0;

    if len == bindings::PAGE_SIZE && page(to.addr()) && page(from.addr()) {
        // SAFETY: By the requirements of this function; they are two pages, or the same.
        unsafe { bindings::rust_vdpa_copy_page(to.cast(), from.cast()) };
    } else {
        // SAFETY: By the requirements of this function.
        unsafe { bindings::memmove(to.cast(), from.cast(), len) };
    }
}
