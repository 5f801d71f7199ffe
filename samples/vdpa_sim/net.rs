// SPDX-License-Identifier: GPL-2.0

//! A network device that receives what it sends.

use crate::{
    memory::GuestMemory,
    queue::{
        Batch,
        Handled,
        Progress,
        Queue, //
    },
    sim::{
        self,
        Model, //
    },
};
use kernel::prelude::*;
use vdpa::{
    bindings::{
        self,
        virtio_net_config, //
    },
    mgmt,
    Features,
    GroupId,
    IommuGuard,
    VendorStats,
    VqIndex, //
};
use virtqueue::{
    Chain,
    Reader, //
};

/// Receive, transmit and control queue: virtio 1.3, section 5.1.2.
const RX: usize = 0;
const TX: usize = 1;
const CONTROL: usize = 2;

/// The control queue can be given an address space of its own.
const GROUP_DATA: GroupId = GroupId(0);
const GROUP_CONTROL: GroupId = GroupId(1);

/// The number of frames, or commands, of a round. Others get their turn after it.
const BUDGET: usize = 64;

const MAC_LEN: usize = 6;
const DEFAULT_MTU: u16 = 1500;

/// The longest frame, in bytes: the largest MTU, and the header of Ethernet with a tag of a VLAN. A
/// chain can have 4 GiB.
const FRAME_MAX: u64 = 65535 + 14 + 4;

/// `struct virtio_net_hdr_v1` with VIRTIO_F_VERSION_1, `struct virtio_net_hdr` without.
const HEADER_V1_LEN: usize = size_of::<bindings::virtio_net_hdr_v1>();
const HEADER_LEGACY_LEN: usize = size_of::<bindings::virtio_net_hdr>();

/// What is in front of a received frame: nothing is offloaded, and the frame is in one buffer.
const RX_HEADER: [u8; HEADER_V1_LEN] = {
    let mut header = [0; HEADER_V1_LEN];

    // `num_buffers`, little endian: virtio 1.3, section 5.1.6.4.1.
    header[HEADER_V1_LEN - 2] = 1;
    header
};

/// The offsets of what can be there in the configuration space: virtio 1.3, section 5.1.4.
const CONFIG_LEN: usize = size_of::<virtio_net_config>();
const CONFIG_MAC: usize = core::mem::offset_of!(virtio_net_config, mac);
const CONFIG_STATUS: usize = core::mem::offset_of!(virtio_net_config, status);
const CONFIG_MTU: usize = core::mem::offset_of!(virtio_net_config, mtu);

#[derive(Default)]
struct DataStats {
    packets: u64,
    bytes: u64,
    drops: u64,
    errors: u64,
    overruns: u64,
}

#[derive(Default)]
struct ControlStats {
    requests: u64,
    successes: u64,
    errors: u64,
}

/// What becomes of a frame on its way back.
enum Delivery {
    Done(u64),
    /// Not for this MAC address.
    Filtered,
    /// There is no buffer for it.
    Overrun,
    /// It is too long, cannot be read, does not fit, or the buffer for it is no good.
    Failed,
}

/// A network device.
pub(crate) struct Net {
    mac: [u8; MAC_LEN],
    mtu: u16,
    tx: DataStats,
    rx: DataStats,
    control: ControlStats,
}

impl Net {
    pub(crate) fn new(config: &mgmt::Config) -> Self {
        Self {
            mac: config.mac().unwrap_or_default(),
            mtu: config.mtu().unwrap_or(DEFAULT_MTU),
            tx: DataStats::default(),
            rx: DataStats::default(),
            control: ControlStats::default(),
        }
    }

    pub(crate) fn set_mac(&mut self, mac: [u8; MAC_LEN]) {
        self.mac = mac;
    }

    /// Whether a frame for `destination` is for this device. Broadcasts are multicasts, too.
    fn accepts(&self, destination: &[u8; MAC_LEN]) -> bool {
        destination[0] & 1 != 0 || *destination == self.mac
    }

