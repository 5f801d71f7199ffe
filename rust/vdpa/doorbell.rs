// SPDX-License-Identifier: GPL-2.0

//! Doorbells of a device in the address space of a process.
//!
//! A process that has mapped a virtqueue's doorbell tells the device of new buffers without the
//! kernel. The kernel can take that away at any time: then the process gets a `SIGBUS` when it
//! uses the mapping.
//!
//! C header: `include/linux/mm.h`

use crate::{
    bindings,
    chardev::Mappings,
    rwsem::{
        new_rwsem,
        RwSem, //
    },
    NotificationArea, //
};
use kernel::{
    mm::virt::{
        flags,
        VmaNew, //
    },
    page::PAGE_MASK,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

const PAGE_SIZE: u64 = bindings::PAGE_SIZE as u64;

/// The doorbells that are mapped through an open file.
///
/// # Invariants
///
/// No doorbell is mapped by a page table, but between the two steps of [`revoke`](Self::revoke),
/// unless `allowed` is true.
#[pin_data]
pub struct Doorbells {
    mappings: Arc<Mappings>,
    #[pin]
    allowed: RwSem<bool>,
}

impl Doorbells {
    /// Makes an object for the mappings of a file, of which no other kind must exist.
    #[inline]
    pub fn new(mappings: Arc<Mappings>) -> Result<Arc<Self>> {
        // INVARIANT: Nothing is mapped.
        Arc::pin_init(
            pin_init!(Self {
                mappings,
                allowed <- new_rwsem!(true, "vdpa_doorbells"),
            }),
            GFP_KERNEL,
        )
    }

    /// Sets up `vma` for a doorbell. To be called when the file is mapped.
    ///
    /// The page is mapped when it is used for the first time, not cached.
    ///
    /// # Errors
    ///
    /// - `EINVAL` where the mapping is not of one page, private or readable, or the doorbell does
    ///   not begin at the beginning of a page,
    /// - `EOPNOTSUPP` where the doorbell does not fill the page: something else may be in the rest,
    /// - `ENODEV` where doorbells were revoked,
    /// - `ENOMEM`.
    ///
    /// # Context
    ///
    /// With `mmap_lock` of the process held.
    #[inline]
    pub fn map(this: ArcBorrow<'_, Self>, vma: &VmaNew, area: NotificationArea) -> Result {
        let size = vma.end().checked_sub(vma.start()).ok_or(EINVAL)?;

        if size != bindings::PAGE_SIZE || vma.flags() & flags::SHARED == 0 {
            return Err(EINVAL);
        }
        if area.addr() % PAGE_SIZE != 0 {
            return Err(EINVAL);
        }
        if area.size() != PAGE_SIZE {
            return Err(EOPNOTSUPP);
        }
        if !*this.allowed.read() {
            return Err(ENODEV);
        }

        let doorbell = Arc::new(
            Doorbell {
                all: this.into(),
                pfn: usize::try_from(area.addr() / PAGE_SIZE)?,
            },
            GFP_KERNEL,
        )?;

        // What is read from a doorbell means nothing, or has effects.
        vma.try_clear_mayread()?;
        vma.set_io();
        vma.set_dontexpand();
        vma.set_dontdump();

        let raw = vma.as_ptr();
        // SAFETY: The area is being set up, and nobody else has it. It is shared, so that there
        // will be no copies of pages that do not exist. By the invariant of `NotificationArea` the
        // process gets registers of a device, all of the page.
        unsafe {
            (*raw).__bindgen_anon_2.vm_flags |= flags::PFNMAP;
            bindings::rust_vdpa_vma_set_noncached(raw);
            (*raw).vm_private_data = Arc::into_raw(doorbell).cast_mut().cast();
            (*raw).vm_ops = &Doorbell::VM_OPS;
        }
        Ok(())
    }

    /// Takes away all doorbells, for good. When this returns no process reaches one any more.
    ///
    /// # Context
    ///
    /// Sleeps, but not for the processes.
    #[inline]
    pub fn revoke(&self) {
        // INVARIANT: Whatever was mapped before this is found by what comes next.
        *self.allowed.write() = false;
        self.mappings.zap();
    }
}

/// A doorbell, as the private data of an area of a process's memory.
struct Doorbell {
    all: Arc<Doorbells>,
    pfn: usize,
}

impl Doorbell {
    const VM_OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        fault: Some(Self::fault),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `vma` must be an area with these operations.
    #[inline]
    unsafe fn of(vma: *mut bindings::vm_area_struct) -> *const Self {
        // SAFETY: By the safety requirements of this function.
        unsafe { (*vma).vm_private_data }.cast_const().cast()
    }

    /// A second area was made, which is like the first one.
    ///
    /// # Safety
    ///
    /// `vma` must be an area with these operations, with a copy of another one's private data.
    #[inline]
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: The private data is a reference, which the other area has.
        let first = core::mem::ManuallyDrop::new(unsafe { Arc::from_raw(Self::of(vma)) });

        core::mem::forget(Arc::clone(&first));
    }

    /// An area goes away.
    ///
    /// # Safety
    ///
    /// `vma` must be an area with these operations, whose private data is not used any more.
    #[inline]
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: The private data is a reference that this area has.
        drop(unsafe { Arc::from_raw(Self::of(vma)) });
    }

    /// A page is used that is not there.
    ///
    /// # Safety
    ///
    /// `vmf` must be for an area with these operations.
    #[inline]
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: By the safety requirements of this function.
        let fault = unsafe { &(*vmf).__bindgen_anon_1 };
        let (vma, address) = (fault.vma, fault.address);
        // SAFETY: The area has a reference to its private data.
        let this = unsafe { &*Self::of(vma) };
        // Held until the page is there, so that `revoke` finds it.
        let allowed = this.all.allowed.read();

        if !*allowed {
            return bindings::vm_fault_reason_VM_FAULT_SIGBUS;
        }
        // SAFETY: The area is one of page frame numbers, and the address in it.
        unsafe { bindings::vmf_insert_pfn(vma, address & PAGE_MASK, this.pfn) }
    }
}
