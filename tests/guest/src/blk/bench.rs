// SPDX-License-Identifier: GPL-2.0

//! How long a transfer takes.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};

use super::disk::Disk;
use super::pattern::Pattern;
use crate::arguments::{Arguments, Misuse};
use crate::random::{Random, MAX_SEED};
use crate::report::Report;
use crate::sys::uring::{Direction, Queue};

/// What to measure.
struct Bench {
    direction: Direction,
    size: usize,
    depth: usize,
    count: u64,
    random: bool,
    seed: u64,
}

/// The command `blk-bench`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let bench = Bench {
        direction: match arguments.text("--rw", "read")?.as_str() {
            "read" => Direction::Read,
            "write" => Direction::Write,
            other => return Err(Misuse(format!("--rw is {other:?}, not read or write")).into()),
        },
        size: arguments.number("--size", 4096, 512..=16 << 20)? as usize,
        depth: arguments.number("--depth", 1, 1..=4096)? as usize,
        count: arguments.number("--ops", 1000, 1..=u64::MAX)?,
        random: arguments.flag("--random"),
        seed: arguments.number("--seed", 1, 0..=MAX_SEED)?,
    };
    arguments.finish()?;

    let disk = Disk::open(&path)?;
    if bench.size % disk.block != 0 || bench.size as u64 > disk.capacity {
        return Err(Misuse(format!(
            "--size is {}, but blocks have {} bytes and the disk {}",
            bench.size, disk.block, disk.capacity
        ))
        .into());
    }

    let name = format!(
        "blk-bench rw={} size={} depth={} random={} ops={}",
        match bench.direction {
            Direction::Read => "read",
            Direction::Write => "write",
        },
        bench.size,
        bench.depth,
        u8::from(bench.random),
        bench.count
    );
    let result = bench.measure(&disk);

    if let Ok(time) = &result {
        println!(
            "{name} ns_per_op={}",
            time.as_nanos() / u128::from(bench.count)
        );
    }
    report.check(name.replace(' ', "/"), result.map(drop));
    Ok(())
}

impl Bench {
    /// Makes the transfers, and returns the time they took.
    fn measure(&self, disk: &Disk) -> Result<Duration> {
        let blocks = disk.capacity / self.size as u64;
        let mut random = Random::new(self.seed);
        let mut queue =
            Queue::new(&disk.file, self.depth, self.size).context("cannot make a queue")?;
        let mut place = {
            let mut next = 0;
            move || {
                let block = if self.random {
                    random.below(blocks)
                } else {
                    next = (next + 1) % blocks;
                    next
                };
                block * self.size as u64
            }
        };
        let mut busy = 0;
        let mut begun = 0;
        let mut ended = 0;
        let mut free: Vec<usize> = (0..self.depth).collect();

        for slot in 0..self.depth {
            Pattern(self.seed).write(queue.buffer(slot)?, 0);
        }

        let begin = Instant::now();
        while ended < self.count {
            while begun < self.count {
                let Some(slot) = free.pop() else {
                    break;
                };
                queue.push(slot, self.direction, place())?;
                begun += 1;
                busy += 1;
            }

            let mut wrong = None;
            queue.wait(|end| {
                match end.result {
                    Ok(len) if len == self.size => (),
                    other => wrong = Some(other),
                }
                free.push(end.slot);
                busy -= 1;
                ended += 1;
            })?;
            if let Some(result) = wrong {
                let len = result.context("a transfer failed")?;
                ensure!(len == self.size, "a transfer moved {len} bytes");
            }
        }
        let time = begin.elapsed();

        ensure!(busy == 0, "{busy} transfers did not end");
        Ok(time)
    }
}
