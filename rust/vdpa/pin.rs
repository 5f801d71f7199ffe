// SPDX-License-Identifier: GPL-2.0

//! Memory of a process that is kept in place for a device.
//!
//! [`Pinner`] goes through a range of a process's addresses and returns what is physically
//! contiguous, a [`PinnedRun`] at a time, as far as it got: the caller can map one run while the
//! next one has not been looked at. A run is a guard, and so is the [`Charge`] that all pages are
//! counted with before any is pinned. Whatever happens on the way, dropping what one has unpins and
//! uncharges it.
//!
//! C header: `include/linux/mm.h`

use crate::{
    bindings,
    Permission, //
};
use core::{
    mem::size_of,
    ptr::null_mut, //
};
use kernel::{
    mm::Mm,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        }, //
    }, //
};

const PAGE_SIZE: u64 = bindings::PAGE_SIZE as u64;

/// How many pages are looked at before others have their turn: as many as a page has pointers.
const CHUNK: usize = bindings::PAGE_SIZE / size_of::<*mut bindings::page>();

/// Runs do not reach over a multiple of this physical address, so that mapping one takes limited
/// time. It is a multiple of what page tables of devices map at once, so these are not split.
const RUN_MAX: u64 = 1 << 30;

/// How many pages are unpinned before others have their turn.
const UNPIN_CHUNK: u64 = 1 << 15;

/// Pages that are counted as pinned by a process (`VmPin` in `/proc/<pid>/status`), until this is
/// dropped.
///
/// # Invariants
///
/// This many of the pages that are counted in `mm` belong to this.
pub struct Charge {
    mm: ARef<Mm>,
    pages: u64,
}

/// The counter of pinned pages of a process.
#[inline]
fn pinned_vm(mm: &Mm) -> &Atomic<i64> {
    // SAFETY: `mm` is valid, and the field, which is never used but as an atomic, a part of it.
    unsafe {
        let counter = &raw mut (*mm.as_raw()).__bindgen_anon_1.pinned_vm.counter;

        Atomic::from_ptr(counter)
    }
}

impl Charge {
    /// Counts pages, unless that makes more than the current process may lock
    /// (`RLIMIT_MEMLOCK`).
    ///
    /// One with `CAP_IPC_LOCK` may lock any number, as with `mlock(2)`. It is only asked for where
    /// the limit is exceeded, for that is when the capability is used.
    #[inline]
    fn new(mm: &Mm, pages: u64) -> Result<Self> {
        // SAFETY: No requirements.
        let limit = unsafe { bindings::rust_vdpa_rlimit(bindings::RLIMIT_MEMLOCK) } as u64;
        // It is not negative, even without a limit.
        let limit = (limit / PAGE_SIZE) as i64;
        let counter = pinned_vm(mm);
        let mut old = counter.load(Relaxed);

        loop {
            let new = u64::try_from(old)
                .unwrap_or(0)
                .checked_add(pages)
                .and_then(|new| i64::try_from(new).ok())
                .ok_or(ENOMEM)?;

            if new > limit && !may_exceed_limit() {
                return Err(ENOMEM);
            }
            match counter.cmpxchg(old, new, Relaxed) {
                Ok(_) => break,
                Err(now) => old = now,
            }
        }
        // INVARIANT: Counted just above.
        Ok(Self {
            mm: mm.into(),
            pages,
        })
    }

    /// No pages, of the same process.
    #[inline]
    pub(crate) fn empty(&self) -> Self {
        // INVARIANT: None belong to it.
        Self {
            mm: self.mm.clone(),
            pages: 0,
        }
    }

    /// Takes over the count of some of the pages of another charge, or all where there are fewer.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the other one is for another process.
    #[inline]
    pub(crate) fn take(&mut self, other: &mut Self, pages: u64) -> Result {
        if self.mm.as_raw() != other.mm.as_raw() {
            return Err(EINVAL);
        }
        let pages = pages.min(other.pages);

        // INVARIANT: What one has more, the other has less. Both were counted in one `i64`, so that
        // the sum does not wrap around.
        other.pages -= pages;
        self.pages = self.pages.wrapping_add(pages);
        Ok(())
    }

    /// Has pages counted no more, that are not pinned any more.
    #[inline]
    pub(crate) fn release(&mut self, pages: u64) {
        let pages = pages.min(self.pages);

        // INVARIANT: They are counted neither here nor there. The number came from an `i64`.
        self.pages -= pages;
        pinned_vm(&self.mm).fetch_sub(pages as i64, Relaxed);
    }
}

impl Drop for Charge {
    #[inline]
    fn drop(&mut self) {
        self.release(self.pages);
    }
}

/// Physically contiguous memory of a process, pinned until this is dropped.
///
/// # Context
///
/// Dropping it sleeps. Any process can do that, the one whose memory it is may have ended.
///
/// # Invariants
///
/// From `addr` on, as many pages as `pages` says are pinned, for writing if `perm` says so.
pub struct PinnedRun {
    addr: u64,
    // There can be one of these for each page of a process, so that their size counts.
    pages: u32,
    perm: Permission,
}

