// SPDX-License-Identifier: GPL-2.0

//! The part of the C tables that differs with the way a device reaches memory.
//!
//! The safety rules of [`Table`] hold here as well.

// What the functions demand of their callers is said once, at `Table`.
#![expect(clippy::missing_safety_doc)]

use crate::{
    bindings::{
        self,
        vdpa_config_ops,
        vdpa_device, //
    },
    ops::Table,
    Asid,
    ConfigOps,
    DmaMap,
    Iotlb,
    IovaRange,
    MapRange,
    Permission,
    SetMap,
    SoftDma,
    SoftIommu, //
};
use kernel::{
    error::from_result,
    mm::Mm,
    prelude::*, //
};

/// What a consumer asks to be mapped; refuses what is empty or wraps around.
#[inline]
pub(crate) fn map_range(iova: u64, size: u64, addr: u64, perm: u32) -> Result<MapRange> {
    Ok(MapRange {
        iova: IovaRange::from_size(iova, size).ok_or(EINVAL)?,
        addr,
        perm: Permission::from_raw(perm),
    })
}

impl<T: ConfigOps + SetMap> Table<T> {
    /// For a device that takes whole address spaces.
    pub(crate) const SET_MAP: vdpa_config_ops = vdpa_config_ops {
        set_map: Some(Self::set_map),
        reset_map: if <T as SetMap>::HAS_RESET_MAP {
            Some(Self::set_map_reset)
        } else {
            None
        },
        ..Self::PLATFORM
    };

    unsafe extern "C" fn set_map(
        vdev: *mut vdpa_device,
        asid: u32,
        iotlb: *mut bindings::vhost_iotlb,
    ) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, asid) = unsafe { Self::data_and_asid(vdev, asid) }?;

            // SAFETY: The IOTLB is valid and does not change during the call.
            data.set_map(asid, unsafe { Iotlb::from_raw(iotlb) })?;
            Ok(0)
        })
    }

    unsafe extern "C" fn set_map_reset(vdev: *mut vdpa_device, asid: u32) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, asid) = unsafe { Self::data_and_asid(vdev, asid) }?;

            SetMap::reset_map(data, asid)?;
            Ok(0)
        })
    }
}

impl<T: ConfigOps + DmaMap> Table<T> {
    /// For a device that takes single mappings.
    pub(crate) const DMA_MAP: vdpa_config_ops = vdpa_config_ops {
        dma_map: Some(Self::dma_map),
        dma_unmap: Some(Self::dma_unmap),
        reset_map: if <T as DmaMap>::HAS_RESET_MAP {
            Some(Self::dma_map_reset)
        } else {
            None
        },
        ..Self::PLATFORM
    };

    unsafe extern "C" fn dma_map(
        vdev: *mut vdpa_device,
        asid: u32,
        iova: u64,
        size: u64,
        pa: u64,
        perm: u32,
        _opaque: *mut c_void,
    ) -> c_int {
        from_result(|| {
            let range = map_range(iova, size, pa, perm)?;
            // SAFETY: See `Table`.
            let (data, asid) = unsafe { Self::data_and_asid(vdev, asid) }?;

            data.dma_map(asid, range)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn dma_unmap(
        vdev: *mut vdpa_device,
        asid: u32,
        iova: u64,
        size: u64,
    ) -> c_int {
        from_result(|| {
            let range = IovaRange::from_size(iova, size).ok_or(EINVAL)?;
            // SAFETY: See `Table`.
            let (data, asid) = unsafe { Self::data_and_asid(vdev, asid) }?;

            data.dma_unmap(asid, range)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn dma_map_reset(vdev: *mut vdpa_device, asid: u32) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, asid) = unsafe { Self::data_and_asid(vdev, asid) }?;

            DmaMap::reset_map(data, asid)?;
            Ok(0)
        })
    }
}

impl<T: ConfigOps + SoftDma> Table<T> {
    /// What a device in software has in either case.
    const SOFT: vdpa_config_ops = vdpa_config_ops {
        reset: Some(Self::soft_reset),
        compat_reset: Some(Self::soft_compat_reset),
        get_vq_map: Some(Self::soft_get_vq_map),
        reset_map: Some(Self::soft_reset_map),
        bind_mm: Some(Self::soft_bind_mm),
        unbind_mm: Some(Self::soft_unbind_mm),
        ..Self::PLATFORM
    };

    /// For a device in software that takes whole address spaces.
    pub(crate) const SOFT_SET_MAP: vdpa_config_ops = vdpa_config_ops {
        set_map: Some(Self::soft_set_map),
        ..Self::SOFT
    };

    /// For a device in software that takes single mappings.
    pub(crate) const SOFT_DMA_MAP: vdpa_config_ops = vdpa_config_ops {
        dma_map: Some(Self::soft_dma_map),
        dma_unmap: Some(Self::soft_dma_unmap),
        ..Self::SOFT
    };

    /// The device's translation, which one with these tables has.
    ///
    /// # Safety
    ///
    /// As said for [`Table`].
    #[inline]
    unsafe fn iommu<'a>(vdev: *mut vdpa_device) -> Result<&'a SoftIommu> {
        // SAFETY: By the safety requirements of this function.
        unsafe { Self::kept(vdev) }.iommu()
    }

    unsafe extern "C" fn soft_set_map(
        vdev: *mut vdpa_device,
        asid: u32,
        iotlb: *mut bindings::vhost_iotlb,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The IOTLB is valid and does not change during the call.
            let map = unsafe { Iotlb::from_raw(iotlb) };

            // SAFETY: See `Table`.
            unsafe { Self::iommu(vdev) }?.set_map(Asid(asid), map)?;
            // SAFETY: See `Table`.
            unsafe { Self::data(vdev) }.mapped();
            Ok(0)
        })
    }

