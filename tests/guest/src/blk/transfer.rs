// SPDX-License-Identifier: GPL-2.0

//! Transfers of all lengths, in pieces, many at a time, and through the page cache.

use std::collections::HashMap;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use anyhow::{ensure, Context, Result};

use super::disk::{Aligned, Disk};
use super::pattern::{Pattern, SECTOR};
use crate::random::Random;
use crate::report::Report;
use crate::sys::device;
use crate::sys::uring::{Direction, Queue};

const MIB: usize = 1 << 20;

/// Makes all checks.
pub fn run(disk: &Disk, report: &mut Report, seed: u64) {
    let mut random = Random::new(seed);

    report.check("transfer/whole-disk", whole_disk(disk, Pattern(seed)));
    report.check("transfer/all-lengths", all_lengths(disk, Pattern(seed + 1)));
    report.check(
        "transfer/random-places",
        random_places(disk, Pattern(seed + 2), &mut random),
    );
    report.check(
        "transfer/many-pieces",
        many_pieces(disk, Pattern(seed + 3), &mut random),
    );
    for depth in [1, 2, 32, 256] {
        report.check(
            format_args!("transfer/{depth}-at-a-time"),
            many_at_a_time(disk, Pattern(seed + 4 + depth as u64), depth, &mut random),
        );
    }
    report.check("transfer/page-cache", page_cache(disk, Pattern(seed + 5)));
    report.check("transfer/flush", disk.file.sync_all().map_err(Into::into));
}

/// Every block is a different one, also those that are far apart.
fn whole_disk(disk: &Disk, pattern: Pattern) -> Result<()> {
    let pieces = || {
        (0..disk.capacity).step_by(MIB).map(|start| {
            let len = (disk.capacity - start).min(MIB as u64);
            (start, len as usize)
        })
    };

    for (start, len) in pieces() {
        disk.write(pattern, start, len)?;
    }
    for (start, len) in pieces() {
        disk.check(pattern, start, len)?;
    }
    Ok(())
}

/// From one block to two megabytes, at odd places, with neighbours that stay as they are.
fn all_lengths(disk: &Disk, pattern: Pattern) -> Result<()> {
    let around = Pattern(!pattern.0);
    let block = disk.block;
    let start = 7 * block as u64;

    for blocks in (1..=24).chain([31, 33, 63, 64, 65, 127, 129, 255, 256, 257, 1023, 4096]) {
        let len = blocks * block;

        disk.write(around, 0, len + 16 * block)?;
        disk.write(pattern, start, len)?;
        disk.check(around, 0, start as usize)?;
        disk.check(pattern, start, len)?;
        disk.check(
            around,
            start + len as u64,
            len + 16 * block - len - start as usize,
        )?;
    }
    Ok(())
}

/// Places and lengths at random, of which the last one counts.
fn random_places(disk: &Disk, pattern: Pattern, random: &mut Random) -> Result<()> {
    // Where each block was written last.
    let mut newest = HashMap::new();
    let blocks = disk.capacity / disk.block as u64;

    for round in 0..200 {
        let count = 1 + random.below(128);
        let first = random.below(blocks - count);
        let pattern = Pattern(pattern.0 ^ (round << 32));

        disk.write(
            pattern,
            first * disk.block as u64,
            count as usize * disk.block,
        )?;
        newest.extend((first..first + count).map(|block| (block, pattern)));
    }
    for (block, pattern) in newest {
        disk.check(pattern, block * disk.block as u64, disk.block)?;
    }
    Ok(())
}

/// Memory in more pieces than a request has segments, in any order.
fn many_pieces(disk: &Disk, pattern: Pattern, random: &mut Random) -> Result<()> {
    let mut file = &disk.file;

    for count in [2, 31, 32, 33, 64, 200, 1000] {
        let mut memory = Aligned::new(2 * count * disk.block);
        let start = random.below(1000) * disk.block as u64;

        // Every second block of memory, so that no two of them make one segment.
        for (index, piece) in pieces(&mut memory, disk.block).enumerate() {
            pattern.write(piece, (start + (index * disk.block) as u64) / SECTOR as u64);
        }
        let written: Vec<_> = memory
            .bytes()
            .chunks_exact(disk.block)
            .step_by(2)
            .map(IoSlice::new)
            .collect();
        file.seek(SeekFrom::Start(start))?;
        let len = file.write_vectored(&written)?;
        ensure!(
            len == count * disk.block,
            "{len} bytes of {count} pieces were written"
        );
        disk.check(pattern, start, len)?;

        memory.bytes_mut().fill(0);
        let mut read: Vec<_> = pieces(&mut memory, disk.block)
            .map(IoSliceMut::new)
            .collect();
        file.seek(SeekFrom::Start(start))?;
        let len = file.read_vectored(&mut read)?;
        ensure!(
            len == count * disk.block,
            "{len} bytes of {count} pieces were read"
        );
        for (index, piece) in memory.bytes().chunks_exact(disk.block).enumerate() {
            let place = start + (index / 2 * disk.block) as u64;

            if index % 2 == 0 {
                pattern.check(piece, place / SECTOR as u64)?;
            } else {
                ensure!(piece.iter().all(|byte| *byte == 0), "between the pieces");
            }
        }
    }
    Ok(())
}

