// SPDX-License-Identifier: GPL-2.0

//! Memory of a process that is kept in place for a device.
//!
//! [`Pinner`] goes through a range of a process's addresses and returns what is physically
//! contiguous, a [`PinnedRun`] at a time, as far as it got: the caller can map one run while the
//! next one has not been looked at. A run is a guard. Whatever happens on the way, dropping what one
//! has unpins and uncharges it.
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

/// Pages that are counted as pinned by a process (`VmPin` in `/proc/<pid>/status`).
///
/// # Invariants
///
/// This many of the pages that are counted in `mm` belong to this.
struct Charge {
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
    #[inline]
    fn new(mm: &Mm, pages: u64) -> Result<Self> {
        // SAFETY: No requirements.
        let limit = unsafe { bindings::rust_vdpa_rlimit(bindings::RLIMIT_MEMLOCK) } as u64;
        let limit = limit / PAGE_SIZE;
        let counter = pinned_vm(mm);
        let mut old = counter.load(Relaxed);

        loop {
            let new = u64::try_from(old)
                .unwrap_or(0)
                .checked_add(pages)
                .filter(|&new| new <= limit)
                .ok_or(ENOMEM)?;

            match counter.cmpxchg(old, i64::try_from(new)?, Relaxed) {
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

    /// Gives away some of the pages; no more than there are.
    #[inline]
    fn split(&mut self, pages: u64) -> Self {
        let pages = pages.min(self.pages);

        // INVARIANT: What one has more, the other has less.
        self.pages -= pages;
        Self {
            mm: self.mm.clone(),
            pages,
        }
    }
}

impl Drop for Charge {
    #[inline]
    fn drop(&mut self) {
        // The number came from an `i64`.
        pinned_vm(&self.mm).fetch_sub(self.pages as i64, Relaxed);
    }
}

/// Physically contiguous memory of a process, pinned and counted until this is dropped.
///
/// # Context
///
/// Dropping it sleeps. Any process can do that, the one whose memory it is may have ended.
///
/// # Invariants
///
/// From `addr` on, as many pages as `charge` has are pinned, for writing if `perm` says so.
pub struct PinnedRun {
    charge: Charge,
    addr: u64,
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
        self.charge.pages * PAGE_SIZE
    }

    /// Returns what the device may do with the memory.
    #[inline]
    pub fn perm(&self) -> Permission {
        self.perm
    }

    /// Returns the process, by its address space, that the memory is counted for.
    #[inline]
    pub fn mm(&self) -> &Mm {
        &self.charge.mm
    }

    /// Leaves the memory pinned and counted.
    #[inline]
    pub(crate) fn leak(self) {
        core::mem::forget(self);
    }

    /// Takes over memory that was left with [`leak`](Self::leak).
    ///
    /// # Safety
    ///
    /// A run with this address, size in bytes, permission and process must have been leaked, and not
    /// been taken over since. It gave one reference to `mm` away with it.
    #[inline]
    pub(crate) unsafe fn from_leaked(
        mm: &ARef<Mm>,
        addr: u64,
        size: u64,
        perm: Permission,
    ) -> Self {
        let raw = core::ptr::NonNull::from(&**mm);

        // INVARIANT: By the safety requirements of this function.
        Self {
            charge: Charge {
                // SAFETY: By the safety requirements of this function there is a reference left.
                mm: unsafe { ARef::from_raw(raw) },
                pages: size / PAGE_SIZE,
            },
            addr,
            perm,
        }
    }
}

impl Drop for PinnedRun {
    #[inline]
    fn drop(&mut self) {
        let mut done = 0;

        while done < self.charge.pages {
            let pages = (self.charge.pages - done).min(UNPIN_CHUNK);

            // SAFETY: By the type invariant. The number fits, as it is limited.
            unsafe {
                let page = bindings::rust_vdpa_phys_to_page(self.addr + done * PAGE_SIZE);

                bindings::unpin_user_page_range_dirty_lock(page, pages as c_ulong, self.perm.write);
            }
            cond_resched();
            done += pages;
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
/// Of the pages that `charge` has, those of `run`, and then those in `pages[next..len]`, are
/// pinned. The others begin at `uaddr`, and there are `left` of them.
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

/// Pages that follow each other; none of them at first.
#[derive(Clone, Copy)]
struct Contiguous {
    addr: u64,
    pages: u64,
}

impl Contiguous {
    /// Adds a page, if it is the next one.
    #[inline]
    fn extend(&mut self, addr: u64) -> bool {
        let next = addr == self.addr + self.pages * PAGE_SIZE;
        let fits = next && (self.pages == 0 || addr % RUN_MAX != 0);

        self.pages += u64::from(fits);
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
    ///   which holds for every process here), and where memory is short.
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

    /// Returns the next run, in the order of the process's addresses. [`None`] when all of the range
    /// has been returned.
    ///
    /// # Errors
    ///
    /// - `EFAULT` where there is no memory, or it must not be accessed that way, or cannot be pinned
    ///   (that of devices, for example),
    /// - `EINTR` where the process is being killed,
    /// - `ENOMEM`, and whatever else bringing in the memory fails with.
    #[inline]
    pub fn next_run(&mut self) -> Result<Option<PinnedRun>> {
        loop {
            while self.next < self.len {
                // SAFETY: By the type invariant the page is pinned.
                let addr = unsafe { bindings::rust_vdpa_page_to_phys(self.pages[self.next]) };

                let run = self.run.get_or_insert(Contiguous { addr, pages: 0 });

                if !run.extend(addr) {
                    return Ok(self.take_run());
                }
                // INVARIANT: The page has gone over from `pages` to `run`.
                self.next += 1;
            }
            if self.left == 0 {
                return Ok(self.take_run());
            }
            self.pin()?;
        }
    }

    #[inline]
    fn take_run(&mut self) -> Option<PinnedRun> {
        // INVARIANT: By that of this type, the pages are pinned, and counted in `charge`.
        self.run.take().map(|run| PinnedRun {
            charge: self.charge.split(run.pages),
            addr: run.addr,
            perm: self.perm,
        })
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
                self.uaddr += pinned * bindings::PAGE_SIZE;
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

/// Whether an address space is that of the current process.
#[inline]
pub(crate) fn is_current(mm: &Mm) -> bool {
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
