// SPDX-License-Identifier: GPL-2.0

//! The registers of the common configuration: virtio 1.3, section 4.1.4.3.

use super::super::{
    Registers,
    Window, //
};
use crate::{
    Features,
    Status,
    VqAddress, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    io::{
        io_read,
        io_write,
        poll::read_poll_timeout,
        Io, //
    },
    prelude::*,
    sync::atomic::{
        AtomicFlag,
        Relaxed, //
    },
    time::Delta, //
};

/// The fields that all devices have. Those of 64 bits are written by halves (section 4.1.3.1).
#[derive(FromBytes, IntoBytes)]
#[repr(C)]
pub(super) struct CommonConfig {
    device_feature_select: u32,
    device_feature: u32,
    driver_feature_select: u32,
    driver_feature: u32,
    config_msix_vector: u16,
    num_queues: u16,
    device_status: u8,
    config_generation: u8,
    queue_select: u16,
    queue_size: u16,
    queue_msix_vector: u16,
    queue_enable: u16,
    queue_notify_off: u16,
    queue_desc: [u32; 2],
    queue_driver: [u32; 2],
    queue_device: [u32; 2],
}

/// Where the field behind them is that resets a virtqueue, which a device with VIRTIO_F_RING_RESET
/// has.
const QUEUE_RESET: usize = 0x3a;

/// How long a reset may take, in seconds. The specification knows no limit; devices need
/// milliseconds.
const RESET_TIMEOUT: i64 = 5;
/// How often it is looked whether a device has done what it was told.
const POLL_INTERVAL: Delta = Delta::from_millis(1);

/// The registers that can be used at any time, by any thread.
pub(super) struct Common<'bound> {
    registers: Registers<'bound, CommonConfig>,
    dev: &'bound Device<Bound>,
    /// The device was found absent. It stays so until the driver is bound again.
    absent: AtomicFlag,
    /// The last reset has not been done.
    stuck: AtomicFlag,
}

impl<'bound> Common<'bound> {
    /// `window` has room for the fields that all devices have.
    #[inline]
    pub(super) fn new(window: &Window<'bound>, dev: &'bound Device<Bound>) -> Result<Self> {
        Ok(Self {
            registers: window.registers(0)?,
            dev,
            absent: AtomicFlag::new(false),
            stuck: AtomicFlag::new(false),
        })
    }

