// SPDX-License-Identifier: GPL-2.0

//! A device that is stopped does nothing, and has nothing lost when it goes on.

use std::thread;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use checks::report::Report;
use vhost::VhostBackend;
use vhost_client::blk::{verify::pattern, Data, Disk, Request, SECTOR};
use vhost_client::memory::Memory;
use vhost_client::net::stream::Stream;
use vhost_client::queue::PATIENCE;
use vhost_client::ring::Used;
use vhost_client::session::{Session, REQUIRED};
use vhost_client::traffic::{Running, Traffic, IOVA, MEMORY};
use vhost_client::uapi::*;
use virtio_bindings::virtio_blk::{VIRTIO_BLK_S_OK, VIRTIO_BLK_T_OUT};

use super::Manner;

type Check = fn(&Manner) -> Result<()>;

const CHECKS: [(&str, Check); 7] = [
    ("suspended", suspended),
    ("queue-disabled", disabled),
    ("enabled-when-ready", enabled_late),
    ("reset-and-again", reset_and_again),
    ("mappings-survive-a-reset", persistent),
    ("kicked-before-ready", kicked_early),
    ("started-at-once", at_once),
];

/// How long a device is watched that shall do nothing.
const QUIET: Duration = Duration::from_millis(100);

/// How many things it is asked to do meanwhile.
const COUNT: u64 = 24;

/// What is for devices that do not say where a virtqueue stands, if that was stopped.
const RESETS: [(&str, Check); 2] = [
    ("queue-reset", queue_reset),
    ("queue-reset-and-forgotten", queue_reset_and_forgotten),
];

/// Of these, the ones for what only devices in software can do.
const SOFTWARE: [&str; 2] = ["enabled-when-ready", "kicked-before-ready"];

/// Makes all checks that are for such a device.
pub fn run(manner: &Manner, hardware: bool, report: &mut Report) {
    for (name, check) in CHECKS {
        if hardware && SOFTWARE.contains(&name) {
            continue;
        }
        report.check(format_args!("states/{name}"), check(manner));
    }
}

/// Makes one check.
pub fn run_one(manner: &Manner, name: &str, report: &mut Report) -> Result<()> {
    let (name, check) = CHECKS
        .into_iter()
        .chain(RESETS)
        .find(|check| check.0 == name)
        .with_context(|| format!("there is no check {name}"))?;

    report.check(format_args!("states/{name}"), check(manner));
    Ok(())
}

fn start(manner: &Manner) -> Result<Running> {
    Running::start(&manner.path, manner.memory, manner.features, manner.backend)
}

/// Gives the device work, and rings all bells whether it wants that or not.
pub fn ask(traffic: &mut Traffic) -> Result<()> {
    match traffic {
        Traffic::Net(device, _, mac) => {
            let stream = stream(*mac);
            for number in 0..COUNT {
                ensure!(stream.send(device, number, None)?, "no room");
            }
            device.notify()?;
        }
        Traffic::Blk(disk) => {
            for number in 0..COUNT {
                let data = Data::ToDevice(pattern(number, number, SECTOR));
                let request = Request {
                    kind: VIRTIO_BLK_T_OUT,
                    sector: number,
                    data,
                };
                ensure!(disk.start(request)?.is_some(), "no room");
            }
            disk.queue.notify()?;
        }
    }
    for queue in traffic.queues() {
        queue.kick.write(1)?;
    }
    Ok(())
}

fn stream(to: vhost_client::net::Mac) -> Stream {
    Stream {
        to,
        count: COUNT,
        size: 300,
        inflight: COUNT as usize,
        seed: 4,
        compare: true,
    }
}

/// Takes what must come of it.
pub fn take(traffic: &mut Traffic) -> Result<()> {
    match traffic {
        Traffic::Net(device, _, mac) => {
            let stream = stream(*mac);
            for number in 0..COUNT {
                let frame = device.receive(PATIENCE)?;
                let frame = frame.with_context(|| format!("frame {number} is lost"))?;
                stream.check(&frame, number)?;
            }
            device.reap_all()
        }
        Traffic::Blk(disk) => take_requests(disk),
    }
}

