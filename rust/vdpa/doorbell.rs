// SPDX-License-Identifier: GPL-2.0

//! Doorbells of a device in the address space of a process.
//!
//! A process that has mapped a virtqueue's doorbell tells the device of new buffers without the
//! kernel. The kernel can take that away at any time: then the process gets a `SIGBUS` when it
//! uses the mapping.
//!
//! Where doorbells are is for the parent to say, and not the same at all times: some have none
//! before FEATURES_OK, others only for the virtqueues that features are about, and a reset may move
//! them. So what a process has mapped is the doorbell of a virtqueue, wherever it is when it is
//! used.
//!
//! C header: `include/linux/mm.h`

use crate::{
    bindings,
    chardev::Mappings,
    rwsem::{
        new_rwsem,
        RwSem, //
    },
    Device,
    NotificationArea,
    VqIndex, //
};
use kernel::{
    alloc::KVVec,
    device::Bound,
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

/// Where the doorbells of a device are.
struct Places {
    /// By the number of the virtqueue, as the parent has named them the last time.
    areas: KVVec<NotificationArea>,
    /// The device has its features, and was not reset since.
    live: bool,
    /// The device is gone.
    revoked: bool,
}

impl Places {
    /// Returns the page in which a doorbell is, if it is there at this time.
    #[inline]
    fn page(&self, index: usize) -> Option<usize> {
        if !self.live || self.revoked {
            return None;
        }

        let area = self.areas.get(index)?;

        check_place(*area).ok()?;
        // What is at address 0 is no doorbell: the parent does not know yet where it is.
        usize::try_from(area.addr() / PAGE_SIZE)
            .ok()
            .filter(|&page| page != 0)
    }
}

/// Checks that a doorbell is all of a page.
#[inline]
fn check_place(area: NotificationArea) -> Result {
    if area.addr() % PAGE_SIZE != 0 {
        return Err(EINVAL);
    }
    if area.size() != PAGE_SIZE {
        return Err(EOPNOTSUPP);
    }
    Ok(())
}

/// The doorbells that are mapped through an open file.
///
/// # Invariants
///
/// Page tables map no page but those of `Places::page`; between the two steps of
/// [`withdraw`](Self::withdraw) and [`revoke`](Self::revoke), and of [`update`](Self::update), those
/// of before as well.
#[pin_data]
pub struct Doorbells {
    mappings: Arc<Mappings>,
    #[pin]
    places: RwSem<Places>,
}

impl Doorbells {
    /// Makes an object for the mappings of a file, of which no other kind must exist. There are no
    /// doorbells before the first [`update`](Self::update).
    #[inline]
    pub fn new(mappings: Arc<Mappings>) -> Result<Arc<Self>> {
        let places = Places {
            areas: KVVec::new(),
            live: false,
            revoked: false,
        };

        // INVARIANT: Nothing is mapped.
        Arc::pin_init(
            pin_init!(Self {
                mappings,
                places <- new_rwsem!(places, "vdpa_doorbells"),
            }),
            GFP_KERNEL,
        )
    }

    /// Asks the device where its doorbells are: to be called after all that may change it, which is
    /// the status, the features, and a reset. `live` says whether the device has its features, and
    /// so doorbells that can be used.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; there are no doorbells then.
    ///
    /// # Context
    ///
    /// Sleeps, but not for the processes. `mmap_lock` must not be held: the device may wait for it.
    #[inline]
    pub fn update(&self, dev: &Device<Bound>, live: bool) -> Result {
        let areas = ask(dev).inspect_err(|_| self.withdraw())?;
        let mut places = self.places.write();
        let same = places.live == live && *places.areas == *areas;
        let old = core::mem::replace(&mut places.areas, areas);

        places.live = live;
        drop(places);
        drop(old);
        if !same {
            // INVARIANT: Whatever was mapped before is found by this.
            self.mappings.zap();
        }
        Ok(())
    }

    /// Takes away all doorbells, until the next [`update`](Self::update). When this returns no
    /// process reaches one: to be called before a reset.
    ///
    /// # Context
    ///
    /// As for [`update`](Self::update).
    #[inline]
    pub fn withdraw(&self) {
        // INVARIANT: Whatever was mapped before this is found by what comes next.
        self.places.write().live = false;
        self.mappings.zap();
    }

    /// Sets up `vma` for the doorbell of the virtqueue with the number `index`. To be called when
    /// the file is mapped.
    ///
    /// The page is mapped when it is used for the first time, not cached. Where the parent has one
    /// whose place it does not know before FEATURES_OK, it can be mapped before.
    ///
    /// # Errors
    ///
    /// - `EINVAL` where the mapping is not of one page, or private, the device does not have the
    ///   virtqueue, or the doorbell does not begin at the beginning of a page,
    /// - `EOPNOTSUPP` where there is no doorbell, or it does not fill the page: something else may
    ///   be in the rest,
    /// - `ENODEV` where doorbells were revoked,
    /// - `ENOMEM`.
    ///
    /// # Context
    ///
    /// With `mmap_lock` of the process held.
    #[doc(alias = "vmf_insert_pfn")]
    #[inline]
    pub fn map(this: ArcBorrow<'_, Self>, vma: &VmaNew, index: u32) -> Result {
        let size = vma.end().checked_sub(vma.start()).ok_or(EINVAL)?;

        if size != bindings::PAGE_SIZE || vma.flags() & flags::SHARED == 0 {
            return Err(EINVAL);
        }

        let index = this.check(index)?;
        let doorbell = Arc::new(
            Doorbell {
                all: this.into(),
                index,
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

    /// Returns the index of a doorbell that can be mapped.
    #[inline]
    fn check(&self, index: u32) -> Result<usize> {
        let places = self.places.read();

        if places.revoked {
            return Err(ENODEV);
        }

        let index = VqIndex::new(index, u32::try_from(places.areas.len())?).ok_or(EINVAL)?;
        let index = usize::from(index);

        check_place(*places.areas.get(index).ok_or(EINVAL)?)?;
        if places.live && places.page(index).is_none() {
            return Err(EOPNOTSUPP);
        }
        Ok(index)
    }

    /// Takes away all doorbells, for good. When this returns no process reaches one any more.
    ///
    /// # Context
    ///
    /// Sleeps, but not for the processes.
    #[inline]
    pub fn revoke(&self) {
        // INVARIANT: Whatever was mapped before this is found by what comes next.
        self.places.write().revoked = true;
        self.mappings.zap();
    }
}

/// Asks where the doorbells of all virtqueues are.
#[inline]
fn ask(dev: &Device<Bound>) -> Result<KVVec<NotificationArea>> {
    let nvqs = dev.nvqs();
    let mut areas = KVVec::with_capacity(usize::try_from(nvqs)?, GFP_KERNEL)?;

    for index in 0..nvqs {
        let area = dev.vq(index).and_then(|vq| vq.notification());

        areas.push_within_capacity(area.unwrap_or(NotificationArea::NONE))?;
    }
    Ok(areas)
}

/// A doorbell, as the private data of an area of a process's memory.
struct Doorbell {
    all: Arc<Doorbells>,
    /// The number of the virtqueue.
    index: usize,
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
        // Held until the page is there, so that who takes it away finds it.
        let places = this.all.places.read();

        match places.page(this.index) {
            // SAFETY: The area is one of page frame numbers, and the address in it.
            Some(pfn) => unsafe { bindings::vmf_insert_pfn(vma, address & PAGE_MASK, pfn) },
            None => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
        }
    }
}
