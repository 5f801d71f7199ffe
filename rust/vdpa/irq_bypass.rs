// SPDX-License-Identifier: GPL-2.0

//! Interrupts that go to a virtual machine without the host.
//!
//! A module that uses this depends on `irqbypass.ko`.
//!
//! C header: `include/linux/irqbypass.h`

use crate::{
    bindings,
    EventFd, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// Says that an eventfd is signalled by a certain interrupt, and by nothing else, until this is
/// dropped.
///
/// Where a hypervisor waits for the same eventfd, to hand it to a guest as an interrupt, and the
/// platform can do so, the guest gets the interrupt at once. Otherwise nothing changes.
///
/// # Context
///
/// Making and dropping it sleeps.
///
/// # Invariants
///
/// `producer` is registered, with the address of `_eventfd`.
#[doc(alias = "irq_bypass_unregister_producer")]
pub struct IrqBypass {
    producer: Pin<KBox<Opaque<bindings::irq_bypass_producer>>>,
    // The address must not become that of another eventfd meanwhile.
    _eventfd: EventFd,
}

// SAFETY: Producers are registered and unregistered under a lock, by any thread.
unsafe impl Send for IrqBypass {}

// SAFETY: Nothing can be done with a shared reference.
unsafe impl Sync for IrqBypass {}

impl IrqBypass {
    /// Registers an interrupt, by its number in Linux, as the one behind an eventfd.
    ///
    /// # Errors
    ///
    /// - `EBUSY` where there is an interrupt for this eventfd already,
    /// - `EINVAL` where the number is none of an interrupt,
    /// - `ENOMEM`, and what the hypervisor returns.
    ///
    /// The eventfd can be signalled in the ordinary way, with or without success.
    #[doc(alias = "irq_bypass_register_producer")]
    #[inline]
    pub fn new(eventfd: &EventFd, irq: u32) -> Result<Self> {
        let irq = c_int::try_from(irq)?;
        let producer = KBox::pin(Opaque::new(pin_init::zeroed()), GFP_KERNEL)?;

        // SAFETY: The producer is zeroed, and stays where it is until it is unregistered. The
        // eventfd is only an address there.
        to_result(unsafe {
            bindings::irq_bypass_register_producer(producer.get(), eventfd.as_raw(), irq)
        })?;
        // INVARIANT: Registered just above.
        Ok(Self {
            producer,
            _eventfd: eventfd.clone(),
        })
    }
}

impl Drop for IrqBypass {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::irq_bypass_unregister_producer(self.producer.get()) };
    }
}
