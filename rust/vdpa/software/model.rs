// SPDX-License-Identifier: GPL-2.0

//! What a device in software is.

use super::{
    Progress,
    Queue, //
};
use crate::{
    bindings,
    Features,
    GroupId,
    IommuGuard,
    VendorStats,
    VqIndex, //
};
use kernel::prelude::*;

/// The features of every device in software.
///
/// VIRTIO_F_ACCESS_PLATFORM is not an offer but a demand: memory is reached through the device's
/// own translation.
pub const FEATURES: Features = Features::from_bits(&[
    bindings::VIRTIO_F_ANY_LAYOUT,
    bindings::VIRTIO_F_VERSION_1,
    bindings::VIRTIO_F_ACCESS_PLATFORM,
    bindings::VIRTIO_RING_F_EVENT_IDX,
    bindings::VIRTIO_RING_F_INDIRECT_DESC,
]);

/// A kind of device.
///
/// # Context
///
/// All methods but [`group`](Self::group) are called one at a time, with the lock of the device
/// held. They may sleep, but must not wait for anybody who uses the device.
#[vtable]
pub trait Model: Send + Unpin + Sized + 'static {
    /// The virtio device id (`uapi/linux/virtio_ids.h`).
    const DEVICE_ID: u32;
    /// The number of virtqueues, 64 at most.
    const QUEUES: u32;
    /// The number of virtqueue groups.
    const GROUPS: u32 = 1;
    /// The number of address spaces.
    const ADDRESS_SPACES: u32 = 1;
    /// All features that a device can offer: [`FEATURES`], and those of this kind.
    const FEATURES: Features = FEATURES;

    /// The configuration space, an array of bytes.
    type Config: AsRef<[u8]>;

    /// Returns the group of a virtqueue. All are in the same one, if not overridden.
    #[inline]
    fn group(vq: VqIndex) -> GroupId {
        let _ = vq;
        GroupId(0)
    }

    /// Returns what is in the configuration space now.
    fn config(&self) -> Self::Config;

    /// Takes what was written to the configuration space. Nothing, if not overridden.
    ///
    /// It is within the space, little endian for a device of virtio 1.0 and later, and can be a
    /// part of a field. A driver can write before its features are final.
    #[inline]
    fn set_config(&mut self, offset: usize, buf: &[u8]) {
        let _ = (offset, buf);
    }

    /// Forgets what a driver has set, also in the configuration: the next one is another.
    /// Statistics stay.
    #[inline]
    fn reset(&mut self) {}

    /// Adds the statistics of a virtqueue. There are none, if not overridden. Users see those of
    /// network devices only (`vdpa dev vstats show`).
    ///
    /// # Errors
    ///
    /// `EINVAL` where it has none; `EMSGSIZE`.
    #[inline]
    fn stats(&self, vq: VqIndex, stats: &mut VendorStats<'_>) -> Result {
        let _ = (vq, stats);
        Err(EINVAL)
    }

    /// Does a round of what drivers have asked for, with [`Queue::open`] and
    /// [`Batch::drain`](super::Batch::drain). Called as long as there is [more](Progress::More),
    /// and when the driver says so.
    fn work(
        &mut self,
        queues: &mut [Queue],
        features: Features,
        iommu: &IommuGuard<'_>,
    ) -> Progress;
}
