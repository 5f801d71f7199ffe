// SPDX-License-Identifier: GPL-2.0

//! A device in a certain state.

use std::fmt;

use anyhow::{ensure, Context, Result};
use vhost_client::device::Device;
use vhost_client::memory::Kind;
use vhost_client::session::Session;
use vhost_client::traffic::{features, Running};
use vhost_client::uapi::*;

/// How far a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Somebody has it open.
    Opened,
    /// It has an owner.
    Owned,
    /// Features are negotiated.
    FeaturesOk,
    /// It works.
    Running,
    /// It worked until it was suspended.
    Suspended,
}

/// All states.
pub const STATES: [State; 5] = [
    State::Opened,
    State::Owned,
    State::FeaturesOk,
    State::Running,
    State::Suspended,
];

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Opened => "opened",
            State::Owned => "owned",
            State::FeaturesOk => "features-ok",
            State::Running => "running",
            State::Suspended => "suspended",
        })
    }
}

/// A device in a state, and what keeps it there.
pub enum Fixture {
    /// Without an owner.
    Opened(Device),
    /// With one.
    Owned(Session),
    /// With queues.
    Running(Box<Running>),
}

impl Fixture {
    /// Brings a device into a state.
    pub fn new(path: &str, state: State) -> Result<Self> {
        Self::make(path, state).with_context(|| format!("to have the device {state}"))
    }

    fn make(path: &str, state: State) -> Result<Self> {
        if state == State::Opened {
            return Ok(Self::Opened(Device::open(path)?));
        }
        let mut session = Session::open(path)?;
        if state == State::Owned {
            return Ok(Self::Owned(session));
        }
        if state == State::FeaturesOk {
            let wanted = features(&session)?;
            session.negotiate(wanted, backend::ALL)?;
            return Ok(Self::Owned(session));
        }

        let running = Running::prepare(session, Kind::File, 0, backend::ALL)?;
        running.session.start()?;
        if state == State::Suspended {
            running.session.device.plain(VHOST_VDPA_SUSPEND)?;
        }
        Ok(Self::Running(Box::new(running)))
    }

    /// The open device.
    pub fn device(&self) -> &Device {
        match self {
            Self::Opened(device) => device,
            Self::Owned(session) => &session.device,
            Self::Running(running) => &running.session.device,
        }
    }

    /// Has it do what it is made for, after the rest of the way there.
    pub fn prove(&mut self) -> Result<()> {
        match self {
            Self::Running(running) => {
                // Does nothing to one that was not suspended.
                running.session.device.plain(VHOST_VDPA_RESUME)?;
                running.traffic.prove(1, 40)
            }
            Self::Opened(device) => {
                let session = Session::own(device.try_clone()?)?;
                work(session)
            }
            Self::Owned(session) => work(session.again()?),
        }
    }
}

/// Takes a device from the start to where it works.
fn work(session: Session) -> Result<()> {
    session.device.set_status(0)?;
    let mut running = Running::prepare(session, Kind::File, 0, backend::ALL)?;

    running.session.start()?;
    running.traffic.prove(1, 40)
}

/// What is always true of a device.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// How many virtqueues it has.
    pub queues: u32,
    /// The size of the largest ring.
    pub largest: u32,
    /// How many groups of virtqueues.
    pub groups: u32,
    /// How many address spaces.
    pub spaces: u32,
    /// The size of the configuration space.
    pub config: u32,
    /// The features it offers.
    pub features: u64,
    /// The backend features it offers.
    pub backend: u64,
}

impl Facts {
    /// Asks a device.
    pub fn of(path: &str) -> Result<Self> {
        let device = Device::open(path)?;
        let facts = Self {
            queues: device.number(VHOST_VDPA_GET_VQS_COUNT)?,
            largest: device
                .get(VHOST_VDPA_GET_VRING_NUM)
                .map(u16::from_ne_bytes)?
                .into(),
            groups: device.number(VHOST_VDPA_GET_GROUP_NUM)?,
            spaces: device.number(VHOST_VDPA_GET_AS_NUM)?,
            config: device.number(VHOST_VDPA_GET_CONFIG_SIZE)?,
            features: device.features()?,
            backend: device.backend_features()?,
        };

        ensure!(
            facts.queues > 0 && facts.groups > 0 && facts.spaces > 0 && facts.config > 0,
            "the device has nothing: {facts:?}"
        );
        ensure!(
            facts.largest.is_power_of_two(),
            "the largest ring has {} descriptors",
            facts.largest
        );
        Ok(facts)
    }
}
