// SPDX-License-Identifier: GPL-2.0

//! A thread that works for a device.

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    fmt,
    prelude::*,
    str::CString,
    sync::Arc,
    types::Opaque, //
};

/// What a [`Worker`] does.
pub trait Work: Send + Sync + 'static {
    /// Does some of the work there is. Returns whether there is more: then it is called again,
    /// after others had their turn.
    ///
    /// # Context
    ///
    /// The worker's thread. May sleep, holds no lock.
    fn run(&self) -> bool;

    /// The worker is going away: where [`run`](Self::run) waits for anybody else, now or later, it
    /// does so no longer.
    ///
    /// # Context
    ///
    /// A process; may sleep.
    #[inline]
    fn end(&self) {}
}

/// The work item and what it works on.
///
/// # Invariants
///
/// `work` is initialised, and only ever queued on `worker`.
#[repr(C)]
#[pin_data]
struct Item<T: Work> {
    // First, so that a pointer to it is one to the item.
    #[pin]
    work: Opaque<bindings::kthread_work>,
    worker: NonNull<bindings::kthread_worker>,
    target: Arc<T>,
}

/// A thread of its own for a device that is implemented in software.
///
/// Unlike a workqueue it can take on the address space of a process, and it has a name that a user
/// finds in the process list. C: `struct kthread_worker`.
///
/// Dropping it waits until the work that is running has returned, and lets the thread end.
///
/// # Invariants
///
/// The thread of `item.worker` runs until this is dropped.
#[doc(alias = "kthread_cancel_work_sync")]
#[doc(alias = "kthread_destroy_worker")]
pub struct Worker<T: Work> {
    item: Pin<KBox<Item<T>>>,
}

// SAFETY: The item is only used through functions of the C side that lock for themselves, and
// `T` is `Send` and `Sync`.
unsafe impl<T: Work> Send for Worker<T> {}

// SAFETY: As above.
unsafe impl<T: Work> Sync for Worker<T> {}

impl<T: Work> Worker<T> {
    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` where the current process was killed meanwhile.
    #[doc(alias = "kthread_create_worker_on_node")]
    #[inline]
    pub fn new(name: fmt::Arguments<'_>, target: Arc<T>) -> Result<Self> {
        let name = CString::try_from_fmt(name)?;

        // SAFETY: The format takes one string, which is valid for the call.
        let worker = from_err_ptr(unsafe {
            bindings::kthread_create_worker_on_node(
                0,
                bindings::NUMA_NO_NODE,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })?;
        let worker = NonNull::new(worker).ok_or(ENOMEM)?;

        let item = KBox::pin_init(
            pin_init!(Item {
                work <- Opaque::ffi_init(|work: *mut bindings::kthread_work| {
                    let node = work.cast::<bindings::list_head>();

                    // SAFETY: `work` is valid for writes, and begins with its list node. What
                    // `kthread_init_work()` does not set may be 0.
                    unsafe {
                        work.write(pin_init::zeroed());
                        (*work).func = Some(Self::run);
                        (*node).next = node;
                        (*node).prev = node;
                    }
                }),
                worker,
                target,
            }),
            GFP_KERNEL,
        );

        // SAFETY: The worker was made just above; its thread waits to be woken for the first time.
        unsafe { bindings::wake_up_process((*worker.as_ptr()).task) };

        match item {
            // INVARIANT: The thread was started just above.
            Ok(item) => Ok(Self { item }),
            Err(err) => {
                // SAFETY: Nothing was queued on it, and nobody else knows it.
                unsafe { bindings::kthread_destroy_worker(worker.as_ptr()) };
                Err(err)
            }
        }
    }

    /// Has the work run soon. Nothing happens where that is going to happen already.
    ///
    /// # Context
    ///
    /// Any.
    #[doc(alias = "kthread_queue_work")]
    #[inline]
    pub fn queue(&self) {
        // SAFETY: By the type invariants of `Item` and `Worker`.
        unsafe { bindings::kthread_queue_work(self.item.worker.as_ptr(), self.item.work.get()) };
    }

    /// # Safety
    ///
    /// Called by the worker's thread, with the `work` of an `Item<T>`.
    unsafe extern "C" fn run(work: *mut bindings::kthread_work) {
        // SAFETY: The work is the first field of an `Item<T>`, which lives until the thread has
        // ended.
        let item = unsafe { &*work.cast::<Item<T>>() };

        if item.target.run() {
            // SAFETY: By the type invariant of `Item`. When the worker is being destroyed, what is
            // queued now still runs before that ends.
            unsafe { bindings::kthread_queue_work(item.worker.as_ptr(), work) };
        }
    }
}

impl<T: Work> Drop for Worker<T> {
    #[inline]
    fn drop(&mut self) {
        self.item.target.end();
        // SAFETY: By the type invariants. Cancelling first keeps work that queues itself again
        // from going on for ever; nobody else can queue any more.
        unsafe {
            bindings::kthread_cancel_work_sync(self.item.work.get());
            bindings::kthread_destroy_worker(self.item.worker.as_ptr());
        }
    }
}
