// SPDX-License-Identifier: GPL-2.0

//! No value that a driver can write leads to a panic: the compiled engine refers to none.
//!
//! All of the engine is compiled as a kernel compiles it, for a memory that cannot panic itself,
//! and the symbols that the objects need are looked at. A kernel that checks for overflow turns
//! each of them into a bug that stops the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

// So that it is linted like the rest; what counts is the object that is made of it.
#[allow(dead_code, unreachable_pub)]
mod engine;

/// What the compiler itself may need, other than a way to format.
const KNOWN: [&str; 5] = ["memcpy", "memmove", "memset", "memcmp", "bcmp"];

/// Compiles a crate into an object, as the kernel does, and a library for others.
fn compile(source: &str, name: &str, more: &[&str]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let object = directory.join(format!("{name}.o"));
    let library = directory.join(format!("lib{name}.rlib"));
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--edition=2021", "--crate-type=rlib", "--crate-name", name])
        .args(["-Cpanic=abort", "-Copt-level=2", "-Coverflow-checks=on"])
        .args(["-Ccodegen-units=1", "-Cdebuginfo=0", "--cap-lints=allow"])
        .arg(format!(
            "--emit=link={},obj={}",
            library.display(),
            object.display()
        ))
        .args(more)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(source))
        .output()
        .expect("a compiler");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    object
}

fn number<const N: usize>(bytes: &[u8], at: u64) -> u64 {
    let at = at as usize;
    let field: [u8; N] = bytes[at..at + N].try_into().unwrap();
    let mut word = [0; 8];
    word[..N].copy_from_slice(&field);
    u64::from_le_bytes(word)
}

/// The symbols that an object refers to and does not have, from its section of the type
/// `SHT_SYMTAB` (ELF-64, little-endian).
fn undefined(object: &Path) -> BTreeSet<String> {
    const SYMTAB: u64 = 2;
    let bytes = fs::read(object).unwrap();
    assert_eq!(bytes[..6], *b"\x7fELF\x02\x01");
    let (sections, size) = (number::<8>(&bytes, 0x28), number::<2>(&bytes, 0x3a));
    let section = |index: u64| sections + size * index;
    let table = (0..number::<2>(&bytes, 0x3c))
        .map(section)
        .find(|&header| number::<4>(&bytes, header + 4) == SYMTAB)
        .expect("a table of symbols");
    let (start, len) = (
        number::<8>(&bytes, table + 0x18),
        number::<8>(&bytes, table + 0x20),
    );
    let strings = section(number::<4>(&bytes, table + 0x28));
    let names = number::<8>(&bytes, strings + 0x18);

    (start..start + len)
        .step_by(24)
        .filter(|&symbol| number::<2>(&bytes, symbol + 6) == 0)
        .map(|symbol| {
            let name = (names + number::<4>(&bytes, symbol)) as usize;
            let name = bytes[name..].split(|&byte| byte == 0).next().unwrap();
            String::from_utf8(name.to_vec()).unwrap()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// Whether a symbol is one that there may be. To format is what a message needs, by the functions and
/// by the implementations of `core::fmt`.
fn is_known(symbol: &str) -> bool {
    let formats = symbol.contains("core3fmt") || symbol.contains("core..fmt");
    (formats && !symbol.contains("panicking")) || KNOWN.contains(&symbol)
}

#[test]
fn the_engine_refers_to_no_panic() {
    let engine = compile("virtqueue.rs", "virtqueue", &[]);
    let library = engine.with_file_name("libvirtqueue.rlib");
    let library = format!("virtqueue={}", library.display());
    let uses = |name, more: &[&str]| {
        let more = [&["--extern", &library], more].concat();
        let object = compile("tests/panic/engine.rs", name, &more);
        let symbols: Vec<_> = undefined(&object)
            .into_iter()
            // What the object needs of the engine's own is looked at there.
            .filter(|symbol| !symbol.contains("9virtqueue"))
            .filter(|symbol| !is_known(symbol))
            .collect();
        symbols
    };

    let own: Vec<_> = undefined(&engine).into_iter().collect();
    assert!(own.iter().all(|symbol| is_known(symbol)), "{own:#?}");
    assert_eq!(uses("engine", &[]), [""; 0]);

    // The same with one index that is not checked: it is seen.
    let control = uses("control", &["--cfg", "control"]);
    assert!(
        control.iter().any(|symbol| symbol.contains("panicking")),
        "{control:#?}"
    );
}
