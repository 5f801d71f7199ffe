// SPDX-License-Identifier: GPL-2.0

//! The virtio operations, in terms of those of a vDPA device.

use crate::{
    affinity::Spread,
    queue, //
};
use kernel::{
    cpumask::Cpumask,
    prelude::*, //
};
use vdpa::{
    bindings::VIRTIO_F_NOTIFICATION_DATA,
    virtio::{
        Device,
        IrqAffinity,
        Slots,
        Transport, //
    },
    Features,
    Status,
    Vq, //
};

/// The transport of virtio devices that are vDPA devices.
pub(crate) struct VdpaTransport;

impl Transport for VdpaTransport {
    fn get(dev: &Device<Self>, offset: u32, buf: &mut [u8]) {
        dev.vdpa().read_config(offset, buf);
    }

    fn set(dev: &Device<Self>, offset: u32, buf: &[u8]) {
        dev.vdpa().write_config(offset, buf);
    }

    fn generation(dev: &Device<Self>) -> u32 {
        dev.vdpa().generation().unwrap_or(0)
    }

    fn get_status(dev: &Device<Self>) -> Status {
        dev.vdpa().status()
    }

    fn set_status(dev: &Device<Self>, status: Status) {
        dev.vdpa().set_status(status);
    }

    fn find_vqs(
        dev: &Device<Self>,
        mut slots: Slots<'_>,
        affinity: Option<&mut IrqAffinity>,
    ) -> Result {
        let spread = match affinity {
            Some(affinity) if dev.vdpa().can_set_affinity() => Spread::new(slots.len(), affinity)?,
            _ => None,
        };
        let wanted = (0..usize::MAX)
            .zip(slots.iter_mut())
            .filter(|(_, slot)| slot.is_wanted());

        // The device counts only the virtqueues that are wanted; affinity is for all.
        for (index, (vector, slot)) in (0..u32::MAX).zip(wanted) {
            let queue = queue::set_up(dev, index, &slot)?;

            if let Some(spread) = &spread {
                // A hint: a device that cannot follow it works all the same.
                let _ = queue.vq().set_affinity(Some(spread.get(vector)));
            }
            slot.fill(queue);
        }

        dev.enable_config_cb()
    }

    fn get_features(dev: &Device<Self>) -> Features {
        dev.vdpa().device_features()
    }

    fn finalize_features(dev: &Device<Self>) -> Result {
        dev.filter_ring_features();

        // The device expects the data from then on, so this has to be known now.
        if !dev.vdpa().can_kick_with_data() {
            dev.clear_feature(VIRTIO_F_NOTIFICATION_DATA);
        }
        dev.vdpa().set_features(dev.features())
    }

    fn bus_name(dev: &Device<Self>) -> &CStr {
        let vdpa: &vdpa::Device = dev.vdpa();

        vdpa.as_ref().name()
    }

    fn set_vq_affinity(vq: Vq<'_>, cpus: Option<&Cpumask>) -> Result {
        if !vq.device().can_set_affinity() {
            return Ok(());
        }
        vq.set_affinity(cpus)
    }

    fn get_vq_affinity(dev: &Device<Self>, index: u32) -> Option<&Cpumask> {
        dev.vdpa().vq(index)?.affinity()
    }

    #[inline]
    fn notify(vq: Vq<'_>) {
        vq.kick();
    }

    #[inline]
    fn notify_with_data(vq: Vq<'_>, next: u16) {
        vq.kick_with_data(next);
    }
}
