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
    SoftMapping,
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
                // In `/sys/devices`, where programs look for devices that are no hardware.
                parent: None,
                dma_device: None,
                virtqueues: M::QUEUES,
                groups: M::GROUPS,
                address_spaces: M::ADDRESS_SPACES,
            },
            SoftMapping {
                batch: params.batch_mapping,
                use_va: params.use_va,
            },
            Ok(Self { worker, sim }),
        )
    }

    /// Has `f` change the model; who reads the configuration meanwhile sees that it must do so
    /// again, and who has read it is told.
    pub(crate) fn change<R>(&self, f: impl FnOnce(&mut M) -> R) -> R {
        let mut state = self.sim.state.lock();
        let result = f(&mut state.model);

        state.generation = state.generation.wrapping_add(1);
        if state.is_running() {
            self.sim.interrupt(0, true);
        }
        result
    }

    /// Has `f` do something with a virtqueue.
    fn with_queue<R>(&self, vq: VqIndex, f: impl FnOnce(&mut Queue) -> R) -> Result<R> {
        let mut state = self.sim.state.lock();

        state.queues.get_mut(usize::from(vq)).map(f).ok_or(EINVAL)
    }

    /// What becomes of a status that a driver writes: virtio 1.3, sections 2.1 and 3.1.1.
    fn accepted(&self, state: &State<M>, asked: Status) -> Status {
        // The device's own.
        let mut status = asked.0 & !Status::NEEDS_RESET.0 | state.status.0 & Status::NEEDS_RESET.0;

        if state.features.is_none() {
            status &= !Status::FEATURES_OK.0;
        }
        if status & Status::FEATURES_OK.0 == 0 && status & Status::DRIVER_OK.0 != 0 {
            if self.sim.log.allows() {
                pr_warn!(
                    "{}: DRIVER_OK is refused: no features were negotiated (FEATURES_OK)\n",
                    self.sim.name()
                );
            }
            status &= !Status::DRIVER_OK.0;
        }
        Status(status)
    }

    fn line(&self, vq: VqIndex) -> Option<&Line> {
        self.sim.lines.get(usize::from(vq))
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
        let mut state = self.sim.state.lock();
        let at = usize::from(vq);
        let Some(queue) = state.queues.get_mut(at) else {
            return;
        };

        queue.enabled = ready;
        if !ready {
            self.sim.stop(&mut state, at);
        } else if state.is_running() && self.sim.start(&mut state, at) {
            // One that is started late may hold buffers that were announced before.
            self.worker.queue();
        }
    }

    fn get_vq_ready(&self, vq: VqIndex) -> bool {
        self.with_queue(vq, |queue| queue.enabled).unwrap_or(false)
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
        let mut state = self.sim.state.lock();

        if !features.has(bindings::VIRTIO_F_ACCESS_PLATFORM) {
            // No features at all are what a bus sets for a driver that has not said any.
            if !features.is_empty() && self.sim.log.allows() {
                pr_warn!(
                    "{}: the driver does not accept VIRTIO_F_ACCESS_PLATFORM (bit 33), but must\n",
                    self.sim.name()
                );
            }
            state.features = None;
            return Err(EINVAL);
        }
        // Virtio 1.3, section 2.2.1: the driver must not accept what was not offered.
        let unknown = features.difference(self.sim.offered);
        if !unknown.is_empty() {
            if self.sim.log.allows() {
                pr_warn!(
                    "{}: the driver accepts features {:#x}, which are not offered\n",
                    self.sim.name(),
                    unknown.0
                );
            }
            state.features = None;
            return Err(EINVAL);
        }
        state.features = Some(features);
        Ok(())
    }

    fn get_driver_features(&self) -> Features {
        self.sim.state.lock().negotiated()
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
        let was_running = state.is_running();

        state.status = self.accepted(&state, status);
        // A driver may enable virtqueues first and say later where they are.
        if state.is_running() && !was_running {
            self.sim.start_all(&mut state);
            // Buffers may have been announced before.
            self.worker.queue();
        }
    }

    fn reset(&self) -> Result {
        let mut state = self.sim.state.lock();

        state.status = Status::default();
        state.suspended = false;
        state.features = None;
        state.generation = state.generation.wrapping_add(1);
        state.model.reset();
        for queue in state.queues.iter_mut() {
            queue.reset();
        }
        for line in self.sim.lines.iter() {
            line.ready.store(false, Relaxed);
        }
        self.sim.stuck.store(false, Relaxed);
        drop(state);
        self.sim.iommu.interrupt();
        Ok(())
    }

    fn suspend(&self) -> Result {
        // The thread does a round with this lock held: it leaves no chain behind, and has signalled
        // what it has published.
        let mut state = self.sim.state.lock();

        state.suspended = state.status.has(Status::DRIVER_OK);
        Ok(())
    }

    fn resume(&self) -> Result {
        let mut state = self.sim.state.lock();

        if !core::mem::take(&mut state.suspended) || !state.is_running() {
            return Ok(());
        }
        // The driver may have moved the virtqueues, and kicks went unheard.
        self.sim.start_all(&mut state);
        self.worker.queue();
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
        // What could not be reached may be there.
        self.mapped();
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
