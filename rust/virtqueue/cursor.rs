// SPDX-License-Identifier: GPL-2.0

//! Cursors over the buffers of a chain.

use core::fmt;

use crate::{
    chain::Segment,
    error::CursorError,
    memory::{
        Fault,
        Memory, //
    }, //
};

/// A position in a list of segments, and how far it may go.
///
/// The address arithmetic wraps in form only: no segment of a chain runs over the end of the
/// address space, and for a list that does not come from a chain [`Memory`] refuses the range.
#[derive(Clone, Copy, Debug)]
struct Cursor<'a> {
    /// Where the current segment goes on.
    addr: u64,
    /// Bytes left in the current segment.
    left: u32,
    /// The segments after the current one.
    rest: &'a [Segment],
    /// Bytes left in all, at most what the segments have left.
    remaining: u64,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn new(segments: &'a [Segment], remaining: u64) -> Self {
        Self {
            addr: 0,
            left: 0,
            rest: segments,
            remaining,
        }
    }

    /// The next bytes that lie in one piece: their address and number, which is at most `max`.
    /// `None` at the end, and for a `max` of zero.
    ///
    /// Steps over segments of no bytes, and therefore takes at most as many steps as there are
    /// segments left.
    #[inline]
    fn piece(&mut self, max: u64) -> Option<(u64, u32)> {
        let max = max.min(self.remaining);
        if max == 0 {
            return None;
        }
        while self.left == 0 {
            let (first, rest) = self.rest.split_first()?;
            self.addr = first.addr;
            self.left = first.len;
            self.rest = rest;
        }
        // Not more than `left`, so the value fits.
        Some((self.addr, max.min(u64::from(self.left)) as u32))
    }

    /// Steps over `len` bytes of the last piece.
    #[inline]
    fn consume(&mut self, len: u32) {
        self.addr = self.addr.wrapping_add(u64::from(len));
        self.left = self.left.saturating_sub(len);
        self.remaining = self.remaining.saturating_sub(u64::from(len));
    }

    /// Steps over at most `len` bytes and returns their number.
    #[inline]
    fn skip(&mut self, len: u64) -> u64 {
        let mut todo = len;
        while let Some((_, len)) = self.piece(todo) {
            self.consume(len);
            todo = todo.saturating_sub(u64::from(len));
        }
        len.saturating_sub(todo)
    }

    /// Cuts the cursor in two after `len` bytes.
    #[inline]
    fn split_at(self, len: u64) -> Option<(Self, Self)> {
        if len > self.remaining {
            return None;
        }
        let mut head = self;
        head.remaining = len;
        let mut tail = self;
        tail.skip(len);
        Some((head, tail))
    }

    /// Refuses to move `wanted` bytes if fewer are left.
    #[inline]
    fn ensure(&self, wanted: usize) -> Result<(), CursorError> {
        let wanted = wanted as u64;
        if wanted > self.remaining {
            return Err(CursorError::Short {
                wanted,
                remaining: self.remaining,
            });
        }
        Ok(())
    }
}

/// The number of bytes in a list of segments.
#[inline]
fn total(segments: &[Segment]) -> u64 {
    segments
        .iter()
        .fold(0, |sum, segment| sum.saturating_add(u64::from(segment.len)))
}

/// Reads the device-readable bytes of a chain, from the first to the last.
///
/// A clone goes its own way from the same position, so that a header can be looked at and then be
/// copied with what follows it.
pub struct Reader<'a, M: Memory> {
    memory: &'a M,
    cursor: Cursor<'a>,
}

impl<M: Memory> Clone for Reader<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            memory: self.memory,
            cursor: self.cursor,
        }
    }
}

impl<M: Memory> fmt::Debug for Reader<'_, M> {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

impl<'a, M: Memory> Reader<'a, M> {
    /// A reader of any list of segments.
    #[inline]
    pub fn new(memory: &'a M, segments: &'a [Segment]) -> Self {
        Self::with_len(memory, segments, total(segments))
    }

    #[inline]
    pub(crate) fn with_len(memory: &'a M, segments: &'a [Segment], len: u64) -> Self {
        Self {
            memory,
            cursor: Cursor::new(segments, len),
        }
    }

