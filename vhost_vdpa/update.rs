// SPDX-License-Identifier: GPL-2.0

//! Mapping memory of the process, and how that is pinned.
//!
//! Memory is brought in, which can take any time, without the lock of the session. It is handed
//! over piece by piece; a device that is told of all mappings at once is told at the end.
//!
//! No other message is worked on meanwhile (see [`VhostVdpa::lock_messages`]). But the device may
//! go away.
//!
//! Addresses of the process, for devices that use these, need none of that: see
//! [`segments`](crate::segments).

use crate::{
    device::VhostVdpa,
    max_iotlb_entries,
    message::Update, //
};
use kernel::{
    current,
    device::Bound,
    prelude::*, //
};
use vdpa::{
    bindings,
    AddressSpace,
    Asid,
    Device,
    IovaRange,
    PinnedRun,
    Pinner,
    RateLimit,
    Source,
    Unmapped, //
};

/// How many mappings of addresses of a process a session can have, for which no other limit holds:
/// as many as VFIO allows (`dma_entry_limit`).
const MAX_SEGMENTS: usize = 65_535;

/// How many pieces of memory are handed over at a time.
const CHUNK: usize = 64;

const PAGE_SIZE: u64 = bindings::PAGE_SIZE as u64;

/// Returns how many mappings a session can have, in all address spaces.
///
/// Pinned memory is counted in pages, for `RLIMIT_MEMLOCK`: there is no default for how many pieces
/// it may be in, which a process has no influence on.
pub(crate) fn limit(source: Source) -> usize {
    match (usize::try_from(max_iotlb_entries.value()), source) {
        (Ok(limit), _) if limit > 0 => limit,
        (_, Source::Pinned) => usize::MAX,
        (_, Source::Process | Source::Files) => MAX_SEGMENTS,
    }
}

impl Update {
    /// Returns what it comes to if memory is pinned: all pages that are touched, as devices know
    /// nothing smaller.
    ///
    /// # Errors
    ///
    /// `EINVAL` where memory would have to be shifted within its page.
    pub(crate) fn grow(self) -> Result<Self> {
        const OFFSET: u64 = PAGE_SIZE - 1;

        if (self.addr ^ self.iova.first) & OFFSET != 0 {
            return Err(EINVAL);
        }
        Ok(Self {
            iova: IovaRange {
                first: self.iova.first & !OFFSET,
                last: self.iova.last | OFFSET,
            },
            addr: self.addr & !OFFSET,
            perm: self.perm,
        })
    }

    /// Takes away its first `size` bytes, and returns them.
    ///
    /// # Errors
    ///
    /// `EINVAL` where there are none, or they wrap around.
    pub(crate) fn split_off(&mut self, size: u64) -> Result<Self> {
        let iova = IovaRange::from_size(self.iova.first, size).ok_or(EINVAL)?;
        let first = Self { iova, ..*self };

        // After the last one there may be address 0.
        self.iova.first = self.iova.first.wrapping_add(size);
        self.addr = self.addr.wrapping_add(size);
        Ok(first)
    }
}

/// A mapping that is being made in pieces, of memory of the current process, which is the owner.
#[derive(Clone, Copy)]
pub(crate) struct Mapping<'a> {
    /// What was asked for, after it has [grown](Update::grow).
    pub(crate) update: Update,
    /// The device is told when the process says so.
    pub(crate) wait: bool,
    /// How many mappings the other address spaces have.
    pub(crate) others: usize,
    /// For messages that the process can cause.
    pub(crate) log: &'a RateLimit,
}

