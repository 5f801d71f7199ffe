// SPDX-License-Identifier: GPL-2.0

//! Which parts of the modules were reached, where the kernel records it (`CONFIG_KCOV`).
//!
//! What is recorded are system calls of the threads here. What the kernel's own threads do for
//! them, such as a simulator's work on its rings, is not.

mod image;
mod loaded;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result};
use checks::report::Report;

use crate::sys::Kcov;
use image::Image;
use loaded::Loaded;

/// Records where the current thread is.
pub struct Recorder {
    kcov: Kcov,
    places: HashSet<u64>,
    /// Some of the places, which most of the time are those that come again.
    recent: Vec<u64>,
}

/// The length of [`Recorder::recent`], a power of two.
const RECENT: usize = 1 << 14;

impl Recorder {
    /// Begins.
    pub fn begin() -> Result<Self> {
        Ok(Self {
            kcov: Kcov::begin().context("kcov")?,
            places: HashSet::new(),
            recent: vec![0; RECENT],
        })
    }

    /// Takes over what was recorded.
    pub fn take(&mut self) {
        let Self {
            kcov,
            places,
            recent,
        } = self;

        kcov.take(|place| {
            let recent = &mut recent[place as usize % RECENT];
            if *recent != place {
                *recent = place;
                places.insert(place);
            }
        });
    }

    /// Gives all places.
    pub fn end(mut self) -> HashSet<u64> {
        self.take();
        self.places
    }
}

/// Modules of which it is known where they are.
pub struct Coverage(Vec<(Image, Loaded)>);

impl Coverage {
    /// Gets ready for `modules`, which are in files of a directory and are loaded. [`None`] if the
    /// kernel does not record anything, or not of them.
    pub fn new(directory: &Path, modules: &[&str]) -> Result<Option<Self>> {
        if !Kcov::is_offered() {
            return Ok(None);
        }
        let mut known = Vec::new();
        let symbols = loaded::symbols()?;

        for name in modules {
            let path = directory.join(format!("{name}.ko"));
            let image = Image::read(&path).with_context(|| path.display().to_string())?;

            if image.places() != 0 {
                known.push((image, Loaded::new(name, &symbols)?));
            }
        }
        Ok((!known.is_empty()).then_some(Self(known)))
    }

    /// Takes note of where the modules are now: they may be unloaded and loaded again.
    pub fn look(&mut self) {
        let modules = loaded::modules();

        for (_, loaded) in &mut self.0 {
            loaded.look(&modules);
        }
    }

    /// Says how much of each module was reached, and which functions were not at all.
    pub fn report(&self, places: &HashSet<u64>, report: &mut Report) {
        for (image, loaded) in &self.0 {
            let mut reached: BTreeMap<&str, HashSet<u64>> = BTreeMap::new();

            for (function, offset) in places.iter().filter_map(|&place| loaded.find(place)) {
                reached.entry(function).or_default().insert(offset);
            }
            let functions = image.functions();
            let counts: Vec<_> = functions
                .iter()
                .map(|(name, offsets)| {
                    let reached = reached.get(name.as_str());
                    let count = reached.map_or(0, |reached| {
                        offsets.iter().filter(|at| reached.contains(at)).count()
                    });
                    (name, count)
                })
                .collect();
            let blocks: usize = counts.iter().map(|(_, count)| count).sum();
            let missed: Vec<_> = counts
                .iter()
                .filter(|(_, count)| *count == 0)
                .map(|(name, _)| format!("{:#}", rustc_demangle::demangle(name)))
                .collect();

            report.note(format_args!(
                "coverage: {}: {blocks} of {} blocks, {} of {} functions",
                loaded.name(),
                image.places(),
                functions.len() - missed.len(),
                functions.len()
            ));
            for name in missed {
                report.note(format_args!("coverage: {}: never in {name}", loaded.name()));
            }
        }
    }
}
