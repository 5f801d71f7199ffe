// SPDX-License-Identifier: GPL-2.0

//! Every ring of one and of two entries.
//!
//! All combinations of flags and `next` with addresses and lengths of each kind, in the ring's own
//! table and in an indirect one; all available indices and all heads, wherever the ring stands; all
//! orders of the operations. Each is compared with the model, access by access.

use std::thread;

use virtqueue::{Ring, RingError, Segment, Split, SplitConfig, SplitState, Token, Uncompleted};

use super::memory::{Access, Hostile, Kind, Malice, READ, WRITE};
use super::model::{same, Model};
use super::walk::Trace;

const BASE: u64 = 0x1_0000;
/// An indirect table, which a page of its own holds.
const TABLE: u64 = BASE + 0x400;
const DATA: u64 = BASE + 0x800;
/// What can be written and not be read, and the page's number.
const WRITE_ONLY: u64 = BASE + 0x1000;
const WRITE_ONLY_PAGE: usize = 0x10;

/// Buffers, tables, what is not there, what is not permitted, and what is at the very end.
const ADDRESSES: [u64; 5] = [DATA, TABLE, 0x10, WRITE_ONLY, u64::MAX - 15];
/// Nothing, up to three descriptors, no number of them, too many, and as long as can be.
const LENGTHS: [u32; 7] = [0, 16, 32, 48, 17, 0x10_0010, u32::MAX];
/// Two that may be in the table, and two that are not.
const NEXT: [u16; 4] = [0, 1, 2, 0xffff];
/// Buffers that there is room for.
const LIMITS: [usize; 3] = [0, 1, 4];

/// The page that the used ring is in.
const USED_PAGE: usize = 2;

type Bytes = [u8; 16];

/// All descriptors of those: 1120.
fn descriptors() -> Vec<Bytes> {
    let mut all = Vec::new();

    for flags in 0..8u16 {
        for next in NEXT {
            for addr in ADDRESSES {
                for len in LENGTHS {
                    all.push(descriptor(addr, len, flags, next));
                }
            }
        }
    }
    all
}

fn descriptor(addr: u64, len: u32, flags: u16, next: u16) -> Bytes {
    let high = u64::from(len) | (u64::from(flags) << 32) | (u64::from(next) << 48);

    (u128::from(addr) | (u128::from(high) << 64)).to_le_bytes()
}

/// A chain that was taken, and where it was in the order of chains.
struct Held {
    token: Token,
    index: u16,
}

/// A ring, its memory, and what it should be.
struct Small {
    memory: Hostile,
    config: SplitConfig,
    ring: Split,
    model: Model,
    trace: Vec<Access>,
    held: Vec<Held>,
}

