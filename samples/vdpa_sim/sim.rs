// SPDX-License-Identifier: GPL-2.0

//! What simulated devices have in common: negotiation, virtqueues, and a thread that does the work.

use crate::queue::{
    Progress,
    Queue, //
};
use kernel::{
    new_mutex,
    prelude::*,
    str::{
        BStr,
        CString, //
    },
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
    /// The device works: DRIVER_OK, and not suspended.
    pub(crate) running: bool,
    pub(crate) features: Features,
    pub(crate) generation: u32,
    pub(crate) queues: KVec<Queue>,
    pub(crate) model: M,
}

/// What is reached without the lock of the state.
pub(crate) struct Line {
    pub(crate) callback: Arc<Callback>,
    /// The queue is started; see `Device::kick_vq`.
    pub(crate) ready: AtomicFlag,
}

/// A device, as its thread sees it.
///
/// Locks are taken in this order: `state`, that of `iommu`. No lock is held while callbacks run.
#[pin_data]
pub(crate) struct Sim<M: Model> {
    name: CString,
    #[pin]
    pub(crate) state: Mutex<State<M>>,
    pub(crate) iommu: Arc<SoftIommu>,
    pub(crate) config_callback: Arc<Callback>,
    pub(crate) lines: KVec<Line>,
    /// A ring could not be reached, and shall be looked at again when something is mapped: what was
    /// announced meanwhile is not announced again. Written with the lock of the state held.
    pub(crate) stuck: AtomicFlag,
    pub(crate) offered: Features,
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
                    running: false,
                    features: Features::default(),
                    generation: 0,
                    queues: {
                        let mut queues = KVec::with_capacity(M::QUEUES as usize, GFP_KERNEL)?;
                        for _ in 0..M::QUEUES {
                            queues.push(Queue::new()?, GFP_KERNEL)?;
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
                    lines.push(line, GFP_KERNEL)?;
                }
                lines
            },
            stuck: AtomicFlag::new(false),
            offered,
        })
    }

    /// The name of the device, for messages.
    pub(crate) fn name(&self) -> &BStr {
        BStr::from_bytes(self.name.to_bytes())
    }

    /// Has the driver interrupted for the queues in `interrupts`, and for the configuration.
    fn interrupt(&self, interrupts: u64, config: bool) {
        if interrupts == 0 && !config {
            return;
        }
        // The network stack polls when the guard is dropped, for all queues at once.
        let _bh = BottomHalfGuard::new();

        for (i, line) in self.lines.iter().enumerate() {
            if interrupts & (1 << i) != 0 {
                line.callback.call();
            }
        }
        if config {
            self.config_callback.call();
        }
    }
}

impl<M: Model> Work for Sim<M> {
    fn run(&self) -> bool {
        let mut guard = self.state.lock();
        let state = &mut *guard;

        if !state.running {
            return false;
        }
        let Ok(iommu) = self.iommu.lock() else {
            return false;
        };
        let progress = state.model.work(&mut state.queues, state.features, &iommu);
        drop(iommu);

        let mut interrupts = 0;
        let mut stuck = progress == Progress::Stuck;
        let mut broke = false;
        for (i, queue) in state.queues.iter_mut().enumerate() {
            if core::mem::take(&mut queue.interrupt) {
                interrupts |= 1 << i;
            }
            if let Some(why) = queue.broken() {
                stuck = false;
                broke |= !state.status.has(Status::NEEDS_RESET);
                if broke && vdpa::ratelimit() {
                    pr_warn!(
                        "{}: virtqueue {i} stopped until the device is reset: {}\n",
                        self.name(),
                        format_args!("{why}")
                    );
                }
            }
        }
        // It is tried once more at once: it may have been mapped before that could be seen here.
        let again = stuck && !self.stuck.load(Relaxed);
        self.stuck.store(stuck, Relaxed);
        if again && vdpa::ratelimit() {
            pr_warn!(
                "{}: a virtqueue cannot be read or written: it is tried again at the next \
                 notification, or when all mappings are replaced\n",
                self.name()
            );
        }
        // Virtio 1.3, section 2.1.2: the driver is told that nothing works any more.
        if broke {
            state.status = Status(state.status.0 | Status::NEEDS_RESET.0);
        }
        drop(guard);

        self.interrupt(interrupts, broke);
        progress == Progress::More || again
    }
}
