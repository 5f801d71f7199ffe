// SPDX-License-Identifier: GPL-2.0

//! The control queue of a network device with several pairs of queues (virtio 1.3, section
//! 5.1.6.5).

use virtio_bindings::virtio_net::{
    VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_ERR, VIRTIO_NET_OK,
};
use virtqueue::{Chain, Segment};

use super::{Net, BUDGET, SEGMENTS};
use crate::dma::Dma;
use crate::queue::Queue;

impl Net {
    /// Handles commands, and says whether there may be more.
    pub(super) fn control(&mut self, index: usize, queues: &mut [Queue], dma: &Dma) -> bool {
        let Some(queue) = queues.get_mut(index) else {
            return false;
        };
        let mut storage = [Segment::EMPTY; SEGMENTS];
        for _ in 0..BUDGET {
            let Some(chain) = queue.pop(dma, &mut storage) else {
                if queue.listen(dma) {
                    continue;
                }
                return false;
            };
            let ack = match self.command(&chain, dma) {
                Some(()) => VIRTIO_NET_OK,
                None => VIRTIO_NET_ERR,
            };
            let mut writer = chain.writer(dma);
            // A driver that left no room for the answer gets none.
            let _ = writer.write_array([ack as u8]);
            let written = writer.written();
            queue.complete(dma, chain.into_token(), written);
        }
        true
    }

    /// Executes one command; `None` if it is not known or not possible.
    fn command(&mut self, chain: &Chain<'_>, dma: &Dma) -> Option<()> {
        let mut reader = chain.reader(dma);
        let [class, command] = reader.read_array().ok()?;
        match (class.into(), command.into()) {
            (VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET) => {
                let pairs = u16::from_le_bytes(reader.read_array().ok()?);
                if !(1..=self.pairs).contains(&pairs) {
                    return None;
                }
                self.used_pairs = pairs;
                Some(())
            }
            _ => None,
        }
    }
}
