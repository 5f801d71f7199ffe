// SPDX-License-Identifier: GPL-2.0

//! One hostile request between good ones, and what became of it.

use anyhow::{bail, ensure, Context, Result};
use virtio_bindings::virtio_blk::*;

use super::super::bed::{Bed, End, PATIENCE, QUIET};
use super::super::chain::{linked, Chain, Desc};
use super::super::layout::*;

/// The only queue.
pub const QUEUE: u32 = 0;
/// The size of a sector in bytes.
pub const SECTOR: u32 = 512;
/// `struct virtio_blk_outhdr`.
pub const HEADER_LEN: u32 = 16;
/// The sector that hostile requests read.
pub const READ_FROM: u64 = 100;
/// The sector that they write.
pub const WRITE_TO: u64 = 200;
/// How many of each have something in them.
const SECTORS: u64 = 9;
/// The limits of a request, which a driver may not know.
pub const LIMITS: u64 = (1 << VIRTIO_BLK_F_SEG_MAX) | (1 << VIRTIO_BLK_F_SIZE_MAX);
/// What the driver of hostile requests negotiates, unless the case is about it.
pub const FEATURES: u64 = vhost_client::blk::FEATURES & !LIMITS;

/// What may become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and says so.
    Done,
    /// Its status is VIRTIO_BLK_S_IOERR.
    IoErr,
    /// Its status is VIRTIO_BLK_S_UNSUPP.
    Unsupported,
    /// The device stops: DEVICE_NEEDS_RESET and a configuration interrupt.
    Stops,
    /// Nothing until the place is mapped as it should be. Then it is done.
    Waits,
}

use Outcome::*;

/// The device stops, or finds the status byte and says that the request failed.
pub const STOPS_OR_FAILS: &[Outcome] = &[Stops, IoErr, Unsupported];
/// The request failed.
pub const FAILS: &[Outcome] = &[IoErr, Unsupported];

/// A request.
pub struct Case {
    /// Its name.
    pub name: String,
    /// The section of virtio 1.3 that has the rule, or that says what a device may do.
    pub section: &'static str,
    /// The features that are negotiated.
    pub features: u64,
    /// `VIRTIO_BLK_T_*`.
    pub kind: u32,
    /// Where on the disk.
    pub sector: u64,
    /// What follows the header in what the device reads; the sector's new contents if there is
    /// nothing.
    pub payload: Vec<u8>,
    /// Its descriptors.
    pub chain: Chain,
    /// What is wrong with the memory.
    pub mapping: Mapping,
    /// What may become of it.
    pub allowed: &'static [Outcome],
}

impl Case {
    /// One with nothing special but what is given.
    pub fn new(
        name: impl Into<String>,
        section: &'static str,
        kind: u32,
        chain: Chain,
        allowed: &'static [Outcome],
    ) -> Self {
        let sector = match kind {
            VIRTIO_BLK_T_IN => READ_FROM,
            VIRTIO_BLK_T_OUT => WRITE_TO,
            _ => 0,
        };

        Self {
            name: name.into(),
            section,
            features: FEATURES,
            kind,
            sector,
            payload: Vec::new(),
            chain,
            mapping: Mapping::Right,
            allowed,
        }
    }

    /// The same at another sector.
    pub fn at(self, sector: u64) -> Self {
        Self { sector, ..self }
    }

    /// The same with other features.
    pub fn features(self, features: u64) -> Self {
        Self { features, ..self }
    }

    /// The same with something to read for the device.
    pub fn payload(self, payload: Vec<u8>) -> Self {
        Self { payload, ..self }
    }

    /// The same while memory is mapped so.
    pub fn mapped(self, mapping: Mapping) -> Self {
        Self { mapping, ..self }
    }
}

/// The header, at its place.
pub fn header() -> Desc {
    Desc::read(HEADER.at(96), HEADER_LEN)
}

