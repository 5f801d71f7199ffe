// SPDX-License-Identifier: GPL-2.0

//! A device with a driver that can do everything wrong.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use vhost::vdpa::VhostVdpa;
use vhost::vhost_kern::VhostKernFeatures;
use vhost::VhostBackend;
use vhost_client::iotlb::{kind, Message};
use vhost_client::queue::{event, wait_event};
use vhost_client::session::{Session, EVENT_IDX};
use vhost_client::uapi::*;
use vmm_sys_util::eventfd::EventFd;

use super::super::Manner;
use super::chain::{Chain, Desc};
use super::layout::*;
use super::memory::Watched;

/// How long to wait for what must come.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a device is watched that must not do something.
pub const QUIET: Duration = Duration::from_millis(15);

/// How often the status is looked at, as nobody may be told when it changes.
const GLANCE: Duration = Duration::from_millis(2);

/// What became of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was given back with this length.
    Returned(u32),
    /// DEVICE_NEEDS_RESET.
    Stopped,
    /// Neither, yet.
    Nothing,
}

/// A queue, as its driver sees it.
pub struct Ring {
    /// Where its parts are: descriptors, available and used ring.
    pub places: [Place; 3],
    /// Where the device is told that they are.
    pub addresses: VringAddr,
    /// What to tell the device when there is something.
    pub kick: EventFd,
    /// Signalled by the device.
    pub call: EventFd,
    /// The index of the next chain that is given.
    pub avail: u16,
    /// The index of the next that is taken back.
    pub used: u16,
    /// All that came back since the ring was made: descriptor and length.
    pub returned: Vec<(u32, u32)>,
}

impl Ring {
    fn new(index: u32) -> Result<Self> {
        let places = [desc_table(index), avail_ring(index), used_ring(index)];

        Ok(Self {
            places,
            addresses: addresses(index, places),
            kick: event()?,
            call: event()?,
            avail: 0,
            used: 0,
            returned: Vec::new(),
        })
    }

    /// What came back for a descriptor.
    pub fn find(&self, head: u16) -> Option<u32> {
        let mut found = self
            .returned
            .iter()
            .filter(|(id, _)| *id == u32::from(head));

        found.next().map(|(_, len)| *len)
    }

    /// Lets a descriptor be used again.
    pub fn forget(&mut self, head: u16) {
        self.returned.retain(|(id, _)| *id != u32::from(head));
    }
}

fn addresses(index: u32, places: [Place; 3]) -> VringAddr {
    let [desc, avail, used] = places.map(|place| place.at(0));

    VringAddr {
        index,
        flags: 0,
        desc,
        used,
        avail,
        log: 0,
    }
}

/// A device, its memory and its queues.
pub struct Bed {
    /// The session.
    pub session: Session,
    /// The memory.
    pub memory: Watched,
    /// The queues.
    pub rings: Vec<Ring>,
    /// Signalled when the configuration or the status changes.
    pub config: EventFd,
    /// What is mapped where, in the order of [`PLACES`].
    mapped: [Option<u8>; PLACES.len()],
    manner: Manner,
    ring_size: u16,
}

impl Bed {
    /// Opens a device and gives it the memory.
    pub fn new(manner: &Manner) -> Result<Self> {
        let mut session = Session::open(&manner.path)?;
        let offered = session.vdpa.get_backend_features()?;
        ensure!(
            offered & backend::IOTLB_PERSIST != 0,
            "mappings do not survive a reset"
        );
        session
            .vdpa
            .set_backend_features(offered & manner.backend)?;
        let mut bed = Self {
            session,
            memory: Watched::new(manner.memory)?,
            rings: Vec::new(),
            config: event()?,
            mapped: [None; PLACES.len()],
            manner: manner.clone(),
            ring_size: RING_SIZE,
        };

        bed.map_all()?;
        Ok(bed)
    }

    /// The number of descriptors of each ring.
    pub fn ring_size(&self) -> u16 {
        self.ring_size
    }

    fn slot(&mut self, place: Place) -> Result<&mut Option<u8>> {
        let index = PLACES
            .iter()
            .position(|other| other.at(0) == place.at(0))
            .context("there is no such place")?;

        Ok(&mut self.mapped[index])
    }

    /// Maps a place so that the device may do `perm`, instead of what it may.
    pub fn map(&mut self, place: Place, perm: u8) -> Result<()> {
        if *self.slot(place)? == Some(perm) {
            return Ok(());
        }
        self.unmap(place)?;
        let address = self.memory.address(place.at(0));

        self.session
            .device
            .send(&Message::update(0, place.at(0), place.len(), address, perm))
            .with_context(|| format!("mapping {place:?}"))?;
        *self.slot(place)? = Some(perm);
        Ok(())
    }

    /// Takes a place away.
    pub fn unmap(&mut self, place: Place) -> Result<()> {
        if self.slot(place)?.take().is_some() {
            self.session
                .device
                .send(&Message::invalidate(0, place.at(0), place.len()))
                .with_context(|| format!("unmapping {place:?}"))?;
        }
        Ok(())
    }

