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
    Resume,
    StopQueue,
}

/// What the parent was told.
struct Told {
    doing: Doing,
    queues: [Option<VqSetup>; VIRTQUEUES as usize],
    kicks: u32,
    resets: u32,
    /// Something came in an order that must not be.
    disorder: bool,
    fail: Fail,
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

        told.disorder |= told.doing != from;
        told.doing = Doing::Work;
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

    fn size_min(&self) -> u16 {
        2
    }

    fn negotiate(&self, features: Features) -> Result {
        let mut told = self.told.lock();

        told.disorder |= told.doing != Doing::Nothing || features != FEATURES;
        drop(told);
        self.fails(Fail::Negotiate)
    }

    fn start(&self, _features: Features, queues: &[VqSetup]) -> Result {
        self.begin(Doing::Nothing, queues)
    }

    fn start_queue(&self, queue: &VqSetup) -> Result {
        let mut told = self.told.lock();
        let doing = told.doing;
        let slot = told
            .queues
            .get_mut(usize::from(queue.index))
            .ok_or(EINVAL)?;
        let twice = slot.replace(*queue).is_some();

        told.disorder |= twice || doing != Doing::Work;
        drop(told);
        self.fails(Fail::Start)
    }

    fn stop_queue(&self, vq: VqIndex) -> Result {
        self.fails(Fail::StopQueue)?;
        let mut told = self.told.lock();
        let doing = told.doing;
        let slot = told.queues.get_mut(usize::from(vq)).ok_or(EINVAL)?;
        let never = slot.take().is_none();

        told.disorder |= never || doing != Doing::Work;
        Ok(())
    }

    fn queue_state(&self, _vq: VqIndex) -> Result<VqState> {
        Ok(VqState::Split { avail_index: 77 })
    }

    fn suspend(&self) -> Result {
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
        told.resets += 1;
        Ok(())
    }

