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
    "pagealloc: memory corruption",
    "pagealloc: single bit error",
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
    // The scenario itself tells which, at its end.
    "new suspected memory leaks",
    "DMA-API: preallocated",
    "DMA-API: debugging enabled",
    // An allocation failed, as it was told to.
    "kmemleak: Cannot allocate a scan area",
    "(error: -12 parent:",
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

/// What is said of an allocation that failed, with the stack below it.
const NO_MEMORY: &[&str] = &["vmalloc error", "page allocation failure"];
/// How many lines there are at most from there to that stack.
const NEAR: usize = 6;

/// What the kernel itself does wrong when allocations fail: a bus that cannot be registered takes
/// back the key of a lock that it has not registered yet.
const KNOWN: &[&str] = &["WARNING: at lockdep_unregister_key"];
/// The end of a report of that kind.
const END: &str = "---[ end trace";

/// Whether the line is in a report about the kernel itself.
fn is_known(lines: &[&str], at: usize) -> bool {
    let begins = |line: &&str| KNOWN.iter().any(|text| line.contains(text));
    let mut before = lines[..=at].iter().rev();

    before
        .find(|line| begins(line) || line.contains(END))
        .is_some_and(begins)
}

/// Whether the line only begins the stack of an allocation that failed.
fn is_about_memory(lines: &[&str], at: usize) -> bool {
    lines[at].contains("Call Trace:")
        && lines[at.saturating_sub(NEAR)..at]
            .iter()
            .any(|line| NO_MEMORY.iter().any(|text| line.contains(text)))
}

/// The first report in a console log and the lines that follow it, and how many lines are reports.
/// Where allocations fail on purpose, that the kernel says so is none.
pub fn first_report(log: &str, allocations_fail: bool) -> Option<(Vec<&str>, usize)> {
    let lines: Vec<&str> = log.lines().collect();
    let is_report_at = |at: usize| {
        is_report(lines[at])
            && !(allocations_fail && (is_about_memory(&lines, at) || is_known(&lines, at)))
    };
    let mut reports = (0..lines.len()).filter(|&at| is_report_at(at));
    let first = reports.next()?;
    let count = 1 + reports.count();
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
            "[    9.1] kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
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
        let (lines, count) = first_report(log, false).unwrap();
        assert_eq!(lines[0], "BUG: x");
        assert_eq!(lines.len(), 4);
        assert_eq!(count, 2);
        assert!(first_report("a\nb\n", false).is_none());
    }

    #[test]
    fn failing_allocations() {
        let log = "insmod: vmalloc error: size 8192\nCPU: 0\nCall Trace:\n f\n";
        assert!(first_report(log, false).is_some());
        assert!(first_report(log, true).is_none());
        assert!(first_report("CPU: 0\nCall Trace:\n", true).is_some());
        let log = "WARNING: at lockdep_unregister_key+0x1\nCall Trace:\n---[ end trace 0 ]---\n";
        assert!(first_report(log, false).is_some());
        assert!(first_report(log, true).is_none());
        let log = format!("{log}WARNING: at f+0x1\n");
        assert!(first_report(&log, true).is_some());
    }
}
