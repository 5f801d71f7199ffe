// SPDX-License-Identifier: GPL-2.0

//! The device configuration: virtio 1.3, section 2.5.

use super::{
    hardware::Hardware,
    Driver, //
};
use kernel::{
    io::poll::read_poll_timeout,
    prelude::*,
    time::Delta, //
};

/// How long it is tried to read the configuration while it changes, in seconds.
const STABLE_TIMEOUT: i64 = 1;
/// How long is waited between two attempts.
const STABLE_INTERVAL: Delta = Delta::from_micros(10);

impl<D: Driver> Hardware<'_, D> {
    /// Reads from the device configuration: all bytes at one time, as it were.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a range that is not in it, `ETIMEDOUT` where it changes all the time, `ENODEV`.
    /// What is in `buf` is of no use then. The user is told.
    #[inline]
    pub(super) fn read_config(&self, offset: usize, buf: &mut [u8]) -> Result {
        let config = self.config.as_ref().ok_or(EINVAL)?;

        self.common.check_present()?;

        let result = read_poll_timeout(
            || {
                let before = self.common.config_generation();

                for (at, byte) in (offset..=usize::MAX).zip(buf.iter_mut()) {
                    *byte = config.read(at)?;
                }
                let unchanged = self.common.config_generation() == before;
                // Or all of it was ones, as the device is gone.
                self.common.check_present()?;
                Ok(unchanged)
            },
            |unchanged| *unchanged,
            STABLE_INTERVAL,
            Delta::from_secs(STABLE_TIMEOUT),
        );

        if matches!(result, Err(error) if error == ETIMEDOUT) && self.log.allows() {
            dev_err!(
                self.dev,
                "waited {STABLE_TIMEOUT} s for the configuration not to change while it is read\n"
            );
        }
        result.map(|_| ())
    }

    /// Writes to the device configuration.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a range that is not in it, `ENODEV`.
    #[inline]
    pub(super) fn write_config(&self, offset: usize, buf: &[u8]) -> Result {
        let config = self.config.as_ref().ok_or(EINVAL)?;

        self.common.check_present()?;
        for (at, &byte) in (offset..=usize::MAX).zip(buf) {
            config.write(at, byte)?;
        }
        Ok(())
    }
}
