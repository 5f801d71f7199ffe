// SPDX-License-Identifier: GPL-2.0

//! Requests of a block device, right and wrong: virtio 1.3, section 5.2.6.

mod access;
mod chains;
mod meaning;
mod request;

use anyhow::Result;
use checks::report::Report;

use super::bed::Bed;
use request::Case;

/// Makes all checks of requests.
pub fn run(bed: &mut Bed, report: &mut Report) -> Result<()> {
    request::prepare(bed)?;

    for case in chains::cases()
        .into_iter()
        .chain(access::cases())
        .chain(meaning::cases())
    {
        let result = request::run(bed, &case);

        report.check(name(&case), result);
    }
    Ok(())
}

fn name(case: &Case) -> String {
    format!("hostile/blk/{} ({})", case.name, case.section)
}
