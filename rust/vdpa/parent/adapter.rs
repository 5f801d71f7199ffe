// SPDX-License-Identifier: GPL-2.0

//! What the vDPA bus asks of a device, answered for its parent.

use super::{
    events::Events,
    phase::{
        Initial,
        Phase, //
    },
    setup::{
        Draft,
        VqSetup, //
    },
    Parent, //
};
use crate::{Asid, DeviceInfo, GroupId, RateLimit, SoftDma, SoftIommu, Status, VqIndex};
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
    /// Room for what is started.
    setups: KVVec<VqSetup>,
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
    ) -> impl PinInit<Self, Error> + 'a {
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
        if self.events.needs_reset() {
            self.refuse(fmt!("{}: the device needs a reset", what));
        }
    }

    /// What a driver has set of a virtqueue, if it can be started so.
    #[inline]
    fn check(&self, state: &State, vq: VqIndex) -> Option<VqSetup> {
        let draft = state.drafts.get(usize::from(vq))?;
        let GroupId(group) = self.parent.group(vq);
        let asid = state.asids.get(group as usize).copied().unwrap_or(Asid(0));
        let sizes = (self.parent.size_min(), self.parent.size_max(vq));
        let features = state.phase.features().unwrap_or_default();

        draft
            .check(vq, features, asid, sizes)
            .inspect_err(|refusal| {
                self.give_up(fmt!("virtqueue {}: not started: {}", vq.get(), refusal))
            })
            .ok()
    }

    /// Whether the driver has enabled a virtqueue.
    #[inline]
    pub(super) fn is_enabled(state: &State, vq: VqIndex) -> bool {
        state
            .drafts
            .get(usize::from(vq))
            .is_some_and(|draft| draft.enabled)
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
    /// `EINVAL` where what the driver has set makes no sense, which it is told then; those of the
    /// parent.
    #[inline(never)]
    pub(super) fn start_all(&self, state: &mut State, again: bool) -> Result {
        let features = state.phase.features().unwrap_or_default();

        // From now on there is something to be told of.
        self.events.begin();
        state.setups.clear();
        for vq in self.queues() {
            if Self::is_enabled(state, vq) {
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
        // What was announced before was not heard.
        for setup in &state.setups {
            self.parent.kick(setup.index);
        }
        Ok(())
    }

    /// Stops the device until it is reset, as some of it may have been started.
    pub(super) fn stop(&self, state: &mut State) {
        self.events.pause();
        state.phase = mem::take(&mut state.phase).stop();
        let _ = self.parent.reset();
    }

    pub(super) fn negotiate(&self, initial: Initial) -> Phase {
        match initial.negotiate(|features| self.parent.negotiate(features).is_ok()) {
            Ok(negotiated) => Phase::Negotiated(negotiated),
            Err(initial) => Phase::Initial(initial),
        }
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

    /// Goes on after the device was suspended, or stays so.
    ///
    /// # Errors
    ///
    /// Those of [`start_all`](Self::start_all).
    pub(super) fn go_on(&self, state: &mut State) -> Result {
        let result = self.start_all(state, true);

        if self.events.is_broken() {
            self.stop(state);
        } else if result.is_err() {
            self.events.pause();
        } else {
            state.phase = match mem::take(&mut state.phase) {
                Phase::Suspended(suspended) => Phase::Running(suspended.resume()),
                phase => phase,
            };
        }
        result
    }

    /// Where the virtqueues that were started stand becomes what the driver has set.
    pub(super) fn keep_states(&self, state: &mut State) {
        for vq in self.queues() {
            self.keep_state(state, vq);
        }
    }

    fn keep_state(&self, state: &mut State, vq: VqIndex) {
        if let Some(draft) = state.drafts.get_mut(usize::from(vq)) {
            if draft.enabled {
                draft.state = self.parent.queue_state(vq).ok().or(draft.state);
            }
        }
    }

    /// Whether the parent has been told to start a virtqueue.
    #[inline]
    pub(super) fn is_started(state: &State, vq: VqIndex) -> bool {
        matches!(state.phase, Phase::Running(_)) && Self::is_enabled(state, vq)
    }

    pub(super) fn enable(&self, state: &mut State, vq: VqIndex) {
        let running = matches!(state.phase, Phase::Running(_)) && !self.events.is_broken();

        if let Some(draft) = state.drafts.get_mut(usize::from(vq)) {
            draft.enabled = true;
        }
        if !running {
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
        if started {
            self.parent.kick(vq);
        } else {
            self.stop(state);
        }
    }

    pub(super) fn disable(&self, state: &mut State, vq: VqIndex) {
        if matches!(state.phase, Phase::Running(_)) {
            if self.parent.stop_queue(vq).is_err() {
                // It goes on.
                return;
            }
            self.keep_state(state, vq);
        }
        if let Some(draft) = state.drafts.get_mut(usize::from(vq)) {
            draft.enabled = false;
        }
    }
}

impl<P: Parent + SoftDma> SoftDma for Adapter<P> {
    #[inline]
    fn iommu(&self) -> Arc<SoftIommu> {
        self.parent.iommu()
    }

    #[inline]
    fn mapped(&self) {
        self.parent.mapped();
    }
}
