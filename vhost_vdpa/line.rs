// SPDX-License-Identifier: GPL-2.0

//! The lines between a virtqueue and its driver: kicks, calls and errors.

use crate::{
    call::eventfd,
    session::Session,
    status::has_features, //
};
use kernel::{
    device::Bound,
    prelude::*,
    sync::Arc, //
};
use vdpa::{
    bindings::VHOST_FILE_UNBIND,
    BoundDevice,
    Device,
    EventFd,
    IrqBypass,
    Kick,
    KickTarget,
    Status, //
};

/// What a process has connected a virtqueue with.
#[derive(Default)]
pub(crate) struct Line {
    kick: Option<Kick<Doorbell>>,
    err: Option<EventFd>,
    bypass: Option<IrqBypass>,
    /// Of no use here: no thread polls a virtqueue. But other vhost devices have it.
    busyloop_timeout: u32,
}

/// Tells the device that there are new buffers in a virtqueue.
struct Doorbell {
    dev: Arc<BoundDevice>,
    index: u32,
}

impl KickTarget for Doorbell {
    fn kick(&self) {
        if let Some(dev) = self.dev.get() {
            if let Some(vq) = dev.vq(self.index) {
                vq.kick();
            }
        }
    }
}

impl Session {
    fn line_mut(&mut self, index: u32) -> Result<&mut Line> {
        self.lines.get_mut(usize::try_from(index)?).ok_or(ENOBUFS)
    }

    /// Sets the eventfd by which the driver kicks the virtqueue, or none (-1). If it was signalled
    /// before, the virtqueue is kicked at once.
    ///
    /// # Errors
    ///
    /// `EBADF` where `fd` is not open, `EINVAL` where it is not an eventfd.
    pub(crate) fn set_vring_kick(&mut self, dev: &Device<Bound>, index: u32, fd: i32) -> Result {
        self.vq(dev, index)?;

        let doorbell = Doorbell {
            dev: self.bound.clone(),
            index,
        };
        let kick = match fd {
            VHOST_FILE_UNBIND => None,
            fd => Some(Kick::new(fd, Arc::new(doorbell, GFP_KERNEL)?)?),
        };

        self.line_mut(index)?.kick = kick;
        Ok(())
    }

    /// Sets the eventfd that is signalled when buffers were used, or none (-1).
    ///
    /// # Errors
    ///
    /// As for [`set_vring_kick`](Self::set_vring_kick).
    pub(crate) fn set_vring_call(&mut self, dev: &Device<Bound>, index: u32, fd: i32) -> Result {
        self.vq(dev, index)?;

        let eventfd = eventfd(fd)?;
        let call = self.callbacks.vq(index).ok_or(ENOBUFS)?;
        let old = call.set(eventfd);

        // Before the eventfd goes that the interrupt was connected with.
        self.line_mut(index)?.bypass = None;
        if has_features(dev.status()) {
            self.install_call(dev, index)?;
        }
        if dev.status().has(Status::DRIVER_OK) {
            self.connect_irq(dev, index);
        }
        drop(old);
        Ok(())
    }

    /// Has the device call for a virtqueue that has an eventfd, or had one since the last reset.
    fn install_call(&mut self, dev: &Device<Bound>, index: u32) -> Result {
        let eventfd = self.callbacks.vq(index).and_then(|call| call.get());

        // From a device that is running nothing is taken away, not even where nobody is told.
        if eventfd.is_some() || self.callbacks.is_installed(index) {
            self.callbacks.install_vq(dev, index, eventfd)?;
        }
        Ok(())
    }

    /// Has the device call for all virtqueues that have an eventfd.
    ///
    /// This is for a device whose features are certain: what they are decides, for some, what the
    /// number of a virtqueue means.
    pub(crate) fn install_calls(&mut self, dev: &Device<Bound>) -> Result {
        (0..dev.nvqs()).try_for_each(|index| self.install_call(dev, index))
    }

    /// Sets the eventfd that is signalled when the virtqueue has failed, or none (-1).
    ///
    /// # Errors
    ///
    /// As for [`set_vring_kick`](Self::set_vring_kick).
    pub(crate) fn set_vring_err(&mut self, dev: &Device<Bound>, index: u32, fd: i32) -> Result {
        self.vq(dev, index)?;
        self.line_mut(index)?.err = eventfd(fd)?;
        Ok(())
    }

    /// Remembers how long other vhost devices would poll the virtqueue, in microseconds.
    pub(crate) fn set_busyloop_timeout(
        &mut self,
        dev: &Device<Bound>,
        index: u32,
        timeout: u32,
    ) -> Result {
        self.vq(dev, index)?;
        self.line_mut(index)?.busyloop_timeout = timeout;
        Ok(())
    }

    /// Returns what was set with [`set_busyloop_timeout`](Self::set_busyloop_timeout).
    pub(crate) fn busyloop_timeout(&self, dev: &Device<Bound>, index: u32) -> Result<u32> {
        self.vq(dev, index)?;

        let line = self.lines.get(usize::try_from(index)?).ok_or(ENOBUFS)?;

        Ok(line.busyloop_timeout)
    }

    /// Lets a virtual machine have the virtqueue's interrupt without the detour over the eventfd,
    /// where the device has one for it alone and the hypervisor can take it.
    fn connect_irq(&mut self, dev: &Device<Bound>, index: u32) {
        let irq = dev.vq(index).and_then(|vq| vq.irq());
        let eventfd = self.callbacks.vq(index).and_then(|call| call.get());

        if let (Some(irq), Some(eventfd), Ok(line)) = (irq, eventfd, self.line_mut(index)) {
            match IrqBypass::new(&eventfd, irq) {
                Ok(bypass) => line.bypass = Some(bypass),
                // Another virtqueue has the same eventfd: it works, with the detour.
                Err(e) => dev_dbg!(dev, "virtqueue {}: no interrupt bypass: {:?}\n", index, e),
            }
        }
    }

    /// Connects all interrupts. The device must have DRIVER_OK: only then they are certain.
    pub(crate) fn connect_irqs(&mut self, dev: &Device<Bound>) {
        for index in 0..dev.nvqs() {
            self.connect_irq(dev, index);
        }
    }

    /// Undoes [`connect_irqs`](Self::connect_irqs).
    pub(crate) fn disconnect_irqs(&mut self) {
        for line in &mut self.lines {
            line.bypass = None;
        }
    }

    /// Cuts all lines on the driver's side. Nothing reaches the device any more.
    pub(crate) fn cut_kicks(&mut self) {
        for line in &mut self.lines {
            line.kick = None;
        }
    }

    /// Tells the driver that the virtqueues are lost.
    pub(crate) fn signal_errors(&self) {
        for line in &self.lines {
            if let Some(err) = &line.err {
                err.signal();
            }
        }
    }
}
