// SPDX-License-Identifier: GPL-2.0

//! Mapping the memory of kernel drivers by a parent, from C's side.

use crate::{
    bed::Bed,
    calls::{
        Call,
        Op, //
    },
    full::{
        full_info,
        Full,
        QUEUES, //
    },
    table::table, //
};
use core::ptr::null_mut;
use kernel::{
    device::Bound,
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::atomic::Relaxed, //
};
use vdpa::{
    bindings::{
        self,
        dma_data_direction as Dir,
        virtio_map,
        virtio_map_ops, //
    },
    virtio_map::DmaMaps,
    Device,
    UnregisteredDevice, //
};

/// Where the parent maps something, if no test says otherwise.
const ADDR: u64 = 0x10_0000;
/// What the parent copies to buffers.
const WRITTEN: u8 = 0xaa;
const SKIP: usize = bindings::DMA_ATTR_SKIP_CPU_SYNC as usize;

fn bed() -> Result<Bed<Full>> {
    let device = UnregisteredDevice::with_virtio_map::<DmaMaps>(&full_info(), Full::new())?;
    let bed = Bed::new(device)?;

    bed.parent().addr.store(ADDR as i64, Relaxed);
    Ok(bed)
}

/// The operations, as a driver finds them.
fn ops(dev: &Device<Bound>) -> Result<&virtio_map_ops> {
    // SAFETY: The device is registered; the table, if there is one, stays.
    unsafe { (*dev.as_raw()).map.as_ref() }.ok_or(EOPNOTSUPP)
}

/// Calls one of them. Pointers among the arguments are valid during the call.
macro_rules! map_op {
    ($dev:expr, $op:ident $(, $arg:expr)* $(,)?) => {
        match ops($dev)?.$op {
            // SAFETY: The device is registered, and buffers stay until they are unmapped.
            Some(op) => unsafe { op($($arg),*) },
            None => return Err(EOPNOTSUPP),
        }
    };
}

fn token(dev: &Device<Bound>, vq: u16) -> Result<virtio_map> {
    op!(dev, get_vq_map, vq)
}

fn raw(map: virtio_map) -> *mut c_void {
    // SAFETY: All members are pointers.
    unsafe { map.group.cast() }
}

/// A page whose bytes are the number of where they are.
fn page() -> Result<Page> {
    let page = Page::alloc_page(GFP_KERNEL)?;

    for i in 0..PAGE_SIZE {
        // SAFETY: Nobody else has the page.
        unsafe { page.write_raw(&(i as u8), i, 1) }?;
    }
    Ok(page)
}

/// The first byte of a page that is not the number of where it is, and how many there are.
fn changed(page: &Page) -> Result<(usize, usize)> {
    let mut result = (0, 0);

    for i in (0..PAGE_SIZE).rev() {
        let mut byte = 0u8;

        // SAFETY: Nobody else has the page.
        unsafe { page.read_raw(&mut byte, i, 1) }?;
        if byte != i as u8 {
            check_eq!(byte, WRITTEN);
            result = (i, result.1 + 1);
        }
    }
    Ok(result)
}

fn map_call(vq: u64, size: u64) -> Call {
    Call(Op::MapPage, [vq, size, 0, 0])
}

fn unmap_call(vq: u64, size: u64) -> Call {
    Call(Op::UnmapPage, [vq, ADDR, size, 0])
}

/// The buffer begins at byte 32.
fn to_device(addr: u64, size: u64) -> Call {
    Call(Op::SyncDevice, [1, addr, size, 32 + (addr - ADDR)])
}

fn to_cpu(addr: u64, size: u64) -> Call {
    Call(Op::SyncCpu, [1, addr, size, 0])
}

#[kunit_tests(vdpa_virtio_map)]
mod tests {
    use super::*;

    #[test]
    fn each_virtqueue_has_its_own() -> Result {
        bed()?.with(|dev| {
            let (first, second) = (raw(token(dev, 0)?), raw(token(dev, 1)?));

            check!(dev.has_map_ops());
            check!(!first.is_null() && !second.is_null() && first != second);
            // SAFETY: All members are pointers; the device is registered.
            check_eq!(unsafe { (*dev.as_raw()).vmap.group.cast() }, first);
            for vq in [QUEUES as u16, u16::MAX] {
                check!(raw(token(dev, vq)?).is_null());
            }
            Ok(())
        })?;
        Bed::dma_map()?.with(|dev| {
            check!(!dev.has_map_ops());
            check!(table(dev).get_vq_map.is_none());
            Ok(())
        })
    }

