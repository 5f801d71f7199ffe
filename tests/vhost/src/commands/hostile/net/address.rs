// SPDX-License-Identifier: GPL-2.0

//! The device's address, which the driver may change and which others may change: virtio 1.3,
//! section 5.1.4.

use std::process::Command;

use anyhow::{ensure, Context, Result};
use checks::report::Report;
use vhost_client::net::{self, Mac};
use vhost_client::queue::wait_event;
use vhost_client::uapi::*;

use super::super::bed::{Bed, PATIENCE};
use super::control::set_address;
use super::frames::*;
use super::Names;

const ADDRESS: Mac = [0x02, 0x66, 0x55, 0x44, 0x33, 0x22];

/// Makes all checks of the address.
pub fn run(bed: &mut Bed, names: &Names, report: &mut Report) {
    report.check(
        "hostile/net/address/set-by-command-and-reset (5.1.6.5)",
        commanded(bed),
    );
    report.check(
        "hostile/net/address/written-and-reset (5.1.4.2)",
        written(bed),
    );
    report.check(
        "hostile/net/address/set-by-netlink (2.5.1)",
        told(bed, names),
    );
}

/// The next guest has not the address of the last one.
fn commanded(bed: &mut Bed) -> Result<()> {
    let own = net::mac(&bed.session)?;

    set_address(bed, ADDRESS)?;
    bed.session.device.set_status(0)?;
    let found = net::mac(&bed.session)?;
    ensure!(found == own, "after a reset the address is {found:x?}");
    check_works(bed)
}

/// The same for drivers that write the configuration.
fn written(bed: &mut Bed) -> Result<()> {
    let own = net::mac(&bed.session)?;
    let mailbox = vhost_client::sys::Mailbox::new()?;
    let argument = [&vring_state(0, 6)[..], &ADDRESS[..]].concat();

    bed.start(FEATURES, QUEUES)?;
    let place = mailbox.put(&argument)?;
    // It may be refused, as it is read-only for drivers of these days.
    let _ = bed
        .session
        .device
        .call_mail(VHOST_VDPA_SET_CONFIG, &mailbox, place);
    bed.session.device.set_status(0)?;
    let found = net::mac(&bed.session)?;
    ensure!(found == own, "after a reset the address is {found:x?}");
    check_works(bed)
}

/// An administrator changes the address: the driver is told.
fn told(bed: &mut Bed, names: &Names) -> Result<()> {
    let own = net::mac(&bed.session)?;
    let set = |address: Mac| -> Result<()> {
        let address = address.map(|byte| format!("{byte:02x}")).join(":");
        let status = Command::new("vdpa")
            .args(["dev", "set", "name", &names.device, "mac", &address])
            .status()
            .context("vdpa")?;

        ensure!(status.success(), "vdpa dev set: {status}");
        Ok(())
    };

    bed.start(FEATURES, QUEUES)?;
    // Of what was before.
    let _ = bed.config.read();
    set(ADDRESS)?;
    let found = net::mac(&bed.session)?;
    let told = wait_event(&bed.config, PATIENCE)?;
    set(own)?;
    ensure!(found == ADDRESS, "the address is {found:x?}");
    ensure!(told, "no configuration interrupt");
    check_works(bed)
}
