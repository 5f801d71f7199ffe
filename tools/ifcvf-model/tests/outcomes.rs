// SPDX-License-Identifier: GPL-2.0

//! No chain comes back without an outcome: what can be waited for is waited for, and where there is
//! no place for it the device stops and says so.

mod common;

use common::driver::{avail, desc, frame, used, Driver, BASE, FEATURES, SIZE};
use common::{Model, MEMORY};

/// Flags of descriptors.
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
/// `VIRTIO_NET_F_CTRL_VQ` and `VIRTIO_NET_F_MQ`.
const MQ: u64 = FEATURES | (1 << 17) | (1 << 22);
/// `VIRTIO_F_VERSION_1`, `VIRTIO_F_ACCESS_PLATFORM` and, for block devices, `VIRTIO_BLK_F_FLUSH`.
const BLK: u64 = (1 << 32) | (1 << 33);
const FLUSH: u64 = 1 << 9;
/// `DEVICE_NEEDS_RESET`.
const NEEDS_RESET: u8 = 0x40;

/// A page of its own for what is not there at first.
const LATE: u64 = 0x6_0000;
/// Data, an indirect table, and a byte or more that tell what came of it.
const DATA: u64 = 0x7_0000;
const TABLE: u64 = 0x7_4000;
const ANSWER: u64 = 0x7_8000;

/// Takes a page away.
fn take_away(driver: &mut Driver, page: u64) {
    let after = page + 0x1000;

    driver.client.unmap(BASE, MEMORY).unwrap();
    driver.client.map(BASE, BASE, page, true).unwrap();
    driver
        .client
        .map(BASE, BASE + after, MEMORY - after, true)
        .unwrap();
}

/// Gives it back, to be written or not.
fn give_back(driver: &mut Driver, page: u64, writable: bool) {
    driver
        .client
        .map(BASE, BASE + page, 0x1000, writable)
        .unwrap();
}

/// Where the live-migration registers say that a queue is.
fn index(driver: &mut Driver, queue: u64) -> u16 {
    driver.client.read16(4, 32 + 4 * queue)
}

/// The device has stopped, has said so by the configuration's vector, and does nothing more.
fn has_stopped(driver: &mut Driver, vector: usize, queue: u16, at: u16) {
    driver.wait_for(vector);
    assert_eq!(driver.status(), 0xf | NEEDS_RESET);
    let before = driver.used_index(queue);
    driver.doorbell(queue);
    driver.doorbell(queue);
    assert_eq!(driver.status(), 0xf | NEEDS_RESET);
    assert_eq!(driver.used_index(queue), before);
    assert_eq!(index(driver, queue.into()), at, "it is where the ring is");
    // Only a reset helps.
    driver.set_status(0xf);
    assert_eq!(driver.status(), 0xf | NEEDS_RESET);
    driver.forget_interrupts();
}

#[test]
fn what_is_not_mapped_yet_is_waited_for() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    for before_start in [false, true] {
        for (name, page) in [
            ("descriptors", desc(1)),
            ("available ring", avail(1)),
            ("used ring", used(1)),
            ("descriptors for reception", desc(0)),
            ("available ring for reception", avail(0)),
            ("used ring for reception", used(0)),
        ] {
            if !before_start {
                driver.start();
            }
            take_away(&mut driver, page);
            if before_start {
                driver.start();
            }
            driver.send(&frame(60, 1));
            assert_eq!(driver.status(), 0xf, "{name}");
            give_back(&mut driver, page, true);
            if page >= desc(1) {
                // It has waited for it.
                assert!(driver.receive() == frame(60, 1), "{name}");
                assert_eq!(driver.reap(1), (0, 0), "{name}");
            } else {
                // A frame for which there is no buffer now is lost, the next one is not.
                assert_eq!(driver.reap(1), (0, 0), "{name}");
                driver.send(&frame(60, 2));
                let first = driver.receive();
                assert!(first == frame(60, 1) || first == frame(60, 2), "{name}");
                assert_eq!(first == frame(60, 1), page == used(0), "{name}");
            }
            assert_eq!(driver.status(), 0xf, "{name}");
        }
    }
}