    #[test]
    fn buffers_are_copied_in_their_direction() -> Result {
        let bed = bed()?;

        for (dir, attrs, in_, out) in [
            (Dir::DMA_TO_DEVICE, 0, true, false),
            (Dir::DMA_FROM_DEVICE, 0, false, true),
            (Dir::DMA_BIDIRECTIONAL, 0, true, true),
            (Dir::DMA_BIDIRECTIONAL, SKIP, false, false),
        ] {
            let page = page()?;

            bed.with(|dev| {
                let map = token(dev, 1)?;
                let addr = map_op!(dev, map_page, map, page.as_ptr(), 32, 100, dir, attrs);

                check_eq!(addr, ADDR);
                check_eq!(map_op!(dev, mapping_error, map, addr), 0);
                check!(map_op!(dev, need_sync, map, addr));
                Ok(())
            })?;
            let mut calls = KVec::new();
            calls.push(map_call(1, 100), GFP_KERNEL)?;
            if in_ {
                calls.push(to_device(ADDR, 100), GFP_KERNEL)?;
            }
            check!(bed.parent().asked(&calls));
            check_eq!(changed(&page)?, (0, 0));

            bed.with(|dev| {
                let map = token(dev, 1)?;

                map_op!(dev, unmap_page, map, ADDR, 100, dir, attrs);
                // There is nothing any more.
                map_op!(dev, unmap_page, map, ADDR, 100, dir, attrs);
                Ok(())
            })?;
            let mut calls = KVec::new();
            if out {
                calls.push(to_cpu(ADDR, 100), GFP_KERNEL)?;
            }
            calls.push(unmap_call(1, 100), GFP_KERNEL)?;
            check!(bed.parent().asked(&calls));
            check_eq!(changed(&page)?, if out { (32, 100) } else { (0, 0) });
        }
        Ok(())
    }

    #[test]
    fn parts_are_copied_and_nothing_beside_them() -> Result {
        let bed = bed()?;
        let page = page()?;
        let dir = Dir::DMA_BIDIRECTIONAL;

        bed.with(|dev| {
            let map = token(dev, 1)?;

            map_op!(dev, map_page, map, page.as_ptr(), 32, 100, dir, SKIP);
            map_op!(dev, sync_single_for_device, map, ADDR + 16, 8, dir);
            map_op!(dev, sync_single_for_cpu, map, ADDR + 16, 8, dir);
            check_eq!(changed(&page)?, (48, 8));
            // One byte too many, at either end, and none; nothing of the sort; another virtqueue.
            for (map, addr, size) in [
                (map, ADDR - 1, 2),
                (map, ADDR + 99, 2),
                (map, ADDR, 0),
                (map, ADDR, usize::MAX),
                (map, 0, 1),
                (map, u64::MAX, 1),
                (token(dev, 0)?, ADDR, 1),
                (virtio_map { group: null_mut() }, ADDR, 1),
            ] {
                map_op!(dev, sync_single_for_device, map, addr, size, dir);
                map_op!(dev, sync_single_for_cpu, map, addr, size, dir);
            }
            check_eq!(changed(&page)?, (48, 8));
            map_op!(dev, unmap_page, map, ADDR, 100, dir, SKIP);
            Ok(())
        })?;
        check!(bed.parent().asked(&[
            map_call(1, 100),
            to_device(ADDR + 16, 8),
            to_cpu(ADDR + 16, 8),
            unmap_call(1, 100),
        ]));
        Ok(())
    }

    // A driver's buffer that the device is only to read may be anybody's.
    #[test]
    fn what_the_device_reads_is_not_written() -> Result {
        let bed = bed()?;
        let page = page()?;
        let dir = Dir::DMA_TO_DEVICE;

        bed.with(|dev| {
            let map = token(dev, 1)?;

            map_op!(dev, map_page, map, page.as_ptr(), 32, 100, dir, SKIP);
            map_op!(
                dev,
                sync_single_for_cpu,
                map,
                ADDR,
                100,
                Dir::DMA_BIDIRECTIONAL
            );
            map_op!(dev, unmap_page, map, ADDR, 100, Dir::DMA_FROM_DEVICE, 0);
            check_eq!(changed(&page)?, (0, 0));
            Ok(())
        })?;
        check!(bed.parent().asked(&[map_call(1, 100), unmap_call(1, 100)]));
        Ok(())
    }

