// SPDX-License-Identifier: GPL-2.0

//! Events between userspace and the kernel.
//!
//! An eventfd is a counter behind a file descriptor. [`EventFd`] is one that the kernel signals,
//! [`Kick`] is one that the kernel watches.
//!
//! C header: `include/linux/eventfd.h`

use crate::bindings;
use core::ptr::{
    null_mut,
    NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*,
    static_lock_class,
    sync::Arc,
    types::Opaque, //
};

// What a poll of a file reports (`include/uapi/linux/eventpoll.h`), as far as eventfds do.
const EPOLLIN: bindings::__poll_t = 0x01;
const EPOLLERR: bindings::__poll_t = 0x08;

/// What an [`EventFd`] is made of.
///
/// # Invariants
///
/// - `ctx` is a reference to an eventfd, which this owns.
/// - `work` is initialised, with [`Context::run`].
#[repr(C)]
struct Context {
    // First, so that a pointer to it is one to the whole.
    work: Opaque<bindings::work_struct>,
    ctx: NonNull<bindings::eventfd_ctx>,
}

// SAFETY: An eventfd can be signalled and put by any thread, and work be queued by any.
unsafe impl Send for Context {}

// SAFETY: As above; both have their own locks.
unsafe impl Sync for Context {}

/// An eventfd that the kernel signals, such as the "call" of a virtqueue.
///
/// It stays usable when userspace closes the file descriptor it came from.
///
/// # Context
///
/// Cloning and signalling are allowed anywhere. Dropping the last clone sleeps.
#[doc(alias = "eventfd_ctx_put")]
#[derive(Clone)]
pub struct EventFd(Arc<Context>);

impl EventFd {
    /// Takes the eventfd behind a file descriptor of the current process.
    ///
    /// # Errors
    ///
    /// - `EBADF` where `fd` is not open,
    /// - `EINVAL` where it is not an eventfd,
    /// - `ENOMEM`.
    #[doc(alias = "eventfd_ctx_fdget")]
    #[inline]
    pub fn from_fd(fd: i32) -> Result<Self> {
        // SAFETY: Any number can be asked about.
        let ctx = from_err_ptr(unsafe { bindings::eventfd_ctx_fdget(fd) })?;
        let ctx = NonNull::new(ctx).ok_or(EBADF)?;
        // Made by hand, because the destructor of a type with `#[pin_data]` is not inline.
        // INVARIANT: The reference was taken just above.
        let init = |slot: *mut Context| {
            // SAFETY: `slot` is valid for writes. `run` is called with this `work` only.
            unsafe {
                (&raw mut (*slot).ctx).write(ctx);
                bindings::init_work_with_key(
                    slot.cast(),
                    Some(Context::run),
                    false,
                    c"vdpa_eventfd".as_char_ptr(),
                    static_lock_class!().as_ptr(),
                );
            }
            Ok::<(), Error>(())
        };
        // SAFETY: All fields are initialised, and nothing relies on their place before the work is
        // queued.
        let init = unsafe { pin_init::pin_init_from_closure(init) };
        let context = Arc::pin_init(init, GFP_KERNEL).inspect_err(|_| {
            // SAFETY: The reference was taken above, and not given away.
            unsafe { bindings::eventfd_ctx_put(ctx.as_ptr()) }
        })?;

        Ok(Self(context))
    }

    /// Adds 1 to the counter, and wakes up who waits for it.
    ///
    /// From within the wake-up of an eventfd ([`KickTarget::kick`]) this does not happen at once
    /// but a little later: what is woken up may signal eventfds itself, without end. Calls until
    /// then add 1 together.
    ///
    /// # Context
    ///
    /// Any, with interrupts off too.
    #[doc(alias = "eventfd_signal_mask")]
    #[inline]
    pub fn signal(&self) {
        // SAFETY: No requirements.
        if unsafe { bindings::rust_vdpa_eventfd_signal_allowed() } {
            self.0.signal();
        } else {
            self.0.signal_later();
        }
    }

