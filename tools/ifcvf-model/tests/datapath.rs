// SPDX-License-Identifier: GPL-2.0

//! Frames, states of queues, and mappings.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::driver::{frame, Driver, BASE, FEATURES, SIZE};
use common::{Model, MEMORY};

#[test]
fn loopback() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    driver.start();
    for round in 0..3 * SIZE {
        let sent = frame(60 + usize::from(round) * 20, round as u8);
        driver.send(&sent);
        assert_eq!(driver.reap(1).1, 0);
        assert!(driver.receive() == sent, "round {round}");
        driver.wait_for(0);
        driver.wait_for(1);
    }
    assert_eq!(model.counter("frames-sent"), 48);
    assert_eq!(model.counter("frames-received"), 48);
    assert_eq!(model.counter("dma-refused"), 0);
    drop(driver);
    model.finish();
}

#[test]
fn only_frames_for_the_station() {
    let model = Model::start("mac=02:00:00:00:00:05");
    let mut driver = Driver::new(&model);
    driver.start();
    let mut other = frame(60, 1);
    other[..6].copy_from_slice(&[2, 0, 0, 0, 0, 6]);
    driver.send(&other);
    other[..6].copy_from_slice(&[2, 0, 0, 0, 0, 5]);
    driver.send(&other);
    assert!(driver.receive() == other);
    assert_eq!(model.counter("frames-filtered"), 1);
}

#[test]
fn no_frame_is_longer_than_the_mtu() {
    let model = Model::start("mtu=1000");
    let mut driver = Driver::new(&model);
    let mut tagged = frame(1018, 1);
    tagged[12..14].copy_from_slice(&[0x81, 0]);
    for (features, passes) in [(FEATURES | (1 << 3), false), (FEATURES, true)] {
        driver.start_with(features, 2);
        for _ in 0..SIZE {
            driver.offer();
        }
        driver.send(&frame(1015, 1));
        driver.send(&frame(1014, 1));
        driver.send(&tagged);
        if passes {
            assert!(driver.receive() == frame(1015, 1));
        }
        assert!(driver.receive() == frame(1014, 1));
        assert!(driver.receive() == tagged);
    }
    assert_eq!(model.counter("frames-dropped"), 1);
}

#[test]
fn through_a_socket() {
    let model = Model::start("net=listen:{dir}/net");
    let mut driver = Driver::new(&model);
    driver.start();
    let mut far = UnixStream::connect(model.path("net")).unwrap();
    far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The device takes a frame from there only if somebody is connected.
    let arrived = frame(100, 3);
    far.write_all(&(arrived.len() as u32).to_be_bytes())
        .unwrap();
    far.write_all(&arrived).unwrap();
    assert!(driver.receive() == arrived);

    let sent = frame(200, 5);
    driver.send(&sent);
    let mut bytes = [0; 204];
    far.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[..4], 200u32.to_be_bytes());
    assert!(bytes[4..] == sent);

    // No frame is so long: the connection is given up, and the device goes on.
    far.write_all(&[0xff; 4]).unwrap();
    assert_eq!(far.read(&mut bytes).unwrap(), 0);
    driver.send(&sent);
    driver.reap(1);
    driver.reap(1);
    assert_eq!(model.counter("frames-dropped"), 1);
}

#[test]
fn queues_stop_and_go_on() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    driver.start();
    for seed in 0..5 {
        driver.send(&frame(60, seed));
        driver.receive();
    }
    let state = |driver: &mut Driver, queue: u64| driver.client.read16(4, 32 + 4 * queue);
    assert_eq!((state(&mut driver, 0), state(&mut driver, 1)), (5, 5));
    // Both halves of the register are the same.
    assert_eq!(driver.client.read32(4, 36), 0x0005_0005);

    driver.common16(22, 1);
    driver.common16(28, 0);
    assert_eq!(driver.client.read16(0, 28), 0);
    driver.send(&frame(60, 9));
    assert_eq!(state(&mut driver, 1), 5, "it does not run");
    assert_eq!(model.counter("frames-sent"), 5);
    driver.common16(28, 1);
    assert!(driver.receive() == frame(60, 9), "what waited is sent");
    assert_eq!(state(&mut driver, 1), 6);
    // A queue that runs cannot be set.
    driver.client.write(4, 36, &77u16.to_le_bytes());
    assert_eq!(state(&mut driver, 1), 6);

    // As after a migration, shortly before the index wraps.
    assert!(driver.negotiate(FEATURES));
    assert_eq!(state(&mut driver, 1), 0, "a reset clears it");
    driver.set_up(0, 65530);
    driver.set_up(1, 65534);
    driver.set_status(0xf);
    for seed in 0..8 {
        driver.offer();
        driver.send(&frame(60, seed));
        assert!(driver.receive() == frame(60, seed));
    }
    assert_eq!((state(&mut driver, 0), state(&mut driver, 1)), (2, 6));
}

#[test]
fn enabled_before_it_is_set_up() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    for strict in [false, true] {
        if strict {
            model.console("fault enable:strict");
        }
        assert!(driver.negotiate(FEATURES));
        for queue in 0..2 {
            driver.common16(22, queue);
            driver.common16(28, 1);
            driver.set_up(queue, 0);
        }
        driver.set_status(0xf);
        driver.offer();
        driver.send(&frame(60, 1));
        if strict {
            // The addresses that it knows are those after a reset. It waits for what they may
            // come to be.
            assert_eq!(driver.status(), 0xf);
            assert_eq!(model.counter("frames-sent"), 1);
            assert!(model.console("report").contains("waits true"));
        } else {
            assert!(driver.receive() == frame(60, 1));
        }
    }
}

#[test]
fn only_what_is_mapped() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    driver.start();
    driver.send(&frame(60, 1));
    driver.receive();
    assert_eq!(
        driver.client.map(BASE, BASE, 0x1000, true),
        Err(libc::EEXIST)
    );
    driver.client.unmap(BASE, MEMORY).unwrap();
    assert_eq!(model.counter("dma-mapped-now"), 0);
    driver.send(&frame(60, 2));
    // The ring cannot be read. It waits, for it may be mapped again.
    assert_eq!(driver.status(), 0xf);
    assert!(model.counter("dma-refused") > 0);
    assert_eq!(model.counter("frames-sent"), 1);
    driver.client.map(BASE, BASE, MEMORY, true).unwrap();
    assert!(driver.receive() == frame(60, 2));
}

#[test]
fn several_pairs() {
    let model = Model::start("pairs=2");
    let mut client = model.client();
    assert_eq!(client.read16(0, 18), 5, "two pairs and control");
    // MQ (22) and CTRL_VQ (17).
    assert_eq!(
        client.read32(0, 4) & ((1 << 22) | (1 << 17)),
        (1 << 22) | (1 << 17)
    );
    assert_eq!(client.read16(0, 0x2008), 2);
}

#[test]
fn nothing_without_bus_master() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    driver.start();
    driver.client.write(common::CONFIG, 4, &[2, 0]);
    driver.send(&frame(60, 1));
    assert_eq!(driver.status(), 0xf);
    assert!(model.counter("dma-refused") > 0);
    assert_eq!(model.counter("interrupts"), 0);
    assert_eq!(model.counter("frames-sent"), 0);
    driver.client.write(common::CONFIG, 4, &[6, 0]);
    assert!(driver.receive() == frame(60, 1));
}
