// SPDX-License-Identifier: GPL-2.0

//! The translation of devices in software, filled through the table of operations.

use crate::{
    bed::Bed,
    full::{
        Full,
        LIMIT, //
    },
    pages::{
        page,
        phys, //
    },
};
use core::ptr::{
    from_ref,
    null_mut, //
};
use kernel::{
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*, //
};
use vdpa::{
    bindings::{
        VDPA_RESET_F_CLEAN_MAP,
        VHOST_MAP_RO,
        VHOST_MAP_RW,
        VHOST_MAP_WO, //
    },
    Asid,
    Iotlb,
    IotlbTable,
    IovaRange,
    MapRange,
    Permission,
    SoftMapping, //
};

const SIZE: u64 = PAGE_SIZE as u64;

/// A device, and memory that it can be given.
struct Soft {
    // The device goes first.
    bed: Bed<Full>,
    pages: [Page; 2],
}

impl Soft {
    /// A device that is told addresses of a process, though it is bound to none.
    fn unbound() -> Result<Self> {
        let mapping = SoftMapping {
            batch: false,
            use_va: true,
        };

        Ok(Self {
            bed: Bed::in_software_with(mapping)?,
            pages: [page()?, page()?],
        })
    }

    fn new(batch: bool) -> Result<Self> {
        Ok(Self {
            bed: Bed::in_software(batch)?,
            pages: [page()?, page()?],
        })
    }

    /// Maps memory at `[iova, iova + size)`. Returns the error number.
    fn map(&self, iova: u64, size: u64, addr: u64, perm: u32) -> Result<c_int> {
        self.bed
            .with(|dev| op!(dev, dma_map, 0, iova, size, addr, perm, null_mut()))
    }

    fn read(&self, iova: u64, buf: &mut [u8]) -> Result {
        self.bed
            .parent()
            .iommu
            .lock()?
            .memory(Asid(0))
            .read(iova, buf)
    }

    fn write(&self, iova: u64, buf: &[u8]) -> Result {
        self.bed
            .parent()
            .iommu
            .lock()?
            .memory(Asid(0))
            .write(iova, buf)
    }
}

#[kunit_tests(vdpa_soft_iommu)]
mod tests {
    use super::*;

    #[test]
    fn before_anything_is_mapped_nothing_is_reached() -> Result {
        for batch in [false, true] {
            let soft = Soft::new(batch)?;

            for iova in [0, SIZE, phys(&soft.pages[0]), u64::MAX] {
                check_eq!(soft.read(iova, &mut [0]), Err(EFAULT));
                check_eq!(soft.write(iova, &[0]), Err(EFAULT));
            }
        }
        Ok(())
    }

    #[test]
    fn a_mapping_is_reached_from_its_first_to_its_last_byte() -> Result {
        let soft = Soft::new(false)?;
        let addr = phys(&soft.pages[0]);

        check_eq!(soft.map(0x1_0010, 0x20, addr + 4, VHOST_MAP_RW)?, 0);
        soft.write(0x1_0010, &[7; 0x20])?;
        for (iova, len, there) in [
            (0x1_0010, 0x20, true),
            (0x1_0010, 0, true),
            (0x1_000f, 1, false),
            (0x1_002f, 1, true),
            (0x1_0030, 1, false),
            (0x1_0010, 0x21, false),
            (0x1_000f, 0x21, false),
        ] {
            let mut buf = [0; 0x21];
            let buf = buf.get_mut(..len).ok_or(EINVAL)?;

            check_eq!(soft.read(iova, buf).is_ok(), there);
            check!(!there || buf.iter().all(|&byte| byte == 7));
        }
        Ok(())
    }

