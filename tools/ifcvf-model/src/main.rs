// SPDX-License-Identifier: GPL-2.0

//! Starts models of IFC virtual functions.

use std::process::ExitCode;

use anyhow::{bail, Result};
use ifcvf_model::server::Server;
use ifcvf_model::settings::Settings;
use ifcvf_model::{console, faults, settings};
use pico_args::Arguments;

fn usage() -> String {
    format!(
        "\
usage: ifcvf-model [--once] [--console SOCKET] --device SOCKET[,SETTING]... [--device ...]

  --device SOCKET[,SETTING]...  a function; QEMU's vfio-user-pci connects to the socket
  --console SOCKET              take commands here
  --once                        end when all devices had a client and lost it

Settings [without them]:
{}

Faults, with their values after colons:
{}

Commands on the console:
{}
",
        settings::SETTINGS,
        faults::FAULTS,
        console::COMMANDS
    )
}

fn main() -> ExitCode {
    match run(Arguments::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ifcvf-model: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Arguments) -> Result<()> {
    if arguments.contains(["-h", "--help"]) {
        print!("{}", usage());
        return Ok(());
    }
    let once = arguments.contains("--once");
    let console = arguments.opt_value_from_str::<_, std::path::PathBuf>("--console")?;
    let devices = arguments
        .values_from_fn("--device", |text| {
            Settings::parse(text).map_err(|error| format!("{error:#}"))
        })?
        .into_iter()
        .collect::<Vec<Settings>>();
    let rest = arguments.finish();
    if let Some(other) = rest.first() {
        bail!("unknown argument {other:?}\n{}", usage());
    }
    if devices.is_empty() {
        bail!("no device\n{}", usage());
    }
    Server::new(devices, console.as_deref(), once)?.run()
}