impl Mapping<'_> {
    /// Checks that there can be `more` mappings in the address space.
    ///
    /// # Errors
    ///
    /// `ENOSPC` where that is too many.
    pub(crate) fn check_limit(
        self,
        space: &AddressSpace,
        dev: &Device<Bound>,
        more: usize,
    ) -> Result {
        let limit = limit(dev.source());
        let number = space.len().saturating_add(self.others);

        if number.saturating_add(more) <= limit {
            return Ok(());
        }
        if self.log.allows() {
            dev_warn!(
                dev,
                "{} mappings, must be {} or less (parameter max_iotlb_entries)\n",
                number.saturating_add(more),
                limit
            );
        }
        Err(ENOSPC)
    }

    /// Has changes collected, so that a device which is told of all mappings at once is told at the
    /// end.
    ///
    /// # Errors
    ///
    /// `EEXIST` where something is mapped there.
    pub(crate) fn begin(self, space: &mut AddressSpace) -> Result {
        if space.is_mapped(self.update.iova) {
            return Err(EEXIST);
        }
        if !self.wait {
            space.begin_batch();
        }
        Ok(())
    }

    /// Tells the device, unless the process will say when. If something has failed (`ret`), takes
    /// back what was mapped.
    pub(crate) fn finish(
        self,
        space: &mut AddressSpace,
        dev: &Device<Bound>,
        ret: Result,
        unmapped: &mut Unmapped,
    ) -> Result {
        let undo = |space: &mut AddressSpace, unmapped: &mut Unmapped, e| {
            // What a device refuses to forget stays pinned, which is all that can be done.
            let _ = space.unmap(dev, self.update.iova, unmapped);
            Err(e)
        };
        let ret = ret.or_else(|e| undo(space, unmapped, e));

        if self.wait {
            return ret;
        }

        let told = space.end_batch(dev, unmapped);

        ret.and_then(|()| told.or_else(|e| undo(space, unmapped, e)))
    }
}

/// The work of pinning memory for a [`Mapping`].
pub(crate) struct Job<'a> {
    vhost: &'a VhostVdpa,
    asid: Asid,
    mapping: Mapping<'a>,
}

impl<'a> Job<'a> {
    /// Begins with a mapping in an address space, the number of which is `asid`.
    ///
    /// # Errors
    ///
    /// Those of [`Mapping::begin`].
    pub(crate) fn new(
        vhost: &'a VhostVdpa,
        space: &mut AddressSpace,
        asid: Asid,
        mapping: Mapping<'a>,
    ) -> Result<Self> {
        mapping.begin(space)?;
        Ok(Self {
            vhost,
            asid,
            mapping,
        })
    }

    /// Does it. Memory that is not mapped any more goes to `unmapped`.
    ///
    /// # Errors
    ///
    /// See [`spaces::write`](crate::spaces::write). Nothing of it is mapped then.
    pub(crate) fn run(self, unmapped: &mut Unmapped) -> Result {
        let ret = self.map(unmapped);

        if self.mapping.wait && ret.is_ok() {
            return Ok(());
        }
        self.with(|space, dev| self.mapping.finish(space, dev, ret, unmapped))
    }

    /// Has `f` do something with the address space.
    fn with<R>(&self, f: impl FnOnce(&mut AddressSpace, &Device<Bound>) -> Result<R>) -> Result<R> {
        self.vhost
            .with(|session, dev| f(session.spaces.get(dev, self.asid)?, dev))
    }

    fn map(&self, unmapped: &mut Unmapped) -> Result {
        let mut pinner = self.pinner()?;
        let mut runs = KVec::with_capacity(CHUNK, GFP_KERNEL)?;
        let mut next = self.mapping.update.iova.first;

        while !self.collect(&mut pinner, &mut runs)? || !runs.is_empty() {
            self.with(|space, dev| {
                self.mapping.check_limit(space, dev, runs.len())?;
                next = space.map_pinned(dev, next, runs.drain_all(), pinner.charge(), unmapped)?;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn pinner(&self) -> Result<Pinner> {
        let Update { iova, addr, perm } = self.mapping.update;
        let pages = iova.size().div_ceil(PAGE_SIZE);
        let task = current!();
        let mm = task.mm().ok_or(EPERM)?;

        match Pinner::new(mm, addr, pages, perm) {
            // Maybe because memory that was unmapped in this batch is still there.
            Err(e) if e == ENOMEM && self.release_removed()? => Pinner::new(mm, addr, pages, perm),
            ret => ret,
        }
    }

    /// Unpins memory that was kept for the device. Returns whether there was any.
    fn release_removed(&self) -> Result<bool> {
        let mut unmapped = Unmapped::new();

        self.with(|space, dev| space.release_removed(dev, &mut unmapped))
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
}
