// SPDX-License-Identifier: GPL-2.0

//! Address spaces of a consumer: what the device is told, and what stays pinned.

use crate::{
    bed::Bed,
    calls::{
        Call,
        Op, //
    },
    full::{
        full_info,
        Full,
        SPACES, //
    },
    user::{
        pinned,
        UserMemory, //
    },
};
use kernel::{
    current,
    device::Bound,
    prelude::*, //
};
use vdpa::{
    AddressSpace,
    Asid,
    Device,
    IovaRange,
    Permission,
    Pinner,
    Unmapped, //
    UnregisteredDevice,
};

const PAGE: u64 = vdpa::bindings::PAGE_SIZE as u64;

/// Maps one page of the test's memory, the first byte of which is at `addr`.
fn map(space: &mut AddressSpace, dev: &Device<Bound>, iova: u64, addr: usize) -> Result {
    let task = current!();
    let mm = task.mm().ok_or(EINVAL)?;
    let mut pinner = Pinner::new(mm, addr as u64, 1, Permission::RW)?;
    let run = pinner.next_run()?.ok_or(EINVAL)?;

    space.map_pinned(dev, iova, [run], pinner.charge(), &mut Unmapped::new())?;
    Ok(())
}

fn range(first: u64, last: u64) -> IovaRange {
    IovaRange { first, last }
}

#[kunit_tests(vdpa_address_space)]
mod tests {
    use super::*;

    #[test]
    fn only_address_spaces_that_are_there() -> Result {
        Bed::dma_map()?.with(|dev| {
            for asid in [SPACES, u32::MAX] {
                check_eq!(AddressSpace::new(dev, Asid(asid)).err(), Some(EINVAL));
            }
            let space = AddressSpace::new(dev, Asid(SPACES - 1))?;
            check!(space.is_empty() && !space.in_batch());
            Ok(())
        })
    }

    #[test]
    fn the_device_is_told_and_memory_is_counted() -> Result {
        let user = UserMemory::new(2)?;
        let bed = Bed::dma_map()?;

        bed.with(|dev| {
            let mut space = AddressSpace::new(dev, Asid(1))?;

            check_eq!(pinned()?, 0);
            map(&mut space, dev, 0x1_0000, user.addr())?;
            map(&mut space, dev, 0x1_2000, user.addr())?;
            check_eq!((space.len(), pinned()?), (2, 2));
            check!(space.is_mapped(range(0x1_0fff, 0x1_1000)));
            check!(!space.is_mapped(range(0x1_1000, 0x1_1fff)));
            space.unmap(dev, range(0x1_0000, 0x1_0000), &mut Unmapped::new())?;
            check_eq!((space.len(), pinned()?), (1, 1));
            space.clear(dev, &mut Unmapped::new())?;
            check_eq!((space.len(), pinned()?), (0, 0));
            Ok(())
        })?;
        check!(bed.parent().asked(&[
            Call(Op::DmaMap, [1, 0x1_0000, 0x1_0fff, 3]),
            Call(Op::DmaMap, [1, 0x1_2000, 0x1_2fff, 3]),
            Call(Op::DmaUnmap, [1, 0x1_0000, 0x1_0fff, 0]),
            Call(Op::DmaUnmap, [1, 0x1_2000, 0x1_2fff, 0]),
            Call(Op::ResetMap, [1, 0, 0, 0]),
        ]));
        Ok(())
    }

    #[test]
    fn what_makes_no_sense_does_not_reach_the_device() -> Result {
        let user = UserMemory::new(1)?;
        let bed = Bed::dma_map()?;

        bed.with(|dev| {
            let mut space = AddressSpace::new(dev, Asid(0))?;

            for iova in [1, PAGE - 1, PAGE + 8, u64::MAX] {
                check_eq!(map(&mut space, dev, iova, user.addr()), Err(EINVAL));
            }
            check_eq!((space.len(), pinned()?), (0, 0));

            // The last page there is.
            map(&mut space, dev, u64::MAX - (PAGE - 1), user.addr())?;
            bed.parent().calls.take();
            let ret = map(&mut space, dev, u64::MAX - (PAGE - 1), user.addr());
            check_eq!(ret, Err(EEXIST));
            check_eq!((space.len(), pinned()?), (1, 1));
            check!(bed.parent().asked(&[]));
            space.clear(dev, &mut Unmapped::new())
        })
    }

    #[test]
    fn a_mapping_that_is_refused_leaves_nothing_behind() -> Result {
        let user = UserMemory::new(1)?;

        for op in [Op::DmaMap, Op::SetMap] {
            let bed = if op == Op::DmaMap {
                Bed::dma_map()?
            } else {
                Bed::set_map()?
            };

            bed.parent().calls.fail(Some(op));
            bed.with(|dev| {
                let mut space = AddressSpace::new(dev, Asid(0))?;

                check_eq!(map(&mut space, dev, 0x1000, user.addr()), Err(EIO));
                check_eq!(space.len(), 0);
                bed.parent().calls.fail(None);
                // A device that is told of everything at once may have kept it until it is told.
                space.clear(dev, &mut Unmapped::new())?;
                check_eq!(pinned()?, 0);
                map(&mut space, dev, 0x1000, user.addr())?;
                space.clear(dev, &mut Unmapped::new())
            })?;
            check_eq!(pinned()?, 0);
        }
        Ok(())
    }