    /// Takes a frame and puts it into a receive buffer, with one copy.
    fn deliver<'m>(
        &mut self,
        mut frame: Reader<'_, GuestMemory<'m>>,
        header_len: usize,
        rx: &mut Batch<'m>,
    ) -> Delivery {
        let total = frame.remaining();
        if total < (header_len + MAC_LEN) as u64 {
            return Delivery::Filtered;
        }
        if total > header_len as u64 + FRAME_MAX {
            return Delivery::Failed;
        }
        frame.skip(header_len as u64);
        let Ok(destination) = frame.read_array::<MAC_LEN>() else {
            return Delivery::Failed;
        };
        if !self.accepts(&destination) {
            return Delivery::Filtered;
        }

        let filled = rx.fill(|chain, memory| {
            if chain.writable_len() < total {
                return None;
            }
            let mut buffer = chain.writer(memory);
            buffer.write_all(RX_HEADER.get(..header_len)?).ok()?;
            buffer.write_array(destination).ok()?;
            frame.copy_to(&mut buffer, u64::MAX).ok()?;
            Some(buffer.written())
        });
        match filled {
            Some(Ok(Some(written))) => Delivery::Done(written.into()),
            Some(_) => Delivery::Failed,
            None => Delivery::Overrun,
        }
    }

    /// Takes a frame out of the transmit queue.
    fn transmit<'m>(
        &mut self,
        chain: &Chain<'_>,
        memory: &GuestMemory<'m>,
        header_len: usize,
        rx: &mut Batch<'m>,
    ) {
        let total = chain.readable_len();
        if total == 0 {
            self.tx.errors += 1;
            return;
        }
        self.tx.packets += 1;
        // A chain can claim 4 GiB without any of it being looked at: this can be made to wrap.
        self.tx.bytes = self.tx.bytes.wrapping_add(total);

        match self.deliver(chain.reader(memory), header_len, rx) {
            Delivery::Done(bytes) => {
                self.rx.packets += 1;
                self.rx.bytes = self.rx.bytes.wrapping_add(bytes);
            }
            Delivery::Filtered => self.rx.drops += 1,
            Delivery::Overrun => self.rx.overruns += 1,
            Delivery::Failed => self.rx.errors += 1,
        }
    }

    /// Does what a command in the control queue asks for. Returns whether that succeeded.
    fn command(
        &mut self,
        request: &mut Reader<'_, GuestMemory<'_>>,
        features: Features,
    ) -> Option<()> {
        let [class, command] = request.read_array::<2>().ok()?;

        match (u32::from(class), u32::from(command)) {
            (bindings::VIRTIO_NET_CTRL_MAC, bindings::VIRTIO_NET_CTRL_MAC_ADDR_SET)
                if features.has(bindings::VIRTIO_NET_F_CTRL_MAC_ADDR) =>
            {
                self.mac = request.read_array().ok()?;
                Some(())
            }
            _ => None,
        }
    }

    /// Handles the control queue: virtio 1.3, section 5.1.6.5.
    fn control(&mut self, queue: &mut Batch<'_>, features: Features) -> Progress {
        queue.drain(BUDGET, |chain, memory| {
            self.control.requests += 1;

            let answer = chain.ok().map(|chain| {
                let ok = self.command(&mut chain.reader(memory), features).is_some();
                let mut buffer = chain.writer(memory);
                let status = if ok {
                    bindings::VIRTIO_NET_OK
                } else {
                    bindings::VIRTIO_NET_ERR
                };

                // Without room for an answer the driver cannot have wanted one.
                let _ = buffer.write_array([status as u8]);
                (ok, buffer.written())
            });
            match answer {
                Some((true, _)) => self.control.successes += 1,
                _ => self.control.errors += 1,
            }
            Handled {
                written: answer.map_or(0, |(_, written)| written),
                moved: 0,
            }
        })
    }
}

