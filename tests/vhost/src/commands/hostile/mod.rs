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
mod late;
mod layout;
mod memory;
mod net;
mod start;
mod states;
mod subject;

use anyhow::{bail, Result};
use checks::arguments::{Arguments, Misuse};
use checks::random::MAX_SEED;
use checks::report::Report;
use vhost_client::session::EVENT_IDX;
use virtio_bindings::virtio_ids::{VIRTIO_ID_BLOCK, VIRTIO_ID_NET};

use super::Manner;
use bed::Bed;
use subject::Subject;

/// The command `hostile`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let manner = Manner::take(arguments)?;
    let device = arguments.text("--name", "")?;
    let only = arguments.text("--only", "")?;
    let rounds = arguments.number("--rounds", 1000, 1..=1_000_000)?;
    let seed = arguments.number("--seed", 1, 0..=MAX_SEED)?;
    arguments.finish()?;
    if manner.features & !EVENT_IDX != 0 {
        return Err(Misuse("what rings can do is a part of the checks".into()).into());
    }

    let mut bed = Bed::new(&manner)?;
    let wanted = |group: &str| only.is_empty() || only == group;
    match bed.session.id()? {
        VIRTIO_ID_BLOCK => {
            // What hostile requests read is written here.
            blk::prepare(&mut bed)?;
            if wanted("work") {
                blk::run(&mut bed, report);
            }
            run_for::<blk::Blk>(&mut bed, wanted, rounds, seed, report);
            Ok(())
        }
        VIRTIO_ID_NET if device.is_empty() => Err(Misuse("--name is missing".into()).into()),
        VIRTIO_ID_NET => {
            if wanted("work") {
                net::run(&mut bed, &net::Names { device }, report);
            }
            run_for::<net::Net>(&mut bed, wanted, rounds, seed, report);
            Ok(())
        }
        id => bail!("there are no checks for devices of kind {id}"),
    }
}

/// Makes the checks that are alike for all devices.
fn run_for<S: Subject>(
    bed: &mut Bed,
    wanted: impl Fn(&str) -> bool,
    rounds: u64,
    seed: u64,
    report: &mut Report,
) {
    if wanted("start") {
        start::run::<S>(bed, report);
    }
    if wanted("states") {
        states::run::<S>(bed, report);
    }
    if wanted("calls") {
        late::run::<S>(bed, rounds, seed, report);
    }
}
