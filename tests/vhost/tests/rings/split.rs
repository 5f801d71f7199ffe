// SPDX-License-Identifier: GPL-2.0

//! The device side of a split ring: that of the simulators.

use std::sync::atomic::{fence, Ordering};

use vhost_client::memory::Memory;
use vhost_client::ring::{self, Options};
use virtqueue::{Fault, Refusal, Ring, Segment, Split, SplitConfig, SplitState};

/// Memory as the engine wants it.
struct Guest<'a>(&'a Memory);

fn fault<T>(addr: u64, result: anyhow::Result<T>) -> Result<T, Fault> {
    result.map_err(|_| Fault {
        addr,
        refusal: Refusal::NotMapped,
    })
}

impl virtqueue::Memory for Guest<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        fault(addr, self.0.read(addr, buf))
    }

    fn write(&self, addr: u64, buf: &[u8]) -> Result<(), Fault> {
        fault(addr, self.0.write(addr, buf))
    }

    fn load_acquire(&self, addr: u64) -> Result<u16, Fault> {
        fault(addr, self.0.load(addr))
    }

    fn store_release(&self, addr: u64, value: u16) -> Result<(), Fault> {
        fault(addr, self.0.store(addr, value))
    }

    fn barrier(&self) {
        fence(Ordering::SeqCst);
    }

    fn copy_to(&self, src: u64, memory: &Self, dst: u64, len: usize) -> Result<(), Fault> {
        let mut bytes = vec![0; len];

        self.read(src, &mut bytes)?;
        memory.write(dst, &bytes)
    }
}

/// A device that returns what it reads.
pub struct Device(Split);

impl Device {
    /// For a ring that begins at an index.
    pub fn new(ring: &ring::Split, options: Options, start: u16) -> Self {
        use vhost_client::ring::Ring as _;

        let at = ring.addresses();
        let mut device = Split::new(&SplitConfig {
            size: ring.size().into(),
            desc: at.desc,
            avail: at.driver,
            used: at.device,
            event_idx: options.event_idx,
            indirect: options.indirect,
        })
        .unwrap();

        device.set_state(SplitState { avail_index: start });
        Self(device)
    }
}

impl super::Device for Device {
    fn serve(&mut self, memory: &Memory, most: usize) -> (bool, bool) {
        let memory = Guest(memory);
        let mut segments = [Segment::EMPTY; 256];
        let mut asleep = false;

        self.0.disable_notifications(&memory).unwrap();
        for _ in 0..most {
            let Some(chain) = self.0.pop(&memory, &mut segments).unwrap() else {
                self.0.publish(&memory).unwrap();
                asleep = !self.0.enable_notifications(&memory).unwrap();
                break;
            };
            let mut writer = chain.writer(&memory);

            chain
                .reader(&memory)
                .copy_to(&mut writer, u64::MAX)
                .unwrap();
            let written = writer.written();
            self.0
                .complete(&memory, chain.into_token(), written)
                .unwrap();
        }
        self.0.publish(&memory).unwrap();
        (self.0.needs_notification(&memory), asleep)
    }
}
