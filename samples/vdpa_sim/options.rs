// SPDX-License-Identifier: GPL-2.0

//! What the parameters of a simulator's module say.

use kernel::prelude::*;
use vdpa::{
    software::Options,
    SoftMapping, //
};

/// Checks what a user gave; numbers as the C simulator has them.
pub(crate) fn options(batch_mapping: i32, max_iotlb_entries: i32, use_va: bool) -> Result<Options> {
    if max_iotlb_entries < 2 {
        pr_err!("max_iotlb_entries={max_iotlb_entries}: must be 2 or more\n");
        return Err(EINVAL);
    }
    Ok(Options {
        mapping: SoftMapping {
            batch: batch_mapping != 0,
            use_va,
        },
        max_mappings: max_iotlb_entries as usize,
        thread: "vDPA sim worker:",
    })
}
