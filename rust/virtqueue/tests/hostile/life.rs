// SPDX-License-Identifier: GPL-2.0

//! The life of one ring.

use checks::random::Random;
use virtqueue::{Ring, RingError, Segment, Split, SplitConfig, SplitState, Token, Uncompleted};

use super::counts::Counts;
use super::cursor::transfer;
use super::garbage;
use super::memory::{Access, Hostile, Malice, LEN};
use super::model::{rules, same, Model, Taken};
use super::walk::{Trace, Walked};

/// The most segments that a device provides for here.
const SEGMENTS: usize = 40;

/// A chain that was taken.
struct Held {
    token: Token,
    /// Where it was in the order of chains.
    index: u16,
    /// How much was written.
    written: u32,
    /// Whether it could not be given back the last time.
    failed: bool,
}

/// What is kept from one life to the next is storage and counts.
#[derive(Default)]
pub struct Life {
    pub counts: Counts,
    memory: Hostile,
    trace: Vec<Access>,
    held: Vec<Held>,
    /// Of a ring that is no more.
    stale: Vec<Token>,
}

/// A ring, and what it should be.
struct Pair {
    ring: Split,
    model: Model,
    limit: usize,
}

impl Life {
    /// One life, which the numbers decide.
    pub fn live(&mut self, random: &mut Random) {
        let base = random.pick(&[0x1000, 0x1000, 0, u64::MAX - (LEN as u64 - 1)]);
        let malice = Malice {
            changes: random.pick(&[0, 0, 10, 60, 250]),
            refusals: random.pick(&[0, 0, 0, 2, 20]),
        };

        let tame = random.below(4) == 0;
        let operations = if tame { 80 } else { 24 };

        self.memory.reset(base, malice, random.next());
        self.memory.tame.set(tame);
        self.held.clear();
        self.stale.clear();
        let config = garbage::config(random, &self.memory);
        let index = garbage::index(random);
        let Some(mut pair) = self.set_up(config, index, random) else {
            return;
        };
        garbage::fill(&self.memory, &config, index, random);

        for _ in 0..random.below(operations) {
            self.counts.note("operations");
            garbage::disturb(&self.memory, &pair.model, random);
            self.operate(&mut pair, random, malice);
            self.check(&pair);
        }
    }

    /// Sets a ring up, if its driver asks for what can be.
    fn set_up(&mut self, config: SplitConfig, index: u16, random: &mut Random) -> Option<Pair> {
        let broken = rules(&config);
        let mut ring = match Split::new(&config) {
            Err(error) => {
                assert!(broken.contains(&error), "{error}: {config:x?}");
                self.counts.setup(&error);
                return None;
            }
            Ok(ring) => ring,
        };

        assert!(broken.is_empty(), "{broken:x?}: {config:x?}");
        ring.set_state(SplitState { avail_index: index });
        Some(Pair {
            ring,
            model: Model::new(config, index),
            limit: random.index(SEGMENTS + 1),
        })
    }

    /// What can be seen of a ring at any time.
    fn check(&mut self, pair: &Pair) {
        let Pair { ring, model, .. } = pair;

        assert_eq!(ring.size(), model.size);
        assert_eq!(ring.broken(), model.broken);
        assert_eq!(ring.in_flight(), model.in_flight());
        assert!(ring.in_flight() <= ring.size());
        assert_eq!(ring.state().avail_index, model.popped);
        self.memory.take_trace(&mut self.trace);
        assert!(self.trace.is_empty(), "nothing of that is an access");
    }

    fn operate(&mut self, pair: &mut Pair, random: &mut Random, malice: Malice) {
        let choice = match pair.model.broken {
            // Nothing but a new start mends it.
            Some(_) if random.below(2) == 0 => 20,
            _ => random.below(32),
        };

        match choice {
            0..=11 => self.pop(pair, random, malice),
            12..=17 => self.complete(pair, random),
            18 if random.below(4) == 0 => self.give_up(pair),
            18 => self.unpop(pair),
            19 => self.stale(pair),
            20 => self.start_again(pair, random),
            21..=24 => {
                let result = pair.ring.publish(&self.memory);
                self.compare(result, |trace| pair.model.publish(trace));
            }
            25..=27 => {
                let result = pair.ring.needs_notification(&self.memory);
                self.compare(result, |trace| pair.model.needs_notification(trace));
                match (result, self.trace.is_empty()) {
                    (true, true) => self.counts.note("notified after a start"),
                    (true, false) => self.counts.note("notified"),
                    (false, false) => self.counts.note("not notified"),
                    (false, true) => (),
                }
            }
            28..=29 => {
                let result = pair.ring.enable_notifications(&self.memory);
                self.compare(result, |trace| pair.model.enable_notifications(trace));
            }
            _ => {
                let result = pair.ring.disable_notifications(&self.memory);
                self.compare(result, |trace| pair.model.disable_notifications(trace));
            }
        }
    }

