// SPDX-License-Identifier: GPL-2.0

//! A program that uses the device until it is killed.

use std::thread;

use anyhow::Result;
use checks::arguments::Arguments;
use checks::random::Random;
use vhost_client::memory::Kind;
use vhost_client::traffic::Running;
use vhost_client::uapi::backend;

use super::fuzz;
use super::threads::{remind, Surroundings, DISTURBANCES};

/// The command that it is started by.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    let path = arguments.required("--dev")?;
    let seed = arguments.number("--seed", 1, 0..=u64::MAX)?;
    arguments.finish()?;

    let mut random = Random::new(seed);
    loop {
        if random.below(4) == 0 {
            fuzz::session(&path, &mut random)?;
        } else {
            work(&path, &mut random)?;
        }
    }
}

/// Works for a while, with all disturbances at once.
fn work(path: &str, random: &mut Random) -> Result<()> {
    let mut running = Running::start(
        path,
        random.pick(&[Kind::File, Kind::File, Kind::Anonymous]),
        0,
        backend::ALL,
    )?;
    let surroundings = Surroundings::new(&mut running)?;
    let seed = random.next();

    thread::scope(|scope| {
        for (number, what) in (0..).zip(DISTURBANCES) {
            let surroundings = &surroundings;
            scope.spawn(move || (what.disturb)(surroundings, &mut Random::new(seed ^ number)));
        }
        scope.spawn(|| remind(&surroundings));
        let result = running.traffic.prove(seed, 50);
        surroundings.stop();
        result
    })
}
