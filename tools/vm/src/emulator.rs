// SPDX-License-Identifier: GPL-2.0

//! What an emulating QEMU gets wrong, told from what a kernel reports.
//!
//! Only what no kernel and no module can bring about is taken for that.

/// The fault that a kernel's report speaks of, if it is one of the emulator's.
pub fn fault(report: &[&str]) -> Option<String> {
    let is_breakpoint = report.first()?.contains("Oops: int3");

    (is_breakpoint && is_not_there(report))
        .then(|| "the emulator ran a breakpoint that is not in memory".to_owned())
}

/// With less of the time that it could have used, what a guest expects of time is not to be had.
const ENOUGH: f64 = 0.3;

/// Whether an emulator that got this share of the time of processors, from 0 to 1, had too little of it for what
/// failed to mean anything.
pub fn starved(share: f64) -> Option<String> {
    (share < ENOUGH).then(|| {
        format!(
            "the emulator got {:.0} % of the processor time that it could have used",
            100.0 * share
        )
    })
}

/// Whether a breakpoint was hit where there is none. Kernels write breakpoints over code that they
/// change while other processors run it, and take them away again; an emulator with a thread for
/// each processor may have translated the old bytes just before, and keep them.
fn is_not_there(report: &[&str]) -> bool {
    let code = report.iter().find_map(|line| line.split_once("Code: "));
    let Some((_, bytes)) = code else {
        return false;
    };
    let bytes: Vec<&str> = bytes.split_whitespace().collect();
    // Where it would go on is marked: `66 <90> e8`. The breakpoint is the byte before.
    match bytes.iter().position(|byte| byte.starts_with('<')) {
        Some(at) if at > 0 => bytes[at - 1] != "cc",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OOPS: &str = "[    1.9] Oops: int3: 0000 [#1] SMP NOPTI";

    #[test]
    fn breakpoints() {
        let gone = "[    1.9] Code: f3 0f 1e fa 41 54 55 53 66 <90> e8 f1 2e ed ff";
        let there = "[    1.9] Code: f3 0f 1e fa 41 54 55 53 cc <90> e8 f1 2e ed ff";
        assert!(fault(&[OOPS, "RIP: 0010:f+0x9/0x1f0", gone]).is_some());
        assert!(fault(&[OOPS, "RIP: 0010:f+0x9/0x1f0", there]).is_none());
        assert!(fault(&[OOPS]).is_none());
        assert!(fault(&[OOPS, "Code: Unable to access opcode bytes at 0x0."]).is_none());
        assert!(fault(&["[    1.9] Oops: Oops: 0002 [#1] SMP NOPTI", gone]).is_none());
        assert!(fault(&[]).is_none());
    }

    #[test]
    fn shares() {
        assert!(starved(0.5).is_none());
        assert!(starved(0.104).unwrap().contains(" 10 % "));
    }
}
