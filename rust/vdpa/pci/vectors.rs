// SPDX-License-Identifier: GPL-2.0

//! The interrupts of a PCI function.

use super::as_raw;
use crate::bindings;
use core::{
    mem,
    ptr::from_ref, //
};
use kernel::{
    device::Bound,
    devres::Devres,
    error::to_result,
    fmt,
    irq::Handler,
    new_mutex,
    pci,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// What the kernel calls, and with what. It is pinned for as long as the kernel may.
struct Request<H: Handler> {
    irq: u32,
    // Shown in /proc/interrupts.
    name: CString,
    handler: H,
}

impl<H: Handler> Request<H> {
    /// # Safety
    ///
    /// Called by the kernel, with a request that [`Requested::new`] has made.
    unsafe extern "C" fn interrupted(_irq: c_int, request: *mut c_void) -> bindings::irqreturn_t {
        // SAFETY: By the safety requirements of this function; it is dropped after `free_irq()`.
        let request = unsafe { &*request.cast_const().cast::<Self>() };

        bindings::irqreturn_t(request.handler.handle() as c_uint)
    }
}

/// A handler that was requested. Dropping it waits until it does not run any more.
///
/// # Invariants
///
/// `request_irq()` has succeeded for it.
struct Requested<H: Handler>(Pin<KBox<Request<H>>>);

impl<H: Handler> Requested<H> {
    /// # Safety
    ///
    /// `irq` must be the number of an interrupt that is not freed before the result is dropped.
    unsafe fn new(irq: u32, name: CString, handler: H) -> Result<Self> {
        let request = KBox::pin(Request { irq, name, handler }, GFP_KERNEL)?;

        // SAFETY: The name and the argument are valid until `free_irq()`, and stay where they are.
        to_result(unsafe {
            bindings::request_irq(
                irq,
                Some(Request::<H>::interrupted),
                0,
                request.name.as_char_ptr(),
                from_ref(&*request).cast_mut().cast(),
            )
        })?;
        // INVARIANT: It has succeeded.
        Ok(Self(request))
    }
}

impl<H: Handler> Drop for Requested<H> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, with the same argument.
        unsafe { bindings::free_irq(self.0.irq, from_ref(&*self.0).cast_mut().cast()) };
    }
}

/// The handlers and the interrupts of a function.
struct Allocated<H: Handler> {
    /// How many interrupts there are.
    len: u32,
    requests: KVec<Requested<H>>,
}

enum State<H: Handler> {
    /// The driver is not bound any more.
    Closed,
    /// There are no interrupts.
    Empty,
    Allocated(Allocated<H>),
}

#[pin_data]
struct Inner<'bound, H: Handler> {
    pdev: &'bound pci::Device<Bound>,
    #[pin]
    state: Mutex<State<H>>,
}

impl<H: Handler> Inner<'_, H> {
    /// Frees all interrupts, if there are any; with `close`, for good.
    fn free(&self, close: bool) {
        let mut state = self.state.lock();
        let next = if close || matches!(*state, State::Closed) {
            State::Closed
        } else {
            State::Empty
        };

        if let State::Allocated(allocated) = mem::replace(&mut *state, next) {
            // First, as the handlers use what is freed then.
            drop(allocated);
            // SAFETY: The vectors were allocated by `allocate`, and nobody uses them any more.
            unsafe { bindings::pci_free_irq_vectors(as_raw(self.pdev)) };
        }
    }
}

/// What can free its interrupts for good.
trait Close: Send + Sync {
    fn close(&self);
}

impl<H: Handler + Send> Close for Arc<Inner<'_, H>> {
    fn close(&self) {
        self.free(true);
    }
}

/// Frees the interrupts when the driver is unbound, for good.
///
/// # Invariants
///
/// The driver is bound.
struct Closer(KBox<dyn Close>);

impl Closer {
    /// # Safety
    ///
    /// The result must be dropped before `'bound` ends, which is for as long as the driver is bound.
    unsafe fn new<'bound, H: Handler + Send + 'bound>(
        inner: Arc<Inner<'bound, H>>,
    ) -> Result<Self> {
        let inner: KBox<dyn Close + 'bound> = KBox::new(inner, GFP_KERNEL)?;

        // SAFETY: It is the same type but for the lifetime, and see the safety requirements of this
        // function.
        Ok(Self(unsafe {
            mem::transmute::<KBox<dyn Close + 'bound>, KBox<dyn Close>>(inner)
        }))
    }
}

