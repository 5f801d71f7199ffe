// SPDX-License-Identifier: GPL-2.0

//! The memory of a simulated device, as the virtqueue engine wants it.

use kernel::prelude::*;
use virtqueue::{
    Fault,
    Refusal, //
};

/// How many mappings the buffers of a chain can be in.
const PIECES: u32 = 1 << 14;

/// How many bytes could be moved in the time that it takes to look for a mapping.
const PIECE: u64 = 1 << 10;

/// Memory behind one address space of a device.
pub(crate) struct GuestMemory<'a>(vdpa::Memory<'a>);

impl<'a> GuestMemory<'a> {
    pub(crate) fn new(iommu: &'a vdpa::IommuGuard<'_>, asid: vdpa::Asid) -> Self {
        Self(iommu.memory(asid))
    }

    /// Begins to serve a chain: a driver may have a mapping for each byte, but not for so many that
    /// others would have to wait.
    pub(crate) fn begin(&self) {
        self.0.allow(PIECES);
    }

    /// The work that was done since then, as a number of bytes moved.
    pub(crate) fn work(&self) -> u64 {
        let left = self.0.allow(PIECES);

        u64::from(PIECES.saturating_sub(left)) * PIECE
    }
}

#[inline]
fn fault_at<T>(addr: u64, result: Result<T>) -> Result<T, Fault> {
    result.map_err(|error| Fault {
        addr,
        refusal: match error {
            EFAULT => Refusal::NotMapped,
            EAGAIN => Refusal::NotPresent,
            _ => Refusal::NotPermitted,
        },
    })
}

impl virtqueue::Memory for GuestMemory<'_> {
    #[inline]
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        fault_at(addr, self.0.read(addr, buf))
    }

    #[inline]
    fn write(&self, addr: u64, buf: &[u8]) -> Result<(), Fault> {
        fault_at(addr, self.0.write(addr, buf))
    }

    #[inline]
    fn load_acquire(&self, addr: u64) -> Result<u16, Fault> {
        fault_at(addr, self.0.load_acquire_u16(addr))
    }

    #[inline]
    fn store_release(&self, addr: u64, value: u16) -> Result<(), Fault> {
        fault_at(addr, self.0.store_release_u16(addr, value))
    }

    #[inline]
    fn barrier(&self) {
        self.0.full_barrier();
    }

    #[inline]
    fn copy_to(&self, src: u64, memory: &Self, dst: u64, len: usize) -> Result<(), Fault> {
        fault_at(src, self.0.copy_to(src, &memory.0, dst, len))
    }

    #[inline]
    fn read_array<const N: usize>(&self, addr: u64) -> Result<[u8; N], Fault> {
        fault_at(addr, self.0.read_array(addr))
    }

    #[inline]
    fn write_array<const N: usize>(&self, addr: u64, bytes: [u8; N]) -> Result<(), Fault> {
        fault_at(addr, self.0.write_array(addr, bytes))
    }
}
