// SPDX-License-Identifier: GPL-2.0

//! What a vDPA device is made of: the operations that its driver, the *parent*, provides.
//!
//! C header: `include/linux/vdpa.h`, `struct vdpa_config_ops`.

use crate::{
    bindings,
    Asid,
    Callback,
    Features,
    FileIotlb,
    FileRange,
    GroupId,
    Iotlb,
    IovaRange,
    MapRange,
    NotificationArea,
    SoftIommu,
    Status,
    VendorStats,
    VqAddress,
    VqIndex,
    VqState, //
};
use kernel::{
    build_error,
    cpumask::Cpumask,
    error::VTABLE_DEFAULT_ERROR,
    prelude::*,
    sync::Arc, //
};

/// The operations of a vDPA device.
///
/// The names are those of `struct vdpa_config_ops`. A method that is not overridden is absent from
/// the C table too, which is how consumers learn what the device can do.
///
/// # Context
///
/// Methods are called from process context and may sleep, except for [`kick_vq`] and
/// [`kick_vq_with_data`], which are called from any context, with interrupts off too.
///
/// Consumers serialise what changes a device's state ([`set_status`], [`reset`],
/// [`set_driver_features`], [`get_config`], [`set_config`]) with the device's `cf_lock`. They do
/// not serialise the rest: management commands read status, features and statistics while a driver
/// is at work. The kernel therefore asks for [`Sync`], and so does this trait.
///
/// # Virtqueue indices
///
/// A [`VqIndex`] is below the number of virtqueues that the device was registered with. Calls with
/// other numbers do not reach the implementation.
///
/// [`kick_vq`]: ConfigOps::kick_vq
/// [`kick_vq_with_data`]: ConfigOps::kick_vq_with_data
/// [`set_status`]: ConfigOps::set_status
/// [`reset`]: ConfigOps::reset
/// [`set_driver_features`]: ConfigOps::set_driver_features
/// [`get_config`]: ConfigOps::get_config
/// [`set_config`]: ConfigOps::set_config
#[vtable]
pub trait ConfigOps: Sized + Send + Sync {
    /// Sets the addresses of the three areas of a virtqueue.
    fn set_vq_address(&self, vq: VqIndex, address: VqAddress) -> Result;

    /// Sets the number of descriptors of a virtqueue.
    ///
    /// There is no way to refuse here: a number that does not fit has to keep the queue from
    /// becoming ready.
    fn set_vq_num(&self, vq: VqIndex, num: u32);

    /// Tells the device that there are new buffers in a virtqueue.
    ///
    /// # Context
    ///
    /// Atomic; also from the wake-up of an eventfd, with interrupts off.
    fn kick_vq(&self, vq: VqIndex);

