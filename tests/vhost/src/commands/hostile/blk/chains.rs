// SPDX-License-Identifier: GPL-2.0

//! Chains that break a rule, and unusual ones that break none: virtio 1.3, section 2.7.

use vhost_client::session::INDIRECT as INDIRECT_FEATURE;
use virtio_bindings::virtio_blk::{VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT};

use super::super::chain::{Chain, Desc, WRITE};
use super::super::layout::*;
use super::request::{
    data, data_at, header, status, Case,
    Outcome::{self, *},
    FAILS, FEATURES, HEADER_LEN, SECTOR, STOPS_OR_FAILS,
};

/// The name of a rule's breach, the section, the chain for data of this kind, the outcomes.
pub type Row = (
    &'static str,
    &'static str,
    fn(u32) -> Chain,
    &'static [Outcome],
);

/// Loops: a chain that cannot be walked to its end has no status byte.
const LOOPS: &[Row] = &[
    (
        "loop/header-to-itself",
        "2.7.5.2",
        |_| Chain::raw(vec![header().then(0)]),
        &[Stops],
    ),
    (
        "loop/data-to-itself",
        "2.7.5.2",
        |kind| Chain::raw(vec![header().then(1), data(kind).then(1)]),
        &[Stops],
    ),
    (
        "loop/two",
        "2.7.5.2",
        |kind| {
            Chain::raw(vec![
                header().then(1),
                data(kind).then(2),
                data(kind).then(1),
            ])
        },
        &[Stops],
    ),
    (
        "loop/status-to-itself",
        "2.7.5.2",
        |kind| Chain::raw(vec![header().then(1), data(kind).then(2), status().then(2)]),
        &[Stops],
    ),
    (
        "loop/status-to-header",
        "2.7.5.2",
        |kind| Chain::raw(vec![header().then(1), data(kind).then(2), status().then(0)]),
        &[Stops],
    ),
    (
        "loop/of-no-bytes",
        "2.7.5.2",
        |_| {
            Chain::raw(vec![
                header().then(1),
                Desc::write(STATUS.at(77), 0).then(1),
            ])
        },
        &[Stops],
    ),
    (
        "next/is-the-size",
        "2.7.5",
        |_| Chain::raw(vec![header().then(RING_SIZE)]),
        &[Stops],
    ),
    (
        "next/far-beyond",
        "2.7.5",
        |kind| Chain::raw(vec![header().then(1), data(kind).then(0xffff)]),
        &[Stops],
    ),
    (
        "next/after-the-status",
        "2.7.5",
        |kind| {
            Chain::raw(vec![
                header().then(1),
                data(kind).then(2),
                status().then(RING_SIZE + 1),
            ])
        },
        &[Stops],
    ),
];

/// Lengths and addresses that cannot be meant.
const SUMS: &[Row] = &[
    (
        "sum/buffer-wraps",
        "2.7.5",
        |kind| Chain::direct([header(), data_at(kind, u64::MAX - 99, SECTOR), status()]),
        STOPS_OR_FAILS,
    ),
    (
        "sum/buffer-wraps-by-one",
        "2.7.5",
        |kind| Chain::direct([header(), data_at(kind, u64::MAX - 510, SECTOR), status()]),
        STOPS_OR_FAILS,
    ),
    (
        "sum/buffer-ends-at-the-end",
        "2.7.5",
        |kind| Chain::direct([header(), data_at(kind, u64::MAX - 511, SECTOR), status()]),
        FAILS,
    ),
    (
        "sum/header-wraps",
        "2.7.5",
        |kind| Chain::direct([Desc::read(u64::MAX - 7, HEADER_LEN), data(kind), status()]),
        STOPS_OR_FAILS,
    ),
    (
        "sum/status-wraps",
        "2.7.5",
        |kind| Chain::direct([header(), data(kind), Desc::write(u64::MAX, 2)]),
        &[Stops],
    ),
    (
        "sum/beyond-4-gib",
        "2.7.5.2",
        |kind| {
            let much = data_at(kind, DATA.at(0), u32::MAX);
            Chain::direct([header(), much, much, status()])
        },
        STOPS_OR_FAILS,
    ),
    (
        "sum/beyond-4-gib-by-one",
        "2.7.5.2",
        |kind| {
            let much = data_at(kind, DATA.at(0), u32::MAX - 15);
            Chain::direct([header(), much, status()])
        },
        STOPS_OR_FAILS,
    ),
    (
        "sum/many-times-4-gib",
        "2.7.5.2",
        |kind| {
            let mut chain = vec![header()];
            chain.extend([data_at(kind, DATA.at(0), u32::MAX); 17]);
            chain.push(status());
            Chain::direct(chain)
        },
        STOPS_OR_FAILS,
    ),
    (
        "sum/one-buffer-of-4-gib",
        "5.2.6.1",
        |kind| Chain::direct([header(), data_at(kind, DATA.at(0), 0xffff_fe00), status()]),
        FAILS,
    ),
];

