// SPDX-License-Identifier: GPL-2.0

//! What is written must be what is read, and what cannot be done is refused.

use anyhow::{bail, ensure, Result};
use checks::random::{mix, Random};
use checks::report::Report;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_ID_BYTES, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP,
    VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN,
    VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES,
};

use super::{Answer, Data, Disk, Request, MOST_DATA, SECTOR};

const OK: u8 = VIRTIO_BLK_S_OK as u8;
const REFUSED: [u8; 2] = [VIRTIO_BLK_S_IOERR as u8, VIRTIO_BLK_S_UNSUPP as u8];

/// The contents of sectors, which follow from where they are.
pub fn pattern(seed: u64, sector: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];

    for (number, chunk) in (0..).zip(bytes.chunks_mut(SECTOR)) {
        // Some are asked for where no disk has any.
        Random::new(seed ^ mix(sector.wrapping_add(number))).fill(chunk);
    }
    bytes
}

/// Compares what was read with what must have been written.
pub fn compare(found: &[u8], wanted: &[u8], sector: u64) -> Result<()> {
    match found.iter().zip(wanted).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(at) => bail!(
            "byte {at} from sector {sector} on is {:#04x}, not {:#04x}",
            found[at],
            wanted[at]
        ),
    }
}

fn expect_ok(answer: &Answer) -> Result<()> {
    ensure!(answer.status == OK, "the status is {}", answer.status);
    Ok(())
}

/// Writes `count` pieces of `len` bytes in any order, `depth` at a time, and reads them.
pub fn transfer(disk: &mut Disk, seed: u64, count: usize, depth: usize, len: usize) -> Result<()> {
    let piece = len / SECTOR;
    let mut random = Random::new(seed);
    let places = disk.capacity / piece as u64;
    let mut starts: Vec<u64> = (0..count as u64)
        .map(|i| i * (places / count as u64) * piece as u64)
        .collect();

    for kind in [VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_IN] {
        random.shuffle(&mut starts);
        let mut waiting = starts.iter();
        let mut left = starts.len();

        while left != 0 {
            while disk.running() < depth {
                let Some(&sector) = waiting.next() else { break };
                let data = if kind == VIRTIO_BLK_T_OUT {
                    Data::ToDevice(pattern(seed, sector, len))
                } else {
                    Data::FromDevice(len)
                };
                let request = Request { kind, sector, data };
                ensure!(disk.start(request)?.is_some(), "too many requests");
            }
            disk.queue.notify()?;
            let (request, answer) = disk.finish()?;
            expect_ok(&answer)?;
            if kind == VIRTIO_BLK_T_IN {
                let wanted = pattern(seed, request.sector, len);
                compare(&answer.data, &wanted, request.sector)?;
            }
            left -= 1;
        }
    }
    Ok(())
}

fn identity(disk: &mut Disk) -> Result<()> {
    let len = VIRTIO_BLK_ID_BYTES as usize;
    let answer = disk.ask(VIRTIO_BLK_T_GET_ID, 0, Data::FromDevice(len))?;

    expect_ok(&answer)?;
    ensure!(
        answer.data.starts_with(b"vdpa_blk_sim\0"),
        "it is {:?}",
        String::from_utf8_lossy(&answer.data)
    );
    Ok(())
}

fn flush(disk: &mut Disk) -> Result<()> {
    expect_ok(&disk.ask(VIRTIO_BLK_T_FLUSH, 0, Data::ToDevice(Vec::new()))?)
}