    #[test]
    fn neighbours_need_not_be_so_in_memory() -> Result {
        let soft = Soft::new(false)?;
        let mut buf = [0; 6];

        // In the reverse order, and with a hole behind them.
        for (i, page) in soft.pages.iter().rev().enumerate() {
            let iova = 0x1_0000 + i as u64 * SIZE;

            check_eq!(soft.map(iova, SIZE, phys(page), VHOST_MAP_RW)?, 0);
        }
        soft.write(0x1_0ffd, &[1, 2, 3, 4, 5, 6])?;
        soft.read(0x1_0ffd, &mut buf)?;
        check_eq!(buf, [1, 2, 3, 4, 5, 6]);
        check_eq!(soft.read(0x1_1ffd, &mut buf), Err(EFAULT));
        check_eq!(soft.write(0x1_1ffd, &buf), Err(EFAULT));

        let iommu = soft.bed.parent().iommu.lock()?;
        let memory = iommu.memory(Asid(0));
        check_eq!(memory.read_array::<6>(0x1_0ffd)?, [1, 2, 3, 4, 5, 6]);
        memory.write_array(0x1_0ffe, [9; 4])?;
        check_eq!(memory.read_array::<6>(0x1_0ffd)?, [1, 9, 9, 9, 9, 6]);
        memory.copy_to(0x1_0ffd, &memory, 0x1_0100, 6)?;
        check_eq!(memory.read_array::<6>(0x1_0100)?, [1, 9, 9, 9, 9, 6]);
        check_eq!(memory.copy_to(0x1_0ffd, &memory, 0x1_1ffd, 6), Err(EFAULT));
        Ok(())
    }

    #[test]
    fn addresses_of_a_process_are_never_physical() -> Result {
        let soft = Soft::unbound()?;

        // Whatever the address happens to be.
        check_eq!(
            soft.map(0x1_0000, SIZE, phys(&soft.pages[0]), VHOST_MAP_RW)?,
            0
        );
        check_eq!(soft.read(0x1_0000, &mut [0]), Err(EFAULT));
        check_eq!(soft.write(0x1_0000, &[0]), Err(EFAULT));
        Ok(())
    }

    #[test]
    fn permissions_hold() -> Result {
        let soft = Soft::new(false)?;

        for (iova, perm) in [
            (0, 0),
            (1, VHOST_MAP_RO),
            (2, VHOST_MAP_WO),
            (3, VHOST_MAP_RW),
        ] {
            let iova = iova * SIZE;

            check_eq!(soft.map(iova, SIZE, phys(&soft.pages[0]), perm)?, 0);
            let allowed = |bit: u32| if perm & bit != 0 { Ok(()) } else { Err(EACCES) };
            check_eq!(soft.read(iova, &mut [0]), allowed(VHOST_MAP_RO));
            check_eq!(soft.write(iova, &[0]), allowed(VHOST_MAP_WO));
            let iommu = soft.bed.parent().iommu.lock()?;
            let memory = iommu.memory(Asid(0));
            check_eq!(
                memory.load_acquire_u16(iova).is_ok(),
                perm & VHOST_MAP_RO != 0
            );
            check_eq!(
                memory.store_release_u16(iova, 0).is_ok(),
                perm & VHOST_MAP_WO != 0
            );
        }
        Ok(())
    }

    #[test]
    fn sixteen_bits_are_one_access() -> Result {
        let soft = Soft::new(false)?;
        let addr = phys(&soft.pages[0]);

        check_eq!(soft.map(0x1000, 3, addr, VHOST_MAP_RW)?, 0);
        check_eq!(soft.map(0x1003, 5, addr + 4, VHOST_MAP_RW)?, 0);
        // Even here, odd in memory.
        check_eq!(soft.map(0x2000, 4, addr + 1, VHOST_MAP_RW)?, 0);

        let iommu = soft.bed.parent().iommu.lock()?;
        let memory = iommu.memory(Asid(0));
        memory.store_release_u16(0x1000, 0x1234)?;
        check_eq!(memory.load_acquire_u16(0x1000)?, 0x1234);
        check_eq!(memory.load_acquire_u16(0x1001), Err(EINVAL));
        check_eq!(memory.store_release_u16(0x1001, 0), Err(EINVAL));
        // Across two mappings: it will never serve.
        check_eq!(memory.load_acquire_u16(0x1002), Err(EACCES));
        check_eq!(memory.store_release_u16(0x1002, 0), Err(EACCES));
        check_eq!(memory.load_acquire_u16(0x2000), Err(EACCES));
        check_eq!(memory.store_release_u16(0x2000, 0), Err(EACCES));
        Ok(())
    }

