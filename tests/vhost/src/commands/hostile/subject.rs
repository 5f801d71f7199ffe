// SPDX-License-Identifier: GPL-2.0

//! What checks that are alike for all devices need of each.

use anyhow::{ensure, Result};

use super::bed::Bed;

/// A kind of device.
pub trait Subject {
    /// The word for it in the names of checks.
    const NAME: &'static str;
    /// What the driver negotiates.
    const FEATURES: u64;
    /// The number of queues.
    const QUEUES: u32;
    /// The queue that work is put into.
    const QUEUE: u32;

    /// Puts a piece of ordinary work into the queue, of which the device is not told. There is room
    /// for two.
    fn put(bed: &mut Bed, slot: u16) -> Result<()>;

    /// Waits until it is done, and checks that it was done right.
    fn take(bed: &mut Bed, slot: u16) -> Result<()>;

    /// Puts so many pieces of work into the queue, of which only the calls matter. There is room for
    /// 32.
    fn put_burst(bed: &mut Bed, count: u16) -> Result<()>;

    /// Gives the device a piece of work and waits.
    fn work(bed: &mut Bed) -> Result<()> {
        Self::put(bed, 0)?;
        bed.publish(Self::QUEUE)?;
        Self::take(bed, 0)
    }

    /// Checks that the device works when it is reset.
    fn check_works(bed: &mut Bed) -> Result<()> {
        bed.start(Self::FEATURES, Self::QUEUES)?;
        Self::work(bed)
    }

    /// Gives the device work, and checks that it does nothing.
    fn check_idle(bed: &mut Bed) -> Result<()> {
        Self::put(bed, 0)?;
        bed.publish(Self::QUEUE)?;
        std::thread::sleep(super::bed::QUIET);
        bed.take(Self::QUEUE)?;
        ensure!(
            bed.rings[Self::QUEUE as usize].returned.is_empty(),
            "the device works"
        );
        Ok(())
    }
}
