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
    prepared: Prepared,
}

/// So many pieces of memory are mapped at once.
const PIECES: usize = 64;

/// Memory that is to be mapped at bus addresses that follow each other.
struct Prepared {
    /// The pieces, of which there are `count`.
    list: KVec<bindings::scatterlist>,
    count: usize,
    first: u64,
    size: u64,
    perm: Permission,
}

impl Prepared {
    #[inline]
    fn new() -> Result<Self> {
        let mut list = KVec::from_elem(pin_init::zeroed(), PIECES, GFP_KERNEL)?;

        // SAFETY: There are as many entries.
        unsafe { bindings::sg_init_table(list.as_mut_ptr(), PIECES as c_uint) };
        Ok(Self {
            list,
            count: 0,
            first: 0,
            size: 0,
            perm: Permission::RW,
        })
    }
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

        let prepared = Prepared::new()?;
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
            prepared,
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

    /// Prepares for mapping `size` bytes at bus address `iova` to physical address `addr`. All three
    /// must be multiples of the smallest page that the IOMMU knows, and there must be pages.
    ///
    /// Returns whether it goes together with what was prepared before. If not, that must be
    /// [mapped](Self::map) first.
    #[inline]
    pub(crate) fn push(&mut self, iova: u64, addr: u64, size: u64, perm: Permission) -> bool {
        let prepared = &mut self.prepared;

        if prepared.count == 0 {
            prepared.first = iova;
            prepared.size = 0;
            prepared.perm = perm;
        }
        let next = prepared.first.wrapping_add(prepared.size);
        let (Some(entry), Ok(len)) = (
            prepared.list.get_mut(prepared.count),
            c_uint::try_from(size),
        ) else {
            return false;
        };

        if next != iova || prepared.perm != perm {
            return false;
        }
        // SAFETY: The entry is valid.
        unsafe { bindings::rust_vdpa_sg_set_phys(entry, addr as bindings::phys_addr_t, len) };
        prepared.count = prepared.count.wrapping_add(1);
        prepared.size = prepared.size.wrapping_add(size);
        true
    }

    /// Maps what was [prepared](Self::push), at once: the IOMMU is told of all of it together.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EADDRINUSE` or `ENOMEM`, as the IOMMU's driver sees fit, with the addresses at which
    /// nothing is mapped then. Nothing is prepared any more.
    ///
    /// # Safety
    ///
    /// The memory must stay where it is, and be the device's to read and write as was said of it,
    /// until it was [unmapped](Self::unmap), or the domain dropped.
    #[inline]
    pub(crate) unsafe fn map(&mut self) -> Result<(), (Error, Option<IovaRange>)> {
        let prepared = &mut self.prepared;
        let count = core::mem::replace(&mut prepared.count, 0);
        let mut prot = bindings::IOMMU_CACHE;

        if count == 0 {
            return Ok(());
        }
        if prepared.perm.read {
            prot |= bindings::IOMMU_READ;
        }
        if prepared.perm.write {
            prot |= bindings::IOMMU_WRITE;
        }
        // SAFETY: By the type invariant and the safety requirements of this function; so many entries
        // of the list are valid.
        let mapped = unsafe {
            bindings::iommu_map_sg(
                self.domain.as_ptr(),
                prepared.first as c_ulong,
                prepared.list.as_mut_ptr(),
                count as c_uint,
                prot as c_int,
                bindings::GFP_KERNEL_ACCOUNT,
            )
        };

        if u64::try_from(mapped) == Ok(prepared.size) {
            return Ok(());
        }
        let error = c_int::try_from(mapped)
            .ok()
            .and_then(|mapped| to_result(mapped).err());

        Err((
            error.unwrap_or(EINVAL),
            IovaRange::from_size(prepared.first, prepared.size),
        ))
    }

    /// Forgets what was prepared, and returns its addresses, if there are any.
    #[inline]
    pub(crate) fn forget(&mut self) -> Option<IovaRange> {
        let prepared = &mut self.prepared;

        match core::mem::replace(&mut prepared.count, 0) {
            0 => None,
            _ => IovaRange::from_size(prepared.first, prepared.size),
        }
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
