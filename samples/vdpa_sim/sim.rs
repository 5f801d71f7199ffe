// SPDX-License-Identifier: GPL-2.0

//! What simulated devices have in common: negotiation, virtqueues, and a thread that does the work.

use crate::queue::{
    Progress,
    Queue, //
};
use kernel::{
    fmt, new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};
use vdpa::{
    bindings,
    BottomHalfGuard,
    Callback,
    Features,
    GroupId,
    IommuGuard,
    RateLimit,
    SoftIommu,
    Status,
    VendorStats,
    VqIndex,
    Work, //
};

/// The features of every simulated device.
///
/// VIRTIO_F_ACCESS_PLATFORM is not an offer but a demand: memory is reached through the device's
/// own translation.
pub(crate) const FEATURES: Features = Features::from_bits(&[
    bindings::VIRTIO_F_ANY_LAYOUT,
    bindings::VIRTIO_F_VERSION_1,
    bindings::VIRTIO_F_ACCESS_PLATFORM,
    bindings::VIRTIO_RING_F_EVENT_IDX,
    bindings::VIRTIO_RING_F_INDIRECT_DESC,
]);

/// What the module's parameters say.
#[derive(Clone, Copy)]
pub(crate) struct Params {
    /// Take whole address spaces, not single mappings.
    pub(crate) batch_mapping: bool,
    /// How many mappings an address space can have.
    pub(crate) max_iotlb_entries: usize,
    /// Use virtual addresses of processes.
    pub(crate) use_va: bool,
}

impl Params {
    /// Checks what a user gave; numbers as the C simulator has them.
    pub(crate) fn new(batch_mapping: i32, max_iotlb_entries: i32, use_va: bool) -> Result<Self> {
        if max_iotlb_entries < 2 {
            pr_err!("max_iotlb_entries={max_iotlb_entries}: must be 2 or more\n");
            return Err(EINVAL);
        }
        Ok(Self {
            batch_mapping: batch_mapping != 0,
            max_iotlb_entries: max_iotlb_entries as usize,
            use_va,
        })
    }
}

/// A kind of device.
///
/// All methods but the constants are called with the lock of the device's state held.
pub(crate) trait Model: Send + Unpin + Sized + 'static {
    /// The virtio device id.
    const DEVICE_ID: u32;
    /// The number of virtqueues.
    const QUEUES: u32;
    /// The number of virtqueue groups.
    const GROUPS: u32;
    /// The number of address spaces.
    const ADDRESS_SPACES: u32;
    /// All features that a device can offer.
    const FEATURES: Features;
    /// Whether virtqueues have statistics.
    const STATS: bool;

    /// The configuration space.
    type Config: AsRef<[u8]>;

    /// The group of a virtqueue.
    fn group(vq: VqIndex) -> GroupId;

    /// Returns what is in the configuration space now.
    fn config(&self) -> Self::Config;

    /// Takes what was written to the configuration space.
    fn set_config(&mut self, offset: usize, buf: &[u8]);

    /// Forgets what a driver has set: the next one is another.
    fn reset(&mut self);

    /// Adds the statistics of a virtqueue.
    fn stats(&self, vq: VqIndex, stats: &mut VendorStats<'_>) -> Result;

    /// Does a round of what drivers have asked for.
    fn work(
        &mut self,
        queues: &mut [Queue],
        features: Features,
        iommu: &IommuGuard<'_>,
    ) -> Progress;
}

/// What changes while a device is in use.
pub(crate) struct State<M> {
    pub(crate) status: Status,
    pub(crate) suspended: bool,
    /// What was negotiated, if the driver has said something that the device accepts.
    pub(crate) features: Option<Features>,
    pub(crate) generation: u32,
    pub(crate) queues: KVec<Queue>,
    pub(crate) model: M,
}

impl<M> State<M> {
    /// Whether the device works: neither side has given up, and nobody has suspended it.
    pub(crate) fn is_running(&self) -> bool {
        self.status.has(Status::DRIVER_OK)
            && !self.status.has(Status::NEEDS_RESET)
            && !self.status.has(Status::FAILED)
            && !self.suspended
    }

    pub(crate) fn negotiated(&self) -> Features {
        self.features.unwrap_or_default()
    }
}

/// What is reached without the lock of the state.
pub(crate) struct Line {
    pub(crate) callback: Arc<Callback>,
    /// The queue is started; see `Device::kick_vq`.
    pub(crate) ready: AtomicFlag,
}

/// A device, as its thread sees it.
///
/// Locks are taken in this order: `state`, those of `iommu`. Callbacks, which never sleep, are called
/// with `state` locked: so who has stopped a queue or the device, with the lock held, knows that
/// what was done before is signalled, and that nothing is from then on.
#[pin_data]
pub(crate) struct Sim<M: Model> {
    name: CString,
    #[pin]
    pub(crate) state: Mutex<State<M>>,
    pub(crate) iommu: Arc<SoftIommu>,
    pub(crate) config_callback: Arc<Callback>,
    pub(crate) lines: KVec<Line>,
    /// A ring could not be reached, and shall be looked at again when something is mapped: what was
    /// announced meanwhile is not announced again.
    pub(crate) stuck: AtomicFlag,
    pub(crate) offered: Features,
    /// For messages that a driver can cause.
    #[pin]
    pub(crate) log: RateLimit,
}

