// SPDX-License-Identifier: GPL-2.0

//! Step 3: a configuration space. The driver sets how many bytes an answer has at most.

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

/// The largest number of bytes of an answer, until the driver says another.
const LIMIT: u16 = 4096;

struct Echo {
    /// All that is in the configuration space: 16 bits, little endian.
    limit: u16,
}

impl Default for Echo {
    fn default() -> Self {
        Self { limit: LIMIT }
    }
}

impl Echo {
    fn answer(&self, chain: &Chain<'_>, memory: &GuestMemory<'_>) -> Outcome {
        let mut writer = chain.writer(memory);

        match chain.reader(memory).copy_to(&mut writer, self.limit.into()) {
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

    type Config = [u8; 2];

    fn config(&self) -> Self::Config {
        self.limit.to_le_bytes()
    }

    fn set_config(&mut self, offset: usize, buf: &[u8]) {
        let mut config = self.config();

        // A driver may write one of the two bytes.
        for (to, from) in config.iter_mut().skip(offset).zip(buf) {
            *to = *from;
        }
        self.limit = u16::from_le_bytes(config);
    }

    fn reset(&mut self) {
        *self = Self::default();
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
            Some(mut batch) => batch.drain(BUDGET, |chain, memory| self.answer(chain, memory)),
            None => Progress::Idle,
        }
    }
}

vdpa::module_software_device! {
    type: Echo,
    name: "echo_step3",
    authors: ["rust-vdpa developers"],
    description: "vDPA device of the tutorial, step 3",
    license: "GPL",
}
