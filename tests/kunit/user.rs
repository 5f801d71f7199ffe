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
/// `MAP_PRIVATE | MAP_ANONYMOUS`.
const FLAGS: usize = 0x02 | 0x20;

/// Pages in the address space of the current test, which has one from then on.
pub(crate) struct UserMemory {
    addr: usize,
    pages: usize,
}

impl UserMemory {
    /// Maps `pages` pages. The page behind them is not mapped.
    pub(crate) fn new(pages: usize) -> Result<Self> {
        // SAFETY: No requirements. The mapping goes with the address space, when the test ends.
        let addr = unsafe {
            let test = bindings::kunit_get_current_test();

            if test.is_null() {
                return Err(EINVAL);
            }
            bindings::kunit_vm_mmap(test, null_mut(), 0, (pages + 1) * PAGE_SIZE, PROT, FLAGS, 0)
        };
        let errors = (-(bindings::MAX_ERRNO as isize)) as usize;

        if addr == 0 || addr >= errors {
            return Err(ENOMEM);
        }
        // SAFETY: No requirements.
        unsafe { bindings::vm_munmap(addr + pages * PAGE_SIZE, PAGE_SIZE) };
        Ok(Self { addr, pages })
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

/// How many pages are counted as pinned by the current process.
pub(crate) fn pinned() -> Result<i64> {
    let task = current!();
    let mm = task.mm().ok_or(EINVAL)?;

    // SAFETY: The address space is that of the current process; a number that others may change is
    // read as such.
    Ok(unsafe { (&raw const (*mm.as_raw()).__bindgen_anon_1.pinned_vm.counter).read_volatile() })
}
