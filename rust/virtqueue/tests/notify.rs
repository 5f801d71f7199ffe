// SPDX-License-Identifier: GPL-2.0

//! Notifications under every order in which two processors may see each other's accesses.
//!
//! Device and driver run in two threads, which sleep until the other one notifies them. Loom tries
//! all interleavings with a few preemptions, and in each all values that the memory model lets a
//! load return. Where somebody sleeps and nobody is left to wake him, it reports a deadlock.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use loom::{
    model::Builder,
    sync::{
        atomic::{fence, AtomicU16, AtomicU64},
        Arc, Condvar, Mutex,
    },
    thread,
};
use virtqueue::{Fault, Memory, Ring, Segment, Split, SplitConfig, SplitState};

const SIZE: u16 = 2;
const DESC: u64 = 0;
const AVAIL: u64 = 0x100;
const USED: u64 = 0x200;
/// The indices wrap around after the first chain.
const START: u16 = 0xffff;
/// The chain before that, which is over when the two sides meet: what a device gives back first it
/// signals in any case.
const BEFORE: u16 = START - 1;

/// A ring, field by field. The descriptors never change: each chain is one buffer.
struct Fields {
    avail_flags: AtomicU16,
    avail_index: AtomicU16,
    avail_ring: [AtomicU16; SIZE as usize],
    used_event: AtomicU16,
    used_flags: AtomicU16,
    used_index: AtomicU16,
    used_ring: [AtomicU64; SIZE as usize],
    avail_event: AtomicU16,
}

impl Fields {
    fn new() -> Self {
        Self {
            avail_flags: AtomicU16::new(0),
            avail_index: AtomicU16::new(START),
            // No descriptor has the second index.
            avail_ring: [AtomicU16::new(BEFORE % SIZE), AtomicU16::new(0xffff)],
            used_event: AtomicU16::new(START),
            used_flags: AtomicU16::new(0),
            used_index: AtomicU16::new(BEFORE),
            used_ring: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
            avail_event: AtomicU16::new(START),
        }
    }

    fn field(&self, addr: u64) -> &AtomicU16 {
        match addr - AVAIL {
            0x000 => &self.avail_flags,
            0x002 => &self.avail_index,
            0x004 => &self.avail_ring[0],
            0x006 => &self.avail_ring[1],
            0x008 => &self.used_event,
            0x100 => &self.used_flags,
            0x102 => &self.used_index,
            0x114 => &self.avail_event,
            _ => panic!("no field at {addr:#x}"),
        }
    }
}

impl Memory for Fields {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        assert!(addr < DESC + 16 * u64::from(SIZE));
        buf.fill(0);
        Ok(())
    }

    fn write(&self, addr: u64, buf: &[u8]) -> Result<(), Fault> {
        let slot = (addr - USED - 4) / 8;
        let element = u64::from_le_bytes(buf.try_into().unwrap());
        self.used_ring[slot as usize].store(element, Relaxed);
        Ok(())
    }

    fn load_acquire(&self, addr: u64) -> Result<u16, Fault> {
        Ok(u16::from_le(self.field(addr).load(Acquire)))
    }

    fn store_release(&self, addr: u64, value: u16) -> Result<(), Fault> {
        self.field(addr).store(value.to_le(), Release);
        Ok(())
    }

    fn barrier(&self) {
        fence(SeqCst);
    }

    fn copy_to(&self, _: u64, _: &Self, _: u64, _: usize) -> Result<(), Fault> {
        unreachable!("no data is moved")
    }
}

/// What a notification does: it wakes who waits, and is remembered if nobody does.
#[derive(Default)]
struct Line {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Line {
    fn raise(&self) {
        *self.raised.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut raised = self.raised.lock().unwrap();
        while !*raised {
            raised = self.changed.wait(raised).unwrap();
        }
        *raised = false;
    }
}

struct World {
    fields: Fields,
    event_idx: bool,
    kick: Line,
    interrupt: Line,
}

impl World {
    fn new(event_idx: bool) -> Arc<Self> {
        Arc::new(Self {
            fields: Fields::new(),
            event_idx,
            kick: Line::default(),
            interrupt: Line::default(),
        })
    }

    /// The driver makes chain `index` available (section 2.7.13).
    fn offer(&self, index: u16) {
        let fields = &self.fields;
        fields.avail_ring[usize::from(index % SIZE)].store(index % SIZE, Relaxed);
        fields.avail_index.store(index.wrapping_add(1), Release);
        fence(SeqCst);
        let kick = if self.event_idx {
            fields.avail_event.load(Relaxed) == index
        } else {
            fields.used_flags.load(Relaxed) == 0
        };
        if kick {
            self.kick.raise();
        }
    }

