// SPDX-License-Identifier: GPL-2.0

//! A long sequence of calls whose results are printed, to be compared with those of another driver.
//!
//! Nothing is printed that depends on anything but the driver and the device.

mod print;

use std::time::Duration;

use anyhow::Result;
use checks::arguments::Arguments;
use checks::report::Report;
use vhost_client::blk::{verify::pattern, Data, SECTOR};
use vhost_client::device::Device;
use vhost_client::iotlb::{self, kind, Format, Message};
use vhost_client::memory::Kind;
use vhost_client::net::frame;
use vhost_client::queue::PATIENCE;
use vhost_client::session::Session;
use vhost_client::sys::{Area, Mailbox, Request, PAGE};
use vhost_client::traffic::{Running, Traffic};
use vhost_client::uapi::*;

use print::{digest, Script};

/// The command `script`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    arguments.finish()?;

    let mut script = Script::default();
    report.check("script/calls", calls(&path, &mut script));
    report.check("script/status", status_values(&path, &mut script));
    report.check("script/numbers", numbers(&path, &mut script));
    report.check("script/messages", messages(&path, &mut script));
    report.check("script/traffic", traffic(&path, &mut script));
    Ok(())
}

/// Those that would change the state for the calls that follow.
const LAST: [Request; 2] = [VHOST_SET_OWNER, VHOST_VDPA_SET_STATUS];

fn calls(path: &str, script: &mut Script) -> Result<()> {
    script.line("opened", "");
    let device = Device::open(path)?;
    script.all(&device, &LAST)?;
    script.look(&device)?;

    script.line("owned", "");
    script.call(&device, "SET_OWNER", VHOST_SET_OWNER, &[])?;
    script.all(&device, &LAST)?;
    script.call(&device, "SET_OWNER again", VHOST_SET_OWNER, &[])?;
    script.look(&device)?;
    drop(device);

    script.line("running", "");
    let running = Running::start(path, Kind::File, 0, backend::ALL)?;
    script.all(&running.session.device, &LAST)?;
    script.look(&running.session.device)?;
    drop(running);

    script.line("suspended", "");
    let running = Running::start(path, Kind::File, 0, backend::ALL)?;
    script.call(&running.session.device, "SUSPEND", VHOST_VDPA_SUSPEND, &[])?;
    script.all(
        &running.session.device,
        &[LAST[0], LAST[1], VHOST_VDPA_RESUME],
    )?;
    script.look(&running.session.device)
}

/// From each status to each other.
fn status_values(path: &str, script: &mut Script) -> Result<()> {
    const VALUES: [u8; 9] = [0, 1, 2, 3, 8, 11, 15, 0x40, 0x80];

    for from in VALUES {
        for to in VALUES {
            let session = Session::open(path)?;
            let device = &session.device;
            device.set_features(vhost_client::session::REQUIRED)?;

            script.line("status", format_args!("{from:#04x} to {to:#04x}"));
            for status in [from, to] {
                script.call(device, "SET_STATUS", VHOST_VDPA_SET_STATUS, &[status])?;
            }
            script.call(device, "GET_STATUS", VHOST_VDPA_GET_STATUS, &[0])?;
        }
    }
    Ok(())
}

/// Values at which something changes.
fn numbers(path: &str, script: &mut Script) -> Result<()> {
    let session = Session::open(path)?;
    let device = &session.device;
    let values = [
        0u32,
        1,
        2,
        3,
        4,
        7,
        8,
        127,
        128,
        255,
        256,
        257,
        512,
        1024,
        0x7fff,
        0x8000,
        0xffff,
        0x1_0000,
        0x8000_0000,
        u32::MAX,
    ];

    for value in values {
        for (name, request) in [
            ("SET_VRING_NUM", VHOST_SET_VRING_NUM),
            ("SET_VRING_BASE", VHOST_SET_VRING_BASE),
            ("GET_VRING_BASE", VHOST_GET_VRING_BASE),
            ("SET_GROUP_ASID", VHOST_VDPA_SET_GROUP_ASID),
            ("SET_VRING_ENABLE", VHOST_VDPA_SET_VRING_ENABLE),
        ] {
            script.call(device, name, request, &vring_state(0, value))?;
        }
        for (name, request) in [
            ("GET_VRING_GROUP", VHOST_VDPA_GET_VRING_GROUP),
            ("GET_VRING_SIZE", VHOST_VDPA_GET_VRING_SIZE),
            ("SET_GROUP_ASID", VHOST_VDPA_SET_GROUP_ASID),
        ] {
            script.call(device, name, request, &vring_state(value, 0))?;
        }
        for (offset, len) in [(value, 1), (0, value), (value, value)] {
            let mut bytes = vring_state(offset, len).to_vec();
            bytes.resize(CONFIG_HEADER_SIZE + 512, 0);
            let mailbox = Mailbox::new()?;
            let place = mailbox.put(&bytes)?;
            let result = device.call_mail(VHOST_VDPA_GET_CONFIG, &mailbox, place);
            script.result(format_args!("GET_CONFIG {offset} {len}"), result, &[]);
        }
    }
    for shift in 0..64 {
        for with in [0, backend::IOTLB_ASID] {
            let features = ((1u64 << shift) | with).to_ne_bytes();
            let request = VHOST_SET_BACKEND_FEATURES;
            script.call(device, "SET_BACKEND_FEATURES", request, &features)?;
        }
    }
    for flags in [0, 1, 2, 3, 4, 1 << 31, u32::MAX] {
        for misaligned in 0..4 {
            let ring = VringAddr {
                flags,
                desc: 0x1000,
                avail: 0x2000 + u64::from(misaligned == 1),
                used: 0x3000 + 2 * u64::from(misaligned == 2),
                log: u64::from(misaligned == 3),
                ..Default::default()
            };
            script.call(
                device,
                "SET_VRING_ADDR",
                VHOST_SET_VRING_ADDR,
                &ring.bytes(),
            )?;
        }
    }
    script.look(device)
}

