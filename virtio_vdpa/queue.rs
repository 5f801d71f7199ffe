// SPDX-License-Identifier: GPL-2.0

//! Making a virtqueue and telling the device of it.

use crate::transport::VdpaTransport;
use kernel::prelude::*;
use vdpa::{
    bindings::{
        VIRTIO_F_NOTIFICATION_DATA,
        VIRTIO_F_RING_PACKED, //
    },
    virtio::{
        Device,
        Layout,
        Slot,
        Virtqueue, //
    },
    Vq,
    VqState, //
};

/// Makes virtqueue `index` for `slot`, and has the device use it.
///
/// # Errors
///
/// - `ENOENT` where the device does not have such a virtqueue, or has it in use,
/// - `EINVAL` where what the device says of the virtqueue makes no sense,
/// - `ENOMEM`, and what the device refuses it with.
///
/// The device does not use the virtqueue then.
pub(crate) fn set_up<'a>(
    dev: &'a Device<VdpaTransport>,
    index: u32,
    slot: &Slot<'_>,
) -> Result<Virtqueue<'a, VdpaTransport>> {
    let vq = dev.vdpa().vq(index).ok_or(ENOENT)?;

    if vq.is_ready() {
        return Err(ENOENT);
    }

    let range = SizeRange::of(vq)?;
    let features = dev.features();
    let packed = features.has(VIRTIO_F_RING_PACKED);
    let layout = Layout {
        num: range.max,
        may_reduce_num: range.min < range.max,
        align: vq.device().vq_align(),
        notification_data: features.has(VIRTIO_F_NOTIFICATION_DATA),
    };
    let queue = Virtqueue::new(dev, index, slot, layout)?;

    // Memory was so short that the ring has become too small for the device.
    if queue.size() < range.min {
        return Err(ENOMEM);
    }

    queue.enable_cb();
    vq.set_num(queue.size());
    vq.set_address(queue.address())?;
    vq.set_state(VqState::initial(packed))?;
    vq.set_ready(true);
    Ok(queue)
}

/// What sizes a virtqueue can have, in descriptors.
struct SizeRange {
    min: u32,
    max: u32,
}

impl SizeRange {
    /// Asks the device.
    fn of(vq: Vq<'_>) -> Result<Self> {
        let dev = vq.device();
        let max = u32::from(vq.size().unwrap_or_else(|| dev.vq_num_max()));
        let min = u32::from(dev.vq_num_min());

        if max == 0 {
            return Err(ENOENT);
        }
        Ok(Self {
            // The smallest size is said for the whole device: a single virtqueue, such as a control
            // queue, can have a largest size below that.
            min: min.min(max),
            max,
        })
    }
}
