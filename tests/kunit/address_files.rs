// SPDX-License-Identifier: GPL-2.0

//! Address spaces of devices that use addresses of a process: what is kept for them.

use crate::{
    bed::Bed,
    calls::{
        Call,
        Op, //
    },
    full::{
        full_info,
        Full, //
    },
    user::{
        pinned,
        UserMemory, //
    },
};
use core::ptr::{
    from_ref,
    null_mut, //
};
use kernel::{
    current,
    device::Bound,
    prelude::*, //
};
use vdpa::{
    segment,
    AddressSpace,
    Asid,
    Device,
    Iotlb,
    IotlbTable,
    IovaRange,
    MapRange,
    Permission,
    Pinner,
    SoftMapping,
    Source,
    Unmapped, //
    UnregisteredDevice,
};

const PAGE: u64 = vdpa::bindings::PAGE_SIZE as u64;

/// How devices in software are given addresses.
pub(crate) const OF_PROCESS: SoftMapping = SoftMapping {
    batch: true,
    use_va: true,
};

/// Makes one of these devices. There is one at a time.
type Make = fn() -> Result<Bed<Full>>;

fn dma_map() -> Result<Bed<Full>> {
    Bed::new(UnregisteredDevice::with_file_dma_map(
        &full_info(),
        Full::new(),
    )?)
}

fn set_map() -> Result<Bed<Full>> {
    Bed::new(UnregisteredDevice::with_file_set_map(
        &full_info(),
        Full::new(),
    )?)
}

fn in_software() -> Result<Bed<Full>> {
    Bed::new(UnregisteredDevice::in_software(
        &full_info(),
        OF_PROCESS,
        Full::new(),
    )?)
}

fn page(iova: u64) -> IovaRange {
    IovaRange {
        first: iova,
        last: iova + (PAGE - 1),
    }
}

/// Maps the first page, which is that of a file.
fn map(space: &mut AddressSpace, dev: &Device<Bound>, iova: u64, user: &UserMemory) -> Result {
    let addr = user.addr() as u64;
    let file = segment(addr, PAGE, Source::Files)?.file.ok_or(EINVAL)?;

    space.map_file(dev, page(iova), addr, Permission::RW, file)
}

#[kunit_tests(vdpa_address_files)]
mod tests {
    use super::*;

    #[test]
    fn files_go_with_their_mappings() -> Result {
        let user = UserMemory::shared(1)?;
        let before = user.file_references()?;

        for make in [dma_map as Make, set_map] {
            make()?.with(|dev| {
                let mut space = AddressSpace::new(dev, Asid(0))?;

                for number in 1..=3 {
                    map(&mut space, dev, number * PAGE, &user)?;
                }
                check_eq!(user.file_references()?, before + 3);
                // What is mapped already is not mapped again.
                check_eq!(map(&mut space, dev, PAGE, &user), Err(EEXIST));
                check_eq!(user.file_references()?, before + 3);
                space.unmap(dev, page(2 * PAGE), &mut Unmapped::new())?;
                check_eq!((space.len(), user.file_references()?), (2, before + 2));
                space.clear(dev, &mut Unmapped::new())?;
                check_eq!(user.file_references()?, before);
                check_eq!(pinned()?, 0);
                Ok(())
            })?;
        }
        Ok(())
    }