/// Messages one after the other, so that later ones meet what earlier ones left.
fn messages(path: &str, script: &mut Script) -> Result<()> {
    let area = Area::shared(vhost_client::sys::memory_file(64 << 12, false)?, 64 * PAGE)?;
    area.touch()?;
    let page = PAGE as u64;
    let mut session = Session::open(path)?;
    session.negotiate(0, backend::ALL)?;
    let places = [0, 1, 4, 8, 16, 63].map(|number| 0x10_0000 + number * page);
    let send = |script: &mut Script, message: Message| {
        let what = format!(
            "message {} {:?} {:#x}+{:#x} {}",
            message.kind, message.format, message.iova, message.size, message.perm
        );
        let result = session.device.write(&message.bytes());
        script.result(what, result.map(|taken| taken as i32), &[]);
    };

    for asid in [0, 1, 2] {
        for format in [Format::V2(asid), Format::V1] {
            for kind in 0..8 {
                let message = Message {
                    format,
                    uaddr: area.address(),
                    size: page,
                    iova: 0x10_0000,
                    perm: iotlb::RW,
                    kind,
                };
                send(script, message);
            }
        }
    }
    send(script, Message::invalidate(0, 0, 0));
    for iova in places {
        for pages in [0, 1, 2, 8] {
            let message = Message::update(0, iova, pages * page, area.address(), iotlb::RW);
            send(script, message);
        }
    }
    for iova in places {
        send(script, Message::invalidate(0, iova, page));
        send(script, Message::invalidate(1, iova, page));
    }
    for (iova, size) in [
        (0, u64::MAX),
        (u64::MAX, 1),
        (u64::MAX, 2),
        (u64::MAX - 4095, 4096),
        (u64::MAX - 4095, 4097),
        (1 << 63, 1 << 63),
    ] {
        send(
            script,
            Message::update(0, iova, size, area.address(), iotlb::RW),
        );
        send(script, Message::invalidate(0, iova, size));
    }
    for kind in [
        kind::BATCH_END,
        kind::BATCH_BEGIN,
        kind::BATCH_BEGIN,
        kind::BATCH_END,
        kind::BATCH_END,
    ] {
        for asid in [0, 1] {
            send(script, Message::new(asid, kind));
        }
    }
    for len in (0..=72).chain([73, 144]) {
        let mut bytes = Message::invalidate(0, 0, 0).bytes().to_vec();
        bytes.resize(len, 0);
        let taken = session.device.write(&bytes).map(|taken| taken as i32);
        script.result(format_args!("write {len}"), taken, &[]);
    }
    Ok(())
}

/// The device at work, and where it is afterwards.
fn traffic(path: &str, script: &mut Script) -> Result<()> {
    let mut running = Running::start(path, Kind::File, 0, backend::ALL)?;

    match &mut running.traffic {
        Traffic::Net(device, control, mac) => {
            for number in 0..300 {
                // Some are for nobody.
                let to = if number % 10 == 9 {
                    [2, 0, 0, 0, 0, 9]
                } else {
                    *mac
                };
                let len = 32 + (number as usize * 37) % 1400;
                let mut timeout = PATIENCE;
                if to != *mac {
                    timeout = Duration::from_millis(50);
                }
                device.post()?;
                device.send(&frame::make(to, 3, number, len))?;
                device.notify()?;
                let frame = device.receive(timeout)?;
                device.reap_all()?;
                let text = frame.map_or("nothing".to_owned(), |frame| {
                    format!("{} bytes {:016x}", frame.len(), digest(&frame))
                });
                script.line(format_args!("frame {number}"), text);
            }
            if let Some(control) = control {
                for last in 0..4 {
                    let done = control.set_mac([0x52, 0x54, 0x11, 1, 2, last], PATIENCE)?;
                    script.line(format_args!("command {last}"), done);
                }
                control.set_mac(*mac, PATIENCE)?;
            }
        }
        Traffic::Blk(disk) => {
            for kind in 0..32 {
                for sector in [0, 1, disk.capacity - 1, disk.capacity, u64::MAX] {
                    for data in [
                        Data::ToDevice(pattern(kind, sector, SECTOR)),
                        Data::FromDevice(SECTOR),
                    ] {
                        let answer = disk.ask(kind as u32, sector, data.clone())?;
                        let text = format!("{} {:016x}", answer.status, digest(&answer.data));
                        let way = matches!(data, Data::ToDevice(_));
                        script.line(format_args!("request {kind} {sector} {way}"), text);
                    }
                }
            }
        }
    }
    script.look(&running.session.device)?;
    script.call(&running.session.device, "SUSPEND", VHOST_VDPA_SUSPEND, &[])?;
    script.look(&running.session.device)?;
    script.call(&running.session.device, "RESUME", VHOST_VDPA_RESUME, &[])?;
    script.call(
        &running.session.device,
        "SET_STATUS",
        VHOST_VDPA_SET_STATUS,
        &[0],
    )?;
    script.look(&running.session.device)
}