impl<M: Model> Sim<M> {
    pub(crate) fn new(
        name: CString,
        model: M,
        offered: Features,
        params: Params,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            name,
            state <- new_mutex!(
                State {
                    status: Status::default(),
                    suspended: false,
                    features: None,
                    generation: 0,
                    queues: {
                        let mut queues = KVec::with_capacity(M::QUEUES as usize, GFP_KERNEL)?;
                        for _ in 0..M::QUEUES {
                            queues.push_within_capacity(Queue::new()?)?;
                        }
                        queues
                    },
                    model,
                },
                "vdpa_sim"
            ),
            iommu: SoftIommu::new(M::ADDRESS_SPACES, params.max_iotlb_entries)?,
            config_callback: Callback::new()?,
            lines: {
                let mut lines = KVec::with_capacity(M::QUEUES as usize, GFP_KERNEL)?;
                for _ in 0..M::QUEUES {
                    let line = Line {
                        callback: Callback::new()?,
                        ready: AtomicFlag::new(false),
                    };
                    lines.push_within_capacity(line)?;
                }
                lines
            },
            stuck: AtomicFlag::new(false),
            offered,
            log <- RateLimit::new(),
        })
    }

    /// The name of the device, for messages.
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    /// Has the driver interrupted for the queues in `interrupts`, and for the configuration, with
    /// the lock of the state held.
    pub(crate) fn interrupt(&self, interrupts: u64, config: bool) {
        if interrupts == 0 && !config {
            return;
        }
        // The network stack polls when the guard is dropped, for all queues at once.
        let _bh = BottomHalfGuard::new();

        for (i, line) in (0..u64::BITS).zip(&self.lines) {
            if interrupts & 1u64.wrapping_shl(i) != 0 {
                line.callback.call();
            }
        }
        if config {
            self.config_callback.call();
        }
    }

    /// Stops the device until it is reset, and tells the driver so: virtio 1.3, section 2.1.2.
    pub(crate) fn break_down(&self, state: &mut State<M>, vq: usize, why: fmt::Arguments<'_>) {
        if state.status.has(Status::NEEDS_RESET) {
            return;
        }
        if self.log.allows() {
            pr_warn!(
                "{}: virtqueue {vq}: {why}: the device needs a reset\n",
                self.name()
            );
        }
        state.status = Status(state.status.0 | Status::NEEDS_RESET.0);
        self.interrupt(0, true);
    }

    /// Starts a virtqueue. Returns whether it could be.
    pub(crate) fn start(&self, state: &mut State<M>, vq: usize) -> bool {
        let features = state.negotiated();
        let Some(queue) = state.queues.get_mut(vq) else {
            return false;
        };

        let result = queue.start(features, &self.iommu);
        if let Some(line) = self.lines.get(vq) {
            line.ready.store(result.is_ok(), Relaxed);
        }
        if let Err(error) = &result {
            self.break_down(state, vq, fmt!("not started: {error}"));
        }
        result.is_ok()
    }

    /// Starts all virtqueues that the driver has enabled, with what it has set by now.
    pub(crate) fn start_all(&self, state: &mut State<M>) {
        for vq in 0..state.queues.len() {
            if state.queues.get(vq).is_some_and(|queue| queue.enabled) && !self.start(state, vq) {
                return;
            }
        }
    }

    /// Stops a virtqueue, which can go on from there.
    pub(crate) fn stop(&self, state: &mut State<M>, vq: usize) {
        if let Some(queue) = state.queues.get_mut(vq) {
            queue.stop();
        }
        if let Some(line) = self.lines.get(vq) {
            line.ready.store(false, Relaxed);
        }
    }

    /// Does a round. Nothing that others may want is held when it has returned.
    fn round(&self) -> Progress {
        let mut guard = self.state.lock();
        let state = &mut *guard;

        if !state.is_running() {
            return Progress::Idle;
        }
        let features = state.negotiated();
        let Ok(iommu) = self.iommu.lock() else {
            return Progress::Idle;
        };
        let progress = state.model.work(&mut state.queues, features, &iommu);
        drop(iommu);

        let mut interrupts: u64 = 0;
        let mut broken = None;
        for (i, queue) in (0..u64::BITS).zip(state.queues.iter_mut()) {
            if core::mem::take(&mut queue.interrupt) {
                // Of as many as there are bits.
                interrupts |= 1u64.wrapping_shl(i);
            }
            if let (Some(why), None) = (queue.broken(), broken) {
                broken = Some((i as usize, why));
            }
        }
        self.interrupt(interrupts, false);
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

impl<M: Model> Work for Sim<M> {
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
