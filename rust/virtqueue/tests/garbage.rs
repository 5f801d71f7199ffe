// SPDX-License-Identifier: GPL-2.0

//! Rings full of garbage, at rest and changing with every access.
//!
//! Nothing panics, every call makes a bounded number of accesses, and each of them lies where it
//! may.

mod common;

use std::cell::Cell;

use common::{
    pattern,
    ram::{Access, Kind, Ram},
};
use proptest::prelude::*;
use virtqueue::{
    Broken, Chain, Fault, Memory, Refusal, Ring, RingError, Segment, Split, SplitConfig, SplitState,
};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

const BASE: u64 = 0x1000;
const LEN: usize = 0x2000;
const AVAIL: u64 = BASE + 0x400;
const USED: u64 = BASE + 0x600;
/// Where indirect tables and buffers like to be.
const DATA: u64 = BASE + 0x800;

type Descriptor = (u64, u32, u16, u16);

/// An address that is in the ring, near the rest of the memory, or anywhere.
fn addr() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => DATA..BASE + LEN as u64,
        2 => (0u64..0x40).prop_map(|i| DATA + 16 * i),
        1 => BASE..BASE + LEN as u64,
        1 => u64::MAX - 64..=u64::MAX,
        1 => any::<u64>(),
    ]
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    let len = prop_oneof![
        4 => 0u32..64,
        2 => (0u32..20).prop_map(|entries| 16 * entries),
        1 => any::<u32>(),
    ];
    let flags = prop_oneof![
        3 => Just(NEXT),
        1 => Just(0),
        2 => Just(WRITE | NEXT),
        1 => Just(WRITE),
        2 => Just(INDIRECT),
        1 => any::<u16>(),
    ];
    let next = prop_oneof![6 => 0u16..20, 1 => any::<u16>()];
    (addr(), len, flags, next)
}

/// A part of a table, or of a ring, that has been made up.
#[derive(Clone, Debug)]
struct Garbage {
    bytes: u64,
    ring: Vec<Descriptor>,
    tables: Vec<Descriptor>,
    heads: Vec<u16>,
    /// How far the available index is ahead at each step.
    ahead: Vec<u16>,
}

fn garbage() -> impl Strategy<Value = Garbage> {
    (
        any::<u64>(),
        prop::collection::vec(descriptor(), 0..=32),
        prop::collection::vec(descriptor(), 0..=64),
        prop::collection::vec(prop_oneof![20 => 0u16..33, 1 => any::<u16>()], 32),
        prop::collection::vec(prop_oneof![20 => 0u16..5, 1 => any::<u16>()], 1..40),
    )
        .prop_map(|(bytes, ring, tables, heads, ahead)| Garbage {
            bytes,
            ring,
            tables,
            heads,
            ahead,
        })
}

fn write_garbage(garbage: &Garbage, start: u16) -> Ram {
    let ram = Ram::from_bytes(BASE, pattern(garbage.bytes, LEN));
    for (at, table) in [(BASE, &garbage.ring), (DATA, &garbage.tables)] {
        for (i, &(addr, len, flags, next)) in table.iter().enumerate() {
            ram.poke_descriptor(at + 16 * i as u64, addr, len, flags, next);
        }
    }
    for (i, &head) in garbage.heads.iter().enumerate() {
        ram.poke16(AVAIL + 4 + 2 * i as u64, head);
    }
    ram.poke16(AVAIL + 2, start);
    ram
}

/// The indirect tables that some descriptor of the ring refers to.
fn tables(ram: &Ram, size: u32) -> Vec<Segment> {
    (0..u64::from(size))
        .filter_map(|i| {
            let bytes = ram.peek(BASE + 16 * i, 16);
            let flags = u16::from_le_bytes(bytes[12..14].try_into().unwrap());
            (flags & INDIRECT != 0).then(|| Segment {
                addr: u64::from_le_bytes(bytes[..8].try_into().unwrap()),
                len: u32::from_le_bytes(bytes[8..12].try_into().unwrap()),
            })
        })
        .collect()
}

/// Checks where a `pop` went.
fn check_pop(log: &[Access], config: &SplitConfig, tables: &[Segment], storage: usize) {
    let size = u64::from(config.size);
    let mut descriptors = 0;
    for access in log {
        let well = match access.kind {
            Kind::Load => access.within(AVAIL, 4 + 2 * size),
            Kind::Read => {
                descriptors += 1;
                let own = access.within(BASE, 16 * size) && access.addr % 16 == 0;
                let other = config.indirect && access.within_any(tables);
                access.len == 16 && (own || other)
            }
            _ => false,
        };
        assert!(well, "{access:?}");
    }
    assert!(log.len() - descriptors <= 2, "{log:?}");
    assert!(descriptors <= config.size as usize + storage + 1);
}