    #[test]
    fn addresses_that_are_no_memory() -> Result {
        let soft = Soft::new(false)?;

        // Memory addresses that wrap around, and one of which nothing is known.
        check_eq!(soft.map(0, 16, u64::MAX - 7, VHOST_MAP_RW)?, 0);
        check_eq!(soft.map(0x1000, 16, 1 << 60, VHOST_MAP_RW)?, 0);
        for iova in [8, 15, 0x1000] {
            check_eq!(soft.read(iova, &mut [0]), Err(EFAULT));
            check_eq!(soft.write(iova, &[0]), Err(EFAULT));
        }
        // The range wraps around.
        check_eq!(soft.read(u64::MAX, &mut [0; 2]), Err(EFAULT));
        Ok(())
    }

    #[test]
    fn mappings_do_not_overlap_and_are_limited() -> Result {
        let soft = Soft::new(false)?;
        let addr = phys(&soft.pages[0]);

        for i in 0..LIMIT as u64 {
            check_eq!(soft.map(i * 0x10, 0x10, addr, VHOST_MAP_RW)?, 0);
        }
        check_eq!(soft.map(0x8000, 1, addr, VHOST_MAP_RW)?, ENOSPC.to_errno());

        // What overlaps goes as a whole.
        let ret = soft.bed.with(|dev| op!(dev, dma_unmap, 0, 0x1f, 2))?;
        check_eq!(ret, 0);
        check_eq!(soft.read(0x10, &mut [0]), Err(EFAULT));
        check_eq!(soft.read(0x2f, &mut [0]), Err(EFAULT));
        soft.read(0x0f, &mut [0])?;
        soft.read(0x30, &mut [0])?;

        check_eq!(soft.map(0x0f, 2, addr, VHOST_MAP_RW)?, EEXIST.to_errno());
        check_eq!(soft.map(0x10, 0x21, addr, VHOST_MAP_RW)?, EEXIST.to_errno());
        check_eq!(soft.map(0x10, 0x20, addr, VHOST_MAP_RW)?, 0);
        Ok(())
    }

    #[test]
    fn a_table_that_is_refused_changes_nothing() -> Result {
        let soft = Soft::new(true)?;
        let mut table = IotlbTable::new()?;
        let set = |table: &IotlbTable| {
            let raw = from_ref::<Iotlb>(table).cast_mut().cast();

            soft.bed.with(|dev| op!(dev, set_map, 0, raw))
        };
        let entry = |first| MapRange {
            iova: IovaRange { first, last: first },
            addr: phys(&soft.pages[0]),
            perm: Permission::RW,
        };

        table.add(entry(0x10))?;
        check_eq!(set(&table)?, 0);
        soft.read(0x10, &mut [0])?;

        table.remove(IovaRange::FULL);
        for i in 0..=LIMIT as u64 {
            table.add(entry(0x100 + i))?;
        }
        check_eq!(set(&table)?, ENOSPC.to_errno());
        soft.read(0x10, &mut [0])?;
        check_eq!(soft.read(0x100, &mut [0]), Err(EFAULT));

        table.remove(IovaRange {
            first: 0x100,
            last: 0x100,
        });
        check_eq!(set(&table)?, 0);
        check_eq!(soft.read(0x10, &mut [0]), Err(EFAULT));
        soft.read(0x101, &mut [0])?;
        Ok(())
    }

