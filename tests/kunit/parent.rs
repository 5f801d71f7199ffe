// SPDX-License-Identifier: GPL-2.0

//! What becomes of a parent: the table of its phases from C's side, each from each, and what it is
//! told of virtqueues.

use crate::bed::{
    info,
    Bed, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        lock::mutex::MutexGuard,
        Arc,
        Mutex, //
    }, //
};
use vdpa::{
    bindings,
    parent::{
        Adapter,
        Events,
        Parent,
        VqSetup, //
    },
    Asid,
    Features,
    Status,
    UnregisteredDevice,
    VqAddress,
    VqIndex,
    VqState, //
};

const FEATURES: Features = Features::from_bits(&[
    bindings::VIRTIO_F_VERSION_1,
    bindings::VIRTIO_F_ACCESS_PLATFORM,
]);
const VIRTQUEUES: u32 = 2;
const SIZE_MAX: u16 = 64;

const ADDRESS: VqAddress = VqAddress {
    desc: 0x1000,
    driver: 0x2000,
    device: 0x3000,
};

/// What the device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    Work,
    Pause,
}

/// What a method is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fail {
    Never,
    Negotiate,
    Start,
    StartQueue,
    StopQueue,
    Suspend,
    Resume,
    Reset,
}

/// What the parent was told.
struct Told {
    doing: Doing,
    queues: [Option<VqSetup>; VIRTQUEUES as usize],
    /// The virtqueue that was stopped last.
    stopped: Option<VqIndex>,
    /// How often it was to be started.
    starts: u32,
    /// Kicks of each virtqueue.
    kicks: [u32; VIRTQUEUES as usize],
    /// Something came in an order that must not be.
    disorder: bool,
    fail: Fail,
}

impl Told {
    fn is_started(&self, vq: VqIndex) -> bool {
        let queue = self.queues.get(usize::from(vq));

        queue.is_some_and(|queue| queue.is_some())
    }
}

#[pin_data]
struct Probe {
    #[pin]
    told: Mutex<Told>,
    events: Arc<Events>,
}

impl Probe {
    fn fails(&self, what: Fail) -> Result {
        if self.told.lock().fail == what {
            return Err(EIO);
        }
        Ok(())
    }

    fn begin(&self, from: Doing, queues: &[VqSetup]) -> Result {
        let mut told = self.told.lock();

        told.disorder |= told.doing != from || self.events.is_broken();
        told.doing = Doing::Work;
        told.starts += 1;
        told.queues = [None; VIRTQUEUES as usize];
        for queue in queues {
            *told
                .queues
                .get_mut(usize::from(queue.index))
                .ok_or(EINVAL)? = Some(*queue);
        }
        drop(told);
        self.fails(Fail::Start)
    }
}

#[vtable]
impl Parent for Probe {
    fn device_id(&self) -> u32 {
        bindings::VIRTIO_ID_NET
    }

    fn features(&self) -> Features {
        FEATURES
    }

    fn size_max(&self, _vq: VqIndex) -> u16 {
        SIZE_MAX
    }

    fn negotiate(&self, features: Features) -> Result {
        let mut told = self.told.lock();

        told.disorder |= told.doing != Doing::Nothing || features.is_empty();
        drop(told);
        self.fails(Fail::Negotiate)
    }

    fn start(&self, _features: Features, queues: &[VqSetup]) -> Result {
        self.begin(Doing::Nothing, queues)
    }

    fn start_queue(&self, queue: &VqSetup) -> Result {
        let mut told = self.told.lock();
        let twice = told.is_started(queue.index);

        told.disorder |= twice || told.doing != Doing::Work;
        *told
            .queues
            .get_mut(usize::from(queue.index))
            .ok_or(EINVAL)? = Some(*queue);
        drop(told);
        self.fails(Fail::StartQueue)
    }

