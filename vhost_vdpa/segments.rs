// SPDX-License-Identifier: GPL-2.0

//! Mapping addresses of the process.
//!
//! What is at these addresses is looked up first, without the lock of the session: that takes
//! `mmap_lock`. Mapping them is then done at once.

use crate::{
    message::Update,
    update::Mapping, //
};
use kernel::{
    alloc::KVVec,
    device::Bound,
    prelude::*, //
};
use vdpa::{
    segment,
    AddressSpace,
    Device,
    Segment,
    Source,
    Unmapped, //
};

/// What the current process has at a range of addresses: one after the other, all of the range.
pub(crate) struct Segments {
    source: Source,
    found: Found,
}

/// Hardly ever there is more than one, for which no memory is needed.
enum Found {
    One(Segment),
    Many(KVVec<Segment>),
}

impl Segments {
    /// Looks up what there is for an UPDATE message.
    ///
    /// # Errors
    ///
    /// Those of [`segment`].
    pub(crate) fn find(update: Update, source: Source) -> Result<Self> {
        let Update { iova, addr, .. } = update;
        let size = iova.size();
        let first = segment(addr, size, source)?;
        let found = if first.size < size {
            Found::Many(find_all(addr, size, source, first)?)
        } else {
            Found::One(first)
        };

        Ok(Self { source, found })
    }

    /// Maps them, each for itself.
    ///
    /// Where only files can be mapped, what is not one is left out: among the memory of virtual
    /// machines there is some of that kind, which no device needs.
    ///
    /// # Errors
    ///
    /// See [`spaces::write`](crate::spaces::write). Nothing of it is mapped then.
    pub(crate) fn map(
        self,
        space: &mut AddressSpace,
        dev: &Device<Bound>,
        mapping: Mapping<'_>,
        unmapped: &mut Unmapped,
    ) -> Result {
        match self.found {
            Found::One(segment) => map_one(space, dev, self.source, mapping, segment),
            Found::Many(segments) => map_all(space, dev, self.source, mapping, segments, unmapped),
        }
    }
}

/// Goes on after the first segment of `left` bytes at `addr`.
#[cold]
fn find_all(
    mut addr: u64,
    mut left: u64,
    source: Source,
    first: Segment,
) -> Result<KVVec<Segment>> {
    let mut all = KVVec::new();
    let mut next = first;

    loop {
        let size = next.size;

        all.push(next, GFP_KERNEL_ACCOUNT)?;
        if size >= left {
            return Ok(all);
        }
        left -= size;
        addr = addr.checked_add(size).ok_or(EFAULT)?;
        next = segment(addr, left, source)?;
    }
}

/// Maps what is at addresses for which there is one segment.
#[inline(never)]
fn map_one(
    space: &mut AddressSpace,
    dev: &Device<Bound>,
    source: Source,
    mapping: Mapping<'_>,
    segment: Segment,
) -> Result {
    let Update { iova, addr, perm } = mapping.update;

    if source == Source::Files && segment.file.is_none() {
        if space.is_mapped(iova) {
            return Err(EEXIST);
        }
        left_out(dev, mapping);
        return Ok(());
    }
    mapping.check_limit(space, dev, 1)?;
    match segment.file {
        None => space.map_process(dev, iova, addr, perm),
        Some(file) => space.map_file(dev, iova, addr, perm, file),
    }
}

/// Says that the device does not get memory which the process may believe it has.
#[cold]
fn left_out(dev: &Device<Bound>, mapping: Mapping<'_>) {
    if mapping.log.allows() {
        dev_warn!(
            dev,
            "{:#x} to {:#x} not mapped, must be shared memory of a file, such as a memfd\n",
            mapping.update.iova.first,
            mapping.update.iova.last
        );
    }
}

/// Maps what is at addresses for which there are several segments.
#[cold]
fn map_all(
    space: &mut AddressSpace,
    dev: &Device<Bound>,
    source: Source,
    mapping: Mapping<'_>,
    mut segments: KVVec<Segment>,
    unmapped: &mut Unmapped,
) -> Result {
    let mut rest = mapping.update;

    mapping.begin(space)?;

    let ret = segments.drain_all().try_for_each(|segment| {
        let update = rest.split_off(segment.size)?;

        map_one(space, dev, source, Mapping { update, ..mapping }, segment)
    });

    mapping.finish(space, dev, ret, unmapped)
}
