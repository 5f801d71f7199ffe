// SPDX-License-Identifier: GPL-2.0

//! What simulated devices have in common: negotiation, virtqueues, and a thread that does the work.

use crate::queue::{
    Progress,
    Queue,
    SIZE_MAX, //
};
use kernel::{
    new_mutex,
    prelude::*,
    str::BStr,
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
    mgmt,
    Asid,
    BottomHalfGuard,
    Callback,
    ConfigOps,
    DeviceInfo,
    Features,
    GroupId,
    IommuGuard,
    IovaRange,
    SoftDma,
    SoftIommu,
    Status,
    UnregisteredDevice,
    VendorStats,
    VqAddress,
    VqIndex,
    VqState,
    Work,
    Worker, //
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
struct State<M> {
    status: Status,
    /// The device works: DRIVER_OK, and not suspended.
    running: bool,
    features: Features,
    generation: u32,
    queues: KVec<Queue>,
    model: M,
}

/// What is reached without the lock of the state.
#[pin_data]
struct Line {
    #[pin]
    callback: Callback,
    /// The queue is started; see [`Device::kick_vq`].
    ready: AtomicFlag,
}

/// A device, as its thread sees it.
///
/// Locks are taken in this order: `state`, that of `iommu`. No lock is held while callbacks run.
#[pin_data]
pub(crate) struct Sim<M: Model> {
    #[pin]
    state: Mutex<State<M>>,
    #[pin]
    iommu: SoftIommu,
    #[pin]
    config_callback: Callback,
    lines: KVec<Pin<KBox<Line>>>,
    offered: Features,
}

impl<M: Model> Sim<M> {
    fn new(model: M, offered: Features, params: Params) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
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
            iommu <- SoftIommu::new(M::ADDRESS_SPACES, params.max_iotlb_entries),
            config_callback <- Callback::new(),
            lines: {
                let mut lines = KVec::with_capacity(M::QUEUES as usize, GFP_KERNEL)?;
                for _ in 0..M::QUEUES {
                    let line = KBox::pin_init(
                        pin_init!(Line {
                            callback <- Callback::new(),
                            ready: AtomicFlag::new(false),
                        }),
                        GFP_KERNEL,
                    )?;
                    lines.push(line, GFP_KERNEL)?;
                }
                lines
            },
            offered,
        })
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
        let mut broke = false;
        for (i, queue) in state.queues.iter_mut().enumerate() {
            if core::mem::take(&mut queue.interrupt) {
                interrupts |= 1 << i;
            }
            if let Some(why) = queue.broken() {
                broke |= !state.status.has(Status::NEEDS_RESET);
                if broke && vdpa::ratelimit() {
                    pr_warn!(
                        "virtqueue {i} stopped until the device is reset: {}\n",
                        format_args!("{why}")
                    );
                }
            }
        }
        // Virtio 1.3, section 2.1.2: the driver is told that nothing works any more.
        if broke {
            state.status = Status(state.status.0 | Status::NEEDS_RESET.0);
        }
        drop(guard);

        self.interrupt(interrupts, broke);
        progress == Progress::More
    }
}

/// A device, as the vDPA bus sees it.
pub(crate) struct Device<M: Model> {
    // First, so that the thread ends before what it works on.
    worker: Worker<Sim<M>>,
    sim: Arc<Sim<M>>,
}

impl<M: Model> Device<M> {
    /// Makes a device for `vdpa dev add`.
    pub(crate) fn create(
        mgmt: &kernel::device::Device,
        name: &CStr,
        config: &mgmt::Config,
        params: Params,
        model: M,
    ) -> Result<UnregisteredDevice<Self>> {
        let offered = config.features().unwrap_or(M::FEATURES);
        if !offered.difference(M::FEATURES).is_empty() {
            return Err(EINVAL);
        }
        let sim = Arc::pin_init(Sim::new(model, offered, params), GFP_KERNEL)?;
        let worker = Worker::new(
            fmt!("vDPA sim worker: {}", BStr::from_bytes(name.to_bytes())),
            sim.clone(),
        )?;

        UnregisteredDevice::in_software(
            &DeviceInfo {
                name: Some(name),
                parent: Some(mgmt),
                dma_device: None,
                virtqueues: M::QUEUES,
                groups: M::GROUPS,
                address_spaces: M::ADDRESS_SPACES,
                use_va: params.use_va,
            },
            params.batch_mapping,
            Ok(Self { worker, sim }),
        )
    }

    /// Has `f` change the model, and the driver notice.
    pub(crate) fn change<R>(&self, f: impl FnOnce(&mut M) -> R) -> R {
        let mut state = self.sim.state.lock();

        state.generation = state.generation.wrapping_add(1);
        f(&mut state.model)
    }

    /// Has `f` do something with a virtqueue.
    fn with_queue<R>(&self, vq: VqIndex, f: impl FnOnce(&mut Queue) -> R) -> Result<R> {
        let mut state = self.sim.state.lock();

        state.queues.get_mut(usize::from(vq)).map(f).ok_or(EINVAL)
    }

    fn line(&self, vq: VqIndex) -> Option<&Line> {
        self.sim.lines.get(usize::from(vq)).map(|line| &**line)
    }
}

#[vtable]
impl<M: Model> ConfigOps for Device<M> {
    const HAS_GET_VENDOR_VQ_STATS: bool = M::STATS;

    fn set_vq_address(&self, vq: VqIndex, address: VqAddress) -> Result {
        self.with_queue(vq, |queue| queue.address = address)
    }

    fn set_vq_num(&self, vq: VqIndex, num: u32) {
        let _ = self.with_queue(vq, |queue| queue.num = num);
    }

    fn kick_vq(&self, vq: VqIndex) {
        if self.line(vq).is_some_and(|line| line.ready.load(Relaxed)) {
            self.worker.queue();
        }
    }

