// SPDX-License-Identifier: GPL-2.0

//! What was measured.

use anyhow::{bail, Context, Result};
use serde::Serialize;

/// Begins the lines that are results: `bench: WHO | WHAT | VALUE | UNIT`.
///
/// The value is a number, or says why there is none.
const MARK: &str = "bench: ";

/// Less than this part of what it takes without vDPA is no share.
const LEAST_SHARE: f64 = 0.1;

/// The values that one kind of modules had, in several runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Values {
    /// The least of them.
    pub least: f64,
    /// By how much the largest is more, as a part of the least.
    pub spread: f64,
}

/// What one kind of modules came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It could be measured.
    Measured(Values),
    /// It could not: why.
    Failed(String),
}

/// Everything about one thing that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was done.
    pub what: String,
    /// What is counted.
    pub unit: String,
    /// The C modules.
    pub c: Option<Outcome>,
    /// The Rust modules.
    pub ours: Option<Outcome>,
    /// The kernel's driver for the same device without vDPA, where there is one.
    pub direct: Option<Outcome>,
}

impl Outcome {
    /// The least value, if there is one.
    pub fn least(&self) -> Option<f64> {
        match self {
            Self::Measured(values) => Some(values.least),
            Self::Failed(_) => None,
        }
    }
}

impl Row {
    /// The Rust modules' part of what the C modules take.
    pub fn ratio(&self) -> Option<f64> {
        let c = self.c.as_ref()?.least()?;
        let ours = self.ours.as_ref()?.least()?;

        (c > 0.0).then(|| ours / c)
    }

    /// The same of what is left when what it takes without vDPA is taken away: the modules' own
    /// share. There is none where that is so little for C that it cannot be told from what varies.
    pub fn share(&self) -> Option<f64> {
        let direct = self.direct.as_ref()?.least()?;
        let c = self.c.as_ref()?.least()? - direct;
        let ours = self.ours.as_ref()?.least()? - direct;

        (c > direct * LEAST_SHARE).then(|| ours / c)
    }
}

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    C,
    Ours,
    Direct,
}

impl Who {
    fn parse(text: &str) -> Result<Self> {
        match text {
            "c" => Ok(Self::C),
            "ours" => Ok(Self::Ours),
            "direct" => Ok(Self::Direct),
            _ => bail!("'{text}' is none of c, ours, direct"),
        }
    }
}

/// One line.
struct Measurement {
    who: Who,
    what: String,
    unit: String,
    value: Result<f64, String>,
}

/// All results, in the order in which they came.
#[derive(Default)]
pub struct Results(Vec<Measurement>);

impl Results {
    /// Adds those of a log.
    pub fn read(&mut self, log: &str) -> Result<()> {
        for line in log.lines() {
            if let Some(line) = line.trim_end().strip_prefix(MARK) {
                self.0.push(parse(line).with_context(|| line.to_owned())?);
            }
        }
        Ok(())
    }

    /// What they come to, one row for each thing that was measured.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();

        for result in &self.0 {
            let known = |row: &Row| row.what == result.what && row.unit == result.unit;

            if !rows.iter().any(known) {
                rows.push(Row {
                    what: result.what.clone(),
                    unit: result.unit.clone(),
                    c: self.outcome(result, Who::C),
                    ours: self.outcome(result, Who::Ours),
                    direct: self.outcome(result, Who::Direct),
                });
            }
        }
        rows
    }

    fn outcome(&self, like: &Measurement, who: Who) -> Option<Outcome> {
        let mut values = Vec::new();
        let mut failure = None;

        for result in &self.0 {
            if result.who == who && result.what == like.what && result.unit == like.unit {
                match &result.value {
                    Ok(value) => values.push(*value),
                    Err(why) => failure = Some(why.clone()),
                }
            }
        }
        // Once is enough: what fails sometimes is not to be relied on.
        if let Some(why) = failure {
            return Some(Outcome::Failed(why));
        }
        let least = values.iter().copied().reduce(f64::min)?;
        let most = values.iter().copied().reduce(f64::max)?;
        let spread = if least > 0.0 { most / least - 1.0 } else { 0.0 };

        Some(Outcome::Measured(Values { least, spread }))
    }
}

fn parse(line: &str) -> Result<Measurement> {
    let fields: Vec<_> = line.split(" | ").map(str::trim).collect();
    let [who, what, value, unit] = fields[..] else {
        bail!("this is not WHO | WHAT | VALUE | UNIT");
    };

    Ok(Measurement {
        who: Who::parse(who)?,
        what: what.to_owned(),
        unit: unit.to_owned(),
        value: value.parse().map_err(|_| value.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(log: &str) -> Vec<Row> {
        let mut results = Results::default();
        results.read(log).unwrap();
        results.rows()
    }

    #[test]
    fn runs_are_taken_together() {
        let rows = rows(
            "noise\nbench: c | frames | 200 | instructions\nbench: ours | frames | 110 | instructions\n\
             bench: c | frames | 210 | instructions\nbench: ours | frames | 100 | instructions\n\
             bench: ours | other | 1 | bytes\n",
        );

        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].ratio(), Some(0.5));
        let Some(Outcome::Measured(values)) = &rows[0].ours else {
            panic!("{:?}", rows[0]);
        };
        assert!((values.spread - 0.1).abs() < 1e-9);
        assert_eq!(rows[1].ratio(), None);
        assert_eq!(rows[1].c, None);
    }

    #[test]
    fn the_share_is_what_is_left() {
        let rows = rows(
            "bench: c | a | 30 | x\nbench: ours | a | 15 | x\nbench: direct | a | 10 | x\n\
             bench: c | b | 10 | x\nbench: ours | b | 11 | x\nbench: direct | b | 10 | x\n\
             bench: c | c | 10 | x\nbench: ours | c | 11 | x\n",
        );

        let shares: Vec<_> = rows.iter().map(Row::share).collect();
        assert_eq!(shares, [Some(0.25), None, None]);
    }

    #[test]
    fn what_fails_once_has_no_value() {
        let rows = rows(
            "bench: c | map | 5 | x\nbench: c | map | EFAULT | x\nbench: ours | map | 4 | x\n",
        );

        assert_eq!(rows[0].c, Some(Outcome::Failed("EFAULT".into())));
        assert_eq!(rows[0].ratio(), None);
    }

    #[test]
    fn lines_that_cannot_be_read_are_not_skipped() {
        for line in ["bench: c | frames | 200", "bench: me | frames | 200 | x"] {
            assert!(Results::default().read(line).is_err());
        }
    }
}
