// SPDX-License-Identifier: GPL-2.0

//! The kernel that tests run on.

use std::path::Path;
use std::time::Duration;

/// What only the debugging kernel has.
const LEAK_DETECTOR: &str = "/sys/kernel/debug/kmemleak";

/// How many times as long as others the debugging kernel takes, as scenarios have it, too.
const SLOWNESS: u32 = 5;

/// Whether it is the debugging kernel, which finds itself what leaks, and is slow.
pub fn is_debugging() -> bool {
    Path::new(LEAK_DETECTOR).exists()
}

/// How long something may take that takes no longer than `limit` on a kernel as users have it.
pub fn patience(limit: Duration) -> Duration {
    if is_debugging() {
        limit * SLOWNESS
    } else {
        limit
    }
}
