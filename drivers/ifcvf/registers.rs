// SPDX-License-Identifier: GPL-2.0

//! The registers of the common configuration: virtio 1.3, section 4.1.4.3.

use kernel::{
    device::Device,
    io::poll::read_poll_timeout,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            AtomicFlag,
            Relaxed, //
        }, //
    },
    time::Delta, //
};
use vdpa::{
    bindings,
    pci::Window,
    Features,
    Status,
    VqAddress, //
};

const DEVICE_FEATURE_SELECT: usize = 0x00;
const DEVICE_FEATURE: usize = 0x04;
const DRIVER_FEATURE_SELECT: usize = 0x08;
const DRIVER_FEATURE: usize = 0x0c;
const CONFIG_MSIX_VECTOR: usize = 0x10;
const NUM_QUEUES: usize = 0x12;
const DEVICE_STATUS: usize = 0x14;
const CONFIG_GENERATION: usize = 0x15;
const QUEUE_SELECT: usize = 0x16;
const QUEUE_SIZE: usize = 0x18;
const QUEUE_MSIX_VECTOR: usize = 0x1a;
const QUEUE_ENABLE: usize = 0x1c;
const QUEUE_NOTIFY_OFF: usize = 0x1e;
const QUEUE_DESC: usize = 0x20;
const QUEUE_DRIVER: usize = 0x28;
const QUEUE_DEVICE: usize = 0x30;

/// How long a reset may take, in seconds. The specification knows no limit; devices need
/// milliseconds.
const RESET_TIMEOUT: i64 = 5;
/// How often it is looked whether a device has done what it was told.
const POLL_INTERVAL: Delta = Delta::from_millis(1);

/// The registers that can be used at any time, by any thread.
pub(crate) struct Registers {
    common: Window,
    dev: ARef<Device>,
    /// The device was found absent. It stays so until the driver is bound again.
    absent: AtomicFlag,
    /// The last reset has not been done.
    stuck: AtomicFlag,
}

impl Registers {
    pub(crate) fn new(common: Window, dev: ARef<Device>) -> Self {
        Self {
            common,
            dev,
            absent: AtomicFlag::new(false),
            stuck: AtomicFlag::new(false),
        }
    }

    /// Whether the device was found absent. Does not look.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn is_absent(&self) -> bool {
        self.absent.load(Relaxed)
    }

    /// Whether the device did not do the last reset, so that it may still be doing anything else.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Relaxed)
    }

    /// Checks that the device is there.
    ///
    /// # Errors
    ///
    /// `ENODEV`. The user was told when it was seen for the first time.
    pub(crate) fn check_present(&self) -> Result {
        self.status().map(|_| ())
    }

    /// Returns the device status.
    ///
    /// # Errors
    ///
    /// `ENODEV` where the device is not there.
    pub(crate) fn status(&self) -> Result<Status> {
        if self.is_absent() {
            return Err(ENODEV);
        }
        let status = self.common.read8(DEVICE_STATUS)?;

        // Reads of what is not there give ones. No device has so many virtqueues, see `limits`.
        if status == u8::MAX && self.num_queues()? == u16::MAX {
            if !self.absent.xchg(true, Relaxed) {
                dev_err!(
                    self.dev,
                    "the device is not there any more: all registers read as ones\n"
                );
            }
            return Err(ENODEV);
        }
        Ok(Status(status))
    }

    /// Sets the device status, to bits that drivers can set: with others a device might look like one
    /// that is not there.
    pub(crate) fn set_status(&self, status: Status) -> Result {
        self.common.write8(status.0, DEVICE_STATUS)
    }

    /// Returns the number of virtqueues that the device has. Not checked.
    pub(crate) fn num_queues(&self) -> Result<u16> {
        self.common.read16(NUM_QUEUES)
    }

    /// Returns a number that changes when the device configuration does.
    pub(crate) fn config_generation(&self) -> Result<u8> {
        self.common.read8(CONFIG_GENERATION)
    }

    /// Resets the device and waits until that is done.
    ///
    /// # Errors
    ///
    /// `ENODEV` where it is not there, `ETIMEDOUT` where it does not reset. The user is told.
    pub(crate) fn reset(&self) -> Result {
        self.check_present()?;
        self.set_status(Status::default())?;

        let result = read_poll_timeout(
            || self.status(),
            |status| *status == Status::default(),
            POLL_INTERVAL,
            Delta::from_secs(RESET_TIMEOUT),
        );
        let timed_out = matches!(result, Err(error) if error == ETIMEDOUT);

        self.stuck.store(timed_out, Relaxed);
        if timed_out {
            dev_err!(
                self.dev,
                "waited {RESET_TIMEOUT} s for the device to reset: its status is {:#04x}, not 0\n",
                self.status().unwrap_or_default().0
            );
        }
        result.map(|_| ())
    }
}

/// The registers that show one of many things, as another register selects.
///
/// To have one of these is to be the only one who selects: it is kept under a lock.
pub(crate) struct Selectors {
    common: Window,
}