    fn kick(&self, _vq: VqIndex) {
        self.told.lock().kicks += 1;
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
                    kicks: 0,
                    resets: 0,
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
    Failed,
    Suspend,
    Resume,
    Broken,
    Reset,
}

use Event::*;

/// Has something happen. Returns what the operation does, 0 where it returns nothing.
fn cause(bed: &Bed<Adapter<Probe>>, event: Event) -> Result<i32> {
    bed.with(|dev| {
        let status = op!(dev, get_status)?;
        let write = |more: Status| op!(dev, set_status, status | more.0).map(|()| 0);

        match event {
            Accept => op!(dev, set_driver_features, FEATURES.0),
            FeaturesOk => write(Status::FEATURES_OK),
            DriverOk => write(Status::DRIVER_OK),
            Failed => write(Status::FAILED),
            Suspend => op!(dev, suspend),
            Resume => op!(dev, resume),
            Broken => {
                bed.parent().parent().events.needs_reset();
                Ok(0)
            }
            Reset => op!(dev, reset),
        }
    })
}

fn status(bed: &Bed<Adapter<Probe>>) -> Result<u8> {
    bed.with(|dev| op!(dev, get_status))
}

/// What the parent was told of a virtqueue.
fn queue(bed: &Bed<Adapter<Probe>>, index: usize) -> Option<VqSetup> {
    let told = bed.parent().parent().told.lock();

    told.queues.get(index).copied().flatten()
}

/// A device with a driver in some phase.
fn at(way: &[Event]) -> Result<Bed<Adapter<Probe>>> {
    let bed = bed()?;

    bed.with(|dev| op!(dev, set_status, 3))?;
    for event in way {
        check_eq!(cause(&bed, *event)?, 0);
    }
    Ok(bed)
}

/// A device whose first virtqueue was set up and enabled, as `set` says otherwise.
fn with_queue(address: VqAddress, num: u32, way: &[Event]) -> Result<Bed<Adapter<Probe>>> {
    let bed = at(&[Accept, FeaturesOk])?;

    bed.with(|dev| {
        let VqAddress {
            desc,
            driver,
            device,
        } = address;

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
const STOPPED: &[Event] = &[Accept, FeaturesOk, DriverOk, Failed];

#[kunit_tests(vdpa_parent)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_from_each() -> Result {
        let busy = EBUSY.to_errno();
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
            (NEGOTIATED, Failed, 0, 0x8b, no),
            (NEGOTIATED, Suspend, 0, 0x0b, no),
            (NEGOTIATED, Resume, 0, 0x0b, no),
            (NEGOTIATED, Broken, 0, 0x4b, no),
            (NEGOTIATED, Reset, 0, 0x00, no),
            (RUNNING, Accept, busy, 0x0f, work),
            (RUNNING, FeaturesOk, 0, 0x0f, work),
            (RUNNING, DriverOk, 0, 0x0f, work),
            (RUNNING, Failed, 0, 0x8f, no),
            (RUNNING, Suspend, 0, 0x0f, pause),
            (RUNNING, Resume, 0, 0x0f, work),
            (RUNNING, Broken, 0, 0x4f, work),
            (RUNNING, Reset, 0, 0x00, no),
            (SUSPENDED, Accept, busy, 0x0f, pause),
            (SUSPENDED, FeaturesOk, 0, 0x0f, pause),
            (SUSPENDED, DriverOk, 0, 0x0f, pause),
            (SUSPENDED, Failed, 0, 0x8f, no),
            (SUSPENDED, Suspend, 0, 0x0f, pause),
            (SUSPENDED, Resume, 0, 0x0f, work),
            (SUSPENDED, Broken, 0, 0x4f, pause),
            (SUSPENDED, Reset, 0, 0x00, no),
            (STOPPED, Accept, busy, 0x8f, no),
            (STOPPED, FeaturesOk, 0, 0x8f, no),
            (STOPPED, DriverOk, 0, 0x8f, no),
            (STOPPED, Failed, 0, 0x8f, no),
            (STOPPED, Suspend, 0, 0x8f, no),
            (STOPPED, Resume, 0, 0x8f, no),
            (STOPPED, Broken, 0, 0xcf, no),
            (STOPPED, Reset, 0, 0x00, no),
        ] {
            let bed = at(way)?;

            check_eq!(cause(&bed, event)?, ret);
            check_eq!(status(&bed)?, status_then);
            check_eq!(bed.parent().parent().told.lock().doing, doing);
            // After a reset all can begin anew, wherever it was.
            check_eq!(cause(&bed, Reset)?, 0);
            for event in RUNNING {
                check_eq!(cause(&bed, *event)?, 0);
            }
            check_eq!(status(&bed)?, 0x0c);
            check!(!bed.parent().parent().told.lock().disorder);
        }
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
        bed.parent().parent().told.lock().fail = Fail::Negotiate;
        check_eq!(cause(&bed, FeaturesOk)?, 0);
        check_eq!(status(&bed)?, 0x03);
        Ok(())
    }

    #[test]
    fn a_start_that_fails_takes_a_reset() -> Result {
        let bed = at(NEGOTIATED)?;

        bed.parent().parent().told.lock().fail = Fail::Start;
        check_eq!(cause(&bed, DriverOk)?, 0);
        check_eq!(status(&bed)?, 0x4b);
        check_eq!(bed.parent().parent().told.lock().doing, Doing::Nothing);
        check_eq!(bed.parent().parent().told.lock().resets, 1);
        Ok(())
    }

    #[test]
    fn a_device_that_does_not_go_on_stays_suspended() -> Result {
        let bed = with_queue(ADDRESS, 32, &[DriverOk, Suspend])?;

        bed.parent().parent().told.lock().fail = Fail::Resume;
        check_eq!(cause(&bed, Resume)?, EIO.to_errno());
        check_eq!(status(&bed)?, 0x0f);
        check_eq!(bed.parent().parent().told.lock().doing, Doing::Pause);
        bed.parent().parent().told.lock().fail = Fail::Never;
        check_eq!(cause(&bed, Resume)?, 0);
        check_eq!(bed.parent().parent().told.lock().doing, Doing::Work);

        // But with what makes no sense it cannot.
        check_eq!(cause(&bed, Suspend)?, 0);
        bed.with(|dev| op!(dev, set_vq_num, 0, 3))?;
        check_eq!(cause(&bed, Resume)?, EINVAL.to_errno());
        check_eq!(status(&bed)?, 0x4f);
        check_eq!(bed.parent().parent().told.lock().doing, Doing::Nothing);
        Ok(())
    }

    #[test]
    fn a_driver_that_gives_up_leaves_virtqueues_where_they_stand() -> Result {
        let state = |bed: &Bed<Adapter<Probe>>| {
            let mut raw = VqState::initial(false).to_raw();

            bed.with(|dev| op!(dev, get_vq_state, 0, &mut raw))?;
            Ok::<_, Error>(VqState::from_raw(&raw, false))
        };
        let set = VqState::Split { avail_index: 5 };

        let bed = with_queue(ADDRESS, 32, &[])?;
        bed.with(|dev| op!(dev, set_vq_state, 0, &set.to_raw()))?;
        check_eq!(cause(&bed, Failed)?, 0);
        check_eq!(state(&bed)?, set);
        drop(bed);

        let bed = with_queue(ADDRESS, 32, &[DriverOk, Failed])?;
        check_eq!(state(&bed)?, VqState::Split { avail_index: 77 });
        Ok(())
    }

    #[test]
    fn virtqueues_are_started_as_they_were_set_up() -> Result {
        let bed = with_queue(ADDRESS, 32, &[])?;

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
        check_eq!(bed.parent().parent().told.lock().kicks, 1);

        // One that is enabled late, as large as can be.
        check!(queue(&bed, 1).is_none());
        bed.with(|dev| op!(dev, set_vq_ready, 1, true))?;
        check_eq!(queue(&bed, 1).map(|queue| queue.size), Some(SIZE_MAX));
        check_eq!(bed.parent().parent().told.lock().kicks, 2);
        bed.with(|dev| op!(dev, set_vq_ready, 1, true))?;
        check!(!bed.parent().parent().told.lock().disorder);
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
            (ADDRESS, 1),
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
            let bed = with_queue(address, num, &[DriverOk])?;

            check_eq!(status(&bed)?, 0x4b);
            check!(queue(&bed, 0).is_none());
            check_eq!(bed.parent().parent().told.lock().doing, Doing::Nothing);

            // Late as well.
            drop(bed);
            let bed = with_queue(ADDRESS, 2, &[DriverOk])?;
            bed.with(|dev| {
                op!(
                    dev,
                    set_vq_address,
                    1,
                    address.desc,
                    address.driver,
                    address.device
                )?;
                op!(dev, set_vq_num, 1, num)?;
                op!(dev, set_vq_ready, 1, true)
            })?;
            check_eq!(status(&bed)?, 0x4f);
        }
        Ok(())
    }

