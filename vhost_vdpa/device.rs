// SPDX-License-Identifier: GPL-2.0

//! A vDPA device and its character device.

use crate::{
    call::Call,
    session::Session, //
};
use kernel::{
    device::{
        Bound,
        Core, //
    },
    new_poll_condvar,
    prelude::*,
    sync::{
        poll::PollCondVar,
        Arc, //
    }, //
};
use vdpa::{
    new_rwsem,
    rwsem::{
        RwSem,
        WriteGuard, //
    },
    BoundDevice,
    BoundState,
    Callbacks,
    Device,
    Doorbells,
    RateLimit,
    Source,
    Unmapped, //
};

/// What belongs to a device that this driver is bound to.
struct State {
    /// What the device calls, unless the session has it.
    callbacks: Option<Callbacks<Call>>,
    /// [`None`] while the device is not open.
    session: Option<Session>,
}

/// A vDPA device and its character device, and what the process that has it open has set up.
///
/// # Locking
///
/// The session has one lock. Nothing that depends on user space is done with it held, neither
/// accesses to the memory of a process nor taking `mmap_lock`: the lock is all that stands between
/// [`remove`](Self::remove) and the session. What takes long and must be done in order, which is
/// pinning memory for IOTLB messages, has a lock of its own, taken before. That one is never needed
/// for removal. Unpinning has its time when the session is not locked any more ([`Unmapped`]).
///
/// What the device's parent does when it is called with the lock held is another matter. One that
/// accesses memory of the process itself ([`Source::Process`]) may wait for who provides that.
#[pin_data]
pub(crate) struct VhostVdpa {
    state: Arc<BoundState<State>>,
    bound: Arc<BoundDevice>,
    source: Source,
    #[pin]
    messages: RwSem<()>,
    /// Woken up when the device has gone.
    #[pin]
    gone: PollCondVar,
    /// For what a process can have said of this device as often as it likes.
    #[pin]
    log: RateLimit,
}

impl VhostVdpa {
    /// Prepares for a device.
    pub(crate) fn new(dev: &Device<Bound>) -> Result<Arc<Self>> {
        let callbacks = Callbacks::new(dev, |_| Call::new(), Call::new()?)?;
        let state = State {
            callbacks: Some(callbacks),
            session: None,
        };
        let state = BoundState::new(dev, state)?;
        let bound = BoundDevice::new(dev)?;

        Arc::pin_init(
            pin_init!(Self {
                state,
                bound,
                source: dev.source(),
                messages <- new_rwsem!((), "vhost_vdpa_messages"),
                gone <- new_poll_condvar!("vhost_vdpa_gone"),
                log <- RateLimit::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Begins a session. `doorbells` are those of the file that is being opened.
    ///
    /// # Errors
    ///
    /// `ENODEV` where the device is gone, `EBUSY` where it is open, `EOPNOTSUPP` where its memory
    /// accesses could not be confined to what is mapped (the user is told), those of
    /// [`Session::open`].
    pub(crate) fn open(&self, doorbells: Arc<Doorbells>) -> Result {
        let mut state = self.state.lock().ok_or(ENODEV)?;
        let (state, dev) = state.split();

        if state.session.is_some() {
            return Err(EBUSY);
        }

        if dev.lacks_iommu() {
            if self.log.allows() {
                dev_warn!(
                    dev,
                    "cannot be opened: needs an IOMMU that makes accesses cache coherent\n"
                );
            }
            return Err(EOPNOTSUPP);
        }

        let bound = self.bound.clone();

        state.session = Some(Session::open(dev, bound, doorbells, &mut state.callbacks)?);
        Ok(())
    }

    /// Ends the session, if that has not happened before.
    pub(crate) fn close(&self) {
        // Dropped after the lock: there can be a guest's memory in it.
        let mut unmapped = Unmapped::new();

        if let Some(mut state) = self.state.lock() {
            let (state, dev) = state.split();

            if let Some(session) = state.session.take() {
                state.callbacks = Some(session.close(dev, &self.log, &mut unmapped));
            }
        }
    }

    /// Has `f` do something with the session.
    ///
    /// # Errors
    ///
    /// `ENODEV` where the device is gone, those of `f`.
    pub(crate) fn with<R>(
        &self,
        f: impl FnOnce(&mut Session, &Device<Bound>) -> Result<R>,
    ) -> Result<R> {
        let mut state = self.state.lock().ok_or(ENODEV)?;
        let (state, dev) = state.split();

        f(state.session.as_mut().ok_or(ENODEV)?, dev)
    }

    /// Returns what the device has to be given for the memory of the process.
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// Returns what limits messages that a process can cause.
    pub(crate) fn log(&self) -> &RateLimit {
        &self.log
    }

    /// Waits until no other IOTLB message is being worked on, and lets none begin.
    ///
    /// # Errors
    ///
    /// `EINTR` where the process is being killed. Who is not the owner does not wait: `EPERM`, or
    /// `ENODEV` where the device is gone.
    pub(crate) fn lock_messages(&self) -> Result<WriteGuard<'_, ()>> {
        if let Some(guard) = self.messages.try_write() {
            return Ok(guard);
        }
        self.with(|session, _| session.check_owner())?;
        self.messages.write_killable()
    }

    /// # Errors
    ///
    /// `ENODEV` where the device is gone.
    pub(crate) fn check(&self) -> Result {
        self.bound.get().map(|_| ()).ok_or(ENODEV)
    }

    /// Returns what is woken up when the device has gone.
    pub(crate) fn gone(&self) -> &PollCondVar {
        &self.gone
    }

    /// Ends the session because the device goes away. From now on the open file, if there is one,
    /// only says so.
    pub(crate) fn remove(&self, dev: &Device<Core<'_>>) {
        let session = self.state.revoke().and_then(|state| state.session);

        if let Some(session) = session {
            session.abort(dev, &self.log);
        }
        self.bound.revoke();
        self.gone.notify_all();
    }
}