/// The status, at its place.
pub fn status() -> Desc {
    Desc::write(STATUS.at(77), 1)
}

/// A buffer for data of such a request, of one sector.
pub fn data(kind: u32) -> Desc {
    data_at(kind, DATA.at(128), SECTOR)
}

/// The same elsewhere.
pub fn data_at(kind: u32, addr: u64, len: u32) -> Desc {
    match kind {
        VIRTIO_BLK_T_OUT => Desc::read(addr, len),
        _ => Desc::write(addr, len),
    }
}

/// The bytes of a sector, all with their top bit clear.
pub fn contents(sector: u64, version: u64) -> Vec<u8> {
    (0..u64::from(SECTOR))
        .map(|i| ((i * 5 + sector * 11 + version * 29 + (i >> 6)) & 0x7f) as u8)
        .collect()
}

/// Puts an ordinary request into the queue and gives its first descriptor. There is room for three.
pub fn put_good(bed: &mut Bed, slot: u16, kind: u32, sector: u64, bytes: &[u8]) -> Result<u16> {
    let page = GOOD.at(PAGE * u64::from(slot));
    let head = bed.ring_size() - 3 * (slot + 1);
    let chain = [
        Desc::read(page + 64, HEADER_LEN),
        data_at(kind, page + 512, SECTOR),
        Desc::write(page + 2048, 1),
    ];

    bed.memory.write(page + 64, &header_bytes(kind, sector))?;
    bed.memory.write(page + 512, bytes)?;
    if kind == VIRTIO_BLK_T_IN {
        bed.memory.clear_part(page + 512, SECTOR.into())?;
    }
    bed.memory.clear_part(page + 2048, 1)?;
    bed.describe(QUEUE, head, &linked(chain, head))?;
    bed.offer(QUEUE, head)?;
    Ok(head)
}

/// What the device may write of such requests, which read.
fn good_writable() -> Chain {
    Chain::direct((0..3).flat_map(|slot| {
        let page = GOOD.at(PAGE * slot);

        [Desc::write(page + 512, SECTOR), Desc::write(page + 2048, 1)]
    }))
}

/// Waits for an ordinary request to come back done, and gives what was read.
pub fn take_good(bed: &mut Bed, slot: u16, kind: u32) -> Result<Vec<u8>> {
    let page = GOOD.at(PAGE * u64::from(slot));
    let head = bed.ring_size() - 3 * (slot + 1);
    let len = bed.expect(QUEUE, head)?;
    let answer = bed.memory.answer(page + 2048)?;
    ensure!(
        answer == Some(VIRTIO_BLK_S_OK as u8),
        "its status is {answer:?}"
    );

    let wanted = if kind == VIRTIO_BLK_T_IN {
        SECTOR + 1
    } else {
        1
    };
    ensure!(
        len == wanted,
        "{len} bytes are said to be written, not {wanted}"
    );
    // So that the slot can be used again.
    bed.rings[QUEUE as usize].forget(head);
    bed.memory.read(page + 512, SECTOR)
}

/// `struct virtio_blk_outhdr` of a request.
pub fn header_bytes(kind: u32, sector: u64) -> [u8; HEADER_LEN as usize] {
    let mut header = [0; HEADER_LEN as usize];

    header[..4].copy_from_slice(&kind.to_le_bytes());
    header[8..].copy_from_slice(&sector.to_le_bytes());
    header
}

/// Makes an ordinary request with nothing else in the queue.
pub fn ask_good(bed: &mut Bed, kind: u32, sector: u64, bytes: &[u8]) -> Result<Vec<u8>> {
    put_good(bed, 2, kind, sector, bytes)?;
    bed.publish(QUEUE)?;
    take_good(bed, 2, kind).with_context(|| format!("a good request of kind {kind}"))
}

