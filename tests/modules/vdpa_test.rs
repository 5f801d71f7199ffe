// SPDX-License-Identifier: GPL-2.0

//! A vDPA device that fails where it is told to, and counts what its driver does.
//!
//! It claims to be a network device with all that the simulators do not have: packed virtqueues,
//! notifications with data, virtqueues of different sizes, interrupt affinity. Frames that are sent
//! stay in the virtqueue.

#![deny(unsafe_code)]

use kernel::{
    cpumask::Cpumask,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            AtomicFlag,
            Full,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};
use vdpa::{
    bindings,
    mgmt,
    Callback,
    ConfigOps,
    DeviceInfo,
    Features,
    RootDevice,
    Status,
    UnregisteredDevice,
    VendorStats,
    VqAddress,
    VqIndex,
    VqState, //
};

const QUEUES: usize = 2;

const FEATURES: Features = Features::from_bits(&[
    bindings::VIRTIO_F_VERSION_1,
    bindings::VIRTIO_F_ACCESS_PLATFORM,
    bindings::VIRTIO_F_RING_PACKED,
    bindings::VIRTIO_F_NOTIFICATION_DATA,
    bindings::VIRTIO_NET_F_MAC,
]);

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// What fails. The numbers are those of the module's parameter `fail`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing = 0,
    /// `dev_add`, before there is a device.
    Add = 1,
    /// Making the device's data.
    Data = 2,
    /// The sizes of virtqueues contradict each other.
    Sizes = 3,
    /// There is no such device id.
    DeviceId = 4,
    Features = 5,
    Address = 6,
    State = 7,
    /// A virtqueue has no descriptors.
    Size = 8,
    /// A virtqueue is started already.
    Ready = 9,
    Reset = 10,
}

impl Step {
    const ALL: [Self; 11] = [
        Self::Nothing,
        Self::Add,
        Self::Data,
        Self::Sizes,
        Self::DeviceId,
        Self::Features,
        Self::Address,
        Self::State,
        Self::Size,
        Self::Ready,
        Self::Reset,
    ];

    fn new(number: u32) -> Result<Self> {
        Self::ALL.get(number as usize).copied().ok_or(EINVAL)
    }
}

/// What a driver did with a virtqueue.
#[derive(Clone, Copy, Default)]
struct Seen {
    ready: bool,
    num: u32,
    state: Option<VqState>,
    kicks: u64,
    data_kicks: u64,
    last_data: u32,
    affinity: u64,
}

#[derive(Default)]
struct State {
    status: Status,
    features: Features,
    resets: u64,
    seen: [Seen; QUEUES],
}

#[pin_data]
struct Test {
    fail: Step,
    callback: Arc<Callback>,
    #[pin]
    state: Mutex<State>,
    // Kicks come in any context, for which the state's lock is none.
    #[pin]
    kicks: kernel::sync::SpinLockIrq<[Seen; QUEUES]>,
    management: Arc<Busy>,
}

impl Test {
    fn new(fail: Step, management: Arc<Busy>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            management,
            fail: if fail == Step::Data {
                return Err(EIO);
            } else {
                fail
            },
            callback: Callback::new()?,
            state <- new_mutex!(State::default()),
            kicks <- kernel::new_spinlock_irq!([Seen::default(); QUEUES]),
        })
    }

    fn fails(&self, step: Step) -> Result {
        if self.fail == step {
            Err(EIO)
        } else {
            Ok(())
        }
    }

    /// Has `f` note something about a virtqueue.
    fn note(&self, vq: VqIndex, f: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.state.lock().seen.get_mut(usize::from(vq)) {
            f(seen);
        }
    }

    fn seen(&self, vq: VqIndex) -> Seen {
        let state = self.state.lock();

        state.seen.get(usize::from(vq)).copied().unwrap_or_default()
    }

    fn note_kick(&self, vq: VqIndex, f: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.kicks.lock().get_mut(usize::from(vq)) {
            f(seen);
        }
    }
}

#[vtable]
impl ConfigOps for Test {
    fn get_device_id(&self) -> u32 {
        if self.fail == Step::DeviceId {
            0
        } else {
            bindings::VIRTIO_ID_NET
        }
    }

