// SPDX-License-Identifier: GPL-2.0

//! The part of the C tables of devices that have another process map the memory.
//!
//! The safety rules of [`Table`] hold here as well. A device with one of these tables is one with
//! [`Source::Files`](crate::Source::Files), to which consumers give a `struct vdpa_map_file` with
//! each mapping.

// What the functions demand of their callers is said once, at `Table`.
#![expect(clippy::missing_safety_doc)]

use crate::{
    bindings::{
        self,
        vdpa_config_ops,
        vdpa_device, //
    },
    iotlb::Iotlb,
    ops::Table,
    ops_map::map_range,
    ConfigOps,
    FileArea,
    FileDmaMap,
    FileIotlb,
    FileRange,
    FileSetMap,
    IovaRange,
    MapRange, //
};
use core::ptr::NonNull;
use kernel::{
    error::from_result,
    prelude::*, //
};

impl<T: ConfigOps + FileSetMap> Table<T> {
    /// For a device that takes whole address spaces.
    pub(crate) const FILE_SET_MAP: vdpa_config_ops = vdpa_config_ops {
        set_map: Some(Self::file_set_map),
        reset_map: if <T as FileSetMap>::HAS_RESET_MAP {
            Some(Self::file_set_map_reset)
        } else {
            None
        },
        ..Self::PLATFORM
    };

    unsafe extern "C" fn file_set_map(
        vdev: *mut vdpa_device,
        asid: u32,
        iotlb: *mut bindings::vhost_iotlb,
    ) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, asid) = unsafe { Self::data_and_asid(vdev, asid) }?;
            // SAFETY: The IOTLB is valid and does not change during the call.
            let map = unsafe { Iotlb::from_raw(iotlb) };
            let mut maps = map.iter();

            while let Some((_, opaque)) = maps.next_with_opaque() {
                if opaque.is_null() {
                    return Err(EINVAL);
                }
            }
            // SAFETY: See above for what consumers give a device; that they did was seen here.
            data.set_map(asid, unsafe { FileIotlb::new(map) })?;
            Ok(0)
        })
    }

    unsafe extern "C" fn file_set_map_reset(vdev: *mut vdpa_device, asid: u32) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, asid) = unsafe { Self::data_and_asid(vdev, asid) }?;

            FileSetMap::reset_map(data, asid)?;
            Ok(0)
        })
    }
}

impl<T: ConfigOps + FileDmaMap> Table<T> {
    /// For a device that takes single mappings.
    pub(crate) const FILE_DMA_MAP: vdpa_config_ops = vdpa_config_ops {
        dma_map: Some(Self::file_dma_map),
        dma_unmap: Some(Self::file_dma_unmap),
        reset_map: if <T as FileDmaMap>::HAS_RESET_MAP {
            Some(Self::file_dma_map_reset)
        } else {
            None
        },
        ..Self::PLATFORM
    };

    unsafe extern "C" fn file_dma_map(
        vdev: *mut vdpa_device,
        asid: u32,
        iova: u64,
        len: u64,
        uaddr: u64,
        perm: u32,
        opaque: *mut c_void,
    ) -> c_int {
        from_result(|| {
            let MapRange { iova, perm, .. } = map_range(iova, len, uaddr, perm)?;
            let file = NonNull::new(opaque.cast()).ok_or(EINVAL)?;
            // SAFETY: See `Table`.
            let (data, asid) = unsafe { Self::data_and_asid(vdev, asid) }?;

            data.dma_map(
                asid,
                FileRange {
                    iova,
                    perm,
                    // SAFETY: See above for what consumers give a device.
                    area: unsafe { FileArea::from_raw(file, iova.size()) },
                },
            )?;
            Ok(0)
        })
    }

    unsafe extern "C" fn file_dma_unmap(
        vdev: *mut vdpa_device,
        asid: u32,
        iova: u64,
        len: u64,
    ) -> c_int {
        from_result(|| {
            let range = IovaRange::from_size(iova, len).ok_or(EINVAL)?;
            // SAFETY: See `Table`.
            let (data, asid) = unsafe { Self::data_and_asid(vdev, asid) }?;

            data.dma_unmap(asid, range)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn file_dma_map_reset(vdev: *mut vdpa_device, asid: u32) -> c_int {
        from_result(|| {
            // SAFETY: See `Table`.
            let (data, asid) = unsafe { Self::data_and_asid(vdev, asid) }?;

            FileDmaMap::reset_map(data, asid)?;
            Ok(0)
        })
    }
}