    #[test]
    fn memory_that_a_device_does_not_forget_stays() -> Result {
        let user = UserMemory::new(1)?;
        let bed = Bed::dma_map()?;

        bed.with(|dev| {
            let mut space = AddressSpace::new(dev, Asid(0))?;

            map(&mut space, dev, 0x1000, user.addr())?;
            map(&mut space, dev, 0x3000, user.addr())?;
            bed.parent().calls.fail(Some(Op::DmaUnmap));
            check_eq!(
                space.unmap(dev, IovaRange::FULL, &mut Unmapped::new()),
                Err(EIO)
            );
            check_eq!((space.len(), pinned()?), (2, 2));
            bed.parent().calls.fail(None);
            space.clear(dev, &mut Unmapped::new())?;
            check_eq!((space.len(), pinned()?), (0, 0));
            Ok(())
        })
    }

    #[test]
    fn memory_that_a_device_was_not_told_of_stays() -> Result {
        let user = UserMemory::new(1)?;
        let bed = Bed::set_map()?;

        bed.with(|dev| {
            let mut space = AddressSpace::new(dev, Asid(0))?;

            map(&mut space, dev, 0x1000, user.addr())?;
            bed.parent().calls.fail(Some(Op::SetMap));
            check_eq!(
                space.unmap(dev, IovaRange::FULL, &mut Unmapped::new()),
                Err(EIO)
            );
            // Not mapped any more, but the device may still use it.
            check_eq!((space.len(), pinned()?), (0, 1));
            bed.parent().calls.fail(None);
            check!(space.release_removed(dev, &mut Unmapped::new())?);
            check_eq!(pinned()?, 0);
            check!(!space.release_removed(dev, &mut Unmapped::new())?);
            Ok(())
        })
    }

    #[test]
    fn a_batch_is_announced_once() -> Result {
        let user = UserMemory::new(1)?;
        let bed = Bed::set_map()?;

        bed.with(|dev| {
            let mut space = AddressSpace::new(dev, Asid(1))?;

            space.begin_batch();
            for iova in [0x1000, 0x2000, 0x4000] {
                map(&mut space, dev, iova, user.addr())?;
            }
            space.unmap(dev, range(0x2000, 0x2000), &mut Unmapped::new())?;
            check!(space.in_batch());
            check!(bed.parent().asked(&[]));
            // The one that was removed waits for the device.
            check_eq!((space.len(), pinned()?), (2, 3));
            space.end_batch(dev, &mut Unmapped::new())?;
            check_eq!((space.len(), pinned()?), (2, 2));
            check!(bed.parent().asked(&[Call(Op::SetMap, [1, 2, 0x1000, 0])]));
            // There is none any more.
            space.end_batch(dev, &mut Unmapped::new())?;
            check!(bed.parent().asked(&[]));
            space.clear(dev, &mut Unmapped::new())?;
            check_eq!(pinned()?, 0);
            check!(bed.parent().asked(&[Call(Op::ResetMap, [1, 0, 0, 0])]));
            Ok(())
        })
    }

    #[test]
    fn a_batch_that_is_refused_can_be_tried_again() -> Result {
        let user = UserMemory::new(1)?;
        let bed = Bed::set_map()?;

        bed.with(|dev| {
            let mut space = AddressSpace::new(dev, Asid(0))?;

            space.begin_batch();
            map(&mut space, dev, 0x1000, user.addr())?;
            bed.parent().calls.fail(Some(Op::SetMap));
            check_eq!(space.end_batch(dev, &mut Unmapped::new()), Err(EIO));
            check!(!space.in_batch());
            check_eq!((space.len(), pinned()?), (1, 1));
            bed.parent().calls.fail(None);
            bed.parent().calls.take();
            map(&mut space, dev, 0x2000, user.addr())?;
            check!(bed.parent().asked(&[Call(Op::SetMap, [0, 2, 0x1000, 0])]));
            space.clear(dev, &mut Unmapped::new())?;
            check_eq!(pinned()?, 0);
            Ok(())
        })
    }

