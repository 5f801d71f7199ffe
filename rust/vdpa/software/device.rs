// SPDX-License-Identifier: GPL-2.0

//! A device in software as its driver starts and stops it.

use super::{
    engine::{
        Engine,
        State, //
    },
    queue::SIZE_MAX,
    Model, //
};
use crate::{
    mgmt,
    parent::{
        Adapter,
        Events,
        Parent,
        VqSetup, //
    },
    Asid,
    DeviceInfo,
    Features,
    GroupId,
    IovaRange,
    SoftDma,
    SoftIommu,
    SoftMapping,
    UnregisteredDevice,
    VendorStats,
    VqIndex,
    VqState,
    Worker, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// What a user may decide of a device in software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How it is given memory.
    pub mapping: SoftMapping,
    /// The largest number of mappings of an address space.
    pub max_mappings: usize,
    /// What its thread is called, before the device's name.
    pub thread: &'static str,
}

impl Default for Options {
    #[inline]
    fn default() -> Self {
        Self {
            mapping: SoftMapping {
                batch: true,
                use_va: true,
            },
            max_mappings: 1 << 20,
            thread: "vdpa",
        }
    }
}

/// A vDPA device in software.
pub type Device<M> = Adapter<Software<M>>;

/// Makes a device for `vdpa dev add`.
///
/// # Errors
///
/// `EINVAL` where the user wants features that the model does not have, `ENOMEM`, `EINTR`.
#[inline]
pub fn create<M: Model>(
    name: &CStr,
    config: &mgmt::Config,
    options: Options,
    model: M,
) -> Result<UnregisteredDevice<Device<M>>> {
    let offered = config.features_of(M::FEATURES).map_err(|_| EINVAL)?;
    let info = DeviceInfo {
        name: Some(name),
        // In `/sys/devices`, where programs look for devices that are no hardware.
        parent: None,
        dma_device: None,
        virtqueues: M::QUEUES,
        groups: M::GROUPS,
        address_spaces: M::ADDRESS_SPACES,
    };

    UnregisteredDevice::in_software(
        &info,
        options.mapping,
        Adapter::new(&info, |events| {
            Software::new(name, offered, options, events, model)
        }),
    )
}

/// A [`Model`] and the thread that does its work.
pub struct Software<M: Model> {
    // First, so that the thread ends before what it works on.
    worker: Worker<Engine<M>>,
    engine: Arc<Engine<M>>,
    offered: Features,
}

impl<M: Model> Software<M> {
    #[inline]
    pub(super) fn new(
        name: &CStr,
        offered: Features,
        options: Options,
        events: Arc<Events>,
        model: M,
    ) -> Result<Self> {
        const {
            assert!(M::QUEUES <= u64::BITS);
        }
        let engine = Arc::pin_init(
            Engine::new(
                CString::try_from(name)?,
                model,
                events,
                options.max_mappings,
            ),
            GFP_KERNEL,
        )?;
        let worker = Worker::new(fmt!("{} {}", options.thread, engine.name()), engine.clone())?;

        Ok(Self {
            worker,
            engine,
            offered,
        })
    }

    /// Has `f` change the model; who reads the configuration meanwhile sees that it must do so
    /// again, and who has read it is told.
    #[inline]
    pub fn change<R>(&self, f: impl FnOnce(&mut M) -> R) -> R {
        let mut state = self.engine.state.lock();
        let result = f(&mut state.model);

        self.engine.events.config_changed();
        result
    }

    /// Starts virtqueues.
    fn start_queues(&self, state: &mut State<M>, queues: &[VqSetup]) -> Result {
        queues
            .iter()
            .try_for_each(|setup| self.engine.start_queue(state, setup))
    }
}

#[vtable]
impl<M: Model> Parent for Software<M> {
    type OwnerModule = M::OwnerModule;

    const HAS_STATS: bool = M::HAS_STATS;

    fn device_id(&self) -> u32 {
        M::DEVICE_ID
    }

    fn features(&self) -> Features {
        self.offered
    }

    fn size_max(&self, _vq: VqIndex) -> u16 {
        SIZE_MAX
    }

    fn group(&self, vq: VqIndex) -> GroupId {
        M::group(vq)
    }

    fn iova_range(&self) -> IovaRange {
        IovaRange::FULL
    }

    fn start(&self, features: Features, queues: &[VqSetup]) -> Result {
        let mut state = self.engine.state.lock();

        state.features = features;
        self.start_queues(&mut state, queues)?;
        state.running = true;
        Ok(())
    }

    fn start_queue(&self, queue: &VqSetup) -> Result {
        self.engine
            .start_queue(&mut self.engine.state.lock(), queue)
    }

    fn stop_queue(&self, vq: VqIndex) -> Result {
        self.engine.stop_queue(&mut self.engine.state.lock(), vq);
        Ok(())
    }

    fn queue_state(&self, vq: VqIndex) -> Result<VqState> {
        let state = self.engine.state.lock();
        let queue = state.queues.get(usize::from(vq)).ok_or(EINVAL)?;

        Ok(VqState::Split {
            avail_index: queue.next_avail(),
        })
    }

    fn suspend(&self, _started: &[VqIndex]) -> Result {
        // The thread does a round with this lock held: it leaves no chain behind, and has signalled
        // what it has published.
        self.engine.stop_all(&mut self.engine.state.lock());
        Ok(())
    }

    fn reset(&self) -> Result {
        self.engine.reset();
        Ok(())
    }

    #[inline]
    fn kick(&self, vq: VqIndex) {
        let started = self.engine.started.get(usize::from(vq));

        if started.is_some_and(|started| started.load(Relaxed)) {
            self.worker.queue();
        }
    }

    fn config_size(&self) -> usize {
        size_of::<M::Config>()
    }

    fn read_config(&self, offset: usize, buf: &mut [u8]) {
        let config = self.engine.state.lock().model.config();

        if let Some(part) = config
            .as_ref()
            .get(offset..)
            .and_then(|c| c.get(..buf.len()))
        {
            buf.copy_from_slice(part);
        }
    }

    fn write_config(&self, offset: usize, buf: &[u8]) {
        self.engine.state.lock().model.set_config(offset, buf);
    }

    fn stats(&self, vq: VqIndex, stats: &mut VendorStats<'_>) -> Result {
        self.engine.state.lock().model.stats(vq, stats)
    }

    fn set_asid(&self, group: GroupId, asid: Asid) -> Result {
        let mut state = self.engine.state.lock();

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

impl<M: Model> SoftDma for Software<M> {
    fn iommu(&self) -> Arc<SoftIommu> {
        self.engine.iommu.clone()
    }

    fn mapped(&self) {
        if self.engine.stuck.load(Relaxed) {
            self.worker.queue();
        }
    }
}