    #[test]
    fn a_parent_has_the_memory_of_the_process() -> Result {
        let user = UserMemory::shared(3)?;
        let before = user.file_references()?;
        let second = user.addr() + PAGE as usize;
        let len = 2 * PAGE;
        let iova = IovaRange {
            first: 0,
            last: len - 1,
        };

        for make in [dma_map as Make, set_map] {
            let bed = make()?;

            *bed.parent().areas.lock() = Some(KVec::new());
            bed.with(|dev| {
                let mut space = AddressSpace::new(dev, Asid(0))?;
                let addr = second as u64;
                let file = segment(addr, len, Source::Files)?.file.ok_or(EINVAL)?;

                space.map_file(dev, iova, addr, Permission::RW, file)?;
                // What the consumer has of it goes.
                space.clear(dev, &mut Unmapped::new())
            })?;
            check_eq!(user.file_references()?, before + 1);

            let areas = bed.parent().areas.lock().take().ok_or(EINVAL)?;
            let area = areas.first().ok_or(EINVAL)?;
            let mut bytes = [0; 8];

            check_eq!((areas.len(), area.offset(), area.len()), (1, PAGE, len));
            user.put(second + 16, &0x0123_4567_89ab_cdef_u64)?;
            area.read(16, &mut bytes)?;
            check_eq!(u64::from_ne_bytes(bytes), 0x0123_4567_89ab_cdef);
            area.write(PAGE, &[1, 2, 3, 4, 5, 6, 7, 8])?;
            check_eq!(
                user.get::<u64>(second + PAGE as usize)?.to_ne_bytes(),
                [1, 2, 3, 4, 5, 6, 7, 8]
            );
            area.read(len - 8, &mut bytes)?;
            for at in [len - 7, len, u64::MAX - 3, u64::MAX] {
                check_eq!(area.read(at, &mut bytes), Err(EFAULT));
                check_eq!(area.write(at, &bytes), Err(EFAULT));
            }
            drop(areas);
            check_eq!(user.file_references()?, before);
        }
        Ok(())
    }

    #[test]
    fn a_mapping_without_a_file_is_none() -> Result {
        let bed = dma_map()?;
        let einval = EINVAL.to_errno();

        bed.with(|dev| {
            let ret = op!(dev, dma_map, 0, PAGE, PAGE, 0, 3, null_mut())?;
            check_eq!(ret, einval);
            Ok(())
        })?;
        check!(bed.parent().asked(&[]));
        drop(bed);

        let bed = set_map()?;
        let mut table = IotlbTable::new()?;
        bed.with(|dev| {
            let iotlb = from_ref::<Iotlb>(&table).cast_mut().cast();

            check_eq!(op!(dev, set_map, 0, iotlb)?, 0);
            Ok(())
        })?;
        check!(bed.parent().asked(&[Call(Op::SetMap, [0; 4])]));
        table.add(MapRange {
            iova: page(PAGE),
            addr: 0,
            perm: Permission::RW,
        })?;
        bed.with(|dev| {
            let iotlb = from_ref::<Iotlb>(&table).cast_mut().cast();

            check_eq!(op!(dev, set_map, 0, iotlb)?, einval);
            Ok(())
        })?;
        check!(bed.parent().asked(&[]));
        Ok(())
    }

    #[test]
    fn files_do_not_wait_for_a_device_that_is_told_later() -> Result {
        let user = UserMemory::shared(1)?;
        let before = user.file_references()?;
        let bed = set_map()?;

        bed.with(|dev| {
            let mut space = AddressSpace::new(dev, Asid(0))?;

            space.begin_batch();
            for _ in 0..100 {
                map(&mut space, dev, PAGE, &user)?;
                space.unmap(dev, page(PAGE), &mut Unmapped::new())?;
                check_eq!(user.file_references()?, before);
            }
            check!(bed.parent().asked(&[]));
            space.end_batch(dev, &mut Unmapped::new())?;
            check!(bed.parent().asked(&[Call(Op::SetMap, [0, 0, 0, 0])]));
            Ok(())
        })
    }