fn take_requests(disk: &mut Disk) -> Result<()> {
    for _ in 0..COUNT {
        let (request, answer) = disk.finish()?;
        ensure!(
            answer.status == VIRTIO_BLK_S_OK as u8,
            "{request:?}: status {}",
            answer.status
        );
    }
    Ok(())
}

/// Checks that the device does nothing for a while.
pub fn expect_quiet(traffic: &mut Traffic) -> Result<()> {
    thread::sleep(QUIET);
    for queue in traffic.queues() {
        let used: Option<Used> = queue.ring.take()?;
        ensure!(
            used.is_none(),
            "virtqueue {} goes on: {used:?}",
            queue.index
        );
    }
    Ok(())
}

fn suspended(manner: &Manner) -> Result<()> {
    let mut running = start(manner)?;
    let device = running.session.device.try_clone()?;

    for round in 0..3 {
        running.traffic.prove(round, 20)?;
        device.plain(VHOST_VDPA_SUSPEND)?;
        let bases = |running: &mut Running| -> Result<Vec<u32>> {
            let indexes: Vec<_> = running
                .traffic
                .queues()
                .iter()
                .map(|queue| queue.index)
                .collect();
            indexes
                .into_iter()
                .map(|index| running.session.base(index))
                .collect()
        };
        let before = bases(&mut running)?;

        ask(&mut running.traffic)?;
        expect_quiet(&mut running.traffic)?;
        ensure!(bases(&mut running)? == before, "the base changed");
        device.plain(VHOST_VDPA_RESUME)?;
        take(&mut running.traffic).context("after it was resumed")?;
    }
    running.traffic.prove(9, 20)
}

fn disabled(manner: &Manner) -> Result<()> {
    let mut running = start(manner)?;

    running.traffic.prove(1, 20)?;
    // The one that has work; a network device cannot receive without one to send.
    let index = match &running.traffic {
        Traffic::Net(..) => vhost_client::net::TX,
        Traffic::Blk(_) => 0,
    };
    running.session.enable(index, false)?;
    ask(&mut running.traffic)?;
    expect_quiet(&mut running.traffic)?;
    running.session.enable(index, true)?;
    for queue in running.traffic.queues() {
        queue.kick.write(1)?;
    }
    take(&mut running.traffic).context("after it was enabled again")
}

/// Starts a device, and disables the virtqueue of a disk, which then does nothing.
fn disabled_disk(manner: &Manner) -> Result<Running> {
    let mut running = start(manner)?;

    running.traffic.prove(1, 20)?;
    running.session.enable(0, false)?;
    ask(&mut running.traffic)?;
    expect_quiet(&mut running.traffic)?;
    Ok(running)
}

/// As a driver resets a virtqueue: virtio 1.3, section 2.6.1. It is set up anew, in the same device.
fn queue_reset(manner: &Manner) -> Result<()> {
    for round in 0..3 {
        let mut running = disabled_disk(manner)?;

        running.traffic = Traffic::new(&running.session, &running.memory)?;
        running.traffic.prove(round, 40)?;
        // The same once more, without a reset of the device.
        running.session.enable(0, false)?;
        running.traffic = Traffic::new(&running.session, &running.memory)?;
        running.traffic.prove(round, 40)?;
    }
    Ok(())
}

/// Who does not say where to begin would have requests done twice.
fn queue_reset_and_forgotten(manner: &Manner) -> Result<()> {
    let mut running = disabled_disk(manner)?;

    running.session.enable(0, true)?;
    expect_quiet(&mut running.traffic)?;
    let status = running.session.device.status()?;
    ensure!(
        status & status::NEEDS_RESET != 0,
        "the status is {status:#x}, which does not say that the device has to be reset"
    );
    Ok(())
}

