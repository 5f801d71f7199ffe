// SPDX-License-Identifier: GPL-2.0

//! Starting and stopping virtqueues.

use super::{
    hardware::Hardware,
    Driver,
    Own, //
};
use kernel::{
    io::poll::read_poll_timeout,
    prelude::*,
    time::Delta, //
};

/// How long a virtqueue may take to stop, in seconds.
const STOP_TIMEOUT: i64 = 1;
/// How often it is looked whether it has.
const STOP_INTERVAL: Delta = Delta::from_millis(1);

impl<D: Driver> Hardware<'_, D> {
    /// Enables a virtqueue.
    ///
    /// # Errors
    ///
    /// `EIO` where the device does not, `ENODEV`. The user is told.
    #[inline]
    pub(super) fn enable(&self, queue: u16) -> Result {
        let mut selectors = self.selectors.lock();
        let mut selected = selectors.queue(queue);

        selected.enable();
        if selected.is_enabled() {
            return Ok(());
        }
        self.common.check_present()?;
        if self.log.allows() {
            dev_err!(
                self.dev,
                "virtqueue {queue} was enabled, but its register says that it is not\n"
            );
        }
        Err(EIO)
    }

    /// Stops a virtqueue, and waits until the device does not look at it any more. One that takes
    /// too long goes on, if it can.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` where the device cannot stop a single one, `ETIMEDOUT` where it does not,
    /// `ENODEV`. The user is told.
    #[inline]
    pub(super) fn disable(&self, queue: u16) -> Result {
        if D::Own::THERE {
            self.selectors.lock().queue(queue).disable();
        } else if self.can_reset_queues() {
            self.selectors.lock().queue(queue).reset();
        } else {
            return Err(EOPNOTSUPP);
        }

        let result = read_poll_timeout(
            || {
                self.common.check_present()?;

                let mut selectors = self.selectors.lock();
                let selected = selectors.queue(queue);

                Ok(selected.is_enabled() || (!D::Own::THERE && selected.is_in_reset()))
            },
            |goes_on| !*goes_on,
            STOP_INTERVAL,
            Delta::from_secs(STOP_TIMEOUT),
        );

        if matches!(result, Err(error) if error == ETIMEDOUT) {
            if self.log.allows() {
                dev_err!(
                    self.dev,
                    "waited {STOP_TIMEOUT} s for virtqueue {queue} to stop: it is still enabled\n"
                );
            }
            // Or it would stop later, when nobody expects that.
            if D::Own::THERE {
                self.go_on(queue);
            }
        }
        result.map(|_| ())
    }

    /// Takes back that a virtqueue was to be stopped.
    #[inline]
    fn go_on(&self, queue: u16) {
        // Who waits for the virtqueue finds out, and the user was told.
        let _ = self.enable(queue);
        // Kicks went unheard meanwhile.
        self.kick(queue);
    }

    /// Enables virtqueues, which come in ascending order: all of them, or none.
    ///
    /// # Errors
    ///
    /// Those of [`enable`](Self::enable).
    #[inline]
    pub(super) fn enable_all(&self, queues: impl Iterator<Item = u16> + Clone) -> Result {
        for queue in queues.clone() {
            if let Err(error) = self.enable(queue) {
                // The last one too, which might only be slow. A device that does not stop one is
                // not waited for again.
                let _ = queues
                    .take_while(|&index| index <= queue)
                    .try_for_each(|index| self.disable(index));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stops virtqueues, which come in ascending order: all of them, or none.
    ///
    /// # Errors
    ///
    /// Those of [`disable`](Self::disable).
    #[inline]
    pub(super) fn disable_all(&self, queues: impl Iterator<Item = u16> + Clone) -> Result {
        for queue in queues.clone() {
            if let Err(error) = self.disable(queue) {
                // As if nothing had been.
                for stopped in queues.take_while(|&index| index < queue) {
                    self.go_on(stopped);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}
