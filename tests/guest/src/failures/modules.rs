// SPDX-License-Identifier: GPL-2.0

//! A module is loaded and unloaded.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use checks::faults::{Injector, Repeated};

use super::conclude;
use crate::report::Report;
use crate::sys;

/// A module that is not loaded yet; what it needs is.
struct Module {
    name: String,
    image: Vec<u8>,
}

impl Module {
    fn read(path: &str) -> Result<Self> {
        let stem = Path::new(path).file_stem().context("no name")?;

        Ok(Self {
            name: stem.to_string_lossy().into_owned(),
            image: fs::read(path).with_context(|| path.to_owned())?,
        })
    }

    fn load(&self) -> io::Result<()> {
        sys::module::load(&self.image, c"")
    }

    fn unload(&self) -> io::Result<()> {
        sys::module::unload(&CString::new(self.name.as_str())?)
    }

    fn is_loaded(&self) -> bool {
        Path::new("/sys/module").join(&self.name).exists()
    }

    /// Checks whether it is loaded if it should be, and unloads it.
    fn clear(&self, loaded: bool) -> Result<()> {
        ensure!(
            self.is_loaded() == loaded,
            "{} loaded",
            if loaded { "it is not" } else { "it is still" }
        );
        if loaded {
            self.unload().context("cannot unload it")?;
        }
        Ok(())
    }
}

/// Makes all checks with a module.
pub fn run(injector: &Injector, path: &str, report: &mut Report) -> Result<()> {
    let module = Module::read(path)?;
    let name = |step: &str| format!("failures/{}/{step}", module.name);

    conclude(report, &name("load"), load(injector, &module));
    conclude(report, &name("unload"), unload(injector, &module));
    Ok(())
}

fn load(injector: &Injector, module: &Module) -> Result<Repeated> {
    injector.each(
        // So the driver core says that it could not make a directory for the module's drivers.
        &[libc::EINVAL],
        || Ok(()),
        |()| module.load(),
        |(), result| module.clear(result.is_ok()),
    )
}

fn unload(injector: &Injector, module: &Module) -> Result<Repeated> {
    injector.each(
        &[],
        || module.load().context("cannot load it"),
        |()| module.unload(),
        |(), result| module.clear(result.is_err()),
    )
}
