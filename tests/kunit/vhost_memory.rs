// SPDX-License-Identifier: GPL-2.0

//! `vhost_vdpa`: memory of a process for a device, from the messages to the device.

use crate::{
    calls::{
        Call,
        Op, //
    },
    full::{
        IOVA,
        SPACES, //
    },
    iotlb_messages::{
        with_iter,
        Fields, //
    },
    spaces,
    uapi,
    user::pinned,
    vhost::Vhost, //
};
use kernel::prelude::*;
use vdpa::bindings::{
    VHOST_ACCESS_RW,
    VHOST_BACKEND_F_IOTLB_ASID,
    VHOST_BACKEND_F_IOTLB_MSG_V2,
    VHOST_IOTLB_BATCH_BEGIN,
    VHOST_IOTLB_BATCH_END,
    VHOST_IOTLB_INVALIDATE,
    VHOST_IOTLB_UPDATE, //
};

const PAGE: u64 = vdpa::bindings::PAGE_SIZE as u64;

/// A device whose process has accepted address spaces.
fn vhost() -> Result<Vhost> {
    let vhost = Vhost::owned()?;
    let features = 1u64 << VHOST_BACKEND_F_IOTLB_MSG_V2 | 1 << VHOST_BACKEND_F_IOTLB_ASID;

    vhost.set(uapi::SET_BACKEND_FEATURES, &features)?;
    Ok(vhost)
}

impl Vhost {
    /// Sends a message, with all permissions.
    pub(crate) fn message(
        &self,
        asid: u32,
        kind: u32,
        iova: u64,
        size: u64,
        uaddr: u64,
    ) -> Result<usize> {
        let fields = Fields {
            version: 2,
            asid,
            iova,
            size,
            uaddr,
            perm: VHOST_ACCESS_RW,
            kind,
        };

        with_iter(&fields.bytes(), |iov| spaces::write(&self.vhost, iov))
    }

    /// Maps memory that begins so many bytes after the first of the process's.
    pub(crate) fn map(&self, asid: u32, iova: u64, size: u64, offset: u64) -> Result<usize> {
        let uaddr = self.user.addr() as u64 + offset;

        self.message(asid, VHOST_IOTLB_UPDATE, iova, size, uaddr)
    }

    /// Unmaps what there is in a range.
    pub(crate) fn unmap(&self, asid: u32, iova: u64, size: u64) -> Result<usize> {
        self.message(asid, VHOST_IOTLB_INVALIDATE, iova, size, 0)
    }

    /// Whether the device was told of so many mappings last, once.
    fn told(&self, asid: u32, maps: u64) -> bool {
        let notes = self.bed.parent().calls.take();

        matches!(
            notes.calls(),
            [Call(Op::SetMap, [a, n, ..])] if (*a, *n) == (asid.into(), maps)
        )
    }
}

