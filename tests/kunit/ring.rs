// SPDX-License-Identifier: GPL-2.0

//! The driver's side of a split virtqueue, as far as tests of devices need it: virtio 1.3, section
//! 2.7.

use kernel::prelude::*;
use vdpa::{
    parent::VqSetup,
    Asid,
    GuestMemory,
    VqAddress,
    VqIndex,
    VqState, //
};

/// The number of descriptors.
pub(crate) const SIZE: u16 = 16;

const NEXT: u16 = 1;
const WRITE: u16 = 2;

const AVAIL: u64 = 0x200;
const USED: u64 = 0x400;

/// A buffer: bus address, length in bytes, and whether the device may write to it.
pub(crate) type Buffer = (u64, u32, bool);

/// Writes to a guest's memory.
pub(crate) fn put(memory: &GuestMemory<'_>, addr: u64, bytes: &[u8]) -> Result {
    memory.write(addr, bytes).map_err(|_| EFAULT)
}

/// Reads from a guest's memory.
pub(crate) fn get<const N: usize>(memory: &GuestMemory<'_>, addr: u64) -> Result<[u8; N]> {
    memory.read_array(addr).map_err(|_| EFAULT)
}

/// A ring in one page.
pub(crate) struct Ring {
    base: u64,
    /// The available index.
    offered: u16,
}

impl Ring {
    /// A ring in the page at `base`, which is zero.
    pub(crate) const fn new(base: u64) -> Self {
        Self { base, offered: 0 }
    }

    /// Where its parts are.
    pub(crate) fn address(&self) -> VqAddress {
        VqAddress {
            desc: self.base,
            driver: self.base + AVAIL,
            device: self.base + USED,
        }
    }

    /// What a device is told of it.
    pub(crate) fn setup(&self) -> Result<VqSetup> {
        Ok(VqSetup {
            index: VqIndex::new(0, 1).ok_or(EINVAL)?,
            address: self.address(),
            size: SIZE,
            state: VqState::initial(false),
            asid: Asid(0),
        })
    }

    /// Makes a chain available, with its descriptors from `head` on.
    pub(crate) fn offer(
        &mut self,
        memory: &GuestMemory<'_>,
        head: u16,
        buffers: &[Buffer],
    ) -> Result {
        for (i, &(addr, len, write)) in (head..).zip(buffers) {
            let more = usize::from(i - head) + 1 < buffers.len();
            let flags = if write { WRITE } else { 0 } | if more { NEXT } else { 0 };
            let rest = u64::from(len) | u64::from(flags) << 32 | u64::from(i + 1) << 48;
            let at = self.base + 16 * u64::from(i);

            put(memory, at, &addr.to_le_bytes())?;
            put(memory, at + 8, &rest.to_le_bytes())?;
        }
        self.offer_head(memory, head)
    }

    /// Makes whatever begins at `head` available.
    pub(crate) fn offer_head(&mut self, memory: &GuestMemory<'_>, head: u16) -> Result {
        let slot = u64::from(self.offered % SIZE);

        put(
            memory,
            self.base + AVAIL + 4 + 2 * slot,
            &head.to_le_bytes(),
        )?;
        self.offered = self.offered.wrapping_add(1);
        put(memory, self.base + AVAIL + 2, &self.offered.to_le_bytes())
    }

    /// Returns how many chains have come back.
    pub(crate) fn used(&self, memory: &GuestMemory<'_>) -> Result<u16> {
        get(memory, self.base + USED + 2).map(u16::from_le_bytes)
    }

    /// Returns the head of the chain that came back as number `index`, and how much was written.
    pub(crate) fn element(&self, memory: &GuestMemory<'_>, index: u16) -> Result<(u32, u32)> {
        let at = self.base + USED + 4 + 8 * u64::from(index % SIZE);

        Ok((
            u32::from_le_bytes(get(memory, at)?),
            u32::from_le_bytes(get(memory, at + 4)?),
        ))
    }
}
