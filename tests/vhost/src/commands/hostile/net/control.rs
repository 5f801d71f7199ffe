// SPDX-License-Identifier: GPL-2.0

//! Commands: virtio 1.3, section 5.1.6.5.

use anyhow::{bail, ensure, Context, Result};
use checks::report::Report;
use vhost_client::iotlb::{RO, WO};
use vhost_client::net;
use virtio_bindings::virtio_net::*;

use super::super::bed::{Bed, End, PATIENCE, QUIET};
use super::super::chain::{Chain, Desc};
use super::super::layout::*;
use super::frames::*;

/// What may become of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is carried out, and says so.
    Done,
    /// VIRTIO_NET_ERR, and nothing is changed.
    Refused,
    /// The device stops, and nothing is changed.
    Stops,
    /// Nothing until the place is there. Then it is done.
    Waits,
}

use Outcome::*;

struct Case {
    name: String,
    section: &'static str,
    features: u64,
    command: Vec<u8>,
    chain: Chain,
    mapping: Mapping,
    allowed: &'static [Outcome],
}

/// What the address is set to.
const ADDRESS: net::Mac = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];

/// Another one.
const OTHER: net::Mac = [0x02, 0x11, 0x22, 0x33, 0x44, 0x66];

const CLASS: u8 = VIRTIO_NET_CTRL_MAC as u8;
const SET: u8 = VIRTIO_NET_CTRL_MAC_ADDR_SET as u8;

fn set(address: &[u8]) -> Vec<u8> {
    [&[CLASS, SET], address].concat()
}

/// A command that is in one buffer, of so many bytes, with an acknowledgement.
fn chain(len: usize) -> Chain {
    Chain::direct([command(len), ack()])
}

fn command(len: usize) -> Desc {
    Desc::read(HEADER.at(33), len as u32)
}

fn ack() -> Desc {
    Desc::write(STATUS.at(55), 1)
}

fn case(
    name: impl Into<String>,
    section: &'static str,
    command: Vec<u8>,
    allowed: &'static [Outcome],
) -> Case {
    Case {
        name: name.into(),
        section,
        features: FEATURES,
        chain: chain(command.len()),
        command,
        mapping: Mapping::Right,
        allowed,
    }
}

