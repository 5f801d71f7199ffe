// SPDX-License-Identifier: GPL-2.0

//! The result of a scenario, and sums of results.

use std::fmt;
use std::ops::AddAssign;
use std::path::PathBuf;

use crate::times::{Part, Times};

/// Sums of results.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Totals {
    /// Checks that passed.
    pub passed: u32,
    /// Checks that failed, and scenarios that failed otherwise.
    pub failed: u32,
    /// Scenarios and tests that were not run.
    pub skipped: u32,
}

impl Totals {
    /// Adds the result of a scenario.
    pub fn add(&mut self, outcome: &Outcome) {
        self.passed += outcome.passed;
        self.failed += outcome.failures.len() as u32;
        self.skipped += u32::from(outcome.skipped.is_some());
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// The result of one scenario.
#[derive(Default, Debug)]
pub struct Outcome {
    /// Checks that passed.
    pub passed: u32,
    /// What failed: the first line says what, the others why.
    pub failures: Vec<String>,
    /// Whether something was wrong that has nothing to do with time: a report of the kernel, lost memory, an end
    /// of the model's before its time.
    pub reported: bool,
    /// Whether the fault is that the emulator had too little time.
    pub starved: bool,
    /// What the emulator got of the time of processors that it could have used, from 0 to 1.
    pub share: f64,
    /// What an emulator would have got wrong, if it failed for that.
    pub fault: Option<String>,
    /// What else is to be said of it.
    pub notes: Vec<String>,
    /// Why it was not run.
    pub skipped: Option<String>,
    /// What it took, from the start of the virtual machine to its end.
    pub times: Times,
    /// What it took to boot it.
    pub boot: Option<Times>,
    /// What each scenario took, and what was done beside them.
    pub parts: Vec<Part>,
    /// Where all that it printed is.
    pub log: Option<PathBuf>,
}

impl Outcome {
    /// The result of a scenario that could not even begin.
    pub fn not_run(error: &anyhow::Error) -> Self {
        Self {
            failures: vec![format!("cannot run it: {error:#}")],
            ..Self::default()
        }
    }

    /// The result of a scenario that is not for this kernel.
    pub fn skipped(why: &str) -> Self {
        Self {
            skipped: Some(why.to_owned()),
            ..Self::default()
        }
    }

    /// Reads the results from what a scenario printed, and whether it said that it is at its end.
    pub fn from_log(log: &str) -> (Self, bool) {
        let mut outcome = Self::default();
        let mut ended = false;
        let mut reason = false;
        for line in log.lines() {
            let indented = line.starts_with("    ");
            if line.starts_with("ok ") {
                outcome.passed += 1;
            } else if let Some(what) = line.strip_prefix("not ok ") {
                outcome.failures.push(what.to_owned());
            } else if let Some(why) = line.strip_prefix("skip ") {
                outcome.skipped = Some(why.to_owned());
            } else if line == "end of scenario" {
                ended = true;
            } else if indented && reason {
                if let Some(failure) = outcome.failures.last_mut() {
                    failure.push('\n');
                    failure.push_str(line.trim_start_matches("    "));
                }
            }
            reason = line.starts_with("not ok ") || (indented && reason);
        }
        (outcome, ended)
    }

    /// Whether nothing failed.
    pub fn good(&self) -> bool {
        self.failures.is_empty()
    }

    /// One line for the scenario of that name, then what failed.
    pub fn report(&self, name: &str) -> String {
        let word = match (self.good(), &self.skipped) {
            (false, _) => "FAILED",
            (true, Some(_)) => "skipped",
            (true, None) => "ok",
        };
        let mut text = format!("{word:7} {name:28} {:5.1} s  ", self.times.wall);
        text += &match &self.skipped {
            Some(why) => why.clone(),
            None if self.good() => format!("{} passed", self.passed),
            None => format!("{} passed, {} failed", self.passed, self.failures.len()),
        };
        for note in &self.notes {
            text += &format!("\n  {note}");
        }
        for failure in &self.failures {
            for (at, line) in failure.lines().enumerate() {
                text += if at == 0 { "\n  not ok " } else { "\n      " };
                text += line;
            }
        }
        if let (false, Some(log)) = (self.good(), &self.log) {
            text += &format!("\n  all of it: {}", log.display());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "# a note\nok one\nnot ok two\n    status 1 of: x\n    no such file\n\
                       \x20   \nother\n    not a reason\nnot ok three\nok four\nend of scenario\n";

    #[test]
    fn results_of_a_log() {
        let (outcome, ended) = Outcome::from_log(LOG);
        assert!(ended);
        assert_eq!(outcome.passed, 2);
        assert_eq!(
            outcome.failures,
            ["two\nstatus 1 of: x\nno such file\n", "three"]
        );
        assert!(!outcome.good());
    }

    #[test]
    fn no_end() {
        assert!(!Outcome::from_log("ok one\n").1);
    }

    #[test]
    fn sums() {
        let mut totals = Totals::default();
        totals.add(&Outcome::from_log(LOG).0);
        totals.add(&Outcome::from_log("ok one\n").0);
        assert_eq!(totals.to_string(), "3 passed, 2 failed");
        totals.add(&Outcome::skipped("why"));
        assert_eq!(totals.to_string(), "3 passed, 2 failed, 1 skipped");
    }
}
