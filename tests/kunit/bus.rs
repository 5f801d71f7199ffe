// SPDX-License-Identifier: GPL-2.0

//! The bus: which driver gets which device, and in which order things happen.

use crate::{
    bed::info,
    VdpaKunit, //
};
use kernel::{
    device::Core,
    driver,
    module::this_module,
    prelude::*,
    sync::Arc,
    types::ScopeGuard, //
};
use vdpa::{
    bindings,
    driver::{
        Adapter,
        Driver, //
    },
    Callback,
    ConfigOps,
    Device,
    Features,
    Registration,
    Status,
    UnregisteredDevice,
    VqAddress,
    VqIndex,
    VqState, //
};

/// What happens, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Probe(u8),
    Unbind(u8),
    DropDriverData(u8),
    Reset,
    DropDeviceData,
}

/// What has happened, and which drivers turn devices down.
pub(crate) struct Script {
    events: KVec<Event>,
    refuse: [Option<Error>; 2],
}

kernel::sync::global_lock! {
    // SAFETY: Initialised when the module is loaded, before there are tests.
    unsafe(uninit) static SCRIPT: Mutex<Script> = Script {
        events: KVec::new(),
        refuse: [None; 2],
    };
}

/// To be called once, when the module is loaded.
pub(crate) fn init() {
    // SAFETY: By what is said above.
    unsafe { SCRIPT.init() };
}

/// Begins anew: the drivers return these errors.
pub(crate) fn script(refuse: [Option<Error>; 2]) {
    let mut script = SCRIPT.lock();

    script.events = KVec::new();
    script.refuse = refuse;
}

fn happened(event: Event) {
    // What is not noted is missed by the test.
    let _ = SCRIPT.lock().events.push(event, GFP_KERNEL);
}

/// Whether nothing but this has happened since the last time.
pub(crate) fn saw(events: &[Event]) -> bool {
    let seen = core::mem::take(&mut SCRIPT.lock().events);

    if seen.as_slice() != events {
        pr_err!("what happened: {:?}\n", seen.as_slice());
    }
    seen.as_slice() == events
}

/// A driver with a number.
struct Numbered<const N: u8>;

impl<const N: u8> Drop for Numbered<N> {
    fn drop(&mut self) {
        happened(Event::DropDriverData(N));
    }
}

impl<const N: u8> Driver for Numbered<N> {
    type Data<'bound> = Self;

    fn probe<'bound>(_dev: &'bound Device<Core<'_>>) -> impl PinInit<Self, Error> + 'bound {
        happened(Event::Probe(N));
        match SCRIPT.lock().refuse.get(usize::from(N)) {
            Some(Some(error)) => Err(*error),
            _ => Ok(Self),
        }
    }

    fn unbind<'bound>(_dev: &'bound Device<Core<'_>>, _this: Pin<&Self>) {
        happened(Event::Unbind(N));
    }
}

/// A driver on the bus, until this is dropped.
type OnBus<const N: u8> = Pin<KBox<driver::Registration<Adapter<Numbered<N>>>>>;

pub(crate) fn load<const N: u8>(name: &'static CStr) -> Result<impl Drop> {
    let driver: OnBus<N> = KBox::pin_init(
        driver::Registration::new(name, this_module::<VdpaKunit>()),
        GFP_KERNEL,
    )?;

    Ok(ScopeGuard::new_with_data(driver, drop))
}

/// A parent of which it is noted when it goes.
#[pin_data(PinnedDrop)]
pub(crate) struct Parent {
    callback: Arc<Callback>,
    num_max: u16,
}

#[pinned_drop]
impl PinnedDrop for Parent {
    fn drop(self: Pin<&mut Self>) {
        happened(Event::DropDeviceData);
    }
}

impl Parent {
    /// The largest size of its virtqueues, or why it cannot be made.
    pub(crate) fn new(num_max: Result<u16>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            callback: Callback::new()?,
            num_max: num_max?,
        })
    }
}

#[vtable]
impl ConfigOps for Parent {
    fn set_vq_address(&self, _vq: VqIndex, _address: VqAddress) -> Result {
        Ok(())
    }
    fn set_vq_num(&self, _vq: VqIndex, _num: u32) {}
    fn kick_vq(&self, _vq: VqIndex) {}
    fn vq_callback(&self, _vq: VqIndex) -> Option<Arc<Callback>> {
        Some(self.callback.clone())
    }
    fn set_vq_ready(&self, _vq: VqIndex, _ready: bool) {}
    fn get_vq_ready(&self, _vq: VqIndex) -> bool {
        false
    }
    fn set_vq_state(&self, _vq: VqIndex, _state: VqState) -> Result {
        Ok(())
    }
    fn get_vq_state(&self, _vq: VqIndex) -> Result<VqState> {
        Err(EOPNOTSUPP)
    }
    fn get_device_features(&self) -> Features {
        Features(0)
    }
    fn set_driver_features(&self, _features: Features) -> Result {
        Ok(())
    }
    fn get_driver_features(&self) -> Features {
        Features(0)
    }
    fn get_vq_num_max(&self) -> u16 {
        self.num_max
    }
    fn get_vq_num_min(&self) -> u16 {
        16
    }
    fn get_device_id(&self) -> u32 {
        bindings::VIRTIO_ID_RNG
    }
    fn get_status(&self) -> Status {
        Status(0)
    }
    fn set_status(&self, _status: Status) {}
    fn reset(&self) -> Result {
        happened(Event::Reset);
        Ok(())
    }
}

