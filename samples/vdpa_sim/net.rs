// SPDX-License-Identifier: GPL-2.0

//! A network device that receives what it sends.

use kernel::prelude::*;
use vdpa::{
    bindings::{
        self,
        virtio_net_config, //
    },
    mgmt,
    software::{
        self,
        Batch,
        Chain,
        CursorError,
        Filled,
        Filling,
        Model,
        Outcome,
        Progress,
        Queue,
        Reader,
        Refusal, //
    },
    Features,
    GroupId,
    GuestMemory,
    IommuGuard,
    VendorStats,
    VqIndex, //
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
const NO_MAC: [u8; MAC_LEN] = [0; MAC_LEN];
const DEFAULT_MTU: u16 = 1500;

/// Destination, source, and what is in it.
const ETH_HEADER_LEN: usize = bindings::ETH_HLEN as usize;
/// A tag of a VLAN.
const TAG_LEN: u64 = 4;
const ETH_P_8021Q: u16 = bindings::ETH_P_8021Q as u16;

/// The longest frame, in bytes: the largest MTU, and the header of Ethernet with a tag of a VLAN. A
/// chain can have 4 GiB.
const FRAME_MAX: u64 = 65535 + ETH_HEADER_LEN as u64 + TAG_LEN;

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

const RX_HEADER_LEGACY: &[u8] = RX_HEADER.split_at(HEADER_LEGACY_LEN).0;

/// The header of the format that was negotiated.
fn header(features: Features) -> &'static [u8] {
    if features.has(bindings::VIRTIO_F_VERSION_1) {
        &RX_HEADER
    } else {
        RX_HEADER_LEGACY
    }
}

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

/// Counts one more. Statistics wrap around.
fn count(counter: &mut u64) {
    *counter = counter.wrapping_add(1);
}

/// What becomes of a frame on its way back.
enum Delivery {
    Done(u32),
    /// Not for this MAC address.
    Filtered,
    /// There is no buffer for it.
    Overrun,
    /// It is too long, or cannot be read.
    Failed,
    /// Something cannot be reached now.
    Later,
}

/// Whether bytes were not moved because memory has to be brought in first.
fn is_absent(error: &CursorError) -> bool {
    matches!(error, CursorError::Fault(fault) if fault.refusal == Refusal::NotPresent)
}

/// Reads all that is left, for nothing but to know whether that can be done.
fn check_readable(mut reader: Reader<'_, GuestMemory<'_>>) -> Result<(), CursorError> {
    let mut part = [0; 256];

    while reader.read(&mut part)? != 0 {}
    Ok(())
}

/// A network device.
pub(crate) struct Net {
    /// The one that the device was given, which it has again after a reset. All zero if it has none.
    own_mac: [u8; MAC_LEN],
    mac: [u8; MAC_LEN],
    /// What a command has set, once the driver can know.
    new_mac: Option<[u8; MAC_LEN]>,
    mtu: u16,
    tx: DataStats,
    rx: DataStats,
    control: ControlStats,
}

impl Net {
    pub(crate) fn new(config: &mgmt::Config) -> Self {
        let mac = initial_mac(config);

        Self {
            own_mac: mac,
            mac,
            new_mac: None,
            mtu: config.mtu().unwrap_or(DEFAULT_MTU),
            tx: DataStats::default(),
            rx: DataStats::default(),
            control: ControlStats::default(),
        }
    }

    pub(crate) fn set_mac(&mut self, mac: [u8; MAC_LEN]) {
        self.own_mac = mac;
        self.mac = mac;
    }

    /// Whether a frame for `destination` is for this device. Broadcasts are multicasts, too. Without
    /// an address every frame is: the driver may have one that it did not say.
    fn accepts(&self, destination: &[u8; MAC_LEN]) -> bool {
        destination[0] & 1 != 0 || *destination == self.mac || self.mac == NO_MAC
    }