    fn stop_queue(&self, vq: VqIndex) -> Result {
        self.fails(Fail::StopQueue)?;
        let mut told = self.told.lock();
        let started = told.is_started(vq);

        told.disorder |= !started || told.doing != Doing::Work;
        told.stopped = Some(vq);
        *told.queues.get_mut(usize::from(vq)).ok_or(EINVAL)? = None;
        Ok(())
    }

    fn queue_state(&self, vq: VqIndex) -> Result<VqState> {
        let mut told = self.told.lock();
        let known = told.is_started(vq) || told.stopped == Some(vq);

        told.disorder |= !known || told.doing == Doing::Nothing;
        Ok(VqState::Split { avail_index: 77 })
    }

    fn suspend(&self) -> Result {
        self.fails(Fail::Suspend)?;
        let mut told = self.told.lock();

        told.disorder |= told.doing != Doing::Work;
        told.doing = Doing::Pause;
        Ok(())
    }

    fn resume(&self, _features: Features, queues: &[VqSetup]) -> Result {
        self.fails(Fail::Resume)?;
        self.begin(Doing::Pause, queues)
    }

    fn reset(&self) -> Result {
        let mut told = self.told.lock();

        told.doing = Doing::Nothing;
        told.queues = [None; VIRTQUEUES as usize];
        told.stopped = None;
        drop(told);
        self.fails(Fail::Reset)
    }

    fn kick(&self, vq: VqIndex) {
        let mut told = self.told.lock();
        let started = told.is_started(vq);

        told.disorder |= !started;
        if let Some(kicks) = told.kicks.get_mut(usize::from(vq)) {
            *kicks += 1;
        }
    }
}

fn bed() -> Result<Bed<Adapter<Probe>>> {
    let info = info(VIRTQUEUES);
    let parent = |events| {
        try_pin_init!(Probe {
            told <- new_mutex!(
                Told {
                    doing: Doing::Nothing,
                    queues: [None; VIRTQUEUES as usize],
                    stopped: None,
                    starts: 0,
                    kicks: [0; VIRTQUEUES as usize],
                    disorder: false,
                    fail: Fail::Never,
                },
                "vdpa_kunit_told"
            ),
            events,
        })
    };

    Bed::new(UnregisteredDevice::new(&info, Adapter::new(&info, parent))?)
}

/// What happens to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Accept,
    FeaturesOk,
    DriverOk,
    /// DRIVER_OK, and the device does not start.
    DriverOkInVain,
    Failed,
    Suspend,
    Resume,
    Broken,
    Reset,
}

use Event::*;

/// The parent's side.
fn told<'a>(bed: &'a Bed<Adapter<Probe>>) -> MutexGuard<'a, Told> {
    bed.parent().parent().told.lock()
}

/// Has something happen. Returns what the operation does, 0 where it returns nothing.
fn cause(bed: &Bed<Adapter<Probe>>, event: Event) -> Result<i32> {
    bed.with(|dev| {
        let status = op!(dev, get_status)?;
        let write = |more: Status| op!(dev, set_status, status | more.0).map(|()| 0);

        match event {
            Accept => op!(dev, set_driver_features, FEATURES.0),
            FeaturesOk => write(Status::FEATURES_OK),
            DriverOk => write(Status::DRIVER_OK),
            DriverOkInVain => {
                told(bed).fail = Fail::Start;
                let ret = write(Status::DRIVER_OK);
                told(bed).fail = Fail::Never;
                ret
            }
            Failed => write(Status::FAILED),
            Suspend => op!(dev, suspend),
            Resume => op!(dev, resume),
            Broken => {
                bed.parent().parent().events.set_needs_reset();
                Ok(0)
            }
            Reset => op!(dev, reset),
        }
    })
}

fn status(bed: &Bed<Adapter<Probe>>) -> Result<u8> {
    bed.with(|dev| op!(dev, get_status))
}

/// Where the first virtqueue stands.
fn stands(bed: &Bed<Adapter<Probe>>) -> Result<VqState> {
    let mut raw = VqState::initial(false).to_raw();

    bed.with(|dev| op!(dev, get_vq_state, 0, &mut raw))?;
    Ok(VqState::from_raw(&raw, false))
}

