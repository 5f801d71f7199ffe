// SPDX-License-Identifier: GPL-2.0

//! Requests in good order that ask for what cannot be: virtio 1.3, section 5.2.6.

use virtio_bindings::virtio_blk::*;

use super::super::chain::{Chain, Desc};
use super::super::layout::*;
use super::request::{
    data, data_at, header, status, Case,
    Outcome::{self, *},
    FAILS, FEATURES, LIMITS, SECTOR,
};

/// The length of the answer to VIRTIO_BLK_T_GET_ID.
const ID_LEN: u32 = VIRTIO_BLK_ID_BYTES;

/// The sectors of the simulator's disk.
const CAPACITY: u64 = 0x40000;

const SEGMENT_LEN: u32 = 16;

/// VIRTIO_BLK_T_GET_LIFETIME, which the bindings lack.
const GET_LIFETIME: u32 = 10;

/// `struct virtio_blk_discard_write_zeroes`.
fn segment(sector: u64, count: u32, flags: u32) -> Vec<u8> {
    let mut bytes = sector.to_le_bytes().to_vec();

    bytes.extend(count.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes
}

/// A request with so much to read, or to write.
fn request(read: u32, write: u32) -> Chain {
    let mut chain = vec![header()];

    if read != 0 {
        chain.push(Desc::read(DATA.at(128), read));
    }
    if write != 0 {
        chain.push(Desc::write(DATA.at(128), write));
    }
    chain.push(status());
    Chain::direct(chain)
}

/// Kinds that there are not, or that this device does not offer.
fn unknown(cases: &mut Vec<Case>) {
    for (name, kind) in [
        ("scsi-cmd", VIRTIO_BLK_T_SCSI_CMD),
        ("3", 3),
        ("get-lifetime", GET_LIFETIME),
        ("secure-erase", VIRTIO_BLK_T_SECURE_ERASE),
        ("zone-report", VIRTIO_BLK_T_ZONE_REPORT),
        ("zone-append", VIRTIO_BLK_T_ZONE_APPEND),
        ("with-high-bits", 0x8000_0000),
        ("all-bits", u32::MAX),
    ] {
        for (fields, sector, read, write) in [
            ("plain", 0, 0, 0),
            ("sector", 1, 0, 0),
            ("sector-beyond", u64::MAX, 0, 0),
            ("data-to-read", 5, 33, 0),
            ("data-to-write", 5, 0, 33),
        ] {
            cases.push(
                Case::new(
                    format!("unknown/{name}/{fields}"),
                    "5.2.6.2",
                    kind,
                    request(read, write),
                    &[Unsupported],
                )
                .at(sector),
            );
        }
    }
}

/// What was not negotiated.
fn without(cases: &mut Vec<Case>) {
    for (name, kind, feature, payload) in [
        ("flush", VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_F_FLUSH, Vec::new()),
        (
            "discard",
            VIRTIO_BLK_T_DISCARD,
            VIRTIO_BLK_F_DISCARD,
            segment(200, 1, 0),
        ),
        (
            "write-zeroes",
            VIRTIO_BLK_T_WRITE_ZEROES,
            VIRTIO_BLK_F_WRITE_ZEROES,
            segment(200, 1, 0),
        ),
    ] {
        for sector in [0, 7] {
            cases.push(
                Case::new(
                    format!("not-negotiated/{name}/sector-{sector}"),
                    "5.2.6.2",
                    kind,
                    request(payload.len() as u32, 0),
                    &[Unsupported],
                )
                .features(FEATURES & !(1 << feature))
                .payload(payload.clone())
                .at(sector),
            );
        }
    }
}

/// Data that points the wrong way: nothing is moved, so nothing is done.
fn wrong_way(cases: &mut Vec<Case>) {
    let segment = || segment(200, 1, 0);

    for (name, kind, chain) in [
        ("read-into-readable", VIRTIO_BLK_T_IN, request(SECTOR, 0)),
        ("write-from-writable", VIRTIO_BLK_T_OUT, request(0, SECTOR)),
        ("id-into-readable", VIRTIO_BLK_T_GET_ID, request(ID_LEN, 0)),
        ("id-into-nothing", VIRTIO_BLK_T_GET_ID, request(0, 0)),
        (
            "discard-in-writable",
            VIRTIO_BLK_T_DISCARD,
            request(0, SEGMENT_LEN),
        ),
        (
            "zeroes-in-writable",
            VIRTIO_BLK_T_WRITE_ZEROES,
            request(0, SEGMENT_LEN),
        ),
    ] {
        cases.push(
            Case::new(format!("wrong-way/{name}"), "5.2.6", kind, chain, &[IoErr])
                .payload(segment()),
        );
    }
}

/// Places that are not on the disk, and lengths that are not sectors.
fn ranges(cases: &mut Vec<Case>) {
    for (word, kind) in [("read", VIRTIO_BLK_T_IN), ("write", VIRTIO_BLK_T_OUT)] {
        for (name, sector, len) in [
            ("at-the-end", CAPACITY, SECTOR),
            ("over-the-end", CAPACITY - 1, 2 * SECTOR),
            ("far-beyond", u64::MAX, SECTOR),
            ("wraps-in-bytes", 1 << 55, SECTOR),
            ("wraps-to-0", u64::MAX, 2 * SECTOR),
            ("not-a-sector", 0, SECTOR - 1),
            ("not-two-sectors", 0, SECTOR + 1),
        ] {
            let (read, write) = match kind {
                VIRTIO_BLK_T_OUT => (len, 0),
                _ => (0, len),
            };

            cases.push(
                Case::new(
                    format!("{word}/range/{name}"),
                    "5.2.6.2",
                    kind,
                    request(read, write),
                    &[IoErr],
                )
                .at(sector),
            );
        }
    }
}

/// What may become of it, to discard and to clear.
type Both = [&'static [Outcome]; 2];

/// Ranges to discard and to clear: virtio 1.3, section 5.2.6.2.
fn segments(cases: &mut Vec<Case>) {
    const SUPPORTED: &[Outcome] = &[Done];
    const IO: &[Outcome] = &[IoErr];
    const UNSUPPORTED: &[Outcome] = &[Unsupported];
    let unmap = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    let rows: [(&str, Vec<u8>, Both); 13] = [
        ("one", segment(300, 1, 0), [SUPPORTED; 2]),
        ("unmap", segment(300, 1, unmap), [UNSUPPORTED, SUPPORTED]),
        ("flag-1", segment(300, 1, 2), [UNSUPPORTED; 2]),
        ("all-flags", segment(300, 1, u32::MAX), [UNSUPPORTED; 2]),
        ("at-the-end", segment(CAPACITY, 1, 0), [IO; 2]),
        ("over-the-end", segment(CAPACITY - 1, 2, 0), [IO; 2]),
        ("far-beyond", segment(u64::MAX, 1, 0), [IO; 2]),
        ("wraps", segment(u64::MAX, u32::MAX, 0), [IO; 2]),
        ("too-many", segment(0, u32::MAX, 0), [IO; 2]),
        ("of-15-bytes", vec![0; 15], [IO; 2]),
        ("of-17-bytes", vec![0; 17], [IO; 2]),
        ("two", vec![0; 32], [IO; 2]),
        ("one-byte", vec![0; 1], [IO; 2]),
    ];

    for (name, payload, allowed) in rows {
        for ((word, kind), allowed) in [
            ("discard", VIRTIO_BLK_T_DISCARD),
            ("write-zeroes", VIRTIO_BLK_T_WRITE_ZEROES),
        ]
        .into_iter()
        .zip(allowed)
        {
            let chain = request(payload.len() as u32, 0);

            cases.push(
                Case::new(format!("{word}/{name}"), "5.2.6.2", kind, chain, allowed)
                    .payload(payload.clone()),
            );
        }
    }
}

/// Other requests with fields that mean nothing for them.
fn fields(cases: &mut Vec<Case>) {
    let with_sector = |name: &str, kind, chain, allowed| {
        Case::new(format!("fields/{name}"), "5.2.6", kind, chain, allowed).at(9)
    };

    cases.extend([
        Case::new(
            "fields/flush",
            "5.2.6",
            VIRTIO_BLK_T_FLUSH,
            request(0, 0),
            &[Done],
        ),
        // Forbidden to drivers, and of no consequence.
        with_sector(
            "flush-of-a-sector",
            VIRTIO_BLK_T_FLUSH,
            request(0, 0),
            &[Done, IoErr],
        ),
        with_sector("id", VIRTIO_BLK_T_GET_ID, request(0, ID_LEN), &[Done]),
        Case::new(
            "fields/id-of-19-bytes",
            "5.2.6",
            VIRTIO_BLK_T_GET_ID,
            request(0, ID_LEN - 1),
            &[Done, IoErr],
        ),
        Case::new(
            "fields/read-of-nothing",
            "5.2.6",
            VIRTIO_BLK_T_IN,
            request(0, 0),
            &[Done, IoErr],
        ),
        Case::new(
            "fields/header-of-17-bytes",
            "5.2.6",
            VIRTIO_BLK_T_OUT,
            Chain::direct([header(), Desc::read(DATA.at(128), 1), status()]),
            FAILS,
        ),
        Case::new(
            "fields/reads-and-writes",
            "5.2.6",
            VIRTIO_BLK_T_OUT,
            Chain::direct([
                header(),
                data(VIRTIO_BLK_T_OUT),
                Desc::write(MORE.at(64), SECTOR),
                status(),
            ]),
            &[Done, IoErr],
        ),
    ]);
}

/// What the configuration says is the most (virtio 1.3, section 5.2.4), and more. That is for the
/// driver; QEMU with libblkio knows it, and does not care.
fn limits(cases: &mut Vec<Case>) {
    const SEGMENTS: usize = 32;
    const SEGMENT_SIZE: u32 = 4096;

    for (word, kind) in [("read", VIRTIO_BLK_T_IN), ("write", VIRTIO_BLK_T_OUT)] {
        for (name, count, len, allowed) in [
            ("segments", SEGMENTS, 128, &[Done][..]),
            ("more-segments", SEGMENTS + 4, 128, &[Done]),
            ("size", 1, SEGMENT_SIZE, &[Done]),
            ("one-sector-more", 1, SEGMENT_SIZE + SECTOR, &[Done]),
        ] {
            let mut chain = vec![header()];
            chain.extend((0..count as u32).map(|i| {
                let at = DATA.at(128 + u64::from(i * len));
                data_at(kind, at, len)
            }));
            chain.push(status());
            cases.push(
                Case::new(
                    format!("{word}/limits/{name}"),
                    "5.2.4",
                    kind,
                    Chain::direct(chain),
                    allowed,
                )
                .features(FEATURES | LIMITS),
            );
        }
    }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();

    unknown(&mut cases);
    without(&mut cases);
    wrong_way(&mut cases);
    ranges(&mut cases);
    segments(&mut cases);
    fields(&mut cases);
    limits(&mut cases);
    cases
}
