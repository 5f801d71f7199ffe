// SPDX-License-Identifier: GPL-2.0

//! What memory a device can reach.

use super::{
    call,
    result,
    Device, //
};
use crate::{
    bindings,
    iommu_domain::IommuDomain,
    Asid,
    GroupId,
    Iotlb,
    IovaRange,
    MapRange, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    mm::Mm,
    prelude::*, //
};

/// Who translates the device's addresses, and so has to be told of a consumer's mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// The parent, an address space at a time: [`Device::set_map`].
    SetMap,
    /// The parent, a mapping at a time: [`Device::dma_map`], [`Device::dma_unmap`].
    DmaMap,
    /// The platform's IOMMU in front of [`Device::dma_device`].
    Platform,
}

/// What a consumer has to give a device for the memory of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Pinned memory: the device knows physical addresses.
    Pinned,
    /// The process, once ([`Device::bind_mm`]). The device accesses the memory in its place, by the
    /// process's addresses.
    Process,
    /// The process's addresses, and the files that are mapped there: the device has another process
    /// map them. It takes references of its own to those that it needs for longer than it is told.
    Files,
}

impl Device<Bound> {
    /// Returns what the device has to be given for the memory of a process. It never changes.
    #[inline]
    pub fn source(&self) -> Source {
        match (self.use_va(), self.can_bind_mm()) {
            (false, _) => Source::Pinned,
            (true, true) => Source::Process,
            (true, false) => Source::Files,
        }
    }

    /// Returns who translates the device's addresses.
    ///
    /// A parent that offers both ways of its own is told of single mappings.
    #[inline]
    pub fn translation(&self) -> Translation {
        let ops = self.ops();

        if ops.dma_map.is_some() {
            Translation::DmaMap
        } else if ops.set_map.is_some() {
            Translation::SetMap
        } else {
            Translation::Platform
        }
    }

    /// Whether nothing could confine the device's accesses to what is mapped: it leaves that to the
    /// platform ([`Translation::Platform`]), which has no IOMMU that makes them cache coherent. An
    /// [`AddressSpace`](crate::AddressSpace) cannot be made then.
    #[inline]
    pub fn lacks_iommu(&self) -> bool {
        self.translation() == Translation::Platform
            && self
                .dma_device()
                .is_some_and(|dev| !IommuDomain::is_possible(dev))
    }

    /// Checks an address space identifier.
    #[inline]
    fn asid(&self, asid: Asid) -> Result<u32> {
        if asid.0 >= self.nas() {
            return Err(EINVAL);
        }
        Ok(asid.0)
    }

    /// Binds a group of virtqueues to an address space. Optional.
    ///
    /// The caller sees to it that [`set_status`](Device::set_status) does not run meanwhile.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device does not have the group or the address space.
    #[inline]
    pub fn set_group_asid(&self, group: GroupId, asid: Asid) -> Result {
        let GroupId(group) = group;
        let asid = self.asid(asid)?;

        if group >= self.ngroups() {
            return Err(EINVAL);
        }
        result(call!(self, set_group_asid, group, asid))
    }

    /// Replaces all mappings of an address space. Optional.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device does not have the address space.
    ///
    /// # Safety
    ///
    /// - Physical memory behind the mappings must stay where it is, and be the device's to read and
    ///   write as the mappings say, until they are replaced.
    /// - Pointers that belong to mappings must be NULL or, for a device with [`Source::Files`], to
    ///   a valid `struct vdpa_map_file`, during the call.
    #[inline]
    pub unsafe fn set_map(&self, asid: Asid, map: &Iotlb) -> Result {
        let asid = self.asid(asid)?;
        // CAST: `Iotlb` is a transparent wrapper.
        let map = core::ptr::from_ref(map).cast_mut().cast();

        // The table is valid during the call, and parents only read it.
        result(call!(self, set_map, asid, map))
    }

