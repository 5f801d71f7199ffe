// SPDX-License-Identifier: GPL-2.0

//! Mappings of pinned memory, in whatever order they come and go, beside a list of them.

use crate::pieces::Pieces;
use kernel::{
    alloc::KVVec,
    prelude::*, //
};
use vdpa::{
    bindings,
    IovaRange,
    MapRange,
    Permission, //
};

const PAGE: u64 = bindings::PAGE_SIZE as u64;

fn range(first: u64, pages: u64) -> IovaRange {
    IovaRange {
        first: first * PAGE,
        last: (first + pages) * PAGE - 1,
    }
}

fn map(first: u64, pages: u64) -> MapRange {
    MapRange {
        iova: range(first, pages),
        addr: (first ^ 0x5555) * PAGE,
        perm: Permission::RW,
    }
}

fn overlap(a: IovaRange, b: IovaRange) -> bool {
    a.first <= b.last && b.first <= a.last
}

/// Numbers that look random, and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// The same twice: the mappings, and a list of them in no order.
struct Both {
    pieces: Pieces,
    list: KVVec<MapRange>,
}

impl Both {
    fn new() -> Self {
        Self {
            pieces: Pieces::new(),
            list: KVVec::new(),
        }
    }

    fn first(&self, range: IovaRange) -> Option<MapRange> {
        self.list
            .iter()
            .filter(|map| overlap(map.iova, range))
            .min_by_key(|map| map.iova.first)
            .copied()
    }

    fn add(&mut self, map: MapRange) -> Result {
        let there = self.first(map.iova).is_some();
        let ret = self.pieces.add(map);

        check_eq!(ret, if there { Err(EEXIST) } else { Ok(()) });
        if !there {
            self.list.push(map, GFP_KERNEL)?;
        }
        self.check(map.iova)
    }

    fn check(&self, range: IovaRange) -> Result {
        check_eq!(self.pieces.len(), self.list.len());
        check_eq!(self.pieces.first(range), self.first(range));
        Ok(())
    }

    fn drain(&mut self, range: IovaRange) -> Result {
        let mut good = true;
        let mut before = None;
        let list = &mut self.list;

        self.pieces.drain(range, |map| {
            let there = list.iter().position(|other| *other == map);

            // In their order, each of them once, and no others.
            good &= overlap(map.iova, range) && before.is_none_or(|before| before < map.iova.first);
            before = Some(map.iova.first);
            good &= there.is_some_and(|place| list.remove(place).is_ok());
        });
        check!(good);
        check!(!self.list.iter().any(|map| overlap(map.iova, range)));
        self.check(range)
    }
}

#[kunit_tests(vdpa_pieces)]
mod tests {
    use super::*;

    #[test]
    fn in_any_order() -> Result {
        let mut numbers = Numbers(0x1234_5678_9abc_def1);
        let mut both = Both::new();
        let mut most = 0;

        for round in 0..6000 {
            let first = numbers.below(3000);

            // More of them come than go, until there are many, and then the other way round.
            match numbers.below(if round < 4000 { 16 } else { 3 }) {
                0 => both.drain(range(first, 1 + numbers.below(40)))?,
                1 => {
                    let range = range(first, 1 + numbers.below(9));
                    let expected = both.first(range);

                    check_eq!(both.pieces.take(range), expected);
                    both.list.retain(|map| Some(*map) != expected);
                    both.check(IovaRange::FULL)?;
                }
                _ => both.add(map(first, 1 + numbers.below(3)))?,
            }
            most = most.max(both.list.len());
        }
        // More than one part had room for.
        check!(most > 200);
        both.drain(IovaRange::FULL)?;
        check_eq!(both.pieces.len(), 0);
        Ok(())
    }

    #[test]
    fn from_both_ends() -> Result {
        for step in [1u64, 2] {
            for down in [false, true] {
                let mut pieces = Pieces::new();

                for number in 0..1000 {
                    let place = if down { 999 - number } else { number };
                    pieces.add(map(place * step, 1))?;
                }
                check_eq!(pieces.len(), 1000);

                // Those that follow each other without a gap.
                let all = IovaRange::FULL;
                let span = pieces.span(all, u64::MAX);
                let count = if step == 1 { 1000 } else { 1 };
                check_eq!(span, Some(range(0, count)));
                check_eq!(
                    pieces.span(all, 10 * PAGE),
                    Some(range(0, if step == 1 { 10 } else { 1 }))
                );
                let end = range(995 * step, 2);
                check_eq!(
                    pieces.span(end, u64::MAX),
                    Some(range(995 * step, if step == 1 { 2 } else { 1 }))
                );

                let mut count = 0;
                pieces.drain(all, |_| count += 1);
                check_eq!(count, 1000);
                check!(pieces.first(all).is_none() && pieces.span(all, PAGE).is_none());
            }
        }
        Ok(())
    }

    #[test]
    fn up_to_the_last_address() -> Result {
        let mut pieces = Pieces::new();
        let last = u64::MAX / PAGE;
        let top = MapRange {
            iova: IovaRange {
                first: last * PAGE,
                last: u64::MAX,
            },
            addr: 0,
            perm: Permission::RW,
        };

        pieces.add(top)?;
        check_eq!(pieces.first(IovaRange::FULL), Some(top));
        check_eq!(pieces.add(top), Err(EEXIST));
        check_eq!(pieces.take(IovaRange::FULL), Some(top));
        // Not whole pages, and more than there can be.
        let part = IovaRange { first: 0, last: 99 };
        check_eq!(pieces.add(MapRange { iova: part, ..top }), Err(EINVAL));
        let iova = range(0, 1 << 33);
        check_eq!(pieces.add(MapRange { iova, ..top }), Err(EINVAL));
        Ok(())
    }
}
