// SPDX-License-Identifier: GPL-2.0

//! What the vDPA bus asks of a device, answered for its parent.

use super::{
    events::Events,
    phase::{
        Phase, //
    },
    setup::{
        Draft,
        VqSetup, //
    },
    Parent, //
};
use crate::{
    bindings,
    Asid,
    DeviceInfo,
    GroupId,
    RateLimit,
    Status,
    VqIndex,
    VqState, //
};
use core::mem;
use kernel::{
    alloc::KVVec,
    fmt,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// What a driver has set up.
pub(super) struct State {
    pub(super) phase: Phase,
    /// What the driver itself has written to the status.
    pub(super) written: Status,
    pub(super) drafts: KVVec<Draft>,
    /// The address space of each group.
    pub(super) asids: KVVec<Asid>,
    /// Room for what is started, and for what is stopped.
    setups: KVVec<VqSetup>,
    started: KVVec<VqIndex>,
}

impl State {
    /// Whether the driver has enabled a virtqueue.
    #[inline]
    pub(super) fn is_enabled(&self, vq: VqIndex) -> bool {
        self.drafts
            .get(usize::from(vq))
            .is_some_and(|draft| draft.enabled)
    }

    /// Whether the parent was told to start a virtqueue, and not to stop it since.
    #[inline]
    pub(super) fn is_started(&self, vq: VqIndex) -> bool {
        self.drafts
            .get(usize::from(vq))
            .is_some_and(|draft| draft.started)
    }

    /// Where a virtqueue begins.
    #[inline]
    pub(super) fn initial(&self) -> VqState {
        let features = self.phase.features().unwrap_or_default();

        VqState::initial(features.has(bindings::VIRTIO_F_RING_PACKED))
    }

    #[inline]
    fn forget_started(&mut self) {
        for draft in self.drafts.iter_mut() {
            draft.started = false;
        }
    }

    /// The address space of a group.
    #[inline]
    fn asid(&self, GroupId(group): GroupId) -> Asid {
        self.asids.get(group as usize).copied().unwrap_or(Asid(0))
    }
}

/// A vDPA device of a [`Parent`].
///
/// What starts or stops something is done one after the other. A parent may take as long as it
/// likes for that; who only reads what was set waits for it.
#[pin_data]
pub struct Adapter<P: Parent> {
    name: CString,
    virtqueues: u32,
    pub(super) events: Arc<Events>,
    /// For messages that a driver can cause.
    #[pin]
    log: RateLimit,
    #[pin]
    pub(super) state: Mutex<State>,
    #[pin]
    pub(super) parent: P,
}

impl<P: Parent> Adapter<P> {
    /// Makes the device's data. `parent` makes that of the parent, which keeps what it is given to
    /// tell the driver of what happens.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of `parent`.
    #[inline]
    pub fn new<'a, I: PinInit<P, Error> + 'a>(
        info: &'a DeviceInfo<'_>,
        parent: impl FnOnce(Arc<Events>) -> I + 'a,
    ) -> impl PinInit<Self, Error> + 'a
    where
        P: 'a,
    {
        pin_init::pin_init_scope(move || {
            let queues = info.virtqueues as usize;
            let groups = info.groups as usize;
            let events = Events::new(info.virtqueues)?;
            let parent = parent(events.clone());

            Ok(try_pin_init!(Self {
                name: CString::try_from(info.name.unwrap_or(c"(unnamed)"))?,
                virtqueues: info.virtqueues,
                events,
                log <- RateLimit::new(),
                state <- new_mutex!(
                    State {
                        phase: Phase::default(),
                        written: Status::default(),
                        drafts: KVVec::from_elem(Draft::default(), queues, GFP_KERNEL)?,
                        asids: KVVec::from_elem(Asid(0), groups, GFP_KERNEL)?,
                        setups: KVVec::with_capacity(queues, GFP_KERNEL)?,
                        started: KVVec::with_capacity(queues, GFP_KERNEL)?,
                    },
                    "vdpa_parent"
                ),
                parent <- parent,
            }))
        })
    }

    /// The parent's data.
    #[inline]
    pub fn parent(&self) -> &P {
        &self.parent
    }

    /// Says what was refused to the driver.
    #[cold]
    pub(super) fn refuse(&self, what: fmt::Arguments<'_>) {
        if self.log.allows() {
            pr_warn!("{}: {}\n", &*self.name, what);
        }
    }

    /// The driver is told that the device has to be reset.
    #[cold]
    fn give_up(&self, what: fmt::Arguments<'_>) {
        if self.events.set_needs_reset() {
            self.refuse(fmt!("{}: the device needs a reset", what));
        }
    }

    /// What a driver has set of a virtqueue, if it can be started so.
    #[inline]
    fn check(&self, state: &State, vq: VqIndex) -> Option<VqSetup> {
        let draft = state.drafts.get(usize::from(vq))?;
        let asid = state.asid(self.parent.group(vq));
        let size_max = self.parent.size_max(vq);
        let features = state.phase.features().unwrap_or_default();

        draft
            .check(vq, features, asid, size_max)
            .inspect_err(|refusal| {
                self.give_up(fmt!("virtqueue {}: not started: {}", vq.get(), refusal))
            })
            .ok()
    }

    /// The virtqueues.
    #[inline]
    pub(super) fn queues(&self) -> impl Iterator<Item = VqIndex> {
        let virtqueues = self.virtqueues;

        (0..virtqueues).filter_map(move |index| VqIndex::new(index, virtqueues))
    }

    /// Starts all virtqueues that are enabled, the first time or, after the device was suspended,
    /// `again`.
    ///
    /// # Errors
    ///
    /// `EIO` where the device cannot go on; `EINVAL` where what the driver has set makes no sense,
    /// which it is told then; those of the parent.
    #[inline(never)]
    fn start_all(&self, state: &mut State, again: bool) -> Result {
        let features = state.phase.features().unwrap_or_default();

        // From now on there is something to be told of.
        self.events.begin();
        if self.events.is_broken() {
            return Err(EIO);
        }
        state.setups.clear();
        for vq in self.queues() {
            if state.is_enabled(vq) {
                let setup = self.check(state, vq).ok_or(EINVAL)?;

                // There is room for each.
                state.setups.push_within_capacity(setup)?;
            }
        }
        if again {
            self.parent.resume(features, &state.setups)?;
        } else {
            self.parent.start(features, &state.setups)?;
        }
        for draft in state.drafts.iter_mut() {
            draft.started = draft.enabled;
        }
        // What was announced before was not heard.
        for setup in &state.setups {
            self.parent.kick(setup.index);
        }
        Ok(())
    }

    /// Stops the device for good, and keeps where its virtqueues stand. Returns whether it has
    /// stopped.
    #[cold]
    fn halt(&self, state: &mut State) -> bool {
        self.events.pause();
        self.keep_states(state);

        let result = self
            .parent
            .halt()
            .inspect_err(|error| self.refuse(fmt!("the device does not stop: {:?}", error)));

        state.forget_started();
        // What the driver had set of it is gone.
        self.events.count_change();
        result.is_ok()
    }

    /// Has the device be of no use until it is reset.
    #[cold]
    fn stop(&self, state: &mut State) {
        // If it has not, there is nothing else that can be done.
        let _ = self.halt(state);
        state.phase = mem::take(&mut state.phase).stop();
    }

    /// The driver has given up.
    pub(super) fn fail(&self, state: &mut State) {
        let halted = self.halt(state);

        state.phase = match mem::take(&mut state.phase) {
            phase @ Phase::Stopped(_) => phase,
            _ if halted => Phase::default(),
            _ => Phase::stuck(),
        };
    }

    /// The driver says that its features are final.
    pub(super) fn negotiate(&self, state: &mut State) {
        let agree = |features| {
            self.parent
                .negotiate(features)
                .inspect_err(|error| {
                    self.refuse(fmt!(
                        "the device does not take features {:#x}: {:?}",
                        features.0,
                        error
                    ))
                })
                .is_ok()
        };

        state.phase = match mem::take(&mut state.phase) {
            Phase::Initial(initial) => match initial.negotiate(agree) {
                Ok(negotiated) => Phase::Negotiated(negotiated),
                Err(initial) => Phase::Initial(initial),
            },
            phase => phase,
        };
    }

    /// The driver is ready. If the device is not, DRIVER_OK is not set, and the driver told that it
    /// has to be reset.
    pub(super) fn start(&self, state: &mut State) {
        if let Err(error) = self.start_all(state, false) {
            self.give_up(fmt!("not started: {:?}", error));
            self.stop(state);
            return;
        }
        state.phase = match mem::take(&mut state.phase) {
            Phase::Negotiated(negotiated) => Phase::Running(negotiated.start()),
            phase => phase,
        };
    }

    /// Stops so that the device can go on.
    ///
    /// # Errors
    ///
    /// Those of the parent. It goes on then.
    pub(super) fn suspend(&self, state: &mut State) -> Result {
        state.started.clear();
        for vq in self.queues() {
            if state.is_started(vq) {
                // There is room for each.
                state.started.push_within_capacity(vq)?;
            }
        }
        self.events.pause();
        if let Err(error) = self.parent.suspend(&state.started) {
            self.events.begin();
            return Err(error);
        }
        self.keep_states(state);
        state.forget_started();
        state.phase = match mem::take(&mut state.phase) {
            Phase::Running(running) => Phase::Suspended(running.suspend()),
            phase => phase,
        };
        Ok(())
    }

    /// Goes on after the device was suspended, or stays so.
    ///
    /// # Errors
    ///
    /// Those of [`start_all`](Self::start_all).
    pub(super) fn resume(&self, state: &mut State) -> Result {
        let result = self.start_all(state, true);

        match result {
            Ok(()) => {
                state.phase = match mem::take(&mut state.phase) {
                    Phase::Suspended(suspended) => Phase::Running(suspended.resume()),
                    phase => phase,
                };
            }
            Err(_) if self.events.is_broken() => self.stop(state),
            Err(_) => self.events.pause(),
        }
        result
    }

    /// The device was reset; if it could not be (`result`), nothing can be begun with it.
    pub(super) fn begin_anew(&self, state: &mut State, result: Result) {
        state.phase = match result {
            Ok(()) => Phase::default(),
            Err(_) => Phase::stuck(),
        };
        state.written = Status::default();
        state.drafts.fill(Draft::default());
        state.asids.fill(Asid(0));
        self.events.reset();
    }

    /// Where the virtqueues that were started stand becomes what the driver has set.
    fn keep_states(&self, state: &mut State) {
        for vq in self.queues() {
            self.keep_state(state, vq);
        }
    }

    fn keep_state(&self, state: &mut State, vq: VqIndex) {
        if let Some(draft) = state.drafts.get_mut(usize::from(vq)) {
            if draft.started {
                draft.state = self.parent.queue_state(vq).ok().or(draft.state);
            }
        }
    }

    /// Enables a virtqueue that was not.
    pub(super) fn enable(&self, state: &mut State, vq: VqIndex) {
        if let Some(draft) = state.drafts.get_mut(usize::from(vq)) {
            draft.enabled = true;
        }
        if !matches!(state.phase, Phase::Running(_)) || self.events.is_broken() {
            return;
        }
        let started = self.check(state, vq).is_some_and(|setup| {
            self.parent
                .start_queue(&setup)
                .inspect_err(|error| {
                    self.give_up(fmt!("virtqueue {}: not started: {:?}", vq.get(), error))
                })
                .is_ok()
        });
        if !started {
            self.stop(state);
            return;
        }
        if let Some(draft) = state.drafts.get_mut(usize::from(vq)) {
            draft.started = true;
        }
        // What was announced before was not heard.
        self.parent.kick(vq);
    }

    /// Disables a virtqueue: whoever asks for that may take its memory away afterwards. So one that
    /// does not stop has the device stop.
    pub(super) fn disable(&self, state: &mut State, vq: VqIndex) {
        if state.is_started(vq) {
            match self.parent.stop_queue(vq) {
                Ok(()) => self.keep_state(state, vq),
                Err(error) => {
                    self.give_up(fmt!("virtqueue {}: not stopped: {:?}", vq.get(), error));
                    self.stop(state);
                }
            }
        }
        if let Some(draft) = state.drafts.get_mut(usize::from(vq)) {
            draft.lost = draft.started && !P::HAS_QUEUE_STATE;
            draft.enabled = false;
            draft.started = false;
        }
    }
}
