// SPDX-License-Identifier: GPL-2.0

//! Sessions: one with hostile rings, and an ordinary one after it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{anyhow, ensure, Context, Result};
use checks::random::Random;
use vhost_client::iotlb::Message;
use vhost_client::memory::Kind as Pages;
use vhost_client::session::{Session, EVENT_IDX, INDIRECT};
use vhost_client::traffic::{self, Running};
use vhost_client::uapi::{backend, status::NEEDS_RESET, VHOST_VDPA_GET_VQS_COUNT};

use super::arena::Arena;
use super::disturb::{Surroundings, ALL};
use super::queue::{Queue, Setup};
use super::request::Kind;
use super::{count, Counts};

/// Times that chains are offered, with one set-up of the rings.
const OFFERS: u64 = 60;
/// The same with chains that are as long as they can be.
const LONG_OFFERS: u64 = 6;
/// After so many of them it is looked whether the device has had enough.
const LOOK: u64 = 8;
/// Set-ups in a session, at most.
const SETUPS: u64 = 4;
/// Things that are done in an ordinary session.
const ORDINARY: usize = 8;

/// The virtio id of a network device.
const NET: u32 = 1;

/// What a session is like: all of it follows from these numbers, but for what comes of threads.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    seed: u64,
    event_idx: bool,
    indirect: bool,
    /// Features of the device itself that are not accepted.
    without: u64,
    shared: bool,
    /// Which of [`ALL`] there are.
    disturbed: u8,
    /// Chains are as long as they can be.
    long: bool,
    /// Ordinary work is done in the same session, and otherwise in another.
    same_session: bool,
    setups: u64,
}

impl Plan {
    /// A plan.
    pub fn new(random: &mut Random) -> Self {
        let long = random.below(8) == 0;

        Self {
            seed: random.next(),
            event_idx: random.below(2) == 0,
            indirect: long || random.below(3) != 0,
            without: match random.below(3) {
                0 => random.next(),
                _ => 0,
            },
            shared: random.below(2) == 0,
            // None at all now and then, so that it is known to be the rings.
            disturbed: random.next() as u8 & random.pick(&[0, 0xff, 0xff]),
            long,
            same_session: random.below(2) == 0,
            setups: if long { 1 } else { 1 + random.below(SETUPS) },
        }
    }

    fn pages(&self) -> Pages {
        match self.shared {
            true => Pages::File,
            false => Pages::Anonymous,
        }
    }

    fn ring_features(&self) -> u64 {
        let some = |wanted, feature| if wanted { feature } else { 0 };

        some(self.event_idx, EVENT_IDX) | some(self.indirect, INDIRECT)
    }
}

/// A session with hostile rings, which stays open.
pub fn hostile(path: &str, plan: &Plan, counts: &Counts) -> Result<Session> {
    let mut random = Random::new(plan.seed);
    let mut session = Session::open(path)?;
    let arena = Arena::new(plan.pages())?;

    for _ in 0..plan.setups {
        start(&mut session, plan, &arena, counts, &mut random)?;
        clear(&session)?;
    }
    Ok(session)
}

/// Resets a device and takes all memory from it.
fn clear(session: &Session) -> Result<()> {
    session.device.set_status(0).context("the reset")?;
    // Fails where nothing is mapped.
    let _ = session
        .device
        .send(&Message::invalidate(0, 0, 1 << 40))
        .or_else(|_| session.device.send(&Message::invalidate(0, 0, 0)));
    Ok(())
}

/// Everything from the negotiation to the last chain.
fn start(
    session: &mut Session,
    plan: &Plan,
    arena: &Arena,
    counts: &Counts,
    random: &mut Random,
) -> Result<()> {
    let offered = session.device.features()?;
    let own = offered & !(EVENT_IDX | INDIRECT);

    session.negotiate(own & !plan.without | plan.ring_features(), backend::ALL)?;
    arena.map(&session.device)?;
    let net = session.id()? == NET;
    let mut queues = (0..session.device.number(VHOST_VDPA_GET_VQS_COUNT)?)
        .map(|index| {
            let setup = Setup::new(index, plan.long, random);
            let mut queue = Queue::new(setup, Kind::of(net, index), plan.indirect, plan.long)?;

            queue.set_up(&session.device, arena)?;
            Ok(queue)
        })
        .collect::<Result<Vec<_>>>()?;
    if let Err(error) = session.start() {
        let refused = session.device.status()? & NEEDS_RESET != 0;

        // It may not be able to use what is mapped, and says so.
        ensure!(refused, error);
        count(&counts.broken);
        return Ok(());
    }

    let around = Surroundings {
        device: session.device.try_clone()?,
        arena,
        queues: queues
            .iter()
            .map(|queue| {
                let Setup { index, size, .. } = queue.setup;
                Ok((index, size, queue.kick.try_clone()?))
            })
            .collect::<Result<_>>()?,
        counts,
        stop: AtomicBool::new(false),
    };

    thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(ALL)
            .filter(|(bit, _)| plan.disturbed & (1 << bit) != 0)
            .map(|(_, disturb)| {
                let around = &around;
                let mut random = Random::new(random.next());

                scope.spawn(move || disturb(around, &mut random))
            })
            .collect();
        let offers = if plan.long { LONG_OFFERS } else { OFFERS };
        let result = offer(session, arena, &mut queues, offers, counts, random);

        around.stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread
                .join()
                .map_err(|_| anyhow!("a thread that disturbs panicked"))??;
        }
        result
    })
}

/// Offers chains until the device has had enough.
fn offer(
    session: &Session,
    arena: &Arena,
    queues: &mut [Queue],
    offers: u64,
    counts: &Counts,
    random: &mut Random,
) -> Result<()> {
    for round in 0..offers {
        let at = random.index(queues.len());

        queues[at].offer(arena, random, counts)?;
        // Whatever the device is doing, it does not keep others waiting for long.
        let begin = Instant::now();
        let status = session.device.status()?;
        counts.wait(begin.elapsed());
        if round % LOOK == LOOK - 1 && status & NEEDS_RESET != 0 {
            count(&counts.broken);
            break;
        }
    }
    Ok(())
}

/// Ordinary work: in the session that was hostile, or in one of its own.
pub fn ordinary(path: &str, plan: &Plan, session: Option<Session>) -> Result<()> {
    let session = session.context("there was no session")?;
    let session = match plan.same_session {
        true => session.again()?,
        false => {
            drop(session);
            Session::open(path)?
        }
    };
    let wanted = plan.ring_features() & session.device.features()?;

    ensure!(session.device.status()? == 0, "it is not reset");
    let mut running = Running::prepare(session, plan.pages(), wanted, backend::ALL)?;
    running.session.start()?;
    running
        .traffic
        .prove(plan.seed, ORDINARY)
        .context("ordinary work")?;
    // Nothing but what this session has given it was used.
    let features = traffic::features(&running.session)?;
    ensure!(
        running.session.features & features == features,
        "other features"
    );
    Ok(())
}