impl PinnedRun {
    /// Returns the physical address, which is that of a page.
    #[inline]
    pub fn addr(&self) -> u64 {
        self.addr
    }

    /// Returns the size in bytes: whole pages, and at least one. At most 1 GiB.
    #[inline]
    pub fn size(&self) -> u64 {
        self.pages() * PAGE_SIZE
    }

    /// Returns the number of pages.
    #[inline]
    pub(crate) fn pages(&self) -> u64 {
        self.pages.into()
    }

    /// Returns what the device may do with the memory.
    #[inline]
    pub fn perm(&self) -> Permission {
        self.perm
    }

    /// Leaves the memory pinned.
    #[inline]
    pub(crate) fn leak(self) {
        core::mem::forget(self);
    }

    /// Takes over memory that was left with [`leak`](Self::leak).
    ///
    /// # Safety
    ///
    /// A run with this address, size in bytes and permission must have been leaked, and not been
    /// taken over since.
    #[inline]
    pub(crate) unsafe fn from_leaked(addr: u64, size: u64, perm: Permission) -> Self {
        // INVARIANT: By the safety requirements of this function. The number came from an `u32`.
        Self {
            addr,
            pages: (size / PAGE_SIZE) as u32,
            perm,
        }
    }
}

impl Drop for PinnedRun {
    #[inline]
    fn drop(&mut self) {
        let mut addr = self.addr;
        let mut pages = self.pages();

        loop {
            let chunk = pages.min(UNPIN_CHUNK);

            // SAFETY: By the type invariant. The number fits, as it is limited.
            unsafe { bindings::rust_vdpa_unpin(addr, chunk as c_ulong, self.perm.write) };
            pages -= chunk;
            if pages == 0 {
                break;
            }
            // By the type invariant there is more, so this does not wrap around.
            addr = addr.wrapping_add(chunk * PAGE_SIZE);
            cond_resched();
        }
    }
}

/// Pins a range of addresses of the current process.
///
/// # Context
///
/// Making it and [`next_run`](Self::next_run) are for the process whose memory it is. The latter
/// sleeps, and may wait for another process, or for this one: where memory is provided by userspace
/// (`userfaultfd(2)`, FUSE). So no lock must be held that somebody needs for whom that is too long.
/// `mmap_lock` is taken by it, for a chunk of memory at a time and only where the pages are not
/// there already; others have their turn after each chunk.
///
/// # Invariants
///
/// Those of `run`, and then those in `pages[next..len]`, are pinned. The others begin at `uaddr`,
/// and there are `left` of them. All were counted in `charge`, which whoever has mapped some may
/// have taken their part from.
#[doc(alias = "pin_user_pages_fast")]
#[doc(alias = "unpin_user_pages")]
pub struct Pinner {
    charge: Charge,
    perm: Permission,
    uaddr: usize,
    left: usize,
    run: Option<Contiguous>,
    pages: KVec<*mut bindings::page>,
    next: usize,
    len: usize,
}

/// Pages that follow each other.
#[derive(Clone, Copy)]
struct Contiguous {
    addr: u64,
    pages: u64,
}

impl Contiguous {
    /// Takes as many as a run can have of some pages, beginning with the first one.
    ///
    /// # Safety
    ///
    /// All of `pages` must be valid, and `first` be the first one.
    #[inline]
    unsafe fn first_of(first: *mut bindings::page, pages: &[*mut bindings::page]) -> Self {
        // SAFETY: By the safety requirements of this function.
        let (addr, count) = unsafe {
            (
                bindings::rust_vdpa_page_to_phys(first),
                bindings::rust_vdpa_contiguous_pages(pages.as_ptr(), pages.len()),
            )
        };

        Self {
            addr,
            pages: (count as u64).min((RUN_MAX - addr % RUN_MAX) / PAGE_SIZE),
        }
    }

    /// The address after the last page. It is 0 where that is the last one of all addresses.
    #[inline]
    fn end(&self) -> u64 {
        self.addr.wrapping_add(self.pages.wrapping_mul(PAGE_SIZE))
    }

    /// Appends pages, if they are the next ones and a run can go on there.
    #[inline]
    fn append(&mut self, next: Self) -> bool {
        let fits = next.addr == self.end() && next.addr % RUN_MAX != 0;

        if fits {
            // Both end where a multiple of `RUN_MAX` is, or before.
            self.pages = self.pages.wrapping_add(next.pages);
        }
        fits
    }
}

