// SPDX-License-Identifier: GPL-2.0

//! Parents that are told when to start and stop.
//!
//! A [`Parent`] says what its device offers and is told *start with this*, *stop*, *go on*. The
//! rest of what a vDPA device is asked ([`ConfigOps`](crate::ConfigOps)) an [`Adapter`] keeps for
//! it: status and features, what the driver has set of each virtqueue, whether it is suspended, and
//! in which order all that may happen, which is a table in [`phase`].

mod adapter;
mod events;
mod mapping;
mod module;
mod ops;
pub mod phase;
mod setup;

pub use self::{
    adapter::Adapter,
    events::Events,
    module::{
        create,
        Manageable,
        Management, //
    },
    setup::VqSetup, //
};

use crate::{
    bindings,
    Asid,
    Features,
    GroupId,
    IovaRange,
    NotificationArea,
    VendorStats,
    VqIndex,
    VqState, //
};
use kernel::{
    build_error,
    cpumask::Cpumask,
    error::VTABLE_DEFAULT_ERROR,
    prelude::*, //
};

/// What a device of one kind does.
///
/// # Order
///
/// An [`Adapter`] calls one method at a time of those that start and stop something, in this order:
///
/// 1. [`negotiate`](Self::negotiate), when the driver says that its features are final.
/// 2. [`start`](Self::start), when the driver is ready. Nothing is to be done for a driver before
///    that, whatever it has announced.
/// 3. [`start_queue`](Self::start_queue) and [`stop_queue`](Self::stop_queue) for virtqueues that
///    are enabled or disabled later, [`suspend`](Self::suspend) and [`resume`](Self::resume) in
///    turns.
/// 4. [`reset`](Self::reset), at any time, and as often as anybody likes.
///
/// What was announced before a virtqueue was started is announced again after it.
///
/// # What need not be there
///
/// A method that is not overridden and says nothing else is one that the device does not have:
/// consumers see that, as there is no such operation in its table either. The constants with
/// `HAS_`, and `OwnerModule`, come from [`vtable`](macro@vtable).
///
/// # Interrupts
///
/// What stops something returns when it has: no buffer of a virtqueue that was stopped is used any
/// more, and [`Events::used`] is not called for it. After a reset, nor is
/// [`Events::set_needs_reset`].
///
/// # Context
///
/// Methods are called from process context and may sleep, except for [`kick`](Self::kick) and
/// [`kick_with_data`](Self::kick_with_data), which are called from any context, with interrupts off
/// too. Those that only return something may be called at any time.
#[vtable]
pub trait Parent: Sized + Send + Sync {
    /// Returns the virtio device id (`uapi/linux/virtio_ids.h`).
    fn device_id(&self) -> u32;

    /// Returns the vendor id. 0, if not overridden.
    fn vendor_id(&self) -> u32 {
        0
    }

    /// Returns the features that are offered.
    ///
    /// Drivers have to accept VIRTIO_F_ACCESS_PLATFORM if it is among them: memory is reached through
    /// what the consumer maps then, and a driver has to know that.
    fn features(&self) -> Features;

    /// Returns the largest number of descriptors of a virtqueue, 0 for one that is unavailable.
    fn size_max(&self, vq: VqIndex) -> u16;

    /// Returns the number of descriptors below which a virtqueue does not work well. Drivers are
    /// told, and may use less.
    fn size_min(&self) -> u16 {
        1
    }

    /// Returns the alignment that a kernel driver gives the areas of a virtqueue, in bytes. A page,
    /// if not overridden.
    fn align(&self) -> u32 {
        bindings::PAGE_SIZE as u32
    }

    /// Returns the group of a virtqueue. All are in the same one, if not overridden.
    fn group(&self, vq: VqIndex) -> GroupId {
        let _ = vq;
        GroupId(0)
    }

