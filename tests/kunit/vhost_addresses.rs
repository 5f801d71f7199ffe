// SPDX-License-Identifier: GPL-2.0

//! `vhost_vdpa`: addresses of a process for a device, from the messages to the device.

use crate::{
    address_files::OF_PROCESS,
    bed::Bed,
    calls::{
        Call,
        Op, //
    },
    device::VhostVdpa,
    full::{
        full_info,
        Full, //
    },
    user::{
        pinned,
        UserMemory, //
    },
    vhost::Vhost, //
};
use kernel::prelude::*;
use vdpa::{
    bindings::{
        VHOST_IOTLB_BATCH_BEGIN,
        VHOST_IOTLB_BATCH_END, //
    },
    chardev::Mappings,
    Asid,
    Doorbells,
    UnregisteredDevice, //
};

const PAGE: u64 = vdpa::bindings::PAGE_SIZE as u64;

/// Opens a device, with four pages of a file, one of which is private.
fn open(device: UnregisteredDevice<Full>) -> Result<Vhost> {
    let user = UserMemory::shared(4)?;
    let bed = Bed::new(device)?;
    let vhost = bed.with(VhostVdpa::new)?;

    user.make_private(1)?;
    vhost.open(Doorbells::new(Mappings::without_file()?)?)?;

    let this = Vhost { vhost, bed, user };

    this.bare(crate::uapi::SET_OWNER)?;
    this.bed.parent().calls.take();
    Ok(this)
}

/// Makes one of the two kinds. There is one device at a time.
type Open = fn() -> Result<Vhost>;

/// A device that has another process map the files.
fn with_files() -> Result<Vhost> {
    open(UnregisteredDevice::with_file_set_map(
        &full_info(),
        Full::new(),
    )?)
}

/// A device that accesses the memory itself.
fn with_process() -> Result<Vhost> {
    open(UnregisteredDevice::in_software(
        &full_info(),
        OF_PROCESS,
        Full::new(),
    )?)
}

impl Vhost {
    /// How many mappings there are in the first address space.
    fn mappings(&self) -> Result<usize> {
        self.vhost
            .with(|session, dev| Ok(session.spaces.get(dev, Asid(0))?.len()))
    }
}

#[kunit_tests(vdpa_vhost_addresses)]
mod tests {
    use super::*;

    #[test]
    fn each_area_is_a_mapping() -> Result {
        for (open, files, maps) in [(with_files as Open, 2, 2), (with_process, 0, 3)] {
            let vhost = open()?;
            let before = vhost.user.file_references()?;

            vhost.map(0, 0x1_0000, 4 * PAGE, 0)?;
            check_eq!(vhost.mappings()?, maps);
            check_eq!(vhost.user.file_references()?, before + files);
            check_eq!(pinned()?, 0);
            // Part of an area is all of it, but nothing of the others.
            vhost.unmap(0, 0x1_0000 + 2 * PAGE, PAGE)?;
            check_eq!(vhost.mappings()?, maps - 1);
            vhost.map(0, 0x1_0000 + 2 * PAGE, 2 * PAGE, 2 * PAGE)?;
            check_eq!(vhost.mappings()?, maps);
            vhost.unmap(0, 0, 0)?;
            check_eq!(vhost.mappings()?, 0);
            check_eq!(vhost.user.file_references()?, before);
            // To the byte.
            vhost.map(0, 0x1_0001, 1, 5)?;
            vhost.map(0, 0x1_0002, 1, 5)?;
            check_eq!(vhost.mappings()?, 2);
        }
        Ok(())
    }

    #[test]
    fn what_cannot_be_mapped_leaves_nothing_behind() -> Result {
        for open in [with_files as Open, with_process] {
            let vhost = open()?;
            let before = vhost.user.file_references()?;

            vhost.map(0, 0x10_0000, PAGE, 0)?;
            let (maps, files) = (vhost.mappings()?, vhost.user.file_references()?);
            vhost.bed.parent().calls.take();
            for (iova, size, offset, error) in [
                // The last page is not there, or none is.
                (0x20_0000, 5 * PAGE, 0, EFAULT),
                (0x20_0000, PAGE, 4 * PAGE, EFAULT),
                // Mapped already, in the end or by memory that is left out.
                (0xf_d000, 4 * PAGE, 0, EEXIST),
                (0x10_0000, PAGE, PAGE, EEXIST),
                // Not in the device's range.
                (0, PAGE, 0, EINVAL),
            ] {
                check_eq!(vhost.map(0, iova, size, offset), Err(error));
                check_eq!(vhost.mappings()?, maps);
                check_eq!(vhost.user.file_references()?, files);
            }
            check!(vhost.bed.parent().asked(&[]));
            vhost.unmap(0, 0, 0)?;
            check_eq!(vhost.user.file_references()?, before);
        }
        Ok(())
    }

    #[test]
    fn a_device_that_refuses_gets_nothing() -> Result {
        let vhost = with_files()?;
        let before = vhost.user.file_references()?;
        let calls = &vhost.bed.parent().calls;

        calls.fail(Some(Op::SetMap));
        check_eq!(vhost.map(0, 0x1_0000, 4 * PAGE, 0), Err(EIO));
        check_eq!(
            (vhost.mappings()?, vhost.user.file_references()?),
            (0, before)
        );
        vhost.message(0, VHOST_IOTLB_BATCH_BEGIN, 0, 0, 0)?;
        vhost.map(0, 0x1_0000, 4 * PAGE, 0)?;
        check_eq!(vhost.message(0, VHOST_IOTLB_BATCH_END, 0, 0, 0), Err(EIO));
        check_eq!(vhost.unmap(0, 0, 0), Err(EIO));
        check_eq!(
            (vhost.mappings()?, vhost.user.file_references()?),
            (0, before)
        );
        vhost.message(0, VHOST_IOTLB_BATCH_BEGIN, 0, 0, 0)?;
        vhost.map(0, 0x1_0000, 4 * PAGE, 0)?;
        calls.fail(Some(Op::ResetMap));
        // As if the process had ended.
        vhost.vhost.close();
        check_eq!(vhost.user.file_references()?, before);
        Ok(())
    }

    #[test]
    fn a_batch_is_announced_once() -> Result {
        let vhost = with_files()?;
        let told = |maps| Call(Op::SetMap, [0, maps, 0x1_0000, 0]);

        vhost.message(0, VHOST_IOTLB_BATCH_BEGIN, 0, 0, 0)?;
        vhost.map(0, 0x1_0000, 4 * PAGE, 0)?;
        vhost.map(0, 0x2_0000, 4 * PAGE, 0)?;
        check_eq!(vhost.map(0, 0x2_3000, 4 * PAGE, 0), Err(EEXIST));
        check!(vhost.bed.parent().asked(&[]));
        vhost.message(0, VHOST_IOTLB_BATCH_END, 0, 0, 0)?;
        check!(vhost.bed.parent().asked(&[told(4)]));
        vhost.map(0, 0x3_0000, PAGE, 0)?;
        check!(vhost.bed.parent().asked(&[told(5)]));
        Ok(())
    }

    #[test]
    fn a_device_that_was_told_nothing_is_not_told_that_it_ends() -> Result {
        let vhost = with_files()?;

        vhost.vhost.close();
        check!(vhost
            .bed
            .parent()
            .calls
            .take()
            .calls()
            .iter()
            .all(|call| !matches!(call.0, Op::SetMap | Op::ResetMap)));
        Ok(())
    }
}
