// SPDX-License-Identifier: GPL-2.0

//! The status and the features, set as they must not be: virtio 1.3, sections 2.1, 2.2 and 3.1.

use anyhow::{bail, ensure, Context, Result};
use checks::report::Report;
use vhost::VhostBackend;
use vhost_client::device::errno;
use vhost_client::queue::wait_event;
use vhost_client::session::{EVENT_IDX, REQUIRED};
use vhost_client::uapi::*;
use virtio_bindings::virtio_config::{VIRTIO_CONFIG_S_FAILED, VIRTIO_F_ACCESS_PLATFORM};

use super::bed::{Bed, End, PATIENCE};
use super::layout::*;
use super::start::RUNNING;
use super::subject::Subject;

type Check = fn(&mut Bed) -> Result<()>;

fn checks<S: Subject>() -> [(&'static str, &'static str, Check); 14] {
    [
        ("suspended/status-again", "2.1", suspended_again::<S>),
        ("suspended/failed", "2.1", suspended_failed::<S>),
        ("suspended/moved", "vhost_vdpa", suspended_moved::<S>),
        ("features/not-offered", "2.2.1", not_offered::<S>),
        ("features/required-is-missing", "6.1", required_missing::<S>),
        (
            "features/ok-after-a-refusal",
            "2.2.2",
            ok_after_refusal::<S>,
        ),
        (
            "driver-ok/without-features-ok",
            "3.1.1",
            no_features_ok::<S>,
        ),
        ("driver-ok/without-features", "3.1.1", no_features::<S>),
        ("needs-reset/set-by-the-driver", "2.1.2", set_by_driver::<S>),
        ("needs-reset/taken-back", "2.1.2", taken_back::<S>),
        ("failed/needs-reset", "2.1.2", told_after_failed::<S>),
        ("signal/after-restore", "2.7.7", signal_restored::<S>),
        ("signal/after-resume", "2.7.7", signal_resumed::<S>),
        ("event-index/used-flags", "2.7.10", used_flags::<S>),
    ]
}

/// Makes all checks of the status and the features.
pub fn run<S: Subject>(bed: &mut Bed, report: &mut Report) {
    for (what, section, check) in checks::<S>() {
        let result = check(bed);
        let again = S::check_works(bed).context("after a reset");

        report.check(
            format_args!("hostile/{}/{what} ({section})", S::NAME),
            result.and(again),
        );
    }
}

const FAILED: u8 = VIRTIO_CONFIG_S_FAILED as u8;

fn suspend(bed: &Bed) -> Result<()> {
    bed.session
        .device
        .plain(VHOST_VDPA_SUSPEND)
        .context("SUSPEND")
}

fn resume(bed: &Bed) -> Result<()> {
    bed.session
        .device
        .plain(VHOST_VDPA_RESUME)
        .context("RESUME")
}

fn suspended_again<S: Subject>(bed: &mut Bed) -> Result<()> {
    bed.start(S::FEATURES, S::QUEUES)?;
    S::work(bed)?;
    suspend(bed)?;
    // It may be refused.
    let _ = bed.session.device.set_status(bed.session.device.status()?);
    S::check_idle(bed).context("suspended, and the status was written again")?;
    resume(bed)?;
    S::take(bed, 0)
}

fn suspended_failed<S: Subject>(bed: &mut Bed) -> Result<()> {
    bed.start(S::FEATURES, S::QUEUES)?;
    S::work(bed)?;
    suspend(bed)?;
    let status = bed.session.device.status()?;
    let _ = bed.session.device.set_status(status | FAILED);
    S::check_idle(bed).context("suspended, and FAILED was written")
}