    fn is_used(&self, index: u16) -> bool {
        let used = self.fields.used_index.load(Acquire);
        used == index.wrapping_add(1) || used == index.wrapping_add(2)
    }

    /// The driver waits for chain `index` to come back, with interrupts enabled only while it
    /// sleeps (section 2.7.14).
    fn take(&self, index: u16) {
        let fields = &self.fields;
        while !self.is_used(index) {
            if self.event_idx {
                fields.used_event.store(index, Relaxed);
            } else {
                fields.avail_flags.store(0, Relaxed);
            }
            fence(SeqCst);
            if !self.is_used(index) {
                self.interrupt.wait();
            }
            if !self.event_idx {
                fields.avail_flags.store(1, Relaxed);
            }
        }
        let element = fields.used_ring[usize::from(index % SIZE)].load(Relaxed);
        let length = u64::from(index) << 32;
        assert_eq!(element, length | u64::from(index % SIZE), "a used element");
    }

    /// A ring that has handled the chain before all others.
    fn ring(&self) -> Split {
        let fields = &self.fields;
        let mut ring = Split::new(&SplitConfig {
            size: SIZE.into(),
            desc: DESC,
            avail: AVAIL,
            used: USED,
            event_idx: self.event_idx,
            indirect: false,
        })
        .unwrap();
        ring.set_state(SplitState {
            avail_index: BEFORE,
        });
        let mut storage = [Segment::EMPTY; 1];
        let chain = ring.pop(fields, &mut storage).unwrap().unwrap();
        assert_eq!(chain.id(), BEFORE % SIZE);
        ring.complete(fields, chain.into_token(), BEFORE.into())
            .unwrap();
        ring.publish(fields).unwrap();
        assert!(ring.needs_notification(fields));
        ring
    }

    /// The device handles `count` chains, and sleeps where there is none.
    fn device(&self, mut ring: Split, count: u16) {
        let fields = &self.fields;
        let mut storage = [Segment::EMPTY; 1];
        let mut index = START;
        let end = START.wrapping_add(count);

        loop {
            ring.disable_notifications(fields).unwrap();
            while let Some(chain) = ring.pop(fields, &mut storage).unwrap() {
                assert_eq!(chain.id(), index % SIZE);
                let token = chain.into_token();
                ring.complete(fields, token, index.into()).unwrap();
                index = index.wrapping_add(1);
            }
            ring.publish(fields).unwrap();
            if ring.needs_notification(fields) {
                self.interrupt.raise();
            }
            if index == end {
                break;
            }
            if !ring.enable_notifications(fields).unwrap() {
                self.kick.wait();
            }
        }
    }
}

/// Runs `driver` against a device that handles `count` chains.
fn check(preemptions: usize, event_idx: bool, count: u16, driver: fn(&World)) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let world = World::new(event_idx);
        let device = {
            let (world, ring) = (world.clone(), world.ring());
            thread::spawn(move || world.device(ring, count))
        };
        driver(&world);
        device.join().unwrap();
    });
}

/// The driver offers chain after chain and never waits: no kick may be lost.
fn kicks(world: &World) {
    world.offer(START);
    world.offer(START.wrapping_add(1));
}

/// The driver waits for each chain: no interrupt may be lost.
fn interrupts(world: &World) {
    world.offer(START);
    world.offer(START.wrapping_add(1));
    world.take(START);
    world.take(START.wrapping_add(1));
}

/// One chain at a time, so that both sides sleep in turn.
fn ping_pong(world: &World) {
    for i in 0..2 {
        let index = START.wrapping_add(i);
        world.offer(index);
        world.take(index);
    }
}

#[test]
fn no_kick_is_lost_with_flags() {
    check(3, false, 2, kicks);
}

#[test]
fn no_kick_is_lost_with_event_index() {
    check(3, true, 2, kicks);
}

#[test]
fn no_interrupt_is_lost_with_flags() {
    check(3, false, 2, interrupts);
}

#[test]
fn no_interrupt_is_lost_with_event_index() {
    check(3, true, 2, interrupts);
}

#[test]
fn nobody_sleeps_for_ever_with_flags() {
    check(2, false, 2, ping_pong);
}

#[test]
fn nobody_sleeps_for_ever_with_event_index() {
    check(2, true, 2, ping_pong);
}
