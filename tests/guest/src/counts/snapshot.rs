// SPDX-License-Identifier: GPL-2.0

//! All counts at one time.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{ensure, Context, Result};

use crate::netlink::{controller, Client};

/// Groups of counts, each in a form that both [`fmt::Display`] and [`Snapshot::parse`] know:
/// `GROUP/NAME COUNT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// References to a module.
    Module,
    /// A device on a bus.
    Device,
    /// A network interface.
    Interface,
    /// A disk.
    Disk,
    /// A family of generic netlink.
    Family,
    /// Kernel threads of a name.
    Thread,
    /// Open sockets of a kind.
    Socket,
    /// Memory by purpose, in kB.
    Memory,
    /// Objects in a slab cache, in kB.
    Cache,
}

/// All groups, with their names.
pub const GROUPS: [(Group, &str); 9] = [
    (Group::Module, "module"),
    (Group::Device, "device"),
    (Group::Interface, "interface"),
    (Group::Disk, "disk"),
    (Group::Family, "family"),
    (Group::Thread, "thread"),
    (Group::Socket, "socket"),
    (Group::Memory, "memory"),
    (Group::Cache, "cache"),
];

impl Group {
    /// Its name.
    pub fn name(self) -> &'static str {
        GROUPS
            .iter()
            .find(|(group, _)| *group == self)
            .map_or("", |(_, name)| name)
    }
}

/// Modules whose references are counted: names that begin so.
const MODULES: [&str; 8] = [
    "vdpa",
    "virtio_vdpa",
    "virtio_net",
    "virtio_blk",
    "vhost",
    "vringh",
    "vduse",
    "ifcvf",
];

/// Kinds of memory: `/proc/meminfo`.
const MEMORY: [&str; 5] = ["Slab", "SUnreclaim", "KernelStack", "Percpu", "VmallocUsed"];

/// Caches: names that begin so.
const CACHES: [&str; 14] = [
    "kmalloc-",
    "dma-kmalloc-",
    "skbuff",
    "sock_inode_cache",
    "kernfs_node_cache",
    "task_struct",
    "mm_struct",
    "cred",
    "pid",
    "radix_tree_node",
    "maple_node",
    "bio-",
    "request_queue",
    "numa_policy",
];

/// How often the kernel is asked to give memory back.
const ROUNDS: usize = 3;

/// Length of a page in kB, on the one architecture that these tests are for.
const PAGE: u64 = 4;

/// The name of the memory that nothing uses. It is counted by itself, because what `/proc/meminfo`
/// says leaves out the pages that each CPU keeps for its next needs, and these are many.
pub const FREE: &str = "Free";

/// All counts at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    counts: BTreeMap<(Group, String), u64>,
}

impl Snapshot {
    /// Counts everything, once what is only cached has been given back.
    pub fn take() -> Result<Self> {
        settle();

        let mut counts = Self::default();

        counts.memory(&read("/proc/meminfo")?);
        counts.free_pages(&read("/proc/zoneinfo")?);
        counts.caches(&read("/proc/slabinfo")?);
        counts.modules(&read("/proc/modules")?);
        counts.threads()?;
        counts.listed(Group::Device, "/sys/bus/vdpa/devices", "vdpa/");
        counts.listed(Group::Device, "/sys/bus/virtio/devices", "virtio/");
        counts.listed(Group::Interface, "/sys/class/net", "");
        counts.listed(Group::Disk, "/sys/block", "");
        counts.set(
            Group::Socket,
            "netlink".into(),
            read("/proc/net/netlink")?.lines().count() as u64,
        );
        for name in controller::families(&mut Client::open()?)? {
            counts.set(Group::Family, name, 1);
        }
        Ok(counts)
    }

    /// The counts of a group.
    pub fn group(&self, group: Group) -> BTreeMap<&str, u64> {
        self.counts
            .iter()
            .filter(|((found, _), _)| *found == group)
            .map(|((_, name), count)| (name.as_str(), *count))
            .collect()
    }

    /// Fails unless there is something of what every system has.
    pub fn check(&self) -> Result<()> {
        for group in [Group::Family, Group::Thread, Group::Memory, Group::Cache] {
            ensure!(
                !self.group(group).is_empty(),
                "nothing of group {} was found",
                group.name()
            );
        }
        Ok(())
    }

    /// Reads what [`fmt::Display`] wrote, among anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let mut counts = Self::default();