/// The device-readable part comes first.
const ORDER: &[Row] = &[
    (
        "order/readable-after-data",
        "2.7.4.2",
        |_| {
            Chain::direct([
                header(),
                data(VIRTIO_BLK_T_IN),
                Desc::read(MORE.at(0), SECTOR),
                status(),
            ])
        },
        STOPS_OR_FAILS,
    ),
    (
        "order/readable-last",
        "2.7.4.2",
        |kind| {
            Chain::direct([
                header(),
                data(kind),
                status(),
                Desc::read(MORE.at(0), SECTOR),
            ])
        },
        STOPS_OR_FAILS,
    ),
    (
        "order/status-first",
        "2.7.4.2",
        |kind| Chain::direct([status(), header(), data(kind)]),
        STOPS_OR_FAILS,
    ),
    (
        "order/status-before-data",
        "2.7.4.2",
        |_| Chain::direct([header(), status(), data(VIRTIO_BLK_T_OUT)]),
        STOPS_OR_FAILS,
    ),
    (
        "order/readable-last-in-a-table",
        "2.7.4.2",
        |kind| {
            Chain::indirect([
                header(),
                data(kind),
                status(),
                Desc::read(MORE.at(0), SECTOR),
            ])
        },
        STOPS_OR_FAILS,
    ),
];

/// Headers and statuses in any pieces, which a device must take, and ones that are not there.
const FRAMING: &[Row] = &[
    (
        "framing/one-byte-each",
        "2.7.4.1",
        |kind| {
            let bytes = |first: Desc, count: u32| {
                (0..count).map(move |i| Desc {
                    addr: first.addr + u64::from(i),
                    len: 1,
                    ..first
                })
            };
            let mut chain: Vec<Desc> = bytes(header(), HEADER_LEN).collect();
            chain.extend(bytes(data(kind), 32));
            chain.push(Desc {
                addr: data(kind).addr + 32,
                len: SECTOR - 32,
                ..data(kind)
            });
            chain.push(status());
            Chain::direct(chain)
        },
        &[Done],
    ),
    (
        "framing/buffers-of-no-bytes",
        "2.7.4.1",
        |kind| {
            Chain::direct([
                Desc::read(HEADER.at(0), 0),
                header(),
                Desc::read(0, 0),
                data(kind),
                Desc::write(0, 0),
                status(),
                Desc::write(u64::MAX, 0),
            ])
        },
        &[Done],
    ),
    (
        "framing/over-two-mappings",
        "2.7.4.1",
        |kind| Chain::direct([header(), data_at(kind, MORE.at(0) - 200, SECTOR), status()]),
        &[Done],
    ),
    (
        "framing/nine-sectors",
        "5.2.6",
        |kind| Chain::direct([header(), data_at(kind, DATA.at(7), 9 * SECTOR), status()]),
        &[Done],
    ),
    (
        "framing/descriptors-backwards",
        "2.7.5",
        |kind| Chain {
            ring: vec![status(), data(kind).then(0), header().then(1)],
            table: Vec::new(),
            head: 2,
        },
        &[Done],
    ),
    ("header/none", "5.2.6", |_| Chain::direct([status()]), FAILS),
    (
        "header/of-no-bytes",
        "5.2.6",
        |_| Chain::direct([Desc::read(HEADER.at(96), 0), status()]),
        FAILS,
    ),
    (
        "header/of-8-bytes",
        "5.2.6",
        |_| {
            Chain::direct([
                Desc::read(HEADER.at(96), 8),
                data(VIRTIO_BLK_T_IN),
                status(),
            ])
        },
        FAILS,
    ),
    (
        "header/of-15-bytes",
        "5.2.6",
        |_| {
            Chain::direct([
                Desc::read(HEADER.at(96), 15),
                data(VIRTIO_BLK_T_IN),
                status(),
            ])
        },
        FAILS,
    ),
    (
        "header/writable",
        "5.2.6",
        |kind| Chain::direct([header().with(WRITE), data(kind).with(WRITE), status()]),
        FAILS,
    ),
    (
        "status/none",
        "5.2.6",
        |_| Chain::direct([header(), data(VIRTIO_BLK_T_OUT)]),
        &[Stops],
    ),
    (
        "status/header-only",
        "5.2.6",
        |_| Chain::direct([header()]),
        &[Stops],
    ),
    (
        "status/readable",
        "5.2.6",
        |_| {
            Chain::direct([
                header(),
                data(VIRTIO_BLK_T_OUT),
                Desc::read(STATUS.at(77), 1),
            ])
        },
        &[Stops],
    ),
    (
        "status/of-no-bytes",
        "5.2.6",
        |_| {
            Chain::direct([
                header(),
                data(VIRTIO_BLK_T_OUT),
                Desc::write(STATUS.at(77), 0),
            ])
        },
        &[Stops],
    ),
];

/// What the available ring says.
const HEADS: &[Row] = &[
    (
        "head/is-the-size",
        "2.7.6",
        |_| Chain {
            head: RING_SIZE,
            ..Chain::default()
        },
        &[Stops],
    ),
    (
        "head/far-beyond",
        "2.7.6",
        |_| Chain {
            head: 0xffff,
            ..Chain::default()
        },
        &[Stops],
    ),
];

/// The case of a row, for reads or for writes.
pub fn case(row: &Row, word: &str, kind: u32) -> Case {
    let (name, section, chain, allowed) = row;

    Case::new(
        format!("{word}/{name}"),
        section,
        kind,
        chain(kind),
        allowed,
    )
    .features(FEATURES | INDIRECT_FEATURE)
}

/// All of them, for reads and for writes.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();

    for (word, kind) in [("read", VIRTIO_BLK_T_IN), ("write", VIRTIO_BLK_T_OUT)] {
        for rows in [LOOPS, SUMS, ORDER, FRAMING, HEADS] {
            cases.extend(rows.iter().map(|row| case(row, word, kind)));
        }
    }
    cases
}
