// SPDX-License-Identifier: GPL-2.0

//! A parent that notes what it is told, in which order, and fails what it shall.

use crate::bed::{
    info,
    Bed, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
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
    Features,
    Status,
    UnregisteredDevice,
    VqAddress,
    VqIndex,
    VqState, //
};

pub(crate) const FEATURES: Features = Features::from_bits(&[
    bindings::VIRTIO_F_VERSION_1,
    bindings::VIRTIO_F_ACCESS_PLATFORM,
]);
pub(crate) const VIRTQUEUES: u32 = 2;
pub(crate) const SIZE_MAX: u16 = 64;

/// What the device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Nothing,
    Work,
    Pause,
}

/// What a method is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fail {
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
pub(crate) struct Told {
    pub(crate) doing: Doing,
    pub(crate) queues: [Option<VqSetup>; VIRTQUEUES as usize],
    /// The virtqueue that was stopped last.
    stopped: Option<VqIndex>,
    /// How often it was to be started.
    pub(crate) starts: u32,
    /// Kicks of each virtqueue.
    pub(crate) kicks: [u32; VIRTQUEUES as usize],
    /// The device knows that it needs a reset.
    pub(crate) broken: bool,
    /// Something came in an order that must not be.
    pub(crate) disorder: bool,
    pub(crate) fail: Fail,
}

impl Told {
    fn is_started(&self, vq: VqIndex) -> bool {
        let queue = self.queues.get(usize::from(vq));

        queue.is_some_and(|queue| queue.is_some())
    }
}

/// The parent.
#[pin_data]
pub(crate) struct Probe {
    #[pin]
    pub(crate) told: Mutex<Told>,
    pub(crate) events: Arc<Events>,
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

    fn needs_reset(&self) -> bool {
        self.told.lock().broken
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

    fn suspend(&self, started: &[VqIndex]) -> Result {
        self.fails(Fail::Suspend)?;
        let mut told = self.told.lock();
        let all = told.queues.iter().filter(|queue| queue.is_some()).count();

        told.disorder |= told.doing != Doing::Work
            || started.len() != all
            || !started.iter().all(|vq| told.is_started(*vq));
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

/// A device of it.
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
                    broken: false,
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

pub(crate) const ADDRESS: VqAddress = VqAddress {
    desc: 0x1000,
    driver: 0x2000,
    device: 0x3000,
};

/// What happens to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
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

pub(crate) use Event::*;

/// The parent's side.
pub(crate) fn told<'a>(bed: &'a Bed<Adapter<Probe>>) -> MutexGuard<'a, Told> {
    bed.parent().parent().told.lock()
}

/// Has something happen. Returns what the operation does, 0 where it returns nothing.
pub(crate) fn cause(bed: &Bed<Adapter<Probe>>, event: Event) -> Result<i32> {
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

pub(crate) fn status(bed: &Bed<Adapter<Probe>>) -> Result<u8> {
    bed.with(|dev| op!(dev, get_status))
}

/// Where the first virtqueue stands.
pub(crate) fn stands(bed: &Bed<Adapter<Probe>>) -> Result<VqState> {
    let mut raw = VqState::initial(false).to_raw();

    bed.with(|dev| op!(dev, get_vq_state, 0, &mut raw))?;
    Ok(VqState::from_raw(&raw, false))
}

/// What the parent was told of a virtqueue.
pub(crate) fn queue(bed: &Bed<Adapter<Probe>>, index: usize) -> Option<VqSetup> {
    told(bed).queues.get(index).copied().flatten()
}

/// A device with a driver in some phase, with a virtqueue enabled.
pub(crate) fn at(way: &[Event]) -> Result<Bed<Adapter<Probe>>> {
    with_queue(ADDRESS, 32, way)
}

/// The same, whose virtqueue was set up so.
pub(crate) fn with_queue(
    address: VqAddress,
    num: u32,
    way: &[Event],
) -> Result<Bed<Adapter<Probe>>> {
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

pub(crate) const INITIAL: &[Event] = &[Accept];
pub(crate) const NEGOTIATED: &[Event] = &[Accept, FeaturesOk];
pub(crate) const RUNNING: &[Event] = &[Accept, FeaturesOk, DriverOk];
pub(crate) const SUSPENDED: &[Event] = &[Accept, FeaturesOk, DriverOk, Suspend];
pub(crate) const STOPPED: &[Event] = &[Accept, FeaturesOk, DriverOkInVain];
pub(crate) const BROKEN: &[Event] = &[Accept, FeaturesOk, DriverOk, Broken];
pub(crate) const BROKEN_EARLY: &[Event] = &[Accept, FeaturesOk, Broken];
pub(crate) const BROKEN_LATE: &[Event] = &[Accept, FeaturesOk, DriverOk, Suspend, Broken];
