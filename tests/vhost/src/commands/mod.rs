// SPDX-License-Identifier: GPL-2.0

//! The commands of the program.

pub mod absent;
pub mod bench;
pub mod bind;
pub mod blk;
pub mod bounce;
pub mod complaints;
pub mod config;
pub mod failures;
pub mod features;
pub mod gone;
pub mod hostile;
pub mod ioctls;
pub mod maps;
pub mod net;
pub mod parents;
pub mod pieces;
pub mod raw;
pub mod script;
pub mod slow;
pub mod states;
pub mod stress;

use anyhow::Result;
use checks::arguments::{Arguments, Misuse};
use vhost_client::memory::{Kind, Memory};
use vhost_client::session::{Session, EVENT_IDX, INDIRECT, PACKED, RING_RESET};
use vhost_client::traffic::IOVA;
use vhost_client::uapi::backend;

/// How a device shall be driven.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Its file.
    pub path: String,
    /// What memory is made of.
    pub memory: Kind,
    /// Features of rings, which must be offered.
    pub features: u64,
    /// Backend features, of which those that are offered are accepted.
    pub backend: u64,
}

impl Manner {
    /// Takes the options that say it.
    pub fn take(arguments: &mut Arguments) -> Result<Self> {
        let path = arguments.required("--dev")?;
        let kinds = [
            (arguments.flag("--anon"), Kind::Anonymous),
            (arguments.flag("--memfd"), Kind::File),
            (arguments.flag("--hugetlb"), Kind::HugeFile),
        ];
        let mut given = kinds.iter().filter(|(given, _)| *given);
        let memory = given.next().map_or(Kind::Anonymous, |(_, kind)| *kind);
        if given.next().is_some() {
            return Err(Misuse("memory is of one kind".into()).into());
        }

        let mut features = 0;
        for (option, feature) in [
            ("--packed", PACKED),
            ("--event-idx", EVENT_IDX),
            ("--indirect", INDIRECT),
            ("--ring-reset", RING_RESET),
        ] {
            if arguments.flag(option) {
                features |= feature;
            }
        }
        // Without backend features, messages have the first format.
        let backend = if arguments.flag("--v1") {
            0
        } else {
            backend::ALL
        };
        Ok(Self {
            path,
            memory,
            features,
            backend,
        })
    }

    /// Opens the device and negotiates, also `more` features.
    pub fn open(&self, more: u64) -> Result<Session> {
        let mut session = Session::open(&self.path)?;

        session.negotiate(self.features | more, self.backend)?;
        Ok(session)
    }

    /// Makes memory and lets the device see it.
    pub fn share(&self, session: &Session, len: usize) -> Result<Memory> {
        let memory = Memory::new(self.memory, IOVA, len)?;

        session.map(0, &memory)?;
        Ok(memory)
    }
}
