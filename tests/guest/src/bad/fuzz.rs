// SPDX-License-Identifier: GPL-2.0

//! Random messages: whatever they are, the kernel answers, and works as before afterwards.

use anyhow::{ensure, Context, Result};

use super::checker::Checker;
use super::subject::{Subject, ADDRESS, REQUESTS};
use crate::netlink::mutation::mutate;
use crate::netlink::{Client, DUMP};
use crate::random::Random;
use crate::report::Report;
use crate::vdpa::schema::{attribute, command};
use crate::vdpa::shape;

/// How many messages may pass before what they made is removed.
const BATCH: u64 = 64;

/// What came of the messages.
#[derive(Default)]
struct Tally {
    answered: u64,
    refused: u64,
    silent: u64,
}

/// Sends `count` messages derived from `seed`.
pub fn run(checker: &mut Checker<'_>, report: &mut Report, count: u64, seed: u64) -> Result<()> {
    let name = format!("fuzz/seed-{seed}");

    if count == 0 || !checker.wants(&name) {
        return Ok(());
    }
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    let good = good_messages(checker.subject);
    let mut verdict = Ok(());

    for index in 0..count {
        let mut message = good[random.index(good.len())].clone();

        mutate(&mut random, &mut message);
        verdict = send(&message, checker.subject.family, &mut tally)
            .with_context(|| format!("message {index}, which is {message:02x?}"));
        if verdict.is_err() {
            break;
        }
        if index % BATCH == BATCH - 1 {
            // What the messages could do is done: that they were obeyed is no fault.
            checker
                .repair()
                .with_context(|| format!("after message {index} of seed {seed}"))?;
        }
    }
    checker.repair().context("after the last message")?;
    report.note(format_args!(
        "of {count} messages of seed {seed}, {} were answered, {} refused and {} not answered",
        tally.answered, tally.refused, tally.silent
    ));
    checker.report(report, &name, verdict)?;

    let verdict = REQUESTS
        .iter()
        .filter(|request| request.command != command::DEV_DEL)
        .try_for_each(|request| good_again(checker, request));
    checker.report(report, "fuzz/works-as-before", verdict)
}

/// Messages to begin with: everything that the family understands, about things that are there.
fn good_messages(subject: &Subject) -> Vec<Vec<u8>> {
    let other = "fuzz";
    let mut messages: Vec<_> = REQUESTS
        .iter()
        .filter(|request| request.command != command::DEV_DEL)
        .map(|request| subject.good(request).finish(1))
        .collect();

    messages.push(
        subject
            .new_device(other)
            .attribute(attribute::DEV_NET_CFG_MACADDR, &ADDRESS)
            .attribute(attribute::DEV_NET_CFG_MTU, &1500u16.to_ne_bytes())
            .attribute(attribute::DEV_NET_CFG_MAX_VQP, &1u16.to_ne_bytes())
            .attribute(attribute::DEV_FEATURES, &subject.features.to_ne_bytes())
            .finish(1),
    );
    messages.push(
        subject
            .request(command::DEV_DEL)
            .string(attribute::DEV_NAME, other)
            .finish(1),
    );
    messages.push(
        subject
            .request(command::DEV_CONFIG_GET)
            .with_flags(DUMP)
            .string(attribute::DEV_NAME, &subject.device)
            .finish(1),
    );
    messages
}

/// Sends one message on a socket of its own, and fails if the answer makes no sense.
fn send(message: &[u8], family: u16, tally: &mut Tally) -> Result<()> {
    let answers = Client::open()?.provoke(message)?;
    let mut refused = false;

    for answer in &answers {
        refused |= shape::judge(answer, family)? != 0;
    }
    match (answers.is_empty(), refused) {
        (true, _) => tally.silent += 1,
        (false, true) => tally.refused += 1,
        (false, false) => tally.answered += 1,
    }
    Ok(())
}

/// Fails if a good request is not answered as it was in the beginning.
fn good_again(checker: &mut Checker<'_>, request: &super::subject::Request) -> Result<()> {
    let subject = checker.subject;

    match request.command {
        command::DEV_NEW => {
            let name = subject.free_name();
            let parent = crate::vdpa::family::Parent {
                bus: None,
                name: &subject.mgmtdev,
            };

            checker.family.add(&parent, &name)?;
            checker.family.remove(&name)
        }
        command::DEV_ATTR_SET => super::meaning::set_address(checker, &ADDRESS),
        command::DEV_VSTATS_GET if !subject.negotiated => Ok(()),
        _ => {
            let answer = checker.family.client.ask(&subject.good(request))?;

            ensure!(
                answer.end == crate::netlink::End::Done,
                "{}: {}",
                request.name,
                crate::vdpa::family::describe(&answer)
            );
            Ok(())
        }
    }
}
