// SPDX-License-Identifier: GPL-2.0

//! Step 2: one virtqueue. The device answers each request with the request's own bytes.

#![deny(unsafe_code)]

use kernel::prelude::*;
use vdpa::{
    bindings,
    software::{
        Chain,
        Model,
        Outcome,
        Progress,
        Queue, //
    },
    Features,
    GuestMemory,
    IommuGuard, //
};

/// The number of requests of a round. Others get their turn after it.
const BUDGET: usize = 16;

/// The largest number of bytes of an answer: a driver can send 4 GiB.
const LIMIT: u64 = 1 << 16;

#[derive(Default)]
struct Echo;

impl Echo {
    fn answer(chain: &Chain<'_>, memory: &GuestMemory<'_>) -> Outcome {
        let mut writer = chain.writer(memory);

        match chain.reader(memory).copy_to(&mut writer, LIMIT) {
            Ok(moved) => Outcome::Done {
                written: writer.written(),
                moved,
            },
            // The memory is brought in, or may be mapped, and the request begins anew.
            Err(fault) if !fault.is_final() => Outcome::Later,
            // The driver has no such memory.
            Err(_) => Outcome::GiveUp,
        }
    }
}

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
        queues: &mut [Queue],
        _features: Features,
        iommu: &IommuGuard<'_>,
    ) -> Progress {
        let [queue] = queues else {
            return Progress::Idle;
        };

        match queue.open(iommu) {
            Some(mut batch) => batch.drain(BUDGET, Self::answer),
            None => Progress::Idle,
        }
    }
}

vdpa::module_software_device! {
    type: Echo,
    name: "echo_step2",
    authors: ["rust-vdpa developers"],
    description: "vDPA device of the tutorial, step 2",
    license: "GPL",
}
