// SPDX-License-Identifier: GPL-2.0

//! A hostile or clumsy driver.
//!
//! Each check makes one mistake, between things done right, on a device that was just reset, and
//! says what may come of it, with the section of virtio 1.3 that the rule is in. After each, nothing
//! that the device had no right to write is changed, no more bytes are said to be written than
//! were, and the device works when it is reset.

mod bed;
mod blk;
mod chain;
mod layout;
mod memory;
mod net;

use anyhow::{bail, Result};
use checks::arguments::{Arguments, Misuse};
use checks::report::Report;
use virtio_bindings::virtio_ids::{VIRTIO_ID_BLOCK, VIRTIO_ID_NET};

use super::Manner;
use bed::Bed;

/// The command `hostile`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let manner = Manner::take(arguments)?;
    let device = arguments.text("--name", "")?;
    arguments.finish()?;

    let mut bed = Bed::new(&manner)?;
    match bed.session.id()? {
        VIRTIO_ID_BLOCK => blk::run(&mut bed, report),
        VIRTIO_ID_NET if device.is_empty() => Err(Misuse("--name is missing".into()).into()),
        VIRTIO_ID_NET => net::run(&mut bed, &net::Names { device }, report),
        id => bail!("there are no checks for devices of kind {id}"),
    }
}
