// SPDX-License-Identifier: GPL-2.0

//! Step 1: a device that does nothing.

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
struct Echo;

#[vtable]
impl Model for Echo {
    // No id is set aside for trials. No driver of the kernel takes this one.
    const DEVICE_ID: u32 = bindings::VIRTIO_ID_SIGNAL_DIST;
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
        Progress::Idle
    }
}

vdpa::module_software_device! {
    type: Echo,
    name: "echo_step1",
    authors: ["rust-vdpa developers"],
    description: "vDPA device of the tutorial, step 1",
    license: "GPL",
}
