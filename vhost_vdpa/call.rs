// SPDX-License-Identifier: GPL-2.0

//! What a device calls: eventfds.

use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        SpinLockIrq, //
    }, //
};
use vdpa::{
    bindings::VHOST_FILE_UNBIND,
    EventFd,
    Target, //
};

/// Takes the eventfd behind a file descriptor of the current process, or none for -1.
///
/// # Errors
///
/// `EBADF` where `fd` is not open, `EINVAL` where it is not an eventfd.
pub(crate) fn eventfd(fd: i32) -> Result<Option<EventFd>> {
    match fd {
        VHOST_FILE_UNBIND => Ok(None),
        fd => EventFd::from_fd(fd).map(Some),
    }
}

/// A place for the eventfd that is signalled in place of an interrupt.
///
/// The device knows the place, not the eventfd: that can be replaced while the device is calling.
#[pin_data]
pub(crate) struct Call {
    #[pin]
    eventfd: SpinLockIrq<Option<EventFd>>,
}

impl Call {
    /// Creates a place without an eventfd.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                eventfd <- new_spinlock_irq!(None, "vhost_vdpa_call"),
            }),
            GFP_KERNEL,
        )
    }

    /// Has another eventfd signalled from now on, or none. Returns the one that was before, which
    /// is not signalled any more.
    pub(crate) fn set(&self, eventfd: Option<EventFd>) -> Option<EventFd> {
        core::mem::replace(&mut *self.eventfd.lock(), eventfd)
    }

    /// Returns the eventfd.
    pub(crate) fn get(&self) -> Option<EventFd> {
        self.eventfd.lock().clone()
    }
}

impl Target for Call {
    fn call(&self) {
        if let Some(eventfd) = &*self.eventfd.lock() {
            eventfd.signal();
        }
    }
}
