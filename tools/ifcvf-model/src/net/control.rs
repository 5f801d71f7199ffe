// SPDX-License-Identifier: GPL-2.0

//! The control queue of a network device with several pairs of queues (virtio 1.3, section
//! 5.1.6.5).

use virtio_bindings::virtio_net::{
    VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_ERR, VIRTIO_NET_F_MQ,
    VIRTIO_NET_OK,
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
            let pairs = self.command(&chain, dma);
            let ack = match pairs {
                Some(_) => VIRTIO_NET_OK,
                None => VIRTIO_NET_ERR,
            };
            let mut writer = chain.writer(dma);
            let answered = writer.write_array([ack as u8]);
            let (written, token) = (writer.written(), chain.into_token());
            match answered {
                Ok(()) => {
                    // Not before the driver knows.
                    self.used_pairs = pairs.unwrap_or(self.used_pairs);
                    queue.complete(dma, token, written);
                }
                Err(error) => queue.keep(token, error),
            }
        }
        true
    }

    /// The number of pairs that a command sets; `None` if the command is not known, not what was
    /// negotiated, or not possible.
    fn command(&self, chain: &Chain<'_>, dma: &Dma) -> Option<u16> {
        let mut reader = chain.reader(dma);
        let [class, command] = reader.read_array().ok()?;
        match (class.into(), command.into()) {
            (VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET)
                if self.negotiated & (1 << VIRTIO_NET_F_MQ) != 0 =>
            {
                let pairs = u16::from_le_bytes(reader.read_array().ok()?);
                // Nothing follows: another length is another command.
                let whole = reader.remaining() == 0;
                (whole && (1..=self.pairs).contains(&pairs)).then_some(pairs)
            }
            _ => None,
        }
    }
}
