// SPDX-License-Identifier: GPL-2.0

//! Memory of a process that is not there: it is noted while a device works, and waited for when
//! nothing is held.

use crate::{
    bindings,
    SoftIommu, //
};
use core::cell::Cell;
use kernel::{
    mm::MmWithUser,
    prelude::*,
    sync::aref::ARef,
    task::Task, //
};

/// How many pages can be given up at a time; one more, and everything that is absent is.
const GIVEN_UP: usize = 8;

/// Memory of a process, to be brought in.
#[derive(Clone, Copy)]
struct Wanted {
    addr: usize,
    len: usize,
    write: bool,
    /// Of which [`SoftIommu::changes`] the mapping was that led there.
    changes: i64,
}

/// Memory of a process that was not there.
pub(crate) struct Absence {
    /// What was refused first since the last [`SoftIommu::lock`].
    wanted: Cell<Option<Wanted>>,
    /// Pages that cannot be brought in.
    given_up: [usize; GIVEN_UP],
    count: usize,
}

impl Absence {
    pub(crate) const fn new() -> Self {
        Self {
            wanted: Cell::new(None),
            given_up: [0; GIVEN_UP],
            count: 0,
        }
    }

    /// Begins a round: what was given up was so for one that had to be tried again.
    #[inline]
    pub(crate) fn begin(&mut self) {
        if self.wanted.take().is_none() {
            self.count = 0;
        }
    }

    #[inline]
    fn page(addr: usize) -> usize {
        addr & !(bindings::PAGE_SIZE - 1)
    }

    #[inline]
    fn is_given_up(&self, addr: usize) -> bool {
        self.given_up
            .get(..self.count)
            .is_none_or(|pages| pages.contains(&Self::page(addr)))
    }

    /// Gives up the page that `addr` is in.
    #[inline]
    fn give_up(&mut self, addr: usize) {
        if let Some(slot) = self.given_up.get_mut(self.count) {
            *slot = Self::page(addr);
        }
        self.count = self.count.saturating_add(1).min(GIVEN_UP + 1);
    }

    /// Notes that memory was not there. Returns what to say to who wanted it.
    #[inline]
    pub(crate) fn note(&self, addr: usize, len: usize, write: bool, changes: i64) -> Error {
        if self.is_given_up(addr) {
            return EFAULT;
        }
        if self.wanted.get().is_none() {
            self.wanted.set(Some(Wanted {
                addr,
                len,
                write,
                changes,
            }));
        }
        EAGAIN
    }
}

/// Who waits for memory of a process.
pub(crate) struct Waiting {
    task: Option<ARef<Task>>,
    /// Nobody is to wait any more.
    ended: bool,
}

impl Waiting {
    pub(crate) const fn new() -> Self {
        Self {
            task: None,
            ended: false,
        }
    }

    /// Has who waits look again.
    #[inline]
    pub(crate) fn wake(&self) {
        if let Some(task) = &self.task {
            // SAFETY: The task is valid, and has allowed for this signal. It forgets it.
            unsafe { bindings::send_sig(bindings::SIGKILL as c_int, task.as_ptr(), 1) };
        }
    }

    /// Has nobody wait any more.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }
}

impl SoftIommu {
    /// Has the memory of the process brought in that was refused with `EAGAIN` since the last
    /// [`lock`](Self::lock). Returns whether it is worth a new try: there was such memory.
    ///
    /// Memory that there is not is refused with `EFAULT` in the next round, and so on until a round
    /// has nothing refused with `EAGAIN`: so each chain comes to an end.
    ///
    /// # Context
    ///
    /// The thread that calls [`lock`](Self::lock), a thread of the kernel that nobody else sends
    /// signals. Holds no lock that anybody else needs. Waits for who has the memory (a disk, a file
    /// system, `userfaultfd(2)`), for ever if that does not answer, but no longer than until
    /// mappings change, the device is unbound from the process, or [`interrupt`](Self::interrupt)
    /// or [`end`](Self::end) is called.
    #[inline]
    pub fn bring_in(&self) -> bool {
        let wanted = self.absence.lock().wanted.get();
        let Some(Wanted {
            addr,
            len,
            write,
            changes,
        }) = wanted
        else {
            return false;
        };
        let mm = self.mm();
        // If the process has ended when this ends, its memory is freed by somebody else: whoever
        // removes the device waits for this thread.
        let Some(mm) = mm.as_ref().and_then(|mm| mm.mmget_not_zero()) else {
            return true;
        };
        let mm = MmWithUser::into_mmput_async(mm);

        // SAFETY: There are users of `mm`, one of which is held here.
        let mut ret = unsafe { bindings::rust_vdpa_fault_in(mm.as_raw(), addr, len, write) };
        if ret == EAGAIN.to_errno() {
            if !self.begin_to_wait(changes) {
                return true;
            }
            // SAFETY: As above.
            ret = unsafe { bindings::rust_vdpa_fault_in_wait(mm.as_raw(), addr, len, write) };
            self.waiting(|waiting| waiting.task = None);
            // SAFETY: This thread made itself so, and nobody knows it any more.
            unsafe { bindings::rust_vdpa_interruptible(false) };
        }
        if ret != 0 && ret != EINTR.to_errno() {
            self.absence.lock().give_up(addr);
        }
        true
    }

    /// Says that the current thread waits, unless something has changed since `changes`: then what
    /// it would wait for may not be wanted any more.
    #[inline]
    fn begin_to_wait(&self, changes: i64) -> bool {
        // SAFETY: The caller is a thread of the kernel that nobody else sends signals.
        unsafe { bindings::rust_vdpa_interruptible(true) };

        // Who changes something sees this task, or has changed it before.
        let go_on = self.waiting(|waiting| {
            let go_on = !waiting.ended && self.changes() == changes;

            if go_on {
                waiting.task = Some(ARef::from(&**current!()));
            }
            go_on
        });
        if !go_on {
            // SAFETY: As above.
            unsafe { bindings::rust_vdpa_interruptible(false) };
        }
        go_on
    }
}
