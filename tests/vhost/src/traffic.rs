// SPDX-License-Identifier: GPL-2.0

//! Work for a device of either kind, which shows that it works.

use anyhow::{bail, ensure, Result};
use vhost::VhostBackend;
use virtio_bindings::virtio_ids::{VIRTIO_ID_BLOCK, VIRTIO_ID_NET};

use crate::blk::{self, verify, Disk};
use crate::memory::{Kind, Memory};
use crate::net::control::Control;
use crate::net::stream::Stream;
use crate::net::{self, Mac, Net};
use crate::queue::{Queue, PATIENCE};
use crate::session::Session;

/// Where the device sees memory: not where the process does, and not where physical memory is.
pub const IOVA: u64 = 0x7_0000_0000;

/// How much memory a device of either kind needs.
pub const MEMORY: usize = if net::MEMORY > blk::MEMORY {
    net::MEMORY
} else {
    blk::MEMORY
};

/// The queues of a device at work.
pub enum Traffic {
    /// Frames, and commands where the device has a queue for them.
    Net(Net, Option<Control>, Mac),
    /// Requests.
    Blk(Disk),
}

/// The features that traffic with a device makes use of.
pub fn features(session: &Session) -> Result<u64> {
    let offered = session.vdpa.get_features()?;

    match session.id()? {
        VIRTIO_ID_NET => Ok(net::MAC | net::CONTROL & offered),
        VIRTIO_ID_BLOCK => Ok(blk::FEATURES & offered),
        id => bail!("there is no traffic for devices of kind {id}"),
    }
}

impl Traffic {
    /// Sets up all queues, up to enabling them.
    pub fn new(session: &Session, memory: &Memory) -> Result<Self> {
        let mut room = memory.room();

        Ok(match session.id()? {
            VIRTIO_ID_NET => Self::Net(
                Net::new(session, memory, &mut room)?,
                match session.features & net::CONTROL {
                    0 => None,
                    _ => Some(Control::new(session, memory, &mut room)?),
                },
                net::mac(session)?,
            ),
            VIRTIO_ID_BLOCK => Self::Blk(Disk::new(session, memory, &mut room)?),
            id => bail!("there is no traffic for devices of kind {id}"),
        })
    }

    /// Makes the device do `count` things, and checks each.
    pub fn prove(&mut self, seed: u64, count: usize) -> Result<()> {
        match self {
            Self::Net(device, control, mac) => {
                let stream = Stream {
                    to: *mac,
                    count: count as u64,
                    size: 200,
                    inflight: 16,
                    seed,
                    compare: true,
                };

                stream.run(device)?;
                if let Some(control) = control {
                    ensure!(control.set_mac(*mac, PATIENCE)?, "a command got no answer");
                }
                Ok(())
            }
            Self::Blk(disk) => verify::transfer(disk, seed, count, 8, 2 * blk::SECTOR),
        }
    }

    /// All queues.
    pub fn queues(&mut self) -> Vec<&mut Queue> {
        match self {
            Self::Net(device, control, _) => {
                let data = [&mut device.rx, &mut device.tx];
                let control = control.iter_mut().map(|control| &mut control.queue);
                data.into_iter().chain(control).collect()
            }
            Self::Blk(disk) => vec![&mut disk.queue],
        }
    }
}

/// A device at work.
pub struct Running {
    /// Its queues.
    pub traffic: Traffic,
    /// The session.
    pub session: Session,
    /// The memory that it sees.
    pub memory: Memory,
}

impl Running {
    /// Opens a device and starts it, with features of rings `wanted` and backend features
    /// `backend`.
    pub fn start(path: &str, kind: Kind, wanted: u64, backend: u64) -> Result<Self> {
        let running = Self::prepare(Session::open(path)?, kind, wanted, backend)?;

        running.session.start()?;
        Ok(running)
    }

    /// The same with a session that is open, up to starting the device.
    pub fn prepare(mut session: Session, kind: Kind, wanted: u64, backend: u64) -> Result<Self> {
        let features = features(&session)? | wanted;
        session.negotiate(features, backend)?;

        let memory = Memory::new(kind, IOVA, MEMORY)?;
        session.map(0, &memory)?;
        Ok(Self {
            traffic: Traffic::new(&session, &memory)?,
            session,
            memory,
        })
    }
}
