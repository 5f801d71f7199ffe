// SPDX-License-Identifier: GPL-2.0

//! A driver and a device work on one ring, in any order of their steps.
//!
//! The device answers each chain with the chain's own bytes. Checked is that every byte that was
//! sent arrives exactly once, in the order of the chains; that no chain is lost or repeated; that
//! each notification is sent exactly when the specification says so; and that nobody sleeps while
//! there is work. All that holds as well while parts of the ring, of indirect tables and of buffers
//! are not to be had, and where the ring breaks and is started anew.

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod world;

use proptest::prelude::*;
use virtqueue::{Refusal, Ring};

use world::{Place, Shape, World};

#[derive(Clone, Debug)]
enum Step {
    // The driver's.
    Add(Shape),
    Expose,
    TakeUsed,
    /// Enables interrupts, to come after so many chains more, and sleeps unless they are there.
    DriverSleeps(u16),
    DisableInterrupts,
    // The device's.
    Pop,
    /// Takes a chain and puts it back.
    Peek,
    /// Gives back one of the chains in flight.
    Complete(usize),
    Publish,
    /// Publishes and notifies.
    Notify,
    /// Enables notifications, and sleeps unless there is a chain.
    DeviceSleeps,
    DisableNotifications,
    /// Another device takes over.
    Move,
    /// Takes a chain, and has no place for its outcome.
    GiveUp,
    // What happens to them.
    /// Something is not to be had.
    Refuse(Place, Refusal),
    /// All is there again.
    Restore,
    /// The next chain breaks a rule for a moment.
    Spoil,
}

fn shape() -> impl Strategy<Value = Shape> {
    let lens = || prop::collection::vec(prop_oneof![4 => 1u32..90, 1 => Just(0u32)], 0..5);
    (
        lens(),
        lens(),
        prop_oneof![2 => Just(usize::MAX), 1 => 0usize..4],
    )
        .prop_filter_map(
            "a chain has at least one element",
            |(readable, writable, direct)| {
                let empty = readable.is_empty() && writable.is_empty();
                (!empty).then_some(Shape {
                    readable,
                    writable,
                    direct,
                })
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => shape().prop_map(Step::Add),
        4 => Just(Step::Expose),
        3 => Just(Step::TakeUsed),
        2 => (0u16..4).prop_map(Step::DriverSleeps),
        1 => Just(Step::DisableInterrupts),
        8 => Just(Step::Pop),
        1 => Just(Step::Peek),
        6 => any::<prop::sample::Index>().prop_map(|index| Step::Complete(index.index(1 << 16))),
        2 => Just(Step::Publish),
        3 => Just(Step::Notify),
        2 => Just(Step::DeviceSleeps),
        1 => Just(Step::DisableNotifications),
        1 => Just(Step::Move),
        1 => Just(Step::GiveUp),
        2 => refusal(),
        2 => Just(Step::Restore),
        1 => Just(Step::Spoil),
    ]
}

fn refusal() -> impl Strategy<Value = Step> {
    let places = vec![
        Place::Index,
        Place::Heads,
        Place::Descriptors,
        Place::Tables,
        Place::Buffers,
        Place::Flags,
        Place::Elements,
        Place::UsedIndex,
        Place::Wish,
        Place::Event,
    ];
    let refusals = vec![
        Refusal::NotMapped,
        Refusal::NotMapped,
        Refusal::NotPresent,
        Refusal::NotPresent,
        Refusal::NotPermitted,
    ];
    (prop::sample::select(places), prop::sample::select(refusals))
        .prop_map(|(place, refusal)| Step::Refuse(place, refusal))
}

fn take_step(world: &mut World, step: &Step) {
    match step {
        Step::Add(shape) => world.add(shape),
        Step::Expose => world.expose(),
        Step::TakeUsed => world.take_used(),
        Step::DriverSleeps(after) => world.driver_sleeps(*after),
        Step::DisableInterrupts => world.disable_interrupts(),
        Step::Pop => world.pop(),
        Step::Peek => world.peek(),
        Step::Complete(which) => world.complete(*which),
        Step::Publish => world.publish(),
        Step::Notify => world.notify(),
        Step::DeviceSleeps => world.device_sleeps(),
        Step::DisableNotifications => world.disable_notifications(),
        Step::Move => world.move_to_another_device(),
        Step::GiveUp => world.give_up(),
        Step::Refuse(place, refusal) => world.refuse(*place, *refusal),
        Step::Restore => world.restore(),
        Step::Spoil => world.spoil(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_byte_arrives_once(
        log_size in 0u32..6,
        start in prop_oneof![Just(0u16), 0xffe0u16..=0xffff, any::<u16>()],
        event_idx: bool,
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let mut world = World::new(log_size, start, event_idx);
        for step in &steps {
            take_step(&mut world, step);
        }
        world.finish();
    }
}

/// Goes around the 16-bit indices three times, with batches of every size.
#[test]
fn indices_wrap_around() {
    for (log_size, event_idx) in [(0, true), (3, false), (3, true), (4, true)] {
        let mut world = World::new(log_size, 0xfff0, event_idx);
        let shape = Shape {
            readable: vec![5],
            writable: vec![9],
            direct: 0,
        };
        let mut batch = 0;
        while world.sent < 3 << 16 {
            batch = batch % (1u16 << log_size) + 1;
            for _ in 0..batch {
                world.add(&shape);
            }
            world.device_sleeps();
            world.driver_sleeps(batch - 1);
            world.expose();
            for _ in 0..batch {
                world.pop();
                world.complete(0);
            }
            world.notify();
            assert!(!world.driver_sleeps);
            world.take_used();
        }
        world.finish();
    }
}

/// A device may decide on an interrupt only once in a very long time.
#[test]
fn more_than_65535_chains_between_two_decisions() {
    for chains in [65535u64, 65536, 65537, 70000, 131_072] {
        let mut world = World::new(2, 0, true);
        let shape = Shape {
            readable: vec![1],
            writable: vec![],
            direct: 1,
        };
        // The first is signalled in any case.
        while world.sent <= chains {
            world.add(&shape);
            world.expose();
            world.pop();
            world.complete(0);
            if world.sent == 1 {
                world.notify();
                // The driver polls, and waits for a chain that is not among the last ones.
                world.ram.poke16(world.config.avail + 4 + 2 * 4, 0x8000);
            } else {
                world.publish();
            }
            world.take_used();
        }
        assert!(world.ring.needs_notification(&world.ram), "{chains}");
        assert!(!world.ring.needs_notification(&world.ram));
    }
}