impl Selectors {
    pub(crate) fn new(common: Window) -> Self {
        Self { common }
    }

    /// Returns the features that the device offers.
    pub(crate) fn device_features(&mut self) -> Result<Features> {
        let mut features = 0;

        for half in 0..2 {
            self.common.write32(half, DEVICE_FEATURE_SELECT)?;
            features |= u64::from(self.common.read32(DEVICE_FEATURE)?) << (32 * half);
        }
        Ok(Features(features))
    }

    /// Tells the device which features the driver has accepted.
    pub(crate) fn set_driver_features(&mut self, features: Features) -> Result {
        for half in 0..2 {
            self.common.write32(half, DRIVER_FEATURE_SELECT)?;
            self.common
                .write32((features.0 >> (32 * half)) as u32, DRIVER_FEATURE)?;
        }
        Ok(())
    }

    /// Has configuration changes raise a vector.
    ///
    /// # Errors
    ///
    /// `EIO` where the device does not accept it.
    pub(crate) fn set_config_vector(&mut self, vector: u16) -> Result {
        set_vector(&self.common, CONFIG_MSIX_VECTOR, vector)
    }

    /// Selects a virtqueue, for as long as the result is there.
    pub(crate) fn queue(&mut self, queue: u16) -> Result<SelectedQueue<'_>> {
        self.common.write16(queue, QUEUE_SELECT)?;
        Ok(SelectedQueue { selectors: self })
    }
}

fn set_vector(common: &Window, register: usize, vector: u16) -> Result {
    common.write16(vector, register)?;
    // Section 4.1.5.1.2: a device that has no resources for it says VIRTIO_MSI_NO_VECTOR.
    if common.read16(register)? != vector {
        return Err(EIO);
    }
    Ok(())
}

/// The registers of the virtqueue that is selected.
///
/// # Invariants
///
/// The virtqueue was selected through `selectors`, which nobody else can use as long as this
/// exists.
pub(crate) struct SelectedQueue<'a> {
    selectors: &'a mut Selectors,
}

impl SelectedQueue<'_> {
    fn common(&self) -> &Window {
        &self.selectors.common
    }

    /// Returns the size in descriptors; after a reset, the largest possible. Not checked.
    pub(crate) fn size(&self) -> Result<u16> {
        self.common().read16(QUEUE_SIZE)
    }

    /// Sets the size in descriptors.
    pub(crate) fn set_size(&mut self, size: u16) -> Result {
        self.common().write16(size, QUEUE_SIZE)
    }

    /// Returns where the doorbell is, to be multiplied. Not checked.
    pub(crate) fn notify_off(&self) -> Result<u16> {
        self.common().read16(QUEUE_NOTIFY_OFF)
    }

    /// Sets the addresses of the three areas.
    pub(crate) fn set_address(&mut self, address: VqAddress) -> Result {
        for (register, address) in [
            (QUEUE_DESC, address.desc),
            (QUEUE_DRIVER, address.driver),
            (QUEUE_DEVICE, address.device),
        ] {
            // Section 4.1.3.1: by halves.
            self.common().write32(address as u32, register)?;
            self.common()
                .write32((address >> 32) as u32, register + 4)?;
        }
        Ok(())
    }

    /// Whether the virtqueue is enabled.
    pub(crate) fn is_enabled(&self) -> Result<bool> {
        Ok(self.common().read16(QUEUE_ENABLE)? == 1)
    }

    /// Enables or disables the virtqueue.
    ///
    /// Virtio knows no way to disable one; on these devices it is the same register, and it takes
    /// a moment.
    pub(crate) fn set_enabled(&mut self, enabled: bool) -> Result {
        self.common().write16(enabled.into(), QUEUE_ENABLE)
    }

    /// Has used buffers raise a vector.
    ///
    /// # Errors
    ///
    /// `EIO` where the device does not accept it.
    pub(crate) fn set_vector(&mut self, vector: u16) -> Result {
        set_vector(self.common(), QUEUE_MSIX_VECTOR, vector)
    }
}

/// The features that devices can offer here: those for a kind of device, and of those that concern
/// the transport and the virtqueues (bits 24 to 49) the ones that nobody has to do anything for.
///
/// Missing are the packed virtqueues, as the device keeps 16 bits of a virtqueue's state only; and
/// those that ask for registers, virtqueues or notifications of their own, which vDPA has no
/// operations for or this device no such registers.
pub(crate) const FEATURES: Features =
    Features(!(((1 << 50) - 1) & !((1 << 24) - 1))).union(Features::from_bits(&[
        bindings::VIRTIO_F_NOTIFY_ON_EMPTY,
        bindings::VIRTIO_F_ANY_LAYOUT,
        bindings::VIRTIO_RING_F_INDIRECT_DESC,
        bindings::VIRTIO_RING_F_EVENT_IDX,
        bindings::VIRTIO_F_VERSION_1,
        bindings::VIRTIO_F_ACCESS_PLATFORM,
        bindings::VIRTIO_F_IN_ORDER,
        bindings::VIRTIO_F_ORDER_PLATFORM,
    ]));
