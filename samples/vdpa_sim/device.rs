// SPDX-License-Identifier: GPL-2.0

//! A simulated device as the vDPA bus sees it.

use crate::{
    queue::{
        Queue,
        SIZE_MAX, //
    },
    sim::{
        Line,
        Model,
        Params,
        Sim,
        State, //
    },
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};
use vdpa::{
    bindings,
    mgmt,
    Asid,
    Callback,
    ConfigOps,
    DeviceInfo,
    Features,
    GroupId,
    IovaRange,
    SoftDma,
    SoftIommu,
    Status,
    UnregisteredDevice,
    VendorStats,
    VqAddress,
    VqIndex,
    VqState,
    Worker, //
};

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
        let sim = Arc::pin_init(
            Sim::new(CString::try_from(name)?, model, offered, params),
            GFP_KERNEL,
        )?;
        let worker = Worker::new(fmt!("vDPA sim worker: {}", sim.name()), sim.clone())?;

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

    /// Has `f` change the model; who reads the configuration meanwhile sees that it must do so
    /// again.
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
        self.sim.lines.get(usize::from(vq))
    }

    /// Starts a virtqueue, or says why not.
    fn start(&self, vq: usize, queue: &mut Queue, features: Features) {
        if queue.start(features).is_err() && vdpa::ratelimit() {
            pr_warn!(
                "{}: virtqueue {vq} not started: {} descriptors at {:#x}, {:#x}, {:#x} (a power of \
                 two up to {}, aligned to 16, 2, 4 bytes)\n",
                self.sim.name(),
                queue.num,
                queue.address.desc,
                queue.address.driver,
                queue.address.device,
                SIZE_MAX
            );
        }
    }

    /// Starts the virtqueues that are ready with what the driver has set since they became so.
    fn restart_queues(&self, state: &mut State<M>) {
        for (vq, (queue, line)) in state
            .queues
            .iter_mut()
            .zip(self.sim.lines.iter())
            .enumerate()
        {
            if queue.is_ready() {
                queue.stop();
                self.start(vq, queue, state.features);
                line.ready.store(queue.is_ready(), Relaxed);
            }
        }
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

    fn vq_callback(&self, vq: VqIndex) -> Option<Arc<Callback>> {
        Some(self.line(vq)?.callback.clone())
    }

    fn config_callback(&self) -> Option<Arc<Callback>> {
        Some(self.sim.config_callback.clone())
    }

    fn set_vq_ready(&self, vq: VqIndex, ready: bool) {
        let mut guard = self.sim.state.lock();
        let state = &mut *guard;
        let Some(queue) = state.queues.get_mut(usize::from(vq)) else {
            return;
        };

        if ready {
            self.start(vq.get().into(), queue, state.features);
        } else {
            queue.stop();
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
            // No features at all are what a bus sets for a driver that has not said any.
            if !features.is_empty() && vdpa::ratelimit() {
                pr_warn!(
                    "{}: the driver does not accept VIRTIO_F_ACCESS_PLATFORM (bit 33), but must\n",
                    self.sim.name()
                );
            }
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

        // A driver may enable virtqueues first and say later where they are.
        if status.has(Status::DRIVER_OK) && !state.status.has(Status::DRIVER_OK) {
            self.restart_queues(&mut state);
        }
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
        self.sim.stuck.store(false, Relaxed);
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
    fn iommu(&self) -> Arc<SoftIommu> {
        self.sim.iommu.clone()
    }

    fn mapped(&self) {
        if self.sim.stuck.load(Relaxed) {
            self.worker.queue();
        }
    }
}
