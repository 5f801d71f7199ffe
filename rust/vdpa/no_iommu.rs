// SPDX-License-Identifier: GPL-2.0

//! Takes the place of `iommu_domain` in a kernel that knows no IOMMU.

use crate::{
    IovaRange,
    Permission, //
};
use kernel::{
    device,
    prelude::*, //
};

/// A translation table of a platform's IOMMU, of which there is none.
pub(crate) enum IommuDomain {}

impl IommuDomain {
    /// No device has an IOMMU.
    #[inline]
    pub(crate) fn is_possible(_dev: &device::Device) -> bool {
        false
    }

    /// Fails.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: no IOMMU makes the device's accesses cache coherent.
    #[inline]
    pub(crate) fn attach(_dev: &device::Device) -> Result<Self> {
        Err(EOPNOTSUPP)
    }

    /// Returns the addresses that can be mapped, if not all can.
    #[inline]
    pub(crate) fn aperture(&self) -> Option<IovaRange> {
        match *self {}
    }

    /// Prepares for mapping `size` bytes at bus address `iova` to physical address `addr`.
    #[inline]
    pub(crate) fn push(&mut self, _iova: u64, _addr: u64, _size: u64, _perm: Permission) -> bool {
        match *self {}
    }

    /// Maps what was prepared.
    ///
    /// # Safety
    ///
    /// None: this cannot be called.
    #[inline]
    pub(crate) unsafe fn map(&mut self) -> Result<(), (Error, Option<IovaRange>)> {
        match *self {}
    }

    /// Forgets what was prepared.
    #[inline]
    pub(crate) fn forget(&mut self) -> Option<IovaRange> {
        match *self {}
    }

    /// Unmaps `size` bytes at bus address `iova`.
    #[inline]
    pub(crate) fn unmap(&self, _iova: u64, _size: u64) -> Result {
        match *self {}
    }
}
