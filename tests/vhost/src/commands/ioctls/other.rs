// SPDX-License-Identifier: GPL-2.0

//! What else can be done with the file.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use checks::report::Report;
use libc::{
    EBUSY, EFAULT, EINVAL, EOPNOTSUPP, EPERM, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE,
};
use vhost_client::device::{errno, Device};
use vhost_client::iotlb::{self, Message};
use vhost_client::memory::Kind;
use vhost_client::session::Session;
use vhost_client::sys::{self, Mailbox, PAGE};
use vhost_client::traffic::Running;
use vhost_client::uapi::*;

use super::fixture::{Facts, STATES};
use super::{expect, fixture::Fixture};

/// Makes all checks.
pub fn run(path: &str, facts: &Facts, report: &mut Report) {
    for state in STATES {
        report.check(
            format_args!("ioctls/open/second-while-{state}"),
            Fixture::new(path, state).and_then(|_fixture| second_opener(path)),
        );
    }
    report.check("ioctls/open/one-of-many", one_of_many(path));
    report.check("ioctls/open/again-at-once", again_at_once(path));
    report.check("ioctls/open/to-write-only", write_only(path));
    report.check("ioctls/other-process", from_other_process(path));
    report.check("ioctls/read", read(path));
    report.check("ioctls/poll", poll(path));
    for (name, result) in doorbells(path, facts) {
        report.check(format_args!("ioctls/mmap/{name}"), result);
    }
    if sys::has_32_bit_entry() {
        report.check("ioctls/32-bit", compat(path, facts));
    } else {
        report.note("this kernel has no entry for 32-bit programs");
    }
}

fn second_opener(path: &str) -> Result<()> {
    expect(Device::open(path).map(drop), &[EBUSY])?;
    expect(Device::open_to_write(path).map(drop), &[EBUSY])
}

/// Of those who open it at the same time, one succeeds.
fn one_of_many(path: &str) -> Result<()> {
    const THREADS: usize = 8;

    for round in 0..20 {
        let barrier = Barrier::new(THREADS);
        let opened: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let result = Device::open(path);
                        // It stays open until all have tried.
                        barrier.wait();
                        result.map(drop).map_err(|error| errno(&error))
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect()
        });
        let results: Vec<_> = opened
            .into_iter()
            .map(|result| result.unwrap_or(Err(0)))
            .collect();
        let good = results.iter().filter(|result| result.is_ok()).count();

        ensure!(good == 1, "round {round}: {good} of {THREADS} opened it");
        ensure!(
            results
                .iter()
                .all(|result| matches!(result, Ok(()) | Err(EBUSY))),
            "round {round}: {results:?}"
        );
    }
    Ok(())
}

fn again_at_once(path: &str) -> Result<()> {
    for round in 0..50 {
        let session = Session::open(path).with_context(|| format!("round {round}"))?;
        ensure!(session.device.status()? == 0, "round {round}: not reset");
        session
            .device
            .set_features(vhost_client::session::REQUIRED)?;
        session.device.set_status(0xf)?;
    }
    Ok(())
}

/// As libblkio does it, which accepts no backend features and so sends messages of the first
/// format.
fn write_only(path: &str) -> Result<()> {
    let session = Session::own(Device::open_to_write(path)?)?;
    let mut running = Running::prepare(session, Kind::File, 0, 0)?;

    running.session.start()?;
    running.traffic.prove(1, 40)
}

/// The name of the command by which this program starts itself.
pub const OTHER_PROCESS: &str = "other-process";

/// A process that got the open file from the owner is not the owner.
fn from_other_process(path: &str) -> Result<()> {
    let running = Running::start(path, Kind::File, 0, backend::ALL)?;
    let device = &running.session.device;
    let before = super::snapshot::take(device);
    let output = Command::new("/proc/self/exe")
        .arg(OTHER_PROCESS)
        .stdin(device.try_clone()?.into_file())
        .output()?;

    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    super::snapshot::compare(&before, &super::snapshot::take(device))
}

/// What that process does, with the file as its standard input. It may look, but not touch.
pub fn run_other_process() -> Result<()> {
    let device = Device::from(File::from(io::stdin().as_fd().try_clone_to_owned()?));
    let area = Kind::Anonymous.area(PAGE)?;
    let update = Message::update(0, 0x1000, PAGE as u64, area.address(), iotlb::RW);

    device.features()?;
    device.status()?;
    for (request, bytes) in [
        (VHOST_SET_VRING_NUM, vring_state(0, 2)),
        (VHOST_GET_VRING_BASE, vring_state(0, 0)),
        (VHOST_SET_VRING_CALL, vring_file(0, -1)),
        (VHOST_VDPA_SET_VRING_ENABLE, vring_state(0, 0)),
        (VHOST_VDPA_GET_VRING_GROUP, vring_state(0, 0)),
    ] {
        expect(device.set(request, bytes), &[EPERM]).with_context(|| format!("{request:?}"))?;
    }
    expect(device.plain(VHOST_SET_OWNER), &[EBUSY]).context("SET_OWNER")?;
    // The C driver has one errno for all messages that it refuses.
    for message in [update, update.v1(), Message::invalidate(0, 0, 0)] {
        expect(device.send(&message), &[EPERM, EFAULT]).with_context(|| format!("{message:x?}"))?;
    }
    Ok(())
}

