// SPDX-License-Identifier: GPL-2.0

//! Requests of a block device, right and wrong: virtio 1.3, section 5.2.6.

mod access;
mod chains;
mod churn;
mod meaning;
mod request;
mod tables;

use anyhow::{ensure, Result};
use checks::report::Report;
use virtio_bindings::virtio_blk::{VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_IN};

use super::bed::Bed;
use super::chain::linked;
use super::subject::Subject;
pub use request::prepare;
use request::*;

/// A block device.
pub struct Blk;

impl Subject for Blk {
    const NAME: &'static str = "blk";
    const FEATURES: u64 = FEATURES;
    const QUEUES: u32 = 1;
    const QUEUE: u32 = QUEUE;

    fn put(bed: &mut Bed, slot: u16) -> Result<()> {
        put_good(bed, slot, VIRTIO_BLK_T_IN, READ_FROM + u64::from(slot), &[]).map(drop)
    }

    fn take(bed: &mut Bed, slot: u16) -> Result<()> {
        let found = take_good(bed, slot, VIRTIO_BLK_T_IN)?;

        ensure!(
            found == contents(READ_FROM + u64::from(slot), 0),
            "request {slot} reads something else"
        );
        Ok(())
    }

    fn put_burst(bed: &mut Bed, count: u16) -> Result<()> {
        bed.memory
            .write(header().addr, &header_bytes(VIRTIO_BLK_T_FLUSH, 0))?;
        for head in (0..2 * count).step_by(2) {
            bed.describe(QUEUE, head, &linked([header(), status()], head))?;
            bed.offer(QUEUE, head)?;
        }
        Ok(())
    }
}

/// Makes all checks of requests.
pub fn run(bed: &mut Bed, report: &mut Report) {
    for case in chains::cases()
        .into_iter()
        .chain(tables::cases())
        .chain(access::cases())
        .chain(meaning::cases())
    {
        let result = request::run(bed, &case);

        report.check(name(&case), result);
    }
    churn::run(bed, report);
    report.check(
        "hostile/blk/configuration/discard-alignment (5.2.4)",
        check_alignment(bed),
    );
}

fn name(case: &Case) -> String {
    format!("hostile/blk/{} ({})", case.name, case.section)
}

/// It is in units of 512 bytes, whatever the size of a block is.
fn check_alignment(bed: &Bed) -> Result<()> {
    // `blk_size` and `discard_sector_alignment` of `struct virtio_blk_config`.
    let [block, alignment] = [20, 44].map(|offset| -> Result<u32> {
        let bytes = bed.session.device.config(offset, 4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    });
    let (block, alignment) = (block?, alignment?);

    ensure!(
        alignment == block / SECTOR,
        "blocks have {block} bytes, and {alignment} sectors are to be aligned"
    );
    Ok(())
}