    /// Whether the device did not do the last reset, so that it may still be doing anything else.
    #[inline]
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.load(Relaxed)
    }

    /// Checks that the device is there.
    ///
    /// # Errors
    ///
    /// `ENODEV`. The user was told when it was seen for the first time.
    #[inline]
    pub(super) fn check_present(&self) -> Result {
        self.status().map(|_| ())
    }

    /// Returns the device status.
    ///
    /// # Errors
    ///
    /// `ENODEV` where the device is not there.
    #[inline]
    pub(super) fn status(&self) -> Result<Status> {
        if self.absent.load(Relaxed) {
            return Err(ENODEV);
        }
        let status = io_read!(self.registers, .device_status);

        // Reads of what is not there give ones. No device has so many virtqueues, see `limits`.
        if status == u8::MAX && self.num_queues() == u16::MAX {
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
    #[inline]
    pub(super) fn set_status(&self, status: Status) {
        io_write!(self.registers, .device_status, status.0);
    }

    /// Returns the number of virtqueues that the device has. Not checked.
    #[inline]
    pub(super) fn num_queues(&self) -> u16 {
        io_read!(self.registers, .num_queues)
    }

    /// Returns a number that changes when the device configuration does.
    #[inline]
    pub(super) fn config_generation(&self) -> u8 {
        io_read!(self.registers, .config_generation)
    }

    /// Resets the device and waits until that is done.
    ///
    /// # Errors
    ///
    /// `ENODEV` where it is not there, `ETIMEDOUT` where it does not reset. The user is told.
    #[inline]
    pub(super) fn reset(&self) -> Result {
        self.check_present()?;
        self.set_status(Status::default());

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
pub(super) struct Selectors<'bound> {
    registers: Registers<'bound, CommonConfig>,
    queue_reset: Option<Registers<'bound, u16>>,
}

impl<'bound> Selectors<'bound> {
    /// As for [`Common::new`].
    #[inline]
    pub(super) fn new(window: &Window<'bound>) -> Result<Self> {
        Ok(Self {
            registers: window.registers(0)?,
            queue_reset: window.registers(QUEUE_RESET).ok(),
        })
    }

    /// Whether there is a register to reset a virtqueue with.
    #[inline]
    pub(super) fn can_reset_queues(&self) -> bool {
        self.queue_reset.is_some()
    }

    /// Returns the features that the device offers.
    #[inline]
    pub(super) fn device_features(&mut self) -> Features {
        let mut features = 0;

        for half in 0..2 {
            io_write!(self.registers, .device_feature_select, half);
            features |= u64::from(io_read!(self.registers, .device_feature)) << (32 * half);
        }
        Features(features)
    }

    /// Tells the device which features the driver has accepted.
    #[inline]
    pub(super) fn set_driver_features(&mut self, features: Features) {
        for half in 0..2 {
            io_write!(self.registers, .driver_feature_select, half);
            io_write!(self.registers, .driver_feature, (features.0 >> (32 * half)) as u32);
        }
    }

    /// Has configuration changes raise a vector.
    ///
    /// # Errors
    ///
    /// `EIO` where the device does not accept it.
    #[inline]
    pub(super) fn set_config_vector(&mut self, vector: u16) -> Result {
        io_write!(self.registers, .config_msix_vector, vector);
        accepted(io_read!(self.registers, .config_msix_vector), vector)
    }

    /// Selects a virtqueue, for as long as the result is there.
    #[inline]
    pub(super) fn queue(&mut self, queue: u16) -> SelectedQueue<'_, 'bound> {
        io_write!(self.registers, .queue_select, queue);
        // INVARIANT: It was selected just above.
        SelectedQueue(self)
    }
}

/// Section 4.1.5.1.2: a device that has no resources for a vector says VIRTIO_MSI_NO_VECTOR.
#[inline]
fn accepted(reads: u16, vector: u16) -> Result {
    if reads == vector {
        Ok(())
    } else {
        Err(EIO)
    }
}

/// The registers of the virtqueue that is selected.
///
/// # Invariants
///
/// The virtqueue was selected through what is borrowed, which nobody else can use as long as this
/// exists.
pub(super) struct SelectedQueue<'a, 'bound>(&'a mut Selectors<'bound>);

impl SelectedQueue<'_, '_> {
    /// Returns the size in descriptors; after a reset, the largest possible. Not checked.
    #[inline]
    pub(super) fn size(&self) -> u16 {
        io_read!(self.0.registers, .queue_size)
    }

    /// Sets the size in descriptors.
    #[inline]
    pub(super) fn set_size(&mut self, size: u16) {
        io_write!(self.0.registers, .queue_size, size);
    }

    /// Returns where the doorbell is, to be multiplied. Not checked.
    #[inline]
    pub(super) fn notify_off(&self) -> u16 {
        io_read!(self.0.registers, .queue_notify_off)
    }

    /// Sets the addresses of the three areas.
    #[inline]
    pub(super) fn set_address(&mut self, address: VqAddress) {
        let registers = &self.0.registers;
        let low = |address: u64| address as u32;
        let high = |address: u64| (address >> 32) as u32;

        io_write!(registers, .queue_desc[build: 0], low(address.desc));
        io_write!(registers, .queue_desc[build: 1], high(address.desc));
        io_write!(registers, .queue_driver[build: 0], low(address.driver));
        io_write!(registers, .queue_driver[build: 1], high(address.driver));
        io_write!(registers, .queue_device[build: 0], low(address.device));
        io_write!(registers, .queue_device[build: 1], high(address.device));
    }

    /// Whether the virtqueue is enabled.
    #[inline]
    pub(super) fn is_enabled(&self) -> bool {
        io_read!(self.0.registers, .queue_enable) == 1
    }

    /// Enables the virtqueue.
    #[inline]
    pub(super) fn enable(&mut self) {
        io_write!(self.0.registers, .queue_enable, 1);
    }

    /// Disables the virtqueue, which takes a moment.
    ///
    /// Virtio has a device take that for a mistake; some take it for what it looks like, see
    /// [`Own`](super::Own).
    #[inline]
    pub(super) fn disable(&mut self) {
        io_write!(self.0.registers, .queue_enable, 0);
    }

    /// Resets the virtqueue, which takes a moment: section 2.6.1. Does nothing for a device without
    /// VIRTIO_F_RING_RESET.
    #[inline]
    pub(super) fn reset(&mut self) {
        if let Some(register) = &self.0.queue_reset {
            register.write_val(1);
        }
    }

    /// Whether the virtqueue is being reset.
    #[inline]
    pub(super) fn is_in_reset(&self) -> bool {
        self.0
            .queue_reset
            .as_ref()
            .is_some_and(|register| register.read_val() == 1)
    }

    /// Has used buffers raise a vector.
    ///
    /// # Errors
    ///
    /// `EIO` where the device does not accept it.
    #[inline]
    pub(super) fn set_vector(&mut self, vector: u16) -> Result {
        io_write!(self.0.registers, .queue_msix_vector, vector);
        accepted(io_read!(self.0.registers, .queue_msix_vector), vector)
    }
}