    /// Like [`kick_vq`](Self::kick_vq), with the data of VIRTIO_F_NOTIFICATION_DATA (virtio 1.3,
    /// section 2.9): the virtqueue's number in bits 0 to 15, where it is in bits 16 to 31.
    fn kick_vq_with_data(&self, vq: VqIndex, data: u32) {
        let _ = (vq, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the place for the consumer's callback for a virtqueue. [`None`] if the device never
    /// uses buffers of that.
    ///
    /// The device calls it when it has used buffers. It is filled by the consumer, and emptied by
    /// a reset. Asked once for each virtqueue, when the device is made.
    fn vq_callback(&self, vq: VqIndex) -> Option<Arc<Callback>>;

    /// Returns the place for the consumer's callback for configuration changes, if the device has
    /// such changes. Asked once, when the device is made.
    fn config_callback(&self) -> Option<Arc<Callback>> {
        None
    }

    /// Starts or stops a virtqueue.
    ///
    /// A stopped virtqueue is not looked at any more when this returns.
    fn set_vq_ready(&self, vq: VqIndex, ready: bool);

    /// Whether a virtqueue is started.
    fn get_vq_ready(&self, vq: VqIndex) -> bool;

    /// Sets where a virtqueue goes on, before it is started.
    fn set_vq_state(&self, vq: VqIndex, state: VqState) -> Result;

    /// Returns where a virtqueue stands.
    fn get_vq_state(&self, vq: VqIndex) -> Result<VqState>;

    /// Adds the device's own statistics of a virtqueue to a netlink message.
    fn get_vendor_vq_stats(&self, vq: VqIndex, stats: &mut VendorStats<'_>) -> Result {
        let _ = (vq, stats);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the doorbells of a virtqueue, for a consumer that maps them to userspace.
    fn get_vq_notification(&self, vq: VqIndex) -> NotificationArea {
        let _ = vq;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the interrupt number of a virtqueue, for a consumer that bypasses the callback.
    ///
    /// The number must not change while the device has DRIVER_OK set.
    fn get_vq_irq(&self, vq: VqIndex) -> Result<u32> {
        let _ = vq;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the largest size of one virtqueue, in descriptors.
    fn get_vq_size(&self, vq: VqIndex) -> u16 {
        let _ = vq;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the alignment that the parts of a virtqueue need, in bytes. A page, if not
    /// overridden.
    fn get_vq_align(&self) -> u32 {
        bindings::PAGE_SIZE as u32
    }

    /// Returns the group of a virtqueue.
    fn get_vq_group(&self, vq: VqIndex) -> GroupId {
        let _ = vq;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the group of a virtqueue's descriptor area, where that can differ from the group of
    /// the buffers.
    fn get_vq_desc_group(&self, vq: VqIndex) -> GroupId {
        let _ = vq;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the virtio features that the device offers.
    fn get_device_features(&self) -> Features;

    /// Returns the `VHOST_BACKEND_F_*` bits (`uapi/linux/vhost_types.h`) that hold for this device.
    fn get_backend_features(&self) -> u64 {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets the features that the driver has accepted.
    fn set_driver_features(&self, features: Features) -> Result;

    /// Returns the features that the driver has accepted.
    fn get_driver_features(&self) -> Features;

    /// Returns the largest size of any virtqueue, in descriptors.
    fn get_vq_num_max(&self) -> u16;

    /// Returns the smallest size of a virtqueue, in descriptors.
    fn get_vq_num_min(&self) -> u16 {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the virtio device id (`uapi/linux/virtio_ids.h`).
    fn get_device_id(&self) -> u32;

    /// Returns the vendor id. 0, if not overridden.
    fn get_vendor_id(&self) -> u32 {
        0
    }

    /// Returns the device status.
    fn get_status(&self) -> Status;

    /// Sets the device status. Never 0, which is [`reset`](Self::reset).
    fn set_status(&self, status: Status);

    /// Resets the device: it does not look at any virtqueue any more when this returns.
    ///
    /// The consumer's callbacks are taken out after it.
    fn reset(&self) -> Result;

    /// Does what [`reset`](Self::reset) does, and puts all address spaces into the state after
    /// creation (`VDPA_RESET_F_CLEAN_MAP`).
    ///
    /// For a device that translates addresses itself, and once lost its mappings by each reset:
    /// there is userspace that relies on it, and does not say that it can do without
    /// (`VHOST_BACKEND_F_IOTLB_PERSIST`). For that a consumer calls this instead of
    /// [`reset`](Self::reset), which leaves mappings alone. A new device has nobody to be
    /// compatible with. One in software ([`SoftDma`]) need not care: the crate has its mappings.
    ///
    /// # Errors
    ///
    /// As for [`reset`](Self::reset): the device is to be quiet all the same.
    fn compat_reset(&self) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Stops all virtqueues without losing their state.
    fn suspend(&self) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Continues after [`suspend`](Self::suspend).
    fn resume(&self) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the size of the configuration space in bytes. 0, if not overridden.
    fn get_config_size(&self) -> usize {
        0
    }

    /// Reads from the configuration space. The range lies within
    /// [`get_config_size`](Self::get_config_size).
    fn get_config(&self, offset: usize, buf: &mut [u8]) {
        let _ = (offset, buf);
    }

    /// Writes to the configuration space. The range lies within
    /// [`get_config_size`](Self::get_config_size).
    fn set_config(&self, offset: usize, buf: &[u8]) {
        let _ = (offset, buf);
    }

    /// Returns a number that changes with the contents of the configuration space.
    fn get_generation(&self) -> u32 {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the addresses that can be mapped.
    fn get_iova_range(&self) -> IovaRange {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets the processors that should handle the callbacks of a virtqueue; [`None`] for no wish.
    fn set_vq_affinity(&self, vq: VqIndex, cpus: Option<&Cpumask>) -> Result {
        let _ = (vq, cpus);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the processors that handle the callbacks of a virtqueue, if known.
    fn get_vq_affinity(&self, vq: VqIndex) -> Option<&Cpumask> {
        let _ = vq;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Binds a group of virtqueues to an address space.
    ///
    /// Both numbers are below what the device was made with.
    fn set_group_asid(&self, group: GroupId, asid: Asid) -> Result {
        let _ = (group, asid);
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// A device that translates addresses itself and takes a whole address space at a time.
#[vtable]
pub trait SetMap: Sized + Send + Sync {
    /// Replaces all mappings of an address space.
    fn set_map(&self, asid: Asid, map: &Iotlb) -> Result;

    /// Puts an address space into the state after creation.
    fn reset_map(&self, asid: Asid) -> Result {
        let _ = asid;
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// A device that translates addresses itself and takes one mapping at a time.
#[vtable]
pub trait DmaMap: Sized + Send + Sync {
    /// Adds a mapping.
    fn dma_map(&self, asid: Asid, range: MapRange) -> Result;

    /// Removes all mappings within a range.
    fn dma_unmap(&self, asid: Asid, range: IovaRange) -> Result;

    /// Puts an address space into the state after creation.
    fn reset_map(&self, asid: Asid) -> Result {
        let _ = asid;
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// A device that has another process map the memory behind its addresses, and takes a whole address
/// space at a time.
///
/// It is given files ([`FileArea`](crate::FileArea)) for the memory of a process, and no device but
/// such one is. Memory that is of no file the process that drives it cannot give it.
#[vtable]
pub trait FileSetMap: Sized + Send + Sync {
    /// Replaces all mappings of an address space.
    ///
    /// # Context
    ///
    /// As for [`FileDmaMap::dma_map`].
    fn set_map(&self, asid: Asid, map: &FileIotlb) -> Result;

    /// Puts an address space into the state after creation.
    fn reset_map(&self, asid: Asid) -> Result {
        let _ = asid;
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// A device that has another process map the memory behind its addresses, and takes one mapping at a
/// time. See [`FileSetMap`].
#[vtable]
pub trait FileDmaMap: Sized + Send + Sync {
    /// Adds a mapping.
    ///
    /// # Context
    ///
    /// May sleep. The consumer may hold `mmap_lock` of the process for reading: files may be kept,
    /// but neither be read nor written here, and no lock be taken that is held while they are.
    fn dma_map(&self, asid: Asid, range: FileRange) -> Result;

    /// Removes all mappings within a range. The process may have closed and unmapped their files.
    fn dma_unmap(&self, asid: Asid, range: IovaRange) -> Result;

    /// Puts an address space into the state after creation.
    fn reset_map(&self, asid: Asid) -> Result {
        let _ = asid;
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// A device implemented in software, which reaches memory through a [`SoftIommu`].
///
/// The crate fills the tables of the [`SoftIommu`] from the consumer's mappings; the device only
/// reads and writes through it.
pub trait SoftDma: Send + Sync {
    /// Returns the device's translation. Asked once, when the device is made.
    fn iommu(&self) -> Arc<SoftIommu>;

    /// Something was mapped: what could not be reached may be there now.
    ///
    /// # Context
    ///
    /// A process, whose `mmap_lock` may be held.
    #[inline]
    fn mapped(&self) {}
}
