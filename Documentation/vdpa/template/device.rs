// SPDX-License-Identifier: GPL-2.0

//! A device that answers each request with the request's own bytes.
//!
//! Step 6 of the tutorial: the device says what it has done when it is removed.

#![deny(unsafe_code)]

use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use vdpa::{
    bindings,
    parent::{
        Adapter,
        Events,
        Manageable,
        Parent,
        VqSetup, //
    },
    Asid,
    DeviceInfo,
    Features,
    GuestMemory,
    SoftDma,
    SoftIommu,
    SoftMapping,
    UnregisteredDevice,
    VqIndex,
    VqState,
    Work,
    Worker, //
};
use virtqueue::{
    Ring,
    RingError,
    Segment,
    Split,
    SplitConfig,
    SplitState, //
};

/// The largest number of descriptors of the virtqueue.
const SIZE: u16 = 16;

/// The largest number of bytes of an answer, until the driver says another.
const LIMIT: u16 = 4096;

/// The largest number of mappings that the device keeps.
const MAPPINGS: usize = 1 << 16;

/// The virtqueue while it is started.
struct Queue {
    index: VqIndex,
    asid: Asid,
    ring: Split,
}

impl Queue {
    fn new(setup: &VqSetup) -> Result<Self> {
        let VqState::Split { avail_index } = setup.state else {
            return Err(EINVAL);
        };
        let config = SplitConfig {
            size: setup.size.into(),
            desc: setup.address.desc,
            avail: setup.address.driver,
            used: setup.address.device,
            ..Default::default()
        };
        let mut ring = Split::new(&config).map_err(|_| EINVAL)?;

        ring.set_state(SplitState { avail_index });
        Ok(Self {
            index: setup.index,
            asid: setup.asid,
            ring,
        })
    }

    /// Answers a request, if there is one.
    fn answer(&mut self, memory: &GuestMemory<'_>, limit: u16) -> Result<bool, RingError> {
        let mut segments = [Segment::EMPTY; SIZE as usize];

        self.ring.publish(memory)?;
        let Some(chain) = self.ring.pop(memory, &mut segments)? else {
            return Ok(false);
        };

        let mut writer = chain.writer(memory);
        let copied = chain.reader(memory).copy_to(&mut writer, limit.into());
        let written = writer.written();
        let token = chain.into_token();

        match copied {
            Ok(_) => {
                if let Err(failed) = self.ring.complete(memory, token, written) {
                    // It is answered again when the ring can be reached.
                    let _ = self.ring.unpop(failed.token);
                    return Err(failed.error);
                }
                Ok(true)
            }
            Err(fault) => {
                if fault.is_final() {
                    self.ring.give_up(token);
                } else {
                    let _ = self.ring.unpop(token);
                }
                Err(fault.into())
            }
        }
    }
}

/// What changes while the device is in use.
struct State {
    queue: Option<Queue>,
    /// Where the virtqueue stood when it was stopped.
    next: u16,
    limit: u16,
    answered: u16,
    /// The same, by whichever driver.
    total: u64,
}

impl State {
    fn new() -> Self {
        Self {
            queue: None,
            next: 0,
            limit: LIMIT,
            answered: 0,
            total: 0,
        }
    }

    fn stop(&mut self) {
        if let Some(queue) = self.queue.take() {
            self.next = queue.ring.state().avail_index;
        }
    }

    /// The configuration space: the limit, and the number of requests that were answered.
    fn config(&self) -> [u8; 4] {
        let [a, b] = self.limit.to_le_bytes();
        let [c, d] = self.answered.to_le_bytes();

        [a, b, c, d]
    }
}

/// What the thread works on.
#[pin_data]
struct Device {
    #[pin]
    state: Mutex<State>,
    iommu: Arc<SoftIommu>,
    events: Arc<Events>,
}

impl Device {
    /// Answers what there is, up to a number of requests; returns whether there may be more.
    fn round(&self, state: &mut State) -> Result<bool, RingError> {
        let (Some(queue), Ok(iommu)) = (&mut state.queue, self.iommu.lock()) else {
            return Ok(false);
        };
        let memory = iommu.memory(queue.asid);
        let before = state.answered;
        let mut more = Ok(true);

        for _ in 0..SIZE {
            more = queue.answer(&memory, state.limit);
            if more != Ok(true) {
                break;
            }
            state.answered = state.answered.wrapping_add(1);
            state.total = state.total.wrapping_add(1);
        }
        let published = queue.ring.publish(&memory);
        if queue.ring.needs_notification(&memory) {
            self.events.used(queue.index);
        }
        if state.answered != before {
            self.events.config_changed();
        }
        published.and(more)
    }
}

