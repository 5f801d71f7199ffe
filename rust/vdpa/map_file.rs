// SPDX-License-Identifier: GPL-2.0

//! Memory of a process for devices that use its virtual addresses.

use crate::{
    bindings,
    Source, //
};
use core::ptr::NonNull;
use kernel::{
    current,
    mm::virt::{
        flags,
        VmaRef, //
    },
    prelude::*, //
};

/// What a parent is told of the memory behind virtual addresses of a process: which file it is, and
/// where in the file it begins.
///
/// C: `struct vdpa_map_file`
///
/// # Invariants
///
/// The file is a reference, which this owns.
pub struct MapFile(KBox<bindings::vdpa_map_file>);

// SAFETY: References to files can be dropped by any thread.
unsafe impl Send for MapFile {}

impl MapFile {
    /// Takes a reference to a file.
    ///
    /// # Safety
    ///
    /// There must be a reference to the file already, during the call.
    #[inline]
    unsafe fn new(file: NonNull<bindings::file>, offset: u64) -> Result<Self> {
        let this = KBox::new_uninit(GFP_KERNEL_ACCOUNT)?;

        // INVARIANT: The reference is taken just here.
        Ok(Self(this.write(bindings::vdpa_map_file {
            // SAFETY: By the safety requirements of this function.
            file: unsafe { bindings::get_file(file.as_ptr()) },
            offset,
        })))
    }

    /// Returns the C object.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::vdpa_map_file {
        core::ptr::from_ref(&*self.0).cast_mut()
    }

    /// Leaves the C object where it is, with the file.
    #[inline]
    pub(crate) fn leak(self) {
        core::mem::forget(self);
    }

    /// Takes over what was left with [`leak`](Self::leak).
    ///
    /// # Safety
    ///
    /// `raw` must be the C object of a leaked `MapFile`, and not have been taken over since.
    #[inline]
    pub(crate) unsafe fn from_leaked(raw: NonNull<bindings::vdpa_map_file>) -> Self {
        // INVARIANT: By that of the leaked object.
        // SAFETY: By the safety requirements of this function.
        Self(unsafe { KBox::from_raw(raw.as_ptr()) })
    }
}

impl Drop for MapFile {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::fput(self.0.file) };
    }
}

/// The memory behind the first bytes of a range of addresses.
pub struct Segment {
    /// For how many bytes it holds.
    pub size: u64,
    /// What the parent is told. [`None`] where it need not be told of files, and where the memory
    /// is of no use to it.
    pub file: Option<MapFile>,
}

/// Finds what is at the address `uaddr` of the current process. No more than `size` bytes are of
/// interest.
///
/// A device that accesses the memory in the place of the process ([`Source::Process`]) can use all
/// of it, but for that of devices. Others have nothing but the files ([`Source::Files`]), so that
/// memory which is not shared is of no use to them, and neither is that of devices.
///
/// # Errors
///
/// - `EFAULT` where there is no memory; for [`Source::Process`], where it is that of a device; for
///   [`Source::Files`], where the file is of no file system: what such a file consists of is up to
///   who made it, and may be the very memory that is mapped through the device,
/// - `EINVAL` where `size` is 0, and for [`Source::Pinned`],
/// - `ENOMEM`.
///
/// # Context
///
/// Takes `mmap_lock`.
#[inline]
pub fn segment(uaddr: u64, size: u64, source: Source) -> Result<Segment> {
    if size == 0 {
        return Err(EINVAL);
    }

    let uaddr = usize::try_from(uaddr).map_err(|_| EFAULT)?;
    let task = current!();
    let mm = task.mm().ok_or(EFAULT)?;
    let guard = mm.mmap_read_lock();
    let vma = guard.vma_lookup(uaddr).ok_or(EFAULT)?;
    let size = size.min(vma.end().checked_sub(uaddr).ok_or(EFAULT)? as u64);
    let of_device = vma.flags() & (flags::IO | flags::PFNMAP) != 0;

    let file = match (source, of_device) {
        (Source::Pinned, _) => return Err(EINVAL),
        (Source::Process, true) => return Err(EFAULT),
        (Source::Process, false) | (Source::Files, true) => None,
        (Source::Files, false) => match shared_file(vma, uaddr) {
            // SAFETY: As below.
            Some((file, _)) if unsafe { bindings::rust_vdpa_file_is_anonymous(file.as_ptr()) } => {
                return Err(EFAULT)
            }
            // SAFETY: The area has a reference, and does not change while it is locked.
            Some((file, offset)) => Some(unsafe { MapFile::new(file, offset) }?),
            None => None,
        },
    };
    Ok(Segment { size, file })
}

/// Returns the file that is mapped at an address so that changes go to it, and the offset.
#[inline]
fn shared_file(vma: &VmaRef, uaddr: usize) -> Option<(NonNull<bindings::file>, u64)> {
    if vma.flags() & flags::SHARED == 0 {
        return None;
    }
    // SAFETY: The area does not change while there is a reference.
    let (file, first) = unsafe { ((*vma.as_ptr()).vm_file, (*vma.as_ptr()).vm_pgoff) };
    let offset = (first as u64)
        .checked_mul(bindings::PAGE_SIZE as u64)?
        .checked_add(uaddr.checked_sub(vma.start())? as u64)?;

    NonNull::new(file).map(|file| (file, offset))
}
