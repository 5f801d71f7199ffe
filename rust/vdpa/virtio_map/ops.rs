// SPDX-License-Identifier: GPL-2.0

//! The C tables of devices that map the memory of kernel drivers themselves.

// What the functions demand of their callers is said once, at `Table::<T>::MAP_OPS`.
#![expect(clippy::missing_safety_doc)]

use super::{
    token::{
        Buffer,
        Memory,
        Room, //
    },
    Coherent,
    FromDevice,
    Mappings,
    ToDevice,
    Token,
    VirtioMap, //
};
use crate::{
    alloc::Head,
    bindings::{
        self,
        dma_addr_t,
        dma_data_direction,
        page,
        phys_addr_t,
        vdpa_config_ops,
        vdpa_device,
        virtio_map,
        virtio_map_ops, //
    },
    ops::Table,
    ConfigOps,
    VqIndex, //
};
use core::{
    marker::PhantomData,
    ptr::null_mut, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What mapping returns where it fails (`DMA_MAPPING_ERROR`).
const MAPPING_ERROR: dma_addr_t = dma_addr_t::MAX;

/// Whether buffers are copied when they are mapped and unmapped.
#[inline]
fn copies(attrs: c_ulong) -> bool {
    attrs & bindings::DMA_ATTR_SKIP_CPU_SYNC as c_ulong == 0
}

/// Whether the device is to read a buffer.
#[inline]
fn to_device(dir: dma_data_direction) -> bool {
    matches!(
        dir,
        dma_data_direction::DMA_TO_DEVICE | dma_data_direction::DMA_BIDIRECTIONAL
    )
}

/// Whether the device is to write a buffer.
#[inline]
fn from_device(dir: dma_data_direction) -> bool {
    matches!(
        dir,
        dma_data_direction::DMA_FROM_DEVICE | dma_data_direction::DMA_BIDIRECTIONAL
    )
}

/// The operations of a device that is otherwise one of `M`.
pub(super) struct WithMap<T, M>(PhantomData<(T, M)>);

impl<T: ConfigOps + VirtioMap, M: Mappings<T>> WithMap<T, M> {
    pub(super) const TABLE: vdpa_config_ops = vdpa_config_ops {
        get_vq_map: Some(Table::<T>::get_vq_map),
        ..*M::TABLE
    };
}

impl<T: ConfigOps + VirtioMap> Table<T> {
    /// For the consumer that has virtqueues for kernel drivers.
    ///
    /// # Safety
    ///
    /// All functions are called with a `struct virtio_map` that is 0, or one of those that
    /// [`get_vq_map`](Self::get_vq_map) returns for a device with this table, and is in use: the
    /// device is there for as long as a driver uses what is above it. Buffers are the driver's to
    /// read and write as `dir` says from when they are mapped until they are unmapped, which is not
    /// done while they are copied.
    pub(super) const MAP_OPS: virtio_map_ops = virtio_map_ops {
        map_page: Some(Self::map_page),
        unmap_page: Some(Self::unmap_page),
        sync_single_for_cpu: Some(Self::sync_single_for_cpu),
        sync_single_for_device: Some(Self::sync_single_for_device),
        alloc: Some(Self::map_alloc),
        free: Some(Self::map_free),
        need_sync: Some(Self::need_sync),
        mapping_error: Some(Self::mapping_error),
        max_mapping_size: Some(Self::max_mapping_size),
    };

    pub(super) unsafe extern "C" fn get_vq_map(vdev: *mut vdpa_device, idx: u16) -> virtio_map {
        // SAFETY: See `Table`.
        unsafe { Self::kept(vdev) }
            .token(idx)
            .map_or(virtio_map { group: null_mut() }, Token::to_raw)
    }

    /// # Safety
    ///
    /// As said for [`MAP_OPS`](Self::MAP_OPS).
    #[inline]
    unsafe fn token<'a>(map: virtio_map) -> Option<(&'a Token, &'a T, VqIndex)> {
        // SAFETY: By the safety requirements of this function; all members of the union are
        // pointers.
        let token = unsafe { map.group.cast::<Token>().as_ref() }?;
        let vdev = token.device();

        // A driver should have let go of everything by then.
        // SAFETY: By the type invariant the token is part of the device.
        if unsafe { Head::is_gone(vdev) } {
            return None;
        }
        // SAFETY: As above, and see `Table`.
        Some((token, unsafe { Self::data(vdev) }, token.vq()))
    }

    /// Has the parent copy a buffer, or part of it, to the device, which is to read it.
    ///
    /// # Safety
    ///
    /// As said for [`MAP_OPS`](Self::MAP_OPS).
    #[inline]
    unsafe fn copy_to_device(data: &T, vq: VqIndex, addr: u64, size: usize, buffer: Buffer) {
        if to_device(buffer.dir) {
            // SAFETY: By the safety requirements of this function, the buffer is there.
            let buffer = unsafe { ToDevice::new(buffer.phys, size) };

            data.sync_single_for_device(vq, addr, &buffer);
        }
    }

    /// Has the parent copy what the device has written to a buffer, or part of it.
    ///
    /// # Safety
    ///
    /// As said for [`MAP_OPS`](Self::MAP_OPS).
    #[inline]
    unsafe fn copy_from_device(data: &T, vq: VqIndex, addr: u64, size: usize, buffer: Buffer) {
        if from_device(buffer.dir) {
            // SAFETY: By the safety requirements of this function, the buffer is there.
            let buffer = unsafe { FromDevice::new(buffer.phys, size) };

            data.sync_single_for_cpu(vq, addr, &buffer);
        }
    }

    unsafe extern "C" fn map_page(
        map: virtio_map,
        page: *mut page,
        offset: c_ulong,
        size: usize,
        dir: dma_data_direction,
        attrs: c_ulong,
    ) -> dma_addr_t {
        let try_map = || {
            // SAFETY: See `MAP_OPS`.
            let (token, data, vq) = unsafe { Self::token(map) }.ok_or(EINVAL)?;
            let room = Room::new()?;
            // SAFETY: The page is the buffer's first one.
            let first = unsafe { bindings::rust_vdpa_page_to_phys(page) };
            let phys = first.checked_add(offset as phys_addr_t).ok_or(EINVAL)?;
            let buffer = Buffer { phys, dir };
            let addr = data.map_page(vq, size)?;

            token.add(room, addr, size, Memory::Buffer(buffer))?;
            if copies(attrs) {
                // SAFETY: See `MAP_OPS`.
                unsafe { Self::copy_to_device(data, vq, addr, size, buffer) };
            }
            Ok::<_, Error>(addr)
        };

        try_map().unwrap_or(MAPPING_ERROR)
    }

    unsafe extern "C" fn unmap_page(
        map: virtio_map,
        addr: dma_addr_t,
        _size: usize,
        _dir: dma_data_direction,
        attrs: c_ulong,
    ) {
        // SAFETY: See `MAP_OPS`.
        let Some((token, data, vq)) = (unsafe { Self::token(map) }) else {
            return;
        };

        // First of all, for when the parent knows that the address is free, others may have it.
        if let Some((size, Memory::Buffer(buffer))) = token.take(addr) {
            if copies(attrs) {
                // SAFETY: See `MAP_OPS`.
                unsafe { Self::copy_from_device(data, vq, addr, size, buffer) };
            }
            data.unmap_page(vq, addr, size);
        }
    }

    unsafe extern "C" fn sync_single_for_cpu(
        map: virtio_map,
        addr: dma_addr_t,
        size: usize,
        _dir: dma_data_direction,
    ) {
        // SAFETY: See `MAP_OPS`.
        if let Some((token, data, vq)) = unsafe { Self::token(map) } {
            if let Some(buffer) = token.find(addr, size) {
                // SAFETY: As above.
                unsafe { Self::copy_from_device(data, vq, addr, size, buffer) };
            }
        }
    }

    unsafe extern "C" fn sync_single_for_device(
        map: virtio_map,
        addr: dma_addr_t,
        size: usize,
        _dir: dma_data_direction,
    ) {
        // SAFETY: See `MAP_OPS`.
        if let Some((token, data, vq)) = unsafe { Self::token(map) } {
            if let Some(buffer) = token.find(addr, size) {
                // SAFETY: As above.
                unsafe { Self::copy_to_device(data, vq, addr, size, buffer) };
            }
        }
    }

    unsafe extern "C" fn map_alloc(
        map: virtio_map,
        size: usize,
        addr: *mut dma_addr_t,
        gfp: bindings::gfp_t,
    ) -> *mut c_void {
        let try_alloc = || {
            // SAFETY: See `MAP_OPS`.
            let (token, data, vq) = unsafe { Self::token(map) }.ok_or(EINVAL)?;
            let room = Room::new()?;
            let memory = Arc::new(Coherent::new(size, gfp)?, GFP_ATOMIC)?;
            let ptr = memory.as_ptr();
            let addr = data.alloc(vq, memory.clone())?;

            token.add(room, addr, size, Memory::Coherent(memory))?;
            Ok::<_, Error>((addr, ptr))
        };
        let (first, ptr) = try_alloc().unwrap_or((MAPPING_ERROR, null_mut()));

        // SAFETY: `addr` is valid for writes.
        unsafe { addr.write(first) };
        ptr
    }

    unsafe extern "C" fn map_free(
        map: virtio_map,
        _size: usize,
        _ptr: *mut c_void,
        addr: dma_addr_t,
        _attrs: c_ulong,
    ) {
        // SAFETY: See `MAP_OPS`.
        if let Some((token, data, vq)) = unsafe { Self::token(map) } {
            if let Some((_, Memory::Coherent(memory))) = token.take(addr) {
                data.free(vq, addr);
                // The last of it, unless the parent keeps it.
                drop(memory);
            }
        }
    }

    unsafe extern "C" fn need_sync(map: virtio_map, addr: dma_addr_t) -> bool {
        // SAFETY: See `MAP_OPS`.
        unsafe { Self::token(map) }.is_some_and(|(_, data, vq)| data.need_sync(vq, addr))
    }

    unsafe extern "C" fn mapping_error(_map: virtio_map, addr: dma_addr_t) -> c_int {
        if addr == MAPPING_ERROR {
            ENOMEM.to_errno()
        } else {
            0
        }
    }

    unsafe extern "C" fn max_mapping_size(map: virtio_map) -> usize {
        // SAFETY: See `MAP_OPS`.
        unsafe { Self::token(map) }.map_or(0, |(_, data, vq)| data.max_mapping_size(vq))
    }
}
