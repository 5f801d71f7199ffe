// SPDX-License-Identifier: GPL-2.0

//! Memory of a process for a device that has another process map it, as its parent sees it.

use crate::{
    bindings,
    iotlb,
    Iotlb,
    IovaRange,
    MapRange,
    Permission, //
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};

/// Part of a file: the memory behind a mapping.
///
/// Whoever maps that part of the file, shared, has the same memory. This holds a reference to the
/// file, of its own, so that it can be kept for as long as the mapping is.
///
/// C: `struct vdpa_map_file`
#[derive(Clone)]
pub struct FileArea {
    file: ARef<File>,
    offset: u64,
    len: u64,
}

impl FileArea {
    /// Takes a reference to what a consumer names.
    ///
    /// # Safety
    ///
    /// `raw` must be valid, with a file that there is a reference to during the call, and that is
    /// mapped in a process.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<bindings::vdpa_map_file>, len: u64) -> Self {
        // SAFETY: By the safety requirements of this function.
        let (file, offset) = unsafe { ((*raw.as_ptr()).file, (*raw.as_ptr()).offset) };

        Self {
            // SAFETY: As above. What uses the position of a file without a lock has its only
            // reference; this one has another, that of its mapping.
            file: unsafe { File::from_raw_file(file) }.into(),
            offset,
            len,
        }
    }

    /// Returns the file. A process to which the device hands it can map it from there.
    #[inline]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns where in the file the memory begins, in bytes.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the size of the memory in bytes. The file may be shorter.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "no mapping is empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Where in the file `len` bytes from byte `at` of the memory on are.
    #[inline]
    fn position(&self, at: u64, len: usize) -> Result<i64> {
        at.checked_add(len as u64)
            .filter(|end| *end <= self.len)
            .and_then(|_| self.offset.checked_add(at))
            .and_then(|pos| i64::try_from(pos).ok())
            .ok_or(EFAULT)
    }

    /// Reads from byte `at` of the memory on.
    ///
    /// # Errors
    ///
    /// `EFAULT` beyond the end of the memory, or of the file; `EBADF` where the process that mapped
    /// the file may not read it; what the file system has to say.
    ///
    /// # Context
    ///
    /// Sleeps; not within the operations that mappings come by: those may be called with
    /// `mmap_lock` held, which file systems take after locks of their own.
    #[inline]
    pub fn read(&self, at: u64, buf: &mut [u8]) -> Result {
        let pos = self.position(at, buf.len())?;
        let buf_ptr = buf.as_mut_ptr().cast();

        // SAFETY: There is a reference to the file, and the buffer is valid for writes.
        to_result(unsafe {
            bindings::rust_vdpa_file_read(self.file.as_ptr(), pos, buf_ptr, buf.len())
        })
    }

    /// Writes from byte `at` of the memory on. Errors and context are those of
    /// [`read`](Self::read), for writing.
    #[inline]
    pub fn write(&self, at: u64, buf: &[u8]) -> Result {
        let pos = self.position(at, buf.len())?;
        let buf_ptr = buf.as_ptr().cast();

        // SAFETY: There is a reference to the file, and the buffer is valid for reads.
        to_result(unsafe {
            bindings::rust_vdpa_file_write(self.file.as_ptr(), pos, buf_ptr, buf.len())
        })
    }
}

/// One mapping for a device that has another process map the memory: bus addresses, and the memory
/// behind them.
///
/// The addresses that the memory has in the process which it comes from are of no use to any other,
/// and so are not told.
#[derive(Clone)]
pub struct FileRange {
    /// The bus addresses, both ends included.
    pub iova: IovaRange,
    /// What the device may do with the memory.
    pub perm: Permission,
    /// The memory.
    pub area: FileArea,
}

/// All mappings of an address space of such a device.
///
/// # Invariants
///
/// Each mapping has a valid `struct vdpa_map_file`, while this is borrowed.
#[repr(transparent)]
pub struct FileIotlb(Iotlb);

impl FileIotlb {
    /// Wraps a table.
    ///
    /// # Safety
    ///
    /// Pointers that belong to mappings must be to a valid `struct vdpa_map_file`, whose file is as
    /// [`FileArea::from_raw`] demands, for as long as `map` is borrowed.
    #[inline]
    pub(crate) unsafe fn new(map: &Iotlb) -> &Self {
        // CAST: `FileIotlb` is a transparent wrapper.
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: It has the same layout.
        unsafe { &*core::ptr::from_ref(map).cast() }
    }

    /// The number of mappings.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no mappings.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Goes through the mappings in the order of their bus addresses.
    #[inline]
    pub fn iter(&self) -> FileIter<'_> {
        // INVARIANT: It is that of `self`.
        FileIter(self.0.iter())
    }
}

impl<'a> IntoIterator for &'a FileIotlb {
    type Item = FileRange;
    type IntoIter = FileIter<'a>;

    #[inline]
    fn into_iter(self) -> FileIter<'a> {
        self.iter()
    }
}

/// See [`FileIotlb::iter`].
///
/// # Invariants
///
/// The table is that of a [`FileIotlb`].
pub struct FileIter<'a>(iotlb::Iter<'a>);

impl Iterator for FileIter<'_> {
    type Item = FileRange;

    #[inline]
    fn next(&mut self) -> Option<FileRange> {
        let (map, opaque) = self.0.next_with_opaque()?;
        let MapRange { iova, perm, .. } = map;
        let file = NonNull::new(opaque.cast())?;

        Some(FileRange {
            iova,
            perm,
            // SAFETY: By the type invariant, and that of `FileIotlb`.
            area: unsafe { FileArea::from_raw(file, iova.size()) },
        })
    }
}