/// Commands in good order.
fn contents(cases: &mut Vec<Case>) {
    let rows: [(&str, Vec<u8>, &'static [Outcome]); 19] = [
        ("right", set(&ADDRESS), &[Done]),
        ("address-of-no-bytes", set(&[]), &[Refused]),
        ("address-of-1-byte", set(&ADDRESS[..1]), &[Refused]),
        ("address-of-5-bytes", set(&ADDRESS[..5]), &[Refused]),
        (
            "address-of-7-bytes",
            set(&[&ADDRESS[..], &[7]].concat()),
            &[Refused],
        ),
        (
            "address-of-12-bytes",
            set(&[ADDRESS, ADDRESS].concat()),
            &[Refused],
        ),
        ("address-of-3000-bytes", set(&[2; 3000]), &[Refused]),
        ("address-multicast", set(&[3, 1, 2, 3, 4, 5]), &[Refused]),
        ("address-broadcast", set(&[0xff; 6]), &[Refused]),
        ("no-bytes", Vec::new(), &[Refused]),
        ("class-only", vec![CLASS], &[Refused]),
        (
            "mac-table",
            vec![CLASS, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[Refused],
        ),
        ("mac-2", [&[CLASS, 2], &ADDRESS[..]].concat(), &[Refused]),
        (
            "mac-255",
            [&[CLASS, 255], &ADDRESS[..]].concat(),
            &[Refused],
        ),
        ("promiscuous", vec![0, 0, 1], &[Refused]),
        ("vlan", vec![2, 0, 1, 0], &[Refused]),
        ("pairs", vec![4, 0, 1, 0], &[Refused]),
        (
            "class-100",
            [&[100, SET], &ADDRESS[..]].concat(),
            &[Refused],
        ),
        (
            "class-255",
            [&[255, 255], &ADDRESS[..]].concat(),
            &[Refused],
        ),
    ];

    cases.extend(rows.map(|(name, command, allowed)| {
        case(format!("command/{name}"), "5.1.6.5", command, allowed)
    }));
    cases.push(Case {
        features: FEATURES & !(1 << VIRTIO_NET_F_CTRL_MAC_ADDR),
        ..case(
            "command/not-negotiated",
            "5.1.6.5.2",
            set(&ADDRESS),
            &[Refused],
        )
    });
}

/// Commands and acknowledgements in unusual buffers.
fn framing(cases: &mut Vec<Case>) {
    let at = HEADER.at(33);
    let bytes = (0..8).map(|i| Desc::read(at + i, 1)).chain([ack()]);
    let rows: [(&str, Chain, &'static [Outcome]); 12] = [
        ("one-byte-each", Chain::direct(bytes), &[Done]),
        (
            "ack-of-9-bytes",
            Chain::direct([command(8), Desc::write(STATUS.at(55), 9)]),
            &[Done],
        ),
        ("indirect", Chain::indirect([command(8), ack()]), &[Done]),
        ("ack-none", Chain::direct([command(8)]), &[Stops]),
        (
            "ack-of-no-bytes",
            Chain::direct([command(8), Desc::write(STATUS.at(55), 0)]),
            &[Stops],
        ),
        (
            "ack-readable",
            Chain::direct([command(8), Desc::read(STATUS.at(55), 1)]),
            &[Stops],
        ),
        (
            "ack-in-read-only-memory",
            Chain::direct([command(8), Desc::write(READ_ONLY.at(3), 1)]),
            &[Stops],
        ),
        (
            "ack-first",
            Chain::direct([ack(), command(8)]),
            &[Stops, Refused],
        ),
        (
            "command-absent",
            Chain::direct([Desc::read(HOLE, 8), ack()]),
            &[Refused],
        ),
        (
            "command-half-absent",
            Chain::direct([Desc::read(HOLE - 5, 8), ack()]),
            &[Refused],
        ),
        (
            "command-forbidden",
            Chain::direct([Desc::read(WRITE_ONLY.at(3), 8), ack()]),
            &[Refused],
        ),
        (
            "command-writable",
            Chain::direct([Desc::write(at, 8), ack()]),
            &[Refused],
        ),
    ];

    cases.extend(rows.map(|(name, chain, allowed)| Case {
        chain,
        ..case(format!("buffer/{name}"), "5.1.6.5", set(&ADDRESS), allowed)
    }));
    cases.extend(
        broken(command(40))
            .into_iter()
            .map(|(name, section, chain)| Case {
                chain,
                ..case(name, section, set(&ADDRESS), &[Stops])
            }),
    );
}

/// Places that are not there, or not for this.
fn places(cases: &mut Vec<Case>) {
    for (name, place, perm) in [
        ("descriptors", desc_table(CVQ), WO),
        ("available-ring", avail_ring(CVQ), WO),
        ("used-ring", used_ring(CVQ), RO),
        ("indirect-table", TABLE, WO),
        ("ack", STATUS, RO),
    ] {
        let with = |mapping, what: &str, allowed| Case {
            chain: match place == TABLE {
                true => Chain::indirect([command(8), ack()]),
                false => chain(8),
            },
            mapping,
            ..case(format!("{name}/{what}"), "5.1.6.5", set(&ADDRESS), allowed)
        };

        cases.push(with(Mapping::Absent(place), "absent", &[Waits]));
        cases.push(with(Mapping::Only(place, perm), "forbidden", &[Stops]));
    }
}

/// Makes all checks of commands.
pub fn run(bed: &mut Bed, report: &mut Report) {
    let mut cases = Vec::new();

    contents(&mut cases);
    framing(&mut cases);
    places(&mut cases);
    for case in cases {
        let result = check(bed, &case);

        report.check(
            format_args!("hostile/net/control/{} ({})", case.name, case.section),
            result,
        );
    }
}

/// Has the device set its address by an ordinary command.
pub fn set_address(bed: &mut Bed, address: net::Mac) -> Result<()> {
    bed.start(FEATURES, QUEUES)?;
    bed.memory.write(command(8).addr, &set(&address))?;
    bed.put(CVQ, &chain(8))?;
    bed.publish(CVQ)?;
    bed.expect(CVQ, 0)?;
    let found = net::mac(&bed.session)?;
    ensure!(
        found == address,
        "after a command to change it the address is {found:x?}"
    );
    Ok(())
}

fn check(bed: &mut Bed, case: &Case) -> Result<()> {
    if net::mac(&bed.session)? == ADDRESS {
        // What the last case has set, if a reset does not end that.
        set_address(bed, OTHER)?;
    }
    bed.start(case.features, QUEUES)?;
    let own = net::mac(&bed.session)?;

    let mut rest = &case.command[..];
    for desc in case.chain.readable() {
        let (now, later) = rest.split_at(rest.len().min(desc.len as usize));

        if (IOVA..IOVA + (PAGES - 1) * PAGE).contains(&desc.addr) {
            bed.memory.write(desc.addr, now)?;
        }
        rest = later;
    }
    bed.remap(case.mapping)?;
    bed.put(CVQ, &case.chain)?;
    bed.publish(CVQ)?;

    let result = judge(bed, case, own);
    let unharmed = bed.memory.check(&bed.writable(&[&case.chain]));
    let again = check_works(bed);

    result?;
    unharmed?;
    again.context("after a reset")
}

fn judge(bed: &mut Bed, case: &Case, own: net::Mac) -> Result<()> {
    let (head, wanted) = (case.chain.head, case.allowed);
    let timeout = if wanted == [Waits] { QUIET } else { PATIENCE };
    let mut end = bed.wait(CVQ, head, timeout)?;
    let mut waited = false;

    if let (End::Nothing, Mapping::Absent(place)) = (end, case.mapping) {
        let now = net::mac(&bed.session)?;
        ensure!(now == own, "carried out, though it is not acknowledged");
        bed.map(place, place.perm)?;
        end = bed.wait(CVQ, head, PATIENCE)?;
        waited = true;
    }
    let (outcome, address) = match end {
        End::Nothing => bail!("nothing happens for {PATIENCE:?}, but {wanted:?} is right"),
        End::Stopped => (Stops, own),
        End::Returned(len) => {
            let ack = case.chain.writable().find(|desc| desc.len != 0);
            let ack = ack
                .with_context(|| format!("given back with length {len} and no acknowledgement"))?;
            let written = bed.memory.written(ack.addr, ack.len)?;

            ensure!(
                len <= written,
                "{len} bytes are said to be written, but {written} are"
            );
            match bed.memory.answer(ack.addr)?.map(u32::from) {
                Some(VIRTIO_NET_OK) => (Done, ADDRESS),
                Some(VIRTIO_NET_ERR) => (Refused, own),
                other => bail!("given back with length {len} and acknowledgement {other:?}"),
            }
        }
    };
    let now = net::mac(&bed.session)?;
    ensure!(now == address, "{outcome:?}, and the address is {now:x?}");

    let outcome = match outcome {
        Done if waited => Waits,
        other => other,
    };
    ensure!(
        wanted.contains(&outcome),
        "{outcome:?}, but {wanted:?} is right"
    );
    if outcome == Stops {
        bed.check_stopped(CVQ, head)?;
    }
    Ok(())
}