    /// A result and the accesses on the way to it must be those of the model.
    fn compare<T: PartialEq + std::fmt::Debug>(
        &mut self,
        result: T,
        model: impl FnOnce(&mut Trace<'_>) -> T,
    ) {
        self.memory.take_trace(&mut self.trace);
        let mut trace = Trace::new(&self.trace);
        let expected = model(&mut trace);

        trace.end();
        assert_eq!(result, expected);
        assert!(self.trace.len() <= 4, "no loop");
    }

    fn pop(&mut self, pair: &mut Pair, random: &mut Random, malice: Malice) {
        let Pair { ring, model, limit } = pair;
        let mut storage = [Segment::EMPTY; SEGMENTS];
        let was_broken = model.broken.is_some();
        let popped = ring.pop(&self.memory, &mut storage[..*limit]);

        self.memory.take_trace(&mut self.trace);
        let mut trace = Trace::new(&self.trace);
        let expected = model.pop(&mut trace, *limit);
        trace.end();
        self.counts.more("accesses", self.trace.len() as u64);
        // An index, a head; descriptors until there is no room for more or all of a table was seen.
        let most = 2 + usize::from(model.size).min(*limit + 1) + *limit + 1;
        assert!(self.trace.len() <= most, "{} accesses", self.trace.len());

        same(&popped, &expected, model);
        match (popped, expected) {
            (Ok(Some(chain)), Taken::Chain(_, walked)) => {
                self.count_chain(&walked, malice);
                let (memory, trace) = (&self.memory, &mut self.trace);
                let written = transfer(memory, &chain, random, trace, &mut self.counts);
                assert!(u64::from(written) <= chain.writable_len());
                self.held.push(Held {
                    token: chain.into_token(),
                    index: model.popped.wrapping_sub(1),
                    written,
                    failed: false,
                });
            }
            (Ok(_), _) => self.counts.note("nothing there"),
            (Err(_), Taken::Unreadable(_)) => self.counts.note("descriptor not readable"),
            (Err(_), Taken::Refused(_)) if was_broken => {
                assert!(self.trace.is_empty(), "nothing more is looked at");
                self.counts.note("ring broken before");
            }
            (Err(error), _) => self.counts.refusal(&error),
        }
    }

    fn count_chain(&mut self, walked: &Walked, malice: Malice) {
        self.counts.note("chain");
        if walked.indirect {
            self.counts.note("chain through a table");
        }
        if malice.changes != 0 {
            self.counts.note("chain of a ring that changes");
        }
    }

    /// Gives back any of the chains that are there. One that is refused may be tried again.
    fn complete(&mut self, pair: &mut Pair, random: &mut Random) {
        if self.held.is_empty() {
            return;
        }
        let mut held = self.held.swap_remove(random.index(self.held.len()));
        let (head, written) = (held.token.id(), held.written);
        let broken = pair.ring.broken().is_some();
        let (token, result) = outcome(pair.ring.complete(&self.memory, held.token, written));

        self.compare(result, |trace| pair.model.complete(trace, head, written));
        match (result, token) {
            (Ok(()), None) => {
                self.counts.note("completed");
                if broken {
                    self.counts.note("completed though broken");
                }
                if held.failed {
                    self.counts.note("completed at another try");
                }
            }
            (Err(RingError::Fault(_) | RingError::Broken(_)), Some(token)) => {
                assert_eq!(token.id(), head);
                self.counts.note("used ring not writable");
                held.failed = true;
                self.held.push(Held { token, ..held });
            }
            other => panic!("{other:?}"),
        }
    }

    /// Puts the chain back that was taken last, which others are not.
    fn unpop(&mut self, pair: &mut Pair) {
        let Some(held) = self.held.pop() else {
            return;
        };
        let is_last = pair.model.is_last(held.index);

        match pair.ring.unpop(held.token) {
            Ok(()) => {
                assert!(is_last, "others were taken after it");
                pair.model.unpop();
                self.counts.note("put back");
            }
            Err(token) => {
                assert!(!is_last, "it was the last");
                self.held.push(Held { token, ..held });
            }
        }
    }

    /// Gives up on a chain.
    fn give_up(&mut self, pair: &mut Pair) {
        if let Some(held) = self.held.pop() {
            let head = held.token.id();

            pair.ring.give_up(held.token);
            pair.model.give_up(head, held.index);
            self.counts.note("given up");
        }
    }

    /// A token of an earlier life of the ring is worth nothing when no chain is in flight.
    fn stale(&mut self, pair: &mut Pair) {
        if pair.ring.in_flight() != 0 {
            return;
        }
        if let Some(token) = self.stale.pop() {
            let (token, result) = outcome(pair.ring.complete(&self.memory, token, 1));

            assert!(token.is_some());
            self.counts.note("token too old");
            self.compare(result, |trace| pair.model.complete(trace, 0, 1));
        }
    }

    /// The driver starts the ring elsewhere, or resets the device and sets up another.
    fn start_again(&mut self, pair: &mut Pair, random: &mut Random) {
        let stale = self.held.drain(..).map(|held| held.token);
        self.stale.extend(stale);

        if self.memory.tame.get() || random.below(2) == 0 {
            let index = match self.memory.tame.get() {
                true => pair.model.popped,
                false => garbage::index(random),
            };
            let config = pair.model.config;

            pair.ring.set_state(SplitState { avail_index: index });
            pair.model = Model::new(config, index);
            self.counts.note("started elsewhere");
        } else {
            let config = garbage::config(random, &self.memory);
            // The indices go on, as in a ring that is resized.
            let index = pair.model.popped;

            if let Some(new) = self.set_up(config, index, random) {
                *pair = new;
                garbage::fill(&self.memory, &config, index, random);
                self.counts.note("set up again");
            } else {
                let index = pair.ring.state();
                pair.ring.set_state(index);
                pair.model = Model::new(pair.model.config, index.avail_index);
            }
        }
    }
}

/// The token, if it was handed back, and what there is to compare.
fn outcome(result: Result<(), Uncompleted>) -> (Option<Token>, Result<(), RingError>) {
    match result {
        Ok(()) => (None, Ok(())),
        Err(Uncompleted { token, error }) => (Some(token), Err(error)),
    }
}