    fn get_vq_num_max(&self) -> u16 {
        256
    }

    fn get_vq_num_min(&self) -> u16 {
        if self.fail == Step::Sizes {
            257
        } else {
            16
        }
    }

    fn get_vq_size(&self, vq: VqIndex) -> u16 {
        if self.fail == Step::Size {
            0
        } else {
            // 64 and 128.
            64_u16.wrapping_shl(vq.get().into())
        }
    }

    fn get_device_features(&self) -> Features {
        FEATURES
    }

    fn set_driver_features(&self, features: Features) -> Result {
        self.fails(Step::Features)?;
        self.state.lock().features = features.intersection(FEATURES);
        Ok(())
    }

    fn get_driver_features(&self) -> Features {
        self.state.lock().features
    }

    fn get_status(&self) -> Status {
        self.state.lock().status
    }

    fn set_status(&self, status: Status) {
        self.state.lock().status = status;
    }

    fn reset(&self) -> Result {
        // What is at work takes its time to stop; it is so when it is deleted.
        if self.state.lock().status.has(Status::DRIVER_OK) {
            // It says so in the log if something is wrong.
            let _ = self.management.work();
        }
        let mut state = self.state.lock();

        state.resets = state.resets.wrapping_add(1);
        state.status = Status::default();
        for seen in state.seen.iter_mut() {
            seen.ready = false;
        }
        self.fails(Step::Reset)
    }

    fn vq_callback(&self, _vq: VqIndex) -> Option<Arc<Callback>> {
        Some(self.callback.clone())
    }

    fn set_vq_address(&self, _vq: VqIndex, _address: VqAddress) -> Result {
        self.fails(Step::Address)
    }

    fn set_vq_num(&self, vq: VqIndex, num: u32) {
        self.note(vq, |seen| seen.num = num);
    }

    fn kick_vq(&self, vq: VqIndex) {
        self.note_kick(vq, |seen| seen.kicks = seen.kicks.wrapping_add(1));
    }

    fn kick_vq_with_data(&self, vq: VqIndex, data: u32) {
        self.note_kick(vq, |seen| {
            seen.data_kicks = seen.data_kicks.wrapping_add(1);
            seen.last_data = data;
        });
    }

    fn set_vq_ready(&self, vq: VqIndex, ready: bool) {
        self.note(vq, |seen| seen.ready = ready);
    }

    fn get_vq_ready(&self, vq: VqIndex) -> bool {
        // The first question of a driver is whether the virtqueue is free.
        (self.fail == Step::Ready && self.seen(vq).num == 0) || self.seen(vq).ready
    }

    fn set_vq_state(&self, vq: VqIndex, state: VqState) -> Result {
        self.fails(Step::State)?;
        self.note(vq, |seen| seen.state = Some(state));
        Ok(())
    }

    fn get_vq_state(&self, vq: VqIndex) -> Result<VqState> {
        self.seen(vq).state.ok_or(EAGAIN)
    }

    fn set_vq_affinity(&self, vq: VqIndex, cpus: Option<&Cpumask>) -> Result {
        let count = kernel::cpu::nr_cpu_ids();
        let set = (0..count)
            .filter_map(kernel::cpu::CpuId::from_u32)
            .filter(|&cpu| cpus.is_some_and(|cpus| cpus.test(cpu)))
            .fold(0, |number: u64, _| number.wrapping_add(1));

        self.note(vq, |seen| seen.affinity = set);
        Ok(())
    }

    fn get_vendor_vq_stats(&self, vq: VqIndex, stats: &mut VendorStats<'_>) -> Result {
        let seen = self.seen(vq);
        let kicks = *self.kicks.lock().get(usize::from(vq)).ok_or(EINVAL)?;

        stats.put(c"descriptors", seen.num.into())?;
        stats.put(
            c"starts as packed",
            (seen.state == Some(VqState::initial(true))).into(),
        )?;
        stats.put(
            c"starts as split",
            (seen.state == Some(VqState::initial(false))).into(),
        )?;
        stats.put(c"kicks", kicks.kicks)?;
        stats.put(c"kicks with data", kicks.data_kicks)?;
        stats.put(c"last data", kicks.last_data.into())?;
        stats.put(c"processors", seen.affinity)?;
        stats.put(c"resets", self.state.lock().resets)
    }