/// What the parent was told of a virtqueue.
fn queue(bed: &Bed<Adapter<Probe>>, index: usize) -> Option<VqSetup> {
    told(bed).queues.get(index).copied().flatten()
}

/// A device with a driver in some phase, with a virtqueue enabled.
fn at(way: &[Event]) -> Result<Bed<Adapter<Probe>>> {
    with_queue(ADDRESS, 32, way)
}

/// The same, whose virtqueue was set up so.
fn with_queue(address: VqAddress, num: u32, way: &[Event]) -> Result<Bed<Adapter<Probe>>> {
    let bed = bed()?;

    bed.with(|dev| {
        let VqAddress {
            desc,
            driver,
            device,
        } = address;

        op!(dev, set_status, 3)?;
        check_eq!(op!(dev, set_vq_address, 0, desc, driver, device)?, 0);
        op!(dev, set_vq_num, 0, num)?;
        op!(dev, set_vq_ready, 0, true)
    })?;
    for event in way {
        check_eq!(cause(&bed, *event)?, 0);
    }
    Ok(bed)
}

const INITIAL: &[Event] = &[Accept];
const NEGOTIATED: &[Event] = &[Accept, FeaturesOk];
const RUNNING: &[Event] = &[Accept, FeaturesOk, DriverOk];
const SUSPENDED: &[Event] = &[Accept, FeaturesOk, DriverOk, Suspend];
const STOPPED: &[Event] = &[Accept, FeaturesOk, DriverOkInVain];
const BROKEN: &[Event] = &[Accept, FeaturesOk, DriverOk, Broken];
const BROKEN_EARLY: &[Event] = &[Accept, FeaturesOk, Broken];
const BROKEN_LATE: &[Event] = &[Accept, FeaturesOk, DriverOk, Suspend, Broken];

/// Counts calls in what it is given.
///
/// # Safety
///
/// It must be a counter.
unsafe extern "C" fn count(private: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: By the safety requirements of this function.
    let calls = unsafe { &*private.cast::<Atomic<u32>>() };

    calls.fetch_add(1, Relaxed);
    bindings::irqreturn_t(bindings::irqreturn::IRQ_HANDLED.0)
}

