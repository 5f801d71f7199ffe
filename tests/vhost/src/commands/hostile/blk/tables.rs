// SPDX-License-Identifier: GPL-2.0

//! Indirect tables: virtio 1.3, section 2.7.5.3.

use virtio_bindings::virtio_blk::{VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT};

use super::super::chain::{linked, Chain, Desc, INDIRECT, NEXT, WRITE};
use super::super::layout::*;
use super::chains::{case, Row};
use super::request::{data, data_at, header, status, Case, Outcome::*, STOPS_OR_FAILS};

/// What is in indirect tables, and what refers to them.
const TABLES: &[Row] = &[
    (
        "indirect/nested",
        "2.7.5.3.1",
        |_| {
            let inner = Desc::read(TABLE.at(PAGE), 48).with(INDIRECT);
            Chain::in_table(Desc::table(32), vec![header().then(1), inner])
        },
        &[Stops],
    ),
    (
        "indirect/nested-in-itself",
        "2.7.5.3.1",
        |_| Chain::in_table(Desc::table(16), vec![Desc::table(16)]),
        &[Stops],
    ),
    (
        "indirect/with-next",
        "2.7.5.3.1",
        |kind| Chain {
            ring: vec![Desc::table(48).then(1), status()],
            ..Chain::indirect([header(), data(kind), status()])
        },
        &[Stops],
    ),
    (
        "indirect/with-next-to-itself",
        "2.7.5.3.1",
        |kind| Chain {
            ring: vec![Desc::table(48).then(0)],
            ..Chain::indirect([header(), data(kind), status()])
        },
        &[Stops],
    ),
    (
        "indirect/of-no-length",
        "2.7.5.3.1",
        |kind| Chain {
            ring: vec![Desc::table(0)],
            ..Chain::indirect([header(), data(kind), status()])
        },
        &[Stops],
    ),
    (
        "indirect/of-8-bytes",
        "2.7.5.3",
        |kind| Chain {
            ring: vec![Desc::table(8)],
            ..Chain::indirect([header(), data(kind), status()])
        },
        &[Stops],
    ),
    (
        "indirect/of-47-bytes",
        "2.7.5.3",
        |kind| Chain {
            ring: vec![Desc::table(47)],
            ..Chain::indirect([header(), data(kind), status()])
        },
        &[Stops],
    ),
    (
        "indirect/of-49-bytes",
        "2.7.5.3",
        |kind| Chain {
            ring: vec![Desc::table(49)],
            ..Chain::indirect([header(), data(kind), status()])
        },
        &[Stops],
    ),
    (
        "indirect/next-is-the-length",
        "2.7.5.3",
        |kind| {
            let table = vec![header().then(1), data(kind).then(2), status().then(3)];
            Chain::in_table(Desc::table(48), table)
        },
        &[Stops],
    ),
    (
        "indirect/next-far-beyond",
        "2.7.5.3",
        |kind| {
            let table = vec![header().then(1), data(kind).then(0xfffe)];
            Chain::in_table(Desc::table(32), table)
        },
        &[Stops],
    ),
    (
        "indirect/loop",
        "2.7.5.2",
        |kind| {
            let table = vec![header().then(1), data(kind).then(2), status().then(1)];
            Chain::in_table(Desc::table(48), table)
        },
        &[Stops],
    ),
    (
        "indirect/loop-to-itself",
        "2.7.5.2",
        |_| Chain::in_table(Desc::table(16), vec![header().then(0)]),
        &[Stops],
    ),
    (
        "indirect/wraps",
        "2.7.5.3",
        |_| Chain::raw(vec![Desc::read(u64::MAX - 31, 48).with(INDIRECT)]),
        &[Stops],
    ),
    (
        "indirect/more-than-fit",
        "2.7.5.3.1",
        |kind| {
            let mut chain = vec![header()];
            chain.extend([data_at(kind, DATA.at(0), 1); 300]);
            chain.push(status());
            Chain::indirect(chain)
        },
        STOPS_OR_FAILS,
    ),
    // What a device must take.
    (
        "indirect/right",
        "2.7.5.3",
        |kind| Chain::indirect([header(), data(kind), status()]),
        &[Done],
    ),
    (
        "indirect/out-of-order",
        "2.7.5.3",
        |kind| {
            let table = vec![header().then(2), status(), data(kind).then(1)];
            Chain::in_table(Desc::table(48), table)
        },
        &[Done],
    ),
    (
        "indirect/write-only-table",
        "2.7.5.3.2",
        |kind| Chain {
            ring: vec![Desc::table(48).with(WRITE)],
            ..Chain::indirect([header(), data(kind), status()])
        },
        &[Done],
    ),
    (
        "indirect/after-a-descriptor",
        "2.7.5.3.1",
        |kind| Chain {
            ring: vec![header().then(1), Desc::table(32)],
            table: linked([data(kind), status()], 0),
            head: 0,
        },
        &[Done],
    ),
    (
        "indirect/longer-than-used",
        "2.7.5.3",
        |kind| Chain {
            ring: vec![Desc::table(8192)],
            ..Chain::indirect([header(), data(kind), status()])
        },
        &[Done],
    ),
];

/// All of them, for reads and for writes.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();

    for (word, kind) in [("read", VIRTIO_BLK_T_IN), ("write", VIRTIO_BLK_T_OUT)] {
        cases.extend(TABLES.iter().map(|row| case(row, word, kind)));
        // The same tables where there are none.
        let table = Chain::indirect([header(), data(kind), status()]);
        cases.push(Case::new(
            format!("{word}/indirect/not-negotiated"),
            "2.7.5.3.1",
            kind,
            table,
            &[Stops],
        ));
        let flags = Desc::read(0, 0).with(INDIRECT | NEXT | WRITE);
        cases.push(Case::new(
            format!("{word}/indirect/not-negotiated-all-flags"),
            "2.7.5.3.1",
            kind,
            Chain::raw(vec![header().then(1), flags]),
            &[Stops],
        ));
    }
    cases
}
