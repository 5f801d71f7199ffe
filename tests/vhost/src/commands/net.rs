// SPDX-License-Identifier: GPL-2.0

//! Frames that come back.

use anyhow::Result;
use checks::arguments::Arguments;
use checks::random::MAX_SEED;
use checks::report::Report;
use vhost_client::net::frame::MIN_FRAME;
use vhost_client::net::stream::Stream;
use vhost_client::net::{self, Net, MAX_FRAME, MOST_FRAMES};

use super::Manner;

/// The command `net`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let manner = Manner::take(arguments)?;
    let mut stream = Stream {
        to: net::Mac::default(),
        count: arguments.number("--count", 1000, 1..=u64::MAX)?,
        size: arguments.number("--size", 64, MIN_FRAME as u64..=MAX_FRAME as u64)? as usize,
        inflight: arguments.number("--inflight", 32, 1..=MOST_FRAMES as u64)? as usize,
        seed: arguments.number("--seed", 1, 0..=MAX_SEED)?,
        compare: !arguments.flag("--bench"),
    };
    arguments.finish()?;

    let session = manner.open(net::MAC)?;
    let memory = manner.share(&session, net::MEMORY)?;
    let mut device = Net::new(&session, &memory, &mut memory.room())?;

    session.start()?;
    stream.to = net::mac(&session)?;
    let result = stream.run(&mut device);
    if let Ok(time) = &result {
        println!(
            "net size={} inflight={} count={} ns_per_frame={}",
            stream.size,
            stream.inflight,
            stream.count,
            time.as_nanos() / u128::from(stream.count)
        );
    }
    report.check(
        format_args!("net/{}-bytes-{}-in-flight", stream.size, stream.inflight),
        result.map(drop),
    );
    Ok(())
}