    /// Returns the group of a virtqueue's descriptor area, where that can differ from the group of
    /// the buffers.
    fn desc_group(&self, vq: VqIndex) -> GroupId {
        let _ = vq;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the addresses that can be mapped.
    fn iova_range(&self) -> IovaRange {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The driver accepts these features, of those that are offered, and no others from now on.
    ///
    /// # Errors
    ///
    /// Any, where the device does not: the driver is told.
    fn negotiate(&self, features: Features) -> Result {
        let _ = features;
        Ok(())
    }

    /// The driver is ready: starts the virtqueues that it has enabled.
    ///
    /// # Errors
    ///
    /// Any. The device is [reset](Self::reset) then, DRIVER_OK is not set, and the driver is told
    /// that the device needs a reset.
    fn start(&self, features: Features, queues: &[VqSetup]) -> Result {
        let _ = features;
        queues.iter().try_for_each(|queue| self.start_queue(queue))
    }

    /// Starts a virtqueue that the driver has enabled after it was ready.
    ///
    /// # Errors
    ///
    /// Any. The device is [reset](Self::reset) then, and the driver told that it has to be.
    fn start_queue(&self, queue: &VqSetup) -> Result;

    /// Stops a virtqueue, of which the memory may be taken away then.
    ///
    /// # Errors
    ///
    /// Any, where it goes on. The whole device is [halted](Self::halt) then, and the driver told
    /// that it has to be reset.
    fn stop_queue(&self, vq: VqIndex) -> Result;

    /// Returns where a virtqueue stands that was started: for sure, when it was stopped or the
    /// device suspended since. A device that cannot say it, as this is not overridden, can begin at
    /// the beginning only, also a virtqueue that was stopped, once the consumer has said so.
    fn queue_state(&self, vq: VqIndex) -> Result<VqState> {
        let _ = vq;
        Err(EOPNOTSUPP)
    }

    /// Stops all virtqueues that are started, so that they can go on: all of them, or none.
    ///
    /// # Errors
    ///
    /// Any, where the device goes on.
    fn suspend(&self, started: &[VqIndex]) -> Result {
        let _ = started;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Goes on after it was suspended, with what the driver has set meanwhile; virtqueues that are
    /// not among `queues` are not started any more. As if it was [started](Self::start) again, if
    /// not overridden: that is for devices that have forgotten their virtqueues meanwhile.
    ///
    /// # Errors
    ///
    /// Any, where the device stays suspended as it was.
    fn resume(&self, features: Features, queues: &[VqSetup]) -> Result {
        self.start(features, queues)
    }

    /// Stops whatever goes on, and forgets what a driver has set. Does so as often as it is asked.
    ///
    /// # Errors
    ///
    /// Any, where the device cannot be reset: nothing can be started until it has been. What it
    /// reaches of memory may be taken away all the same.
    fn reset(&self) -> Result;

    /// Like [`reset`](Self::reset), and forgets all mappings: for consumers that count on that
    /// (VDPA_RESET_F_CLEAN_MAP).
    fn reset_with_mappings(&self) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Stops whatever goes on, for a driver that sees it as running, if at all: what was said of
    /// [interrupts](Self::irq) holds until the reset that follows. A [reset](Self::reset), if not
    /// overridden.
    ///
    /// # Errors
    ///
    /// As for [`reset`](Self::reset).
    fn halt(&self) -> Result {
        self.reset()
    }

    /// Whether the device cannot go on before it is reset, for devices that know it without having
    /// said so ([`Events::set_needs_reset`]): a bit of a register, or there is no device any more.
    /// Drivers are told when they read the status.
    fn needs_reset(&self) -> bool {
        false
    }

    /// There may be new buffers in a virtqueue. It may also be one that was not started. Called
    /// after each start, also for devices that drivers tell [more](Self::kick_with_data).
    ///
    /// # Context
    ///
    /// Atomic; also from the wake-up of an eventfd, with interrupts off.
    fn kick(&self, vq: VqIndex);

    /// Like [`kick`](Self::kick), with the data of VIRTIO_F_NOTIFICATION_DATA (virtio 1.3, section
    /// 2.9): the virtqueue's number in bits 0 to 15, where it is in bits 16 to 31.
    fn kick_with_data(&self, vq: VqIndex, data: u32) {
        let _ = (vq, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the size of the configuration space in bytes. 0, if not overridden.
    fn config_size(&self) -> usize {
        0
    }

    /// Reads from the configuration space. The range lies within
    /// [`config_size`](Self::config_size).
    fn read_config(&self, offset: usize, buf: &mut [u8]) {
        let _ = offset;
        buf.fill(0);
    }

    /// Writes to the configuration space, in the same range.
    fn write_config(&self, offset: usize, buf: &[u8]) {
        let _ = (offset, buf);
    }

    /// Returns a number that changes with the contents of the configuration space, where the device
    /// has one. Changes that [`Events`] are told of are counted anyway.
    fn config_generation(&self) -> u32 {
        0
    }

    /// Adds the device's own statistics of a virtqueue to a netlink message. Users see those of
    /// network devices only (`vdpa dev vstats show`).
    fn stats(&self, vq: VqIndex, stats: &mut VendorStats<'_>) -> Result {
        let _ = (vq, stats);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the doorbells of a virtqueue, for a consumer that maps them to userspace.
    fn doorbells(&self, vq: VqIndex) -> NotificationArea {
        let _ = vq;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the interrupt number of a virtqueue, for a consumer that bypasses the callback. It
    /// must not change, nor be freed, from [`start`](Self::start) to [`reset`](Self::reset).
    fn irq(&self, vq: VqIndex) -> Result<u32> {
        let _ = vq;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets the processors that should handle the callbacks of a virtqueue; [`None`] for no wish.
    fn set_affinity(&self, vq: VqIndex, cpus: Option<&Cpumask>) -> Result {
        let _ = (vq, cpus);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the processors that handle the callbacks of a virtqueue, if known.
    fn affinity(&self, vq: VqIndex) -> Option<&Cpumask> {
        let _ = vq;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// A group of virtqueues, none of which is started, is bound to an address space.
    fn set_asid(&self, group: GroupId, asid: Asid) -> Result {
        let _ = (group, asid);
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
