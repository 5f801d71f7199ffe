// SPDX-License-Identifier: GPL-2.0

//! Buffers to receive into: virtio 1.3, section 5.1.6.3.
//!
//! One that cannot take a frame is given back with length 0, which says all that there is to say;
//! the frame goes into the next.

use anyhow::{bail, ensure, Context, Result};
use checks::report::Report;
use vhost_client::iotlb::{RO, WO};
use vhost_client::session::INDIRECT as INDIRECT_FEATURE;

use super::super::bed::{Bed, End, PATIENCE, QUIET};
use super::super::chain::{Chain, Desc};
use super::super::layout::*;
use super::frames::*;

/// What may become of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The frame is in it.
    Filled,
    /// It is given back empty.
    Skipped,
    /// The device stops.
    Stops,
    /// Nothing until what is missing is there.
    Waits,
}

use Outcome::*;

struct Case {
    name: String,
    section: &'static str,
    features: u64,
    chain: Chain,
    mapping: Mapping,
    allowed: &'static [Outcome],
}

/// A buffer for frames at its place.
fn buffer() -> Desc {
    Desc::write(DATA.at(100), 1600)
}

fn whole(len: u32) -> u32 {
    HEADER_LEN + FRAME_LEN as u32 + len
}

/// Chains in good order.
fn usable() -> Vec<(&'static str, Vec<Desc>, &'static [Outcome])> {
    let at = DATA.at(100);
    let parts = |count: u32, len: u32| {
        (0..count)
            .map(|i| Desc::write(at + u64::from(i * len), len))
            .collect::<Vec<_>>()
    };
    let mut pieces = parts(40, 1);
    pieces.push(Desc::write(at + 40, 1000));

    vec![
        ("right", vec![buffer()], &[Filled]),
        ("just-enough", vec![Desc::write(at, whole(0))], &[Filled]),
        (
            "header-apart",
            vec![Desc::write(at, HEADER_LEN), Desc::write(at + 64, 500)],
            &[Filled],
        ),
        ("in-pieces", pieces, &[Filled]),
        (
            "no-bytes-between",
            vec![
                Desc::write(at, 20),
                Desc::write(0, 0),
                Desc::write(at + 64, 500),
            ],
            &[Filled],
        ),
        (
            "over-two-mappings",
            vec![Desc::write(MORE.at(0) - 50, 60), Desc::write(at, 500)],
            &[Filled],
        ),
        (
            "with-just-the-permission",
            vec![Desc::write(WRITE_ONLY.at(9), 500)],
            &[Filled],
        ),
        (
            "with-something-to-read",
            vec![Desc::read(HEADER.at(0), 64), buffer()],
            &[Filled, Skipped],
        ),
        (
            "read-only",
            vec![Desc {
                flags: 0,
                ..buffer()
            }],
            &[Skipped],
        ),
        ("of-no-bytes", vec![Desc::write(at, 0)], &[Skipped]),
        ("of-1-byte", vec![Desc::write(at, 1)], &[Skipped]),
        ("of-4-bytes", vec![Desc::write(at, 4)], &[Skipped]),
        ("of-a-header", vec![Desc::write(at, HEADER_LEN)], &[Skipped]),
        ("of-12-single-bytes", parts(12, 1), &[Skipped]),
        ("of-half-a-frame", vec![Desc::write(at, 60)], &[Skipped]),
        (
            "one-byte-short",
            vec![Desc::write(at, whole(0) - 1)],
            &[Skipped],
        ),
        ("absent", vec![Desc::write(HOLE, 1600)], &[Skipped]),
        ("at-0", vec![Desc::write(0, 1600)], &[Skipped]),
        (
            "half-absent",
            vec![Desc::write(HOLE - 60, 1600)],
            &[Skipped],
        ),
        (
            "second-half-absent",
            vec![Desc::write(at, 60), Desc::write(HOLE, 1600)],
            &[Skipped],
        ),
        (
            "header-absent",
            vec![Desc::write(HOLE, HEADER_LEN), buffer()],
            &[Skipped],
        ),
        (
            "forbidden",
            vec![Desc::write(READ_ONLY.at(9), 1600)],
            &[Skipped],
        ),
        (
            "half-forbidden",
            vec![Desc::write(READ_ONLY.at(0) - 60, 1600)],
            &[Skipped],
        ),
        (
            "end-is-absent",
            vec![Desc::write(HOLE - 200, 1600)],
            &[Filled, Skipped],
        ),
    ]
}

