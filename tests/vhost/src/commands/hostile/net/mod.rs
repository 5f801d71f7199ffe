// SPDX-License-Identifier: GPL-2.0

//! Frames and commands of a network device, right and wrong: virtio 1.3, section 5.1.

mod address;
mod control;
mod frames;
mod receive;
mod transmit;

use anyhow::Result;
use checks::report::Report;

use super::bed::Bed;

/// What checks of a network device are told besides.
pub struct Names {
    /// The name of the device on the bus, by which `vdpa` of iproute2 finds it.
    pub device: String,
}

/// Makes all checks of frames and commands.
pub fn run(bed: &mut Bed, names: &Names, report: &mut Report) -> Result<()> {
    receive::run(bed, report);
    transmit::run(bed, names, report);
    control::run(bed, report);
    address::run(bed, names, report);
    Ok(())
}
