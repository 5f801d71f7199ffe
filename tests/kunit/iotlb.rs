// SPDX-License-Identifier: GPL-2.0

//! Tables of mappings.

use kernel::prelude::*;
use vdpa::{
    IotlbTable,
    IovaRange,
    MapRange,
    Permission, //
};

fn range(first: u64, last: u64) -> IovaRange {
    IovaRange { first, last }
}

/// A mapping whose memory begins at as many bytes as it does itself, and one.
fn map(first: u64, last: u64) -> MapRange {
    MapRange {
        iova: range(first, last),
        addr: first.wrapping_add(1),
        perm: Permission::RW,
    }
}

/// Whether the table has these mappings, in this order.
fn has(table: &IotlbTable, maps: &[MapRange]) -> bool {
    table.len() == maps.len()
        && table.is_empty() == maps.is_empty()
        && table.iter().eq(maps.iter().copied())
}

#[kunit_tests(vdpa_iotlb)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_in_the_order_of_their_addresses() -> Result {
        let mut table = IotlbTable::new()?;

        check!(has(&table, &[]));
        for first in [0x3000, 0x1000, 0x2000, 0] {
            table.add(map(first, first + 0xfff))?;
        }
        check!(has(
            &table,
            &[
                map(0, 0xfff),
                map(0x1000, 0x1fff),
                map(0x2000, 0x2fff),
                map(0x3000, 0x3fff),
            ]
        ));
        Ok(())
    }

    #[test]
    fn mappings_do_not_overlap() -> Result {
        let mut table = IotlbTable::new()?;

        table.add(map(0x1000, 0x1fff))?;
        for (first, last) in [
            (0x1000, 0x1fff),
            (0, 0x1000),
            (0x1fff, 0x1fff),
            (0x1fff, u64::MAX),
            (0, u64::MAX - 1),
            (0x1800, 0x1801),
        ] {
            check_eq!(table.add(map(first, last)), Err(EEXIST));
        }
        table.add(map(0, 0xfff))?;
        table.add(map(0x2000, u64::MAX))?;
        check_eq!(table.len(), 3);
        Ok(())
    }

    #[test]
    fn ranges_that_are_none_are_refused() -> Result {
        let mut table = IotlbTable::new()?;

        for (first, last) in [(1, 0), (u64::MAX, 0), (0x2000, 0x1fff), (0, u64::MAX)] {
            check_eq!(table.add(map(first, last)), Err(EINVAL));
        }
        check!(has(&table, &[]));
        Ok(())
    }

    #[test]
    fn both_ends_of_the_addresses_can_be_mapped() -> Result {
        let mut table = IotlbTable::new()?;

        table.add(map(u64::MAX, u64::MAX))?;
        table.add(map(0, 0))?;
        table.add(map(1, u64::MAX - 1))?;
        check!(has(
            &table,
            &[map(0, 0), map(1, u64::MAX - 1), map(u64::MAX, u64::MAX)]
        ));
        table.remove(IovaRange::FULL);
        check!(has(&table, &[]));
        Ok(())
    }

    #[test]
    fn what_overlaps_is_found() -> Result {
        let mut table = IotlbTable::new()?;

        for first in [0x1000, 0x3000, 0x5000] {
            table.add(map(first, first + 0xfff))?;
        }
        for (first, last, count) in [
            (0, u64::MAX, 3),
            (0, 0xfff, 0),
            (0, 0x1000, 1),
            (0x1fff, 0x3000, 2),
            (0x2000, 0x2fff, 0),
            (0x4000, 0x5000, 1),
            (0x6000, u64::MAX, 0),
            (0x1234, 0x1234, 1),
        ] {
            check_eq!(table.overlapping(range(first, last)).count(), count);
        }
        Ok(())
    }

    #[test]
    fn mappings_are_removed_as_a_whole() -> Result {
        let mut table = IotlbTable::new()?;

        for first in [0x1000, 0x3000, 0x5000] {
            table.add(map(first, first + 0xfff))?;
        }
        table.remove(range(0x2000, 0x2fff));
        check_eq!(table.len(), 3);
        table.remove(range(0x1fff, 0x3000));
        check!(has(&table, &[map(0x5000, 0x5fff)]));
        // There is room again.
        table.add(map(0x1000, 0x3fff))?;
        check_eq!(table.len(), 2);
        Ok(())
    }

    #[test]
    fn the_number_of_mappings_is_not_limited() -> Result {
        let mut table = IotlbTable::new()?;

        // More than the 2,048 of the C consumer.
        for i in 0..5000 {
            table.add(map(i * 2, i * 2))?;
        }
        check_eq!(table.len(), 5000);
        check!((&table)
            .into_iter()
            .map(|map| map.iova.first)
            .eq((0..5000).map(|i| i * 2)));
        Ok(())
    }

    #[test]
    fn permissions_are_two_bits() {
        for raw in 0..=0xff {
            let perm = Permission::from_raw(raw);

            assert_eq!(perm.read, raw & 1 != 0);
            assert_eq!(perm.write, raw & 2 != 0);
            assert_eq!(perm.to_raw(), raw & 3);
        }
        assert_eq!(Permission::RW.to_raw(), 3);
    }
}
