// SPDX-License-Identifier: GPL-2.0

//! Memory that is refused, of each kind and at each place of a ring, and what comes of it when it
//! is there again.

mod common;

use common::{
    fixture::*,
    ram::{unmapped, Ram},
};
use virtqueue::{
    Broken, Fault, Refusal, Ring, RingError, Segment, Split, SplitConfig, Token, Uncompleted,
};

/// `used_event`, which the driver writes, and `avail_event`, which the device writes.
const USED_EVENT: u64 = AVAIL + 4 + 2 * SIZE as u64;
const AVAIL_EVENT: u64 = USED + 4 + 8 * SIZE as u64;

/// A ring with one chain in flight, and one that goes through an indirect table to be taken.
struct World {
    ram: Ram,
    ring: Split,
    /// What is in flight, and how much is to be written.
    held: Vec<(Token, u32)>,
}

/// An operation on it, which can be tried again where it fails.
type Operation = fn(&mut World) -> Result<(), RingError>;

impl World {
    fn new(event_idx: bool) -> Self {
        let (ram, ring) = setup(SplitConfig {
            event_idx,
            ..CONFIG
        });
        descriptor(&ram, 0, DATA, 8, WRITE, 0);
        descriptor(&ram, 1, DATA + 0x10, 1, NEXT, 2);
        descriptor(&ram, 2, TABLE, 48, INDIRECT, 0);
        indirect(&ram, 0, DATA + 0x20, 2, WRITE | NEXT, 2);
        indirect(&ram, 2, DATA + 0x30, 3, WRITE, 0);
        let mut world = Self {
            ram,
            ring,
            held: Vec::new(),
        };
        offer(&world.ram, 0);
        let mut storage = [Segment::EMPTY; 4];
        let chain = world.ring.pop(&world.ram, &mut storage).unwrap().unwrap();
        world.held.push((chain.into_token(), 8));
        offer(&world.ram, 1);
        world
    }

    fn pop(&mut self) -> Result<(), RingError> {
        let mut storage = [Segment::EMPTY; 4];
        let chain = self.ring.pop(&self.ram, &mut storage)?.unwrap();
        let segment = |addr, len| Segment { addr, len };
        assert_eq!(chain.id(), 1);
        assert_eq!(chain.readable(), [segment(DATA + 0x10, 1)]);
        assert_eq!(
            chain.writable(),
            [segment(DATA + 0x20, 2), segment(DATA + 0x30, 3)]
        );
        self.held.push((chain.into_token(), 5));
        Ok(())
    }

    fn complete(&mut self) -> Result<(), RingError> {
        let (token, written) = self.held.remove(0);
        let head = token.id();
        match self.ring.complete(&self.ram, token, written) {
            Ok(()) => Ok(()),
            Err(Uncompleted { token, error }) => {
                assert_eq!(token.id(), head);
                self.held.insert(0, (token, written));
                Err(error)
            }
        }
    }

    fn publish(&mut self) -> Result<(), RingError> {
        if self.ring.in_flight() != 0 {
            self.complete()?;
        }
        self.ring.publish(&self.ram)
    }

    fn enable(&mut self) -> Result<(), RingError> {
        assert!(self.ring.enable_notifications(&self.ram)?);
        Ok(())
    }

    fn disable(&mut self) -> Result<(), RingError> {
        self.ring.disable_notifications(&self.ram)
    }

    /// What the driver sees of the used ring.
    fn used(&self) -> (u16, Vec<(u32, u32)>) {
        let index = self.ram.peek16(USED + 2);
        let element = |i| {
            let at = USED + 4 + 8 * u64::from(i);
            (self.ram.peek32(at), self.ram.peek32(at + 4))
        };
        (index, (0..index).map(element).collect())
    }

    /// Gives everything back, of which `taken` may be one chain or both.
    fn finish(&mut self, expected: &[(u32, u32)]) {
        while !self.held.is_empty() {
            self.complete().unwrap();
        }
        self.ring.publish(&self.ram).unwrap();
        assert_eq!(self.used(), (expected.len() as u16, expected.to_vec()));
        assert_eq!(self.ring.in_flight(), 0);
    }
}

/// A place of a ring, how long it is, and what needs it.
struct Place {
    name: &'static str,
    addr: u64,
    len: u64,
    event_idx: bool,
    operation: Operation,
}

