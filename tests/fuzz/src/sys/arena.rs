// SPDX-License-Identifier: GPL-2.0

//! Memory that comes, goes and changes its kind while a device uses it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use checks::syscall::{checked, mapped};
use vhost_client::sys::memory_file;

/// The size of a piece in bytes: that of a huge page.
pub const PIECE: usize = 2 << 20;

/// How many pieces there are.
pub const PIECES: usize = 8;

const SIZE: usize = PIECES * PIECE;

/// Far below where the kernel puts what it is not told to put anywhere. Behind each arena nothing
/// is for a long way, so that no mapping that begins in one reaches memory that is in use.
const FIRST: u64 = 0x1000_0000_0000;
const DISTANCE: u64 = 1 << 36;

/// What a piece is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Nothing: an access fails.
    Hole,
    /// Memory that must not be accessed.
    Forbidden,
    /// Memory of this process.
    Anonymous,
    /// The same, in a huge page where there is one.
    Huge,
    /// The same, that can only be read.
    ReadOnly,
    /// A file in memory that others could map, too.
    File,
    /// The same, of which this process has its own copy.
    PrivateFile,
    /// The same as `File`, of huge pages that were set aside.
    HugeFile,
    /// The same as `File`, but the file is shorter than the piece.
    ShortFile,
}

impl Piece {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Hole,
        Self::Forbidden,
        Self::Anonymous,
        Self::Huge,
        Self::ReadOnly,
        Self::File,
        Self::PrivateFile,
        Self::HugeFile,
        Self::ShortFile,
    ];

    fn file(self) -> io::Result<Option<File>> {
        Ok(match self {
            Self::File | Self::PrivateFile => Some(memory_file(PIECE as u64, false)?),
            Self::ShortFile => Some(memory_file(PIECE as u64 / 4, false)?),
            Self::HugeFile => Some(memory_file(PIECE as u64, true)?),
            _ => None,
        })
    }
}

/// A range of addresses in which memory is put.
///
/// # Invariants
///
/// The [`SIZE`] bytes from `base` belong to this object. No reference is to any of them: this
/// process accesses them by system calls only, which fail where there is nothing.
pub struct Arena {
    base: u64,
    files: [Option<File>; PIECES],
    access: File,
}

impl Arena {
    /// The address of arena `number`.
    pub const fn address(number: usize) -> u64 {
        FIRST + number as u64 * DISTANCE
    }

    /// Takes the addresses of arena `number`, with holes only.
    pub fn new(number: usize) -> io::Result<Self> {
        let base = Self::address(number);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;

        // SAFETY: It is only mapped where nothing is.
        mapped(unsafe { libc::mmap(base as *mut _, SIZE, libc::PROT_NONE, flags, -1, 0) })?;
        // INVARIANT: This was mapped just now, and nobody has been told of it.
        Ok(Self {
            base,
            files: Default::default(),
            access: File::options()
                .read(true)
                .write(true)
                .open("/proc/self/mem")?,
        })
    }

    fn at(&self, piece: usize) -> *mut libc::c_void {
        (self.base + (piece % PIECES * PIECE) as u64) as *mut _
    }

    /// Puts something new where a piece is.
    pub fn put(&mut self, piece: usize, kind: Piece) -> io::Result<()> {
        let address = self.at(piece);
        let file = kind.file()?;
        let protection = match kind {
            Piece::Hole => {
                // SAFETY: By the type invariants, this is nobody else's.
                checked(unsafe { libc::munmap(address, PIECE) })?;
                self.files[piece % PIECES] = None;
                return Ok(());
            }
            Piece::Forbidden => libc::PROT_NONE,
            Piece::ReadOnly => libc::PROT_READ,
            _ => libc::PROT_READ | libc::PROT_WRITE,
        };
        let sharing = match (kind, &file) {
            (Piece::PrivateFile, _) => libc::MAP_PRIVATE,
            (_, Some(_)) => libc::MAP_SHARED,
            (_, None) => libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        };
        let fd = file.as_ref().map_or(-1, AsRawFd::as_raw_fd);

        // SAFETY: By the type invariants, what it takes the place of is nobody else's.
        mapped(unsafe {
            libc::mmap(address, PIECE, protection, sharing | libc::MAP_FIXED, fd, 0)
        })?;
        self.files[piece % PIECES] = file;
        if kind == Piece::Huge {
            self.advise(piece, libc::MADV_HUGEPAGE)?;
        }
        Ok(())
    }

    /// Gives advice (`MADV_*`) about a piece.
    pub fn advise(&self, piece: usize, advice: i32) -> io::Result<()> {
        // SAFETY: By the type invariants; whatever becomes of the contents is sound.
        checked(unsafe { libc::madvise(self.at(piece), PIECE, advice) })?;
        Ok(())
    }

    /// Changes what a piece may be accessed for (`PROT_*`).
    pub fn protect(&self, piece: usize, protection: i32) -> io::Result<()> {
        // SAFETY: By the type invariants; accesses that fail are sound.
        checked(unsafe { libc::mprotect(self.at(piece), PIECE, protection) })?;
        Ok(())
    }

    /// Changes the length of the file that a piece is made of, if it is of one.
    pub fn truncate(&self, piece: usize, len: u64) -> io::Result<()> {
        match &self.files[piece % PIECES] {
            Some(file) => file.set_len(len),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Writes bytes, if there is memory for all of them.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset + bytes.len() as u64 > SIZE as u64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.access.write_all_at(bytes, self.base + offset)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this is nobody else's.
        unsafe { libc::munmap(self.base as *mut _, SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_change_and_accesses_never_harm() {
        let mut arena = Arena::new(63).unwrap();

        for kind in Piece::ALL {
            // There may be no huge pages.
            if arena.put(1, kind).is_err() {
                continue;
            }
            let written = arena.write(PIECE as u64 + PIECE as u64 / 2, &[1; 10]);
            match kind {
                Piece::Anonymous | Piece::Huge | Piece::File | Piece::PrivateFile => {
                    written.unwrap();
                }
                Piece::Hole | Piece::ShortFile => assert!(written.is_err(), "{kind:?}"),
                _ => (),
            }
        }
        assert!(arena.write(SIZE as u64 - 1, &[0; 2]).is_err());
    }
}
