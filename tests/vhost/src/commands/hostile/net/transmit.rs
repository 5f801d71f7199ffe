// SPDX-License-Identifier: GPL-2.0

//! Frames to be sent: virtio 1.3, section 5.1.6.2.
//!
//! Nothing can be told of one, so what cannot be sent is given back like what was, and counted.

use std::process::Command;

use anyhow::{bail, ensure, Context, Result};
use checks::report::Report;
use vhost_client::iotlb::{RO, WO};
use vhost_client::session::INDIRECT as INDIRECT_FEATURE;

use super::super::bed::{Bed, End, PATIENCE, QUIET};
use super::super::chain::{Chain, Desc};
use super::super::layout::*;
use super::frames::*;
use super::Names;

/// What may become of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It comes back.
    Sent,
    /// It does not, and its buffers are given back.
    Dropped,
    /// The same, and it is counted as an error.
    Counted,
    /// The device stops.
    Stops,
    /// Nothing until what is missing is there; then it is sent.
    Waits,
}

use Outcome::*;

struct Case {
    name: String,
    section: &'static str,
    features: u64,
    chain: Chain,
    /// The length of the frame, and whether it has the tag of a VLAN.
    frame: (usize, bool),
    mapping: Mapping,
    allowed: Outcome,
}

/// Where a frame and its header are.
fn buffer(len: usize) -> Desc {
    Desc::read(DATA.at(100), HEADER_LEN + len as u32)
}

/// Chains in good order.
fn usable() -> Vec<(&'static str, Vec<Desc>, Outcome)> {
    let at = DATA.at(100);
    let whole = HEADER_LEN + FRAME_LEN as u32;
    let mut pieces: Vec<Desc> = (0..40).map(|i| Desc::read(at + i, 1)).collect();
    pieces.push(Desc::read(at + 40, whole - 40));

    vec![
        ("right", vec![buffer(FRAME_LEN)], Sent),
        (
            "header-apart",
            vec![
                Desc::read(at, HEADER_LEN),
                Desc::read(at + 64, whole - HEADER_LEN),
            ],
            Sent,
        ),
        ("in-pieces", pieces, Sent),
        (
            "no-bytes-between",
            vec![
                Desc::read(at, 20),
                Desc::read(0, 0),
                Desc::read(at + 64, whole - 20),
            ],
            Sent,
        ),
        (
            "over-two-mappings",
            vec![Desc::read(MORE.at(0) - 50, whole)],
            Sent,
        ),
        (
            "with-just-the-permission",
            vec![Desc::read(READ_ONLY.at(9), whole)],
            Sent,
        ),
        (
            "with-something-to-write",
            vec![buffer(FRAME_LEN), Desc::write(HEADER.at(0), 64)],
            Sent,
        ),
        ("of-no-bytes", vec![Desc::read(at, 0)], Counted),
        ("of-1-byte", vec![Desc::read(at, 1)], Counted),
        ("of-11-bytes", vec![Desc::read(at, 11)], Counted),
        ("of-a-header", vec![Desc::read(at, HEADER_LEN)], Counted),
        (
            "of-half-an-address",
            vec![Desc::read(at, HEADER_LEN + 3)],
            Counted,
        ),
        ("write-only", vec![Desc::write(at, whole)], Counted),
        ("absent", vec![Desc::read(HOLE, whole)], Counted),
        ("at-0", vec![Desc::read(0, whole)], Counted),
        ("half-absent", vec![Desc::read(HOLE - 60, whole)], Counted),
        (
            "address-absent",
            vec![Desc::read(HOLE - 12, whole)],
            Counted,
        ),
        (
            "second-half-absent",
            vec![Desc::read(at, 60), Desc::read(HOLE, 52)],
            Counted,
        ),
        (
            "forbidden",
            vec![Desc::read(WRITE_ONLY.at(9), whole)],
            Counted,
        ),
        (
            "half-forbidden",
            vec![Desc::read(WRITE_ONLY.at(0) - 60, whole)],
            Counted,
        ),
        ("of-4-gib", vec![Desc::read(at, u32::MAX)], Dropped),
    ]
}

