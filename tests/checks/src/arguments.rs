// SPDX-License-Identifier: GPL-2.0

//! The command line: options with a value, flags, and nothing left over.

use std::ops::RangeInclusive;

/// The program was called in a way that it does not understand.
#[derive(Debug)]
pub struct Misuse(pub String);

impl std::fmt::Display for Misuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

/// The words after the program's name.
pub struct Arguments(pico_args::Arguments);

impl Arguments {
    /// Those that this process was started with.
    pub fn from_env() -> Self {
        Self(pico_args::Arguments::from_env())
    }

    /// Takes the first word if it is not an option.
    pub fn command(&mut self) -> Option<String> {
        self.0.subcommand().ok().flatten()
    }

    /// Takes a flag.
    pub fn flag(&mut self, name: &'static str) -> bool {
        self.0.contains(name)
    }

    /// Takes an option's value, if the option was given.
    pub fn optional(&mut self, name: &'static str) -> Result<Option<String>, Misuse> {
        self.0
            .opt_value_from_str(name)
            .map_err(|error| Misuse(error.to_string()))
    }

    /// Takes an option's value, or `default`.
    pub fn text(&mut self, name: &'static str, default: &str) -> Result<String, Misuse> {
        Ok(self.optional(name)?.unwrap_or_else(|| default.to_owned()))
    }

    /// Takes the value of an option that must be given.
    pub fn required(&mut self, name: &'static str) -> Result<String, Misuse> {
        self.optional(name)?
            .ok_or_else(|| Misuse(format!("{name} is missing")))
    }

    /// Takes the values of an option that may be given several times.
    pub fn all(&mut self, name: &'static str) -> Result<Vec<String>, Misuse> {
        self.0
            .values_from_str(name)
            .map_err(|error| Misuse(error.to_string()))
    }

    /// Takes a number within `range`, or `default`.
    pub fn number(
        &mut self,
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, Misuse> {
        let Some(text) = self.optional(name)? else {
            return Ok(default);
        };
        match number(&text) {
            Some(value) if range.contains(&value) => Ok(value),
            _ => Err(Misuse(format!(
                "{name} is {text:?}, but a number from {} to {} is needed",
                range.start(),
                range.end()
            ))),
        }
    }

    /// Refuses what nothing has taken.
    pub fn finish(&mut self) -> Result<(), Misuse> {
        let taken = std::mem::replace(&mut self.0, pico_args::Arguments::from_vec(Vec::new()));
        match taken.finish().as_slice() {
            [] => Ok(()),
            [first, ..] => Err(Misuse(format!(
                "{first:?} is not understood here, or is given twice"
            ))),
        }
    }
}

/// Reads a decimal or, after `0x`, a hexadecimal number.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Arguments {
        Arguments(pico_args::Arguments::from_vec(
            words.iter().map(Into::into).collect(),
        ))
    }

    #[test]
    fn numbers_have_a_range() {
        let mut taken = arguments(&["--a", "0x10", "--b", "17", "--c", "x"]);
        assert_eq!(taken.number("--a", 0, 0..=16).unwrap(), 16);
        assert!(taken.number("--b", 0, 0..=16).is_err());
        assert!(taken.number("--c", 0, 0..=16).is_err());
        assert_eq!(taken.number("--d", 5, 0..=16).unwrap(), 5);
    }

    #[test]
    fn what_is_left_over_is_refused() {
        let mut taken = arguments(&["--known", "1", "--unknown"]);
        assert_eq!(taken.optional("--known").unwrap().as_deref(), Some("1"));
        assert!(taken.finish().is_err());
    }
}