const PLACES: &[Place] = &[
    place("available index", AVAIL + 2, 2, World::pop),
    place("available index", AVAIL + 2, 2, World::enable),
    place("available entry", AVAIL + 6, 2, World::pop),
    place("descriptor", DESC + 16, 16, World::pop),
    place("the next descriptor", DESC + 32, 16, World::pop),
    place("indirect table", TABLE, 16, World::pop),
    place("entry of an indirect table", TABLE + 32, 16, World::pop),
    place("used element", USED + 4, 8, World::complete),
    place("used index", USED + 2, 2, World::publish),
    place("flags", USED, 2, World::enable),
    place("flags", USED, 2, World::disable),
    event_place("available index", AVAIL + 2, 2, World::enable),
    event_place("flags", USED, 2, World::enable),
    event_place("flags", USED, 2, World::disable),
    event_place("event index", AVAIL_EVENT, 2, World::enable),
];

const fn place(name: &'static str, addr: u64, len: u64, operation: Operation) -> Place {
    Place {
        name,
        addr,
        len,
        event_idx: false,
        operation,
    }
}

const fn event_place(name: &'static str, addr: u64, len: u64, operation: Operation) -> Place {
    Place {
        event_idx: true,
        ..place(name, addr, len, operation)
    }
}

/// What is not mapped may be in a moment, and what is not in memory can be brought in.
#[test]
fn what_cannot_be_reached_now_is_tried_again() {
    for place in PLACES {
        for refusal in [Refusal::NotMapped, Refusal::NotPresent] {
            let name = format!("{}, {refusal:?}", place.name);
            let mut world = World::new(place.event_idx);
            // Part of it is enough.
            for (at, len) in [(place.addr, place.len), (place.addr + place.len - 1, 1)] {
                world.ram.refuse(at, len, refusal);
                for _ in 0..3 {
                    let error = (place.operation)(&mut world).unwrap_err();
                    let addr = place.addr;
                    assert_eq!(error, RingError::Fault(Fault { addr, refusal }), "{name}");
                    assert_eq!(world.ring.broken(), None, "{name}");
                    assert_eq!(world.ring.state().avail_index, 1, "{name}");
                    assert_eq!(world.used(), (0, vec![]), "{name}");
                    assert!(!world.ring.needs_notification(&world.ram), "{name}");
                }
            }
            world.ram.set_hole(None);
            (place.operation)(&mut world).unwrap();
            if world.ring.state().avail_index == 1 {
                world.pop().unwrap();
            }
            world.finish(&[(0, 8), (1, 5)]);
            assert!(world.ring.needs_notification(&world.ram), "{name}");
        }
    }
}

/// What is mapped, but not for this, will never be of use.
#[test]
fn what_is_not_permitted_breaks_the_ring() {
    for place in PLACES {
        let name = place.name;
        let mut world = World::new(place.event_idx);
        let fault = Fault {
            addr: place.addr,
            refusal: Refusal::NotPermitted,
        };
        let broken = Broken::Memory(fault);
        world.ram.refuse(place.addr, place.len, fault.refusal);
        let error = (place.operation)(&mut world).unwrap_err();
        assert_eq!(error, RingError::Broken(broken), "{name}");

        // It stays so when the memory is there, and nothing new is taken.
        world.ram.set_hole(None);
        world.ram.take_log();
        for operation in [World::pop, World::enable] {
            let error = operation(&mut world).unwrap_err();
            assert_eq!(error, RingError::Broken(broken), "{name}");
        }
        assert!(world.ram.take_log().is_empty(), "{name}");
        assert_eq!(world.ring.broken(), Some(broken), "{name}");
        assert_eq!(world.ring.state().avail_index, 1, "{name}");

        // What was taken before gets its outcome, for that can be written now.
        world.finish(&[(0, 8)]);
        assert!(world.ring.needs_notification(&world.ram), "{name}");

        world.ring.set_state(world.ring.state());
        world.pop().unwrap();
        world.finish(&[(0, 8), (1, 5)]);
        assert!(world.ring.needs_notification(&world.ram), "{name}");
    }
}

#[test]
fn what_broke_a_ring_first_is_what_it_is_broken_by() {
    let mut world = World::new(false);
    ram_head(&world.ram, 9);
    let broken = Broken::Head {
        head: 9,
        size: SIZE,
    };
    let mut storage = [Segment::EMPTY; 4];
    let error = world.ring.pop(&world.ram, &mut storage).unwrap_err();
    assert_eq!(error, RingError::Broken(broken));
    world.ram.refuse(USED, 0x40, Refusal::NotPermitted);
    assert_eq!(world.complete(), Err(RingError::Broken(broken)));
    assert_eq!(world.held.len(), 1, "it is handed back");
    let (token, _) = world.held.remove(0);
    world.ring.give_up(token);
    assert_eq!(world.ring.broken(), Some(broken));
}

