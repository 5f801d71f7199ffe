// SPDX-License-Identifier: GPL-2.0

//! Known chains. The same vectors run in a kernel, see `tests/kunit`.

mod common;

use common::{
    ram::Ram,
    vectors::{BASE, LEN, VECTORS},
};

#[test]
fn every_vector() {
    for vector in VECTORS {
        let ram = Ram::new(BASE, LEN);
        assert_eq!(vector.run(&ram), Ok(()), "{}", vector.name);
    }
}