impl Pinner {
    /// Counts `pages` pages from the address `uaddr` on, which are to be pinned, as those of the
    /// current process. Its address space must be `mm`.
    ///
    /// # Errors
    ///
    /// - `EPERM` where `mm` is another address space,
    /// - `EINVAL` where `uaddr` is not that of a page, or `perm` allows nothing, or there are no
    ///   pages,
    /// - `EFAULT` where the addresses wrap around,
    /// - `ENOMEM` where more memory would be pinned than the process may lock (`RLIMIT_MEMLOCK`,
    ///   unless it has `CAP_IPC_LOCK`), and where memory is short.
    #[inline]
    pub fn new(mm: &Mm, uaddr: u64, pages: u64, perm: Permission) -> Result<Self> {
        if !is_current(mm) {
            return Err(EPERM);
        }
        if uaddr % PAGE_SIZE != 0 || pages == 0 || !(perm.read || perm.write) {
            return Err(EINVAL);
        }

        let uaddr = usize::try_from(uaddr).map_err(|_| EFAULT)?;
        let left = usize::try_from(pages).map_err(|_| EFAULT)?;

        left.checked_mul(bindings::PAGE_SIZE)
            .and_then(|size| uaddr.checked_add(size))
            .ok_or(EFAULT)?;

        // INVARIANT: All of the pages are yet to be pinned.
        Ok(Self {
            charge: Charge::new(mm, pages)?,
            perm,
            uaddr,
            left,
            run: None,
            pages: KVec::from_elem(null_mut(), CHUNK.min(left), GFP_KERNEL)?,
            next: 0,
            len: 0,
        })
    }

    /// Returns the next run, in the order of the process's addresses. [`None`] when all of the
    /// range has been returned.
    ///
    /// # Errors
    ///
    /// - `EFAULT` where there is no memory, or it must not be accessed that way, or cannot be
    ///   pinned (that of devices, for example),
    /// - `EINTR` where the process is being killed,
    /// - `ENOMEM`, and whatever else bringing in the memory fails with.
    #[inline]
    pub fn next_run(&mut self) -> Result<Option<PinnedRun>> {
        loop {
            while let Some(pages @ [first, ..]) = self.pages.get(self.next..self.len) {
                // SAFETY: By the type invariant the pages are pinned, and there is at least one.
                let next = unsafe { Contiguous::first_of(*first, pages) };

                match &mut self.run {
                    None => self.run = Some(next),
                    Some(run) => {
                        if !run.append(next) {
                            return Ok(self.take_run());
                        }
                    }
                }
                // INVARIANT: The pages have gone over from `pages` to `run`. There were as many.
                self.next = self.next.wrapping_add(next.pages as usize);
            }
            if self.left == 0 {
                return Ok(self.take_run());
            }
            self.pin()?;
        }
    }

    #[inline]
    fn take_run(&mut self) -> Option<PinnedRun> {
        // INVARIANT: By that of this type, the pages are pinned. A run is never longer than
        // `RUN_MAX`, so that the number fits.
        self.run.take().map(|run| PinnedRun {
            addr: run.addr,
            pages: run.pages as u32,
            perm: self.perm,
        })
    }

    /// What all pages are counted with, but for those that somebody has taken over. It must be
    /// there for as long as the others are pinned.
    #[inline]
    pub fn charge(&mut self) -> &mut Charge {
        &mut self.charge
    }

    /// Pins the next chunk. To be called when all pages were taken from the one before.
    #[inline]
    fn pin(&mut self) -> Result {
        let mut flags = bindings::FOLL_LONGTERM;

        if self.perm.write {
            flags |= bindings::FOLL_WRITE;
        }
        // SAFETY: No requirements.
        if unsafe { bindings::rust_vdpa_fatal_signal_pending() } {
            return Err(EINTR);
        }

        cond_resched();
        // SAFETY: `pages` is valid for writing as many pointers as it has elements. The address is
        // checked there.
        let pinned = unsafe {
            bindings::pin_user_pages_fast(
                self.uaddr,
                self.left.min(self.pages.len()) as c_int,
                flags,
                self.pages.as_mut_ptr(),
            )
        };

        kernel::error::to_result(pinned)?;
        match usize::try_from(pinned)?.min(self.left) {
            0 => Err(EFAULT),
            pinned => {
                // INVARIANT: These are pinned now. Where that is not as many as were asked for, the
                // next call says why.
                self.next = 0;
                self.len = pinned;
                self.left -= pinned;
                // What comes after the last page may be address 0.
                self.uaddr = self.uaddr.wrapping_add(pinned * bindings::PAGE_SIZE);
                Ok(())
            }
        }
    }
}

impl Drop for Pinner {
    #[inline]
    fn drop(&mut self) {
        drop(self.take_run());

        if let Some(pages) = self.pages.get_mut(self.next..self.len) {
            // SAFETY: By the type invariant these pages are pinned. They were not written to.
            unsafe { bindings::unpin_user_pages(pages.as_mut_ptr(), pages.len()) };
        }
    }
}

/// Whether the current process may lock more memory than its limit says.
#[inline]
fn may_exceed_limit() -> bool {
    // SAFETY: No requirements.
    unsafe { bindings::capable(bindings::CAP_IPC_LOCK as c_int) }
}

/// Whether an address space is that of the current process.
#[inline]
fn is_current(mm: &Mm) -> bool {
    kernel::current!()
        .mm()
        .is_some_and(|current| current.as_raw() == mm.as_raw())
}

/// Lets others have their turn, in a loop that can take long.
#[inline]
pub(crate) fn cond_resched() {
    // SAFETY: No requirements, but that sleeping is allowed.
    unsafe { bindings::rust_vdpa_cond_resched() };
}
