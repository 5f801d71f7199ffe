// SPDX-License-Identifier: GPL-2.0

//! What there is now that there was not before.

use anyhow::{bail, Result};

use super::snapshot::{Group, Snapshot, FREE, GROUPS};
use crate::report::Report;

/// Compares each group. `slack` is how much memory, in kB, may differ by chance.
pub fn run(before: &Snapshot, now: &Snapshot, slack: u64, report: &mut Report) {
    for (group, name) in GROUPS {
        report.check(
            format_args!("counts/{name}"),
            compare(before, now, group, slack),
        );
    }
}

/// Whether no group differs.
pub fn same(before: &Snapshot, now: &Snapshot, slack: u64) -> bool {
    GROUPS
        .iter()
        .all(|(group, _)| compare(before, now, *group, slack).is_ok())
}

fn compare(before: &Snapshot, now: &Snapshot, group: Group, slack: u64) -> Result<()> {
    match group {
        Group::Memory | Group::Cache => compare_memory(before, now, group, slack),
        _ => compare_counts(before, now, group),
    }
}

/// Says everything that differs.
fn verdict(differences: Vec<String>) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    bail!("{}", differences.join(", "))
}

/// Fails unless everything is as it was.
fn compare_counts(before: &Snapshot, now: &Snapshot, group: Group) -> Result<()> {
    let (before, now) = (before.group(group), now.group(group));
    let mut differences = Vec::new();

    for (name, count) in &now {
        match before.get(name) {
            Some(known) if known == count => (),
            Some(known) => differences.push(format!("{name} was {known}, now it is {count}")),
            None => differences.push(format!("{name} is new, with {count}")),
        }
    }
    for name in before.keys() {
        if !now.contains_key(name) {
            differences.push(format!("{name} is gone"));
        }
    }
    verdict(differences)
}

/// Fails if any kind of memory has grown by more than `slack`; less is no fault.
fn compare_memory(before: &Snapshot, now: &Snapshot, group: Group, slack: u64) -> Result<()> {
    let (before, now) = (before.group(group), now.group(group));
    let mut differences = Vec::new();

    for (name, &count) in &now {
        let known = before.get(name).copied().unwrap_or(0);
        // What is free counts the other way round.
        let growth = match *name {
            FREE => known.saturating_sub(count),
            _ => count.saturating_sub(known),
        };

        if growth > slack {
            differences.push(format!(
                "{name} was {known} kB, now it is {count} kB: {growth} kB leaked"
            ));
        }
    }
    verdict(differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "module/vdpa 3\ndevice/vdpa/a 1\nfamily/vdpa 1\nthread/x y 1\n\
                          memory/Slab 1000\nmemory/Free 9000\ncache/kmalloc-64 100\n";

    fn leaks(group: Group, now: &str) -> bool {
        let (before, now) = (
            Snapshot::parse(BEFORE).unwrap(),
            Snapshot::parse(now).unwrap(),
        );
        compare(&before, &now, group, 64).is_err()
    }

    #[test]
    fn nothing_leaks_by_itself() {
        for (group, _) in GROUPS {
            assert!(!leaks(group, BEFORE));
        }
    }

    #[test]
    fn every_difference_is_seen() {
        for (group, old, new) in [
            (Group::Module, "vdpa 3", "vdpa 4"),
            (Group::Module, "vdpa 3", "vdpa 2"),
            (Group::Device, "vdpa/a 1", "vdpa/b 1"),
            (Group::Thread, "x y 1", "x y 2"),
            (Group::Memory, "Slab 1000", "Slab 1065"),
            (Group::Memory, "Free 9000", "Free 8900"),
            (Group::Cache, "kmalloc-64 100", "kmalloc-64 200"),
        ] {
            assert!(leaks(group, &BEFORE.replace(old, new)), "{new}");
        }
        for (group, old, new) in [
            (Group::Memory, "Slab 1000", "Slab 1064"),
            (Group::Memory, "Slab 1000", "Slab 10"),
            (Group::Memory, "Free 9000", "Free 9900"),
        ] {
            assert!(!leaks(group, &BEFORE.replace(old, new)), "{new}");
        }
    }
}