/// Frames about as long as the MTU allows: virtio 1.3, section 5.1.4.1.
fn lengths(mtu: usize) -> [(&'static str, usize, bool, Outcome); 6] {
    [
        ("mtu", mtu + 14, false, Sent),
        ("mtu-with-a-tag", mtu + 18, true, Sent),
        ("one-more-with-a-tag", mtu + 19, true, Dropped),
        ("five-more", mtu + 19, false, Dropped),
        ("100-more", mtu + 114, false, Dropped),
        ("1000-more", mtu + 1014, false, Dropped),
    ]
}

fn cases(mtu: usize) -> Vec<Case> {
    let case = |name: String, section, chain, allowed| Case {
        name,
        section,
        features: FEATURES,
        chain,
        frame: (FRAME_LEN, false),
        mapping: Mapping::Right,
        allowed,
    };
    let mut cases: Vec<Case> = usable()
        .into_iter()
        .map(|(name, descs, allowed)| {
            case(
                format!("buffer/{name}"),
                "5.1.6.2",
                Chain::direct(descs),
                allowed,
            )
        })
        .collect();

    cases.extend(lengths(mtu).map(|(name, len, tagged, allowed)| Case {
        frame: (len, tagged),
        ..case(
            format!("length/{name}"),
            "5.1.4.1",
            Chain::direct([buffer(len)]),
            allowed,
        )
    }));
    cases.extend(
        broken(buffer(FRAME_LEN))
            .into_iter()
            .map(|(name, section, chain)| case(name.to_owned(), section, chain, Stops)),
    );
    cases.push(Case {
        features: FEATURES & !INDIRECT_FEATURE,
        ..case(
            "indirect/not-negotiated".into(),
            "2.7.5.3.1",
            without_tables(buffer(9)),
            Stops,
        )
    });
    for (name, place, perm) in [
        ("descriptors", desc_table(TX), WO),
        ("available-ring", avail_ring(TX), WO),
        ("used-ring", used_ring(TX), RO),
        ("indirect-table", TABLE, WO),
    ] {
        let chain = || match place == TABLE {
            true => Chain::indirect([buffer(FRAME_LEN)]),
            false => Chain::direct([buffer(FRAME_LEN)]),
        };

        cases.push(Case {
            mapping: Mapping::Absent(place),
            ..case(format!("{name}/absent"), "2.7.13", chain(), Waits)
        });
        cases.push(Case {
            mapping: Mapping::Only(place, perm),
            ..case(format!("{name}/forbidden"), "2.7.5", chain(), Stops)
        });
    }
    cases
}

/// Makes all checks of what is given to be sent.
pub fn run(bed: &mut Bed, names: &Names, report: &mut Report) {
    let mtu = match bed.session.device.config(10, 2) {
        Ok(bytes) => usize::from(u16::from_le_bytes([bytes[0], bytes[1]])),
        Err(error) => return report.check("hostile/net/mtu", Err(error)),
    };

    for case in cases(mtu) {
        let result = check(bed, names, &case);

        report.check(
            format_args!("hostile/net/transmit/{} ({})", case.name, case.section),
            result,
        );
    }
}

/// How many errors the device has counted in either direction, as `vdpa` of iproute2 has it.
fn errors(names: &Names) -> Result<u64> {
    let mut sum = 0;

    for queue in [RX, TX] {
        let output = Command::new("vdpa")
            .args([
                "dev",
                "vstats",
                "show",
                &names.device,
                "qidx",
                &queue.to_string(),
            ])
            .output()
            .context("vdpa")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut words = text.split_whitespace().skip_while(|word| *word != "errors");

        sum += words
            .nth(1)
            .with_context(|| format!("vdpa dev vstats show: {text:?}"))?
            .parse::<u64>()?;
    }
    Ok(sum)
}

fn check_counted(count: u64) -> Result<()> {
    ensure!(count == 1, "{count} errors are counted for it");
    Ok(())
}

fn check(bed: &mut Bed, names: &Names, case: &Case) -> Result<()> {
    bed.start(case.features, QUEUES)?;
    let mut hostile = frame(bed, 0, case.frame.0)?;
    let good = frame(bed, 1, FRAME_LEN)?;

    if case.frame.1 {
        // A tag of VLAN 5, and what it is in front of.
        hostile.splice(12..18, [0x81, 0, 0, 5, 8, 0]);
    }
    scatter(
        bed,
        &case.chain,
        &[&[0; HEADER_LEN as usize], &hostile[..]].concat(),
    )?;
    bed.remap(case.mapping)?;
    let before = match case.allowed {
        Counted => errors(names)?,
        _ => 0,
    };
    put_buffer(bed, 0)?;
    put_buffer(bed, 1)?;
    bed.publish(RX)?;
    bed.put(TX, &case.chain)?;
    put_frame(bed, 1, &good)?;
    bed.publish(TX)?;

    let result = judge(bed, case, &hostile, &good).and_then(|()| match case.allowed {
        Counted => check_counted(errors(names)? - before),
        _ => Ok(()),
    });
    let unharmed = bed.memory.check(&bed.writable(&[&buffers()]));
    let again = check_works(bed);

    result?;
    unharmed?;
    again.context("after a reset")
}

/// Puts bytes into the buffers that the device reads, and into those that it should.
fn scatter(bed: &mut Bed, chain: &Chain, bytes: &[u8]) -> Result<()> {
    let mut rest = bytes;

    for desc in chain.buffers() {
        let (now, later) = rest.split_at(rest.len().min(desc.len as usize));

        if (IOVA..IOVA + PAGES * PAGE - now.len() as u64).contains(&desc.addr) {
            bed.memory.write(desc.addr, now)?;
        }
        rest = later;
    }
    Ok(())
}

fn judge(bed: &mut Bed, case: &Case, hostile: &[u8], good: &[u8]) -> Result<()> {
    let (head, wanted) = (case.chain.head, case.allowed);
    let timeout = if wanted == Waits { QUIET } else { PATIENCE };
    let (mut end, mut outcome) = (bed.wait(TX, head, timeout)?, wanted);

    if let (End::Nothing, Mapping::Absent(place)) = (end, case.mapping) {
        bed.map(place, place.perm)?;
        end = bed.wait(TX, head, PATIENCE)?;
        outcome = Sent;
    } else {
        ensure!(wanted != Waits, "{end:?}, though something is not there");
    }
    match end {
        End::Nothing => bail!("nothing happens for {PATIENCE:?}, but {wanted:?} is right"),
        End::Stopped => {
            ensure!(
                wanted == Stops,
                "the device stopped, but {wanted:?} is right"
            );
            return bed.check_stopped(TX, head);
        }
        End::Returned(len) => {
            ensure!(wanted != Stops, "given back with length {len}");
            ensure!(len == 0, "{len} bytes of what was sent are written");
        }
    }
    take_frame(bed, 1)?;
    if outcome == Sent {
        check_buffer(bed, 0, hostile)?;
        check_buffer(bed, 1, good)
    } else {
        check_buffer(bed, 0, good).context("what should have been dropped came")
    }
}