    /// The number of bytes that are left.
    #[inline]
    pub fn remaining(&self) -> u64 {
        self.cursor.remaining
    }

    /// Reads as many bytes as are left, at most `buf.len()`, and returns their number.
    ///
    /// # Errors
    ///
    /// [`Fault`] at a buffer that cannot be read; the reader then stands before it.
    #[inline]
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        let mut done = 0;
        while let Some(free) = buf.get_mut(done..) {
            let Some((addr, len)) = self.cursor.piece(free.len() as u64) else {
                break;
            };
            let Some(part) = free.get_mut(..len as usize) else {
                break;
            };
            self.memory.read(addr, part)?;
            self.cursor.consume(len);
            done = done.saturating_add(len as usize);
        }
        Ok(done)
    }

    /// Fills `buf`, or reads nothing if fewer bytes are left.
    ///
    /// # Errors
    ///
    /// [`CursorError::Short`], and [`CursorError::Fault`] as [`Reader::read`].
    #[inline]
    pub fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), CursorError> {
        self.cursor.ensure(buf.len())?;
        self.read(buf)?;
        Ok(())
    }

    /// Reads the next `N` bytes, or nothing if fewer are left.
    ///
    /// # Errors
    ///
    /// As [`Reader::read_exact`].
    #[inline]
    pub fn read_array<const N: usize>(&mut self) -> Result<[u8; N], CursorError> {
        self.cursor.ensure(N)?;
        match self.cursor.piece(N as u64) {
            // Nearly always: the bytes lie in one piece.
            Some((addr, len)) if len as usize == N => {
                let array = self.memory.read_array(addr)?;
                self.cursor.consume(len);
                Ok(array)
            }
            _ => {
                let mut array = [0; N];
                self.read(&mut array)?;
                Ok(array)
            }
        }
    }

    /// Steps over at most `len` bytes and returns their number.
    #[inline]
    pub fn skip(&mut self, len: u64) -> u64 {
        self.cursor.skip(len)
    }

    /// Cuts the reader in two: one of the next `len` bytes, one of what follows.
    ///
    /// `None` if fewer than `len` bytes are left.
    #[inline]
    pub fn split_at(self, len: u64) -> Option<(Self, Self)> {
        let memory = self.memory;
        let (head, tail) = self.cursor.split_at(len)?;
        Some((
            Self {
                memory,
                cursor: head,
            },
            Self {
                memory,
                cursor: tail,
            },
        ))
    }

    /// Cuts the last `len` bytes off: one reader of what lies before them, one of them.
    ///
    /// `None` if fewer than `len` bytes are left.
    #[inline]
    pub fn split_tail(self, len: u64) -> Option<(Self, Self)> {
        let head = self.remaining().checked_sub(len)?;
        self.split_at(head)
    }

    /// Copies as many bytes as are left in both, at most `len`, and returns their number.
    ///
    /// Each byte is copied once, in the largest pieces that the buffers on both sides allow.
    ///
    /// # Errors
    ///
    /// [`Fault`] at a piece that cannot be copied; reader and writer then stand before it.
    #[inline]
    pub fn copy_to(&mut self, writer: &mut Writer<'_, M>, len: u64) -> Result<u64, Fault> {
        let mut todo = len;
        while let Some((src, len)) = self.cursor.piece(todo) {
            let Some((dst, len)) = writer.cursor.piece(u64::from(len)) else {
                break;
            };
            self.memory.copy_to(src, writer.memory, dst, len as usize)?;
            self.cursor.consume(len);
            writer.advance(len);
            todo = todo.saturating_sub(u64::from(len));
        }
        Ok(len.saturating_sub(todo))
    }
}

/// Writes the device-writable bytes of a chain, from the first to the last.
pub struct Writer<'a, M: Memory> {
    memory: &'a M,
    cursor: Cursor<'a>,
    /// Bytes written from the start on without a gap.
    written: u64,
    /// Whether bytes were stepped over.
    gap: bool,
}

impl<M: Memory> fmt::Debug for Writer<'_, M> {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("cursor", &self.cursor)
            .field("written", &self.written)
            .field("gap", &self.gap)
            .finish_non_exhaustive()
    }
}