#[test]
fn an_indirect_table_is_waited_for() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    driver.start_with(FEATURES | (1 << 28), 2);
    driver.offer();
    driver.poke(DATA, &[0; 12]);
    driver.poke(DATA + 12, &frame(60, 9));
    driver.poke(LATE, &(BASE + DATA).to_le_bytes());
    driver.poke(LATE + 8, &[72, 0, 0, 0, 0, 0, 0, 0]);
    take_away(&mut driver, LATE);
    driver.chain(1, 0, &[(BASE + LATE, 16, INDIRECT)]);
    driver.doorbell(1);
    assert_eq!(driver.status(), 0xf);
    assert_eq!((driver.used_index(1), index(&mut driver, 1)), (0, 0));
    give_back(&mut driver, LATE, true);
    assert!(driver.receive() == frame(60, 9));
    assert_eq!(driver.reap(1), (0, 0));
}

#[test]
fn what_cannot_be_given_back_is_handled_again_by_whoever_goes_on() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    driver.start();
    take_away(&mut driver, used(1));
    driver.send(&frame(60, 4));
    assert!(driver.receive() == frame(60, 4));
    assert_eq!(index(&mut driver, 1), 0);
    driver.common16(22, 1);
    driver.common16(28, 0);
    assert_eq!(index(&mut driver, 1), 0);
    give_back(&mut driver, used(1), true);
    driver.common16(28, 1);
    assert_eq!(driver.reap(1), (0, 0));
    assert_eq!(index(&mut driver, 1), 1);
}

#[test]
fn a_used_ring_that_is_read_only_stops_the_device() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    for queue in 0..2 {
        driver.start();
        take_away(&mut driver, used(queue));
        give_back(&mut driver, used(queue), false);
        driver.send(&frame(60, 1));
        has_stopped(&mut driver, 2, queue, 0);
        driver.client.unmap(BASE, MEMORY).unwrap();
        driver.client.map(BASE, BASE, MEMORY, true).unwrap();
        assert_eq!(driver.status(), 0xf | NEEDS_RESET);
    }
    driver.start();
    driver.send(&frame(60, 2));
    assert!(driver.receive() == frame(60, 2));
}

#[test]
fn a_chain_that_breaks_a_rule_stops_the_device() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    let good = [(BASE + DATA, 72, 0)];
    let bad: [&[(u64, u32, u16)]; 3] = [
        // No such descriptor, an order that is wrong, and what was not negotiated.
        &[(BASE + DATA, 72, 1)],
        &[(BASE + DATA, 72, WRITE), (BASE + DATA, 72, 0)],
        &[(BASE + TABLE, 16, INDIRECT)],
    ];
    driver.poke(DATA + 12, &frame(60, 3));
    for bad in bad {
        driver.start();
        driver.chain(1, 0, &good);
        driver.chain(1, SIZE - bad.len() as u16, bad);
        driver.chain(1, 1, &good);
        driver.doorbell(1);
        // What came before it is done, and the driver is told of it.
        driver.wait_for(1);
        has_stopped(&mut driver, 2, 1, 1);
        assert_eq!(driver.reap(1), (0, 0));
        assert!(driver.receive() == frame(60, 3));
        assert_eq!((driver.used_index(0), driver.used_index(1)), (1, 1));
    }
    driver.start();
    driver.chain(1, 0, &good);
    driver.doorbell(1);
    assert!(driver.receive() == frame(60, 3));
}

#[test]
fn a_bad_chain_for_reception_stops_what_is_sent() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    driver.start_with(FEATURES, 2);
    driver.chain(0, SIZE - 1, &[(BASE + DATA, 72, WRITE | 1)]);
    for seed in 0..4 {
        driver.send(&frame(60, seed));
    }
    has_stopped(&mut driver, 2, 0, 0);
    assert_eq!(driver.used_index(1), 1, "the next is not sent");
    assert_eq!(model.counter("frames-sent"), 1);
}