fn cases() -> Vec<Case> {
    let case = |name: String, section, chain, allowed| Case {
        name,
        section,
        features: FEATURES,
        chain,
        mapping: Mapping::Right,
        allowed,
    };
    let mut cases: Vec<Case> = usable()
        .into_iter()
        .map(|(name, descs, allowed)| {
            case(
                format!("buffer/{name}"),
                "5.1.6.3",
                Chain::direct(descs),
                allowed,
            )
        })
        .collect();

    cases.extend(
        broken(buffer())
            .into_iter()
            .map(|(name, section, chain)| case(name.to_owned(), section, chain, &[Stops])),
    );
    cases.push(Case {
        features: FEATURES & !INDIRECT_FEATURE,
        ..case(
            "indirect/not-negotiated".into(),
            "2.7.5.3.1",
            without_tables(buffer()),
            &[Stops],
        )
    });
    for (name, place, perm) in [
        ("descriptors", desc_table(RX), WO),
        ("available-ring", avail_ring(RX), WO),
        ("used-ring", used_ring(RX), RO),
        ("indirect-table", TABLE, WO),
    ] {
        let chain = || match place == TABLE {
            true => Chain::indirect([buffer()]),
            false => Chain::direct([buffer()]),
        };

        cases.push(Case {
            mapping: Mapping::Absent(place),
            ..case(format!("{name}/absent"), "2.7.13", chain(), &[Waits])
        });
        cases.push(Case {
            mapping: Mapping::Only(place, perm),
            ..case(format!("{name}/forbidden"), "2.7.5", chain(), &[Stops])
        });
    }
    cases
}

/// Makes all checks of what is given to receive into.
pub fn run(bed: &mut Bed, report: &mut Report) {
    for case in cases() {
        let result = check(bed, &case);

        report.check(
            format_args!("hostile/net/receive/{} ({})", case.name, case.section),
            result,
        );
    }
}

fn check(bed: &mut Bed, case: &Case) -> Result<()> {
    bed.start(case.features, QUEUES)?;
    let frames = [0, 1].map(|number| frame(bed, number, FRAME_LEN));
    let [first, second] = frames;
    let (first, second) = (first?, second?);

    bed.remap(case.mapping)?;
    bed.put(RX, &case.chain)?;
    put_buffer(bed, 0)?;
    put_buffer(bed, 1)?;
    bed.publish(RX)?;
    put_frame(bed, 0, &first)?;
    bed.publish(TX)?;

    let result = judge(bed, case, &first, &second);
    let unharmed = bed.memory.check(&bed.writable(&[&case.chain, &buffers()]));
    let again = check_works(bed);

    result?;
    unharmed?;
    again.context("after a reset")
}

fn judge(bed: &mut Bed, case: &Case, first: &[u8], second: &[u8]) -> Result<()> {
    let head = case.chain.head;
    let wanted = case.allowed;

    if let Mapping::Absent(place) = case.mapping {
        let end = bed.wait(RX, head, QUIET)?;
        ensure!(
            end == End::Nothing,
            "{end:?}, though {place:?} is not there"
        );
        bed.map(place, place.perm)?;
        put_frame(bed, 1, second)?;
        bed.publish(TX)?;
        let len = bed.expect(RX, head).context("what was missing is there")?;
        let filled = check_filled(bed, case, len, first);
        // The first may be lost, as there was nowhere to put it.
        return filled.or_else(|_| check_filled(bed, case, len, second));
    }
    match bed.wait(RX, head, PATIENCE)? {
        End::Nothing => bail!("nothing happens for {PATIENCE:?}, but {wanted:?} is right"),
        End::Stopped => {
            ensure!(
                wanted.contains(&Stops),
                "the device stopped, but {wanted:?} is right"
            );
            bed.check_stopped(RX, head)
        }
        End::Returned(len) => {
            take_frame(bed, 0)?;
            let (outcome, next) = match len {
                0 => (Skipped, [first, second]),
                _ => {
                    check_filled(bed, case, len, first)?;
                    (Filled, [second, second])
                }
            };
            ensure!(
                wanted.contains(&outcome),
                "{outcome:?}, but {wanted:?} is right"
            );
            put_frame(bed, 1, second)?;
            bed.publish(TX)?;
            take_frame(bed, 1)?;
            check_buffer(bed, 0, next[0])?;
            if outcome == Skipped {
                check_buffer(bed, 1, next[1])?;
            }
            Ok(())
        }
    }
}

/// Checks that a frame is in a chain.
fn check_filled(bed: &Bed, case: &Case, len: u32, frame: &[u8]) -> Result<()> {
    let mut found = Vec::new();

    for desc in case.chain.writable() {
        let more = desc.len.min(len - found.len() as u32);
        if more != 0 {
            found.extend(bed.memory.read(desc.addr, more)?);
        }
    }
    let wanted = [&RX_HEADER, frame].concat();
    ensure!(found == wanted, "{len} bytes came, which are not the frame");
    Ok(())
}