    #[test]
    fn addresses_are_given_once() -> Result {
        let bed = bed()?;
        let page = page()?;
        let dir = Dir::DMA_TO_DEVICE;
        let map_at = |dev: &Device<Bound>, vq, addr: u64| {
            let map = token(dev, vq)?;

            bed.parent().addr.store(addr as i64, Relaxed);
            let addr = map_op!(dev, map_page, map, page.as_ptr(), 0, 100, dir, SKIP);
            let error = map_op!(dev, mapping_error, map, addr);
            check_eq!(addr == u64::MAX, error != 0);
            Ok(error)
        };
        let enomem = ENOMEM.to_errno();

        bed.with(|dev| {
            check_eq!(map_at(dev, 1, ADDR)?, 0);
            for taken in [ADDR, ADDR - 99, ADDR + 99, u64::MAX, u64::MAX - 99] {
                check_eq!(map_at(dev, 1, taken)?, enomem);
            }
            for free in [ADDR - 100, ADDR + 100, 0, u64::MAX - 100] {
                check_eq!(map_at(dev, 1, free)?, 0);
            }
            // Each virtqueue may have addresses of its own.
            check_eq!(map_at(dev, 0, ADDR)?, 0);
            let map = token(dev, 1)?;
            map_op!(dev, unmap_page, map, ADDR, 100, dir, 0);
            check_eq!(map_at(dev, 1, ADDR)?, 0);

            bed.parent().calls.fail(Some(Op::MapPage));
            check_eq!(map_at(dev, 1, 0x1000)?, enomem);
            bed.parent().calls.fail(None);
            let none = virtio_map { group: null_mut() };
            let addr = map_op!(dev, map_page, none, page.as_ptr(), 0, 100, dir, SKIP);
            check_eq!(addr, u64::MAX);
            check_eq!(map_op!(dev, max_mapping_size, none), 0);
            check_eq!(map_op!(dev, max_mapping_size, map), 0x5000);
            Ok(())
        })
    }

    #[test]
    fn memory_is_shared_for_as_long_as_anybody_has_it() -> Result {
        const LEN: usize = 3 * PAGE_SIZE + 100;
        let bed = bed()?;
        let mut addr = 0;

        let ptr = bed.with(|dev| {
            let map = token(dev, 1)?;
            let gfp = bindings::GFP_KERNEL;

            Ok(map_op!(dev, alloc, map, LEN, &raw mut addr, gfp).cast::<u8>())
        })?;
        check!(!ptr.is_null());
        check_eq!(addr, ADDR);
        let memory = bed.parent().shared.lock().take().ok_or(EINVAL)?;
        let mut bytes = [0xff; 4];

        memory.read(LEN - 4, &mut bytes)?;
        check_eq!(bytes, [0; 4]);
        // SAFETY: The memory is there until it is given back, and the parent does not use it now.
        unsafe { ptr.add(LEN - 4).write(WRITTEN) };
        memory.read(LEN - 4, &mut bytes)?;
        check_eq!(bytes, [WRITTEN, 0, 0, 0]);
        memory.store_release_u16(2, 0x1234)?;
        memory.write(4, &[5])?;
        // SAFETY: As above.
        unsafe {
            check_eq!(ptr.add(2).cast::<u16>().read(), 0x1234);
            check_eq!(ptr.add(4).read(), 5);
        }
        check_eq!(memory.load_acquire_u16(2), Ok(0x1234));
        check_eq!(memory.load_acquire_u16(1), Err(EINVAL));
        for at in [LEN - 3, LEN, usize::MAX] {
            check_eq!(memory.read(at, &mut bytes), Err(EFAULT));
            check_eq!(memory.write(at, &bytes), Err(EFAULT));
        }
        check_eq!(memory.load_acquire_u16(LEN), Err(EFAULT));

        bed.with(|dev| {
            let map = token(dev, 1)?;

            // It is no buffer.
            let dir = Dir::DMA_BIDIRECTIONAL;
            map_op!(dev, sync_single_for_cpu, map, ADDR, 1, dir);
            map_op!(dev, free, map, LEN, ptr.cast(), ADDR, 0);
            Ok(())
        })?;
        check!(bed.parent().asked(&[
            Call(Op::Alloc, [1, LEN as u64, 0, 0]),
            Call(Op::Free, [1, ADDR, 0, 0]),
        ]));
        memory.read(4, &mut bytes)?;
        check_eq!(bytes, [5, 0, 0, 0]);

        bed.parent().calls.fail(Some(Op::Alloc));
        bed.with(|dev| {
            let gfp = bindings::GFP_KERNEL;

            for map in [token(dev, 1)?, virtio_map { group: null_mut() }] {
                let ptr = map_op!(dev, alloc, map, LEN, &raw mut addr, gfp);

                check!(ptr.is_null());
                check_eq!(addr, u64::MAX);
            }
            Ok(())
        })
    }
}
