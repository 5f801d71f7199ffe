// SPDX-License-Identifier: GPL-2.0

//! A virtqueue of a vDPA device.

use super::{
    call,
    result,
    Device, //
};
use crate::{
    bindings,
    GroupId,
    NotificationArea,
    VqAddress,
    VqState, //
};
use core::ptr::null;
use kernel::{
    cpumask::Cpumask,
    device::Bound,
    prelude::*, //
};

/// A virtqueue of a vDPA device: the device, and an index that the device has.
///
/// Made by [`Device::vq`].
///
/// # Invariants
///
/// `index` is below the number of virtqueues of `dev`.
#[derive(Clone, Copy)]
pub struct Vq<'a> {
    dev: &'a Device<Bound>,
    index: u16,
}

impl<'a> Vq<'a> {
    /// Names a virtqueue whose index was checked before.
    ///
    /// # Safety
    ///
    /// `index` must be below the number of virtqueues of `dev`.
    #[inline]
    pub(crate) unsafe fn new_unchecked(dev: &'a Device<Bound>, index: u16) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self { dev, index }
    }

    /// Returns the device.
    #[inline]
    pub fn device(self) -> &'a Device<Bound> {
        self.dev
    }

    /// Returns the virtqueue's number.
    #[inline]
    pub fn index(self) -> u16 {
        self.index
    }

    /// Tells the device that there are new buffers.
    ///
    /// # Context
    ///
    /// Any, with interrupts off too.
    #[inline]
    pub fn kick(self) {
        let index = self.index;

        let _ = call!(self.dev, kick_vq, index);
    }

    /// Tells the device that there are new buffers, and where the next one will go: virtio 1.3,
    /// section 2.9. Optional; does nothing without [`Device::can_kick_with_data`].
    ///
    /// `next` is the available index of a split virtqueue; of a packed one the offset of the next
    /// descriptor in bits 0 to 14, and the driver's wrap counter in bit 15.
    ///
    /// # Context
    ///
    /// Any, with interrupts off too.
    #[inline]
    pub fn kick_with_data(self, next: u16) {
        let data = u32::from(next) << 16 | u32::from(self.index);

        let _ = call!(self.dev, kick_vq_with_data, data);
    }

    /// Installs the callback for used buffers, or removes it (without a function).
    ///
    /// # Safety
    ///
    /// The function may be called with NULL and with `private` from any context, and more than once
    /// at a time: until all that ran when the callback was removed from a device that was
    /// [reset](Device::reset), or is not running yet, have come to an end of what they did.
    /// `trigger` must be NULL or an eventfd, until it was replaced or removed.
    #[inline]
    pub(crate) unsafe fn set_cb(self, mut cb: bindings::vdpa_callback) {
        let index = self.index;
        let cb = &raw mut cb;

        // `cb` is valid during the call; parents copy what is in it.
        let _ = call!(self.dev, set_vq_cb, index, cb);
    }

    /// Sets the addresses of the virtqueue's three areas, as the device sees them.
    #[inline]
    pub fn set_address(self, address: VqAddress) -> Result {
        let index = self.index;
        let VqAddress {
            desc,
            driver,
            device,
        } = address;

        result(call!(self.dev, set_vq_address, index, desc, driver, device))
    }

    /// Sets the number of descriptors.
    #[inline]
    pub fn set_num(self, num: u32) {
        let index = self.index;

        let _ = call!(self.dev, set_vq_num, index, num);
    }

    /// Starts or stops the virtqueue.
    #[inline]
    pub fn set_ready(self, ready: bool) {
        let index = self.index;

        let _ = call!(self.dev, set_vq_ready, index, ready);
    }

    /// Whether the virtqueue is started.
    #[inline]
    pub fn is_ready(self) -> bool {
        let index = self.index;

        call!(self.dev, get_vq_ready, index).unwrap_or(false)
    }

    /// Sets where the virtqueue goes on, before it is started.
    ///
    /// It has to be of the format, split or packed, that was negotiated.
    #[inline]
    pub fn set_state(self, state: VqState) -> Result {
        let index = self.index;
        let state = state.to_raw();
        let state = &raw const state;

        // `state` is valid during the call.
        result(call!(self.dev, set_vq_state, index, state))
    }

    /// Returns where the virtqueue stands. `packed` says whether VIRTIO_F_RING_PACKED was
    /// negotiated.
    #[inline]
    pub fn state(self, packed: bool) -> Result<VqState> {
        let index = self.index;
        let mut raw = pin_init::zeroed::<bindings::vdpa_vq_state>();
        let state = &raw mut raw;

        // `state` is valid during the call.
        result(call!(self.dev, get_vq_state, index, state))?;
        Ok(VqState::from_raw(&raw, packed))
    }

    /// Returns the virtqueue's largest size, in descriptors. Optional; without it
    /// [`Device::vq_num_max`] holds. 0 stands for no virtqueue.
    ///
    /// Some parents return the number that was set, once there is one.
    #[inline]
    pub fn size(self) -> Option<u16> {
        let index = self.index;

        call!(self.dev, get_vq_size, index)
    }

    /// Returns the virtqueue's doorbells. Optional.
    #[inline]
    pub fn notification(self) -> Option<NotificationArea> {
        let index = self.index;

        call!(self.dev, get_vq_notification, index).map(|area| {
            // SAFETY: By the type invariant of `Device<Bound>` this comes from the device's parent,
            // which names its doorbells.
            unsafe { NotificationArea::new(area.addr, area.size) }
        })
    }

    /// Returns the virtqueue's interrupt number, where it has one of its own. It does not change
    /// while the device has DRIVER_OK. Optional.
    #[inline]
    pub fn irq(self) -> Option<u32> {
        let index = self.index;

        call!(self.dev, get_vq_irq, index).and_then(|irq| u32::try_from(irq).ok())
    }

    /// Returns the virtqueue's group. Optional.
    #[inline]
    pub fn group(self) -> Option<GroupId> {
        let index = self.index;

        call!(self.dev, get_vq_group, index).map(GroupId)
    }

    /// Returns the group of the virtqueue's descriptor area, where that may be another. Optional.
    #[inline]
    pub fn desc_group(self) -> Option<GroupId> {
        let index = self.index;

        call!(self.dev, get_vq_desc_group, index).map(GroupId)
    }

    /// Sets the processors that should handle the virtqueue's callbacks; [`None`] for all.
    /// Optional.
    #[inline]
    pub fn set_affinity(self, cpus: Option<&Cpumask>) -> Result {
        let index = self.index;
        let cpus = cpus.map_or(null(), |cpus| cpus.as_raw().cast_const());

        // `cpus` is valid during the call, or NULL.
        result(call!(self.dev, set_vq_affinity, index, cpus))
    }

    /// Returns the processors that handle the virtqueue's callbacks, where the parent knows.
    /// Optional.
    #[inline]
    pub fn affinity(self) -> Option<&'a Cpumask> {
        let index = self.index;
        let cpus = call!(self.dev, get_vq_affinity, index)?;

        (!cpus.is_null()).then(|| {
            // SAFETY: The mask is part of the device, which stays registered for `'a`.
            unsafe { Cpumask::from_raw(cpus) }
        })
    }

    /// Returns what the virtqueue's memory is mapped with.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the parent names nothing.
    #[inline]
    pub(crate) fn map(self) -> Result<bindings::virtio_map> {
        let index = self.index;
        let own = call!(self.dev, get_vq_map, index);
        // A NULL from the operation is its way to fail. As the device's own it is fine for mapping
        // operations that can do without.
        let null_ok = own.is_none() && self.dev.has_map_ops();
        let map = own.unwrap_or_else(|| self.dev.map());

        // SAFETY: All members of the union are pointers.
        if unsafe { map.dma_dev }.is_null() && !null_ok {
            return Err(EINVAL);
        }
        Ok(map)
    }
}
