// SPDX-License-Identifier: GPL-2.0

//! A device on the bus, bound to a driver that leaves it to a test.

use crate::VdpaKunit;
use kernel::{
    device::{
        Bound,
        Core, //
    },
    driver,
    module::this_module,
    prelude::*,
    sync::Arc, //
};
use vdpa::{
    driver::{
        Adapter,
        Driver, //
    },
    BoundState,
    ConfigOps,
    Device,
    DeviceInfo,
    Registration,
    UnregisteredDevice, //
};

kernel::sync::global_lock! {
    // SAFETY: Initialised when the module is loaded, before there are tests.
    unsafe(uninit) static BOUND: Mutex<Option<Arc<BoundState<()>>>> = None;
}

/// To be called once, when the module is loaded.
pub(crate) fn init() {
    // SAFETY: By what is said above.
    unsafe { BOUND.init() };
}

/// The driver. What it gets is in [`BOUND`].
struct BedDriver;

impl Driver for BedDriver {
    type Data<'bound> = Self;

    fn probe<'bound>(dev: &'bound Device<Core<'_>>) -> impl PinInit<Self, Error> + 'bound {
        let bound = BoundState::new(dev, ())?;

        *BOUND.lock() = Some(bound);
        Ok::<_, Error>(Self)
    }
}

/// What most devices here are made with: a name that is free, no parent, `virtqueues` virtqueues.
pub(crate) fn info(virtqueues: u32) -> DeviceInfo<'static> {
    DeviceInfo {
        name: None,
        parent: None,
        dma_device: None,
        virtqueues,
        groups: 1,
        address_spaces: 1,
    }
}

/// A device on the bus.
pub(crate) struct Bed<T: ConfigOps> {
    bound: Arc<BoundState<()>>,
    // First the device goes.
    registration: Registration<T>,
    _driver: Option<Pin<KBox<driver::Registration<Adapter<BedDriver>>>>>,
}

impl<T: ConfigOps + 'static> Bed<T> {
    /// Registers the device.
    ///
    /// # Errors
    ///
    /// `ENODEV` where it was not offered to the driver, or another driver has it.
    pub(crate) fn new(device: UnregisteredDevice<T>) -> Result<Self> {
        let driver = KBox::pin_init(
            driver::Registration::new(c"vdpa_kunit", this_module::<VdpaKunit>()),
            GFP_KERNEL,
        )?;

        Self::with_driver(device, Some(driver))
    }

    /// Registers another device while this one is there.
    pub(crate) fn beside<U: ConfigOps + 'static>(
        &self,
        device: UnregisteredDevice<U>,
    ) -> Result<Bed<U>> {
        Bed::with_driver(device, None)
    }

    fn with_driver(
        device: UnregisteredDevice<T>,
        driver: Option<Pin<KBox<driver::Registration<Adapter<BedDriver>>>>>,
    ) -> Result<Self> {
        *BOUND.lock() = None;

        let registration = device.register()?;
        let bound = BOUND.lock().take().ok_or(ENODEV)?;

        Ok(Self {
            bound,
            registration,
            _driver: driver,
        })
    }

    /// Has `f` do something with the device as its driver sees it.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&Device<Bound>) -> Result<R>) -> Result<R> {
        let mut guard = self.bound.lock().ok_or(ENODEV)?;
        let ((), dev) = guard.split();

        f(dev)
    }

    /// The parent's side of it.
    pub(crate) fn parent(&self) -> &T {
        self.registration.data()
    }
}
