// SPDX-License-Identifier: GPL-2.0

//! Makes a table and a plot of what the benchmarks in `tests/bench` printed.
//!
//! ```text
//! bench DIRECTORY LOG...
//! ```
//!
//! Prints the table, and writes it as `bench.json` and as `bench.svg` into the directory.

mod plot;
mod results;
mod table;

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{bail, ensure, Context, Result};

use results::Results;
use serde_json::json;

fn run(arguments: &[String]) -> Result<()> {
    let [directory, logs @ ..] = arguments else {
        bail!("usage: bench DIRECTORY LOG...");
    };
    let mut results = Results::default();

    for log in logs {
        let text = fs::read_to_string(log).with_context(|| format!("cannot read {log}"))?;

        results.read(&text).with_context(|| log.clone())?;
    }
    let rows = results.rows();
    ensure!(!rows.is_empty(), "there is no result in any log");

    let directory = Path::new(directory);
    let json = directory.join("bench.json");
    let text = serde_json::to_string_pretty(&json!({
        "SPDX-License-Identifier": "GPL-2.0",
        "rows": rows,
    }))? + "\n";
    fs::write(&json, text).with_context(|| format!("cannot write {}", json.display()))?;
    plot::write(&directory.join("bench.svg"), &rows)?;
    print!("{}", table::markdown(&rows));
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();

    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