    unsafe extern "C" fn soft_dma_map(
        vdev: *mut vdpa_device,
        asid: u32,
        iova: u64,
        size: u64,
        pa: u64,
        perm: u32,
        _opaque: *mut c_void,
    ) -> c_int {
        from_result(|| {
            let range = map_range(iova, size, pa, perm)?;

            // SAFETY: See `Table`.
            unsafe { Self::iommu(vdev) }?.map(Asid(asid), range)?;
            // SAFETY: See `Table`.
            unsafe { Self::data(vdev) }.mapped();
            Ok(0)
        })
    }

    unsafe extern "C" fn soft_dma_unmap(
        vdev: *mut vdpa_device,
        asid: u32,
        iova: u64,
        size: u64,
    ) -> c_int {
        from_result(|| {
            let range = IovaRange::from_size(iova, size).ok_or(EINVAL)?;

            // SAFETY: See `Table`.
            unsafe { Self::iommu(vdev) }?.unmap(Asid(asid), range)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn soft_reset_map(vdev: *mut vdpa_device, asid: u32) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            unsafe { Self::iommu(vdev) }?.reset_map(Asid(asid))?;
            Ok(0)
        })
    }

    unsafe extern "C" fn soft_bind_mm(
        vdev: *mut vdpa_device,
        mm: *mut bindings::mm_struct,
    ) -> c_int {
        from_result(|| {
            // SAFETY: `mm` is valid during the call.
            let mm = unsafe { Mm::from_raw(mm) }.into();

            // SAFETY: See `Table`.
            unsafe { Self::iommu(vdev) }?.set_mm(Some(mm));
            Ok(0)
        })
    }

    unsafe extern "C" fn soft_unbind_mm(vdev: *mut vdpa_device) {
        // SAFETY: See `Table`.
        if let Ok(iommu) = unsafe { Self::iommu(vdev) } {
            iommu.set_mm(None);
        }
    }

    unsafe extern "C" fn soft_reset(vdev: *mut vdpa_device) -> c_int {
        // SAFETY: See `Table`.
        unsafe { Self::soft_compat_reset(vdev, 0) }
    }

    unsafe extern "C" fn soft_compat_reset(vdev: *mut vdpa_device, flags: u32) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let iommu = unsafe { Self::iommu(vdev) }?;

            // SAFETY: See `Table`.
            unsafe { Self::do_reset(vdev, T::reset) }?;
            iommu.set_kernel_driver(false);
            if flags & bindings::VDPA_RESET_F_CLEAN_MAP != 0 {
                iommu.reset_all();
            }
            Ok(0)
        })
    }

    /// Only the transport for kernel drivers asks for this: from now on, until the next reset, it
    /// is one that uses the device. See [`SoftIommu`](crate::SoftIommu).
    unsafe extern "C" fn soft_get_vq_map(
        vdev: *mut vdpa_device,
        _idx: u16,
    ) -> bindings::virtio_map {
        // SAFETY: See `Table`.
        if let Ok(iommu) = unsafe { Self::iommu(vdev) } {
            iommu.set_kernel_driver(true);
        }
        // SAFETY: As above; the field does not change.
        unsafe { (*vdev).vmap }
    }
}