/// For `VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK`.
fn enabled_late(manner: &Manner) -> Result<()> {
    let session = Session::open(&manner.path)?;
    let offered = session.device.backend_features()?;
    ensure!(
        offered & backend::ENABLE_AFTER_DRIVER_OK != 0,
        "it is not offered"
    );

    let mut running = Running::prepare(session, manner.memory, manner.features, manner.backend)?;
    let mut indexes = Vec::new();
    for queue in running.traffic.queues() {
        indexes.push(queue.index);
    }
    for index in &indexes {
        running.session.enable(*index, false)?;
    }
    running.session.start()?;
    for index in indexes {
        running.session.enable(index, true)?;
    }
    running.traffic.prove(1, 40)
}

/// A reset leaves nothing that would disturb the next driver.
fn reset_and_again(manner: &Manner) -> Result<()> {
    let mut running = start(manner)?;

    for round in 0..5 {
        running.traffic.prove(round, 10)?;
        ask(&mut running.traffic)?;
        running.session.device.set_status(0)?;
        expect_reset(&running.session)?;
        // What was mapped may be gone or not: see the next check.
        running
            .session
            .device
            .send(&vhost_client::iotlb::Message::invalidate(0, 0, 0))?;
        running = Running::prepare(
            running.session.again()?,
            manner.memory,
            manner.features,
            manner.backend,
        )?;
        running.session.start()?;
    }
    running.traffic.prove(9, 20)
}

fn expect_reset(session: &Session) -> Result<()> {
    ensure!(session.device.status()? == 0, "the status is not 0");
    for index in 0..session.device.number(VHOST_VDPA_GET_VQS_COUNT)? {
        let base = session.base(index)?;
        ensure!(base == 0, "virtqueue {index} goes on at {base}");
    }
    Ok(())
}

/// For `VHOST_BACKEND_F_IOTLB_PERSIST`.
fn persistent(manner: &Manner) -> Result<()> {
    let mut running = start(manner)?;
    let offered = running.session.device.backend_features()?;
    ensure!(offered & backend::IOTLB_PERSIST != 0, "it is not offered");

    for round in 0..3 {
        running.traffic.prove(round, 20)?;
        running.session.device.set_status(0)?;
        let mut session = running.session.again()?;
        let features = vhost_client::traffic::features(&session)? | manner.features;
        session.negotiate(features, manner.backend)?;
        // The memory is not mapped again.
        running.traffic = Traffic::new(&session, &running.memory)?;
        session.start()?;
        running.session = session;
    }
    running.traffic.prove(9, 20)
}

/// What was announced before the device worked is done when it does.
fn kicked_early(manner: &Manner) -> Result<()> {
    let session = Session::open(&manner.path)?;
    let mut running = Running::prepare(session, manner.memory, manner.features, manner.backend)?;

    ask(&mut running.traffic)?;
    expect_quiet(&mut running.traffic)?;
    running.session.start()?;
    for queue in running.traffic.queues() {
        queue.kick.write(1)?;
    }
    take(&mut running.traffic)?;
    running.traffic.prove(1, 20)
}

/// Cloud Hypervisor sets a device up while its status is 0, beginning with the features, and writes
/// all bits of the status at once.
fn at_once(manner: &Manner) -> Result<()> {
    const RUNNING: u8 =
        status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK;
    let mut session = Session::open(&manner.path)?;

    session.features = REQUIRED | vhost_client::traffic::features(&session)? | manner.features;
    session.vdpa.set_features(session.features)?;
    session
        .device
        .set_backend_features(session.device.backend_features()? & manner.backend)?;
    let memory = Memory::new(manner.memory, IOVA, MEMORY)?;
    session.map(0, &memory)?;
    let mut traffic = Traffic::new(&session, &memory)?;

    session.device.set_status(RUNNING)?;
    let kept = session.device.status()?;
    ensure!(kept == RUNNING, "the status is {kept:#x}");
    traffic.prove(1, 40)
}