/// Every second block of memory.
fn pieces(memory: &mut Aligned, block: usize) -> impl Iterator<Item = &mut [u8]> {
    memory.bytes_mut().chunks_exact_mut(block).step_by(2)
}

/// Each request ends with its own data, whatever the order in which they end.
fn many_at_a_time(disk: &Disk, pattern: Pattern, depth: usize, random: &mut Random) -> Result<()> {
    const LEN: usize = 4096;
    let mut places: Vec<u64> = (0..disk.capacity / LEN as u64).collect();

    random.shuffle(&mut places);
    places.truncate(1024);
    for direction in [Direction::Write, Direction::Read] {
        let mut queue = Queue::new(&disk.file, depth, LEN).context("cannot make a queue")?;

        random.shuffle(&mut places);
        in_flight(&mut queue, depth, &places, direction, pattern)?;
    }
    Ok(())
}

fn in_flight(
    queue: &mut Queue<'_>,
    depth: usize,
    places: &[u64],
    direction: Direction,
    pattern: Pattern,
) -> Result<()> {
    const SECTORS: u64 = 4096 / SECTOR as u64;
    let mut free: Vec<usize> = (0..depth).collect();
    let mut place_of = vec![0; depth];
    let mut waiting = places.iter();
    let mut left = places.len();

    while left > 0 {
        while let Some((slot, &place)) = free.last().copied().zip(waiting.as_slice().first()) {
            let buffer = queue.buffer(slot)?;

            match direction {
                Direction::Write => pattern.write(buffer, place * SECTORS),
                Direction::Read => buffer.fill(0),
            }
            queue.push(slot, direction, place * 4096)?;
            place_of[slot] = place;
            free.pop();
            waiting.next();
        }

        let mut finished = Vec::new();
        queue.wait(|end| finished.push(end))?;
        for end in finished {
            let len = end.result.with_context(|| format!("{direction:?}"))?;

            ensure!(len == 4096, "{direction:?} of {len} bytes");
            if direction == Direction::Read {
                pattern.check(queue.buffer(end.slot)?, place_of[end.slot] * SECTORS)?;
            }
            free.push(end.slot);
            left -= 1;
        }
    }
    Ok(())
}

/// What the page cache writes is on the disk after a sync, and what is on the disk is what it
/// reads once it has forgotten.
fn page_cache(disk: &Disk, pattern: Pattern) -> Result<()> {
    let mut file = disk.cached()?;
    let mut bytes = vec![0; 4 * MIB];

    pattern.write(&mut bytes, 0);
    file.write_all(&bytes)?;
    file.sync_all()?;
    disk.check(pattern, 0, bytes.len())?;

    let pattern = Pattern(!pattern.0);
    disk.write(pattern, 0, bytes.len())?;
    device::forget_cache(&file)?;
    file.rewind()?;
    file.read_exact(&mut bytes)?;
    pattern.check(&bytes, 0)?;
    one_byte(&file, disk, pattern)
}

/// A byte in the middle of a block takes a read, a change and a write.
fn one_byte(file: &File, disk: &Disk, pattern: Pattern) -> Result<()> {
    let place = 3 * disk.block as u64 + 17;
    let mut expected = vec![0; disk.block];

    pattern.write(&mut expected, 3 * disk.block as u64 / SECTOR as u64);
    expected[17] ^= 0xff;
    file.write_all_at(&expected[17..18], place)?;
    file.sync_all()?;
    let found = disk.read(3 * disk.block as u64, disk.block)?;
    ensure!(found.bytes() == expected, "the byte at {place}");
    disk.check(pattern, 0, 3 * disk.block)?;
    disk.check(pattern, 4 * disk.block as u64, 4 * disk.block)
}
