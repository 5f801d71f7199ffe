// SPDX-License-Identifier: GPL-2.0

//! Making a virtqueue and telling the device of it.

use crate::transport::VdpaTransport;
use kernel::{
    device::Bound,
    prelude::*, //
};
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
    Features,
    Vq,
    VqState, //
};

/// Makes virtqueue `index` for `slot`, and has the device use it.
///
/// # Errors
///
/// - `ENOENT` where the device does not have such a virtqueue, or has it in use,
/// - `EINVAL` where no virtqueue can be what the device says of it,
/// - `ENOMEM`, and what the device refuses it with.
///
/// The device does not use the virtqueue then.
pub(crate) fn set_up<'a>(
    dev: &'a Device<VdpaTransport>,
    index: u32,
    slot: &Slot<'_>,
) -> Result<Virtqueue<'a, VdpaTransport>> {
    let vq = unused(dev.vdpa(), index)?;
    let queue = Virtqueue::new(dev, index, slot, layout(vq, dev.features())?)?;
    let packed = dev.features().has(VIRTIO_F_RING_PACKED);

    queue.enable_cb()?;
    vq.set_num(queue.size());
    vq.set_address(queue.address())?;
    vq.set_state(VqState::initial(packed))?;
    vq.set_ready(true);
    Ok(queue)
}

/// Returns virtqueue `index` of the device, which must not be in use.
fn unused(vdpa: &vdpa::Device<Bound>, index: u32) -> Result<Vq<'_>> {
    let Some(vq) = vdpa.vq(index) else {
        let nvqs = vdpa.nvqs();

        dev_err!(vdpa, "no virtqueue {}: the device has {}\n", index, nvqs);
        return Err(ENOENT);
    };

    if vq.is_ready() {
        dev_err!(vdpa, "virtqueue {} is in use already\n", index);
        return Err(ENOENT);
    }
    Ok(vq)
}

/// Returns how the device wants a virtqueue to be.
fn layout(vq: Vq<'_>, features: Features) -> Result<Layout> {
    let vdpa = vq.device();
    let packed = features.has(VIRTIO_F_RING_PACKED);
    let num = vq.size().unwrap_or_else(|| vdpa.vq_num_max());
    let layout = Layout {
        num: num.into(),
        // The smallest size is said for the whole device: a single virtqueue, such as a control
        // queue, can have a largest size below that.
        min_num: vdpa.vq_num_min().min(num).into(),
        align: vdpa.vq_align(),
        notification_data: features.has(VIRTIO_F_NOTIFICATION_DATA),
    };

    if num == 0 {
        dev_err!(vdpa, "virtqueue {} has no descriptors\n", vq.index());
        return Err(ENOENT);
    }
    if !layout.is_valid(packed) {
        dev_err!(
            vdpa,
            "virtqueue {}: {} descriptors, must be {} up to {}; alignment {}, must be a power of 2\n",
            vq.index(),
            num,
            if packed { "any number" } else { "a power of 2" },
            Layout::MAX_NUM,
            layout.align,
        );
        return Err(EINVAL);
    }
    Ok(layout)
}
