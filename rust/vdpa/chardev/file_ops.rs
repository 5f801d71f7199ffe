// SPDX-License-Identifier: GPL-2.0

//! The C table of file operations.

use super::{
    device::Node,
    File,
    Mappings, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    fs,
    iov::IovIterSource,
    mm::virt::VmaNew,
    module::this_module,
    prelude::*,
    sync::{
        poll::PollTable,
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable, //
};

/// What the private data of an open file points to.
struct Private<T: File> {
    file: Arc<T>,
    mappings: Arc<Mappings>,
}

/// Operations on files whose private data is a [`Private<T>`].
pub(super) struct FileOps<T: File>(PhantomData<T>);

impl<T: File> FileOps<T> {
    const VTABLE: bindings::file_operations = bindings::file_operations {
        owner: this_module::<T::OwnerModule>().as_ptr(),
        open: Some(Self::open),
        release: Some(Self::release),
        unlocked_ioctl: if T::HAS_IOCTL {
            Some(Self::ioctl)
        } else {
            None
        },
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: if T::HAS_IOCTL {
            bindings::compat_ptr_ioctl
        } else {
            None
        },
        write_iter: if T::HAS_WRITE_ITER {
            Some(Self::write_iter)
        } else {
            None
        },
        poll: if T::HAS_POLL { Some(Self::poll) } else { None },
        mmap: if T::HAS_MMAP { Some(Self::mmap) } else { None },
        ..pin_init::zeroed()
    };

    /// Returns the table.
    #[inline]
    pub(super) const fn build() -> &'static bindings::file_operations {
        &Self::VTABLE
    }

    /// Returns the Rust side of an open file.
    ///
    /// # Safety
    ///
    /// `file` must be a file with this table, which is open, and stays so for `'a`.
    #[inline]
    unsafe fn get<'a>(file: *mut bindings::file) -> ArcBorrow<'a, T> {
        // SAFETY: `open` has put it there, and `release` has not been called.
        let private = unsafe { KBox::<Private<T>>::borrow((*file).private_data) };

        private.file.as_arc_borrow()
    }

    /// # Safety
    ///
    /// `inode` must be that of a character device made from a [`Node<T>`], `file` be one that is
    /// being opened.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        from_result(|| {
            // SAFETY: Whoever opens a character device has a reference to it.
            let node = unsafe { Node::<T>::from_cdev((*inode).__bindgen_anon_5.i_cdev) };
            let raw = NonNull::new(file).ok_or(EINVAL)?;
            // SAFETY: The file stays valid until it was released. If it is not opened in the end,
            // it is closed here.
            let mappings = unsafe { Mappings::new(raw) }?;
            let private = KBox::<Private<T>>::new_uninit(GFP_KERNEL)?;
            // SAFETY: The file is valid, and its position is not used.
            let opened = unsafe { fs::File::from_raw_file(file) };
            let opened = T::open(node.data.as_arc_borrow(), opened, mappings.clone())
                .inspect_err(|_| mappings.close())?;
            let private = private.write(Private {
                file: opened,
                mappings,
            });

            // SAFETY: A file that is being opened is ours to write.
            unsafe { (*file).private_data = private.into_foreign() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `file` must have been opened with [`open`](Self::open), and not be used any more.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` has put it there; nobody borrows it any more.
        let private = unsafe { KBox::<Private<T>>::from_foreign((*file).private_data) };
        let Private { file, mappings } = KBox::into_inner(private);

        mappings.close();
        T::release(file);
        0
    }

    /// # Safety
    ///
    /// `file` must be open, with this table.
    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: By the safety requirements of this function.
        let this = unsafe { Self::get(file) };

        from_result(|| Ok(T::ioctl(this, cmd, arg)? as c_long))
    }

    /// # Safety
    ///
    /// `kiocb` must be for a file that is open, with this table, `iter` be valid for reading.
    unsafe extern "C" fn write_iter(
        kiocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: By the safety requirements of this function.
        let this = unsafe { Self::get((*kiocb).ki_filp) };
        // SAFETY: As above.
        let from = unsafe { IovIterSource::from_raw(iter) };

        from_result(|| Ok(isize::try_from(T::write_iter(this, from)?)?))
    }

    /// # Safety
    ///
    /// `file` must be open, with this table, `table` be NULL or valid.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: By the safety requirements of this function.
        let this = unsafe { Self::get(file) };
        // SAFETY: As above; the position of the file is not used.
        let file = unsafe { fs::File::from_raw_file(file) };
        // SAFETY: As above.
        let table = unsafe { PollTable::from_raw(table) };

        T::poll(this, file, table)
    }

    /// # Safety
    ///
    /// `file` must be open, with this table, `vma` be an area that is being set up for it.
    unsafe extern "C" fn mmap(
        file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: By the safety requirements of this function.
        let this = unsafe { Self::get(file) };
        // SAFETY: As above.
        let vma = unsafe { VmaNew::from_raw(vma) };

        from_result(|| T::mmap(this, vma).map(|()| 0))
    }
}
