// SPDX-License-Identifier: GPL-2.0

//! Where a module is in the kernel's memory. It may be elsewhere each time it is loaded, but its
//! functions have always the same distances.

use std::fs;

use anyhow::{ensure, Context, Result};

/// Where modules begin, by name, and their sizes.
pub fn modules() -> Vec<(String, u64, u64)> {
    let text = fs::read_to_string("/proc/modules").unwrap_or_default();

    text.lines().filter_map(module).collect()
}

/// A line of `/proc/modules`: name, size, users, their names, state, address.
fn module(line: &str) -> Option<(String, u64, u64)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let size = words.next()?.parse().ok()?;
    let address = words.nth(3)?.strip_prefix("0x")?;

    Some((name, u64::from_str_radix(address, 16).ok()?, size))
}

/// All that the kernel knows of its modules' functions.
pub fn symbols() -> Result<String> {
    Ok(fs::read_to_string("/proc/kallsyms")?)
}

/// A module that is or was loaded.
pub struct Loaded {
    name: String,
    size: u64,
    /// Where it was, and is.
    beginnings: Vec<u64>,
    /// Functions by their distance from its beginning.
    functions: Vec<(u64, String)>,
}

impl Loaded {
    /// Looks for a module that is loaded, and its functions among [`symbols`].
    pub fn new(name: &str, symbols: &str) -> Result<Self> {
        let (_, beginning, size) = modules()
            .into_iter()
            .find(|(found, ..)| found == name)
            .with_context(|| format!("{name} is not loaded"))?;
        let mut functions: Vec<_> = symbols
            .lines()
            .filter_map(|line| function(line, name))
            .filter_map(|(address, function)| {
                let distance = address.checked_sub(beginning)?;
                (distance < size).then(|| (distance, function.to_owned()))
            })
            .collect();

        ensure!(
            !functions.is_empty(),
            "/proc/kallsyms has no functions of {name}"
        );
        functions.sort_unstable();
        Ok(Self {
            name: name.to_owned(),
            size,
            beginnings: vec![beginning],
            functions,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes note of where it is now.
    pub fn look(&mut self, modules: &[(String, u64, u64)]) {
        let now = modules.iter().find(|(name, ..)| *name == self.name);

        if let Some(&(_, beginning, _)) = now {
            if !self.beginnings.contains(&beginning) {
                self.beginnings.push(beginning);
            }
        }
    }

    /// The function in which an address is or was, and its distance from the function's beginning.
    pub fn find(&self, address: u64) -> Option<(&str, u64)> {
        self.beginnings.iter().find_map(|beginning| {
            let distance = address.checked_sub(*beginning)?;
            let after = self.functions.partition_point(|(at, _)| *at <= distance);
            let (at, name) = self.functions.get(after.checked_sub(1)?)?;

            (distance < self.size).then(|| (name.as_str(), distance - at))
        })
    }
}

/// A line of `/proc/kallsyms`, if it is a function of a module: address, type, name, `[module]`.
fn function<'a>(line: &'a str, module: &str) -> Option<(u64, &'a str)> {
    let mut words = line.split_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let kind = words.next()?;
    let name = words.next()?;
    let of = words.next()?.strip_prefix('[')?.strip_suffix(']')?;

    (of == module && matches!(kind, "t" | "T" | "w" | "W")).then_some((address, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let line = "vdpa 77824 3 vhost_vdpa,vdpa_sim_net, Live 0xffffffffc0012000 (O)";
        let found = module(line).unwrap();
        assert_eq!(found, ("vdpa".into(), 0xffff_ffff_c001_2000, 77824));
        let line = "ffffffffc0012340 t f\t[vdpa]";
        assert_eq!(function(line, "vdpa"), Some((0xffff_ffff_c001_2340, "f")));
        assert_eq!(function(line, "vhost_vdpa"), None);
    }

    #[test]
    fn functions_are_found_wherever_the_module_is() {
        let mut loaded = Loaded {
            name: "m".into(),
            size: 0x100,
            beginnings: vec![0x1000],
            functions: vec![(0x10, "f".into()), (0x20, "g".into())],
        };

        assert_eq!(loaded.find(0x1015), Some(("f", 5)));
        assert_eq!(loaded.find(0x1005), None);
        assert_eq!(loaded.find(0x2025), None);
        loaded.look(&[("m".into(), 0x2000, 0x100)]);
        assert_eq!(loaded.find(0x2025), Some(("g", 5)));
    }
}
