// SPDX-License-Identifier: GPL-2.0

//! Doorbells in the memory of the process.

use crate::{
    session::Session,
    status::has_features, //
};
use kernel::{
    device::Bound,
    mm::virt::{
        flags,
        VmaNew, //
    },
    prelude::*,
    sync::ArcBorrow, //
};
use vdpa::{
    bindings,
    page_offset,
    Device,
    Doorbells,
    Status, //
};

/// Maps the doorbell of the virtqueue whose number is the offset, in pages.
///
/// This does without the lock of the session: files are mapped with `mmap_lock` held, which the
/// device may be waiting for (to access the memory of the process) while somebody with the lock of
/// the session waits for the device. So it depends on what the device has said
/// [the last time](Session::update_doorbells).
///
/// # Errors
///
/// - `EINVAL` for a mapping that is not of one page, private, or readable, where the device does
///   not have the virtqueue, and where the doorbell does not begin at the beginning of a page,
/// - `EOPNOTSUPP` where the device has no doorbells, or one does not fill a page of its own,
/// - `ENODEV` where the device is gone.
pub(crate) fn map(doorbells: ArcBorrow<'_, Doorbells>, vma: &VmaNew) -> Result {
    // Wrong in any case, so this is what is said first.
    if vma.flags() & flags::SHARED == 0
        || vma.readable()
        || vma.end().checked_sub(vma.start()) != Some(bindings::PAGE_SIZE)
    {
        return Err(EINVAL);
    }

    let index = u32::try_from(page_offset(vma)).map_err(|_| EINVAL)?;

    Doorbells::map(doorbells, vma, index)
}

impl Session {
    /// Asks the device where its doorbells are, after its features changed, or its status was set to
    /// `status`. There are none before it has its features.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn update_doorbells(&self, dev: &Device<Bound>, status: Status) -> Result {
        // A device that is broken may have any status.
        let live = has_features(status) && has_features(dev.status());

        self.doorbells.update(dev, live)
    }
}