#[kunit_tests(vdpa_parent)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_from_each() -> Result {
        let (busy, eio) = (EBUSY.to_errno(), EIO.to_errno());
        let (no, work, pause) = (Doing::Nothing, Doing::Work, Doing::Pause);

        // Where it is, what happens, what the operation returns, the status and what the device
        // does then.
        for (way, event, ret, status_then, doing) in [
            (INITIAL, Accept, 0, 0x03, no),
            (INITIAL, FeaturesOk, 0, 0x0b, no),
            (INITIAL, DriverOk, 0, 0x03, no),
            (INITIAL, Failed, 0, 0x83, no),
            (INITIAL, Suspend, 0, 0x03, no),
            (INITIAL, Resume, 0, 0x03, no),
            (INITIAL, Broken, 0, 0x43, no),
            (INITIAL, Reset, 0, 0x00, no),
            (NEGOTIATED, Accept, busy, 0x0b, no),
            (NEGOTIATED, FeaturesOk, 0, 0x0b, no),
            (NEGOTIATED, DriverOk, 0, 0x0f, work),
            (NEGOTIATED, DriverOkInVain, 0, 0x4b, no),
            (NEGOTIATED, Failed, 0, 0x83, no),
            (NEGOTIATED, Suspend, 0, 0x0b, no),
            (NEGOTIATED, Resume, 0, 0x0b, no),
            (NEGOTIATED, Broken, 0, 0x4b, no),
            (NEGOTIATED, Reset, 0, 0x00, no),
            (RUNNING, Accept, busy, 0x0f, work),
            (RUNNING, FeaturesOk, 0, 0x0f, work),
            (RUNNING, DriverOk, 0, 0x0f, work),
            (RUNNING, Failed, 0, 0x83, no),
            (RUNNING, Suspend, 0, 0x0f, pause),
            (RUNNING, Resume, 0, 0x0f, work),
            (RUNNING, Broken, 0, 0x4f, work),
            (RUNNING, Reset, 0, 0x00, no),
            (SUSPENDED, Accept, busy, 0x0f, pause),
            (SUSPENDED, FeaturesOk, 0, 0x0f, pause),
            (SUSPENDED, DriverOk, 0, 0x0f, pause),
            (SUSPENDED, Failed, 0, 0x83, no),
            (SUSPENDED, Suspend, 0, 0x0f, pause),
            (SUSPENDED, Resume, 0, 0x0f, work),
            (SUSPENDED, Broken, 0, 0x4f, pause),
            (SUSPENDED, Reset, 0, 0x00, no),
            (STOPPED, Accept, busy, 0x4b, no),
            (STOPPED, FeaturesOk, 0, 0x4b, no),
            (STOPPED, DriverOk, 0, 0x4b, no),
            (STOPPED, Failed, 0, 0xcb, no),
            (STOPPED, Suspend, 0, 0x4b, no),
            (STOPPED, Resume, 0, 0x4b, no),
            (STOPPED, Broken, 0, 0x4b, no),
            (STOPPED, Reset, 0, 0x00, no),
            (BROKEN, DriverOk, 0, 0x4f, work),
            (BROKEN, Suspend, 0, 0x4f, pause),
            (BROKEN, Failed, 0, 0xc3, no),
            (BROKEN_EARLY, DriverOk, 0, 0x4b, no),
            (BROKEN_LATE, Resume, eio, 0x4f, no),
        ] {
            let bed = at(way)?;

            check_eq!(cause(&bed, event)?, ret);
            check_eq!(status(&bed)?, status_then);
            check_eq!(told(&bed).doing, doing);
            // After a reset all can begin anew, wherever it was.
            check_eq!(cause(&bed, Reset)?, 0);
            for event in RUNNING {
                check_eq!(cause(&bed, *event)?, 0);
            }
            check_eq!(status(&bed)?, 0x0c);
            check!(!told(&bed).disorder);
        }
        Ok(())
    }

    #[test]
    fn a_driver_that_begins_again_without_a_reset() -> Result {
        let bed = at(&[Accept, FeaturesOk, DriverOk, Failed])?;

        // As the kernel does it where a driver is bound once more.
        for event in [Accept, FeaturesOk, DriverOk] {
            check_eq!(cause(&bed, event)?, 0);
        }
        check_eq!(status(&bed)?, 0x8f);
        check_eq!(told(&bed).doing, Doing::Work);
        // It can give up, too.
        check_eq!(cause(&bed, Failed)?, 0);
        check_eq!(status(&bed)?, 0x83);
        check_eq!(told(&bed).doing, Doing::Nothing);
        Ok(())
    }

    #[test]
    fn a_legacy_driver_knows_no_features_ok() -> Result {
        let bed = at(&[])?;
        let features = 1 << bindings::VIRTIO_F_ACCESS_PLATFORM;

        check_eq!(bed.with(|dev| op!(dev, set_driver_features, features))?, 0);
        check_eq!(cause(&bed, DriverOk)?, 0);
        check_eq!(status(&bed)?, 0x0f);
        check_eq!(told(&bed).doing, Doing::Work);
        Ok(())
    }

    #[test]
    fn features_that_cannot_be_taken() -> Result {
        let bed = at(&[])?;

        for features in [0, FEATURES.0 | 1 << 40, 1 << bindings::VIRTIO_F_VERSION_1] {
            // What was taken before does not hold either.
            check_eq!(cause(&bed, Accept)?, 0);
            let ret = bed.with(|dev| op!(dev, set_driver_features, features))?;
            check_eq!(ret, EINVAL.to_errno());
            check_eq!(cause(&bed, FeaturesOk)?, 0);
            check_eq!(status(&bed)?, 0x03);
        }
        check_eq!(cause(&bed, Accept)?, 0);
        told(&bed).fail = Fail::Negotiate;
        check_eq!(cause(&bed, FeaturesOk)?, 0);
        check_eq!(status(&bed)?, 0x03);
        Ok(())
    }

    #[test]
    fn virtqueues_are_started_as_they_were_set_up() -> Result {
        let bed = at(NEGOTIATED)?;

        check!(queue(&bed, 0).is_none());
        check_eq!(cause(&bed, DriverOk)?, 0);
        check_eq!(
            queue(&bed, 0),
            Some(VqSetup {
                index: VqIndex::new(0, VIRTQUEUES).ok_or(EINVAL)?,
                address: ADDRESS,
                size: 32,
                state: VqState::Split { avail_index: 0 },
                asid: Asid(0),
            })
        );
        // What may have been announced before is announced again.
        check_eq!(told(&bed).kicks, [1, 0]);

        // One that is enabled late, as large as can be.
        check!(queue(&bed, 1).is_none());
        bed.with(|dev| op!(dev, set_vq_ready, 1, true))?;
        check_eq!(queue(&bed, 1).map(|queue| queue.size), Some(SIZE_MAX));
        check_eq!(told(&bed).kicks, [1, 1]);
        bed.with(|dev| op!(dev, set_vq_ready, 1, true))?;
        check!(!told(&bed).disorder);
        Ok(())
    }

    #[test]
    fn virtqueues_that_make_no_sense_take_a_reset() -> Result {
        let unaligned = |desc, driver, device| VqAddress {
            desc,
            driver,
            device,
        };

        for (address, num) in [
            (ADDRESS, 0),
            (ADDRESS, 3),
            (ADDRESS, 128),
            (ADDRESS, u32::MAX),
            (unaligned(0x1008, 0x2000, 0x3000), 2),
            (unaligned(0x1000, 0x2001, 0x3000), 2),
            (unaligned(0x1000, 0x2000, 0x3002), 2),
            (unaligned(u64::MAX - 15, 0x2000, 0x3000), 2),
            (unaligned(0x1000, u64::MAX - 1, 0x3000), 2),
            (unaligned(0x1000, 0x2000, u64::MAX - 3), 2),
        ] {
            let bed = with_queue(address, num, RUNNING)?;

            check_eq!(status(&bed)?, 0x4b);
            check_eq!(told(&bed).starts, 0);

            // Late as well.
            drop(bed);
            let bed = at(RUNNING)?;
            bed.with(|dev| {
                let VqAddress {
                    desc,
                    driver,
                    device,
                } = address;

                op!(dev, set_vq_address, 1, desc, driver, device)?;
                op!(dev, set_vq_num, 1, num)?;
                op!(dev, set_vq_ready, 1, true)
            })?;
            check_eq!(status(&bed)?, 0x4f);
            check_eq!(told(&bed).doing, Doing::Nothing);
            // What the other one has done is known.
            check_eq!(stands(&bed)?, VqState::Split { avail_index: 77 });
            check!(!told(&bed).disorder);
        }
        Ok(())
    }

    #[test]
    fn virtqueues_go_on_where_they_stood() -> Result {
        let bed = at(NEGOTIATED)?;
        let set = VqState::Split { avail_index: 5 };

        bed.with(|dev| op!(dev, set_vq_state, 0, &set.to_raw()))?;
        check_eq!(stands(&bed)?, set);
        check_eq!(cause(&bed, DriverOk)?, 0);
        check_eq!(queue(&bed, 0).map(|queue| queue.state), Some(set));

        // Only the device knows while it works.
        let ret = bed.with(|dev| op!(dev, set_vq_state, 0, &set.to_raw()))?;
        check_eq!(ret, EBUSY.to_errno());
        let worked = VqState::Split { avail_index: 77 };
        check_eq!(stands(&bed)?, worked);
        bed.with(|dev| {
            op!(dev, set_vq_ready, 0, false)?;
            check!(!op!(dev, get_vq_ready, 0)?);
            op!(dev, set_vq_ready, 0, true)
        })?;
        check_eq!(queue(&bed, 0).map(|queue| queue.state), Some(worked));

        // What is said while it is suspended holds when it goes on.
        check_eq!(cause(&bed, Suspend)?, 0);
        let set = VqState::Split { avail_index: 9 };
        bed.with(|dev| {
            check_eq!(op!(dev, set_vq_address, 0, 0x4000, 0x2000, 0x3000)?, 0);
            check_eq!(op!(dev, set_vq_state, 0, &set.to_raw())?, 0);
            op!(dev, set_vq_ready, 1, true)
        })?;
        check_eq!(cause(&bed, Resume)?, 0);
        let resumed = queue(&bed, 0).ok_or(EINVAL)?;
        check_eq!(resumed.address.desc, 0x4000);
        check_eq!(resumed.state, set);
        check!(queue(&bed, 1).is_some());

        // One that is disabled meanwhile is not started.
        check_eq!(cause(&bed, Suspend)?, 0);
        bed.with(|dev| op!(dev, set_vq_ready, 1, false))?;
        check_eq!(cause(&bed, Resume)?, 0);
        check!(queue(&bed, 1).is_none());
        check!(!told(&bed).disorder);
        Ok(())
    }

    #[test]
    fn a_driver_that_gives_up_leaves_virtqueues_where_they_stand() -> Result {
        let set = VqState::Split { avail_index: 5 };

        for way in [NEGOTIATED, SUSPENDED] {
            let bed = at(way)?;

            bed.with(|dev| op!(dev, set_vq_state, 0, &set.to_raw()))?;
            check_eq!(cause(&bed, Failed)?, 0);
            check_eq!(stands(&bed)?, set);
            check!(!told(&bed).disorder);
        }

        let bed = at(&[Accept, FeaturesOk, DriverOk, Failed])?;
        check_eq!(stands(&bed)?, VqState::Split { avail_index: 77 });
        check!(!told(&bed).disorder);
        Ok(())
    }

    #[test]
    fn a_virtqueue_that_does_not_stop_stops_the_device() -> Result {
        let bed = at(RUNNING)?;

        told(&bed).fail = Fail::StopQueue;
        bed.with(|dev| {
            op!(dev, set_vq_ready, 0, false)?;
            // Who asks for it takes the memory away.
            check!(!op!(dev, get_vq_ready, 0)?);
            Ok(())
        })?;
        check_eq!(status(&bed)?, 0x4f);
        check_eq!(told(&bed).doing, Doing::Nothing);
        Ok(())
    }

    #[test]
    fn a_virtqueue_that_does_not_start_stops_the_device() -> Result {
        let bed = at(RUNNING)?;

        told(&bed).fail = Fail::StartQueue;
        bed.with(|dev| op!(dev, set_vq_ready, 1, true))?;
        check_eq!(status(&bed)?, 0x4f);
        check_eq!(told(&bed).doing, Doing::Nothing);
        check!(!told(&bed).disorder);
        Ok(())
    }

    #[test]
    fn a_device_that_cannot_be_suspended_goes_on() -> Result {
        let bed = at(RUNNING)?;

        told(&bed).fail = Fail::Suspend;
        check_eq!(cause(&bed, Suspend)?, EIO.to_errno());
        check_eq!(told(&bed).doing, Doing::Work);
        told(&bed).fail = Fail::Never;
        check_eq!(cause(&bed, Suspend)?, 0);
        check_eq!(told(&bed).doing, Doing::Pause);
        Ok(())
    }

    #[test]
    fn a_device_that_does_not_go_on_stays_suspended() -> Result {
        let bed = at(SUSPENDED)?;

        told(&bed).fail = Fail::Resume;
        check_eq!(cause(&bed, Resume)?, EIO.to_errno());
        check_eq!(status(&bed)?, 0x0f);
        check_eq!(told(&bed).doing, Doing::Pause);
        told(&bed).fail = Fail::Never;
        check_eq!(cause(&bed, Resume)?, 0);
        check_eq!(told(&bed).doing, Doing::Work);

        // But with what makes no sense it cannot.
        check_eq!(cause(&bed, Suspend)?, 0);
        bed.with(|dev| op!(dev, set_vq_num, 0, 3))?;
        check_eq!(cause(&bed, Resume)?, EINVAL.to_errno());
        check_eq!(status(&bed)?, 0x4f);
        check_eq!(told(&bed).doing, Doing::Nothing);
        Ok(())
    }

    #[test]
    fn nothing_begins_before_a_reset_succeeds() -> Result {
        let bed = at(RUNNING)?;

        told(&bed).fail = Fail::Reset;
        check_eq!(cause(&bed, Reset)?, EIO.to_errno());
        check_eq!(status(&bed)?, 0);
        told(&bed).fail = Fail::Never;
        check_eq!(cause(&bed, Accept)?, EBUSY.to_errno());
        for event in [FeaturesOk, DriverOk] {
            check_eq!(cause(&bed, event)?, 0);
        }
        check_eq!(status(&bed)?, 0);
        check_eq!(told(&bed).starts, 1);
        check_eq!(cause(&bed, Reset)?, 0);
        for event in RUNNING {
            check_eq!(cause(&bed, *event)?, 0);
        }
        check_eq!(status(&bed)?, 0x0c);

        // Nor by a driver that begins again without one.
        told(&bed).fail = Fail::Reset;
        check_eq!(cause(&bed, Failed)?, 0);
        told(&bed).fail = Fail::Never;
        check_eq!(cause(&bed, Accept)?, EBUSY.to_errno());
        check_eq!(cause(&bed, DriverOk)?, 0);
        check_eq!(told(&bed).starts, 2);
        Ok(())
    }

    #[test]
    fn the_driver_is_told_of_the_configuration() -> Result {
        let calls = Atomic::<u32>::new(0);
        let called = || calls.xchg(0, Relaxed);
        let bed = at(&[])?;
        let events = &bed.parent().parent().events;
        let generation = || bed.with(|dev| op!(dev, get_generation));
        let mut callback = bindings::vdpa_callback {
            callback: Some(count),
            private: core::ptr::from_ref(&calls).cast_mut().cast(),
            ..pin_init::zeroed()
        };

        bed.with(|dev| op!(dev, set_config_cb, &mut callback))?;
        for event in NEGOTIATED {
            check_eq!(cause(&bed, *event)?, 0);
        }
        // Before it is ready it is not told, and when it is it must look again.
        let before = generation()?;
        events.config_changed();
        check!(generation()? != before);
        check_eq!(called(), 0);
        check_eq!(cause(&bed, DriverOk)?, 0);
        check_eq!(called(), 1);
        events.config_changed();
        check_eq!(called(), 1);
        // The same while it is suspended.
        check_eq!(cause(&bed, Suspend)?, 0);
        events.config_changed();
        events.config_changed();
        check_eq!(called(), 0);
        check_eq!(cause(&bed, Resume)?, 0);
        check_eq!(called(), 1);
        // That the device cannot go on is told once.
        check!(events.set_needs_reset());
        check!(!events.set_needs_reset());
        check_eq!(called(), 1);

        // And where that happens while it is suspended, when it is to go on.
        check_eq!(cause(&bed, Reset)?, 0);
        bed.with(|dev| op!(dev, set_config_cb, &mut callback))?;
        for event in SUSPENDED {
            check_eq!(cause(&bed, *event)?, 0);
        }
        called();
        check!(events.set_needs_reset());
        check_eq!(called(), 0);
        check_eq!(cause(&bed, Resume)?, EIO.to_errno());
        check_eq!(called(), 1);
        // What a driver has set goes with it, which counts as a change.
        let before = generation()?;
        check_eq!(cause(&bed, Failed)?, 0);
        check!(generation()? != before);
        // It takes the callback, which is of this function, away.
        check_eq!(cause(&bed, Reset)?, 0);
        Ok(())
    }
}
