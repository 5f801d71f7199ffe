// SPDX-License-Identifier: GPL-2.0

//! What one process has set up, from opening the device to closing it.

use crate::{
    call::Call,
    line::Line,
    spaces::Spaces, //
};
use kernel::{
    alloc::KVVec,
    current,
    device::Bound,
    mm::Mm,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};
use vdpa::{
    bindings::{
        VHOST_FORK_OWNER_KTHREAD,
        VHOST_FORK_OWNER_TASK, //
    },
    BoundDevice,
    Callbacks,
    Device,
    Doorbells,
    Features,
    IovaRange,
    RateLimit,
    Source,
    Unmapped, //
};

/// What one process has set up.
///
/// There is at most one for a device. It is only reached with the device's lock held (see
/// [`VhostVdpa`](crate::device::VhostVdpa)), and ends with [`close`](Self::close): when the file is
/// closed, or earlier when the device goes away.
pub(crate) struct Session {
    /// The device, for kicks: they come at any time.
    pub(crate) bound: Arc<BoundDevice>,
    pub(crate) callbacks: Callbacks<Call>,
    /// One for each virtqueue.
    pub(crate) lines: KVVec<Line>,
    pub(crate) spaces: Spaces,
    pub(crate) doorbells: Arc<Doorbells>,
    /// Whose memory the device may use.
    owner: Option<ARef<Mm>>,
    fork_from_owner: u8,
    /// The `VHOST_BACKEND_F_*` bits that were accepted.
    pub(crate) backend_features: Features,
    /// The virtqueues were negotiated to be packed ones.
    pub(crate) packed: bool,
    /// Single virtqueues can be reset, and set up again.
    pub(crate) ring_reset: bool,
    pub(crate) suspended: bool,
    /// The largest size of a virtqueue as it was after the last reset.
    pub(crate) vq_num_max: u16,
}

impl Session {
    /// Resets the device and begins. `doorbells` are those of the file that is being opened;
    /// `callbacks` are taken, and given back by [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// - `EBUSY` where somebody has the callbacks,
    /// - what the device refuses the reset with,
    /// - `EOPNOTSUPP` where its memory accesses could not be confined to what is mapped,
    /// - `ENOMEM`.
    pub(crate) fn open(
        dev: &Device<Bound>,
        bound: Arc<BoundDevice>,
        doorbells: Arc<Doorbells>,
        callbacks: &mut Option<Callbacks<Call>>,
    ) -> Result<Self> {
        let nvqs = dev.nvqs();
        let mut lines = KVVec::with_capacity(usize::try_from(nvqs)?, GFP_KERNEL)?;

        for _ in 0..nvqs {
            lines.push_within_capacity(Line::default())?;
        }
        callbacks.as_mut().ok_or(EBUSY)?.reset(dev, false)?;
        doorbells.update(dev, false)?;

        let spaces = Spaces::new(dev)?;

        Ok(Self {
            bound,
            callbacks: callbacks.take().ok_or(EBUSY)?,
            lines,
            spaces,
            doorbells,
            owner: None,
            fork_from_owner: VHOST_FORK_OWNER_TASK as u8,
            backend_features: Features::default(),
            packed: false,
            ring_reset: false,
            suspended: false,
            vq_num_max: dev.vq_num_max(),
        })
    }

    /// Ends because the device goes away. The driver is told, and loses its doorbells.
    pub(crate) fn abort(self, dev: &Device<Bound>, log: &RateLimit) {
        let mut unmapped = Unmapped::new();

        self.doorbells.revoke();
        self.signal_errors();
        drop(self.close(dev, log, &mut unmapped));
    }

    /// Ends: resets the device, and lets go of all that was given to it, but for memory, which goes
    /// to `unmapped`. What it calls stays, for a parent that does so late. What the device refuses
    /// is said as `log` allows.
    pub(crate) fn close(
        mut self,
        dev: &Device<Bound>,
        log: &RateLimit,
        unmapped: &mut Unmapped,
    ) -> Callbacks<Call> {
        self.disconnect_irqs();
        self.cut_kicks();
        if let Err(e) = self.callbacks.reset(dev, self.clean_map()) {
            if log.allows() {
                dev_warn!(dev, "reset failed: {:?}\n", e);
            }
        }
        for call in self.callbacks.targets() {
            drop(call.set(None));
        }
        self.spaces.close(dev, log, unmapped);
        if self.owner.is_some() && dev.source() == Source::Process {
            dev.unbind_mm();
        }
        self.callbacks
    }

    /// Returns the bus addresses that can be mapped.
    pub(crate) fn iova_range(&self) -> IovaRange {
        self.spaces.iova_range()
    }

    /// Makes the current process the owner: the one whose memory is mapped, and the only one to
    /// set up virtqueues.
    ///
    /// # Errors
    ///
    /// `EBUSY` where there is an owner, what the device refuses the process with.
    pub(crate) fn set_owner(&mut self, dev: &Device<Bound>) -> Result {
        if self.owner.is_some() {
            return Err(EBUSY);
        }

        let task = current!();
        let mm: &Mm = task.mm().ok_or(EINVAL)?;

        if dev.source() == Source::Process {
            dev.bind_mm(mm)?;
        }
        self.owner = Some(mm.into());
        Ok(())
    }

    /// Whether the current process is the owner.
    ///
    /// # Errors
    ///
    /// `EPERM` where it is not.
    pub(crate) fn check_owner(&self) -> Result {
        let task = current!();
        let mm = task.mm().ok_or(EPERM)?;

        match &self.owner {
            Some(owner) if owner.as_raw() == mm.as_raw() => Ok(()),
            _ => Err(EPERM),
        }
    }

    /// Returns what was set with [`set_fork_from_owner`](Self::set_fork_from_owner).
    pub(crate) fn fork_from_owner(&self) -> u8 {
        self.fork_from_owner
    }

    /// Remembers how other vhost devices would make their threads. There is none here.
    ///
    /// # Errors
    ///
    /// `EBUSY` where there is an owner, `EINVAL` for an unknown value.
    pub(crate) fn set_fork_from_owner(&mut self, fork: u8) -> Result {
        if self.owner.is_some() {
            return Err(EBUSY);
        }
        if !matches!(
            fork.into(),
            VHOST_FORK_OWNER_KTHREAD | VHOST_FORK_OWNER_TASK
        ) {
            return Err(EINVAL);
        }
        self.fork_from_owner = fork;
        Ok(())
    }
}