/// The second entry of the available ring.
fn ram_head(ram: &Ram, head: u16) {
    ram.poke16(AVAIL + 6, head);
}

#[test]
fn a_chain_without_an_outcome_stops_the_ring() {
    let (ram, mut ring) = setup(CONFIG);
    let mut storage = [Segment::EMPTY; 4];
    for head in 0..4 {
        descriptor(&ram, head, DATA, 8, WRITE, 0);
        offer(&ram, head);
    }
    let mut take = |ring: &mut Split| ring.pop(&ram, &mut storage).unwrap().unwrap().into_token();
    let [first, second, third] = [(); 3].map(|()| take(&mut ring));

    // The one between the others: these are given back, and it never is.
    ring.give_up(second);
    let broken = Broken::GivenUp { head: 1 };
    assert_eq!(
        broken.to_string(),
        "chain 1: there is no place for its outcome"
    );
    assert_eq!((ring.broken(), ring.in_flight()), (Some(broken), 3));
    ring.complete(&ram, third, 3).unwrap();
    ring.complete(&ram, first, 1).unwrap();
    ring.publish(&ram).unwrap();
    assert!(ring.needs_notification(&ram));
    assert_eq!(ram.peek16(USED + 2), 2);
    assert_eq!((ram.peek32(USED + 4), ram.peek32(USED + 8)), (2, 3));
    assert_eq!((ram.peek32(USED + 12), ram.peek32(USED + 16)), (0, 1));
    assert_eq!(ring.in_flight(), 1);

    let mut storage = [Segment::EMPTY; 4];
    ram.take_log();
    assert_eq!(
        ring.pop(&ram, &mut storage).unwrap_err(),
        RingError::Broken(broken)
    );
    assert!(ram.take_log().is_empty());
}

#[test]
fn the_last_chain_is_where_the_state_says_when_it_is_given_up() {
    let mut world = World::new(false);
    world.pop().unwrap();
    let (last, _) = world.held.pop().unwrap();
    world.ring.give_up(last);
    assert_eq!(world.ring.state().avail_index, 1);
    assert_eq!(world.ring.broken(), Some(Broken::GivenUp { head: 1 }));
    world.finish(&[(0, 8)]);
    // Where there is a place for it, it is taken again.
    world.ring.set_state(world.ring.state());
    world.pop().unwrap();
    world.finish(&[(0, 8), (1, 5)]);
}

#[test]
fn notifications_that_cannot_be_decided_are_sent() {
    for (event_idx, place) in [(false, AVAIL), (true, USED_EVENT)] {
        for refusal in [
            Refusal::NotMapped,
            Refusal::NotPresent,
            Refusal::NotPermitted,
        ] {
            let mut world = World::new(event_idx);
            world.publish().unwrap();
            world.ram.refuse(place, 2, refusal);
            assert!(world.ring.needs_notification(&world.ram));
            assert!(!world.ring.needs_notification(&world.ram), "nothing new");
            assert_eq!(world.ring.broken(), None);
        }
    }
}

#[test]
fn a_fault_says_where_and_why() {
    for (refusal, text) in [
        (Refusal::NotMapped, "bus address 0x12: not mapped"),
        (
            Refusal::NotPermitted,
            "bus address 0x12: mapped, but not for this access",
        ),
        (Refusal::NotPresent, "bus address 0x12: not in memory now"),
    ] {
        let fault = Fault {
            addr: 0x12,
            refusal,
        };
        assert_eq!(fault.to_string(), text);
        assert_eq!(RingError::Fault(fault).to_string(), text);
        assert_eq!(Broken::Memory(fault).to_string(), text);
        assert_eq!(fault.is_final(), refusal == Refusal::NotPermitted);
    }
    let mut world = World::new(false);
    world.ram.set_hole(Some((USED + 4, 8)));
    let (token, _) = world.held.remove(0);
    let failed = world.ring.complete(&world.ram, token, 0).unwrap_err();
    assert_eq!(failed.error, RingError::Fault(unmapped(USED + 4)));
    assert_eq!(
        failed.to_string(),
        format!("chain 0: bus address {:#x}: not mapped", USED + 4)
    );
}