    /// The length of the longest frame with this beginning, in bytes.
    fn longest(&self, features: Features, kind: [u8; 2]) -> u64 {
        if !features.has(bindings::VIRTIO_NET_F_MTU) {
            return FRAME_MAX;
        }
        let tag = if u16::from_be_bytes(kind) == ETH_P_8021Q {
            TAG_LEN
        } else {
            0
        };
        u64::from(self.mtu) + ETH_HEADER_LEN as u64 + tag
    }

    /// Takes a frame and puts it into a receive buffer, with one copy.
    fn deliver<'m>(
        &mut self,
        mut frame: Reader<'_, GuestMemory<'m>>,
        features: Features,
        rx: &mut Batch<'m>,
    ) -> Delivery {
        let header = header(features);
        let total = frame.remaining();
        if total < (header.len() + ETH_HEADER_LEN) as u64 {
            return Delivery::Failed;
        }
        frame.skip(header.len() as u64);
        let start = match frame.read_array::<ETH_HEADER_LEN>() {
            Ok(start) => start,
            Err(error) if is_absent(&error) => return Delivery::Later,
            Err(_) => return Delivery::Failed,
        };
        let [d0, d1, d2, d3, d4, d5, .., t0, t1] = start;
        if total > header.len() as u64 + self.longest(features, [t0, t1]) {
            return Delivery::Failed;
        }
        if !self.accepts(&[d0, d1, d2, d3, d4, d5]) {
            return Delivery::Filtered;
        }

        let mut failure = Delivery::Overrun;
        let filled = rx.fill(|chain, memory| {
            if chain.writable_len() < total {
                return Filling::Unfit;
            }
            let mut buffer = chain.writer(memory);
            let mut source = frame.clone();
            let copied = buffer
                .write_all(header)
                .and_then(|()| buffer.write_array(start))
                .and_then(|()| Ok(source.copy_to(&mut buffer, u64::MAX)?));

            match copied {
                Ok(_) => Filling::Filled(buffer.written()),
                Err(error) if is_absent(&error) => {
                    failure = Delivery::Later;
                    Filling::Unused
                }
                // Which of both was it?
                Err(_) => match check_readable(frame.clone()) {
                    Ok(()) => Filling::Unfit,
                    Err(error) => {
                        failure = if is_absent(&error) {
                            Delivery::Later
                        } else {
                            Delivery::Failed
                        };
                        Filling::Unused
                    }
                },
            }
        });
        match filled {
            Filled::Done(written) => Delivery::Done(written),
            Filled::Stuck => Delivery::Later,
            Filled::Unused | Filled::Empty => failure,
        }
    }

    /// Takes a frame out of the transmit queue.
    fn transmit<'m>(
        &mut self,
        chain: &Chain<'_>,
        memory: &GuestMemory<'m>,
        features: Features,
        rx: &mut Batch<'m>,
    ) -> Outcome {
        let total = chain.readable_len();
        let delivery = if total == 0 {
            Delivery::Failed
        } else {
            self.deliver(chain.reader(memory), features, rx)
        };

        match delivery {
            Delivery::Done(bytes) => {
                count(&mut self.rx.packets);
                self.rx.bytes = self.rx.bytes.wrapping_add(bytes.into());
            }
            Delivery::Filtered => count(&mut self.rx.drops),
            Delivery::Overrun => count(&mut self.rx.overruns),
            Delivery::Failed => count(&mut self.tx.errors),
            Delivery::Later => return Outcome::Later,
        }
        count(&mut self.tx.packets);
        // A chain can claim 4 GiB without any of it being looked at: this can be made to wrap.
        self.tx.bytes = self.tx.bytes.wrapping_add(total);
        Outcome::Done {
            written: 0,
            moved: rx.work(),
        }
    }

    /// Reads a command, of which there is one: the MAC address that it sets. [`None`] if it cannot be
    /// carried out.
    fn parse(
        request: &mut Reader<'_, GuestMemory<'_>>,
        features: Features,
    ) -> Result<Option<[u8; MAC_LEN]>, CursorError> {
        let [class, command] = request.read_array::<2>()?;

        match (u32::from(class), u32::from(command)) {
            (bindings::VIRTIO_NET_CTRL_MAC, bindings::VIRTIO_NET_CTRL_MAC_ADDR_SET)
                if features.has(bindings::VIRTIO_NET_F_CTRL_MAC_ADDR)
                    && request.remaining() == MAC_LEN as u64 =>
            {
                let mac = request.read_array::<MAC_LEN>()?;

                // One that stands for one interface.
                let valid = mac[0] & 1 == 0 && mac != NO_MAC;
                Ok(valid.then_some(mac))
            }
            _ => Ok(None),
        }
    }

    /// Handles a command: virtio 1.3, section 5.1.6.5. It takes effect when it was given back.
    fn command(
        &mut self,
        chain: &Chain<'_>,
        memory: &GuestMemory<'_>,
        features: Features,
    ) -> Outcome {
        let command = match Self::parse(&mut chain.reader(memory), features) {
            Err(error) if is_absent(&error) => return Outcome::Later,
            command => command.ok().flatten(),
        };
        let ack = if command.is_some() {
            bindings::VIRTIO_NET_OK
        } else {
            bindings::VIRTIO_NET_ERR
        };
        let mut answer = chain.writer(memory);

        match answer.write_array([ack as u8]) {
            Ok(()) => {}
            Err(CursorError::Fault(fault)) if !fault.is_final() => return Outcome::Later,
            Err(_) => return Outcome::GiveUp,
        }
        count(&mut self.control.requests);
        match command {
            Some(mac) => {
                self.new_mac = Some(mac);
                count(&mut self.control.successes);
            }
            None => count(&mut self.control.errors),
        }
        Outcome::Done {
            written: answer.written(),
            moved: 0,
        }
    }

    /// Has the last command take effect.
    fn apply(&mut self) {
        if let Some(mac) = self.new_mac.take() {
            self.mac = mac;
        }
    }

    /// Handles the control queue.
    fn control(&mut self, queue: &mut Batch<'_>, features: Features) -> Progress {
        // One that was not given back is handled again when the queue was stopped meanwhile.
        if !queue.owes() {
            self.new_mac = None;
        }
        let progress = queue.drain(BUDGET, |chain, memory| {
            // The ones before were given back.
            self.apply();
            self.command(chain, memory, features)
        });
        if !queue.owes() {
            self.apply();
        }
        progress
    }
}

