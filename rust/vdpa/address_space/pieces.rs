// SPDX-License-Identifier: GPL-2.0

//! Mappings of pinned memory, kept close together.

use crate::{
    bindings,
    sorted::partition_point,
    IovaRange,
    MapRange,
    Permission, //
};
use kernel::{
    alloc::KVVec,
    prelude::*, //
};

/// So many mappings are in one part, which is a page or little less.
const PART: usize = 170;

/// A mapping of whole pages, at least one.
#[derive(Clone, Copy)]
struct Piece {
    first: u64,
    addr: u64,
    // There can be one of these for each page of a process, so that their size counts.
    pages: u32,
    perm: Permission,
}

impl Piece {
    #[inline]
    fn last(&self) -> u64 {
        let size = u64::from(self.pages).wrapping_mul(bindings::PAGE_SIZE as u64);

        // That was checked when it came.
        self.first.wrapping_add(size).wrapping_sub(1)
    }

    #[inline]
    fn map(&self) -> MapRange {
        MapRange {
            iova: IovaRange {
                first: self.first,
                last: self.last(),
            },
            addr: self.addr,
            perm: self.perm,
        }
    }
}

/// Mappings of pinned memory in the order of their bus addresses, of which no two overlap.
///
/// They are in parts of a limited size, so that none of the methods moves more than one part and
/// the list of parts. That a device needs no tree of them is what this is for: it takes a quarter of
/// the memory, and a small part of the time.
///
/// # Invariants
///
/// No part is empty, nor has more than [`PART`] mappings, for which each has room.
pub(super) struct Pieces {
    parts: KVVec<KVec<Piece>>,
    len: usize,
}

impl Pieces {
    /// None.
    #[inline]
    pub(super) fn new() -> Self {
        Self {
            parts: KVVec::new(),
            len: 0,
        }
    }

    /// Returns the number of mappings.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of the part in which `iova` is, or would be.
    #[inline]
    fn part_of(&self, iova: u64) -> usize {
        let before = |part: &KVec<Piece>| part.first().is_some_and(|piece| piece.first <= iova);

        // Most mappings come in ascending order.
        match self.parts.last() {
            Some(last) if before(last) => self.parts.len().saturating_sub(1),
            _ => partition_point(&self.parts, before).saturating_sub(1),
        }
    }

    /// The part and the place in it of the first mapping that ends at `iova` or later. Behind the
    /// last one of a part is the first one of the next.
    #[inline]
    fn find(&self, iova: u64) -> (usize, usize) {
        let number = self.part_of(iova);
        let place = self.parts.get(number).map_or(0, |part| match part.last() {
            Some(last) if last.last() < iova => part.len(),
            _ => partition_point(part, |piece| piece.last() < iova),
        });

        (number, place)
    }

    /// Returns the first mapping that has an address in `range`.
    #[inline]
    pub(super) fn first(&self, range: IovaRange) -> Option<MapRange> {
        let (number, place) = self.find(range.first);
        let piece = match self.parts.get(number)?.get(place) {
            Some(piece) => piece,
            None => self.parts.get(number.checked_add(1)?)?.first()?,
        };

        (piece.first <= range.last).then(|| piece.map())
    }

    /// Returns the addresses of the mappings that follow each other without a gap, beginning with the
    /// first one that has an address in `range`, up to `size` bytes of them and those in `range`.
    #[inline]
    pub(super) fn span(&self, range: IovaRange, size: u64) -> Option<IovaRange> {
        let mut span = self.first(range)?.iova;
        let (number, place) = self.find(span.first);
        let parts = self.parts.get(number..).unwrap_or(&[]);

        for piece in parts.iter().flatten().skip(place).skip(1) {
            let both = IovaRange {
                first: span.first,
                last: piece.last(),
            };

            if both.size() > size
                || piece.first > range.last
                || span.last.checked_add(1) != Some(piece.first)
            {
                break;
            }
            span = both;
        }
        Some(span)
    }