    /// Maps the memory as a case wants it.
    pub fn remap(&mut self, mapping: Mapping) -> Result<()> {
        match mapping {
            Mapping::Right => Ok(()),
            Mapping::Absent(place) | Mapping::AbsentUntilKick(place) => self.unmap(place),
            Mapping::Only(place, perm) => self.map(place, perm),
        }
    }

    /// Maps all places as they should be.
    fn map_all(&mut self) -> Result<()> {
        let acked = self.session.vdpa.get_backend_features_acked();
        let batch = acked & backend::IOTLB_BATCH != 0 && self.mapped.iter().all(Option::is_none);

        if batch {
            self.session
                .device
                .send(&Message::new(0, kind::BATCH_BEGIN))?;
        }
        for place in PLACES {
            self.map(place, place.perm)?;
        }
        if batch {
            self.session
                .device
                .send(&Message::new(0, kind::BATCH_END))?;
        }
        Ok(())
    }

    /// Resets the device, forgets all, and negotiates.
    pub fn reset(&mut self, features: u64) -> Result<()> {
        self.session.device.set_status(0)?;
        let status = self.session.device.status()?;
        ensure!(status == 0, "the status is {status:#x} after a reset");
        self.rings.clear();
        self.map_all()?;
        self.memory.clear()?;
        self.session
            .negotiate(features | self.manner.features, self.manner.backend)?;
        self.config = event()?;
        self.session
            .vdpa
            .set_config_call(&self.config)
            .context("SET_CONFIG_CALL")
    }

    /// Makes an empty ring for a queue, without telling the device.
    pub fn make(&mut self, index: u32) -> Result<&mut Ring> {
        ensure!(self.rings.len() == index as usize, "queues come in order");
        self.rings.push(Ring::new(index)?);
        self.set_index(index, 0)?;
        self.rings.last_mut().context("there are no queues")
    }

    /// Empties a ring, which goes on at an index.
    pub fn set_index(&mut self, queue: u32, index: u16) -> Result<()> {
        let size = u64::from(self.ring_size);
        let [_, avail, used] = self.rings[queue as usize].places;

        for (place, words) in [(avail, 3 + size), (used, 3 + 4 * size)] {
            for word in 0..words {
                let value = if word == 1 { index } else { 0 };

                self.memory.store(place.at(2 * word), value)?;
            }
        }
        let ring = &mut self.rings[queue as usize];
        (ring.avail, ring.used) = (index, index);
        Ok(())
    }

    /// Has an idle ring elsewhere, where it goes on, without telling the device.
    pub fn move_to(&mut self, queue: u32, places: [Place; 3]) -> Result<()> {
        let ring = &mut self.rings[queue as usize];
        let index = ring.avail;

        ring.places = places;
        ring.addresses = addresses(queue, places);
        self.set_index(queue, index)
    }

    /// Tells the device of a queue.
    pub fn attach(&self, index: u32) -> Result<()> {
        let ring = &self.rings[index as usize];
        let device = &self.session.device;

        device
            .set(
                VHOST_SET_VRING_NUM,
                vring_state(index, self.ring_size.into()),
            )
            .context("num")?;
        device
            .set(VHOST_SET_VRING_ADDR, ring.addresses.bytes())
            .context("addr")?;
        device
            .set(VHOST_SET_VRING_BASE, vring_state(index, ring.avail.into()))
            .context("base")?;
        self.session
            .vdpa
            .set_vring_call(index as usize, &ring.call)
            .context("call")?;
        self.session
            .vdpa
            .set_vring_kick(index as usize, &ring.kick)
            .context("kick")?;
        self.session.enable(index, true)
    }

    /// Resets, negotiates, and starts the device with so many queues.
    pub fn start(&mut self, features: u64, queues: u32) -> Result<()> {
        self.reset(features)?;
        for index in 0..queues {
            self.make(index)?;
            self.attach(index)?;
        }
        self.session.start()
    }

    /// Writes descriptors into the table of a queue.
    pub fn describe(&mut self, queue: u32, first: u16, descs: &[Desc]) -> Result<()> {
        for (index, desc) in (u64::from(first)..).zip(descs) {
            let at = self.rings[queue as usize].places[0].at(16 * index);

            self.memory.write(at, &desc.bytes())?;
        }
        Ok(())
    }

    /// Puts a chain into a queue, which the device is not shown yet.
    pub fn put(&mut self, queue: u32, chain: &Chain) -> Result<()> {
        self.describe(queue, 0, &chain.ring)?;
        for (index, desc) in (0..).zip(&chain.table) {
            self.memory.write(TABLE.at(16 * index), &desc.bytes())?;
        }
        self.offer(queue, chain.head)
    }