    /// Adds a mapping to an address space. Optional.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device does not have the address space, or the range is all of the
    /// 64-bit addresses, whose size cannot be said.
    ///
    /// # Safety
    ///
    /// - Physical memory behind the mapping must stay where it is, and be the device's to read and
    ///   write as the mapping says, until it is unmapped or the address space reset.
    /// - `file` must be NULL or, for a device with [`Source::Files`], a valid `struct
    ///   vdpa_map_file` during the call.
    #[inline]
    pub unsafe fn dma_map(
        &self,
        asid: Asid,
        range: MapRange,
        file: *mut bindings::vdpa_map_file,
    ) -> Result {
        let asid = self.asid(asid)?;
        let (iova, size) = start_and_size(range.iova)?;
        let addr = range.addr;
        let perm = range.perm.to_raw();
        let file = file.cast::<c_void>();

        result(call!(self, dma_map, asid, iova, size, addr, perm, file))
    }

    /// Removes all mappings within a range from an address space. Optional.
    ///
    /// # Errors
    ///
    /// As for [`dma_map`](Self::dma_map).
    #[inline]
    pub fn dma_unmap(&self, asid: Asid, range: IovaRange) -> Result {
        let asid = self.asid(asid)?;
        let (iova, size) = start_and_size(range)?;

        result(call!(self, dma_unmap, asid, iova, size))
    }

    /// Whether [`reset_map`](Self::reset_map) is there.
    #[inline]
    pub fn can_reset_map(&self) -> bool {
        self.ops().reset_map.is_some()
    }

    /// Puts the mappings of an address space into the state they had when the device was created.
    /// Optional.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device does not have the address space.
    #[inline]
    pub fn reset_map(&self, asid: Asid) -> Result {
        let asid = self.asid(asid)?;

        result(call!(self, reset_map, asid))
    }

    /// Whether [`bind_mm`](Self::bind_mm) is there.
    #[inline]
    pub fn can_bind_mm(&self) -> bool {
        self.ops().bind_mm.is_some()
    }

    /// Binds the device to the address space of a process, whose virtual addresses mappings hold
    /// from now on. Optional.
    #[inline]
    pub fn bind_mm(&self, mm: &Mm) -> Result {
        let mm = mm.as_raw();

        // `mm` is valid during the call; a parent that keeps it takes its own reference.
        result(call!(self, bind_mm, mm))
    }

    /// Undoes [`bind_mm`](Self::bind_mm). Optional.
    #[inline]
    pub fn unbind_mm(&self) {
        let _ = call!(self, unbind_mm);
    }

    /// Whether the parent maps the memory of kernel drivers itself, instead of leaving it to the
    /// DMA mappings of a device.
    #[inline]
    pub fn has_map_ops(&self) -> bool {
        !self.map_ops().is_null()
    }

    /// The parent's operations for mapping the memory of kernel drivers, or NULL.
    #[inline]
    pub(crate) fn map_ops(&self) -> *const bindings::virtio_map_ops {
        // SAFETY: By the type invariant; set once, before the device is registered.
        unsafe { (*self.as_raw()).map }
    }

    /// What the memory of virtqueues is mapped with, unless the parent names something else for
    /// one of them.
    #[inline]
    pub(crate) fn map(&self) -> bindings::virtio_map {
        // SAFETY: As for `map_ops`.
        unsafe { (*self.as_raw()).vmap }
    }

    /// Returns the device that the memory of kernel drivers is mapped for: the vDPA device itself
    /// if it [has its own operations](Self::has_map_ops) for that.
    ///
    /// [`None`] where the parent names none.
    #[inline]
    pub fn dma_device(&self) -> Option<&device::Device> {
        if self.has_map_ops() {
            let dev: &Device = self;

            return Some(dev.as_ref());
        }

        // SAFETY: All members of the union are pointers.
        let dev = unsafe { self.map().dma_dev };

        (!dev.is_null()).then(|| {
            // SAFETY: Without mapping operations, the union holds the device that does DMA, which
            // the parent keeps for as long as the vDPA device is registered.
            unsafe { device::Device::from_raw(dev) }
        })
    }
}

/// A range in the form that C takes.
#[inline]
fn start_and_size(range: IovaRange) -> Result<(u64, u64)> {
    let size = range
        .last
        .checked_sub(range.first)
        .and_then(|len| len.checked_add(1))
        .ok_or(EINVAL)?;

    Ok((range.first, size))
}
