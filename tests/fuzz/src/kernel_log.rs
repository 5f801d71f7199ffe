// SPDX-License-Identifier: GPL-2.0

//! What the kernel says meanwhile.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// What the reports begin with after which it is worth knowing what was done. The scenario fails
/// by these and others anyway.
const REPORTS: &[&str] = &[
    "BUG: ",
    "kernel BUG at ",
    "WARNING: ",
    "Oops: ",
    "UBSAN: ",
    "INFO: task ",
    "INFO: rcu",
    "ODEBUG: ",
    "refcount_t: ",
    "rust_kernel: panicked at",
];

/// The kernel's messages from now on.
pub struct KernelLog(File);

impl KernelLog {
    /// Leaves out what was said before.
    pub fn open() -> io::Result<Self> {
        let mut file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;

        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    /// The first report since the last time, if there is one.
    pub fn report(&mut self) -> Option<String> {
        let mut record = [0; 8192];

        loop {
            match self.0.read(&mut record) {
                Ok(len) => {
                    let text = String::from_utf8_lossy(&record[..len]);

                    if let Some(report) = report_in(&text) {
                        return Some(report.to_owned());
                    }
                }
                // Some were overwritten before they were read.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => (),
                Err(_) => return None,
            }
        }
    }
}

/// The message of a record, if it is a report: `level,number,time,flags;message`.
fn report_in(record: &str) -> Option<&str> {
    let (_, message) = record.split_once(';')?;
    let line = message.lines().next()?;

    REPORTS
        .iter()
        .any(|report| line.contains(report))
        .then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_known() {
        let report = "BUG: KASAN: slab-use-after-free in f";
        let record = format!("4,1,2,-;{report}\n SUBSYSTEM=x\n");
        assert_eq!(report_in(&record), Some(report));
        assert_eq!(report_in("6,1,2,-;vdpa net0: DEBUG\n"), None);
    }
}
