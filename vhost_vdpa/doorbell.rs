// SPDX-License-Identifier: GPL-2.0

//! Doorbells in the memory of the process.

use kernel::{
    alloc::KVVec,
    device::Bound,
    mm::virt::{
        flags,
        VmaNew, //
    },
    prelude::*,
    sync::Arc, //
};
use vdpa::{
    bindings,
    page_offset,
    Device,
    Doorbells,
    NotificationArea,
    VqIndex, //
};

/// What an open file needs for mapping doorbells.
///
/// It does without the lock of the session: files are mapped with `mmap_lock` held, which the
/// device may be waiting for (to access the memory of the process) while somebody with the lock of
/// the session waits for the device.
pub(crate) struct DoorbellMap {
    /// Those of the virtqueues.
    areas: KVVec<Option<NotificationArea>>,
    doorbells: Arc<Doorbells>,
}

impl DoorbellMap {
    /// Asks the device where its doorbells are.
    pub(crate) fn new(dev: &Device<Bound>, doorbells: Arc<Doorbells>) -> Result<Self> {
        let mut areas = KVVec::new();

        for index in 0..dev.nvqs() {
            let area = dev.vq(index).and_then(|vq| vq.notification());

            areas.push(area, GFP_KERNEL)?;
        }
        Ok(Self { areas, doorbells })
    }

    /// Maps the doorbell of the virtqueue whose number is the offset, in pages.
    ///
    /// # Errors
    ///
    /// - `EINVAL` for a mapping that is not of one page, private, or readable, where the device
    ///   does not have the virtqueue, and where the doorbell does not begin at the beginning of a
    ///   page,
    /// - `EOPNOTSUPP` where the device has no doorbells, or one does not fill a page of its own,
    /// - `ENODEV` where the device is gone.
    pub(crate) fn map(&self, vma: &VmaNew) -> Result {
        // Wrong in any case, so this is what is said first.
        if vma.flags() & flags::SHARED == 0
            || vma.readable()
            || vma.end() - vma.start() != bindings::PAGE_SIZE
        {
            return Err(EINVAL);
        }

        let index = u32::try_from(page_offset(vma)).map_err(|_| EINVAL)?;
        let index = VqIndex::new(index, u32::try_from(self.areas.len())?).ok_or(EINVAL)?;
        let area = self.areas.get(usize::from(index)).ok_or(EINVAL)?;

        Doorbells::map(self.doorbells.as_arc_borrow(), vma, area.ok_or(EOPNOTSUPP)?)
    }
}
