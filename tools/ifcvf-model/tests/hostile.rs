// SPDX-License-Identifier: GPL-2.0

//! Clients and drivers that do what they should not.

mod common;

use common::driver::{avail, desc, frame, used, Driver, BASE, SIZE};
use common::Model;
use ifcvf_model::protocol::command;

/// Numbers that look random, and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        // Knuth's constants for 64 bits.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next(256) as u8).collect()
    }
}

#[test]
fn requests_that_make_no_sense() {
    let model = Model::start("");
    let mut client = model.client();
    for (number, body) in [
        (0, vec![]),
        (6, vec![0; 16]),
        (99, vec![0; 64]),
        (command::VERSION, vec![]),
        (command::VERSION, vec![1, 0, 0, 0]),
        (command::DMA_MAP, vec![0; 31]),
        (command::DMA_MAP, vec![0xff; 32]),
        (command::DMA_UNMAP, vec![0; 24]),
        (command::DEVICE_GET_INFO, vec![]),
        (command::DEVICE_GET_REGION_INFO, vec![9; 32]),
        (command::DEVICE_GET_IRQ_INFO, vec![5; 16]),
        (command::DEVICE_SET_IRQS, vec![2; 20]),
        (command::REGION_READ, vec![0; 15]),
        (command::REGION_READ, vec![0xff; 16]),
        (
            command::REGION_WRITE,
            [vec![0; 12], vec![8, 0, 0, 0]].concat(),
        ),
        (command::REGION_WRITE_MULTI, vec![0xff; 8]),
        (command::REGION_WRITE_MULTI, vec![]),
    ] {
        let result = client.request(number, &body, None);
        assert!(result.is_err(), "{number} {body:?}");
    }
    // BARs end where they end.
    for (region, offset, count) in [
        (0, 0x8000, 1),
        (0, 0x7fff, 2),
        (1, 0, 1),
        (4, 0xfff, 2),
        (7, 256, 1),
        (8, 0, 1),
    ] {
        assert!(client.try_read(region, offset, count).is_err());
        assert!(client
            .try_write(region, offset, &vec![0; count as usize])
            .is_err());
    }
    assert_eq!(client.read16(0, 18), 2, "it still answers");
}

#[test]
fn broken_connections() {
    for seed in 0..20 {
        let model = Model::start("");
        let mut numbers = Numbers(seed);
        let mut client = model.client();
        let len = 1 + numbers.next(4000);
        let garbage = numbers.bytes(len);
        // It may be closed before all of it was sent.
        let _ = client.send_raw(&garbage);
        drop(client);
        model.finish();
    }
}

#[test]
fn a_second_client() {
    let model = Model::start("");
    let mut first = model.client();
    assert_eq!(first.read16(0, 18), 2);
    assert!(model.client().is_closed());
    assert_eq!(first.read16(0, 18), 2);
    drop(first);
    model.finish();
}

#[test]
fn random_registers() {
    for (seed, settings) in ["", "pairs=8", "card=c5000x-blk,disk=1"].iter().enumerate() {
        let model = Model::start(settings);
        let mut driver = Driver::new(&model);
        let mut numbers = Numbers(seed as u64);
        for _ in 0..20_000 {
            let region = [0, 0, 0, 2, 4][numbers.next(5) as usize];
            // Mostly what is there: the common configuration, states, doorbells.
            let offset = match (region, numbers.next(4)) {
                (0, 0) => 0x4000 + numbers.next(0x4000),
                (0, 1) => numbers.next(0x4000),
                (0 | 4, _) => numbers.next(0x40),
                _ => numbers.next(0x1000),
            };
            let len = [1, 2, 4, 8][numbers.next(4) as usize];
            if numbers.next(3) == 0 {
                let _ = driver.client.try_read(region, offset, len);
            } else {
                let data = match numbers.next(3) {
                    0 => numbers.bytes(len.into()),
                    1 => vec![numbers.next(16) as u8; len as usize],
                    // An address that is mapped.
                    _ => {
                        (BASE + numbers.next(0x10) * 0x1000).to_le_bytes()[..len as usize].to_vec()
                    }
                };
                let _ = driver.client.try_write(region, offset, &data);
            }
        }
        driver.set_status(0);
        assert_eq!(driver.status(), 0, "it still answers");
        drop(driver);
        model.finish();
    }
}

#[test]
fn random_rings() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    let mut numbers = Numbers(1);
    for round in 0..300 {
        driver.start();
        for _ in 0..10 {
            let queue = numbers.next(2) as u16;
            let area = [desc(queue), avail(queue), used(queue)][numbers.next(3) as usize];
            let at = area + numbers.next(16 * u64::from(SIZE));
            let len = 1 + numbers.next(32);
            let bytes = numbers.bytes(len);
            driver.poke(at, &bytes);
            driver.doorbell(1);
        }
        assert!(driver.status() & 0xf == 0xf, "round {round}");
    }
    driver.start();
    driver.send(&frame(60, 7));
    assert!(
        driver.receive() == frame(60, 7),
        "it works when it is set up well"
    );
    drop(driver);
    model.finish();
}

#[test]
fn rings_that_cannot_be() {
    let model = Model::start("");
    let mut driver = Driver::new(&model);
    for (offset, value) in [
        (32, BASE + 1),
        (40, BASE + 1),
        (48, BASE + 2),
        (32, u64::MAX - 15),
    ] {
        assert!(driver.negotiate(common::driver::FEATURES));
        driver.common16(22, 1);
        driver.client.write(0, offset, &value.to_le_bytes());
        driver.common16(28, 1);
        driver.set_status(0xf);
        assert_eq!(driver.status() & 0x40, 0x40, "{offset} {value:#x}");
    }
    for size in [0, 3, 65535] {
        assert!(driver.negotiate(common::driver::FEATURES));
        driver.common16(24, size);
        driver.common16(28, 1);
        driver.set_status(0xf);
        assert_eq!(driver.status() & 0x40, 0x40, "{size}");
    }
}
