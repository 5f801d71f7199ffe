// SPDX-License-Identifier: GPL-2.0

//! A vDPA device with one virtqueue that takes no buffers out of it.

#![deny(unsafe_code)]

use kernel::prelude::*;
use vdpa::{
    bindings,
    software::{
        Model,
        Progress,
        Queue, //
    },
    Features,
    IommuGuard, //
};

#[derive(Default)]
struct Null;

#[vtable]
impl Model for Null {
    const DEVICE_ID: u32 = bindings::VIRTIO_ID_RNG;
    const QUEUES: u32 = 1;

    type Config = [u8; 0];

    fn config(&self) -> Self::Config {
        []
    }

    fn work(
        &mut self,
        _queues: &mut [Queue],
        _features: Features,
        _iommu: &IommuGuard<'_>,
    ) -> Progress {
        // A real device would open the queue, and drain it.
        Progress::Idle
    }
}

vdpa::module_software_device! {
    type: Null,
    name: "vdpa_null",
    authors: ["rust-vdpa developers"],
    description: "vDPA device that does nothing",
    license: "GPL",
}
