// SPDX-License-Identifier: GPL-2.0

//! Results of steps, each in a file, and the sum of them.
//!
//! A step is a goal of the Makefile or a virtual machine. `tools/steps` writes the files of goals, this program
//! those of machines.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{json, Value};

use crate::outcome::{Outcome, Totals};
use crate::times::{Part, Times};

/// Lines of the table that is printed; the file has all.
const SHOWN: usize = 30;

/// What came of a step, and what it took.
pub struct Record {
    /// What it is called.
    pub step: String,
    /// What it took.
    pub times: Times,
    /// What its machine took to boot, if it has one.
    pub boot: Option<Times>,
    /// What was done in that machine.
    pub parts: Vec<Part>,
    /// What its emulator got of the time of processors that it could have used, from 0 to 1.
    pub share: Option<f64>,
    /// How often it was run again, as the emulator was at fault.
    pub again: u32,
    /// What was found.
    pub totals: Totals,
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
            share: outcome.boot.map(|_| outcome.share),
            again: outcome.notes.len() as u32,
            totals,
        }
    }

    fn to_json(&self) -> Value {
        let mut value = self.times.to_json();
        value["step"] = self.step.as_str().into();
        value["passed"] = self.totals.passed.into();
        value["failed"] = self.totals.failed.into();
        value["skipped"] = self.totals.skipped.into();
        if self.again > 0 {
            value["again"] = self.again.into();
        }
        if let Some(share) = self.share {
            value["share"] = ((share * 100.0).round() / 100.0).into();
        }
        if let Some(boot) = self.boot {
            value["boot"] = boot.to_json();
            value["parts"] = self.parts.iter().map(Part::to_json).collect();
        }
        value
    }

    fn from_json(value: &Value) -> Option<Self> {
        let count = |key: &str| value[key].as_u64()?.try_into().ok();
        let parts = value["parts"].as_array().map_or(&[][..], Vec::as_slice);
        Some(Self {
            step: value["step"].as_str()?.to_owned(),
            times: Times::from_json(value)?,
            boot: Times::from_json(&value["boot"]),
            share: value["share"].as_f64(),
            again: count("again").unwrap_or(0),
            parts: parts.iter().map(Part::from_json).collect::<Option<_>>()?,
            totals: Totals {
                passed: count("passed")?,
                failed: count("failed")?,
                skipped: count("skipped")?,
            },
        })
    }

    /// Leaves it in a file of that name.
    pub fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, format!("{}\n", self.to_json()))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)?;
        let value = serde_json::from_str(&text);
        let record = value.ok().as_ref().and_then(Self::from_json);
        record.with_context(|| format!("{} is no record: {text:?}", file.display()))
    }
}

/// Adds up the records in a directory, prints what was most expensive, leaves all in a file, most expensive
/// first. `wall` is what the whole took.
pub fn summary(directory: &Path, file: &Path, wall: f64) -> Result<Totals> {
    let mut records = Vec::new();
    let names = fs::read_dir(directory)
        .with_context(|| format!("there are no results in {}", directory.display()))?;
    for name in names {
        let name = name?.path();
        if name.extension().is_some_and(|end| end == "json") {
            records.push(Record::read(&name)?);
        }
    }
    records.sort_by(|a, b| b.times.processor.total_cmp(&a.times.processor));
    let processor: f64 = records.iter().map(|record| record.times.processor).sum();
    let steps: Vec<_> = records.iter().map(Record::to_json).collect();
    let summary = json!({ "wall": wall, "processor": processor.round(), "steps": steps });
    fs::write(file, format!("{summary:#}\n"))
        .with_context(|| format!("cannot write {}", file.display()))?;
    print!("{}", table(&records));
    println!(
        "{wall:.0} s, {processor:.0} s of processors; all of it in {}",
        file.display()
    );
    let again: u32 = records.iter().map(|record| record.again).sum();
    if again > 0 {
        println!("{again} times a machine was run again, see its line");
    }
    let mut totals = Totals::default();
    for record in &records {
        totals += record.totals;
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
        fs::write(directory.join("modules.json"), goal).unwrap();
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
            .write(&directory.join("a.json"))
            .unwrap();
        let file = directory.with_extension("json");
        let totals = summary(&directory, &file, 10.0).unwrap();
        assert_eq!(totals.to_string(), "4 passed, 1 failed");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.find("stock/a") < text.find("modules"), "{text}");
        fs::write(directory.join("b.json"), "{").unwrap();
        assert!(summary(&directory, &file, 10.0).is_err());
        fs::remove_dir_all(&directory).unwrap();
        fs::remove_file(&file).unwrap();
    }
}