        for line in text.lines() {
            let Some((group, rest)) = GROUPS.iter().find_map(|(group, name)| {
                Some((*group, line.strip_prefix(name)?.strip_prefix('/')?))
            }) else {
                continue;
            };
            let (name, count) = rest.rsplit_once(' ').with_context(|| line.to_owned())?;

            counts.set(
                group,
                name.to_owned(),
                count.parse().with_context(|| line.to_owned())?,
            );
        }
        counts.check()?;
        Ok(counts)
    }

    fn set(&mut self, group: Group, name: String, count: u64) {
        self.counts.insert((group, name), count);
    }

    fn add(&mut self, group: Group, name: String, count: u64) {
        *self.counts.entry((group, name)).or_default() += count;
    }

    fn memory(&mut self, meminfo: &str) {
        for line in meminfo.lines() {
            let mut words = line.split_whitespace();

            if let (Some(name), Some(Ok(count))) =
                (words.next(), words.next().map(str::parse::<u64>))
            {
                let name = name.trim_end_matches(':');
                if MEMORY.contains(&name) {
                    self.set(Group::Memory, name.to_owned(), count);
                }
            }
        }
    }

    fn free_pages(&mut self, zoneinfo: &str) {
        let pages: u64 = zoneinfo
            .lines()
            .filter_map(|line| {
                let line = line.trim_start();
                let zone = line.strip_prefix("pages free");

                zone.or_else(|| line.strip_prefix("count:"))
            })
            .filter_map(|count| count.trim().parse::<u64>().ok())
            .sum();

        self.set(Group::Memory, FREE.into(), pages * PAGE);
    }

    fn caches(&mut self, slabinfo: &str) {
        for line in slabinfo.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let [name, active, _, size, ..] = words[..] else {
                continue;
            };
            if !CACHES.iter().any(|known| name.starts_with(known)) {
                continue;
            }
            if let (Ok(active), Ok(size)) = (active.parse::<u64>(), size.parse::<u64>()) {
                self.add(Group::Cache, cache_name(name), active * size);
            }
        }
        for ((group, _), count) in &mut self.counts {
            if *group == Group::Cache {
                *count /= 1024;
            }
        }
    }

    fn modules(&mut self, modules: &str) {
        for line in modules.lines() {
            let words: Vec<_> = line.split_whitespace().collect();

            if let [name, _, references, ..] = words[..] {
                if MODULES.iter().any(|known| name.starts_with(known)) {
                    if let Ok(references) = references.parse() {
                        self.set(Group::Module, name.to_owned(), references);
                    }
                }
            }
        }
    }

    fn threads(&mut self) -> Result<()> {
        for entry in fs::read_dir("/proc").context("/proc")? {
            let path = entry?.path().join("stat");

            // It may have ended meanwhile.
            if let Some(name) = fs::read_to_string(path).ok().as_deref().and_then(thread) {
                self.add(Group::Thread, name, 1);
            }
        }
        Ok(())
    }

    /// Counts the entries of a directory, which need not be there.
    fn listed(&mut self, group: Group, directory: &str, prefix: &str) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();

            self.set(group, format!("{prefix}{name}"), 1);
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((group, name), count) in &self.counts {
            // A name is what anyone called a device.
            let name = name.escape_debug();
            writeln!(f, "{}/{name} {count}", group.name())?;
        }
        Ok(())
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// Lets the kernel give back what it keeps only in case: caches, free objects, and what waits for
/// a grace period. Some of it may not be there.
fn settle() {
    for _ in 0..ROUNDS {
        let _ = fs::write("/proc/sys/vm/drop_caches", "3");
        for cache in fs::read_dir("/sys/kernel/slab")
            .into_iter()
            .flatten()
            .flatten()
        {
            let _ = fs::write(cache.path().join("shrink"), "1");
        }
        sleep(Duration::from_millis(200));
    }
}

/// Caches for objects of one size, of which the kernel picks one by chance, are one here.
fn cache_name(name: &str) -> String {
    match name.split_once("kmalloc-rnd-") {
        Some((before, rest)) => {
            let size = rest.split_once('-').map_or(rest, |(_, size)| size);
            format!("{before}kmalloc-{size}")
        }
        None => name.to_owned(),
    }
}

/// The name of a kernel thread, from its line in `/proc/PID/stat`; `None` for all else, and for
/// workers, which come and go as there is work.
fn thread(stat: &str) -> Option<String> {
    let (before, rest) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let parent = rest.split_whitespace().nth(1)?;

    (parent == "2" && !name.starts_with("kworker/")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_survives_being_printed() {
        let mut snapshot = Snapshot::default();
        snapshot.memory("Slab:   10 kB\nBuffers: 3 kB\nPercpu: 4 kB\n");
        snapshot.free_pages("Node 0, zone DMA\n  pages free 5\n  cpu: 0\n  count: 7\n");
        snapshot.caches("kmalloc-64 100 200 64 1 2\nkmalloc-rnd-03-64 10 20 64 1\nother 1 1 1 1\n");
        snapshot.modules("vdpa 40960 3 a,b, Live 0x0\nfat 1 0 - Live 0x0\n");
        snapshot.set(Group::Thread, "vDPA sim worker".into(), 2);
        snapshot.set(Group::Family, "vdpa".into(), 1);

        assert_eq!(snapshot.group(Group::Cache), [("kmalloc-64", 6)].into());
        assert_eq!(snapshot.group(Group::Module), [("vdpa", 3)].into());
        assert_eq!(
            snapshot.group(Group::Memory),
            [("Free", 48), ("Percpu", 4), ("Slab", 10)].into()
        );
        let text = format!("# note\n{snapshot}ok counts/taken\n1 passed, 0 failed\n");
        assert_eq!(Snapshot::parse(&text).unwrap(), snapshot);
        assert!(Snapshot::parse("").is_err());
    }

    #[test]
    fn threads_are_told_from_processes_and_workers() {
        let stat = |name: &str, parent: u32| format!("17 ({name}) S {parent} 0 0 0");
        assert_eq!(
            thread(&stat("vDPA sim (worker", 2)).as_deref(),
            Some("vDPA sim (worker")
        );
        assert_eq!(thread(&stat("sh", 1)), None);
        assert_eq!(thread(&stat("kworker/0:1", 2)), None);
    }
}