impl Drop for Closer {
    #[inline]
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The MSI-X vectors of a PCI function, and what is done when they are raised.
///
/// At first there are none. They are there from [`allocate`](Self::allocate) to
/// [`free`](Self::free). Handlers may borrow what is there while the driver is bound.
///
/// # Context
///
/// All functions sleep. Handlers must not call them.
///
/// # Examples
///
/// ```ignore
/// let vectors = Vectors::new(pdev)?;
///
/// vectors.allocate(1, 2)?;
/// let irq = vectors.request(0, fmt!("device[{}]", name), handler)?;
/// // Does not return before the handler does.
/// vectors.free();
/// ```
pub struct Vectors<'bound, H: Handler + Send + 'bound> {
    inner: Arc<Inner<'bound, H>>,
    // Frees the interrupts when it is dropped, or when the driver is unbound if nobody has.
    _closer: Devres<Closer>,
}

impl<'bound, H: Handler + Send + 'bound> Vectors<'bound, H> {
    /// Makes an object for a function, without interrupts. There should be one only.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(pdev: &'bound pci::Device<Bound>) -> Result<Self> {
        let inner = Arc::pin_init(
            pin_init!(Inner {
                pdev,
                state <- new_mutex!(State::Empty, "vdpa_pci_vectors"),
            }),
            GFP_KERNEL,
        )?;

        // SAFETY: That is what happens when the driver is unbound, if not before.
        let closer = unsafe { Closer::new(inner.clone()) }?;

        Ok(Self {
            _closer: Devres::new(pdev.as_ref(), closer)?,
            inner,
        })
    }

    /// Returns how many vectors the function's table has. 0, if it has no MSI-X.
    #[doc(alias = "pci_msix_vec_count")]
    #[inline]
    pub fn table_len(pdev: &pci::Device<Bound>) -> u32 {
        // SAFETY: The pointer is valid.
        let len = unsafe { bindings::pci_msix_vec_count(as_raw(pdev)) };

        u32::try_from(len).unwrap_or(0)
    }

    /// Allocates at least `min` and at most `max` vectors, each for processors of its own, and
    /// returns their number.
    ///
    /// # Errors
    ///
    /// `EBUSY` where there are some already, `ENOSPC` where there are fewer than `min` to be had or
    /// fewer processors, `ENODEV` where the driver is not bound any more, `ENOMEM`.
    #[doc(alias = "pci_alloc_irq_vectors")]
    pub fn allocate(&self, min: u32, max: u32) -> Result<u32> {
        let mut state = self.inner.state.lock();

        match *state {
            State::Closed => return Err(ENODEV),
            State::Allocated(_) => return Err(EBUSY),
            State::Empty => (),
        }
        let flags = bindings::PCI_IRQ_MSIX | bindings::PCI_IRQ_AFFINITY;
        // SAFETY: The driver is bound, as it is not closed, and stays so while the lock is held.
        let len =
            unsafe { bindings::pci_alloc_irq_vectors(as_raw(self.inner.pdev), min, max, flags) };
        to_result(len)?;

        let len = u32::try_from(len)?;
        *state = State::Allocated(Allocated {
            len,
            requests: KVec::new(),
        });
        Ok(len)
    }

    /// Has a vector handled, and returns the number of the interrupt. The name is shown in
    /// `/proc/interrupts`.
    ///
    /// # Errors
    ///
    /// `EINVAL` where there is no such vector, `EBUSY` where it has a handler, `ENODEV` where the
    /// driver is not bound any more, `ENOMEM`.
    #[doc(alias = "request_irq")]
    #[doc(alias = "pci_irq_vector")]
    pub fn request(&self, index: u32, name: fmt::Arguments<'_>, handler: H) -> Result<u32> {
        let name = CString::try_from_fmt(name)?;
        let mut state = self.inner.state.lock();
        let allocated = match &mut *state {
            State::Closed => return Err(ENODEV),
            State::Allocated(allocated) if index < allocated.len => allocated,
            _ => return Err(EINVAL),
        };

        // Now, so that nothing can fail later.
        allocated.requests.reserve(1, GFP_KERNEL)?;
        // SAFETY: The pointer is valid.
        let irq = unsafe { bindings::pci_irq_vector(as_raw(self.inner.pdev), index) };
        to_result(irq)?;
        let irq = u32::try_from(irq)?;

        // SAFETY: The vectors are freed after the handlers, see `Inner::free`.
        let requested = unsafe { Requested::new(irq, name, handler) }?;
        allocated.requests.push_within_capacity(requested)?;
        Ok(irq)
    }

    /// Waits until no handler runs that was called before. It is for interrupts that are not raised
    /// any more, but may have been a moment ago.
    #[doc(alias = "synchronize_irq")]
    pub fn synchronize(&self) {
        if let State::Allocated(allocated) = &*self.inner.state.lock() {
            for Requested(request) in &allocated.requests {
                // SAFETY: The interrupt is requested, and stays so while the lock is held.
                unsafe { bindings::synchronize_irq(request.irq) };
            }
        }
    }

    /// Frees all vectors. No handler runs any more when this returns.
    #[doc(alias = "free_irq")]
    #[doc(alias = "pci_free_irq_vectors")]
    pub fn free(&self) {
        self.inner.free(false);
    }
}
