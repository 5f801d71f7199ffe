// SPDX-License-Identifier: GPL-2.0

//! What must come of it: if nothing of a kind ever succeeds, nothing is tested by it.

use anyhow::{ensure, Result};
use checks::report::Report;
use vhost_client::uapi::REQUESTS;

use super::cast::Cast;
use crate::tally::{Outcome, Tally};

/// Ioctls of other vhost devices, and those for what simulators do not have.
const NEVER: [(&str, &str); 16] = [
    ("VHOST_RESET_OWNER", "a device is reset by its status"),
    ("VHOST_SET_LOG_BASE", "there is no log"),
    ("VHOST_SET_LOG_FD", "there is no log"),
    ("VHOST_NEW_WORKER", "there are no workers"),
    ("VHOST_FREE_WORKER", "there are no workers"),
    ("VHOST_ATTACH_VRING_WORKER", "there are no workers"),
    ("VHOST_GET_VRING_WORKER", "there are no workers"),
    ("VHOST_SET_VRING_ENDIAN", "rings are little-endian"),
    ("VHOST_GET_VRING_ENDIAN", "rings are little-endian"),
    ("VHOST_NET_SET_BACKEND", "it is for vhost-net"),
    ("VHOST_GET_FEATURES_ARRAY", "it is for vhost-net"),
    ("VHOST_SET_FEATURES_ARRAY", "it is for vhost-net"),
    (
        "VHOST_VDPA_GET_VRING_DESC_GROUP",
        "they have no such groups",
    ),
    ("read", "there is nothing to read"),
    ("mmap", "software has no doorbells"),
    ("write by another process", "it is not the owner"),
];

/// What is done besides the ioctls, and succeeds at times.
const OTHERS: [&str; 36] = [
    "open",
    "close",
    "dup",
    "poll",
    "fork",
    "kick",
    "eventfds exchanged",
    "rings written",
    "memory put",
    "madvise",
    "mprotect",
    "ftruncate",
    "setrlimit",
    "IOTLB update",
    "IOTLB invalidate",
    "IOTLB batch begin",
    "IOTLB batch end",
    "vdpa mgmtdev show",
    "vdpa mgmtdev show NAME",
    "vdpa dev add",
    "vdpa dev del",
    "vdpa dev show",
    "vdpa dev show NAME",
    "vdpa dev config show",
    "vdpa dev config show NAME",
    "vdpa dev vstats show",
    "vdpa dev set",
    "several vdpa messages",
    "some vdpa message",
    "devices cleaned up",
    "module reloaded",
    "sysfs read",
    "sysfs bind",
    "sysfs unbind",
    "sysfs driver_override",
    "sysfs probe",
];

/// What must succeed with the worst of parents. The rest is the business of those that are not.
const WORST: [&str; 16] = [
    "VHOST_SET_OWNER",
    "VHOST_SET_FEATURES",
    "VHOST_SET_VRING_CALL",
    "VHOST_SET_VRING_KICK",
    "VHOST_VDPA_SET_CONFIG_CALL",
    "VHOST_VDPA_SET_STATUS",
    "VHOST_VDPA_SUSPEND",
    "IOTLB update",
    "IOTLB invalidate",
    "eventfds exchanged",
    "mmap",
    "module reloaded",
    "sysfs bind",
    "sysfs unbind",
    "the worst changed",
    "vdpa dev del",
];

/// The errors that programs can be told of.
const KNOWN: [i32; 22] = [
    libc::EPERM,
    libc::ENOENT,
    libc::EINTR,
    libc::EIO,
    libc::ENXIO,
    libc::E2BIG,
    libc::EBADF,
    libc::EAGAIN,
    libc::ENOMEM,
    libc::EACCES,
    libc::EFAULT,
    libc::EBUSY,
    libc::EEXIST,
    libc::ENODEV,
    libc::EINVAL,
    libc::ENOTTY,
    libc::ENOSPC,
    libc::ERANGE,
    libc::EOPNOTSUPP,
    libc::ENOBUFS,
    libc::EOVERFLOW,
    libc::EMSGSIZE,
];

/// Fails for an error that nobody has a reason for.
pub fn check(outcome: Outcome) -> Result<()> {
    ensure!(
        outcome.0 <= 0 || KNOWN.contains(&outcome.0),
        "it failed with error {}, which says nothing",
        outcome.0
    );
    Ok(())
}

/// What is done, and for what can never succeed why not.
fn kinds(cast: Cast) -> Vec<(&'static str, Option<&'static str>)> {
    if cast == Cast::Worst {
        return WORST.map(|kind| (kind, None)).to_vec();
    }
    let calls = REQUESTS.iter().map(|(name, _)| *name);
    let refused = NEVER.map(|(name, _)| name).into_iter();
    let others = refused.filter(|name| !name.starts_with("VHOST"));

    let all = calls.chain(OTHERS).chain(others).map(|kind| {
        let never = NEVER.iter().find(|(name, _)| *name == kind);

        (kind, never.map(|(_, why)| *why))
    });
    all.collect()
}

/// Whether there is nothing more that must be done.
pub fn is_enough(tally: &Tally, cast: Cast) -> bool {
    kinds(cast).iter().all(|(kind, why_not)| match why_not {
        None => tally.of(kind, Outcome::DONE) > 0,
        Some(_) => tally.all_of(kind) > 0,
    })
}

/// Checks that what can succeed did, and what cannot did not.
pub fn report(tally: &Tally, cast: Cast, report: &mut Report) {
    for (kind, why_not) in kinds(cast) {
        report.check(format_args!("calls/{kind}"), judge(tally, kind, why_not));
    }
}

fn judge(tally: &Tally, kind: &str, why_not: Option<&str>) -> Result<()> {
    let (all, done) = (tally.all_of(kind), tally.of(kind, Outcome::DONE));

    ensure!(all > 0, "it was never tried");
    match why_not {
        None => ensure!(done > 0, "it was refused each of {all} times"),
        Some(why) => ensure!(done == 0, "it succeeded {done} times, although {why}"),
    }
    Ok(())
}