/// What succeeds has an effect: the ring is elsewhere afterwards, or it was refused.
fn suspended_moved<S: Subject>(bed: &mut Bed) -> Result<()> {
    bed.start(S::FEATURES, S::QUEUES)?;
    S::work(bed)?;
    suspend(bed)?;
    let before = bed.rings[S::QUEUE as usize].places;
    let addresses = bed.rings[S::QUEUE as usize].addresses;

    bed.move_to(S::QUEUE, [TABLE, EDGE, LAST])?;
    let bytes = bed.rings[S::QUEUE as usize].addresses.bytes();
    if bed.session.device.set(VHOST_SET_VRING_ADDR, bytes).is_err() {
        let ring = &mut bed.rings[S::QUEUE as usize];
        (ring.places, ring.addresses) = (before, addresses);
    }
    resume(bed)?;
    S::work(bed)
}

/// Resets the device, for a driver that knows it.
fn acknowledge<S: Subject>(bed: &mut Bed) -> Result<()> {
    bed.reset(S::FEATURES)?;
    bed.session.device.set_status(0)?;
    bed.session.add_status(status::ACKNOWLEDGE | status::DRIVER)
}

/// Tells the device of all queues and says that the driver is ready, whatever that is answered.
fn begin<S: Subject>(bed: &mut Bed, status: u8) -> Result<()> {
    for index in 0..S::QUEUES {
        bed.make(index)?;
        bed.attach(index)?;
    }
    let _ = bed.session.device.set_status(status);
    Ok(())
}

/// Checks that features are refused with `EINVAL`.
fn check_refused(bed: &Bed, features: u64) -> Result<()> {
    match bed.session.device.set_features(features) {
        Ok(()) => bail!("features {features:#x} are accepted"),
        Err(error) => {
            ensure!(errno(&error) == libc::EINVAL, "{error}, not EINVAL");
            Ok(())
        }
    }
}

fn not_offered<S: Subject>(bed: &mut Bed) -> Result<()> {
    let offered = bed.session.vdpa.get_features()?;
    let mut tried = 0;

    for bit in (0..64).filter(|bit| offered & (1 << bit) == 0) {
        acknowledge::<S>(bed)?;
        check_refused(bed, S::FEATURES | REQUIRED | (1 << bit))?;
        tried += 1;
    }
    ensure!(tried != 0, "all features are offered");
    Ok(())
}

fn required_missing<S: Subject>(bed: &mut Bed) -> Result<()> {
    acknowledge::<S>(bed)?;
    let required = REQUIRED & !(1 << VIRTIO_F_ACCESS_PLATFORM);
    check_refused(bed, S::FEATURES | required)
}

fn ok_after_refusal<S: Subject>(bed: &mut Bed) -> Result<()> {
    acknowledge::<S>(bed)?;
    let required = REQUIRED & !(1 << VIRTIO_F_ACCESS_PLATFORM);
    check_refused(bed, S::FEATURES | required)?;
    let status = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;
    let _ = bed.session.device.set_status(status);
    let kept = bed.session.device.status()?;
    ensure!(
        kept & status::FEATURES_OK == 0,
        "the features were refused, but the status is {kept:#x}"
    );
    // It is not too late.
    bed.session
        .device
        .set_features(S::FEATURES | REQUIRED)
        .context("the right features")?;
    bed.session.add_status(status::FEATURES_OK)?;
    begin::<S>(bed, RUNNING)?;
    S::work(bed)
}

fn no_features_ok<S: Subject>(bed: &mut Bed) -> Result<()> {
    acknowledge::<S>(bed)?;
    bed.session.device.set_features(S::FEATURES | REQUIRED)?;
    begin::<S>(bed, RUNNING & !status::FEATURES_OK)?;
    S::check_idle(bed)
}

fn no_features<S: Subject>(bed: &mut Bed) -> Result<()> {
    acknowledge::<S>(bed)?;
    begin::<S>(bed, RUNNING)?;
    S::check_idle(bed)
}

/// Breaks the ring, and waits until the driver is told.
fn break_ring<S: Subject>(bed: &mut Bed) -> Result<()> {
    const BAD: u16 = 0xffff;
    let _ = bed.config.read();

    bed.offer(S::QUEUE, BAD)?;
    bed.publish(S::QUEUE)?;
    let end = bed.wait(S::QUEUE, BAD, PATIENCE)?;
    ensure!(end == End::Stopped, "{end:?} for a ring that is broken");
    ensure!(
        wait_event(&bed.config, PATIENCE)?,
        "no configuration interrupt"
    );
    Ok(())
}

