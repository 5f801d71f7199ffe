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
use super::chain::Desc;
use super::layout::*;
use super::subject::Subject;
use frames::*;

/// A network device.
pub struct Net;

impl Subject for Net {
    const NAME: &'static str = "net";
    const FEATURES: u64 = FEATURES;
    const QUEUES: u32 = QUEUES;
    const QUEUE: u32 = TX;

    fn put(bed: &mut Bed, slot: u16) -> Result<()> {
        let frame = frame(bed, slot.into(), FRAME_LEN)?;

        put_buffer(bed, slot)?;
        bed.show(RX)?;
        put_frame(bed, slot, &frame)
    }

    fn take(bed: &mut Bed, slot: u16) -> Result<()> {
        let frame = frame(bed, slot.into(), FRAME_LEN)?;

        take_frame(bed, slot)?;
        check_buffer(bed, slot, &frame)
    }

    /// Frames for somebody else, for which no buffers are needed.
    fn put_burst(bed: &mut Bed, count: u16) -> Result<()> {
        bed.memory.write(DATA.at(0), &[2; 200])?;
        for head in 0..count {
            bed.describe(TX, head, &[Desc::read(DATA.at(0), 200)])?;
            bed.offer(TX, head)?;
        }
        Ok(())
    }
}

/// What checks of a network device are told besides.
pub struct Names {
    /// The name of the device on the bus, by which `vdpa` of iproute2 finds it.
    pub device: String,
}

/// Makes all checks of frames and commands.
pub fn run(bed: &mut Bed, names: &Names, report: &mut Report) {
    receive::run(bed, report);
    transmit::run(bed, names, report);
    control::run(bed, report);
    address::run(bed, names, report);
}
