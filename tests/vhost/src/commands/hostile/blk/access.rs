// SPDX-License-Identifier: GPL-2.0

//! Memory that is not there, or not for this.

use vhost_client::iotlb::{RO, WO};
use vhost_client::session::INDIRECT as INDIRECT_FEATURE;
use virtio_bindings::virtio_blk::{VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT};

use super::super::chain::{Chain, Desc};
use super::super::layout::*;
use super::request::{
    data, data_at, header, status, Case,
    Outcome::{self, *},
    FEATURES, HEADER_LEN, SECTOR,
};

const IO: &[Outcome] = &[IoErr];

/// Places that a device waits for: without them nothing can be told, or known, of the request.
fn absent(cases: &mut Vec<Case>, word: &str, kind: u32) {
    for (name, place) in [
        ("descriptors", desc_table(0)),
        ("available-ring", avail_ring(0)),
        ("used-ring", used_ring(0)),
        ("indirect-table", TABLE),
        ("status", STATUS),
    ] {
        let request = |name: String, mapping| {
            let chain = if place == TABLE {
                Chain::indirect([header(), data(kind), status()])
            } else {
                Chain::direct([header(), data(kind), status()])
            };

            Case::new(name, "2.7.13", kind, chain, &[Waits])
                .features(FEATURES | INDIRECT_FEATURE)
                .mapped(mapping)
        };
        let name = format!("{word}/{name}/absent");

        cases.push(request(name.clone(), Mapping::Absent(place)));
        cases.push(request(
            format!("{name}-until-a-kick"),
            Mapping::AbsentUntilKick(place),
        ));
    }
}

/// Places that are there without the permission: waiting helps nobody.
fn forbidden(cases: &mut Vec<Case>, word: &str, kind: u32) {
    for (name, place, perm) in [
        ("descriptors", desc_table(0), WO),
        ("available-ring", avail_ring(0), WO),
        ("used-ring", used_ring(0), RO),
        ("indirect-table", TABLE, WO),
        ("status", STATUS, RO),
    ] {
        let chain = if place == TABLE {
            Chain::indirect([header(), data(kind), status()])
        } else {
            Chain::direct([header(), data(kind), status()])
        };

        cases.push(
            Case::new(
                format!("{word}/{name}/forbidden"),
                "2.7.5",
                kind,
                chain,
                &[Stops],
            )
            .features(FEATURES | INDIRECT_FEATURE)
            .mapped(Mapping::Only(place, perm)),
        );
    }
}

/// Data of a request: the outcome can be told.
fn data_of(cases: &mut Vec<Case>, word: &str, kind: u32) {
    let wrong = if kind == VIRTIO_BLK_T_IN {
        READ_ONLY
    } else {
        WRITE_ONLY
    };

    for (name, addr, len) in [
        ("absent", HOLE, SECTOR),
        ("at-0", 0, SECTOR),
        ("half-absent", HOLE - 256, SECTOR),
        ("last-byte-absent", HOLE - 511, SECTOR),
        ("first-byte-absent", PAGE + HOLE - 1, SECTOR),
        ("forbidden", wrong.at(64), SECTOR),
        ("last-byte-forbidden", wrong.at(0) - 511, SECTOR),
    ] {
        cases.push(Case::new(
            format!("{word}/data/{name}"),
            "5.2.6.2",
            kind,
            Chain::direct([header(), data_at(kind, addr, len), status()]),
            IO,
        ));
    }
    cases.push(Case::new(
        format!("{word}/data/second-buffer-absent"),
        "5.2.6.2",
        kind,
        Chain::direct([header(), data(kind), data_at(kind, HOLE, SECTOR), status()]),
        IO,
    ));
    let right = if kind == VIRTIO_BLK_T_IN {
        WRITE_ONLY
    } else {
        READ_ONLY
    };
    cases.push(Case::new(
        format!("{word}/data/with-just-the-permission"),
        "5.2.6.2",
        kind,
        Chain::direct([header(), data_at(kind, right.at(64), SECTOR), status()]),
        &[Done],
    ));
}

/// Headers, and statuses at the edge.
fn ends_of(cases: &mut Vec<Case>, word: &str, kind: u32) {
    for (name, addr) in [
        ("absent", HOLE),
        ("half-absent", HOLE - 8),
        ("forbidden", WRITE_ONLY.at(64)),
    ] {
        cases.push(Case::new(
            format!("{word}/header/{name}"),
            "5.2.6.2",
            kind,
            Chain::direct([Desc::read(addr, HEADER_LEN), data(kind), status()]),
            IO,
        ));
    }
    cases.push(Case::new(
        format!("{word}/status/in-read-only-memory"),
        "5.2.6",
        kind,
        Chain::direct([header(), data(kind), Desc::write(READ_ONLY.at(5), 1)]),
        &[Stops],
    ));
    cases.push(Case::new(
        format!("{word}/status/in-write-only-memory"),
        "5.2.6",
        kind,
        Chain::direct([header(), data(kind), Desc::write(WRITE_ONLY.at(5), 1)]),
        &[Done],
    ));
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();

    for (word, kind) in [("read", VIRTIO_BLK_T_IN), ("write", VIRTIO_BLK_T_OUT)] {
        absent(&mut cases, word, kind);
        forbidden(&mut cases, word, kind);
        data_of(&mut cases, word, kind);
        ends_of(&mut cases, word, kind);
    }
    let flush = || Chain::direct([header(), status()]);
    cases.push(
        Case::new(
            "flush/status/absent",
            "5.2.6",
            VIRTIO_BLK_T_FLUSH,
            flush(),
            &[Waits],
        )
        .mapped(Mapping::Absent(STATUS)),
    );
    cases.push(
        Case::new(
            "flush/status/forbidden",
            "5.2.6",
            VIRTIO_BLK_T_FLUSH,
            flush(),
            &[Stops],
        )
        .mapped(Mapping::Only(STATUS, RO)),
    );
    cases
}
