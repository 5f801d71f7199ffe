// SPDX-License-Identifier: GPL-2.0

//! An entropy device: virtio 1.3, section 5.4. Its random bytes are the kernel's own.

#![deny(unsafe_code)]

use kernel::prelude::*;
use vdpa::{
    bindings,
    random_bytes,
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

/// The number of bytes that are made at a time.
const PART: usize = 256;

/// The largest number of bytes for one request: a driver can ask for 4 GiB, and need not get all.
const BYTES: usize = 1 << 16;

#[derive(Default)]
struct Rng;

impl Rng {
    /// Fills a buffer of the driver.
    fn fill(chain: &Chain<'_>, memory: &GuestMemory<'_>) -> Outcome {
        let mut writer = chain.writer(memory);
        let mut part = [0; PART];

        for _ in 0..BYTES / PART {
            random_bytes(&mut part);
            match writer.write(&part) {
                // All of it is filled.
                Ok(written) if written < PART => break,
                Ok(_) => {}
                // It is brought in, or may be mapped, and the request begins anew.
                Err(fault) if !fault.is_final() && writer.written() == 0 => return Outcome::Later,
                // The driver has no such memory. What was filled before counts.
                Err(_) => break,
            }
        }
        match writer.written() {
            // The driver would take a buffer with nothing in it for an answer.
            0 => Outcome::GiveUp,
            written => Outcome::Done {
                written,
                moved: written.into(),
            },
        }
    }
}

#[vtable]
impl Model for Rng {
    const DEVICE_ID: u32 = bindings::VIRTIO_ID_RNG;
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
            Some(mut queue) => queue.drain(BUDGET, Self::fill),
            None => Progress::Idle,
        }
    }
}

vdpa::module_software_device! {
    type: Rng,
    name: "vdpa_rng",
    authors: ["rust-vdpa developers"],
    description: "vDPA entropy device",
    license: "GPL",
}
