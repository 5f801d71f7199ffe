// SPDX-License-Identifier: GPL-2.0

//! Memory that a driver gives to a device: pages, at bus addresses.

use crate::{
    bed::Bed,
    full::Full, //
};
use core::ptr::null_mut;
use kernel::{
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*, //
};
use vdpa::{
    bindings,
    Asid,
    IommuGuard,
    IovaRange,
    MapRange,
    Permission,
    SoftIommu, //
};

/// Returns the physical address of a page.
pub(crate) fn phys(page: &Page) -> u64 {
    // SAFETY: The page is valid.
    unsafe { bindings::rust_vdpa_page_to_phys(page.as_ptr()) }
}

/// Allocates a page of zeroes.
pub(crate) fn page() -> Result<Page> {
    Ok(Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?)
}

/// A device in software with pages mapped from one bus address on, each for itself, so that what is
/// next to each other for the device is not in memory.
pub(crate) struct Guest {
    // The device forgets the mappings before the pages go.
    bed: Bed<Full>,
    _pages: KVec<Page>,
}

impl Guest {
    /// Maps `count` pages for reading and writing, from bus address `first` on.
    pub(crate) fn new(first: u64, count: usize) -> Result<Self> {
        let bed = Bed::in_software(false)?;
        let mut pages = KVec::with_capacity(count, GFP_KERNEL)?;

        for i in 0..count {
            let page = page()?;
            let first = first + (i * PAGE_SIZE) as u64;
            let range = MapRange {
                iova: IovaRange {
                    first,
                    last: first + (PAGE_SIZE - 1) as u64,
                },
                addr: phys(&page),
                perm: Permission::RW,
            };

            // SAFETY: The page stays until the device is gone.
            bed.with(|dev| unsafe { dev.dma_map(Asid(0), range, null_mut()) })?;
            pages.push(page, GFP_KERNEL)?;
        }
        Ok(Self { bed, _pages: pages })
    }

    /// The device's translation.
    pub(crate) fn iommu(&self) -> &SoftIommu {
        &self.bed.parent().iommu
    }

    /// Opens the device's view of memory.
    pub(crate) fn lock(&self) -> Result<IommuGuard<'_>> {
        self.iommu().lock()
    }
}