/// Checks a chain against what is promised of one.
fn check_chain(chain: &Chain<'_>, storage: usize) {
    let sum = |segments: &[Segment]| segments.iter().map(|s| u64::from(s.len)).sum::<u64>();
    let (readable, writable) = (chain.readable(), chain.writable());
    assert!((1..=storage).contains(&(readable.len() + writable.len())));
    assert_eq!(chain.readable_len(), sum(readable));
    assert_eq!(chain.writable_len(), sum(writable));
    assert!(chain.readable_len() + chain.writable_len() <= 1 << 32);
    for segment in readable.iter().chain(writable) {
        let end = u128::from(segment.addr) + u128::from(segment.len);
        assert!(end <= 1 << 64, "{segment:?}");
    }
}

/// Starts the ring anew behind a chain that it does not take.
fn step_over(ring: &mut Split) {
    let avail_index = ring.state().avail_index.wrapping_add(1);
    ring.set_state(SplitState { avail_index });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn garbage_at_rest(
        garbage in garbage(),
        log_size in 0u32..6,
        start: u16,
        event_idx: bool,
        indirect in prop::bool::weighted(0.8),
        storage in 0usize..40,
    ) {
        let config = SplitConfig {
            size: 1 << log_size,
            desc: BASE,
            avail: AVAIL,
            used: USED,
            event_idx,
            indirect,
        };
        let ram = write_garbage(&garbage, start);
        let mut ring = Split::new(&config).unwrap();
        ring.set_state(SplitState { avail_index: start });
        let mut storage = vec![Segment::EMPTY; storage];
        let limit = storage.len();
        let size = config.size as u16;

        for &ahead in &garbage.ahead {
            let index = ring.state().avail_index.wrapping_add(ahead);
            ram.poke16(AVAIL + 2, index);
            let tables = tables(&ram, config.size);
            ram.take_log();
            let popped = ring.pop(&ram, &mut storage);
            check_pop(&ram.take_log(), &config, &tables, limit);

            let (token, written) = match popped {
                Ok(None) => continue,
                Ok(Some(chain)) => {
                    check_chain(&chain, limit);
                    let mut buf = [0; 100];
                    // What the device does with the chain may fail, but goes nowhere else.
                    let _ = chain.reader(&ram).read(&mut buf);
                    for access in ram.take_log() {
                        assert!(access.reads() && access.within_any(chain.readable()));
                    }
                    let mut writer = chain.writer(&ram);
                    let _ = chain.reader(&ram).copy_to(&mut writer, u64::MAX);
                    if let Some((_, mut last)) = chain.writer(&ram).split_tail(1) {
                        let _ = last.write_array([0]);
                    }
                    for access in ram.take_log() {
                        let part = if access.reads() { chain.readable() } else { chain.writable() };
                        assert!(access.within_any(part), "{access:?}");
                    }
                    (chain.into_token(), writer.written())
                }
                Err(error @ RingError::Broken(Broken::Chain { head, .. })) => {
                    prop_assert!(head < size);
                    prop_assert_eq!(ring.pop(&ram, &mut storage).unwrap_err(), error);
                    prop_assert!(ram.take_log().is_empty());
                    step_over(&mut ring);
                    continue;
                }
                Err(error @ RingError::Fault(_)) => {
                    // All of the ring is there, but not all that it refers to. Nothing is taken,
                    // so that it is the same every time.
                    prop_assert_eq!(ring.broken(), None);
                    prop_assert_eq!(ring.in_flight(), 0);
                    prop_assert_eq!(ring.pop(&ram, &mut storage).unwrap_err(), error);
                    check_pop(&ram.take_log(), &config, &tables, limit);
                    step_over(&mut ring);
                    continue;
                }
                Err(error) => {
                    assert!(matches!(error, RingError::Broken(_)), "{}", error);
                    assert!(ring.broken().is_some());
                    break;
                }
            };
            prop_assert_eq!(ring.in_flight(), 1);
            prop_assert!(token.id() < size);
            ring.complete(&ram, token, written).unwrap();
            let log = ram.take_log();
            prop_assert_eq!(log.len(), 1);
            prop_assert!(log[0].kind == Kind::Write && log[0].len == 8);
            prop_assert!(log[0].within(USED + 4, 8 * u64::from(size)));
            ring.publish(&ram).unwrap();
            // The driver's chains may have been written over the ring, but not over this.
            prop_assert_eq!(ram.peek16(USED + 2), ring.state().avail_index);
            let _ = ring.needs_notification(&ram);
            let _ = ring.disable_notifications(&ram);
            let _ = ring.enable_notifications(&ram);
            for access in ram.take_log() {
                let used = access.writes() && access.within(USED, 6 + 8 * u64::from(size));
                let avail = access.kind == Kind::Load && access.within(AVAIL, 6 + 2 * u64::from(size));
                assert!(used || avail || access.kind == Kind::Barrier, "{access:?}");
            }
        }
        prop_assert_eq!(ring.in_flight(), 0);
    }
}

