// SPDX-License-Identifier: GPL-2.0

//! What is wrong when it is to be.

mod common;

use common::driver::{frame, Driver, FEATURES};
use common::{Model, CONFIG};

#[test]
fn gone_at_any_access() {
    let model = Model::start("");
    let mut client = model.client();
    for at in [0, 1, 5] {
        model.console(&format!("fault vanish:{at}"));
        for _ in 0..at {
            assert_eq!(client.read16(0, 18), 2);
        }
        assert_eq!(client.read32(0, 0), u32::MAX);
        assert_eq!(client.read32(CONFIG, 0), u32::MAX);
        client.write(0, 20, &[1]);
        model.console("heal");
        assert_eq!(client.read32(CONFIG, 0), 0x1041_1af4);
        assert_eq!(client.read8(0, 20), 0);
    }
}

#[test]
fn nothing_comes_of_what_is_gone() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    driver.start();
    model.console("fault vanish:0");
    driver.send(&frame(60, 1));
    assert_eq!(driver.status(), 0xff);
    assert_eq!(model.counter("frames-sent"), 0);
    assert!(model.console("report").contains("gone true"));
    model.console("heal");
    // As after power-on.
    driver.client.write(CONFIG, 4, &[6, 0]);
    driver.start();
    driver.send(&frame(60, 2));
    assert!(driver.receive() == frame(60, 2));
}

#[test]
fn resets_that_take_their_time() {
    let model = Model::start("fault=reset:3");
    let mut driver = Driver::new(&model);
    driver.set_status(3);
    driver.set_status(0);
    let statuses: Vec<u8> = (0..5).map(|_| driver.status()).collect();
    assert_eq!(statuses, [3, 3, 3, 0, 0]);

    model.console("fault reset:never");
    driver.set_status(3);
    driver.set_status(0);
    assert!((0..100).all(|_| driver.status() == 3));
    model.console("heal");
    driver.set_status(0);
    assert_eq!(driver.status(), 0);
}

#[test]
fn numbers_of_queues() {
    let model = Model::start("");
    let mut client = model.client();
    for (fault, offset, value) in [
        ("queues:65535", 18, 65535),
        ("queue-size:3", 24, 3),
        ("queue-size:1:0", 24, 256),
        ("notify-off:0:9", 30, 9),
    ] {
        model.console(&format!("fault {fault}"));
        assert_eq!(client.read16(0, offset), value, "{fault}");
        model.console("heal");
    }
}

#[test]
fn what_is_not_accepted() {
    let model = Model::start("fault=features-ok:refused");
    let mut driver = Driver::new(&model);
    assert!(!driver.negotiate(FEATURES));
    model.console("heal");
    assert!(driver.negotiate(FEATURES));
    assert!(!driver.negotiate(FEATURES | (1 << 63)), "not offered");
    assert!(!driver.negotiate(1 << 5), "not VERSION_1");

    model.console("fault vectors:refused");
    driver.common16(16, 0);
    assert_eq!(driver.client.read16(0, 16), 0xffff);
    model.console("heal");
    driver.common16(16, 1);
    assert_eq!(driver.client.read16(0, 16), 1);
    driver.common16(16, 3);
    assert_eq!(driver.client.read16(0, 16), 0xffff, "there are three");
}

#[test]
fn a_configuration_that_changes() {
    let model = Model::start("fault=churn:4:3");
    let mut client = model.client();
    let read = |client: &mut common::Client| {
        let before = client.read8(0, 21);
        let mac: Vec<u8> = (0..6).map(|at| client.read8(0, 0x2000 + at)).collect();
        (mac, before == client.read8(0, 21))
    };
    let mut torn = 0;
    let mac = loop {
        match read(&mut client) {
            (mac, true) => break mac,
            _ => torn += 1,
        }
    };
    assert!(torn > 0);
    assert_eq!(
        mac,
        [0x52, 0xab, 0xff, 0xed, 0xcb, 0xa9],
        "changed three times"
    );
}

#[test]
fn a_link_that_flaps() {
    let model = Model::start("fault=flap:1");
    let mut driver = Driver::new(&model);
    driver.start();
    for _ in 0..4 {
        driver.wait_for(2);
    }
    model.console("heal");
    model.console("link up");
    assert_eq!(driver.client.read16(0, 0x2006) & 1, 1);
}

#[test]
fn a_link_is_as_it_was_set_when_faults_are_gone() {
    let model = Model::start("fault=flap:1");
    let mut driver = Driver::new(&model);
    driver.start();
    for command in ["link up", "link down"] {
        model.console(command);
        model.console("fault flap:1");
        for _ in 0..3 {
            driver.wait_for(2);
        }
        model.console("heal");
        let up = driver.client.read16(0, 0x2006) & 1 == 1;
        assert_eq!(up, command == "link up");
    }
}

/// Disables the second queue, which goes on nevertheless.
fn disable_in_vain(driver: &mut Driver) {
    driver.common16(22, 1);
    driver.common16(28, 0);
    assert_eq!(driver.client.read16(0, 28), 1);
    driver.send(&frame(60, 1));
    assert!(driver.receive() == frame(60, 1));
}

#[test]
fn a_queue_that_does_not_stop() {
    let model = Model::start("fault=stop:never");
    let mut driver = Driver::new(&model);
    driver.start();
    disable_in_vain(&mut driver);
}

#[test]
fn a_queue_that_stops_late() {
    let model = Model::start("fault=stop:100");
    let mut driver = Driver::new(&model);
    driver.start();
    disable_in_vain(&mut driver);
    while driver.client.read16(0, 28) == 1 {
        std::thread::yield_now();
    }
    driver.send(&frame(60, 2));
    assert_eq!(driver.client.read16(0, 28), 0);
    assert_eq!(model.counter("frames-sent"), 1);

    driver.common16(28, 1);
    assert!(driver.receive() == frame(60, 2));
    // Enabled again, it does not stop.
    driver.common16(28, 0);
    driver.common16(28, 1);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(driver.client.read16(0, 28), 1);
}

#[test]
fn a_queue_that_is_enabled_once() {
    let model = Model::start("fault=enables:1:1");
    let mut driver = Driver::new(&model);
    for _ in 0..2 {
        driver.start();
        for (queue, again) in [(0, 1), (1, 0)] {
            driver.common16(22, queue);
            assert_eq!(driver.client.read16(0, 28), 1);
            driver.common16(28, 1);
            driver.common16(28, 0);
            driver.common16(28, 1);
            assert_eq!(driver.client.read16(0, 28), again);
        }
    }
}

#[test]
fn stray_accesses_are_refused() {
    let model = Model::start("fault=stray:0x123");
    let mut driver = Driver::new(&model);
    driver.start();
    driver.send(&frame(60, 1));
    driver.receive();
    assert_eq!(model.counter("dma-refused"), 1);
    assert!(model.console("report").contains("dma-last-refused 0x123"));
}
