// SPDX-License-Identifier: GPL-2.0

//! The virtqueues of a transport.

use super::{
    transport::Table,
    Device,
    Transport, //
};
use crate::{
    bindings,
    Vq,
    VqAddress, //
};
use core::{
    mem::ManuallyDrop,
    ptr::{
        null_mut,
        NonNull, //
    },
    slice, //
};
use kernel::{
    container_of,
    prelude::*,
    sync::rcu::synchronize_rcu, //
};

/// The virtqueues that a virtio driver asks for.
///
/// # Invariants
///
/// What is in `infos` is good for making virtqueues.
pub struct Slots<'a> {
    vqs: &'a mut [*mut bindings::virtqueue],
    infos: &'a [bindings::virtqueue_info],
}

impl<'a> Slots<'a> {
    /// Wraps the C arrays, none of them filled.
    ///
    /// # Safety
    ///
    /// For `'a`, both arrays must have `len` elements, that of `vqs` valid for writes, those of
    /// `infos` valid, and nobody else use them. The names and functions in `infos` must be valid
    /// for as long as virtqueues made with them.
    #[inline]
    pub(super) unsafe fn from_raw(
        vqs: *mut *mut bindings::virtqueue,
        infos: *const bindings::virtqueue_info,
        len: u32,
    ) -> Self {
        let len = len as usize;

        if len == 0 {
            return Self {
                vqs: &mut [],
                infos: &[],
            };
        }
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: As above. The elements of `vqs` need not have a value yet, so they are given one.
        unsafe {
            vqs.write_bytes(0, len);
            Self {
                vqs: slice::from_raw_parts_mut(vqs, len),
                infos: slice::from_raw_parts(infos, len),
            }
        }
    }

    /// The same, for a shorter time.
    #[inline]
    pub(super) fn reborrow(&mut self) -> Slots<'_> {
        Slots {
            vqs: self.vqs,
            infos: self.infos,
        }
    }

    /// Fails if there is a slot that is wanted and was not filled.
    #[inline]
    pub(super) fn check(&self) -> Result {
        let complete = self
            .vqs
            .iter()
            .zip(self.infos)
            .all(|(vq, info)| vq.is_null() == info.name.is_null());

        complete.then_some(()).ok_or(EINVAL)
    }

    /// Empties all slots.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.vqs.fill(null_mut());
    }

    /// Returns the number of slots.
    #[inline]
    pub fn len(&self) -> usize {
        self.infos.len()
    }

    /// Whether there are no slots.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.infos.is_empty()
    }

    /// Goes through the slots.
    #[inline]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = Slot<'_>> {
        self.vqs
            .iter_mut()
            .zip(self.infos)
            .map(|(vq, info)| Slot { vq, info })
    }
}

/// A virtqueue that a virtio driver may ask for.
///
/// # Invariants
///
/// What is in `info` is good for making a virtqueue.
pub struct Slot<'a> {
    vq: &'a mut *mut bindings::virtqueue,
    info: &'a bindings::virtqueue_info,
}

impl Slot<'_> {
    /// Whether the driver wants a virtqueue here. One that it leaves out does not count in the
    /// numbers of the device's virtqueues.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        !self.info.name.is_null()
    }

    /// Hands a virtqueue to the driver.
    #[inline]
    pub fn fill<T: Transport>(self, vq: Virtqueue<'_, T>) {
        *self.vq = ManuallyDrop::new(vq).raw.as_ptr();
    }
}

/// How to make a virtqueue.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The number of descriptors: up to 32,768, and for a split virtqueue a power of 2.
    pub num: u32,
    /// The number of descriptors that will do if memory is short, up to `num`.
    pub min_num: u32,
    /// The alignment of the used ring of a split virtqueue in bytes: a power of 2.
    pub align: u32,
    /// Whether to notify the device with [`Transport::notify_with_data`].
    pub notification_data: bool,
}

impl Layout {
    /// The largest number of descriptors (virtio 1.3, sections 2.7 and 2.8.10.1).
    pub const MAX_NUM: u32 = 1 << 15;