impl Small {
    fn new(size: u32, event_idx: bool, indirect: bool) -> Self {
        let config = SplitConfig {
            size,
            desc: BASE,
            avail: BASE + 0x100,
            used: BASE + 0x200,
            event_idx,
            indirect,
        };
        let memory = Hostile::default();

        memory.reset(BASE, Malice::default(), 0);
        memory.poke(BASE, &[0; 0x1000]);
        memory.allow(WRITE_ONLY_PAGE, WRITE);
        Self {
            memory,
            config,
            ring: Split::new(&config).unwrap(),
            model: Model::new(config, 0),
            trace: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Starts it at an index.
    fn start(&mut self, index: u16) {
        self.ring.set_state(SplitState { avail_index: index });
        self.model = Model::new(self.config, index);
        self.held.clear();
    }

    fn place(&self, table: u64, index: u64, bytes: &Bytes) {
        self.memory.poke(table + 16 * index, bytes);
    }

    fn set_head(&self, slot: u16, head: u16) {
        let slot = u64::from(slot % self.model.size);

        self.memory
            .poke(self.config.avail + 4 + 2 * slot, &head.to_le_bytes());
    }

    fn set_available(&self, index: u16) {
        self.memory
            .poke(self.config.avail + 2, &index.to_le_bytes());
    }

    /// What was done, and what the model does with it, must be the same.
    fn compare<T: PartialEq + std::fmt::Debug>(
        &mut self,
        result: T,
        model: impl FnOnce(&mut Model, &mut Trace<'_>) -> T,
    ) {
        self.memory.take_trace(&mut self.trace);
        let mut trace = Trace::new(&self.trace);
        let expected = model(&mut self.model, &mut trace);

        trace.end();
        assert_eq!(result, expected);
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.ring.broken(), self.model.broken);
        assert_eq!(self.ring.in_flight(), self.model.in_flight());
        assert_eq!(self.ring.state().avail_index, self.model.popped);
    }

    /// Takes a chain, if there is one, and says whether it was good.
    fn pop(&mut self, limit: usize) -> bool {
        let mut storage = [Segment::EMPTY; 4];
        let popped = self.ring.pop(&self.memory, &mut storage[..limit]);

        self.memory.take_trace(&mut self.trace);
        let mut trace = Trace::new(&self.trace);
        let expected = self.model.pop(&mut trace, limit);
        trace.end();
        same(&popped, &expected, &mut self.model);
        let token = popped.ok().flatten().map(|chain| chain.into_token());
        let index = self.model.popped.wrapping_sub(1);
        let good = token.is_some();
        self.held.extend(token.map(|token| Held { token, index }));
        self.check();
        good
    }

    /// Whether the operation before looked at something.
    fn has_read(&self, addr: u64) -> bool {
        let mut accesses = self.trace.iter();

        accesses.any(|access| access.kind == Kind::Read && access.addr == addr)
    }

    /// Gives a chain back.
    fn complete(&mut self, which: usize) {
        if which >= self.held.len() {
            return;
        }
        let Held { token, index } = self.held.remove(which);
        let (head, written) = (token.id(), 3);
        let result = match self.ring.complete(&self.memory, token, written) {
            Ok(()) => Ok(()),
            Err(Uncompleted { token, error }) => {
                assert_eq!(token.id(), head);
                self.held.insert(which, Held { token, index });
                Err(error)
            }
        };

        self.compare(result, |model, trace| model.complete(trace, head, written));
    }

    fn publish(&mut self) {
        let result = self.ring.publish(&self.memory);

        self.compare(result, |model, trace| model.publish(trace));
    }

    fn decide(&mut self) {
        let result = self.ring.needs_notification(&self.memory);

        self.compare(result, |model, trace| model.needs_notification(trace));
    }

    fn enable(&mut self) -> Result<bool, RingError> {
        let result = self.ring.enable_notifications(&self.memory);

        self.compare(result, |model, trace| model.enable_notifications(trace));
        result
    }

    fn disable(&mut self) {
        let result = self.ring.disable_notifications(&self.memory);

        self.compare(result, |model, trace| model.disable_notifications(trace));
    }
}

/// Takes the chain that is there, with all that there may be room for, and says whether anything
/// was at this address for it.
fn take(small: &mut Small, counts: &mut [u64; 2], addr: u64) -> bool {
    let mut read = false;

    for limit in LIMITS {
        small.start(0);
        counts[usize::from(small.pop(limit))] += 1;
        read |= small.has_read(addr);
        small.complete(0);
        small.publish();
    }
    read
}

/// Every ring whose first descriptor is one of these.
fn own_tables(size: u32, indirect: bool, first: &[Bytes]) -> [u64; 2] {
    let mut small = Small::new(size, false, indirect);
    let second = descriptors();
    let mut counts = [0; 2];

    // A table with one that is good, and one that is not.
    small.place(TABLE, 0, &descriptor(DATA, 16, 3, 1));
    small.place(TABLE, 1, &descriptor(DATA, 32, 0, 0));
    small.set_available(1);
    for head in 0..size as u16 {
        small.set_head(0, head);
        for first in first {
            small.place(BASE, 0, first);
            for second in &second[..if size == 1 { 1 } else { second.len() }] {
                small.place(BASE, 1, second);
                // What was not looked at makes no difference.
                if !take(&mut small, &mut counts, BASE + 16) {
                    break;
                }
            }
        }
    }
    counts
}

/// Every indirect table of two descriptors whose first is one of these.
fn indirect_tables(size: u32, first: &[Bytes]) -> [u64; 2] {
    let mut small = Small::new(size, false, true);
    let second = descriptors();
    let mut counts = [0; 2];

    small.set_available(1);
    small.set_head(0, 0);
    // As the head, and where there is room for it behind a buffer of each kind.
    let prefixes: &[Option<u16>] = if size == 1 {
        &[None]
    } else {
        &[None, Some(1), Some(3)]
    };
    for prefix in prefixes {
        for len in [16, 32] {
            let table = descriptor(TABLE, len, 4, 0);

            match prefix {
                Some(flags) => {
                    small.place(BASE, 0, &descriptor(DATA, 1, *flags, 1));
                    small.place(BASE, 1, &table);
                }
                None => small.place(BASE, 0, &table),
            }
            for first in first {
                small.place(TABLE, 0, first);
                for second in &second {
                    small.place(TABLE, 1, second);
                    if !take(&mut small, &mut counts, TABLE + 16) {
                        break;
                    }
                }
            }
        }
    }
    counts
}

/// Two threads share what the first descriptor may be.
fn share(part: impl Fn(&[Bytes]) -> [u64; 2] + Sync) -> [u64; 2] {
    let all = descriptors();
    let (one, other) = all.split_at(all.len() / 2);

    thread::scope(|scope| {
        let other = scope.spawn(|| part(other));
        let [bad, good] = part(one);
        let [more_bad, more_good] = other.join().expect("a ring that does as it should");
        [bad + more_bad, good + more_good]
    })
}

#[test]
fn every_chain_of_a_small_ring() {
    for size in [1, 2] {
        for indirect in [false, true] {
            let [bad, good] = share(|first| own_tables(size, indirect, first));

            println!("{size} entries, indirect {indirect}: {good} good, {bad} bad");
            assert!(good > 100 && bad > 100, "it shows nothing");
        }
    }
}

#[test]
fn every_indirect_table_of_a_small_ring() {
    for size in [1, 2] {
        let [bad, good] = share(|first| indirect_tables(size, first));

        println!("{size} entries: {good} good, {bad} bad");
        assert!(good > 1000 && bad > 1000, "it shows nothing");
    }
}

/// Brings a ring that was started at an index to where some chains were taken, some of them given
/// back, and these shown.
fn advance(small: &mut Small, start: u16, [taken, completed, published]: [u16; 3]) {
    small.start(start);
    small.set_available(start.wrapping_add(taken));
    for _ in 0..taken {
        assert!(small.pop(1));
    }
    for _ in 0..published {
        small.complete(0);
    }
    small.publish();
    for _ in published..completed {
        small.complete(0);
    }
}

/// All stages that a ring of a size can be in.
fn stages(size: u16) -> Vec<[u16; 3]> {
    let mut all = Vec::new();

    for taken in 0..=size {
        for completed in 0..=taken {
            for published in 0..=completed {
                all.push([taken, completed, published]);
            }
        }
    }
    all
}

#[test]
fn every_available_index_and_every_head() {
    for size in [1, 2] {
        let mut small = Small::new(size, true, false);
        let size = size as u16;

        for slot in 0..2 {
            small.place(BASE, slot, &descriptor(DATA, 16, 0, 0));
        }
        for start in [0x7fff, 0xffff] {
            for stage in stages(size) {
                let mut allowed = 0;

                small.set_head(0, 0);
                small.set_head(1, 0);
                for index in 0..=u16::MAX {
                    advance(&mut small, start, stage);
                    small.set_available(index);
                    small.pop(1);
                    advance(&mut small, start, stage);
                    small.set_available(index);
                    allowed += u16::from(small.enable().is_ok());
                }
                // From what was taken to what the driver may be ahead of what it sees.
                let [taken, _, published] = stage;
                assert_eq!(allowed, size + published - taken + 1);
            }
            for head in 0..=u16::MAX {
                small.start(start);
                small.set_available(start.wrapping_add(1));
                small.set_head(start, head);
                assert_eq!(small.pop(1), head < size);
            }
        }
    }
}

/// Orders of so many operations, from each stage on.
const OPERATIONS: u32 = 4;
/// What there is to do.
const CHOICES: u32 = 12;

fn operate(small: &mut Small, choice: u32) {
    let available = small.model.popped;

    match choice {
        0 => small.set_available(available.wrapping_add(1)),
        1 => {
            small.pop(1);
        }
        2 => small.complete(0),
        3 => small.complete(1),
        4 => small.publish(),
        5 => small.decide(),
        6 => {
            let _ = small.enable();
        }
        7 => small.disable(),
        8 => unpop(small),
        9 => give_up(small),
        10 => {
            let index = small.ring.state().avail_index;
            small.start(index);
        }
        // The used ring is taken away, may then be read only, and comes back.
        _ => {
            let permission = match small.memory.allowed(USED_PAGE) {
                0 => READ,
                READ => READ | WRITE,
                _ => 0,
            };
            small.memory.allow(USED_PAGE, permission);
        }
    }
}

fn unpop(small: &mut Small) {
    let Some(Held { token, index }) = small.held.pop() else {
        return;
    };
    match small.ring.unpop(token) {
        Ok(()) => {
            assert!(small.model.is_last(index));
            small.model.unpop();
        }
        Err(token) => {
            assert!(!small.model.is_last(index));
            small.held.push(Held { token, index });
        }
    }
    small.check();
}

/// Gives up on the chain that was taken first.
fn give_up(small: &mut Small) {
    if !small.held.is_empty() {
        let Held { token, index } = small.held.remove(0);
        let head = token.id();

        small.ring.give_up(token);
        small.model.give_up(head, index);
        small.check();
    }
}

#[test]
fn every_order_of_operations() {
    for size in [1, 2] {
        for event_idx in [false, true] {
            let mut small = Small::new(size, event_idx, false);

            for slot in 0..2 {
                small.place(BASE, slot, &descriptor(DATA, 16, 2, 0));
            }
            for stage in stages(size as u16) {
                for number in 0..CHOICES.pow(OPERATIONS) {
                    let mut rest = number;

                    small.memory.allow(USED_PAGE, READ | WRITE);
                    // Where the indices wrap.
                    advance(&mut small, 0xffff, stage);
                    for _ in 0..OPERATIONS {
                        operate(&mut small, rest % CHOICES);
                        rest /= CHOICES;
                    }
                }
            }
        }
    }
}
