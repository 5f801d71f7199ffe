// SPDX-License-Identifier: GPL-2.0

//! Devices that map the memory of kernel drivers themselves.
//!
//! A kernel driver has its buffers mapped by the DMA API, for the device that does DMA. Where no
//! such device is (what handles the buffers is another process, or the processor), the parent has
//! to do that: it chooses the addresses, and sees to it that the device finds there what the
//! driver's buffers hold, and the other way round.
//!
//! C header: `include/linux/virtio_config.h`, `struct virtio_map_ops`.

mod buffer;
mod coherent;
mod ops;
mod token;

pub(crate) use self::token::Token;
pub use self::{
    buffer::{
        FromDevice,
        ToDevice, //
    },
    coherent::Coherent, //
};

use crate::{
    alloc::Model,
    bindings::vdpa_config_ops,
    ops::Table,
    ConfigOps,
    DeviceInfo,
    DmaMap,
    FileDmaMap,
    FileSetMap,
    SetMap,
    UnregisteredDevice,
    VqIndex, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A device that maps the memory of kernel drivers itself.
///
/// The names are those of `struct virtio_map_ops`, the virtqueue is the one that the memory is mapped
/// for: those that are in different groups may be in different address spaces, with addresses of
/// their own. The crate knows the driver's buffer behind each address, and lends it to the parent
/// when something is to be copied; the parent cannot keep it.
///
/// Consumers map, copy and unmap in this order, each buffer by itself and many at a time:
/// [`map_page`], [`sync_single_for_device`] where the device is to read it,
/// [`sync_single_for_cpu`] where the device was to write it, [`unmap_page`]. Drivers that map a
/// buffer for longer copy in between.
///
/// # Context
///
/// All but [`alloc`](Self::alloc) and [`free`](Self::free) are called in any context, with
/// interrupts off too. The consumer may have stopped the virtqueue already.
///
/// [`map_page`]: Self::map_page
/// [`sync_single_for_device`]: Self::sync_single_for_device
/// [`sync_single_for_cpu`]: Self::sync_single_for_cpu
/// [`unmap_page`]: Self::unmap_page
pub trait VirtioMap: Sized + Send + Sync {
    /// Chooses the address of a buffer of `size` bytes, which is not 0: one that nothing is mapped
    /// at, for `size` bytes.
    ///
    /// The device may be told of it as soon as this has returned. What it finds there is not the
    /// buffer's contents before [`sync_single_for_device`](Self::sync_single_for_device).
    ///
    /// # Errors
    ///
    /// Whatever they are, the driver sees `ENOMEM`, and may try again.
    fn map_page(&self, vq: VqIndex, size: usize) -> Result<u64>;

    /// The address is free again. The device does not use it any more.
    fn unmap_page(&self, vq: VqIndex, addr: u64, size: usize);

    /// Has the device find what is in the buffer, or part of it, at `addr` and after.
    fn sync_single_for_device(&self, vq: VqIndex, addr: u64, buffer: &ToDevice<'_>);

    /// Has the buffer, or part of it, hold what the device has written at `addr` and after.
    ///
    /// That is all of it, of which the device may have written less. What it has not written must
    /// not be what others have left there.
    fn sync_single_for_cpu(&self, vq: VqIndex, addr: u64, buffer: &FromDevice<'_>);

    /// Chooses the address of memory that driver and device share, as that of a virtqueue's rings,
    /// and that both of them see at once.
    ///
    /// # Context
    ///
    /// As the driver has allocated it: a process for virtqueues, which may sleep. Others may not.
    ///
    /// # Errors
    ///
    /// As for [`map_page`](Self::map_page).
    fn alloc(&self, vq: VqIndex, memory: Arc<Coherent>) -> Result<u64>;

    /// The address that [`alloc`](Self::alloc) has returned is free again.
    fn free(&self, vq: VqIndex, addr: u64);

    /// Whether anything has to be copied for what is mapped at `addr`. It does, if not overridden.
    #[inline]
    fn need_sync(&self, vq: VqIndex, addr: u64) -> bool {
        let _ = (vq, addr);
        true
    }

    /// The size of the largest buffer that can be mapped, in bytes. There is no limit, if not
    /// overridden.
    #[inline]
    fn max_mapping_size(&self, vq: VqIndex) -> usize {
        let _ = vq;
        usize::MAX
    }
}

mod private {
    use crate::bindings::vdpa_config_ops;

    /// How a device is told of the mappings of userspace.
    pub trait Table<T> {
        const TABLE: &'static vdpa_config_ops;
        const USE_VA: bool;
    }
}

/// How a device that maps the memory of kernel drivers itself is told of the mappings of userspace:
/// [`SetMaps`], [`DmaMaps`], [`FileSetMaps`] or [`FileDmaMaps`].
///
/// It cannot be behind a platform IOMMU, which is that of a device that does DMA.
pub trait Mappings<T>: private::Table<T> {}

impl<T, M: private::Table<T>> Mappings<T> for M {}

/// As [`SetMap`] says.
pub enum SetMaps {}

/// As [`DmaMap`] says.
pub enum DmaMaps {}

/// As [`FileSetMap`] says.
pub enum FileSetMaps {}

/// As [`FileDmaMap`] says.
pub enum FileDmaMaps {}

impl<T: ConfigOps + SetMap> private::Table<T> for SetMaps {
    const TABLE: &'static vdpa_config_ops = &Table::<T>::SET_MAP;
    const USE_VA: bool = false;
}

impl<T: ConfigOps + DmaMap> private::Table<T> for DmaMaps {
    const TABLE: &'static vdpa_config_ops = &Table::<T>::DMA_MAP;
    const USE_VA: bool = false;
}

impl<T: ConfigOps + FileSetMap> private::Table<T> for FileSetMaps {
    const TABLE: &'static vdpa_config_ops = &Table::<T>::FILE_SET_MAP;
    const USE_VA: bool = true;
}

impl<T: ConfigOps + FileDmaMap> private::Table<T> for FileDmaMaps {
    const TABLE: &'static vdpa_config_ops = &Table::<T>::FILE_DMA_MAP;
    const USE_VA: bool = true;
}

impl<T: ConfigOps + VirtioMap> UnregisteredDevice<T> {
    /// Creates a device that maps the memory of kernel drivers itself, and is told of the mappings
    /// of userspace as `M` says.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    #[inline]
    pub fn with_virtio_map<M: Mappings<T>>(
        info: &DeviceInfo<'_>,
        data: impl PinInit<T, Error>,
    ) -> Result<Self> {
        let model = Model {
            table: const { &ops::WithMap::<T, M>::TABLE },
            use_va: M::USE_VA,
            map_ops: Some(const { &Table::<T>::MAP_OPS }),
        };

        Self::with_model(info, model, |_| None, data)
    }
}
