// SPDX-License-Identifier: GPL-2.0

//! Results of steps, each in a file, and the sum of them.
//!
//! A step is a goal of the Makefile or a virtual machine. `tools/steps` writes the files of goals, this program
//! those of machines.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, Totals};
use crate::times::{Part, Times};

/// Lines of the table that is printed; the file has all.
const SHOWN: usize = 30;

/// What came of a step, and what it took.
#[derive(Serialize, Deserialize)]
pub struct Record {
    /// What it is called.
    pub step: String,
    /// What it took.
    #[serde(flatten)]
    pub times: Times,
    /// What its machine took to boot, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<Times>,
    /// What was done in that machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Checks that passed.
    pub passed: u32,
    /// Checks that failed.
    pub failed: u32,
    /// Checks that were not made.
    pub skipped: u32,
}

impl Record {
    /// The record of a machine.
    pub fn of(step: &str, outcome: &Outcome) -> Self {
        let mut totals = Totals::default();
        totals.add(outcome);
        Self {
            step: step.to_owned(),
            times: outcome.times,
            boot: outcome.boot,
            parts: outcome.parts.clone(),
            passed: totals.passed,
            failed: totals.failed,
            skipped: totals.skipped,
        }
    }

    /// Leaves it in a file of that name.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string(self)?;
        fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
    }

    fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)?;
        serde_json::from_str(&text).with_context(|| format!("{}: {text:?}", file.display()))
    }
}

/// What `/proc/stat` counts of this machine would do as well; a run of all steps has only this.
#[derive(Serialize)]
struct Summary<'a> {
    wall: f64,
    processor: f64,
    steps: &'a [Record],
}

/// Adds up the records in a directory, prints what was most expensive, leaves all in a file, most expensive
/// first. `wall` is what the whole took.
pub fn summary(directory: &Path, file: &Path, wall: f64) -> Result<Totals> {
    let mut records = Vec::new();
    let names = fs::read_dir(directory)
        .with_context(|| format!("there are no results in {}", directory.display()))?;
    for name in names {
        records.push(Record::read(&name?.path())?);
    }
    records.sort_by(|a, b| b.times.processor.total_cmp(&a.times.processor));
    let processor = records.iter().map(|record| record.times.processor).sum();
    let summary = Summary {
        wall,
        processor,
        steps: &records,
    };
    fs::write(file, serde_json::to_string_pretty(&summary)? + "\n")?;
    print!("{}", table(&records));
    println!(
        "{:.0} s, {processor:.0} s of processors; all of it in {}",
        wall,
        file.display()
    );
    let mut totals = Totals::default();
    for record in &records {
        totals.passed += record.passed;
        totals.failed += record.failed;
        totals.skipped += record.skipped;
    }
    Ok(totals)
}

/// A line for each of the first steps, and one for each scenario of those that are several.
fn table(records: &[Record]) -> String {
    let mut text = format!(
        "{:>9} {:>7} {:>7} {:>7}  step\n",
        "processor", "wall", "boot", "waiting"
    );
    for record in records.iter().take(SHOWN) {
        let waiting = record
            .boot
            .iter()
            .chain(record.parts.iter().map(|part| &part.times));
        let waiting: f64 = waiting.filter_map(|times| times.waiting).sum();
        let boot = record.boot.map(|times| times.wall);
        line(
            &mut text,
            record.times,
            boot,
            boot.map(|_| waiting),
            &record.step,
        );
        if record.parts.len() > 1 {
            for part in &record.parts {
                let name = format!("  {}", part.name);
                line(&mut text, part.times, None, part.times.waiting, &name);
            }
        }
    }
    text
}

fn line(text: &mut String, times: Times, boot: Option<f64>, waiting: Option<f64>, name: &str) {
    let optional = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.1}"));
    let (boot, waiting) = (optional(boot), optional(waiting));
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{:9.1} {:7.1} {boot:>7} {waiting:>7}  {name}",
        times.processor, times.wall
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_order() {
        let directory = std::env::temp_dir().join(format!("vm-record-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let goal =
            r#"{"step":"modules","wall":2.5,"processor":4.0,"passed":1,"failed":0,"skipped":0}"#;
        fs::write(directory.join("modules"), goal).unwrap();
        let outcome = Outcome {
            passed: 3,
            failures: vec!["x".to_owned()],
            times: Times {
                wall: 9.0,
                processor: 5.0,
                waiting: None,
            },
            ..Outcome::default()
        };
        Record::of("stock/a", &outcome)
            .write(&directory.join("a"))
            .unwrap();
        let file = directory.with_extension("json");
        let totals = summary(&directory, &file, 10.0).unwrap();
        assert_eq!(totals.to_string(), "4 passed, 1 failed");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.find("stock/a") < text.find("modules"), "{text}");
        fs::write(directory.join("b"), "{").unwrap();
        assert!(summary(&directory, &file, 10.0).is_err());
        fs::remove_dir_all(&directory).unwrap();
        fs::remove_file(&file).unwrap();
    }
}
