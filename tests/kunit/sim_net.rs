// SPDX-License-Identifier: GPL-2.0

//! The simulated network device: frames and commands, good ones and others.

use crate::{
    net::Net,
    pages::Guest,
    ring::{
        get,
        put,
        Buffer,
        Ring,
        SIZE, //
    },
};
use kernel::prelude::*;
use vdpa::{
    bindings,
    mgmt,
    software::{
        Model,
        Progress,
        Queue, //
    },
    Asid,
    Features,
    GuestMemory,
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

/// All features but that of the MTU, so that frames can be as long as the device takes them.
fn features() -> Features {
    Net::FEATURES.difference(Features::from_bits(&[bindings::VIRTIO_NET_F_MTU]))
}

/// Where the rings are, with nothing in them.
fn rings() -> [Ring; 3] {
    [BASE, BASE + 0x1000, BASE + 0x2000].map(Ring::new)
}

/// A network device, and its driver.
struct Link<'a> {
    net: Net,
    features: Features,
    queues: [Queue; 3],
    rings: [Ring; 3],
    iommu: &'a IommuGuard<'a>,
    memory: GuestMemory<'a>,
}

impl<'a> Link<'a> {
    fn new(iommu: &'a IommuGuard<'a>, queues: [Queue; 3]) -> Self {
        Self {
            net: model(),
            features: features(),
            queues,
            rings: rings(),
            iommu,
            memory: iommu.memory(Asid(0)),
        }
    }

    fn offer(&mut self, ring: usize, buffers: &[Buffer]) -> Result {
        let ring = self.rings.get_mut(ring).ok_or(EINVAL)?;

        ring.offer(&self.memory, 0, buffers)
    }

    /// Lets the device do a round.
    fn round(&mut self) -> Progress {
        self.net.work(&mut self.queues, self.features, self.iommu)
    }

