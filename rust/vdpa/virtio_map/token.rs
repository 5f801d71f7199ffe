// SPDX-License-Identifier: GPL-2.0

//! What is mapped for a virtqueue.

use super::Coherent;
use crate::{
    bindings::{
        self,
        dma_data_direction,
        phys_addr_t,
        vdpa_device, //
    },
    VqIndex, //
};
use core::ptr::NonNull;
use kernel::{
    new_spinlock_irq,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        Arc,
        SpinLockIrq, //
    }, //
};

/// A buffer of a kernel driver, which it does not free before it has unmapped it.
#[derive(Clone, Copy)]
pub(super) struct Buffer {
    pub(super) phys: phys_addr_t,
    pub(super) dir: dma_data_direction,
}

/// What a kernel driver has mapped.
pub(super) enum Memory {
    Buffer(Buffer),
    /// What it shares with the device.
    Coherent(Arc<Coherent>),
}

/// A mapping. Its last address is its key.
struct Mapping {
    first: u64,
    memory: Memory,
}

/// Room for a mapping.
pub(super) struct Room(RBTreeNodeReservation<u64, Mapping>);

impl Room {
    /// # Context
    ///
    /// Any.
    #[inline]
    pub(super) fn new() -> Result<Self> {
        RBTreeNodeReservation::new(GFP_ATOMIC).map(Self)
    }
}

/// What stands for a virtqueue when memory is mapped for it (`union virtio_map`), and what is mapped.
///
/// # Invariants
///
/// It is part of the device `vdev`, which it is used with no longer than that is there.
#[pin_data]
pub(crate) struct Token {
    vdev: NonNull<vdpa_device>,
    vq: VqIndex,
    #[pin]
    mappings: SpinLockIrq<RBTree<u64, Mapping>>,
}

// SAFETY: The device can be used by any thread, and the rest is `Send`.
unsafe impl Send for Token {}

// SAFETY: As above; the mappings have a lock.
unsafe impl Sync for Token {}

impl Token {
    /// # Safety
    ///
    /// The result must become part of the device `vdev`.
    #[inline]
    pub(crate) unsafe fn new(vdev: NonNull<vdpa_device>, vq: VqIndex) -> impl PinInit<Self> {
        // INVARIANT: By the safety requirements of this function.
        pin_init!(Self {
            vdev,
            vq,
            mappings <- new_spinlock_irq!(RBTree::new(), "vdpa_virtio_map"),
        })
    }

    /// Returns the device.
    #[inline]
    pub(super) fn device(&self) -> *mut vdpa_device {
        self.vdev.as_ptr()
    }

    /// Returns the virtqueue.
    #[inline]
    pub(super) fn vq(&self) -> VqIndex {
        self.vq
    }

    /// Returns the form that consumers carry around.
    #[inline]
    pub(crate) fn to_raw(&self) -> bindings::virtio_map {
        bindings::virtio_map {
            group: core::ptr::from_ref(self).cast_mut().cast(),
        }
    }

    /// Adds a mapping of `size` bytes at `first`.
    ///
    /// # Errors
    ///
    /// `EEXIST` where something is mapped there, or there are not so many addresses.
    #[inline]
    pub(super) fn add(&self, room: Room, first: u64, size: usize, memory: Memory) -> Result {
        // The last address of all stands for a failure.
        let last = last(first, size)
            .filter(|last| *last != u64::MAX)
            .ok_or(EEXIST)?;
        let mut mappings = self.mappings.lock();

        // The first that ends there or later.
        if let Some(cursor) = mappings.cursor_lower_bound(&first) {
            if cursor.current().1.first <= last {
                return Err(EEXIST);
            }
        }
        mappings.insert(room.0.into_node(last, Mapping { first, memory }));
        Ok(())
    }

    /// Removes the mapping that begins at `first`, and returns its size and what was mapped.
    #[inline]
    pub(super) fn take(&self, first: u64) -> Option<(usize, Memory)> {
        let mut mappings = self.mappings.lock();
        let cursor = mappings.cursor_lower_bound_mut(&first)?;

        if cursor.current().1.first != first {
            return None;
        }
        let (_, node) = cursor.remove_current();
        drop(mappings);

        let (last, mapping) = node.to_key_value();
        let size = last.wrapping_sub(first).wrapping_add(1);

        Some((usize::try_from(size).ok()?, mapping.memory))
    }

    /// Finds the part of a driver's buffer that is behind `size` bytes at `addr`.
    #[inline]
    pub(super) fn find(&self, addr: u64, size: usize) -> Option<Buffer> {
        let mappings = self.mappings.lock();
        let cursor = mappings.cursor_lower_bound(&last(addr, size)?)?;
        let mapping = cursor.current().1;
        let at = addr.checked_sub(mapping.first)?;

        match mapping.memory {
            Memory::Buffer(Buffer { phys, dir }) => Some(Buffer {
                phys: phys.checked_add(at)?,
                dir,
            }),
            Memory::Coherent(_) => None,
        }
    }
}

/// The last of `size` addresses from `first` on, if there are so many.
#[inline]
fn last(first: u64, size: usize) -> Option<u64> {
    first.checked_add((size as u64).checked_sub(1)?)
}