/// Checks that the disk has what it should at one of the sectors that nobody else writes.
pub fn check_works(bed: &mut Bed) -> Result<()> {
    let found = ask_good(bed, VIRTIO_BLK_T_IN, READ_FROM, &[])?;

    ensure!(
        found == contents(READ_FROM, 0),
        "a good request reads something else"
    );
    Ok(())
}

/// Writes what hostile requests read later.
pub fn prepare(bed: &mut Bed) -> Result<()> {
    bed.start(FEATURES, 1)?;
    for sector in READ_FROM..READ_FROM + SECTORS {
        ask_good(bed, VIRTIO_BLK_T_OUT, sector, &contents(sector, 0))?;
    }
    check_works(bed)
}

/// Puts bytes into the buffers that the device reads.
fn scatter(bed: &mut Bed, chain: &Chain, bytes: &[u8]) -> Result<()> {
    let mut rest = bytes;

    for desc in chain.readable() {
        let len = rest.len().min(desc.len as usize);
        let inside = PLACES.iter().any(|place| {
            (place.at(0)..place.at(place.len())).contains(&desc.addr)
                && desc.addr + len as u64 <= place.at(place.len() + PAGE)
        });
        let (now, later) = rest.split_at(len);

        if inside {
            bed.memory.write(desc.addr, now)?;
        }
        rest = later;
    }
    Ok(())
}

/// What the device wrote to the buffers, up to `most` bytes.
fn gather(bed: &Bed, chain: &Chain, most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();

    for desc in chain.writable() {
        let len = (most - bytes.len()).min(desc.len as usize);
        if len == 0 {
            continue;
        }
        bytes.extend(bed.memory.read(desc.addr, len as u32)?);
    }
    Ok(bytes)
}

/// Makes the request of a case, with good ones before and behind it, and judges.
pub fn run(bed: &mut Bed, case: &Case) -> Result<()> {
    bed.start(case.features, 1)?;
    if case.kind == VIRTIO_BLK_T_OUT && case.allowed.contains(&Done) {
        // Something else than what is to be written.
        for sector in WRITE_TO..WRITE_TO + SECTORS {
            ask_good(bed, VIRTIO_BLK_T_OUT, sector, &contents(sector, 1))?;
        }
        bed.start(case.features, 1)?;
    }

    let mut bytes = header_bytes(case.kind, case.sector).to_vec();
    if case.payload.is_empty() {
        bytes.extend(
            (case.sector..case.sector.saturating_add(SECTORS))
                .flat_map(|sector| contents(sector, 2)),
        );
    } else {
        bytes.extend(&case.payload);
    }
    scatter(bed, &case.chain, &bytes)?;
    bed.remap(case.mapping)?;

    let good = [READ_FROM, READ_FROM + 1];
    put_good(bed, 0, VIRTIO_BLK_T_IN, good[0], &[])?;
    bed.put(QUEUE, &case.chain)?;
    put_good(bed, 1, VIRTIO_BLK_T_IN, good[1], &[])?;
    bed.publish(QUEUE)?;

    let result = judge(bed, case);
    let allowed = bed.writable(&[&case.chain, &good_writable()]);
    let unharmed = bed.memory.check(&allowed);
    let again = bed.start(FEATURES, 1).and_then(|()| check_works(bed));

    result?;
    unharmed?;
    again.context("after a reset")
}

