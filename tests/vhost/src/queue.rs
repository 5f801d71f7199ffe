// SPDX-License-Identifier: GPL-2.0

//! A virtqueue with its notifications.

use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::ring::{Ring, Segment, Used};
use crate::sys::{self, Doorbell};

/// How long to wait for what must come: a virtual machine in software may be slow.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An eventfd that does not block.
pub fn event() -> Result<EventFd> {
    Ok(EventFd::new(EFD_NONBLOCK)?)
}

/// Waits until an eventfd is signalled, and takes that. Tells whether it was.
pub fn wait_event(event: &EventFd, timeout: Duration) -> Result<bool> {
    if event.read().is_ok() {
        return Ok(true);
    }
    sys::poll(event, libc::POLLIN, timeout)?;
    Ok(event.read().is_ok())
}

/// A virtqueue of a device.
pub struct Queue {
    /// Its number.
    pub index: u32,
    /// The ring.
    pub ring: Box<dyn Ring>,
    /// Signalled by the driver.
    pub kick: EventFd,
    /// Signalled by the device.
    pub call: EventFd,
    /// Rung by the driver instead of signalling `kick`, if it is there.
    pub doorbell: Option<Doorbell>,
}

impl Queue {
    /// Puts a chain into the ring, which must have room for it.
    pub fn add(&mut self, chain: &[Segment]) -> Result<u16> {
        match self.ring.add(chain)? {
            Some(token) => Ok(token),
            None => bail!("virtqueue {} has no room for a chain", self.index),
        }
    }

    /// Shows the device what was added, and notifies it if it wants that.
    pub fn notify(&mut self) -> Result<()> {
        if self.ring.publish()? {
            match &self.doorbell {
                Some(doorbell) => doorbell.ring(self.index as u16),
                None => self.kick.write(1)?,
            }
        }
        Ok(())
    }

    /// Waits for a chain that the device is done with; [`None`] if none is in time.
    pub fn poll(&mut self, timeout: Duration) -> Result<Option<Used>> {
        let end = Instant::now() + timeout;

        loop {
            if let Some(used) = self.ring.take()? {
                self.ring.disable_calls()?;
                return Ok(Some(used));
            }
            if self.ring.enable_calls()? {
                continue;
            }
            let left = end.saturating_duration_since(Instant::now());
            if !wait_event(&self.call, left)? && left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// The same, if it must be in time.
    pub fn wait(&mut self) -> Result<Used> {
        match self.poll(PATIENCE)? {
            Some(used) => Ok(used),
            None => bail!(
                "virtqueue {}: nothing came for {PATIENCE:?}, with {} outstanding",
                self.index,
                self.ring.outstanding()
            ),
        }
    }
}