fn set_by_driver<S: Subject>(bed: &mut Bed) -> Result<()> {
    bed.start(S::FEATURES, S::QUEUES)?;
    let _ = bed.session.device.set_status(RUNNING | status::NEEDS_RESET);
    let kept = bed.session.device.status()?;
    ensure!(
        kept & status::NEEDS_RESET == 0,
        "the driver has set the status to {kept:#x}"
    );
    S::work(bed)?;
    break_ring::<S>(bed)
}

fn taken_back<S: Subject>(bed: &mut Bed) -> Result<()> {
    bed.start(S::FEATURES, S::QUEUES)?;
    S::work(bed)?;
    break_ring::<S>(bed)?;
    let _ = bed.session.device.set_status(RUNNING);
    ensure!(
        bed.is_stopped()?,
        "the driver has taken DEVICE_NEEDS_RESET back"
    );
    Ok(())
}

fn told_after_failed<S: Subject>(bed: &mut Bed) -> Result<()> {
    bed.start(S::FEATURES, S::QUEUES)?;
    // All that only the device sets, and what another driver may have left.
    let _ = bed.session.device.set_status(RUNNING | status::NEEDS_RESET);
    break_ring::<S>(bed)
}

/// A driver that waits for something else: index and event index are as after a wrap.
fn far_event<S: Subject>(bed: &mut Bed) -> Result<()> {
    let size = u64::from(bed.ring_size());
    let ring = &bed.rings[S::QUEUE as usize];
    let (at, far) = (
        ring.places[1].at(4 + 2 * size),
        ring.used.wrapping_add(0x4000),
    );

    bed.memory.store(at, far)
}

/// Checks that what is done next is signalled, wherever the event index is.
fn check_signalled<S: Subject>(bed: &mut Bed) -> Result<()> {
    let call = bed.rings[S::QUEUE as usize].call.try_clone()?;
    let _ = call.read();

    S::put(bed, 1)?;
    bed.show(S::QUEUE)?;
    far_event::<S>(bed)?;
    bed.kick(S::QUEUE)?;
    ensure!(
        wait_event(&call, PATIENCE)?,
        "the driver is not called for the first that is done"
    );
    S::take(bed, 1)
}

/// Another device goes on: what the driver was told last is not known.
fn signal_restored<S: Subject>(bed: &mut Bed) -> Result<()> {
    bed.start(S::FEATURES | EVENT_IDX, S::QUEUES)?;
    S::work(bed)?;
    suspend(bed)?;
    let index = bed.session.base(S::QUEUE)? as u16;

    bed.reset(S::FEATURES | EVENT_IDX)?;
    for queue in 0..S::QUEUES {
        bed.make(queue)?;
        if queue == S::QUEUE {
            bed.set_index(queue, index)?;
        }
        bed.attach(queue)?;
    }
    bed.session.start()?;
    check_signalled::<S>(bed)
}

fn signal_resumed<S: Subject>(bed: &mut Bed) -> Result<()> {
    bed.start(S::FEATURES | EVENT_IDX, S::QUEUES)?;
    S::work(bed)?;
    suspend(bed)?;
    resume(bed)?;
    check_signalled::<S>(bed)
}

fn used_flags<S: Subject>(bed: &mut Bed) -> Result<()> {
    bed.reset(S::FEATURES | EVENT_IDX)?;
    for queue in 0..S::QUEUES {
        bed.make(queue)?;
        let flags = bed.rings[queue as usize].places[2].at(0);
        bed.memory.store(flags, 1)?;
        bed.attach(queue)?;
    }
    bed.session.start()?;
    S::work(bed)?;
    let flags = bed
        .memory
        .load(bed.rings[S::QUEUE as usize].places[2].at(0))?;
    ensure!(flags == 0, "the flags of the used ring are {flags}");
    Ok(())
}
