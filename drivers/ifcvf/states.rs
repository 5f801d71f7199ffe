// SPDX-License-Identifier: GPL-2.0

//! Where virtqueues stand: registers in a BAR of their own.

use crate::place;
use kernel::prelude::*;
use vdpa::pci::{
    virtio::{
        Own,
        Place,
        Probe, //
    },
    Window, //
};

/// The registers with the states of virtqueues.
pub(crate) struct States<'bound> {
    place: Place,
    window: Window<'bound>,
}

impl<'bound> States<'bound> {
    /// Finds those of a function with so many virtqueues.
    pub(crate) fn probe(probe: &mut Probe<'_, 'bound>, virtqueues: u16) -> Result<Self> {
        let place = place::find(virtqueues, probe.structures(), probe.bar_sizes())
            .map_err(|fault| probe.refuse(format_args!("{fault}")))?;

        Ok(Self {
            window: probe.window(&place)?,
            place,
        })
    }
}

impl Own for States<'_> {
    const THERE: bool = true;

    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }

    fn avail_index(&self, queue: u16) -> Result<u16> {
        self.window.read(place::offset(queue))
    }

    fn set_avail_index(&self, queue: u16, index: u16) -> Result {
        self.window.write(place::offset(queue), index)
    }
}