    #[test]
    fn files_do_not_stay_with_a_device_that_refuses() -> Result {
        let user = UserMemory::shared(1)?;
        let before = user.file_references()?;

        for (make, map_op, unmap_op) in [
            (set_map as Make, Op::SetMap, Op::SetMap),
            (set_map, Op::SetMap, Op::ResetMap),
            (dma_map, Op::DmaMap, Op::DmaUnmap),
        ] {
            let bed = make()?;

            bed.with(|dev| {
                let mut space = AddressSpace::new(dev, Asid(0))?;
                let calls = &bed.parent().calls;

                calls.fail(Some(map_op));
                check_eq!(map(&mut space, dev, PAGE, &user), Err(EIO));
                check_eq!(user.file_references()?, before);
                calls.fail(None);
                map(&mut space, dev, PAGE, &user)?;
                map(&mut space, dev, 3 * PAGE, &user)?;

                calls.fail(Some(unmap_op));
                let ret = match unmap_op {
                    Op::ResetMap => space.clear(dev, &mut Unmapped::new()),
                    _ => space.unmap(dev, IovaRange::FULL, &mut Unmapped::new()),
                };
                check_eq!(ret, Err(EIO));
                // Nothing more can be done, and nothing is lost.
                drop(space);
                check_eq!(user.file_references()?, before);
                calls.fail(None);
                Ok(())
            })?;
        }
        Ok(())
    }

    #[test]
    fn a_device_gets_what_it_can_use() -> Result {
        let user = UserMemory::shared(1)?;
        let before = user.file_references()?;

        for (make, source) in [
            (set_map as Make, Source::Files),
            (in_software, Source::Process),
            (|| Bed::in_software(true), Source::Pinned),
        ] {
            make()?.with(|dev| {
                let mut space = AddressSpace::new(dev, Asid(0))?;
                let addr = user.addr() as u64;
                let expected = |of| if of == source { Ok(()) } else { Err(EINVAL) };

                check_eq!(dev.source(), source);
                check_eq!(map(&mut space, dev, PAGE, &user), expected(Source::Files));
                let ret = space.map_process(dev, page(3 * PAGE), addr, Permission::RW);
                check_eq!(ret, expected(Source::Process));

                let task = current!();
                let mm = task.mm().ok_or(EINVAL)?;
                let mut pinner = Pinner::new(mm, addr, 1, Permission::RW)?;
                let run = pinner.next_run()?.ok_or(EINVAL)?;
                let ret = space
                    .map_pinned(dev, 5 * PAGE, [run], pinner.charge(), &mut Unmapped::new())
                    .map(|_| ());
                check_eq!(ret, expected(Source::Pinned));
                drop(pinner);

                check_eq!(space.len(), 1);
                let files = user.file_references()? - before;
                check_eq!(files, (source == Source::Files).into());
                check_eq!(pinned()?, (source == Source::Pinned).into());
                space.clear(dev, &mut Unmapped::new())?;
                check_eq!((user.file_references()?, pinned()?), (before, 0));
                Ok(())
            })?;
        }
        Ok(())
    }

    #[test]
    fn addresses_are_looked_up() -> Result {
        let user = UserMemory::shared(4)?;
        let addr = user.addr() as u64;
        let at = |page: u64, size, source| {
            let segment = segment(addr + page * PAGE, size, source)?;

            Ok::<_, Error>((segment.size, segment.file.is_some()))
        };

        user.make_private(2)?;
        for (page, size, files, process) in [
            (0, 1, Ok((1, true)), Ok((1, false))),
            (0, 9 * PAGE, Ok((2 * PAGE, true)), Ok((2 * PAGE, false))),
            (1, u64::MAX, Ok((PAGE, true)), Ok((PAGE, false))),
            // Of this another process would see nothing.
            (2, 2 * PAGE, Ok((PAGE, false)), Ok((PAGE, false))),
            (3, 2 * PAGE, Ok((PAGE, true)), Ok((PAGE, false))),
            (4, 1, Err(EFAULT), Err(EFAULT)),
            (0, 0, Err(EINVAL), Err(EINVAL)),
        ] {
            check_eq!(at(page, size, Source::Files), files);
            check_eq!(at(page, size, Source::Process), process);
            check_eq!(at(page, size, Source::Pinned).is_ok(), false);
        }
        Ok(())
    }
}