#[test]
fn a_chain_that_cannot_take_a_frame_is_stepped_over() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    driver.start_with(FEATURES, 2);
    let room = 12 + 60;
    let useless = [
        (BASE + DATA, room, 0),
        (BASE + DATA, 0, WRITE),
        (BASE + DATA, 1, WRITE),
        (BASE + DATA, 12, WRITE),
        (BASE + DATA, room - 1, WRITE),
        (BASE + MEMORY, room, WRITE),
        (BASE + MEMORY - 40, room, WRITE),
    ];
    for (first, buffer) in (0..).zip(useless) {
        driver.chain(0, first, &[buffer]);
    }
    driver.chain(
        0,
        10,
        &[(BASE + DATA, 12, WRITE), (BASE + DATA + 12, 60, WRITE)],
    );
    driver.send(&frame(60, 6));
    for slot in 0..useless.len() as u16 {
        assert_eq!(driver.reap(0), (slot, 0));
    }
    assert_eq!(driver.reap(0), (10, room));
    assert!(driver.peek::<60>(DATA + 12)[..] == frame(60, 6));
    assert_eq!(driver.status(), 0xf);
}

/// Sends a command to set the number of pairs: what follows the class and the command, and where
/// the answer is to go.
fn command(driver: &mut Driver, value: &[u8], answer: &[(u64, u32, u16)]) {
    driver.poke(DATA, &[4, 0]);
    driver.poke(DATA + 2, value);
    driver.poke(ANSWER, &[0xee]);
    let sent = (BASE + DATA, 2 + value.len() as u32, 0);
    driver.chain(4, 0, &[&[sent], answer].concat());
    driver.doorbell(4);
}

/// Whether the second pair is in use: a frame that is sent there comes back there.
fn second_pair(driver: &mut Driver) -> bool {
    for queue in [0, 2] {
        driver.chain(
            queue,
            driver.made[usize::from(queue)] % SIZE,
            &[(BASE + TABLE, 0x800, WRITE)],
        );
    }
    let before = driver.used_index(2);
    driver.poke(DATA + 0x1000 + 12, &frame(60, 1));
    driver.chain(3, 0, &[(BASE + DATA + 0x1000, 72, 0)]);
    driver.doorbell(3);
    driver.reap(3);
    driver.status();
    driver.used_index(2) != before
}

#[test]
fn a_command_is_answered_or_not_carried_out() {
    let model = Model::start("pairs=2");
    let mut driver = Driver::new(&model);
    let answer = [(BASE + ANSWER, 1, WRITE)];

    // Negotiated, and not.
    for (features, value, expected) in [
        (MQ, &[2, 0][..], 0),
        (FEATURES | (1 << 17), &[2, 0], 1),
        (MQ, &[3, 0], 1),
        (MQ, &[0, 0], 1),
        // Other lengths.
        (MQ, &[2], 1),
        (MQ, &[], 1),
        (MQ, &[2, 0, 0], 1),
        (MQ, &[2; 6], 1),
    ] {
        driver.start_with(features, 5);
        command(&mut driver, value, &answer);
        assert_eq!(driver.reap(4), (0, 1), "{value:?}");
        assert_eq!(driver.peek(ANSWER), [expected], "{value:?}");
        assert_eq!(second_pair(&mut driver), expected == 0, "{value:?}");
    }

    // No place for the answer at all, none that can be written, and one that comes late.
    take_away(&mut driver, LATE);
    for page_is_there in [false, true] {
        driver.start_with(MQ, 5);
        if page_is_there {
            give_back(&mut driver, LATE, false);
            command(&mut driver, &[2, 0], &[(BASE + LATE, 1, WRITE)]);
        } else {
            command(&mut driver, &[2, 0], &[]);
        }
        has_stopped(&mut driver, 5, 4, 0);
        assert_eq!(driver.used_index(4), 0);
    }
    take_away(&mut driver, LATE);
    driver.start_with(MQ, 5);
    command(&mut driver, &[2, 0], &[(BASE + LATE, 1, WRITE)]);
    assert_eq!(driver.status(), 0xf);
    assert_eq!(driver.used_index(4), 0);
    assert!(!second_pair(&mut driver), "it is not carried out");
    driver.poke(LATE, &[0xee]);
    give_back(&mut driver, LATE, true);
    assert_eq!(driver.reap(4), (0, 1));
    assert_eq!(driver.peek(LATE), [0]);
    assert!(second_pair(&mut driver));
}