    /// Whether a virtqueue can be like this, packed or split.
    #[inline]
    pub fn is_valid(&self, packed: bool) -> bool {
        (1..=Self::MAX_NUM).contains(&self.num)
            && self.min_num <= self.num
            && (packed || self.num.is_power_of_two())
            && self.align.is_power_of_two()
    }
}

/// A virtqueue: the driver's side of it, the memory it shares with the device, and the callback
/// by which the device makes itself heard.
///
/// When it is dropped, the device is told to stop using it before it is freed. Once
/// [handed over](Slot::fill) the same is done when the driver gives it back.
///
/// # Invariants
///
/// - `raw` is a virtqueue of `dev` with the transport `T`, and this owns it.
/// - What the device calls for it is the line of its number, if that is connected, by
///   [`enable_cb`](Self::enable_cb).
#[doc(alias = "vring_del_virtqueue")]
pub struct Virtqueue<'a, T: Transport> {
    dev: &'a Device<T>,
    raw: NonNull<bindings::virtqueue>,
}

impl<'a, T: Transport> Virtqueue<'a, T> {
    /// Makes a virtqueue for a slot: the driver's side, of which the device does not know yet.
    ///
    /// Its memory is mapped with what the parent names for this virtqueue, or for the device.
    ///
    /// # Errors
    ///
    /// - `ENOENT` where the device does not have a virtqueue `index`,
    /// - `EINVAL` where the slot is not wanted, the layout is none that a virtqueue can have, or
    ///   the parent names nothing to map memory with,
    /// - `ENOMEM`.
    #[doc(alias = "vring_create_virtqueue_map")]
    #[inline]
    pub fn new(dev: &'a Device<T>, index: u32, slot: &Slot<'_>, layout: Layout) -> Result<Self> {
        let packed = dev.features().has(bindings::VIRTIO_F_RING_PACKED);

        if !slot.is_wanted() || !layout.is_valid(packed) {
            return Err(EINVAL);
        }

        let map = dev.vdpa().vq(index).ok_or(ENOENT)?.map()?;
        let notify = if layout.notification_data {
            Table::<T>::notify_with_data
        } else {
            Table::<T>::notify
        };
        // The ring takes strong ones where VIRTIO_F_ORDER_PLATFORM asks for them.
        let weak_barriers = true;

        // SAFETY: By the invariant of `Slot`, name and callback are good for a virtqueue; `notify`
        // is of the transport of `dev`, and `map` belongs to its device and `map` operations.
        let raw = unsafe {
            bindings::vring_create_virtqueue_map(
                index,
                layout.num,
                layout.align.max(bindings::VRING_USED_ALIGN_SIZE),
                dev.as_raw(),
                weak_barriers,
                layout.min_num < layout.num,
                slot.info.ctx,
                Some(notify),
                slot.info.callback,
                slot.info.name,
                map,
            )
        };
        let raw = NonNull::new(raw).ok_or(ENOMEM)?;

        // SAFETY: Made just above, and ours alone; the fields are for the transport to set.
        unsafe {
            (*raw.as_ptr()).num_max = layout.num;
            if index == 0 {
                (*dev.as_raw()).vmap = map;
            }
        }
        // INVARIANT: Made just above. The device does not know the virtqueue.
        let queue = Self { dev, raw };

        // When memory is short the ring is made smaller until it fits, whatever that comes to.
        if queue.size() < layout.min_num {
            return Err(ENOMEM);
        }
        Ok(queue)
    }