    #[test]
    fn another_device_is_none_of_its_business() -> Result {
        let user = UserMemory::new(1)?;
        let one = Bed::dma_map()?;
        let other = one.beside(UnregisteredDevice::with_dma_map(&full_info(), Full::new())?)?;
        let mut space = one.with(|dev| AddressSpace::new(dev, Asid(0)))?;

        other.with(|dev| {
            check_eq!(map(&mut space, dev, 0x1000, user.addr()), Err(EINVAL));
            check_eq!(
                space.unmap(dev, IovaRange::FULL, &mut Unmapped::new()),
                Err(EINVAL)
            );
            check_eq!(space.end_batch(dev, &mut Unmapped::new()), Err(EINVAL));
            check_eq!(pinned()?, 0);
            Ok(())
        })?;
        check!(one.parent().asked(&[]));
        check!(other.parent().asked(&[]));
        Ok(())
    }

    #[test]
    fn only_memory_of_the_process_can_be_pinned() -> Result {
        let user = UserMemory::new(1)?;
        let task = current!();
        let mm = task.mm().ok_or(EINVAL)?;
        let new = |addr, pages, perm| Pinner::new(mm, addr, pages, perm).map(|_| ()).err();
        let none = Permission {
            read: false,
            write: false,
        };

        check_eq!(new(user.addr() as u64 + 1, 1, Permission::RW), Some(EINVAL));
        check_eq!(new(user.addr() as u64, 0, Permission::RW), Some(EINVAL));
        check_eq!(new(user.addr() as u64, 1, none), Some(EINVAL));
        check_eq!(new(0, u64::MAX / PAGE + 1, Permission::RW), Some(EFAULT));
        check_eq!(new(0x1000, u64::MAX, Permission::RW), Some(EFAULT));
        // More than may be locked, but not by who has CAP_IPC_LOCK, as whoever loads modules; it is
        // counted as long as it is kept.
        check_eq!(new(0, 1 << 40, Permission::RW), None);

        // The page behind the last one.
        let mut pinner = Pinner::new(mm, user.end() as u64, 1, Permission::RW)?;
        check_eq!(pinner.next_run().map(|_| ()).err(), Some(EFAULT));
        check_eq!(pinned()?, 1);
        drop(pinner);
        check_eq!(pinned()?, 0);
        Ok(())
    }

    #[test]
    fn what_comes_and_goes_in_a_batch_is_not_kept_for_ever() -> Result {
        let user = UserMemory::new(1)?;
        let bed = Bed::set_map()?;

        bed.with(|dev| {
            let mut space = AddressSpace::new(dev, Asid(0))?;

            space.begin_batch();
            for _ in 0..1500 {
                map(&mut space, dev, 0x1000, user.addr())?;
                space.unmap(dev, range(0x1000, 0x1000), &mut Unmapped::new())?;
            }
            check!(pinned()? < 1100);
            // It is told in between, that it has nothing.
            check!(bed.parent().asked(&[Call(Op::SetMap, [0, 0, 0, 0])]));
            check!(space.in_batch());
            space.end_batch(dev, &mut Unmapped::new())?;
            check_eq!(pinned()?, 0);
            Ok(())
        })
    }

    #[test]
    fn all_that_a_device_has_can_be_exchanged_in_a_batch() -> Result {
        let user = UserMemory::new(1)?;
        let bed = Bed::set_map()?;
        let maps = 1000;

        bed.with(|dev| {
            let mut space = AddressSpace::new(dev, Asid(0))?;

            space.begin_batch();
            for number in 0..maps {
                map(&mut space, dev, number * PAGE, user.addr())?;
            }
            space.end_batch(dev, &mut Unmapped::new())?;
            check!(bed.parent().asked(&[Call(Op::SetMap, [0, maps, 0, 0])]));
            space.begin_batch();
            space.unmap(dev, IovaRange::FULL, &mut Unmapped::new())?;
            for _ in 0..100 {
                map(&mut space, dev, PAGE, user.addr())?;
                space.unmap(dev, IovaRange::FULL, &mut Unmapped::new())?;
            }
            // It must not see that there is nothing meanwhile.
            check!(bed.parent().asked(&[]));
            check_eq!(pinned()?, maps as i64 + 100);
            space.end_batch(dev, &mut Unmapped::new())?;
            check_eq!(pinned()?, 0);
            Ok(())
        })
    }

    #[test]
    fn unpinning_is_for_who_unmaps_when_it_suits() -> Result {
        let user = UserMemory::new(1)?;
        // More than are remembered in one piece.
        let maps = 600;

        for new in [Bed::dma_map, Bed::set_map] {
            new()?.with(|dev| {
                let mut space = AddressSpace::new(dev, Asid(0))?;
                let mut unmapped = Unmapped::new();

                space.begin_batch();
                for number in 0..maps {
                    map(&mut space, dev, number * PAGE, user.addr())?;
                }
                space.end_batch(dev, &mut unmapped)?;
                space.unmap(dev, range(0, (maps - 1) * PAGE - 1), &mut unmapped)?;
                check_eq!((space.len(), pinned()?), (1, maps as i64));
                space.close(dev, &mut unmapped)?;
                check_eq!(pinned()?, maps as i64);
                drop(unmapped);
                check_eq!(pinned()?, 0);
                Ok(())
            })?;
        }
        Ok(())
    }
}