/// The MAC address that a device begins with. One that is to offer an address and is given none
/// makes one up. An offer of all zeroes could not be used, and without an offer a driver that has
/// no control queue could not say which address it took.
fn initial_mac(config: &mgmt::Config) -> [u8; MAC_LEN] {
    let offered = config.features().unwrap_or(Net::FEATURES);

    match config.mac() {
        Some(mac) if mac != NO_MAC => mac,
        _ if offered.has(bindings::VIRTIO_NET_F_MAC) => vdpa::random_mac(),
        _ => NO_MAC,
    }
}

#[vtable]
impl Model for Net {
    const DEVICE_ID: u32 = bindings::VIRTIO_ID_NET;
    const QUEUES: u32 = 3;
    const GROUPS: u32 = 2;
    const ADDRESS_SPACES: u32 = 2;
    const FEATURES: Features = software::FEATURES.union(Features::from_bits(&[
        bindings::VIRTIO_NET_F_MAC,
        bindings::VIRTIO_NET_F_STATUS,
        bindings::VIRTIO_NET_F_MTU,
        bindings::VIRTIO_NET_F_CTRL_VQ,
        bindings::VIRTIO_NET_F_CTRL_MAC_ADDR,
    ]));

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
        for (i, &byte) in (offset..=usize::MAX).zip(buf) {
            if let Some(slot) = self.mac.get_mut(i.wrapping_sub(CONFIG_MAC)) {
                *slot = byte;
            }
        }
    }

    fn reset(&mut self) {
        self.mac = self.own_mac;
        self.new_mac = None;
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

        rx.disable_notifications();
        let sent = tx.drain(BUDGET, |chain, memory| {
            self.transmit(chain, memory, features, &mut rx)
        });
        let received = if rx.publish().is_ok() {
            Progress::Idle
        } else {
            Progress::Stuck
        };
        progress.max(sent).max(received)
    }
}