    /// Names the virtqueue of the vDPA device that belongs to a C virtqueue.
    ///
    /// # Safety
    ///
    /// `raw` must be a virtqueue of a device with the transport `T`, which must be registered for
    /// `'a`.
    #[inline]
    pub(super) unsafe fn vq_from_raw(raw: *const bindings::virtqueue) -> Vq<'a> {
        // SAFETY: By the safety requirements of this function. `new` has compared the index with
        // the number of virtqueues, which does not change.
        unsafe {
            Vq::new_unchecked(
                Device::<T>::from_raw((*raw).vdev).vdpa(),
                (*raw).index as u16,
            )
        }
    }

    /// Returns the device's side.
    #[inline]
    pub fn vq(&self) -> Vq<'a> {
        // SAFETY: By the type invariant. `new` has compared the index with the number of
        // virtqueues, which does not change.
        unsafe { Vq::new_unchecked(self.dev.vdpa(), (*self.raw.as_ptr()).index as u16) }
    }

    /// Returns the number of descriptors, which may be smaller than what was asked for.
    #[doc(alias = "virtqueue_get_vring_size")]
    #[inline]
    pub fn size(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { bindings::virtqueue_get_vring_size(self.raw.as_ptr()) }
    }

    /// Returns where the device finds the virtqueue.
    #[doc(alias = "virtqueue_get_desc_addr")]
    #[doc(alias = "virtqueue_get_avail_addr")]
    #[doc(alias = "virtqueue_get_used_addr")]
    #[inline]
    pub fn address(&self) -> VqAddress {
        let raw = self.raw.as_ptr();

        // SAFETY: By the type invariant.
        unsafe {
            VqAddress {
                desc: bindings::virtqueue_get_desc_addr(raw),
                driver: bindings::virtqueue_get_avail_addr(raw),
                device: bindings::virtqueue_get_used_addr(raw),
            }
        }
    }

    /// Has the device call the driver when it has used buffers, if the driver wants that.
    ///
    /// # Errors
    ///
    /// `ENODEV` where the vDPA device is being unbound.
    #[inline]
    pub fn enable_cb(&self) -> Result {
        let raw = self.raw.as_ptr();
        let index = self.vq().index().into();

        // SAFETY: By the type invariant.
        if unsafe { (*raw).callback }.is_none() {
            return Ok(());
        }
        self.dev.with_callbacks(|callbacks| {
            // SAFETY: The virtqueue is freed in `drop`, after the line was disconnected and a grace
            // period has passed.
            unsafe { callbacks.vq(index).ok_or(EINVAL)?.connect(raw.cast()) };
            callbacks.install_vq(self.dev.vdpa(), index, None)
        })
    }

    /// Frees all virtqueues that were handed over.
    ///
    /// # Safety
    ///
    /// The driver must not use them any more.
    pub(super) unsafe fn free_all(dev: &'a Device<T>) {
        // What the device still uses cannot be freed.
        dev.quiesce();

        // SAFETY: The list is initialised when the device is registered.
        let head = unsafe { &raw mut (*dev.as_raw()).vqs };

        loop {
            // SAFETY: As above; nobody but us adds or removes elements.
            let first = unsafe { (*head).next };

            if first == head {
                return;
            }

            // SAFETY: All elements are virtqueues.
            let raw = unsafe { container_of!(first, bindings::virtqueue, list) };

            // SAFETY: Elements of a list are not NULL.
            let raw = unsafe { NonNull::new_unchecked(raw) };

            // INVARIANT: All virtqueues of a device were made by `new`; those that are left in the
            // list were handed over, and come back to us here.
            drop(Self { dev, raw });
        }
    }
}

impl<T: Transport> Virtqueue<'_, T> {
    /// Has the virtqueue not be called any more, once a grace period has passed. Returns whether it
    /// may have been.
    #[inline]
    fn disconnect(&self) -> bool {
        let index = self.vq().index().into();

        self.dev
            .with_callbacks(|callbacks| {
                Ok(callbacks.vq(index).is_some_and(|line| line.disconnect()))
            })
            .unwrap_or(false)
    }
}

impl<T: Transport> Drop for Virtqueue<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let vq = self.vq();

        if vq.is_ready() {
            vq.set_ready(false);
        }
        // What was handed over was disconnected by `free_all`, together with the others.
        if self.disconnect() {
            synchronize_rcu();
        }
        // SAFETY: By the type invariant it is ours to free. The device is quiet: it does not have
        // DRIVER_OK yet, or was reset (see `free_all`), so that it does not use the memory. What it
        // calls has nothing to do with the virtqueue any more.
        unsafe { bindings::vring_del_virtqueue(self.raw.as_ptr()) };
    }
}