    /// The address that stands for the eventfd where kernel subsystems compare eventfds.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::eventfd_ctx {
        self.0.ctx.as_ptr()
    }
}

impl Context {
    /// Signals from a context in which that is allowed.
    #[inline]
    fn signal(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::eventfd_signal_mask(self.ctx.as_ptr(), 0) };
    }

    #[inline]
    fn signal_later(&self) {
        // SAFETY: By the type invariant; dropping `self` waits for the work.
        unsafe {
            bindings::queue_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                bindings::system_percpu_wq,
                self.work.get(),
            )
        };
    }

    /// Does what [`signal_later`](Self::signal_later) put off.
    ///
    /// # Safety
    ///
    /// `work` must be that of a `Context`.
    #[inline]
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        // SAFETY: `work` is the first field of a `Context`, which waits for the work before it goes
        // away.
        unsafe { &*work.cast::<Self>() }.signal();
    }
}

impl Drop for Context {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants. Nobody can queue the work any more; one that is queued is
        // a signal that somebody waits for.
        unsafe {
            bindings::flush_work(self.work.get());
            bindings::eventfd_ctx_put(self.ctx.as_ptr());
        }
    }
}

/// Something that is told when userspace signals an eventfd.
pub trait KickTarget: Send + Sync + 'static {
    /// Called each time that the eventfd is signalled.
    ///
    /// # Context
    ///
    /// Atomic: interrupts are off and the lock of the eventfd is held, so it must not be signalled
    /// or polled from here, and no [`Kick`] on it be made or dropped. May run in an interrupt
    /// handler. Never in two places at once for the same [`Kick`], but for the one call from
    /// within [`Kick::new`].
    fn kick(&self);
}

/// The wait queue entry and what it is for.
///
/// # Invariants
///
/// `wait` is initialised, with [`Kick::wake`].
#[repr(C)]
#[pin_data]
struct Watch<T: KickTarget> {
    // First, so that a pointer to it is one to the whole.
    #[pin]
    wait: Opaque<bindings::wait_queue_entry>,
    target: Arc<T>,
}

/// Watches an eventfd, such as the "kick" of a virtqueue, until it is dropped.
///
/// The counter is never read, so it keeps its value: an eventfd that was signalled before, even one
/// that was watched then, counts as signalled when it is watched anew. Userspace may go on to read
/// it, and may close the file descriptor: the file stays open for as long as it is watched, so that
/// there is no end of it to wait for. The same eventfd can be watched any number of times.
///
/// When this has been dropped, [`KickTarget::kick`] is not running and will not be called.
///
/// # Context
///
/// Making one sleeps. Dropping one spins for as long as the target runs.
///
/// # Invariants
///
/// - `file` is a reference to an eventfd's file, which this owns.
/// - `watch` is in the wait queue `head`, which lives as long as the file, unless that is NULL.
#[doc(alias = "remove_wait_queue")]
pub struct Kick<T: KickTarget> {
    watch: Pin<KBox<Watch<T>>>,
    head: *mut bindings::wait_queue_head,
    file: NonNull<bindings::file>,
}

// SAFETY: Wait queues have locks, files are counted, and the target can be shared.
unsafe impl<T: KickTarget> Send for Kick<T> {}

// SAFETY: Nothing can be done with a shared reference.
unsafe impl<T: KickTarget> Sync for Kick<T> {}

/// What a poll of an eventfd's file asks for: a place in its wait queue.
#[repr(C)]
struct Request {
    // First, so that a pointer to it is one to the whole.
    table: bindings::poll_table,
    wait: *mut bindings::wait_queue_entry,
    head: *mut bindings::wait_queue_head,
}

