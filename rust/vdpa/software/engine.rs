// SPDX-License-Identifier: GPL-2.0

//! What a device in software does, and in which thread.

use super::{
    queue::StartError,
    Model,
    Progress,
    Queue, //
};
use crate::{
    parent::{
        Events,
        VqSetup, //
    },
    BottomHalfGuard,
    Features,
    RateLimit,
    SoftIommu,
    VqIndex,
    Work, //
};
use kernel::{
    fmt,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};

/// What changes while a device is in use.
pub(super) struct State<M> {
    /// The device is started, and not suspended.
    pub(super) running: bool,
    pub(super) features: Features,
    pub(super) queues: KVec<Queue>,
    pub(super) model: M,
}

/// A device, as its thread sees it.
///
/// Locks are taken in this order: `state`, those of `iommu`. Callbacks, which never sleep, are
/// called with `state` locked: so who has stopped a queue or the device, with the lock held, knows
/// that what was done before is signalled, and that nothing is from then on.
#[pin_data]
pub(super) struct Engine<M: Model> {
    name: CString,
    #[pin]
    pub(super) state: Mutex<State<M>>,
    pub(super) iommu: Arc<SoftIommu>,
    pub(super) events: Arc<Events>,
    /// The virtqueues that are started, whose kicks are heard.
    pub(super) started: KVec<AtomicFlag>,
    /// A ring could not be reached, and shall be looked at again when something is mapped: what was
    /// announced meanwhile is not announced again.
    pub(super) stuck: AtomicFlag,
    /// For messages that a driver can cause.
    #[pin]
    log: RateLimit,
}

impl<M: Model> Engine<M> {
    pub(super) fn new(
        name: CString,
        model: M,
        events: Arc<Events>,
        max_mappings: usize,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            name,
            state <- new_mutex!(
                State {
                    running: false,
                    features: Features::default(),
                    queues: {
                        let mut queues = KVec::with_capacity(M::QUEUES as usize, GFP_KERNEL)?;
                        for _ in 0..M::QUEUES {
                            queues.push_within_capacity(Queue::new()?)?;
                        }
                        queues
                    },
                    model,
                },
                "vdpa_software"
            ),
            iommu: SoftIommu::new(M::ADDRESS_SPACES, max_mappings)?,
            events,
            started: {
                let mut started = KVec::with_capacity(M::QUEUES as usize, GFP_KERNEL)?;
                for _ in 0..M::QUEUES {
                    started.push_within_capacity(AtomicFlag::new(false))?;
                }
                started
            },
            stuck: AtomicFlag::new(false),
            log <- RateLimit::new(),
        })
    }

    /// The name of the device, for messages.
    pub(super) fn name(&self) -> &CStr {
        &self.name
    }

    /// Has the driver interrupted for the queues in `interrupts`, with the lock of the state held.
    fn interrupt(&self, interrupts: u64) {
        if interrupts == 0 {
            return;
        }
        // The network stack polls when the guard is dropped, for all queues at once.
        let _bh = BottomHalfGuard::new();

        for vq in (0..M::QUEUES).filter_map(|i| VqIndex::new(i, M::QUEUES)) {
            if interrupts & 1u64.wrapping_shl(vq.get().into()) != 0 {
                self.events.used(vq);
            }
        }
    }

    /// Stops the device until it is reset, and tells the driver so: virtio 1.3, section 2.1.2.
    #[cold]
    fn break_down(&self, state: &mut State<M>, vq: u16, why: fmt::Arguments<'_>) {
        state.running = false;

        let bh = BottomHalfGuard::new();
        let first = self.events.set_needs_reset();
        drop(bh);
        if first && self.log.allows() {
            pr_warn!(
                "{}: virtqueue {}: {}: the device needs a reset\n",
                self.name(),
                vq,
                why
            );
        }
    }

    /// Starts a virtqueue.
    pub(super) fn start_queue(&self, state: &mut State<M>, setup: &VqSetup) -> Result {
        let vq = setup.index;
        let features = state.features;
        let queue = state.queues.get_mut(usize::from(vq)).ok_or(EINVAL)?;

        match queue.start(features, setup, &self.iommu) {
            Ok(()) => {
                self.hear(vq, true);
                Ok(())
            }
            Err(error) => {
                self.refuse(state, vq, &error);
                Err(EINVAL)
            }
        }
    }

    #[cold]
    fn refuse(&self, state: &mut State<M>, vq: VqIndex, why: &StartError) {
        self.break_down(state, vq.get(), fmt!("not started: {}", why));
    }

    /// Stops a virtqueue, which can go on from there.
    pub(super) fn stop_queue(&self, state: &mut State<M>, vq: VqIndex) {
        self.hear(vq, false);
        if let Some(queue) = state.queues.get_mut(usize::from(vq)) {
            queue.stop();
        }
    }

    /// Stops all virtqueues, which can go on from there.
    pub(super) fn stop_all(&self, state: &mut State<M>) {
        state.running = false;
        for started in self.started.iter() {
            started.store(false, Relaxed);
        }
        for queue in state.queues.iter_mut() {
            queue.stop();
        }
    }

    /// Says whether kicks of a virtqueue are heard.
    fn hear(&self, vq: VqIndex, yes: bool) {
        if let Some(started) = self.started.get(usize::from(vq)) {
            started.store(yes, Relaxed);
        }
    }

    /// Stops all, and has the model forget the driver.
    pub(super) fn reset(&self) {
        let mut state = self.state.lock();

        state.features = Features::default();
        state.model.reset();
        self.stop_all(&mut state);
        self.stuck.store(false, Relaxed);
        drop(state);
        self.iommu.interrupt();
    }

    /// Does a round. Nothing that others may want is held when it has returned.
    fn round(&self) -> Progress {
        let mut guard = self.state.lock();
        let state = &mut *guard;

        if !state.running {
            return Progress::Idle;
        }
        let Ok(iommu) = self.iommu.lock() else {
            return Progress::Idle;
        };
        let progress = state.model.work(&mut state.queues, state.features, &iommu);
        drop(iommu);

        let mut interrupts: u64 = 0;
        let mut broken = None;
        for (i, queue) in (0..u16::MAX).zip(state.queues.iter_mut()) {
            if core::mem::take(&mut queue.interrupt) {
                // Of as many as there are bits.
                interrupts |= 1u64.wrapping_shl(i.into());
            }
            if let (Some(why), None) = (queue.broken(), broken) {
                broken = Some((i, why));
            }
        }
        self.interrupt(interrupts);
        if let Some((vq, why)) = broken {
            self.break_down(state, vq, format_args!("{why}"));
            return Progress::Idle;
        }
        progress
    }

    /// Something could not be reached. Returns whether to try again at once.
    fn stuck(&self) -> bool {
        if self.iommu.bring_in() {
            return true;
        }
        // It is tried once more at once: it may have been mapped before that could be seen here.
        if !self.stuck.load(Relaxed) {
            self.stuck.store(true, Relaxed);
            return true;
        }
        if self.log.allows() {
            pr_warn!(
                "{}: memory of a virtqueue cannot be reached: it is tried again at the next \
                 notification, or when something is mapped\n",
                self.name()
            );
        }
        false
    }
}

impl<M: Model> Work for Engine<M> {
    fn run(&self) -> bool {
        let progress = self.round();

        if progress == Progress::Stuck {
            return self.stuck();
        }
        if self.stuck.load(Relaxed) {
            self.stuck.store(false, Relaxed);
        }
        progress == Progress::More
    }

    fn end(&self) {
        self.iommu.end();
    }
}
