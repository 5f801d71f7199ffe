// SPDX-License-Identifier: GPL-2.0

//! The simulated network device: frames and commands, good ones and others.

use crate::{
    memory::GuestMemory,
    net::Net,
    pages::Guest,
    queue::{
        Progress,
        Queue, //
    },
    ring::{
        get,
        put,
        Buffer,
        Ring,
        SIZE, //
    },
    sim::Model, //
};
use kernel::prelude::*;
use vdpa::{
    bindings,
    mgmt,
    Asid,
    IommuGuard, //
};

const BASE: u64 = 0x30_0000;
/// Behind three rings: what is sent, and what is received.
const SENT: u64 = BASE + 0x3000;
const RECEIVED: u64 = BASE + 0x4000;
/// `struct virtio_net_hdr_v1`.
const HEADER: u64 = 12;
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const OTHER: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x57];

const RX: usize = 0;
const TX: usize = 1;
const CONTROL: usize = 2;

/// What `vdpa dev add ... mac` asks for.
fn model() -> Net {
    let mut raw = pin_init::zeroed::<bindings::vdpa_dev_set_config>();

    raw.mask = 1 << bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MACADDR;
    raw.net.mac = MAC;
    // SAFETY: `Config` is a transparent wrapper.
    Net::new(unsafe { &*core::ptr::from_ref(&raw).cast::<mgmt::Config>() })
}

/// A network device, and its driver.
struct Link<'a> {
    net: Net,
    queues: [Queue; 3],
    rings: [Ring; 3],
    iommu: &'a IommuGuard<'a>,
    memory: GuestMemory<'a>,
}

impl<'a> Link<'a> {
    fn new(iommu: &'a IommuGuard<'a>) -> Result<Self> {
        let rings = [BASE, BASE + 0x1000, BASE + 0x2000].map(Ring::new);
        let mut queues = [Queue::new()?, Queue::new()?, Queue::new()?];

        for (queue, ring) in queues.iter_mut().zip(&rings) {
            queue.address = ring.address();
            queue.num = SIZE.into();
            queue.start(Net::FEATURES)?;
        }
        Ok(Self {
            net: model(),
            queues,
            rings,
            iommu,
            memory: GuestMemory::new(iommu, Asid(0)),
        })
    }

    fn offer(&mut self, ring: usize, buffers: &[Buffer]) -> Result {
        let ring = self.rings.get_mut(ring).ok_or(EINVAL)?;

        ring.offer(&self.memory, 0, buffers)
    }

    /// Lets the device work. Returns how many chains have come back from each queue.
    fn work(&mut self) -> Result<[u16; 3]> {
        let progress = self.net.work(&mut self.queues, Net::FEATURES, self.iommu);

        check!(progress == Progress::Idle);
        Ok([
            self.rings[RX].used(&self.memory)?,
            self.rings[TX].used(&self.memory)?,
            self.rings[CONTROL].used(&self.memory)?,
        ])
    }

    /// Places a frame of `len` bytes in all, which is to be sent.
    fn frame(&mut self, destination: [u8; 6], len: u32) -> Result {
        put(&self.memory, SENT, &[0; 64])?;
        put(&self.memory, SENT + HEADER, &destination)?;
        put(&self.memory, SENT + HEADER + 6, b"and what is in it")?;
        self.offer(TX, &[(SENT, len, false)])
    }

    /// Gives a command. Returns the answer, and how much was written.
    fn command(&mut self, bytes: &[u8], room: u32) -> Result<(u8, u32)> {
        let before = self.rings[CONTROL].used(&self.memory)?;
        let request = (SENT, bytes.len() as u32, false);

        put(&self.memory, SENT, bytes)?;
        put(&self.memory, RECEIVED, &[0xee])?;
        self.offer(CONTROL, &[request, (RECEIVED, room, true)])?;
        check_eq!(self.work()?[CONTROL], before + 1);
        let (_, written) = self.rings[CONTROL].element(&self.memory, before)?;
        let [answer] = get(&self.memory, RECEIVED)?;
        Ok((answer, written))
    }

    fn mac(&self) -> [u8; 6] {
        let config = self.net.config();

        [
            config[0], config[1], config[2], config[3], config[4], config[5],
        ]
    }
}

