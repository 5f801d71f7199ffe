// SPDX-License-Identifier: GPL-2.0

//! A device that is hostile on purpose.

mod common;

use common::driver::{frame, Driver};
use common::{Model, CONFIG};

#[test]
fn a_seed_names_its_faults() {
    let model = Model::start("");
    let first = model.console("hostile 1");
    let second = model.console("hostile 2");

    assert!(first.starts_with("fault "), "{first}");
    assert_ne!(first, second);
    assert_eq!(model.console("hostile 1"), first);
    // One by one they are the same.
    let listed = |model: &Model| {
        let report = model.console("report");
        let line = report.lines().find(|line| line.starts_with("faults "));
        line.map(str::to_owned)
    };
    let by_seed = listed(&model);
    model.console("heal");
    for line in first.lines().filter(|line| line.starts_with("fault ")) {
        model.console(line);
    }
    assert_eq!(listed(&model), by_seed);
    assert!(model.console("hostile x").starts_with("error"));
}

#[test]
fn noise_is_in_its_area() {
    let model = Model::start("");
    let mut client = model.client();

    model.console("fault noise:common:255:1");
    assert!((0..50).any(|_| client.read16(0, 18) != 2));
    assert!((0..50).all(|_| client.read32(CONFIG, 0x50) == 0x0110_6009));
    model.console("heal");
    assert!((0..50).all(|_| client.read16(0, 18) == 2));
    model.console("fault noise:pci:255:1");
    assert!((0..50).any(|_| client.read32(CONFIG, 0x50) != 0x0110_6009));
    assert!((0..50).all(|_| client.read32(CONFIG, 0) == 0x1041_1af4));
}

#[test]
fn no_control_queue_is_offered_by_noise() {
    let model = Model::start("fault=noise:common:255:3");
    let mut client = model.client();

    for _ in 0..1000 {
        client.write(0, 0, &[0; 4]);
        assert_eq!(client.read32(0, 4) & (1 << 17), 0);
    }
}

#[test]
fn a_storm_ends() {
    let model = Model::start("fault=storm:100");
    let mut driver = Driver::new(&model);

    driver.start();
    for _ in 0..200 {
        driver.status();
    }
    assert!(model.counter("interrupts") <= 100);
    assert!(model.counter("interrupts") > 0);
    driver.send(&frame(60, 1));
    assert!(driver.receive() == frame(60, 1));
}

#[test]
fn it_is_well_again_afterwards() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);

    for seed in 0..200 {
        model.console(&format!("hostile {seed}"));
        for offset in 0..0x38 {
            driver.client.read8(0, offset);
        }
        driver.set_status(0);
        model.console("heal");
        driver.client.write(CONFIG, 4, &[6, 0]);
        driver.set_status(0);
        assert_eq!(driver.status(), 0, "seed {seed}");
        driver.forget_interrupts();
    }
    driver.start();
    driver.send(&frame(60, 2));
    assert!(driver.receive() == frame(60, 2));
}