/// There is nothing to be read.
fn read(path: &str) -> Result<()> {
    let session = Session::open(path)?;
    let mut bytes = [0; 72];

    expect(session.device.file().read(&mut bytes).map(drop), &[EINVAL])
}

/// A device that is there has no error.
fn poll(path: &str) -> Result<()> {
    let running = Running::start(path, Kind::File, 0, backend::ALL)?;
    let events = running.session.device.poll(libc::POLLIN, Duration::ZERO)?;
    let bad = events & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL);

    ensure!(bad == 0, "poll gives {events:#x}");
    Ok(())
}

/// A way to map the page of a virtqueue's doorbell, and what comes of it.
struct Doorbell {
    name: &'static str,
    page: u64,
    len: usize,
    protection: i32,
    flags: i32,
    expected: &'static [i32],
}

/// Software has no doorbells; what would be wrong with any is said first, but for the virtqueue.
const DOORBELL: Doorbell = Doorbell {
    name: "virtqueue-0",
    page: 0,
    len: PAGE,
    protection: PROT_WRITE,
    flags: MAP_SHARED,
    expected: &[EOPNOTSUPP],
};

fn doorbells(path: &str, facts: &Facts) -> Vec<(&'static str, Result<()>)> {
    let wrong = |name| Doorbell {
        name,
        expected: &[EINVAL],
        ..DOORBELL
    };
    let no_queue = |name, page| Doorbell {
        name,
        page,
        expected: &[EINVAL, EOPNOTSUPP],
        ..DOORBELL
    };

    [
        DOORBELL,
        Doorbell {
            flags: MAP_PRIVATE,
            ..wrong("private")
        },
        Doorbell {
            protection: PROT_READ | PROT_WRITE,
            ..wrong("readable")
        },
        Doorbell {
            protection: PROT_READ,
            ..wrong("read-only")
        },
        Doorbell {
            len: 2 * PAGE,
            ..wrong("two-pages")
        },
        no_queue("one-too-many", facts.queues.into()),
        no_queue("65536", 65536),
        no_queue("2-to-the-32", 1 << 32),
    ]
    .into_iter()
    .map(|bell| {
        let result = Session::open(path).and_then(|session| {
            let fd = session.device.as_fd();
            let mapped = sys::map_doorbell(fd, bell.page, bell.len, bell.protection, bell.flags);
            expect(mapped, bell.expected)
        });
        (bell.name, result)
    })
    .collect()
}

/// The same ioctls by the 32-bit entry: no structure has another layout there.
fn compat(path: &str, facts: &Facts) -> Result<()> {
    let session = Session::open(path)?;
    let device = &session.device;
    let mailbox = Mailbox::low()?;
    let call = |request, bytes: &[u8]| -> Result<Vec<u8>> {
        let place = mailbox.put(bytes)?;
        sys::ioctl32(device.as_fd(), request, &mailbox, place)
            .with_context(|| format!("{request:?}"))?;
        mailbox.read(place, bytes.len())
    };

    let features = call(VHOST_GET_FEATURES, &[0; 8])?;
    ensure!(features == facts.features.to_ne_bytes(), "{features:?}");
    let count = call(VHOST_VDPA_GET_VQS_COUNT, &[0; 4])?;
    ensure!(count == facts.queues.to_ne_bytes(), "{count:?}");
    call(VHOST_SET_VRING_NUM, &vring_state(0, 2))?;
    call(VHOST_SET_VRING_BASE, &vring_state(0, 3))?;
    let base = call(VHOST_GET_VRING_BASE, &vring_state(0, 0))?;
    ensure!(base == vring_state(0, 3), "{base:?}");
    let mut config = vring_state(0, 6).to_vec();
    config.extend([0; 6]);
    ensure!(
        call(VHOST_VDPA_GET_CONFIG, &config)?[8..] == device.config(0, 6)?,
        "the configuration differs"
    );

    let place = mailbox.inaccessible();
    expect(
        sys::ioctl32(device.as_fd(), VHOST_GET_FEATURES, &mailbox, place).map(drop),
        &[libc::EFAULT],
    )?;
    let place = mailbox.put(&[0; 8])?;
    expect(
        sys::ioctl32(device.as_fd(), VHOST_NET_SET_BACKEND, &mailbox, place).map(drop),
        &[libc::ENOTTY],
    )
}
