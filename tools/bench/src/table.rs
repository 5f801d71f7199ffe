// SPDX-License-Identifier: GPL-2.0

//! The table, as people read it.

use std::fmt::Write;

use crate::results::{Outcome, Row};

/// A number with as many digits as say something.
fn number(value: f64) -> String {
    match value {
        v if v >= 10e6 => format!("{:.1}M", v / 1e6),
        v if v >= 1e6 => format!("{:.2}M", v / 1e6),
        v if v >= 100e3 => format!("{:.0}k", v / 1e3),
        v if v >= 10e3 => format!("{:.1}k", v / 1e3),
        v if v >= 1e3 => format!("{:.2}k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

fn ratio(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.2}"))
}

fn cell(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => String::new(),
        Some(Outcome::Failed(why)) => why.clone(),
        Some(Outcome::Measured(values)) => number(values.least),
    }
}

/// By how much runs of the same differed, at most.
fn spread(row: &Row) -> f64 {
    [&row.c, &row.ours, &row.direct]
        .into_iter()
        .flatten()
        .map(|outcome| match outcome {
            Outcome::Measured(values) => values.spread,
            Outcome::Failed(_) => 0.0,
        })
        .fold(0.0, f64::max)
}

/// The table in Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let direct = rows.iter().any(|row| row.direct.is_some());
    let mut text = String::from("| what | unit | C | ours | ours / C | spread |");

    text += if direct {
        " without vDPA | own share |\n"
    } else {
        "\n"
    };
    text += "| --- | --- | ---: | ---: | ---: | ---: |";
    text += if direct { " ---: | ---: |\n" } else { "\n" };
    for row in rows {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "| {} | {} | {} | {} | {} | {:.1} % |",
            row.what,
            row.unit,
            cell(row.c.as_ref()),
            cell(row.ours.as_ref()),
            ratio(row.ratio()),
            spread(row) * 100.0
        );
        if direct {
            let share = ratio(row.share());
            let _ = write!(text, " {} | {share} |", cell(row.direct.as_ref()));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Results;

    #[test]
    fn a_row_says_all() {
        let mut results = Results::default();
        results
            .read("bench: c | a | 31382 | x\nbench: ours | a | 15691 | x\nbench: c | b | no | y\n")
            .unwrap();
        let text = markdown(&results.rows());

        assert!(
            text.contains("| a | x | 31.4k | 15.7k | 0.50 | 0.0 % |\n"),
            "{text}"
        );
        assert!(text.contains("| b | y | no |  |  | 0.0 % |\n"), "{text}");
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (562.0, "562"),
            (8_666.0, "8.67k"),
            (267_456.0, "267k"),
            (4_442_768.0, "4.44M"),
            (437_832_096.0, "437.8M"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