/// Has `f` drive a network device.
fn with_link(f: impl FnOnce(&mut Link<'_>) -> Result) -> Result {
    let guest = Guest::new(BASE, 7)?;
    let iommu = guest.lock()?;
    let mut link = Link::new(&iommu)?;

    f(&mut link)
}

#[kunit_tests(vdpa_sim_net)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_comes_back() -> Result {
        with_link(|link| {
            for (i, destination) in [MAC, [0xff; 6], [1, 0, 0x5e, 0, 0, 1]]
                .into_iter()
                .enumerate()
            {
                let i = i as u16;

                put(&link.memory, RECEIVED, &[0xee; 64])?;
                // In pieces, which end where they like.
                let pieces = [(RECEIVED, 5, true), (RECEIVED + 5, 1000, true)];
                link.offer(RX, &pieces)?;
                link.frame(destination, 35)?;
                check_eq!(link.work()?, [i + 1, i + 1, 0]);
                check_eq!(link.rings[RX].element(&link.memory, i)?, (0, 35));
                check_eq!(link.rings[TX].element(&link.memory, i)?, (0, 0));
                let header = get::<12>(&link.memory, RECEIVED)?;
                // One buffer, and nothing else to say.
                check_eq!(header, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
                check_eq!(get::<6>(&link.memory, RECEIVED + HEADER)?, destination);
                check!(get::<17>(&link.memory, RECEIVED + HEADER + 6)? == *b"and what is in it");
                check_eq!(get::<1>(&link.memory, RECEIVED + 35)?, [0xee]);
            }
            Ok(())
        })
    }

    #[test]
    fn frames_have_a_greatest_length() -> Result {
        with_link(|link| {
            // The largest MTU; the headers of Ethernet, with a tag, and of virtio.
            let longest = 65535 + 18 + 12;
            // The same memory several times.
            let pieces = |at, len: u32, write| {
                let mut pieces = [(at, 0x2000, write); 9];

                pieces[8].1 = len - 8 * 0x2000;
                pieces
            };

            put(&link.memory, SENT, &[0; 64])?;
            put(&link.memory, SENT + HEADER, &MAC)?;
            link.offer(RX, &pieces(SENT + 0x2000, longest + 100, true))?;
            link.offer(TX, &pieces(SENT, longest + 1, false))?;
            check_eq!(link.work()?, [0, 1, 0]);
            link.offer(TX, &pieces(SENT, longest, false))?;
            check_eq!(link.work()?, [1, 2, 0]);
            check_eq!(link.rings[RX].element(&link.memory, 0)?, (0, longest));
            Ok(())
        })
    }

    #[test]
    fn frames_that_are_not_delivered_take_no_buffer() -> Result {
        with_link(|link| {
            // For somebody else; too short for a header and an address; nothing at all.
            link.offer(RX, &[(RECEIVED, 35, true)])?;
            for (destination, len) in [(OTHER, 35), (MAC, 17), (MAC, 12), (MAC, 1), (MAC, 0)] {
                link.frame(destination, len)?;
                check_eq!(link.work()?[RX], 0);
            }
            // What does not fit: the buffer is for the next one.
            link.frame(MAC, 36)?;
            check_eq!(link.work()?, [0, 6, 0]);
            link.frame(MAC, 35)?;
            check_eq!(link.work()?, [1, 7, 0]);
            // And without a buffer.
            link.frame(MAC, 35)?;
            check_eq!(link.work()?, [1, 8, 0]);
            Ok(())
        })
    }

    #[test]
    fn chains_that_are_no_good_come_back() -> Result {
        with_link(|link| {
            let nowhere = 0x7000_0000;

            // A frame that cannot be read, and one that is only to be written.
            link.offer(RX, &[(RECEIVED, 1000, true)])?;
            link.offer(TX, &[(nowhere, 60, false)])?;
            check_eq!(link.work()?, [0, 1, 0]);
            link.offer(TX, &[(SENT, 60, true)])?;
            check_eq!(link.work()?, [0, 2, 0]);
            // A chain that breaks a rule.
            link.offer(TX, &[(SENT, 60, true), (SENT, 60, false)])?;
            check_eq!(link.work()?, [0, 3, 0]);
            link.frame(MAC, 35)?;
            check_eq!(link.work()?, [1, 4, 0]);

            // A receive buffer that breaks a rule is given back with nothing in it.
            link.offer(RX, &[(RECEIVED, 100, true), (RECEIVED, 100, false)])?;
            link.frame(MAC, 35)?;
            check_eq!(link.work()?, [2, 5, 0]);
            check_eq!(link.rings[RX].element(&link.memory, 1)?.1, 0);
            // So is the ring itself left, if it makes no sense.
            link.rings[TX].offer_head(&link.memory, SIZE)?;
            let progress = link.net.work(&mut link.queues, Net::FEATURES, link.iommu);
            check!(progress != Progress::More);
            check!(link.queues[TX].broken().is_some());
            check!(link.queues[RX].broken().is_none());
            Ok(())
        })
    }

    #[test]
    fn the_mac_address_can_be_set() -> Result {
        with_link(|link| {
            // VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET.
            let mut command = [1, 1, 0, 0, 0, 0, 0, 0];

            command[2..].copy_from_slice(&OTHER);
            check_eq!(link.mac(), MAC);
            check_eq!(link.command(&command, 1)?, (0, 1));
            check_eq!(link.mac(), OTHER);
            link.offer(RX, &[(RECEIVED, 100, true)])?;
            link.frame(OTHER, 35)?;
            check_eq!(link.work()?[RX], 1);
            Ok(())
        })
    }

    #[test]
    fn other_commands_are_refused() -> Result {
        with_link(|link| {
            for command in [
                // Not all there.
                &[][..],
                &[1],
                &[1, 1],
                &[1, 1, 2, 2, 2, 2, 2],
                // Unknown ones.
                &[1, 0, 2, 2, 2, 2, 2, 2],
                &[1, 2, 2, 2, 2, 2, 2, 2],
                &[0, 1, 2, 2, 2, 2, 2, 2],
                &[4, 1, 2, 2, 2, 2, 2, 2],
                &[0xff, 0xff, 2, 2, 2, 2, 2, 2],
            ] {
                // VIRTIO_NET_ERR
                check_eq!(link.command(command, 1)?, (1, 1));
                check_eq!(link.mac(), MAC);
            }
            // Without room for the answer the chain comes back all the same.
            check_eq!(link.command(&[0xff, 0xff], 0)?, (0xee, 0));
            Ok(())
        })
    }

    #[test]
    fn only_the_mac_address_can_be_written() -> Result {
        let mut net = model();
        let before = net.config();

        net.set_config(6, &[0xff; 18]);
        check!(net.config() == before);
        net.set_config(24, &[0xff; 8]);
        check!(net.config() == before);
        net.set_config(4, &[1, 2, 3, 4]);
        let after = net.config();
        check_eq!(after[..6], [0x52, 0x54, 0, 0x12, 1, 2]);
        check!(after[6..] == before[6..]);
        Ok(())
    }
}
