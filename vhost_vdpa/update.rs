// SPDX-License-Identifier: GPL-2.0

//! Mapping memory of the process.
//!
//! Memory is brought in, which can take any time, without the lock of the session. It is handed
//! over piece by piece; a device that is told of all mappings at once is told at the end.
//!
//! No other message is worked on meanwhile (see [`VhostVdpa::lock_messages`]). But the device may
//! go away.

use crate::{
    device::VhostVdpa,
    max_iotlb_entries,
    message::Update,
    session::Session, //
};
use kernel::{
    current,
    device::Bound,
    prelude::*, //
};
use vdpa::{
    bindings,
    segment,
    AddressSpace,
    Asid,
    Device,
    IovaRange,
    PinnedRun,
    Pinner, //
};

/// The limit for addresses of a process, which no other limit holds for.
const MAX_SEGMENTS: usize = 1 << 20;

/// How many pieces of memory are handed over at a time.
const CHUNK: usize = 64;

const PAGE_SIZE: u64 = bindings::PAGE_SIZE as u64;

/// What a device does with memory of a process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It knows physical addresses.
    Pinned,
    /// It accesses the memory in the place of the process.
    Process,
    /// It has another process map the same files.
    Files,
}

impl Source {
    fn of(dev: &Device<Bound>) -> Self {
        match (dev.use_va(), dev.can_bind_mm()) {
            (false, _) => Self::Pinned,
            (true, true) => Self::Process,
            (true, false) => Self::Files,
        }
    }

    /// Returns how many mappings there can be in an address space.
    fn limit(self) -> usize {
        match (usize::try_from(max_iotlb_entries.value()), self) {
            (Ok(limit), _) if limit > 0 => limit,
            (_, Self::Pinned) => usize::MAX,
            (_, Self::Process | Self::Files) => MAX_SEGMENTS,
        }
    }
}

impl Update {
    /// Returns what it comes to: for physical memory all pages that are touched, as devices know
    /// nothing smaller.
    ///
    /// # Errors
    ///
    /// `EINVAL` where memory would have to be shifted within its page.
    pub(crate) fn grow(self, dev: &Device<Bound>) -> Result<Self> {
        if Source::of(dev) != Source::Pinned {
            return Ok(self);
        }

        let offset = self.iova.first % PAGE_SIZE;

        if self.addr % PAGE_SIZE != offset {
            return Err(EINVAL);
        }
        Ok(Self {
            iova: IovaRange {
                first: self.iova.first - offset,
                last: self.iova.last | (PAGE_SIZE - 1),
            },
            addr: self.addr - offset,
            perm: self.perm,
        })
    }
}

/// A mapping that is being made, of memory of the current process, which is the owner.
pub(crate) struct Job<'a> {
    vhost: &'a VhostVdpa,
    asid: Asid,
    update: Update,
    source: Source,
    /// The device is told when the process says so.
    wait: bool,
}

impl<'a> Job<'a> {
    /// What an UPDATE message asks for, after it has [grown](Update::grow), in an address space where
    /// nothing is mapped there.
    ///
    /// # Errors
    ///
    /// Those of [`Spaces::get`](crate::spaces::Spaces::get).
    pub(crate) fn new(
        vhost: &'a VhostVdpa,
        session: &mut Session,
        dev: &Device<Bound>,
        asid: Asid,
        update: Update,
    ) -> Result<Self> {
        let wait = session.spaces.in_batch();

        if !wait {
            session.spaces.get(dev, asid)?.begin_batch();
        }
        Ok(Self {
            vhost,
            asid,
            update,
            source: Source::of(dev),
            wait,
        })
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// See [`spaces::write`](crate::spaces::write). Nothing of it is mapped then.
    pub(crate) fn run(self) -> Result {
        let ret = match self.source {
            Source::Pinned => self.map_pinned(),
            Source::Process | Source::Files => self.map_segments(),
        };

        if self.wait && ret.is_ok() {
            return Ok(());
        }
        self.finish(ret)
    }

    /// Has `f` do something with the address space.
    fn with<R>(&self, f: impl FnOnce(&mut AddressSpace, &Device<Bound>) -> Result<R>) -> Result<R> {
        self.vhost
            .with(|session, dev| f(session.spaces.get(dev, self.asid)?, dev))
    }

    /// # Errors
    ///
    /// `ENOSPC` where there is no room for another `more` mappings.
    fn check_limit(&self, space: &AddressSpace, more: usize) -> Result {
        if space.len().saturating_add(more) > self.source.limit() {
            return Err(ENOSPC);
        }
        Ok(())
    }

    fn map_pinned(&self) -> Result {
        let mut pinner = self.pinner()?;
        let mut runs = KVec::with_capacity(CHUNK, GFP_KERNEL)?;
        let mut next = self.update.iova.first;

        while !self.collect(&mut pinner, &mut runs)? || !runs.is_empty() {
            self.with(|space, dev| {
                self.check_limit(space, runs.len())?;
                for run in runs.drain_all() {
                    let size = run.size();

                    space.map_pinned(dev, next, run, pinner.charge())?;
                    next = next.wrapping_add(size);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn pinner(&self) -> Result<Pinner> {
        let Update { iova, addr, perm } = self.update;
        let pages = (iova.last - iova.first) / PAGE_SIZE + 1;
        let task = current!();
        let mm = task.mm().ok_or(EPERM)?;

        match Pinner::new(mm, addr, pages, perm) {
            // Maybe because memory that was unmapped in this batch is still there.
            Err(e) if e == ENOMEM && self.with(AddressSpace::release_removed)? => {
                Pinner::new(mm, addr, pages, perm)
            }
            ret => ret,
        }
    }

    /// Pins up to [`CHUNK`] pieces. Returns whether there are no more.
    fn collect(&self, pinner: &mut Pinner, runs: &mut KVec<PinnedRun>) -> Result<bool> {
        while runs.len() < CHUNK {
            match pinner.next_run()? {
                Some(run) => runs.push(run, GFP_KERNEL)?,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Maps addresses of the process.
    ///
    /// Where only files can be mapped, what is not one is left out: among the memory of virtual
    /// machines there is some of that kind, which no device needs.
    fn map_segments(&self) -> Result {
        let private = self.source == Source::Process;
        let Update {
            mut iova,
            mut addr,
            perm,
        } = self.update;

        loop {
            let left = (iova.last - iova.first).saturating_add(1);
            let segment = segment(addr, left, private)?;
            let here = IovaRange {
                first: iova.first,
                last: iova.first + (segment.size - 1),
            };

            match segment.file {
                Some(file) => self.with(|space, dev| {
                    self.check_limit(space, 1)?;
                    space.map_file(dev, here, addr, perm, file)
                })?,
                None if private => return Err(EFAULT),
                None => {}
            }
            if here.last >= iova.last {
                return Ok(());
            }
            iova.first = here.last + 1;
            addr = addr.checked_add(segment.size).ok_or(EFAULT)?;
        }
    }

    /// Tells the device, unless the process will say when. If something has failed, takes back what
    /// was mapped.
    fn finish(self, ret: Result) -> Result {
        self.vhost.with(|session, dev| {
            let space = session.spaces.get(dev, self.asid)?;
            let undo = |space: &mut AddressSpace, e| {
                // What a device refuses to forget stays pinned, which is all that can be done.
                let _ = space.unmap(dev, self.update.iova);
                Err(e)
            };

            let ret = ret.or_else(|e| undo(space, e));
            let told = if self.wait {
                Ok(())
            } else {
                space.end_batch(dev)
            };

            ret.and_then(|()| told.or_else(|e| undo(space, e)))
        })
    }
}