    #[test]
    fn address_spaces_are_apart() -> Result {
        let soft = Soft::new(false)?;
        let addr = phys(&soft.pages[0]);

        check_eq!(soft.map(0x10, 1, addr, VHOST_MAP_RW)?, 0);
        let iommu = soft.bed.parent().iommu.lock()?;
        check!(iommu.memory(Asid(0)).read(0x10, &mut [0]).is_ok());
        for asid in [1, 2, u32::MAX] {
            check_eq!(iommu.memory(Asid(asid)).read(0x10, &mut [0]), Err(EFAULT));
        }
        Ok(())
    }

    #[test]
    fn a_kernel_driver_reaches_memory_until_the_next_reset() -> Result {
        let soft = Soft::new(false)?;
        let iova = phys(&soft.pages[0]) + SIZE - 2;

        soft.bed.with(|dev| op!(dev, get_vq_map, 0).map(|_| ()))?;
        soft.write(iova, &[1, 2])?;
        soft.read(iova, &mut [0; 2])?;
        // An address that is none.
        check_eq!(soft.read(1 << 60, &mut [0]), Err(EFAULT));
        // What is mapped is all there is.
        check_eq!(soft.map(0x10, 1, iova, VHOST_MAP_RW)?, 0);
        check_eq!(soft.read(iova, &mut [0; 2]), Err(EFAULT));
        soft.bed.with(|dev| op!(dev, reset_map, 0).map(|_| ()))?;
        soft.read(iova, &mut [0; 2])?;
        check_eq!(soft.bed.with(|dev| op!(dev, reset))?, 0);
        check_eq!(soft.read(iova, &mut [0; 2]), Err(EFAULT));
        Ok(())
    }

    #[test]
    fn mappings_survive_a_reset_unless_asked_not_to() -> Result {
        let soft = Soft::new(false)?;

        check_eq!(soft.map(0x10, 1, phys(&soft.pages[0]), VHOST_MAP_RW)?, 0);
        check_eq!(soft.bed.with(|dev| op!(dev, reset))?, 0);
        soft.read(0x10, &mut [0])?;
        check_eq!(soft.bed.with(|dev| op!(dev, compat_reset, 0))?, 0);
        soft.read(0x10, &mut [0])?;
        let flags = VDPA_RESET_F_CLEAN_MAP;
        check_eq!(soft.bed.with(|dev| op!(dev, compat_reset, flags))?, 0);
        check_eq!(soft.read(0x10, &mut [0]), Err(EFAULT));
        Ok(())
    }

    #[test]
    fn whole_pages_are_copied_and_nothing_beside_them() -> Result {
        let soft = Soft::new(false)?;
        // Aligned, as kmalloc() does it.
        let mut here = KVec::from_elem(0u8, 4 * PAGE_SIZE, GFP_KERNEL)?;

        for (i, page) in soft.pages.iter().enumerate() {
            let iova = 0x1_0000 + i as u64 * SIZE;

            check_eq!(soft.map(iova, SIZE, phys(page), VHOST_MAP_RW)?, 0);
        }
        soft.write(0x1_1000, &[0xee])?;
        for (i, byte) in here.iter_mut().take(PAGE_SIZE).enumerate() {
            *byte = (i % 251) as u8;
        }
        soft.write(0x1_0000, here.get(..PAGE_SIZE).ok_or(EINVAL)?)?;
        let part = 2 * PAGE_SIZE..3 * PAGE_SIZE;
        soft.read(0x1_0000, here.get_mut(part).ok_or(EINVAL)?)?;
        for (i, byte) in here.iter().enumerate() {
            let there = i / PAGE_SIZE % 2 == 0;

            check_eq!(
                *byte,
                if there {
                    (i % PAGE_SIZE % 251) as u8
                } else {
                    0
                }
            );
        }
        let mut next = [0];
        soft.read(0x1_1000, &mut next)?;
        check_eq!(next, [0xee]);
        Ok(())
    }
}
