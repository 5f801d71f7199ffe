// SPDX-License-Identifier: GPL-2.0

//! The largest number of mappings that a session can have, and who pays for what the kernel keeps
//! of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use checks::report::Report;
use libc::ENOSPC;
use vhost_client::iotlb::{self, kind, Message};
use vhost_client::process;

use super::{refused, Mapper, Setting, IOVA};

/// The kernel keeps no less than this for a mapping: its addresses, permission, and its place among
/// the others.
const BYTES: u64 = 64;

/// Makes all checks: `most` mappings, as many as there can be, from a process in the control group
/// at `group`.
pub fn run(setting: &Setting, report: &mut Report, most: u64, group: Option<&Path>) {
    let mut added = None;

    report.check(
        format_args!("maps/most/{most}"),
        fill(setting, most, group).map(|bytes| added = bytes),
    );
    if let Some(added) = added {
        report.check("maps/most/charged", charged(added, most));
    }
}

/// Makes `most` mappings, of a byte each; there cannot be one more, in any address space, until
/// one goes. Returns how many bytes of kernel memory the group is charged for that.
fn fill(setting: &Setting, most: u64, group: Option<&Path>) -> Result<Option<u64>> {
    let mapper = Mapper::new(setting, most.div_ceil(super::PAGE_SIZE) as usize + 1)?;
    let map = |at| {
        let address = mapper.area.address() + at;

        mapper.send(Message::update(0, IOVA + at, 1, address, iotlb::RW))
    };
    let member = group.map(Member::new).transpose()?;
    let used = || member.as_ref().map(Member::kernel_memory).transpose();

    ensure!(
        !setting.pins,
        "memory that is pinned is limited by its size"
    );
    let before = used()?;
    mapper.send(Message::new(0, kind::BATCH_BEGIN))?;
    for at in 0..most {
        map(at).with_context(|| format!("after {at} mappings"))?;
    }
    let after = used()?;
    refused(map(most), &[ENOSPC]).context("one more")?;
    mapper.send(Message::new(0, kind::BATCH_END))?;
    if setting.spaces > 1 {
        let address = mapper.area.address();
        let elsewhere = Message::update(1, IOVA, 1, address, iotlb::RW);

        refused(mapper.send(elsewhere), &[ENOSPC]).context("in another address space")?;
    }
    mapper.send(Message::invalidate(0, IOVA, 1))?;
    map(0).context("when one has gone")?;
    mapper.clear()?;
    Ok(after
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before)))
}

fn charged(added: u64, most: u64) -> Result<()> {
    ensure!(
        added >= most * BYTES,
        "{most} mappings are charged with {added} bytes"
    );
    Ok(())
}

/// Being in a control group, until this is dropped.
struct Member {
    group: PathBuf,
    root: PathBuf,
}

impl Member {
    fn new(group: &Path) -> Result<Self> {
        let root = group.parent().context("a control group has a parent")?;

        fs::write(group.join("cgroup.procs"), "0").context("joining the control group")?;
        Ok(Self {
            group: group.into(),
            root: root.into(),
        })
    }

    /// Bytes of kernel memory that the group is charged for.
    fn kernel_memory(&self) -> Result<u64> {
        let counters = fs::read_to_string(self.group.join("memory.stat"))?;

        process::number(&counters, "slab").context("memory.stat has no slab")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Err(error) = fs::write(self.root.join("cgroup.procs"), "0") {
            println!("# still in {}: {error}", self.group.display());
        }
    }
}