#[kunit_tests(vdpa_vhost_memory)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_maps_memory() -> Result {
        let vhost = Vhost::new()?;

        check_eq!(vhost.map(0, 0x1000, PAGE, 0), Err(EPERM));
        // Whatever it is.
        let ret = with_iter(&[0xff; 3], |iov| spaces::write(&vhost.vhost, iov));
        check_eq!(ret, Err(EPERM));
        check!(vhost.bed.parent().asked(&[]));
        Ok(())
    }

    #[test]
    fn memory_is_mapped_and_unmapped() -> Result {
        let vhost = vhost()?;

        check_eq!(vhost.map(1, 0x1_0000, PAGE, 0)?, 72);
        check!(vhost.told(1, 1));
        check_eq!(pinned()?, 1);
        // Part of a page is all of it.
        vhost.map(1, 0x1_1010, 0x20, PAGE + 0x10)?;
        check_eq!(pinned()?, 2);
        vhost.bed.parent().calls.take();
        check_eq!(vhost.unmap(1, 0x1_0000, 1)?, 72);
        check!(vhost.told(1, 1));
        check_eq!(pinned()?, 1);
        vhost.unmap(1, 0, 0)?;
        check_eq!(pinned()?, 0);
        Ok(())
    }

    #[test]
    fn what_cannot_be_mapped_leaves_nothing_behind() -> Result {
        let vhost = vhost()?;

        vhost.map(0, 0x10_0000, PAGE, 0)?;
        vhost.bed.parent().calls.take();
        for (iova, size, offset, error) in [
            // Not in the device's range.
            (IOVA.first - PAGE, PAGE, 0, EINVAL),
            (IOVA.last, 2, PAGE - 1, EINVAL),
            // Wraps around, or is nothing.
            (u64::MAX, 2, 0, EINVAL),
            (0x1000, 0, 0, EINVAL),
            // Shifted within its page.
            (0x1000, PAGE, 1, EINVAL),
            (0x1001, PAGE, 0, EINVAL),
            // Mapped already.
            (0x10_0000, PAGE, 0, EEXIST),
            (0xf_f000, 2 * PAGE, 0, EEXIST),
            // The last page is not there, or none is.
            (0x20_0000, 5 * PAGE, 0, EFAULT),
            (0x20_0000, PAGE, 4 * PAGE, EFAULT),
        ] {
            check_eq!(vhost.map(0, iova, size, offset), Err(error));
            check_eq!(pinned()?, 1);
        }
        // No memory of a process at all.
        let ret = vhost.message(0, VHOST_IOTLB_UPDATE, 0x20_0000, PAGE, 0);
        check_eq!(ret, Err(EFAULT));
        let kernel = u64::MAX & !(PAGE - 1);
        let ret = vhost.message(0, VHOST_IOTLB_UPDATE, 0x20_0000, PAGE, kernel - PAGE);
        check_eq!(ret, Err(EFAULT));
        check_eq!(pinned()?, 1);
        Ok(())
    }

    #[test]
    fn a_device_that_refuses_gets_nothing() -> Result {
        let vhost = vhost()?;

        vhost.bed.parent().calls.fail(Some(Op::SetMap));
        check_eq!(vhost.map(0, 0x1000, PAGE, 0), Err(EIO));
        vhost.bed.parent().calls.fail(None);
        vhost.map(0, 0x1000, PAGE, 0)?;
        check_eq!(pinned()?, 1);
        vhost.unmap(0, 0, 0)?;
        check_eq!(pinned()?, 0);
        Ok(())
    }

    #[test]
    fn address_spaces_are_there() -> Result {
        let vhost = vhost()?;

        for asid in [SPACES, u32::MAX] {
            check_eq!(vhost.map(asid, 0x1000, PAGE, 0), Err(EINVAL));
            check_eq!(vhost.unmap(asid, 0x1000, PAGE), Err(EINVAL));
            for kind in [VHOST_IOTLB_BATCH_BEGIN, VHOST_IOTLB_BATCH_END] {
                check_eq!(vhost.message(asid, kind, 0, 0, 0), Err(EINVAL));
            }
        }
        check!(vhost.bed.parent().asked(&[]));
        check_eq!(pinned()?, 0);
        Ok(())
    }

    #[test]
    fn without_the_feature_there_is_one_address_space() -> Result {
        let vhost = Vhost::owned()?;

        vhost.map(u32::MAX, 0x1000, PAGE, 0)?;
        check!(vhost.told(0, 1));
        Ok(())
    }

    #[test]
    fn a_batch_is_announced_once() -> Result {
        let vhost = vhost()?;

        vhost.message(1, VHOST_IOTLB_BATCH_BEGIN, 0, 0, 0)?;
        for page in 0..3 {
            vhost.map(1, 0x1_0000 + page * PAGE, PAGE, page * PAGE)?;
        }
        vhost.unmap(1, 0x1_0000, 1)?;
        // It is of one address space.
        check_eq!(vhost.map(0, 0x1000, PAGE, 0), Err(EINVAL));
        check!(vhost.bed.parent().asked(&[]));
        vhost.message(1, VHOST_IOTLB_BATCH_END, 0, 0, 0)?;
        check!(vhost.told(1, 2));
        check_eq!(pinned()?, 2);
        vhost.map(0, 0x1000, PAGE, 0)?;
        check!(vhost.told(0, 1));
        Ok(())
    }

    #[test]
    fn all_memory_is_let_go_at_the_end() -> Result {
        let vhost = vhost()?;

        vhost.map(0, 0x1000, 4 * PAGE, 0)?;
        vhost.message(1, VHOST_IOTLB_BATCH_BEGIN, 0, 0, 0)?;
        vhost.map(1, 0x1000, PAGE, 0)?;
        check_eq!(pinned()?, 5);
        drop(vhost);
        check_eq!(pinned()?, 0);
        Ok(())
    }

    #[test]
    fn tables_of_memory_are_checked_and_not_used() -> Result {
        let vhost = Vhost::new()?;
        // One region: the header, then guest address, size, user address, flags.
        let table = |regions: u64, guest, size, user| [regions, guest, size, user, 0u64];

        check_eq!(
            vhost.set(uapi::SET_MEM_TABLE, &table(0, 0, 0, 0)),
            Err(EPERM)
        );
        vhost.bare(uapi::SET_OWNER)?;
        for (table, error) in [
            (table(0, 0, 0, 0), None),
            (table(1, 0x1000, 0x1000, 0x1000), None),
            (table(1, u64::MAX, 1, u64::MAX), None),
            (table(1, 0, 0, 0), Some(EFAULT)),
            (table(1, u64::MAX, 2, 0), Some(EFAULT)),
            (table(1, 0, 2, u64::MAX), Some(EFAULT)),
            (table(65, 0, 1, 0), Some(E2BIG)),
            (table(u32::MAX.into(), 0, 1, 0), Some(E2BIG)),
            (table(1 << 32, 0, 1, 0), Some(EOPNOTSUPP)),
        ] {
            check_eq!(vhost.set(uapi::SET_MEM_TABLE, &table).err(), error);
        }
        let addr = vhost.user.end() - 8;
        vhost.user.put(addr, &1u64)?;
        check_eq!(vhost.at(uapi::SET_MEM_TABLE, addr), Err(EFAULT));
        check!(vhost.bed.parent().asked(&[]));
        Ok(())
    }
}