impl Work for Device {
    fn run(&self) -> bool {
        let mut state = self.state.lock();

        match self.round(&mut state) {
            Ok(more) => more,
            Err(RingError::Fault(fault)) if !fault.is_final() => {
                // With nothing locked: this may take as long as a disk does.
                drop(state);
                self.iommu.bring_in()
            }
            Err(_) => {
                // Still locked: no reset has returned.
                self.events.set_needs_reset();
                false
            }
        }
    }

    fn end(&self) {
        self.iommu.end();
    }
}

struct Echo {
    // First, so that the thread ends before what it works on.
    worker: Worker<Device>,
    device: Arc<Device>,
    offered: Features,
    name: CString,
}

impl Echo {
    fn make(name: &CStr, offered: Features, events: Arc<Events>) -> Result<Self> {
        let device = Arc::pin_init(
            try_pin_init!(Device {
                state <- new_mutex!(State::new()),
                iommu: SoftIommu::new(Self::ADDRESS_SPACES, MAPPINGS)?,
                events,
            }),
            GFP_KERNEL,
        )?;

        Ok(Self {
            worker: Worker::new(fmt!("{}", name), device.clone())?,
            device,
            offered,
            name: CString::try_from(name)?,
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // The device was reset, and nobody can reach it any more.
        let total = self.device.state.lock().total;

        pr_info!("{}: {} requests were answered\n", &*self.name, total);
    }
}

#[vtable]
impl Parent for Echo {
    fn device_id(&self) -> u32 {
        Self::DEVICE_ID
    }

    fn features(&self) -> Features {
        self.offered
    }

    fn size_max(&self, _vq: VqIndex) -> u16 {
        SIZE
    }

    fn start_queue(&self, setup: &VqSetup) -> Result {
        self.device.state.lock().queue = Some(Queue::new(setup)?);
        Ok(())
    }

    fn stop_queue(&self, _vq: VqIndex) -> Result {
        // The thread does a round with this lock held: it has told the driver what it has done.
        self.device.state.lock().stop();
        Ok(())
    }

    fn queue_state(&self, _vq: VqIndex) -> Result<VqState> {
        let state = self.device.state.lock();
        let started = state.queue.as_ref();

        Ok(VqState::Split {
            avail_index: started.map_or(state.next, |queue| queue.ring.state().avail_index),
        })
    }

    fn suspend(&self, _started: &[VqIndex]) -> Result {
        // What is not answered yet is when the device goes on, which starts the queue again.
        self.device.state.lock().stop();
        Ok(())
    }

    fn reset(&self) -> Result {
        let mut state = self.device.state.lock();
        *state = State {
            total: state.total,
            ..State::new()
        };
        drop(state);
        self.device.iommu.interrupt();
        Ok(())
    }

    fn kick(&self, _vq: VqIndex) {
        self.worker.queue();
    }

    fn config_size(&self) -> usize {
        4
    }

    fn read_config(&self, offset: usize, buf: &mut [u8]) {
        let config = self.device.state.lock().config();

        for (to, from) in buf.iter_mut().zip(config.iter().skip(offset)) {
            *to = *from;
        }
    }

    fn write_config(&self, offset: usize, buf: &[u8]) {
        let mut state = self.device.state.lock();
        let mut config = state.config();

        for (to, from) in config.iter_mut().skip(offset).zip(buf) {
            *to = *from;
        }
        let [a, b, _, _] = config;
        state.limit = u16::from_le_bytes([a, b]);
    }
}

impl SoftDma for Echo {
    fn iommu(&self) -> Arc<SoftIommu> {
        self.device.iommu.clone()
    }

    fn mapped(&self) {
        // What could not be reached may be there now.
        self.worker.queue();
    }
}

impl Manageable for Echo {
    // No id is set aside for trials. No driver of the kernel takes this one.
    const DEVICE_ID: u32 = bindings::VIRTIO_ID_SIGNAL_DIST;
    const QUEUES: u32 = 1;
    const FEATURES: Features = Features::from_bits(&[
        bindings::VIRTIO_F_VERSION_1,
        bindings::VIRTIO_F_ACCESS_PLATFORM,
    ]);

    fn new(name: &CStr, offered: Features, events: Arc<Events>) -> impl PinInit<Self, Error> {
        Self::make(name, offered, events)
    }

    fn allocate(
        info: &DeviceInfo<'_>,
        data: impl PinInit<Adapter<Self>, Error>,
    ) -> Result<UnregisteredDevice<Adapter<Self>>> {
        let mapping = SoftMapping {
            batch: true,
            use_va: true,
        };

        UnregisteredDevice::in_software(info, mapping, data)
    }
}

vdpa::module_parent! {
    type: Echo,
    name: "vdpa_echo",
    authors: ["rust-vdpa developers"],
    description: "vDPA device that echoes",
    license: "GPL",
}