/// Finds out what became of the request, and whether that is right.
fn judge(bed: &mut Bed, case: &Case) -> Result<()> {
    let head = case.chain.head;
    // Where the rings themselves are not there, neither are the good ones.
    let waits = case.allowed == [Waits];
    let timeout = if waits { QUIET } else { PATIENCE };
    let end = bed.wait(QUEUE, head, timeout)?;

    let outcome = match end {
        End::Returned(len) => returned(bed, case, len)?,
        End::Stopped => {
            ensure!(
                case.allowed.contains(&Stops),
                "the device stopped, but {:?} is right",
                case.allowed
            );
            bed.check_stopped(QUEUE, head)?;
            // Descriptors and rings are for all requests alike.
            if case.mapping == Mapping::Right {
                take_good(bed, 0, VIRTIO_BLK_T_IN).context("the request before it")?;
            }
            return Ok(());
        }
        End::Nothing if waits => {
            let place = case
                .mapping
                .absent()
                .context("there is nothing to wait for")?;

            bed.map(place, place.perm)?;
            if case.mapping == Mapping::AbsentUntilKick(place) {
                bed.kick(QUEUE)?;
            }
            let len = bed
                .expect(QUEUE, head)
                .context("what was missing is there")?;
            match returned(bed, case, len)? {
                Done => Waits,
                other => other,
            }
        }
        End::Nothing => bail!(
            "nothing happens for {PATIENCE:?}, but {:?} is right",
            case.allowed
        ),
    };
    ensure!(
        case.allowed.contains(&outcome),
        "{outcome:?}, but {:?} is right",
        case.allowed
    );

    for (slot, sector) in [(0, READ_FROM), (1, READ_FROM + 1)] {
        let found = take_good(bed, slot, VIRTIO_BLK_T_IN)
            .with_context(|| format!("good request {slot} beside it"))?;
        ensure!(
            found == contents(sector, 0),
            "good request {slot} reads something else"
        );
    }
    if outcome == Done || outcome == Waits {
        check_done(bed, case)?;
    }
    Ok(())
}

/// Reads the status of a request that came back.
fn returned(bed: &Bed, case: &Case, len: u32) -> Result<Outcome> {
    let buffers: Vec<Desc> = case.chain.writable().filter(|desc| desc.len != 0).collect();
    let mut written = 0;

    for desc in &buffers {
        let more = bed.memory.written(desc.addr, desc.len)?;
        written += u64::from(more);
        if more < desc.len {
            break;
        }
    }
    ensure!(
        u64::from(len) <= written,
        "{len} bytes are said to be written, but {written} are"
    );

    let last = buffers
        .last()
        .with_context(|| format!("given back with length {len} and no room for a status"))?;
    let at = last.addr.wrapping_add(u64::from(last.len) - 1);
    ensure!(
        (IOVA..IOVA + PAGES * PAGE).contains(&at),
        "given back with length {len}, though its status cannot be written"
    );
    match bed.memory.answer(at)?.map(u32::from) {
        Some(VIRTIO_BLK_S_OK) => Ok(Done),
        Some(VIRTIO_BLK_S_IOERR) => Ok(IoErr),
        Some(VIRTIO_BLK_S_UNSUPP) => Ok(Unsupported),
        Some(other) => bail!("its status is {other}"),
        None => bail!("given back with length {len} and the status as it was"),
    }
}

/// Checks that what says that it is done is.
fn check_done(bed: &mut Bed, case: &Case) -> Result<()> {
    match case.kind {
        VIRTIO_BLK_T_IN => {
            let all: u64 = case.chain.writable().map(|desc| u64::from(desc.len)).sum();
            let found = gather(bed, &case.chain, all as usize - 1)?;
            let wanted = sectors(case.sector, found.len(), 0);

            ensure!(found == wanted, "it says OK, but read something else");
        }
        VIRTIO_BLK_T_OUT => {
            let all: u64 = case.chain.readable().map(|desc| u64::from(desc.len)).sum();
            let count = (all - u64::from(HEADER_LEN)) / u64::from(SECTOR);

            for sector in case.sector..case.sector + count {
                let found = ask_good(bed, VIRTIO_BLK_T_IN, sector, &[])?;
                ensure!(
                    found == contents(sector, 2),
                    "it says OK, but sector {sector} was not written"
                );
            }
        }
        _ => {}
    }
    Ok(())
}

fn sectors(first: u64, len: usize, version: u64) -> Vec<u8> {
    let count = (len as u64).div_ceil(SECTOR.into());

    (first..first + count)
        .flat_map(|sector| contents(sector, version))
        .take(len)
        .collect()
}