/// Memory in which nothing stays as it is: each access finds something else.
struct Restless {
    state: Cell<u64>,
    /// How often descriptors and indices have values that lead on.
    sane: u8,
    accesses: Cell<usize>,
    ring: Cell<u16>,
}

impl Restless {
    fn next(&self) -> u64 {
        let mut state = self.state.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.state.set(state);
        state
    }

    fn access(&self, addr: u64) -> Result<(), Fault> {
        self.accesses.set(self.accesses.get() + 1);
        if self.next() % 64 == 0 {
            let kinds = [
                Refusal::NotMapped,
                Refusal::NotPresent,
                Refusal::NotMapped,
                Refusal::NotPermitted,
            ];
            let refusal = kinds[self.next() as usize % kinds.len()];
            return Err(Fault { addr, refusal });
        }
        Ok(())
    }
}

impl Memory for Restless {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        self.access(addr)?;
        for part in buf.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
        if let Ok(descriptor) = <&mut [u8; 16]>::try_from(buf) {
            if self.next() as u8 <= self.sane {
                // A chain that goes on and on, and now and then goes into a table.
                let flags = [NEXT, NEXT, NEXT | WRITE, INDIRECT][self.next() as usize % 4];
                let len = if flags == INDIRECT { 0x10_0000u32 } else { 0 };
                descriptor[8..12].copy_from_slice(&len.to_le_bytes());
                descriptor[12..14].copy_from_slice(&flags.to_le_bytes());
                descriptor[15] = 0;
                descriptor[14] %= 4;
            }
        }
        Ok(())
    }

    fn write(&self, addr: u64, _: &[u8]) -> Result<(), Fault> {
        self.access(addr)
    }

    fn load_acquire(&self, addr: u64) -> Result<u16, Fault> {
        self.access(addr)?;
        let value = self.next() as u16;
        let sane = self.next() as u8 <= self.sane;
        Ok(match (sane, addr) {
            (false, _) => value,
            (true, addr) if addr == AVAIL + 2 => self.ring.get().wrapping_add(value % 4),
            (true, _) => value % 4,
        })
    }

    fn store_release(&self, addr: u64, _: u16) -> Result<(), Fault> {
        self.access(addr)
    }

    fn barrier(&self) {}

    fn copy_to(&self, addr: u64, _: &Self, _: u64, _: usize) -> Result<(), Fault> {
        self.access(addr)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn garbage_that_changes(
        seed in 1u64..,
        sane: u8,
        log_size in 0u32..16,
        start: u16,
        event_idx: bool,
        storage in 0usize..80,
    ) {
        let memory = Restless {
            state: Cell::new(seed),
            sane,
            accesses: Cell::new(0),
            ring: Cell::new(start),
        };
        let size = 1usize << log_size;
        let config = SplitConfig {
            size: size as u32,
            desc: 0,
            avail: AVAIL,
            used: USED,
            event_idx,
            indirect: true,
        };
        let mut ring = Split::new(&config).unwrap();
        ring.set_state(SplitState { avail_index: start });
        let mut storage = vec![Segment::EMPTY; storage];
        let limit = storage.len();
        let mut tokens = Vec::new();

        for _ in 0..100 {
            memory.ring.set(ring.state().avail_index);
            memory.accesses.set(0);
            match ring.pop(&memory, &mut storage) {
                Ok(None) => {}
                Ok(Some(chain)) => {
                    check_chain(&chain, limit);
                    memory.accesses.set(0);
                    let mut writer = chain.writer(&memory);
                    let _ = chain.reader(&memory).copy_to(&mut writer, u64::MAX);
                    prop_assert!(memory.accesses.take() <= limit);
                    tokens.push(chain.into_token());
                }
                Err(RingError::Fault(_)) => prop_assert_eq!(ring.broken(), None),
                Err(RingError::Broken(broken)) => {
                    prop_assert_eq!(ring.broken(), Some(broken));
                    let _ = ring.needs_notification(&memory);
                    ring.set_state(ring.state());
                    tokens.clear();
                }
                Err(RingError::NotInFlight) => panic!("nothing was completed"),
            }
            prop_assert!(memory.accesses.get() <= 2 + size + limit + 1);
            prop_assert_eq!(usize::from(ring.in_flight()), tokens.len());
            prop_assert!(tokens.len() <= size);

            memory.accesses.set(0);
            if memory.next() % 2 == 0 {
                if let Some(token) = tokens.pop() {
                    if let Err(failed) = ring.complete(&memory, token, 0) {
                        prop_assert_ne!(failed.error, RingError::NotInFlight);
                        tokens.push(failed.token);
                    }
                }
                let _ = ring.publish(&memory);
                let _ = ring.needs_notification(&memory);
                let _ = ring.enable_notifications(&memory);
                let _ = ring.disable_notifications(&memory);
            }
            prop_assert!(memory.accesses.get() <= 6);
        }
    }
}
