// SPDX-License-Identifier: GPL-2.0

//! What was checked, and what came of it.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// How much of a reason is printed.
const LONGEST: usize = 1000;

/// Prints each check as it is made, and counts.
pub struct Report {
    out: Box<dyn Write>,
    passed: usize,
    failed: usize,
}

impl Report {
    /// Begins with nothing checked, and prints to `out`.
    pub fn new(out: impl Write + 'static) -> Self {
        Self {
            out: Box::new(out),
            passed: 0,
            failed: 0,
        }
    }

    /// Notes the result of the check `name`.
    pub fn check(&mut self, name: impl Display, result: anyhow::Result<()>) {
        match result {
            Ok(()) => {
                self.passed += 1;
                self.line(format_args!("ok {name}"));
            }
            Err(why) => {
                self.failed += 1;
                // One line for each check, and not too long, whatever the reason is made of.
                let why: String = format!("{why:#}")
                    .replace(['\n', '\r'], " ")
                    .chars()
                    .take(LONGEST)
                    .collect();

                self.line(format_args!("not ok {name}: {why}"));
            }
        }
    }

    /// Says something that is not a check.
    pub fn note(&mut self, text: impl Display) {
        self.line(format_args!("# {text}"));
    }

    /// Takes over what another process printed with a report of its own.
    pub fn adopt(&mut self, output: &str) {
        for text in output.lines() {
            if text.starts_with("ok ") {
                self.passed += 1;
            } else if text.starts_with("not ok ") {
                self.failed += 1;
            } else if !text.starts_with("# ") {
                // Its sum, which is a part of ours.
                continue;
            }
            self.line(text);
        }
    }

    /// Prints a line at once, as the virtual machine may not live to do it later.
    fn line(&mut self, text: impl Display) {
        // Nobody is left to be told that the output is gone.
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// Sums up. To have checked nothing is a failure too.
    pub fn status(&mut self) -> ExitCode {
        if self.passed + self.failed == 0 {
            self.check("checks", Err(anyhow::anyhow!("nothing was checked")));
        }
        let sum = format!("{} passed, {} failed", self.passed, self.failed);
        self.line(sum);
        ExitCode::from(u8::from(self.failed > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_another_process_said() {
        let mut report = Report::new(std::io::sink());
        report.adopt("ok a\n# note\nnot ok b: why\n2 passed, 0 failed\n");
        assert_eq!((report.passed, report.failed), (1, 1));
    }

    #[test]
    fn nothing_checked_is_a_failure() {
        let mut report = Report::new(std::io::sink());
        report.status();
        assert_eq!((report.passed, report.failed), (0, 1));
    }
}