    /// Puts a descriptor into the available ring.
    pub fn offer(&mut self, queue: u32, head: u16) -> Result<()> {
        let ring = &self.rings[queue as usize];
        let slot = u64::from(ring.avail % self.ring_size);

        self.memory.store(ring.places[1].at(4 + 2 * slot), head)?;
        let ring = &mut self.rings[queue as usize];
        ring.avail = ring.avail.wrapping_add(1);
        Ok(())
    }

    /// Shows the device what was put, and asks for a call when something comes back.
    pub fn show(&mut self, queue: u32) -> Result<()> {
        let ring = &self.rings[queue as usize];
        let (place, avail) = (ring.places[1], ring.avail);

        if self.session.features & EVENT_IDX != 0 {
            let at = place.at(4 + 2 * u64::from(self.ring_size));
            self.memory.store(at, ring.used)?;
        }
        self.memory.store(place.at(2), avail)
    }

    /// The same, and notifies the device.
    pub fn publish(&mut self, queue: u32) -> Result<()> {
        self.show(queue)?;
        self.kick(queue)
    }

    /// Notifies the device.
    pub fn kick(&self, queue: u32) -> Result<()> {
        Ok(self.rings[queue as usize].kick.write(1)?)
    }

    /// The index that the device shows.
    pub fn used_index(&self, queue: u32) -> Result<u16> {
        self.memory.load(self.rings[queue as usize].places[2].at(2))
    }

    /// Takes what came back.
    pub fn take(&mut self, queue: u32) -> Result<()> {
        let end = self.used_index(queue)?;
        let size = self.ring_size;
        let ring = &mut self.rings[queue as usize];

        while ring.used != end {
            ensure!(
                ring.avail != ring.used,
                "the used index is {end}, but only {} chains were given",
                ring.avail
            );
            let at = ring.places[2].at(4 + 8 * u64::from(ring.used % size));
            let element = self.memory.read(at, 8)?;
            let [id, len] =
                [0, 4].map(|i| u32::from_le_bytes([0, 1, 2, 3].map(|byte| element[i + byte])));

            ensure!(
                !ring.returned.iter().any(|(other, _)| *other == id),
                "descriptor {id} was given back twice"
            );
            ring.used = ring.used.wrapping_add(1);
            ring.returned.push((id, len));
        }
        Ok(())
    }

    /// Whether the device wants to be reset.
    pub fn is_stopped(&self) -> Result<bool> {
        Ok(self.session.device.status()? & status::NEEDS_RESET != 0)
    }

    /// Waits until a chain came back, or the device stopped.
    pub fn wait(&mut self, queue: u32, head: u16, timeout: Duration) -> Result<End> {
        let end = Instant::now() + timeout;

        loop {
            // In this order: what was published before it stopped is there when it has.
            let stopped = self.is_stopped()?;
            self.take(queue)?;
            if let Some(len) = self.rings[queue as usize].find(head) {
                return Ok(End::Returned(len));
            }
            if stopped {
                return Ok(End::Stopped);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(End::Nothing);
            }
            wait_event(&self.rings[queue as usize].call, left.min(GLANCE))?;
        }
    }

    /// Waits for a chain that must come back, and gives its length.
    pub fn expect(&mut self, queue: u32, head: u16) -> Result<u32> {
        match self.wait(queue, head, PATIENCE)? {
            End::Returned(len) => Ok(len),
            End::Stopped => bail!("the device stopped"),
            End::Nothing => bail!("it did not come back for {PATIENCE:?}"),
        }
    }

    /// Checks that a device that has stopped has said so, and gives nothing back any more.
    pub fn check_stopped(&mut self, queue: u32, head: u16) -> Result<()> {
        ensure!(
            wait_event(&self.config, PATIENCE)?,
            "DEVICE_NEEDS_RESET without a configuration interrupt"
        );
        self.kick(queue)?;
        thread::sleep(GLANCE);
        ensure!(
            self.wait(queue, head, GLANCE)? == End::Stopped,
            "something comes from a device that has stopped"
        );
        Ok(())
    }

    /// What the device may write: used rings, and the buffers that are given.
    pub fn writable(&self, chains: &[&Chain]) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = chains
            .iter()
            .flat_map(|chain| chain.writable())
            .flat_map(|desc| self.reachable(desc.addr, desc.len))
            .collect();

        for ring in &self.rings {
            let len = 6 + 8 * u64::from(self.ring_size);

            ranges.push((ring.places[2].at(0), len));
        }
        ranges
    }

    /// The parts of a buffer that are mapped so that the device may write them.
    fn reachable(&self, addr: u64, len: u32) -> Vec<(u64, u64)> {
        PLACES
            .iter()
            .filter(|place| place.perm & vhost_client::iotlb::WO != 0)
            .filter_map(|place| {
                let start = addr.max(place.at(0));
                let end = addr.saturating_add(len.into()).min(place.at(place.len()));

                (start < end).then(|| (start, end - start))
            })
            .collect()
    }
}