impl Model for Net {
    const DEVICE_ID: u32 = bindings::VIRTIO_ID_NET;
    const QUEUES: u32 = 3;
    const GROUPS: u32 = 2;
    const ADDRESS_SPACES: u32 = 2;
    const FEATURES: Features = sim::FEATURES.union(Features::from_bits(&[
        bindings::VIRTIO_NET_F_MAC,
        bindings::VIRTIO_NET_F_STATUS,
        bindings::VIRTIO_NET_F_MTU,
        bindings::VIRTIO_NET_F_CTRL_VQ,
        bindings::VIRTIO_NET_F_CTRL_MAC_ADDR,
    ]));
    const STATS: bool = true;

    type Config = [u8; CONFIG_LEN];

    fn group(vq: VqIndex) -> GroupId {
        if usize::from(vq) == CONTROL {
            GROUP_CONTROL
        } else {
            GROUP_DATA
        }
    }

    fn config(&self) -> Self::Config {
        let mut config = [0; CONFIG_LEN];
        let link_up = (bindings::VIRTIO_NET_S_LINK_UP as u16).to_le_bytes();

        config[CONFIG_MAC..CONFIG_MAC + MAC_LEN].copy_from_slice(&self.mac);
        config[CONFIG_STATUS..CONFIG_STATUS + 2].copy_from_slice(&link_up);
        config[CONFIG_MTU..CONFIG_MTU + 2].copy_from_slice(&self.mtu.to_le_bytes());
        config
    }

    fn set_config(&mut self, offset: usize, buf: &[u8]) {
        // The MAC address is all that a driver may write: virtio 1.3, section 5.1.4.2.
        for (i, &byte) in (offset..).zip(buf) {
            if let Some(slot) = self.mac.get_mut(i.wrapping_sub(CONFIG_MAC)) {
                *slot = byte;
            }
        }
    }

    fn stats(&self, vq: VqIndex, stats: &mut VendorStats<'_>) -> Result {
        match usize::from(vq) {
            RX => {
                stats.put(c"rx packets", self.rx.packets)?;
                stats.put(c"rx bytes", self.rx.bytes)?;
                stats.put(c"rx errors", self.rx.errors)?;
                stats.put(c"rx overruns", self.rx.overruns)?;
                stats.put(c"rx drops", self.rx.drops)
            }
            TX => {
                stats.put(c"tx packets", self.tx.packets)?;
                stats.put(c"tx bytes", self.tx.bytes)?;
                stats.put(c"tx errors", self.tx.errors)?;
                stats.put(c"tx drops", self.tx.drops)
            }
            CONTROL => {
                stats.put(c"cvq requests", self.control.requests)?;
                stats.put(c"cvq successes", self.control.successes)?;
                stats.put(c"cvq errors", self.control.errors)
            }
            _ => Err(EINVAL),
        }
    }

    fn work(
        &mut self,
        queues: &mut [Queue],
        features: Features,
        iommu: &IommuGuard<'_>,
    ) -> Progress {
        let [rx, tx, control] = queues else {
            return Progress::Idle;
        };
        let mut progress = Progress::Idle;

        if features.has(bindings::VIRTIO_NET_F_CTRL_VQ) {
            if let Some(mut control) = control.open(iommu) {
                progress = self.control(&mut control, features);
            }
        }

        // Frames are not looked at before there is somewhere to put them.
        let (Some(mut rx), Some(mut tx)) = (rx.open(iommu), tx.open(iommu)) else {
            return progress;
        };
        let header_len = if features.has(bindings::VIRTIO_F_VERSION_1) {
            HEADER_V1_LEN
        } else {
            HEADER_LEGACY_LEN
        };

        rx.disable_notifications();
        let sent = tx.drain(BUDGET, |chain, memory| {
            match chain {
                Ok(chain) => self.transmit(chain, memory, header_len, &mut rx),
                Err(_) => self.tx.errors += 1,
            }
            // Nothing is written to what was sent, and no frame is much work.
            Handled::default()
        });
        let received = rx.publish();

        let stuck = sent == Progress::Stuck || received.is_err();
        if stuck {
            self.tx.errors += 1;
        }
        if sent == Progress::More {
            Progress::More
        } else if stuck && progress == Progress::Idle {
            Progress::Stuck
        } else {
            progress
        }
    }
}