    fn get_config_size(&self) -> usize {
        size_of::<bindings::virtio_net_config>()
    }

    fn get_config(&self, offset: usize, buf: &mut [u8]) {
        for (i, byte) in (offset..=usize::MAX).zip(buf) {
            *byte = MAC.get(i).copied().unwrap_or(0);
        }
    }
}

/// What a management device is doing.
struct Busy {
    /// How long each operation takes.
    delay: Delta,
    /// One is being done.
    busy: AtomicFlag,
}

impl Busy {
    /// Takes its time, as hardware does. Fails where another operation is being done: the bus has
    /// promised that there is none.
    fn work(&self) -> Result {
        if self.busy.xchg(true, Full) {
            pr_err!("two operations at a time\n");
            return Err(EBUSY);
        }
        fsleep(self.delay);
        self.busy.store(false, Relaxed);
        Ok(())
    }
}

struct TestOperations {
    fail: Step,
    management: Arc<Busy>,
}

#[vtable]
impl mgmt::Operations for TestOperations {
    type Device = Test;

    fn dev_add(
        &self,
        mgmt: &kernel::device::Device,
        name: &CStr,
        _config: &mgmt::Config,
    ) -> Result<UnregisteredDevice<Test>> {
        self.management.work()?;
        if self.fail == Step::Add {
            return Err(EIO);
        }
        UnregisteredDevice::new(
            &DeviceInfo {
                name: Some(name),
                parent: Some(mgmt),
                dma_device: None,
                virtqueues: QUEUES as u32,
                groups: 1,
                address_spaces: 1,
            },
            Test::new(self.fail, self.management.clone()),
        )
    }

    fn dev_set_attr(&self, _device: &Test, _config: &mgmt::Config) -> Result {
        self.management.work()
    }
}

/// A management device.
#[pin_data]
struct Management {
    #[pin]
    _mgmt: mgmt::Registration<TestOperations>,
    // After what refers to it.
    _root: RootDevice,
}

impl Management {
    fn new(
        name: &CStr,
        operations: TestOperations,
        module: &'static ThisModule,
    ) -> Result<impl PinInit<Self, Error>> {
        let root = RootDevice::new(name, module)?;

        Ok(pin_init::pin_init_scope(move || {
            Ok(try_pin_init!(Self {
                _mgmt <- mgmt::Registration::new(
                    mgmt::Info {
                        device: root.as_ref(),
                        classes: &[bindings::VIRTIO_ID_NET],
                        attributes: mgmt::Attributes::NONE,
                        features: FEATURES,
                        max_virtqueues: QUEUES as u32,
                    },
                    operations,
                ),
                _root: root,
            }))
        }))
    }
}

struct VdpaTest {
    _management: KVec<Pin<KBox<Management>>>,
}

impl kernel::Module for VdpaTest {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let fail = Step::new(module_parameters::fail.value())?;
        let mut management = KVec::new();

        for i in 0..module_parameters::managements.value() {
            let name = if i == 0 {
                CString::try_from(c"vdpa_test")?
            } else {
                CString::try_from_fmt(fmt!("vdpa_test{i}"))?
            };
            let busy = Busy {
                delay: Delta::from_millis(module_parameters::delay.value().into()),
                busy: AtomicFlag::new(false),
            };
            let operations = TestOperations {
                fail,
                management: Arc::new(busy, GFP_KERNEL)?,
            };
            let new = Management::new(&name, operations, module)?;

            management.push(KBox::pin_init(new, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(Self {
            _management: management,
        })
    }
}

module! {
    type: VdpaTest,
    name: "vdpa_test",
    authors: ["rust-vdpa developers"],
    description: "vDPA device that fails on demand",
    license: "GPL",
    params: {
        fail: u32 {
            default: 0,
            description: "What fails: 0 - nothing, 1 to 10 - a step of making or using a device",
        },
        delay: u32 {
            default: 0,
            description: "How long adding, deleting and changing a device takes, in milliseconds",
        },
        managements: u32 {
            default: 1,
            description: "How many management devices there are: vdpa_test, vdpa_test1, ...",
        },
    },
}
