// SPDX-License-Identifier: GPL-2.0

//! The table of operations, from C's side: mapping memory.

use crate::{
    bed::Bed,
    calls::{
        Call,
        Op, //
    },
    full::SPACES,
    table::table, //
};
use core::ptr::{
    from_ref,
    null_mut, //
};
use kernel::prelude::*;
use vdpa::{
    bindings::{
        VHOST_MAP_RO,
        VHOST_MAP_RW,
        VHOST_MAP_WO, //
    },
    Iotlb,
    IotlbTable,
    IovaRange,
    MapRange,
    Permission,
    Translation, //
};

/// Sizes that make no range: nothing, and more than there is behind an address.
const NO_RANGES: [(u64, u64); 6] = [
    (0, 0),
    (u64::MAX, 0),
    (u64::MAX, 2),
    (2, u64::MAX),
    (0x1000, u64::MAX - 0xffe),
    (1 << 63, 1 << 63 | 1),
];

/// Ranges that end where the addresses end, or are nearly all of them.
const LAST_RANGES: [(u64, u64); 5] = [
    (u64::MAX, 1),
    (0, u64::MAX),
    (1, u64::MAX),
    (0x1000, u64::MAX - 0xfff),
    (1 << 63, 1 << 63),
];

#[kunit_tests(vdpa_ops_mapping)]
mod tests {
    use super::*;

    #[test]
    fn single_mappings() -> Result {
        let bed = Bed::dma_map()?;

        bed.with(|dev| {
            check_eq!(dev.translation(), Translation::DmaMap);
            check!(table(dev).set_map.is_none());
            for perm in [VHOST_MAP_RO, VHOST_MAP_WO, VHOST_MAP_RW] {
                let ret = op!(dev, dma_map, 1, 0x1000, 0x2000, 0x5000, perm, null_mut())?;
                check_eq!(ret, 0);
            }
            check_eq!(op!(dev, dma_unmap, 1, 0x1000, 0x2000)?, 0);
            check_eq!(op!(dev, reset_map, 1)?, 0);
            Ok(())
        })?;
        check!(bed.parent().asked(&[
            Call(Op::DmaMap, [1, 0x1000, 0x2fff, 1]),
            Call(Op::DmaMap, [1, 0x1000, 0x2fff, 2]),
            Call(Op::DmaMap, [1, 0x1000, 0x2fff, 3]),
            Call(Op::DmaUnmap, [1, 0x1000, 0x2fff, 0]),
            Call(Op::ResetMap, [1, 0, 0, 0]),
        ]));
        Ok(())
    }

    #[test]
    fn ranges_are_some_and_do_not_wrap_around() -> Result {
        let bed = Bed::dma_map()?;

        for (iova, size) in NO_RANGES {
            bed.with(|dev| {
                let ret = op!(dev, dma_map, 0, iova, size, 0, VHOST_MAP_RW, null_mut())?;
                check_eq!(ret, EINVAL.to_errno());
                check_eq!(op!(dev, dma_unmap, 0, iova, size)?, EINVAL.to_errno());
                Ok(())
            })?;
            check!(bed.parent().asked(&[]));
        }
        for (iova, size) in LAST_RANGES {
            let last = iova + (size - 1);

            bed.with(|dev| {
                check_eq!(op!(dev, dma_unmap, 0, iova, size)?, 0);
                Ok(())
            })?;
            check!(bed
                .parent()
                .asked(&[Call(Op::DmaUnmap, [0, iova, last, 0])]));
        }
        Ok(())
    }

    #[test]
    fn address_spaces_are_there() -> Result {
        let table = IotlbTable::new()?;
        let iotlb = from_ref::<Iotlb>(&table).cast_mut().cast();
        let einval = EINVAL.to_errno();
        let bed = Bed::dma_map()?;

        for asid in [SPACES, SPACES + 1, u32::MAX] {
            bed.with(|dev| {
                let ret = op!(dev, dma_map, asid, 0, 1, 0, VHOST_MAP_RW, null_mut())?;
                check_eq!(ret, einval);
                check_eq!(op!(dev, dma_unmap, asid, 0, 1)?, einval);
                check_eq!(op!(dev, reset_map, asid)?, einval);
                Ok(())
            })?;
        }
        check!(bed.parent().asked(&[]));
        drop(bed);

        let bed = Bed::set_map()?;
        bed.with(|dev| {
            check_eq!(op!(dev, set_map, SPACES, iotlb)?, einval);
            check_eq!(op!(dev, reset_map, SPACES)?, einval);
            Ok(())
        })?;
        check!(bed.parent().asked(&[]));
        drop(bed);
        for batch in [false, true] {
            Bed::in_software(batch)?.with(|dev| {
                check_eq!(op!(dev, reset_map, SPACES)?, einval);
                let ret = if batch {
                    op!(dev, set_map, SPACES, iotlb)?
                } else {
                    op!(dev, dma_map, SPACES, 0, 1, 0, VHOST_MAP_RW, null_mut())?
                };
                check_eq!(ret, einval);
                Ok(())
            })?;
        }
        Ok(())
    }

    #[test]
    fn whole_address_spaces() -> Result {
        let mut table = IotlbTable::new()?;
        let bed = Bed::set_map()?;

        for first in [0x3000, 0x1000] {
            table.add(MapRange {
                iova: IovaRange {
                    first,
                    last: first + 0xfff,
                },
                addr: 0,
                perm: Permission::RW,
            })?;
        }
        let iotlb = from_ref::<Iotlb>(&table).cast_mut().cast();
        bed.with(|dev| {
            check_eq!(dev.translation(), Translation::SetMap);
            check_eq!(op!(dev, set_map, 1, iotlb)?, 0);
            check_eq!(op!(dev, reset_map, 1)?, 0);
            Ok(())
        })?;
        // Two mappings, the lower one first.
        check!(bed.parent().asked(&[
            Call(Op::SetMap, [1, 2, 0x1000, 0]),
            Call(Op::ResetMap, [1, 0, 0, 0]),
        ]));

        bed.parent().calls.fail(Some(Op::SetMap));
        let ret = bed.with(|dev| op!(dev, set_map, 0, iotlb))?;
        check_eq!(ret, EIO.to_errno());
        Ok(())
    }

    #[test]
    fn refusals_are_numbers() -> Result {
        let bed = Bed::dma_map()?;
        let eio = EIO.to_errno();

        for (op, expected) in [
            (Op::DmaMap, [eio, 0, 0]),
            (Op::DmaUnmap, [0, eio, 0]),
            (Op::ResetMap, [0, 0, eio]),
        ] {
            bed.parent().calls.fail(Some(op));
            let ret = bed.with(|dev| {
                Ok([
                    op!(dev, dma_map, 0, 0, 1, 0, VHOST_MAP_RW, null_mut())?,
                    op!(dev, dma_unmap, 0, 0, 1)?,
                    op!(dev, reset_map, 0)?,
                ])
            })?;
            check_eq!(ret, expected);
        }
        Ok(())
    }
}