impl<T: KickTarget> Kick<T> {
    /// Watches the eventfd behind a file descriptor of the current process.
    ///
    /// If it counts as signalled, the target is called at once.
    ///
    /// # Errors
    ///
    /// - `EBADF` where `fd` is not open,
    /// - `EINVAL` where it is not an eventfd, or one whose counter has overflowed,
    /// - `ENOMEM`.
    #[doc(alias = "eventfd_fget")]
    #[doc(alias = "add_wait_queue")]
    #[inline]
    pub fn new(fd: i32, target: Arc<T>) -> Result<Self> {
        // SAFETY: Any number can be asked about.
        let file = from_err_ptr(unsafe { bindings::eventfd_fget(fd) })?;
        let file = NonNull::new(file).ok_or(EBADF)?;
        let watch = KBox::pin_init(
            pin_init!(Watch {
                wait <- Opaque::ffi_init(|wait: *mut bindings::wait_queue_entry| {
                    // SAFETY: `wait` is valid for writes.
                    unsafe {
                        wait.write(pin_init::zeroed());
                        (*wait).func = Some(Self::wake);
                    }
                }),
                target,
            }),
            GFP_KERNEL,
        )
        .inspect_err(|_| {
            // SAFETY: The reference was taken above, and not given away.
            unsafe { bindings::fput(file.as_ptr()) }
        })?;
        // INVARIANT: The reference was taken above, and the entry is in no queue.
        let mut this = Self {
            watch,
            head: null_mut(),
            file,
        };
        let events = this.start()?;

        if events & EPOLLIN != 0 {
            this.watch.target.kick();
        }
        if events & EPOLLERR != 0 {
            return Err(EINVAL);
        }
        Ok(this)
    }

    /// Queues the entry, and returns what had happened before.
    #[inline]
    fn start(&mut self) -> Result<bindings::__poll_t> {
        let mut request = Request {
            table: bindings::poll_table {
                _qproc: Some(Self::queue),
                _key: !0,
            },
            wait: self.watch.wait.get(),
            head: null_mut(),
        };
        let file = self.file.as_ptr();
        // SAFETY: By the type invariant the file is valid, and so are its operations.
        let poll = unsafe { (*(*file).f_op).poll }.ok_or(EINVAL)?;
        // SAFETY: `request` is what `queue` expects the table to be in.
        let events = unsafe { poll(file, (&raw mut request).cast()) };

        // INVARIANT: `queue` has put the entry there, or left NULL.
        self.head = request.head;
        Ok(events)
    }

    /// Called by the poll of an eventfd's file.
    ///
    /// # Safety
    ///
    /// `table` must be that of a [`Request`] with a valid entry, `head` a wait queue that stays
    /// valid for as long as the file.
    #[inline]
    unsafe extern "C" fn queue(
        _file: *mut bindings::file,
        head: *mut bindings::wait_queue_head,
        table: *mut bindings::poll_table,
    ) {
        // SAFETY: By the safety requirements of this function.
        let request = unsafe { &mut *table.cast::<Request>() };

        // An eventfd has one queue.
        if request.head.is_null() {
            request.head = head;
            // SAFETY: As above; the entry is in no queue.
            unsafe { bindings::add_wait_queue(head, request.wait) };
        }
    }

    /// Called when something happens to the eventfd, with the lock of its wait queue held.
    ///
    /// # Safety
    ///
    /// `wait` must be that of a [`Watch<T>`], `key` hold what happened.
    unsafe extern "C" fn wake(
        wait: *mut bindings::wait_queue_entry,
        _mode: c_uint,
        _flags: c_int,
        key: *mut c_void,
    ) -> c_int {
        // Truncation is intended: the flags are a number in place of the pointer.
        if key.addr() as bindings::__poll_t & EPOLLIN != 0 {
            // SAFETY: `wait` is the first field of a `Watch<T>`, which leaves the queue, with the
            // lock held, before it goes away.
            unsafe { &*wait.cast::<Watch<T>>() }.target.kick();
        }
        // Nobody was woken up: those that wait exclusively have their turn still.
        0
    }
}

impl<T: KickTarget> Drop for Kick<T> {
    #[inline]
    fn drop(&mut self) {
        if !self.head.is_null() {
            // SAFETY: By the type invariant the entry is in this queue.
            unsafe { bindings::remove_wait_queue(self.head, self.watch.wait.get()) };
        }
        // SAFETY: By the type invariant; the queue is not used any more.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}
