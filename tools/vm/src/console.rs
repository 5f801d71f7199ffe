// SPDX-License-Identifier: GPL-2.0

//! What a kernel prints when something is wrong with it.

/// Beginnings of reports, which fail a scenario wherever they stand in a line.
const REPORTS: &[&str] = &[
    "Oops",
    "BUG:",
    "kernel BUG at",
    "BUG kmalloc",
    "WARNING:",
    "Kernel panic",
    "Call Trace:",
    "KASAN:",
    "KCSAN:",
    "KFENCE:",
    "KMSAN:",
    "UBSAN:",
    "general protection fault",
    "unable to handle",
    "stack segment:",
    "invalid opcode:",
    "double fault:",
    "refcount_t:",
    "list_add corruption",
    "list_del corruption",
    "Bad page state",
    "Bad rss-counter",
    "Objects remaining in",
    "scheduling while atomic",
    "sleeping function called from invalid context",
    "possible circular locking dependency",
    "possible recursive locking",
    "possible deadlock",
    "inconsistent lock state",
    "bad unlock balance",
    "suspicious RCU usage",
    "trying to register non-static key",
    "held lock freed",
    "lock held when returning to user space",
    "irq lock inversion",
    "soft lockup",
    "hard LOCKUP",
    "self-detected stall",
    "detected stalls",
    "detected expedited stalls",
    "blocked for more than",
    "nobody cared",
    "kmemleak:",
    "DMA-API:",
    "ODEBUG:",
    "cannot create duplicate filename",
    "kobject_add_internal failed",
    "unregister_netdevice: waiting",
    "does not have a release() function",
    "panicked at",
];

/// Lines that look like reports and are none.
const HARMLESS: &[&str] = &[
    "kmemleak: Kernel memory leak detector",
    "kmemleak: Automatic memory",
];

/// Lines shown of one report, below its first.
const SHOWN: usize = 24;

fn is_report(line: &str) -> bool {
    REPORTS.iter().any(|report| finds_word(line, report))
        && !HARMLESS.iter().any(|harmless| line.contains(harmless))
}

/// Whether `word` begins somewhere in the line, not in the middle of another word (DEBUG:).
fn finds_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at]
            .chars()
            .next_back()
            .is_some_and(|before| before.is_ascii_alphanumeric())
    })
}

/// The first report in a console log and the lines that follow it, and how many lines are reports.
pub fn first_report(log: &str) -> Option<(Vec<&str>, usize)> {
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.iter().position(|line| is_report(line))?;
    let count = lines.iter().filter(|line| is_report(line)).count();
    let end = lines.len().min(first + 1 + SHOWN);
    Some((lines[first..end].to_vec(), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports() {
        for line in [
            "[    1.2] BUG: kernel NULL pointer dereference, address: 0000000000000000",
            "[    1.2] Oops: Oops: 0002 [#1] SMP NOPTI",
            "[    1.2] WARNING: drivers/x.c:12 at f+0x1/0x2, CPU#0: insmod/99",
            "[    1.2] WARNING: possible circular locking dependency detected",
            "[    1.2] BUG: KASAN: slab-use-after-free in f+0x1/0x2",
            "[    1.2] UBSAN: array-index-out-of-bounds in x.c:1:2",
            "[    1.2] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[    1.2] INFO: task vdpa:7 blocked for more than 30 seconds.",
            "[    1.2] refcount_t: underflow; use-after-free.",
            "[    1.2] Oops: general protection fault, probably for non-canonical address",
            "[    1.2] rust_kernel: panicked at rust/vdpa/x.rs:1:2:",
        ] {
            assert!(is_report(line), "{line}");
        }
    }

    #[test]
    fn ordinary_lines() {
        for line in [
            "[    0.0] Linux version 7.3.4+deb13-amd64",
            "[    0.1] kmemleak: Kernel memory leak detector initialized (mem pool available: 15)",
            "[    0.1] x86/fpu: DEBUG: nothing",
            "[    0.5] Spectre V2 : Mitigation: Retpolines",
            "[    2.0] vdpa: loading out-of-tree module taints kernel.",
        ] {
            assert!(!is_report(line), "{line}");
        }
    }

    #[test]
    fn first_and_count() {
        let log = "a\nBUG: x\nRIP\nCall Trace:\nb\n";
        let (lines, count) = first_report(log).unwrap();
        assert_eq!(lines[0], "BUG: x");
        assert_eq!(lines.len(), 4);
        assert_eq!(count, 2);
        assert!(first_report("a\nb\n").is_none());
    }
}
