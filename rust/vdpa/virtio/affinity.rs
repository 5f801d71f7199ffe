// SPDX-License-Identifier: GPL-2.0

//! Which processors handle which virtqueue.
//!
//! C headers: `include/linux/interrupt.h`, `include/linux/group_cpus.h`

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    cpumask::Cpumask,
    prelude::*, //
};

/// How a virtio driver wants its virtqueues spread over the processors: `struct irq_affinity`.
///
/// The virtqueues are those it asks for, in their order, wanted ones or not: *vectors*.
///
/// # Invariants
///
/// `calc_sets`, if there is one, may be called with the structure.
#[repr(transparent)]
pub struct IrqAffinity(bindings::irq_affinity);

impl IrqAffinity {
    /// Wraps the C structure.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid, and nobody else use the structure, for `'a`; `calc_sets` must be NULL
    /// or callable with it.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::irq_affinity) -> &'a mut Self {
        // CAST: `IrqAffinity` is a transparent wrapper.
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: As above.
        unsafe { &mut *ptr.cast() }
    }

    /// Returns the number of vectors at the beginning that are not to be spread.
    #[inline]
    pub fn pre_vectors(&self) -> u32 {
        self.0.pre_vectors
    }

    /// Returns the number of vectors at the end that are not to be spread.
    #[inline]
    pub fn post_vectors(&self) -> u32 {
        self.0.post_vectors
    }

    /// Divides `vectors`, the number of those in between, into the sets that are to be spread over
    /// all processors each. Returns their sizes.
    ///
    /// The driver may have a function for that; otherwise it is one set.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the driver's function makes more sets than there can be.
    #[inline]
    pub fn divide(&mut self, vectors: u32) -> Result<&[u32]> {
        if let Some(calc_sets) = self.0.calc_sets {
            // SAFETY: By the type invariant.
            unsafe { calc_sets(&raw mut self.0, vectors) };
        } else {
            self.0.nr_sets = 1;
            self.0.set_size[0] = vectors;
        }

        usize::try_from(self.0.nr_sets)
            .ok()
            .and_then(|sets| self.0.set_size.get(..sets))
            .ok_or(EINVAL)
    }
}

/// All processors of the machine, spread over a number of groups: near ones into the same.
///
/// # Invariants
///
/// `masks` points to `len` masks, in an allocation that is ours.
pub struct CpuGroups {
    masks: NonNull<bindings::cpumask>,
    len: usize,
}

impl CpuGroups {
    /// Makes `groups` groups, or as many as there are processors.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` for 0 groups.
    #[doc(alias = "group_cpus_evenly")]
    #[inline]
    pub fn new(groups: u32) -> Result<Self> {
        let mut len = 0;

        if groups == 0 {
            return Err(EINVAL);
        }

        // SAFETY: `len` is valid for writes.
        let masks = unsafe { bindings::group_cpus_evenly(groups, &raw mut len) };

        // INVARIANT: The function returns an allocation with at least as many masks as it says.
        Ok(Self {
            masks: NonNull::new(masks).ok_or(ENOMEM)?,
            len: usize::try_from(len)?,
        })
    }

    /// Returns one of the groups.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&Cpumask> {
        (index < self.len).then(|| {
            // SAFETY: By the type invariant.
            unsafe { Cpumask::from_raw(self.masks.as_ptr().add(index)) }
        })
    }
}

impl Drop for CpuGroups {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::kfree(self.masks.as_ptr().cast()) };
    }
}
