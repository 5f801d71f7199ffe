// SPDX-License-Identifier: GPL-2.0

//! Memory of a process: the one that a test runs in.

use core::ptr::null_mut;
use kernel::{
    current,
    page::PAGE_SIZE,
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};
use vdpa::bindings;

/// `PROT_READ | PROT_WRITE` (`uapi/asm-generic/mman-common.h`).
const PROT: usize = 1 | 2;
const MAP_SHARED: usize = 0x01;
const MAP_PRIVATE: usize = 0x02;
const MAP_FIXED: usize = 0x10;
const MAP_ANONYMOUS: usize = 0x20;

/// Pages in the address space of the current test, which has one from then on.
pub(crate) struct UserMemory {
    addr: usize,
    pages: usize,
}

impl UserMemory {
    /// Maps `pages` pages. The page behind them is not mapped.
    pub(crate) fn new(pages: usize) -> Result<Self> {
        Self::with_flags(pages, MAP_PRIVATE | MAP_ANONYMOUS)
    }

    /// The same, with pages that are those of a file.
    pub(crate) fn shared(pages: usize) -> Result<Self> {
        Self::with_flags(pages, MAP_SHARED | MAP_ANONYMOUS)
    }

    fn with_flags(pages: usize, flags: usize) -> Result<Self> {
        let addr = mmap(0, pages + 1, flags)?;

        // SAFETY: No requirements.
        unsafe { bindings::vm_munmap(addr + pages * PAGE_SIZE, PAGE_SIZE) };
        Ok(Self { addr, pages })
    }

    /// Puts a private page in the place of one.
    pub(crate) fn make_private(&self, page: usize) -> Result {
        let addr = self.addr + page * PAGE_SIZE;

        mmap(addr, 1, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED).map(|_| ())
    }

    /// Returns how many references there are to the file that the first page is of.
    pub(crate) fn file_references(&self) -> Result<i64> {
        let task = current!();
        let guard = task.mm().ok_or(EINVAL)?.mmap_read_lock();
        let area = guard.vma_lookup(self.addr).ok_or(EINVAL)?;

        // SAFETY: The area does not change while there is a reference, and neither does its file,
        // if there is one, go away. A number that others may change is read as such.
        unsafe {
            let file = (*area.as_ptr()).vm_file;

            if file.is_null() {
                return Err(EINVAL);
            }
            // It begins with 0 for the first one.
            Ok((&raw const (*file).f_ref.refcnt.counter).read_volatile() + 1)
        }
    }

    /// The first address.
    pub(crate) fn addr(&self) -> usize {
        self.addr
    }

    /// The first address that is not mapped.
    pub(crate) fn end(&self) -> usize {
        self.addr + self.pages * PAGE_SIZE
    }

    /// Writes a value at an address.
    pub(crate) fn put<T: AsBytes>(&self, addr: usize, value: &T) -> Result {
        UserSlice::new(UserPtr::from_addr(addr), size_of::<T>())
            .writer()
            .write(value)
    }

    /// Reads a value at an address.
    pub(crate) fn get<T: FromBytes>(&self, addr: usize) -> Result<T> {
        UserSlice::new(UserPtr::from_addr(addr), size_of::<T>())
            .reader()
            .read()
    }
}

/// Maps pages, at an address if it is fixed. They go with the address space, when the test ends.
fn mmap(addr: usize, pages: usize, flags: usize) -> Result<usize> {
    // SAFETY: No requirements.
    let addr = unsafe {
        let test = bindings::kunit_get_current_test();

        if test.is_null() {
            return Err(EINVAL);
        }
        bindings::kunit_vm_mmap(test, null_mut(), addr, pages * PAGE_SIZE, PROT, flags, 0)
    };
    let errors = (-(bindings::MAX_ERRNO as isize)) as usize;

    if addr == 0 || addr >= errors {
        return Err(ENOMEM);
    }
    Ok(addr)
}

/// How many pages are counted as pinned by the current process.
pub(crate) fn pinned() -> Result<i64> {
    let task = current!();
    let mm = task.mm().ok_or(EINVAL)?;

    // SAFETY: The address space is that of the current process; a number that others may change is
    // read as such.
    Ok(unsafe { (&raw const (*mm.as_raw()).__bindgen_anon_1.pinned_vm.counter).read_volatile() })
}
