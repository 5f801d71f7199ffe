// SPDX-License-Identifier: GPL-2.0

//! What of a module can be recorded: in its file, each call of what records.
//!
//! Functions that nothing in the module refers to are left out: what is there of them is in the
//! functions that call them, and what is exported or called by the kernel is referred to in tables.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result};
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SymbolIndex, SymbolKind,
};

/// What compilers put at the beginning of each block.
const RECORDS: &str = "__sanitizer_cov_trace_pc";

/// Sections in which a reference to a function leads to a call of it, by how their names begin.
const CALLERS: [&str; 7] = [
    ".text",
    ".init",
    ".exit",
    ".data",
    ".rodata",
    ".gnu.linkonce",
    "___ksymtab",
];

/// The length of the address in a call. What is recorded is where the call returns to, right
/// behind it.
const ADDRESS: u64 = 4;

/// The places of a module.
#[derive(Debug, Default)]
pub struct Image {
    /// By function, as offsets from its beginning.
    functions: BTreeMap<String, Vec<u64>>,
}

impl Image {
    /// Reads the file of a module.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&std::fs::read(path)?)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let file = object::File::parse(bytes)?;
        let mut image = Self::default();
        let Some(records) = file
            .symbols()
            .find(|symbol| symbol.name() == Ok(RECORDS))
            .map(|symbol| symbol.index())
        else {
            return Ok(image);
        };
        let functions = functions(&file)?;
        let called = called(&file, &functions)?;

        for section in file.sections() {
            // What is run when the module is loaded is run by whoever loads it.
            if [".init.text", ".exit.text"].contains(&section.name()?) {
                continue;
            }
            let Some(functions) = functions.get(&section.index()) else {
                continue;
            };

            for (offset, relocation) in section.relocations() {
                if relocation.target() != RelocationTarget::Symbol(records) {
                    continue;
                }
                let place = offset + ADDRESS;
                let function = function_at(functions, place)
                    .with_context(|| format!("{place:#x} is in no function"))?;

                if function.local || called.contains(&function.symbol) {
                    let name = function.name.to_owned();
                    let places = image.functions.entry(name).or_default();
                    places.push(place - function.address);
                }
            }
        }
        Ok(image)
    }

    /// The functions that can be recorded, and where, by name.
    pub fn functions(&self) -> &BTreeMap<String, Vec<u64>> {
        &self.functions
    }

    /// How many places there are.
    pub fn places(&self) -> usize {
        self.functions.values().map(Vec::len).sum()
    }
}

/// A function in a section.
struct Function<'a> {
    address: u64,
    name: &'a str,
    symbol: SymbolIndex,
    /// Others cannot refer to it, and compilers leave out what nobody does.
    local: bool,
}

/// Functions by section, sorted.
type Functions<'a> = HashMap<SectionIndex, Vec<Function<'a>>>;

fn functions<'a>(file: &object::File<'a>) -> Result<Functions<'a>> {
    let mut functions = Functions::new();

    for symbol in file.symbols() {
        if let (SymbolKind::Text, Some(section)) = (symbol.kind(), symbol.section_index()) {
            functions.entry(section).or_default().push(Function {
                address: symbol.address(),
                name: symbol.name()?,
                symbol: symbol.index(),
                local: symbol.is_local(),
            });
        }
    }
    for list in functions.values_mut() {
        list.sort_unstable_by_key(|function| (function.address, function.name));
    }
    Ok(functions)
}

/// The function in which a place of a section is.
fn function_at<'a>(functions: &'a [Function<'a>], place: u64) -> Option<&'a Function<'a>> {
    let after = functions.partition_point(|function| function.address <= place);

    functions.get(after.checked_sub(1)?)
}

/// The symbols that something else refers to which is run, or found by what is. A function may
/// refer to itself for what finds errors.
fn called(file: &object::File<'_>, functions: &Functions<'_>) -> Result<HashSet<SymbolIndex>> {
    let mut called = HashSet::new();

    for section in file.sections() {
        let name = section.name()?;
        let within = functions.get(&section.index());

        if !CALLERS.iter().any(|caller| name.starts_with(caller)) {
            continue;
        }
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                continue;
            };
            let caller = within.and_then(|functions| function_at(functions, offset));

            if caller.is_none_or(|caller| caller.symbol != symbol) {
                called.insert(symbol);
            }
        }
    }
    Ok(called)
}