    fn vq_callback(&self, vq: VqIndex) -> Option<&Callback> {
        Some(&self.line(vq)?.callback)
    }

    fn config_callback(&self) -> Option<&Callback> {
        Some(&self.sim.config_callback)
    }

    fn set_vq_ready(&self, vq: VqIndex, ready: bool) {
        let mut guard = self.sim.state.lock();
        let state = &mut *guard;
        let Some(queue) = state.queues.get_mut(usize::from(vq)) else {
            return;
        };

        if !ready {
            queue.stop();
        } else if queue.start(state.features).is_err() && vdpa::ratelimit() {
            pr_warn!(
                "virtqueue {} not started: {} descriptors at {:#x}, {:#x}, {:#x} (a power of two \
                 up to {}, aligned to 16, 2, 4 bytes)\n",
                vq.get(),
                queue.num,
                queue.address.desc,
                queue.address.driver,
                queue.address.device,
                SIZE_MAX
            );
        }
        let ready = queue.is_ready();
        if let Some(line) = self.line(vq) {
            line.ready.store(ready, Relaxed);
        }
        // A queue that is started late may hold buffers that were announced before.
        if ready && state.running {
            self.worker.queue();
        }
    }

    fn get_vq_ready(&self, vq: VqIndex) -> bool {
        self.with_queue(vq, |queue| queue.is_ready())
            .unwrap_or(false)
    }

    fn set_vq_state(&self, vq: VqIndex, state: VqState) -> Result {
        match state {
            VqState::Split { avail_index } => {
                self.with_queue(vq, |queue| queue.set_next_avail(avail_index))
            }
            VqState::Packed { .. } => Err(EOPNOTSUPP),
        }
    }

    fn get_vq_state(&self, vq: VqIndex) -> Result<VqState> {
        self.with_queue(vq, |queue| VqState::Split {
            avail_index: queue.next_avail(),
        })
    }

    fn get_vendor_vq_stats(&self, vq: VqIndex, stats: &mut VendorStats<'_>) -> Result {
        self.sim.state.lock().model.stats(vq, stats)
    }

    fn get_vq_size(&self, vq: VqIndex) -> u16 {
        let state = self.sim.state.lock();

        // Before the driver has decided, what it may decide.
        if !state.status.has(Status::DRIVER_OK) {
            return SIZE_MAX;
        }
        state
            .queues
            .get(usize::from(vq))
            .and_then(|queue| u16::try_from(queue.num).ok())
            .unwrap_or(SIZE_MAX)
    }

    fn get_vq_group(&self, vq: VqIndex) -> GroupId {
        M::group(vq)
    }

    fn get_device_features(&self) -> Features {
        self.sim.offered
    }

    fn get_backend_features(&self) -> u64 {
        1 << bindings::VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK
    }

    fn set_driver_features(&self, features: Features) -> Result {
        if !features.has(bindings::VIRTIO_F_ACCESS_PLATFORM) {
            return Err(EINVAL);
        }
        self.sim.state.lock().features = features.intersection(self.sim.offered);
        Ok(())
    }

    fn get_driver_features(&self) -> Features {
        self.sim.state.lock().features
    }

    fn get_vq_num_max(&self) -> u16 {
        SIZE_MAX
    }

    fn get_device_id(&self) -> u32 {
        M::DEVICE_ID
    }

    fn get_status(&self) -> Status {
        self.sim.state.lock().status
    }

    fn set_status(&self, status: Status) {
        let mut state = self.sim.state.lock();

        state.status = status;
        state.running = status.has(Status::DRIVER_OK);
        // Buffers may have been announced before.
        if state.running {
            self.worker.queue();
        }
    }

    fn reset(&self) -> Result {
        let mut state = self.sim.state.lock();

        state.status = Status::default();
        state.running = false;
        state.features = Features::default();
        state.generation = state.generation.wrapping_add(1);
        for queue in state.queues.iter_mut() {
            queue.reset();
        }
        for line in self.sim.lines.iter() {
            line.ready.store(false, Relaxed);
        }
        Ok(())
    }

    fn suspend(&self) -> Result {
        // The thread does a round with this lock held, and leaves no chain behind.
        self.sim.state.lock().running = false;
        Ok(())
    }

    fn resume(&self) -> Result {
        let mut state = self.sim.state.lock();

        state.running = state.status.has(Status::DRIVER_OK);
        // Kicks went unheard meanwhile.
        if state.running {
            self.worker.queue();
        }
        Ok(())
    }

    fn get_config_size(&self) -> usize {
        size_of::<M::Config>()
    }

    fn get_config(&self, offset: usize, buf: &mut [u8]) {
        let config = self.sim.state.lock().model.config();

        if let Some(part) = config
            .as_ref()
            .get(offset..)
            .and_then(|c| c.get(..buf.len()))
        {
            buf.copy_from_slice(part);
        }
    }

    fn set_config(&self, offset: usize, buf: &[u8]) {
        self.sim.state.lock().model.set_config(offset, buf);
    }

    fn get_generation(&self) -> u32 {
        self.sim.state.lock().generation
    }

    fn get_iova_range(&self) -> IovaRange {
        IovaRange::FULL
    }

    fn set_group_asid(&self, group: GroupId, asid: Asid) -> Result {
        let mut state = self.sim.state.lock();

        for (i, queue) in (0..M::QUEUES).zip(state.queues.iter_mut()) {
            if VqIndex::new(i, M::QUEUES).is_some_and(|vq| M::group(vq) == group) {
                queue.asid = asid;
            }
        }
        Ok(())
    }
}

impl<M: Model> SoftDma for Device<M> {
    fn iommu(&self) -> &SoftIommu {
        &self.sim.iommu
    }
}
