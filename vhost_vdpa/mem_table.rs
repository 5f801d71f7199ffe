// SPDX-License-Identifier: GPL-2.0

//! The memory table of other vhost devices, which this one has no use for.

use crate::ioctl::Argument;
use kernel::prelude::*;

/// The number of regions that other vhost devices accept, if not told otherwise.
const MAX_REGIONS: u32 = 64;

/// The length of `struct vhost_memory` without its regions.
const HEADER: usize = 8;

/// The length of `struct vhost_memory_region`.
const REGION: usize = 32;

/// Checks a table (`struct vhost_memory`) as other vhost devices do.
///
/// Clients that treat all vhost devices alike send one, and take a refusal for a failure. Memory
/// is mapped with IOTLB messages here.
///
/// # Errors
///
/// - `EOPNOTSUPP` where the padding is not 0,
/// - `E2BIG` for more than 64 regions,
/// - `EFAULT` for a region without length, or that wraps around.
pub(crate) fn check(arg: Argument) -> Result {
    let [regions, padding] = arg.reader(HEADER).read::<[u32; 2]>()?;

    if padding != 0 {
        return Err(EOPNOTSUPP);
    }
    if regions > MAX_REGIONS {
        return Err(E2BIG);
    }

    let len = usize::try_from(regions)? * REGION;
    let mut reader = arg.reader(HEADER + len);

    reader.skip(HEADER)?;
    for _ in 0..regions {
        let [guest, size, user, _flags] = reader.read::<[u64; 4]>()?;
        let len = size.checked_sub(1).ok_or(EFAULT)?;

        guest.checked_add(len).ok_or(EFAULT)?;
        user.checked_add(len).ok_or(EFAULT)?;
    }
    Ok(())
}
