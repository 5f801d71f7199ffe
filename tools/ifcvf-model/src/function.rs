// SPDX-License-Identifier: GPL-2.0

//! What kind of virtio device the function is.

use crate::blk::Blk;
use crate::dma::Dma;
use crate::net::Net;
use crate::queue::Queue;
use crate::settings::Settings;

/// A virtio device behind its registers.
pub enum Function {
    /// A network device.
    Net(Box<Net>),
    /// A block device.
    Blk(Blk),
}

impl Function {
    /// The device that the settings want.
    pub fn new(settings: &Settings) -> Self {
        if settings.is_net() {
            Function::Net(Box::new(Net::new(settings)))
        } else {
            Function::Blk(Blk::new(settings))
        }
    }

    /// It, if it is a network device.
    pub fn net(&mut self) -> Option<&mut Net> {
        match self {
            Function::Net(net) => Some(net),
            Function::Blk(_) => None,
        }
    }

    /// Features of its kind.
    pub fn features(&self) -> u64 {
        match self {
            Function::Net(net) => net.features(),
            Function::Blk(blk) => blk.features(),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> Vec<u8> {
        match self {
            Function::Net(net) => net.config(),
            Function::Blk(blk) => blk.config(),
        }
    }

    /// The driver is ready, and these features were negotiated.
    pub fn start(&mut self, negotiated: u64) {
        match self {
            Function::Net(net) => net.start(negotiated),
            Function::Blk(blk) => blk.start(negotiated),
        }
    }

    /// What the driver changed is as it was.
    pub fn reset(&mut self) {
        match self {
            Function::Net(net) => net.reset(),
            Function::Blk(blk) => blk.start(0),
        }
    }

    /// Handles what is in a queue, and says whether there may be more.
    pub fn run(&mut self, index: usize, queues: &mut [Queue], dma: &Dma) -> bool {
        match self {
            Function::Net(net) => net.run(index, queues, dma),
            Function::Blk(blk) => blk.run(index, queues, dma),
        }
    }
}
