// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate does not tell of an area of memory that is being set up.

use kernel::mm::virt::VmaNew;

/// Returns where in the file a mapping begins, in pages: the offset that `mmap(2)` was given.
#[inline]
pub fn page_offset(vma: &VmaNew) -> usize {
    // SAFETY: The area is valid, and does not change while it is borrowed.
    unsafe { (*vma.as_ptr()).vm_pgoff }
}