/// Sends a block request, with data and its status after the header.
fn request(driver: &mut Driver, kind: u32, rest: &[(u64, u32, u16)]) {
    driver.poke(DATA, &[0; 16]);
    driver.poke(DATA, &kind.to_le_bytes());
    driver.poke(ANSWER, &[0xee]);
    driver.chain(0, 0, &[&[(BASE + DATA, 16, 0)], rest].concat());
    driver.doorbell(0);
}

#[test]
fn the_status_of_a_request_is_true() {
    const OK: u8 = 0;
    const IOERR: u8 = 1;
    const UNSUPP: u8 = 2;
    const IN: u32 = 0;
    const OUT: u32 = 1;
    const FLUSHES: u32 = 4;
    const GET_ID: u32 = 8;

    let model = Model::start("card=c5000x-blk,disk=1");
    let mut driver = Driver::new(&model);
    let status = (BASE + ANSWER, 1, WRITE);
    let sent = (BASE + TABLE, 512, 0);
    let wanted = (BASE + TABLE + 512, 512, WRITE);
    for (features, kind, data, expected, written) in [
        (BLK, OUT, &[sent][..], OK, 1),
        (BLK, IN, &[wanted], OK, 513),
        (BLK, GET_ID, &[wanted], OK, 20),
        (BLK | FLUSH, FLUSHES, &[], OK, 1),
        // Data that points the wrong way, and no data.
        (BLK, OUT, &[wanted], IOERR, 0),
        (BLK, IN, &[sent], IOERR, 1),
        (BLK, IN, &[sent, wanted], IOERR, 0),
        (BLK, OUT, &[sent, wanted], IOERR, 0),
        (BLK, GET_ID, &[sent], IOERR, 1),
        (BLK, GET_ID, &[], IOERR, 1),
        // What was not negotiated, and what there is not.
        (BLK, FLUSHES, &[], UNSUPP, 1),
        (BLK, 99, &[wanted], UNSUPP, 0),
        (BLK, 11, &[sent], UNSUPP, 1),
    ] {
        driver.start_with(features, 1);
        driver.poke(TABLE, &[7; 1024]);
        request(&mut driver, kind, &[data, &[status]].concat());
        let (_, len) = driver.reap(0);
        assert_eq!(driver.peek(ANSWER), [expected], "{kind} {data:x?}");
        assert_eq!(len, written, "{kind} {data:x?}");
    }
    assert_eq!(model.counter("requests-done"), 4);
    assert_eq!(model.counter("requests-failed"), 9);
}

#[test]
fn a_request_without_a_status_does_not_come_back() {
    let model = Model::start("card=c5000x-blk,disk=1");
    let mut driver = Driver::new(&model);
    let sent = (BASE + TABLE, 512, 0);
    let late = (BASE + LATE, 1, WRITE);

    take_away(&mut driver, LATE);
    driver.start_with(BLK, 1);
    request(&mut driver, 1, &[sent]);
    has_stopped(&mut driver, 1, 0, 0);
    assert_eq!(driver.used_index(0), 0);

    give_back(&mut driver, LATE, false);
    driver.start_with(BLK, 1);
    request(&mut driver, 1, &[sent, late]);
    has_stopped(&mut driver, 1, 0, 0);
    assert_eq!(driver.used_index(0), 0);

    take_away(&mut driver, LATE);
    driver.start_with(BLK, 1);
    request(&mut driver, 1, &[sent, late]);
    assert_eq!(driver.status(), 0xf);
    assert_eq!((driver.used_index(0), index(&mut driver, 0)), (0, 0));
    driver.poke(LATE, &[0xee]);
    give_back(&mut driver, LATE, true);
    assert_eq!(driver.reap(0), (0, 1));
    assert_eq!(driver.peek(LATE), [0]);
}

#[test]
fn the_status_has_bits_that_are_the_devices() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    driver.start();
    driver.set_status(0xf | NEEDS_RESET);
    assert_eq!(driver.status(), 0xf);
    driver.send(&frame(60, 1));
    assert!(driver.receive() == frame(60, 1));

    // Nobody is ready before the features are accepted.
    assert!(!driver.negotiate(1 << 5));
    driver.set_status(0xf);
    assert_eq!(driver.status(), 3);
}