    /// Adds a mapping of whole pages. Waits for the memory that it needs, which is charged to the
    /// control group of the process.
    ///
    /// # Errors
    ///
    /// - `EINVAL` where it is empty, or of more than 2^32 pages,
    /// - `EEXIST` where some of the range is mapped already,
    /// - `ENOMEM`.
    #[inline]
    pub(super) fn add(&mut self, map: MapRange) -> Result {
        let pages = map.iova.size().div_ceil(bindings::PAGE_SIZE as u64);
        let piece = Piece {
            first: map.iova.first,
            addr: map.addr,
            pages: u32::try_from(pages).map_err(|_| EINVAL)?,
            perm: map.perm,
        };

        if pages == 0 || piece.last() != map.iova.last {
            return Err(EINVAL);
        }
        if self.first(map.iova).is_some() {
            return Err(EEXIST);
        }

        let (number, place) = self.find(piece.first);
        let Some(part) = self.parts.get_mut(number) else {
            return self.add_part(number, piece);
        };

        if part.len() < PART {
            part.insert_within_capacity(place, piece)?;
            // There are never more of them than pages.
            self.len = self.len.wrapping_add(1);
            return Ok(());
        }
        let next = number.wrapping_add(1);
        if place == PART {
            // Whoever maps memory in ascending order gets parts that are full.
            return self.add_part(next, piece);
        }
        self.split(number)?;
        // It goes to one of two that have room.
        self.add(map)
    }

    /// Adds a part with one mapping, which becomes the one with that number.
    #[inline]
    fn add_part(&mut self, number: usize, piece: Piece) -> Result {
        let mut part = KVec::with_capacity(PART, GFP_KERNEL_ACCOUNT)?;

        part.push_within_capacity(piece)?;
        self.parts.reserve(1, GFP_KERNEL_ACCOUNT)?;
        // INVARIANT: It is not empty.
        self.parts.insert_within_capacity(number, part)?;
        self.len = self.len.wrapping_add(1);
        Ok(())
    }

    /// Makes two parts of one that is full.
    #[inline]
    fn split(&mut self, number: usize) -> Result {
        let mut upper = KVec::with_capacity(PART, GFP_KERNEL_ACCOUNT)?;

        self.parts.reserve(1, GFP_KERNEL_ACCOUNT)?;

        let part = self.parts.get_mut(number).ok_or(EINVAL)?;
        let half = part.len() / 2;
        // There is room.
        upper.extend_from_slice(part.get(half..).ok_or(EINVAL)?, GFP_KERNEL_ACCOUNT)?;
        part.truncate(half);
        // INVARIANT: Both have some.
        self.parts
            .insert_within_capacity(number.wrapping_add(1), upper)?;
        Ok(())
    }

    /// Removes the first mapping that has an address in `range`, and returns it.
    #[inline]
    pub(super) fn take(&mut self, range: IovaRange) -> Option<MapRange> {
        let map = self.first(range)?;

        self.drain(map.iova, |_| {});
        Some(map)
    }

    /// Removes all mappings that have an address in `range`, in their order, and has `f` get them.
    #[inline]
    pub(super) fn drain(&mut self, range: IovaRange, mut f: impl FnMut(MapRange)) {
        let (mut number, mut place) = self.find(range.first);

        while let Some(part) = self.parts.get_mut(number) {
            let end = match part.last() {
                Some(last) if last.first <= range.last => part.len(),
                _ => partition_point(part, |piece| piece.first <= range.last),
            };
            let Some(gone) = part.get(place..end) else {
                break;
            };

            gone.iter().for_each(|piece| f(piece.map()));
            self.len = self.len.wrapping_sub(gone.len());

            let all = end == part.len();
            let rest = part.len().wrapping_sub(gone.len());
            for (from, to) in (end..part.len()).zip(place..rest) {
                if let (Some(piece), Some(slot)) = (part.get(from).copied(), part.get_mut(to)) {
                    *slot = piece;
                }
            }
            part.truncate(rest);
            if rest == 0 {
                // INVARIANT: It has none.
                let _ = self.parts.remove(number);
            } else {
                number = number.wrapping_add(1);
            }
            if !all {
                break;
            }
            place = 0;
        }
    }
}