impl<'a, M: Memory> Writer<'a, M> {
    /// A writer to any list of segments.
    #[inline]
    pub fn new(memory: &'a M, segments: &'a [Segment]) -> Self {
        Self::with_len(memory, segments, total(segments))
    }

    #[inline]
    pub(crate) fn with_len(memory: &'a M, segments: &'a [Segment], len: u64) -> Self {
        Self {
            memory,
            cursor: Cursor::new(segments, len),
            written: 0,
            gap: false,
        }
    }

    /// The number of bytes that can still be written.
    #[inline]
    pub fn remaining(&self) -> u64 {
        self.cursor.remaining
    }

    /// The number of bytes written before the first gap, for
    /// [`Ring::complete`](crate::Ring::complete).
    ///
    /// The driver takes as many bytes from the start of its buffers for written, so what was
    /// written behind bytes that were stepped over does not count (virtio 1.3, section 2.7.8.2;
    /// less than the truth is allowed, more would show the driver bytes of somebody else).
    #[inline]
    pub fn written(&self) -> u32 {
        // A chain may have 2^32 bytes, one more than the used ring can tell.
        u32::try_from(self.written).unwrap_or(u32::MAX)
    }

    /// Takes note of `len` bytes written at the current position.
    #[inline]
    fn advance(&mut self, len: u32) {
        self.cursor.consume(len);
        if !self.gap {
            self.written = self.written.saturating_add(u64::from(len));
        }
    }

    /// Writes as many bytes of `buf` as there is room for and returns their number.
    ///
    /// # Errors
    ///
    /// [`Fault`] at a buffer that cannot be written; the writer then stands before it.
    #[inline]
    pub fn write(&mut self, buf: &[u8]) -> Result<usize, Fault> {
        let mut done = 0;
        while let Some(todo) = buf.get(done..) {
            let Some((addr, len)) = self.cursor.piece(todo.len() as u64) else {
                break;
            };
            let Some(part) = todo.get(..len as usize) else {
                break;
            };
            self.memory.write(addr, part)?;
            self.advance(len);
            done = done.saturating_add(len as usize);
        }
        Ok(done)
    }

    /// Writes all of `buf`, or nothing if there is not enough room.
    ///
    /// # Errors
    ///
    /// [`CursorError::Short`], and [`CursorError::Fault`] as [`Writer::write`].
    #[inline]
    pub fn write_all(&mut self, buf: &[u8]) -> Result<(), CursorError> {
        self.cursor.ensure(buf.len())?;
        self.write(buf)?;
        Ok(())
    }

    /// Writes `N` bytes, or nothing if there is not enough room.
    ///
    /// # Errors
    ///
    /// As [`Writer::write_all`].
    #[inline]
    pub fn write_array<const N: usize>(&mut self, array: [u8; N]) -> Result<(), CursorError> {
        self.cursor.ensure(N)?;
        match self.cursor.piece(N as u64) {
            Some((addr, len)) if len as usize == N => {
                self.memory.write_array(addr, array)?;
                self.advance(len);
            }
            _ => {
                self.write(&array)?;
            }
        }
        Ok(())
    }

    /// Steps over at most `len` bytes without writing them and returns their number.
    #[inline]
    pub fn skip(&mut self, len: u64) -> u64 {
        let skipped = self.cursor.skip(len);
        self.gap |= skipped != 0;
        skipped
    }

    /// Cuts the writer in two: one of the next `len` bytes, one of what follows.
    ///
    /// The first goes on counting what this one has written, the second starts at zero. `None` if
    /// fewer than `len` bytes are left.
    #[inline]
    pub fn split_at(self, len: u64) -> Option<(Self, Self)> {
        let memory = self.memory;
        let (head, tail) = self.cursor.split_at(len)?;
        Some((
            Self {
                memory,
                cursor: head,
                written: self.written,
                gap: self.gap,
            },
            Self {
                memory,
                cursor: tail,
                written: 0,
                gap: false,
            },
        ))
    }

    /// Cuts the last `len` bytes off: one writer of what lies before them, one of them.
    ///
    /// They may lie in any buffers, as the status of a block request does. `None` if fewer than
    /// `len` bytes are left.
    #[inline]
    pub fn split_tail(self, len: u64) -> Option<(Self, Self)> {
        let head = self.remaining().checked_sub(len)?;
        self.split_at(head)
    }
}