    #[test]
    fn virtqueues_go_on_where_they_stood() -> Result {
        let bed = with_queue(ADDRESS, 32, &[])?;
        let mut raw = VqState::Split { avail_index: 5 }.to_raw();

        bed.with(|dev| {
            check_eq!(op!(dev, set_vq_state, 0, &raw)?, 0);
            check_eq!(op!(dev, get_vq_state, 0, &mut raw)?, 0);
            check_eq!(
                VqState::from_raw(&raw, false),
                VqState::Split { avail_index: 5 }
            );
            Ok(())
        })?;
        check_eq!(cause(&bed, DriverOk)?, 0);
        let started = queue(&bed, 0).map(|queue| queue.state);
        check_eq!(started, Some(VqState::Split { avail_index: 5 }));

        // Only the device knows while it works.
        bed.with(|dev| {
            check_eq!(op!(dev, set_vq_state, 0, &raw)?, EBUSY.to_errno());
            check_eq!(op!(dev, get_vq_state, 0, &mut raw)?, 0);
            check_eq!(
                VqState::from_raw(&raw, false),
                VqState::Split { avail_index: 77 }
            );
            op!(dev, set_vq_ready, 0, false)?;
            check!(!op!(dev, get_vq_ready, 0)?);
            op!(dev, set_vq_ready, 0, true)
        })?;
        let started = queue(&bed, 0).map(|queue| queue.state);
        check_eq!(started, Some(VqState::Split { avail_index: 77 }));

        // What is said while it is suspended holds when it goes on.
        check_eq!(cause(&bed, Suspend)?, 0);
        let state = VqState::Split { avail_index: 9 }.to_raw();
        bed.with(|dev| {
            check_eq!(op!(dev, set_vq_address, 0, 0x4000, 0x2000, 0x3000)?, 0);
            check_eq!(op!(dev, set_vq_state, 0, &state)?, 0);
            op!(dev, set_vq_ready, 1, true)
        })?;
        check_eq!(cause(&bed, Resume)?, 0);
        let resumed = queue(&bed, 0).ok_or(EINVAL)?;
        check_eq!(resumed.address.desc, 0x4000);
        check_eq!(resumed.state, VqState::Split { avail_index: 9 });
        check!(queue(&bed, 1).is_some());
        check!(!bed.parent().parent().told.lock().disorder);
        Ok(())
    }

    #[test]
    fn a_virtqueue_that_does_not_stop_goes_on() -> Result {
        let bed = with_queue(ADDRESS, 32, &[DriverOk])?;

        bed.parent().parent().told.lock().fail = Fail::StopQueue;
        bed.with(|dev| {
            op!(dev, set_vq_ready, 0, false)?;
            check!(op!(dev, get_vq_ready, 0)?);
            Ok(())
        })?;
        check!(queue(&bed, 0).is_some());
        Ok(())
    }
}
