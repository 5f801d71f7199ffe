// SPDX-License-Identifier: GPL-2.0

//! Where a device stands between its reset and its driver.
//!
//! Virtio 1.3, section 3.1.1 is the way from one to the next; suspending is what vDPA adds. Each
//! phase is a type that can only be made of the one before it, so that the wrong way cannot be
//! written:
//!
//! | | features | FEATURES_OK | DRIVER_OK | suspend | resume | FAILED | reset |
//! | --- | --- | --- | --- | --- | --- | --- | --- |
//! | [`Initial`] | [`Initial`] | [`Negotiated`] | | | | [`Initial`] | [`Initial`] |
//! | [`Negotiated`] | | | [`Running`] | | | [`Initial`] | [`Initial`] |
//! | [`Running`] | | | | [`Suspended`] | | [`Initial`] | [`Initial`] |
//! | [`Suspended`] | | | | | [`Running`] | [`Initial`] | [`Initial`] |
//! | [`Stopped`] | | | | | | | [`Initial`] |
//!
//! Where there is nothing, nothing changes. [`Stopped`] is where a device gets that could not do
//! what it was told.

use crate::{
    bindings,
    Features,
    Status, //
};

/// The driver may say which features it accepts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Initial {
    features: Option<Features>,
}

impl Initial {
    /// Takes what the driver accepts, or, with [`None`], what cannot be taken.
    #[inline]
    pub fn accept(&mut self, features: Option<Features>) {
        self.features = features;
    }

    /// Whether the driver knows no FEATURES_OK: a legacy one, which says what it accepts and then
    /// that it is ready (virtio 1.3, section 3.1.2).
    #[inline]
    pub fn is_legacy(&self) -> bool {
        self.features
            .is_some_and(|features| !features.has(bindings::VIRTIO_F_VERSION_1))
    }

    /// The features are agreed on. Not so if the driver has said none, or `agree` does not.
    #[inline]
    pub fn negotiate(self, agree: impl FnOnce(Features) -> bool) -> Result<Negotiated, Self> {
        match self.features {
            Some(features) if agree(features) => Ok(Negotiated { features }),
            _ => Err(self),
        }
    }
}

/// Features are agreed on: the driver sets up its virtqueues.
#[derive(Debug, PartialEq, Eq)]
pub struct Negotiated {
    features: Features,
}

impl Negotiated {
    /// The driver is ready.
    #[inline]
    pub fn start(self) -> Running {
        Running { negotiated: self }
    }
}

/// The device is at work.
#[derive(Debug, PartialEq, Eq)]
pub struct Running {
    negotiated: Negotiated,
}

impl Running {
    /// The device leaves its virtqueues as they are.
    #[inline]
    pub fn suspend(self) -> Suspended {
        Suspended { running: self }
    }
}

/// The device has stopped, and can go on.
#[derive(Debug, PartialEq, Eq)]
pub struct Suspended {
    running: Running,
}

impl Suspended {
    /// It does.
    #[inline]
    pub fn resume(self) -> Running {
        self.running
    }
}

/// The device could not do what it was told, and takes a reset.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped {
    features: Option<Features>,
    status: Status,
}

/// Where a device stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Phase {
    /// See [`Initial`].
    Initial(Initial),
    /// See [`Negotiated`].
    Negotiated(Negotiated),
    /// See [`Running`].
    Running(Running),
    /// See [`Suspended`].
    Suspended(Suspended),
    /// See [`Stopped`].
    Stopped(Stopped),
}

impl Default for Phase {
    #[inline]
    fn default() -> Self {
        Self::Initial(Initial::default())
    }
}

impl Phase {
    /// What the driver has accepted.
    #[inline]
    pub fn features(&self) -> Option<Features> {
        match self {
            Self::Initial(initial) => initial.features,
            Self::Negotiated(negotiated)
            | Self::Running(Running { negotiated })
            | Self::Suspended(Suspended {
                running: Running { negotiated },
            }) => Some(negotiated.features),
            Self::Stopped(stopped) => stopped.features,
        }
    }

    /// FEATURES_OK and DRIVER_OK, as the driver sees them.
    #[inline]
    pub fn status(&self) -> Status {
        match self {
            Self::Initial(_) => Status::default(),
            Self::Negotiated(_) => Status::FEATURES_OK,
            Self::Running(_) | Self::Suspended(_) => Status::FEATURES_OK.with(Status::DRIVER_OK),
            Self::Stopped(stopped) => stopped.status,
        }
    }

    /// The device has stopped until it is reset. What the driver sees of it stays.
    #[inline]
    pub fn stop(self) -> Self {
        match self {
            Self::Stopped(_) => self,
            _ => Self::Stopped(Stopped {
                features: self.features(),
                status: self.status(),
            }),
        }
    }

    /// The device was to be reset, and could not be: as if it was, but that nothing can be begun.
    #[inline]
    pub fn stuck() -> Self {
        Self::Stopped(Stopped {
            features: None,
            status: Status::default(),
        })
    }
}
