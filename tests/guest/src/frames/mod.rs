// SPDX-License-Identifier: GPL-2.0

//! Ethernet frames to oneself: a device that loops them back, or two that are connected, must
//! return each of them once, in order and unchanged.

pub mod destination;
pub mod frame;
pub mod interface;
pub mod stream;

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::random::MAX_SEED;
use crate::report::Report;
use frame::{MAX_LENGTH, MIN_LENGTH};
use interface::Interface;
use stream::{Stream, Verify};

/// The command `frames`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let name = arguments.required("--if")?;
    let seed = arguments.number("--seed", 1, 0..=MAX_SEED)?;

    if arguments.flag("--drop-check") {
        arguments.finish()?;
        return destination::run(&Interface::open(&name)?, report, seed);
    }

    let to = arguments.optional("--to")?;
    let stream = Stream {
        count: arguments.number("--count", 1000, 1..=u64::MAX)?,
        size: arguments.number("--size", 64, MIN_LENGTH as u64..=MAX_LENGTH as u64)? as usize,
        inflight: arguments.number("--inflight", 32, 1..=4096)? as usize,
        seed,
        verify: if arguments.flag("--bench") {
            Verify::Sequence
        } else {
            Verify::Everything
        },
    };
    arguments.finish()?;

    let interface = Interface::open(&name)?;
    let to = to.as_deref().map(Interface::open).transpose()?;
    let receiver = to.as_ref().unwrap_or(&interface);
    let before = (interface.counters()?, receiver.counters()?);
    let result = stream.run(&interface, to.as_ref());
    let after = (interface.counters()?, receiver.counters()?);

    let result = result.with_context(|| {
        // Who has lost a frame: what was sent was counted, and what came back.
        format!(
            "the interface counted {:?} before, {:?} after",
            before.1, after.1
        )
    });
    let passed = match &result {
        Ok(time) => {
            println!(
                "frames size={} inflight={} count={} ns_per_frame={}",
                stream.size,
                stream.inflight,
                stream.count,
                time.as_nanos() / u128::from(stream.count)
            );
            true
        }
        Err(_) => false,
    };
    report.check(
        format_args!("frames/{}-bytes-{}-in-flight", stream.size, stream.inflight),
        result.map(drop),
    );
    if passed {
        let (count, size) = (stream.count, stream.size as u64);
        report.check(
            "frames/counters",
            before
                .0
                .check_sent(&after.0, count, size)
                .and_then(|()| before.1.check_received(&after.1, count, size))
                .context("after as many frames"),
        );
    }
    Ok(())
}