pub(crate) fn device() -> Result<Registration<Parent>> {
    UnregisteredDevice::new(&info(1), Parent::new(Ok(256)))?.register()
}

/// Whether a device has a driver.
pub(crate) fn is_bound(device: &Registration<Parent>) -> bool {
    // SAFETY: The device is registered. It is not being bound or unbound at the moment: that is
    // done by this thread.
    unsafe { !(*device.device().as_raw()).dev.driver.is_null() }
}

/// What an administrator does with the file `driver_override`. An empty name stands for any driver.
fn set_override(device: &Registration<Parent>, name: &CStr) -> Result {
    // SAFETY: The device is registered; the name is copied.
    kernel::error::to_result(unsafe {
        bindings::__device_set_driver_override(
            &raw mut (*device.device().as_raw()).dev,
            name.as_char_ptr(),
            name.to_bytes().len(),
        )
    })
}

#[kunit_tests(vdpa_bus)]
mod tests {
    use super::{
        Event::*,
        *, //
    };

    #[test]
    fn a_device_meets_its_driver() -> Result {
        script([None; 2]);
        let device = device()?;
        check!(!is_bound(&device));
        check!(saw(&[]));

        let driver = load::<0>(c"vdpa_kunit0")?;
        check!(is_bound(&device));
        check!(saw(&[Probe(0)]));

        // The driver goes first.
        drop(driver);
        check!(!is_bound(&device));
        check!(saw(&[Unbind(0), DropDriverData(0)]));
        drop(device);
        check!(saw(&[DropDeviceData]));
        Ok(())
    }

    #[test]
    fn a_driver_meets_its_device() -> Result {
        script([None; 2]);
        let driver = load::<0>(c"vdpa_kunit0")?;
        check!(saw(&[]));

        let device = device()?;
        check!(is_bound(&device));
        check!(saw(&[Probe(0)]));

        // The device goes first.
        drop(device);
        check!(saw(&[Unbind(0), DropDriverData(0), DropDeviceData]));
        drop(driver);
        check!(saw(&[]));
        Ok(())
    }

    #[test]
    fn the_first_driver_gets_the_device() -> Result {
        script([None; 2]);
        let _second = load::<1>(c"vdpa_kunit1")?;
        let _first = load::<0>(c"vdpa_kunit0")?;
        let one = device()?;
        let other = device()?;

        check!(is_bound(&one) && is_bound(&other));
        check!(saw(&[Probe(1), Probe(1)]));
        check!(one.device().index() != other.device().index());
        Ok(())
    }

    #[test]
    fn a_device_that_is_turned_down_is_offered_to_the_next() -> Result {
        for error in [ENODEV, ENXIO, EIO, EINVAL] {
            script([Some(error), None]);
            let _first = load::<0>(c"vdpa_kunit0")?;
            let _second = load::<1>(c"vdpa_kunit1")?;
            let device = device()?;

            check!(is_bound(&device));
            // The one that failed has no data to drop.
            check!(saw(&[Probe(0), Probe(1)]));
            drop(device);
            check!(saw(&[Unbind(1), DropDriverData(1), DropDeviceData]));
        }
        Ok(())
    }

    #[test]
    fn a_device_that_nobody_wants_stays() -> Result {
        script([Some(ENODEV), Some(ENODEV)]);
        let _first = load::<0>(c"vdpa_kunit0")?;
        let second = load::<1>(c"vdpa_kunit1")?;
        let device = device()?;

        check!(!is_bound(&device));
        check!(saw(&[Probe(0), Probe(1)]));
        // It is offered again to a driver that is loaded again.
        drop(second);
        script([Some(ENODEV), None]);
        let _second = load::<1>(c"vdpa_kunit1")?;
        check!(is_bound(&device));
        check!(saw(&[Probe(1)]));
        Ok(())
    }

    #[test]
    fn an_override_names_the_driver() -> Result {
        script([None; 2]);
        let device = device()?;
        set_override(&device, c"vdpa_kunit1")?;

        let first = load::<0>(c"vdpa_kunit0")?;
        check!(!is_bound(&device));
        check!(saw(&[]));
        let second = load::<1>(c"vdpa_kunit1")?;
        check!(is_bound(&device));
        check!(saw(&[Probe(1)]));

        // Without it, any will do.
        drop(second);
        check!(saw(&[Unbind(1), DropDriverData(1)]));
        set_override(&device, c"")?;
        drop(first);
        let _first = load::<0>(c"vdpa_kunit0")?;
        check!(is_bound(&device));
        check!(saw(&[Probe(0)]));
        Ok(())
    }

    #[test]
    fn an_override_that_names_no_driver_keeps_all_away() -> Result {
        script([None; 2]);
        let device = device()?;

        for name in [c"none", c"vdpa_kunit", c"vdpa_kunit00", c"VDPA_KUNIT0"] {
            set_override(&device, name)?;
            let _driver = load::<0>(c"vdpa_kunit0")?;

            check!(!is_bound(&device));
        }
        check!(saw(&[]));
        Ok(())
    }
}
