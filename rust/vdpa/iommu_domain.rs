// SPDX-License-Identifier: GPL-2.0

//! The platform's I/O translation for a device.
//!
//! C header: `include/linux/iommu.h`

use crate::{
    bindings,
    root_device::as_raw,
    IovaRange,
    Permission, //
};
use core::ptr::NonNull;
use kernel::{
    device,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::aref::ARef, //
};

/// A translation table of a platform's IOMMU, attached to a device that does DMA.
///
/// While it exists the device reaches what is mapped here, and nothing else. Dropping it gives the
/// device back to the kernel's own translation.
///
/// # Invariants
///
/// `domain` is a paging domain, which is attached to `dev`.
pub(crate) struct IommuDomain {
    domain: NonNull<bindings::iommu_domain>,
    dev: ARef<device::Device>,
}

// SAFETY: The IOMMU subsystem has its own locks.
unsafe impl Send for IommuDomain {}

// SAFETY: As above.
unsafe impl Sync for IommuDomain {}

impl IommuDomain {
    /// Whether a device has an IOMMU that makes its accesses cache coherent.
    #[inline]
    pub(crate) fn is_possible(dev: &device::Device) -> bool {
        let coherent = bindings::iommu_cap_IOMMU_CAP_CACHE_COHERENCY;

        // SAFETY: `dev` is valid.
        unsafe { bindings::device_iommu_capable(as_raw(Some(dev)), coherent) }
    }

    /// Makes a table without mappings and attaches it to a device.
    ///
    /// # Errors
    ///
    /// - `EOPNOTSUPP` where no IOMMU makes the device's accesses cache coherent,
    /// - `EINVAL` where the device has to share its translation with others,
    /// - `EBUSY` where somebody else has taken it over,
    /// - `ENOMEM`, and what the IOMMU's driver returns.
    #[inline]
    pub(crate) fn attach(dev: &device::Device) -> Result<Self> {
        let raw = as_raw(Some(dev));

        if !Self::is_possible(dev) {
            return Err(EOPNOTSUPP);
        }

        // SAFETY: `dev` is valid.
        let domain = from_err_ptr(unsafe { bindings::iommu_paging_domain_alloc_flags(raw, 0) })?;
        let domain = Unattached(NonNull::new(domain).ok_or(ENOMEM)?);

        if let Some(base) = msi_window(raw)? {
            // SAFETY: The domain is valid, and not used yet.
            to_result(unsafe { bindings::iommu_get_msi_cookie(domain.0.as_ptr(), base) })?;
        }
        // SAFETY: Both are valid.
        to_result(unsafe { bindings::iommu_attach_device(domain.0.as_ptr(), raw) })?;

        // INVARIANT: Attached just above.
        let this = Self {
            domain: domain.0,
            dev: dev.into(),
        };
        core::mem::forget(domain);
        Ok(this)
    }

    /// Returns the addresses that can be mapped, if not all can.
    #[inline]
    pub(crate) fn aperture(&self) -> Option<IovaRange> {
        // SAFETY: By the type invariant; set when the domain was allocated.
        let geometry = unsafe { (*self.domain.as_ptr()).geometry };

        geometry.force_aperture.then_some(IovaRange {
            first: geometry.aperture_start,
            last: geometry.aperture_end,
        })
    }

    /// Maps `size` bytes at bus address `iova` to physical address `addr`. All three must be
    /// multiples of the smallest page that the IOMMU knows.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EADDRINUSE` or `ENOMEM`, as the IOMMU's driver sees fit. Nothing is mapped then.
    ///
    /// # Safety
    ///
    /// The memory must stay where it is, and be the device's to read and write as `perm` says,
    /// until it was [unmapped](Self::unmap), or the domain dropped.
    #[inline]
    pub(crate) unsafe fn map(&self, iova: u64, addr: u64, size: u64, perm: Permission) -> Result {
        let mut prot = bindings::IOMMU_CACHE;

        if perm.read {
            prot |= bindings::IOMMU_READ;
        }
        if perm.write {
            prot |= bindings::IOMMU_WRITE;
        }
        // SAFETY: By the type invariant and the safety requirements of this function.
        to_result(unsafe {
            bindings::iommu_map(
                self.domain.as_ptr(),
                usize::try_from(iova)?,
                bindings::phys_addr_t::try_from(addr)?,
                usize::try_from(size)?,
                prot as c_int,
                bindings::GFP_KERNEL_ACCOUNT,
            )
        })
    }

    /// Unmaps whatever is mapped in `size` bytes at bus address `iova`, where no mapping reaches
    /// over either end. When this returns the device cannot use these addresses any more.
    ///
    /// # Errors
    ///
    /// `EIO` where some of it could not be unmapped.
    #[inline]
    pub(crate) fn unmap(&self, iova: u64, size: u64) -> Result {
        let (iova, size) = (usize::try_from(iova)?, usize::try_from(size)?);
        // SAFETY: By the type invariant.
        let unmapped = unsafe { bindings::iommu_unmap(self.domain.as_ptr(), iova, size) };

        if unmapped < size {
            return Err(EIO);
        }
        Ok(())
    }
}

impl Drop for IommuDomain {
    #[inline]
    fn drop(&mut self) {
        let domain = Unattached(self.domain);

        // SAFETY: By the type invariant.
        unsafe { bindings::iommu_detach_device(domain.0.as_ptr(), as_raw(Some(&self.dev))) };
    }
}

/// A table that is not in use.
struct Unattached(NonNull<bindings::iommu_domain>);

impl Drop for Unattached {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The table is valid and attached to no device.
        unsafe { bindings::iommu_domain_free(self.0.as_ptr()) };
    }
}

/// Returns where the device's interrupt messages have to be mapped, if they have to be, and
/// software chooses the address.
#[inline]
fn msi_window(dev: *mut bindings::device) -> Result<Option<bindings::dma_addr_t>> {
    // SAFETY: The device is valid.
    let Some(group) = NonNull::new(unsafe { bindings::iommu_group_get(dev) }) else {
        return Ok(None);
    };
    let mut list = bindings::list_head::default();
    let head = &raw mut list;

    // SAFETY: The group is valid, and so is the list, which is made empty. It is only reached by
    // this pointer from here on.
    let ret = unsafe {
        (*head).next = head;
        (*head).prev = head;
        bindings::iommu_get_group_resv_regions(group.as_ptr(), head)
    };
    let mut window = None;
    // SAFETY: The list is valid, with or without success.
    let mut entry = unsafe { (*head).next };

    while entry != head {
        let region = entry.cast::<bindings::iommu_resv_region>();

        // SAFETY: What is in the list is the first field of a region, which is ours.
        unsafe {
            entry = (*entry).next;
            if (*region).type_ == bindings::iommu_resv_type_IOMMU_RESV_SW_MSI {
                window = Some((*region).start);
            }
            bindings::kfree(region.cast());
        }
    }
    // SAFETY: The reference was taken above.
    unsafe { bindings::iommu_group_put(group.as_ptr()) };
    to_result(ret)?;
    Ok(window)
}