    /// Lets the device work. Returns how many chains have come back from each queue.
    fn work(&mut self) -> Result<[u16; 3]> {
        check!(self.round() == Progress::Idle);
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
    let mut queues = [Queue::new()?, Queue::new()?, Queue::new()?];

    for (queue, ring) in queues.iter_mut().zip(&rings()) {
        queue
            .start(features(), &ring.setup()?, guest.iommu())
            .map_err(|_| EINVAL)?;
    }
    let iommu = guest.lock()?;
    let mut link = Link::new(&iommu, queues);

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
            // For somebody else; too short for the headers; nothing at all.
            link.offer(RX, &[(RECEIVED, 35, true)])?;
            for (destination, len) in [(OTHER, 35), (MAC, 17), (MAC, 12), (MAC, 1), (MAC, 0)] {
                link.frame(destination, len)?;
                check_eq!(link.work()?[RX], 0);
            }
            // Nor is one that cannot be read.
            link.offer(TX, &[(0x7000_0000, 60, false)])?;
            check_eq!(link.work()?[RX], 0);
            link.frame(MAC, 35)?;
            check_eq!(link.work()?, [1, 7, 0]);
            // And without a buffer.
            link.frame(MAC, 35)?;
            check_eq!(link.work()?, [1, 8, 0]);
            Ok(())
        })
    }

    #[test]
    fn buffers_that_do_not_do_keep_none_away_from_others() -> Result {
        with_link(|link| {
            let nowhere = 0x7000_0000;

            // Only to be read, too short, not there, half there; and a good one.
            for (head, buffers) in [
                (0, &[(RECEIVED, 100, false)][..]),
                (1, &[(RECEIVED, 0, true)]),
                (2, &[(RECEIVED, 12, true)]),
                (3, &[(RECEIVED, 34, true)]),
                (4, &[(nowhere, 100, true)]),
                (5, &[(RECEIVED, 20, true), (nowhere, 100, true)]),
                (7, &[(RECEIVED, 100, true)]),
            ] {
                link.rings[RX].offer(&link.memory, head, buffers)?;
            }
            link.frame(MAC, 35)?;
            check_eq!(link.work()?, [7, 1, 0]);
            for index in 0..6 {
                check_eq!(link.rings[RX].element(&link.memory, index)?.1, 0);
            }
            check_eq!(link.rings[RX].element(&link.memory, 6)?, (7, 35));
            Ok(())
        })
    }

    #[test]
    fn chains_that_break_a_rule_stop_the_device() -> Result {
        for at in [RX, TX, CONTROL] {
            with_link(|link| {
                // A good one before, so that what is done before counts.
                link.offer(RX, &[(RECEIVED, 1000, true)])?;
                link.frame(MAC, 35)?;
                check_eq!(link.work()?, [1, 1, 0]);
                link.offer(at, &[(SENT, 60, true), (SENT, 60, false)])?;
                if at == RX {
                    link.frame(MAC, 35)?;
                }
                check!(link.round() == Progress::Stuck);
                check!(link.queues[at].broken().is_some());
                check_eq!(link.rings[RX].used(&link.memory)?, 1);
                check_eq!(link.rings[TX].used(&link.memory)?, 1);
                check_eq!(link.rings[CONTROL].used(&link.memory)?, 0);
                Ok(())
            })?;
        }
        // So does a ring that makes no sense.
        with_link(|link| {
            link.rings[TX].offer_head(&link.memory, SIZE)?;
            check!(link.round() == Progress::Stuck);
            check!(link.queues[TX].broken().is_some());
            check!(link.queues[RX].broken().is_none());
            Ok(())
        })
    }

    #[test]
    fn frames_that_are_no_good_come_back() -> Result {
        with_link(|link| {
            // One that cannot be read, and one that is only to be written.
            link.offer(RX, &[(RECEIVED, 1000, true)])?;
            link.offer(TX, &[(0x7000_0000, 60, false)])?;
            check_eq!(link.work()?, [0, 1, 0]);
            link.offer(TX, &[(SENT, 60, true)])?;
            check_eq!(link.work()?, [0, 2, 0]);
            link.frame(MAC, 35)?;
            check_eq!(link.work()?, [1, 3, 0]);
            Ok(())
        })
    }

    #[test]
    fn the_mtu_is_kept_by_who_knows_it() -> Result {
        with_link(|link| {
            link.features = Net::FEATURES;
            for (len, kind, comes) in [
                (1514, [8, 0], true),
                (1515, [8, 0], false),
                // With a tag of a VLAN.
                (1518, [0x81, 0], true),
                (1519, [0x81, 0], false),
            ] {
                let before = link.rings[RX].used(&link.memory)?;

                link.offer(RX, &[(SENT + 0x2000, 0x1000, true)])?;
                put(&link.memory, SENT, &[0; 64])?;
                put(&link.memory, SENT + HEADER, &MAC)?;
                put(&link.memory, SENT + HEADER + 12, &kind)?;
                link.offer(TX, &[(SENT, len + HEADER as u32, false)])?;
                check_eq!(link.work()?[RX] - before, comes.into());
                if !comes {
                    // The buffer is for the next one.
                    link.frame(MAC, 35)?;
                    check_eq!(link.work()?[RX] - before, 1);
                }
            }
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
            // The next driver is another one.
            link.net.reset();
            check_eq!(link.mac(), MAC);
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
                // Too much of it.
                &[1, 1, 2, 2, 2, 2, 2, 2, 2],
                // Of a group, and of none.
                &[1, 1, 3, 2, 2, 2, 2, 2],
                &[1, 1, 0, 0, 0, 0, 0, 0],
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
            Ok(())
        })
    }

    #[test]
    fn a_command_that_cannot_be_answered_is_not_carried_out() -> Result {
        let command = [1, 1, 2, 2, 2, 2, 2, 2];

        for (answer, stops) in [((RECEIVED, 0, true), true), ((0x7000_0000, 1, true), false)] {
            with_link(|link| {
                put(&link.memory, SENT, &command)?;
                link.offer(CONTROL, &[(SENT, 8, false), answer])?;
                check!(link.round() == Progress::Stuck);
                check_eq!(link.mac(), MAC);
                check_eq!(link.rings[CONTROL].used(&link.memory)?, 0);
                check_eq!(link.queues[CONTROL].broken().is_some(), stops);
                Ok(())
            })?;
        }
        Ok(())
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
