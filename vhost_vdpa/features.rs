// SPDX-License-Identifier: GPL-2.0

//! Features of the device, and of this interface to it.

use crate::session::Session;
use kernel::{
    device::Bound,
    prelude::*, //
};
use vdpa::{
    bindings::{
        VHOST_BACKEND_F_DESC_ASID,
        VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK,
        VHOST_BACKEND_F_IOTLB_ASID,
        VHOST_BACKEND_F_IOTLB_BATCH,
        VHOST_BACKEND_F_IOTLB_MSG_V2,
        VHOST_BACKEND_F_IOTLB_PERSIST,
        VHOST_BACKEND_F_RESUME,
        VHOST_BACKEND_F_SUSPEND,
        VIRTIO_F_RING_PACKED,
        VIRTIO_F_RING_RESET, //
    },
    Device,
    Features,
    Status,
    Translation, //
};

/// What this driver can do with any device.
const ALWAYS: Features = Features::from_bits(&[
    VHOST_BACKEND_F_IOTLB_MSG_V2,
    VHOST_BACKEND_F_IOTLB_BATCH,
    VHOST_BACKEND_F_IOTLB_ASID,
]);

/// What only the parent knows.
const OF_PARENT: Features = Features::from_bits(&[
    VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK,
    VHOST_BACKEND_F_IOTLB_PERSIST,
]);

/// Whether mappings stay when the device is reset.
fn has_persistent_map(dev: &Device<Bound>) -> bool {
    dev.translation() == Translation::Platform || dev.can_reset_map()
}

/// Whether a virtqueue can be in another address space than its buffers.
fn has_desc_groups(dev: &Device<Bound>) -> bool {
    dev.vq(0).is_some_and(|vq| vq.desc_group().is_some())
}

impl Session {
    /// Returns the `VHOST_BACKEND_F_*` bits that hold for a device.
    pub(crate) fn offered_backend_features(dev: &Device<Bound>) -> u64 {
        let mut features = ALWAYS.union(Features(dev.backend_features()).intersection(OF_PARENT));

        for (bit, holds) in [
            (VHOST_BACKEND_F_SUSPEND, dev.can_suspend()),
            (VHOST_BACKEND_F_RESUME, dev.can_resume()),
            (VHOST_BACKEND_F_DESC_ASID, has_desc_groups(dev)),
            (VHOST_BACKEND_F_IOTLB_PERSIST, has_persistent_map(dev)),
        ] {
            if holds {
                features = features.union(Features::from_bits(&[bit]));
            }
        }
        features.0
    }

    /// Accepts `VHOST_BACKEND_F_*` bits.
    ///
    /// # Errors
    ///
    /// `EINVAL` for DESC_ASID without IOTLB_ASID, `EOPNOTSUPP` for bits that were not offered.
    pub(crate) fn set_backend_features(&mut self, dev: &Device<Bound>, features: u64) -> Result {
        let features = Features(features);
        let offered = Features(Self::offered_backend_features(dev));

        if features.has(VHOST_BACKEND_F_DESC_ASID) && !features.has(VHOST_BACKEND_F_IOTLB_ASID) {
            return Err(EINVAL);
        }
        if !features.difference(offered).is_empty() {
            return Err(EOPNOTSUPP);
        }
        self.backend_features = features;
        Ok(())
    }

    /// Accepts virtio features.
    ///
    /// # Errors
    ///
    /// `EBUSY` once the device has FEATURES_OK, `EINVAL` where the device refuses them.
    pub(crate) fn set_features(&mut self, dev: &Device<Bound>, features: Features) -> Result {
        if dev.status().has(Status::FEATURES_OK) {
            return Err(EBUSY);
        }
        dev.set_features(features).map_err(|_| EINVAL)?;
        self.packed = dev.driver_features().has(VIRTIO_F_RING_PACKED);
        self.ring_reset = dev.driver_features().has(VIRTIO_F_RING_RESET);
        // Which virtqueues have one may depend on it.
        self.update_doorbells(dev, Status::default())
    }
}