/// `struct virtio_blk_discard_write_zeroes`.
fn range(sector: u64, count: u32, flags: u32) -> Data {
    let mut bytes = sector.to_le_bytes().to_vec();

    bytes.extend(count.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    Data::ToDevice(bytes)
}

/// Clears sectors between others. Those others keep what they have; what was discarded may, too.
fn clear(disk: &mut Disk, seed: u64, kind: u32) -> Result<()> {
    const FIRST: u64 = 1000;
    const COUNT: usize = 12;
    let (start, count) = (4, 5);
    let mut wanted = pattern(seed, FIRST, COUNT * SECTOR);

    expect_ok(&disk.ask(VIRTIO_BLK_T_OUT, FIRST, Data::ToDevice(wanted.clone()))?)?;
    let data = range(FIRST + start as u64, count as u32, 0);
    expect_ok(&disk.ask(kind, 0, data)?)?;
    let answer = disk.ask(VIRTIO_BLK_T_IN, FIRST, Data::FromDevice(COUNT * SECTOR))?;
    expect_ok(&answer)?;

    let cleared = start * SECTOR..(start + count) * SECTOR;
    let zero = answer.data[cleared.clone()].iter().all(|byte| *byte == 0);
    if zero || kind == VIRTIO_BLK_T_WRITE_ZEROES {
        wanted[cleared].fill(0);
    }
    compare(&answer.data, &wanted, FIRST)
}

/// Requests that cannot be done, after each of which the disk still works.
fn refusals(disk: &mut Disk, report: &mut Report, seed: u64) {
    let end = disk.capacity;
    let write = |sectors: usize| Data::ToDevice(pattern(seed, 0, sectors * SECTOR));
    let cases: [(&str, u32, u64, Data); 11] = [
        (
            "read-at-the-end",
            VIRTIO_BLK_T_IN,
            end,
            Data::FromDevice(SECTOR),
        ),
        (
            "read-past-the-end",
            VIRTIO_BLK_T_IN,
            end - 1,
            Data::FromDevice(2 * SECTOR),
        ),
        ("write-at-the-end", VIRTIO_BLK_T_OUT, end, write(1)),
        ("write-past-the-end", VIRTIO_BLK_T_OUT, end - 1, write(2)),
        (
            "write-at-the-last-number",
            VIRTIO_BLK_T_OUT,
            u64::MAX,
            write(1),
        ),
        (
            "read-where-bytes-wrap",
            VIRTIO_BLK_T_IN,
            1 << 55,
            Data::FromDevice(SECTOR),
        ),
        ("unknown-kind", 0x7777, 0, Data::FromDevice(SECTOR)),
        (
            "discard-past-the-end",
            VIRTIO_BLK_T_DISCARD,
            0,
            range(end - 1, 2, 0),
        ),
        (
            "zeroes-past-the-end",
            VIRTIO_BLK_T_WRITE_ZEROES,
            0,
            range(end, 1, 0),
        ),
        (
            "zeroes-with-unknown-flags",
            VIRTIO_BLK_T_WRITE_ZEROES,
            0,
            range(0, 1, 0x80),
        ),
        (
            "discard-of-half-a-range",
            VIRTIO_BLK_T_DISCARD,
            0,
            Data::ToDevice(vec![0; 8]),
        ),
    ];

    for (name, kind, sector, data) in cases {
        let result = disk.ask(kind, sector, data).and_then(|answer| {
            ensure!(
                REFUSED.contains(&answer.status),
                "the status is {}",
                answer.status
            );
            flush(disk)
        });
        report.check(format_args!("blk/refused/{name}"), result);
    }
}

/// What any disk does.
pub fn run_basic(disk: &mut Disk, report: &mut Report, seed: u64, count: usize, depth: usize) {
    let result = transfer(disk, seed, count, depth, MOST_DATA);
    report.check("blk/transfer", result);
    report.check("blk/flush", flush(disk));
}

/// That, and what the simulators do.
pub fn run(disk: &mut Disk, report: &mut Report, seed: u64, count: usize, depth: usize) {
    report.check("blk/id", identity(disk));
    run_basic(disk, report, seed, count, depth);
    report.check("blk/discard", clear(disk, seed, VIRTIO_BLK_T_DISCARD));
    report.check("blk/zeroes", clear(disk, seed, VIRTIO_BLK_T_WRITE_ZEROES));
    refusals(disk, report, seed);
}
