// SPDX-License-Identifier: GPL-2.0

//! Reads and writes of one file, many at a time.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use io_uring::{opcode, types, IoUring};

/// The direction of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the file.
    Read,
    /// To the file.
    Write,
}

/// A file with room for as many transfers at a time as it has slots.
///
/// # Invariants
///
/// - `buffers[slot]` is not touched, and does not move, while `busy[slot]`: the kernel uses it.
/// - The kernel has exactly one request for each slot that is busy.
pub struct Queue<'a> {
    ring: IoUring,
    file: &'a File,
    buffers: Vec<Buffer>,
    busy: Vec<bool>,
}

/// A piece of memory at an address that direct I/O takes.
#[derive(Clone)]
struct Buffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

/// What direct I/O to any disk may want: a page.
const ALIGNMENT: usize = 4096;

impl Buffer {
    fn new(len: usize) -> Self {
        let memory = vec![0; len + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);

        Self { memory, start, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}

/// What became of a transfer.
pub struct Finished {
    /// The slot whose transfer it was. It is free now.
    pub slot: usize,
    /// The number of bytes moved.
    pub result: io::Result<usize>,
}

impl<'a> Queue<'a> {
    /// Makes a queue with `depth` slots of `len` bytes each.
    pub fn new(file: &'a File, depth: usize, len: usize) -> io::Result<Self> {
        Ok(Self {
            ring: IoUring::new(u32::try_from(depth).map_err(io::Error::other)?)?,
            file,
            buffers: (0..depth).map(|_| Buffer::new(len)).collect(),
            busy: vec![false; depth],
        })
    }

    /// Gives the memory of a slot that is free.
    pub fn buffer(&mut self, slot: usize) -> io::Result<&mut [u8]> {
        if self.busy[slot] {
            return Err(io::Error::other(format!("slot {slot} is busy")));
        }
        Ok(self.buffers[slot].bytes())
    }

    /// Puts a transfer of a whole slot, which must be free, into the queue.
    pub fn push(&mut self, slot: usize, direction: Direction, offset: u64) -> io::Result<()> {
        let memory = self.buffer(slot)?;
        let (base, len) = (memory.as_mut_ptr(), memory.len() as u32);
        let fd = types::Fd(self.file.as_raw_fd());
        let entry = match direction {
            Direction::Read => opcode::Read::new(fd, base, len).offset(offset).build(),
            Direction::Write => opcode::Write::new(fd, base, len).offset(offset).build(),
        }
        .user_data(slot as u64);

        // SAFETY: The file is open for as long as `self` exists. By the type invariants, nobody
        // touches or moves the buffer before its completion, and dropping `self` waits for that.
        unsafe { self.ring.submission().push(&entry) }.map_err(io::Error::other)?;
        self.busy[slot] = true;
        Ok(())
    }

    /// Hands the queue to the kernel, waits for a transfer to end, and tells `take` of all that
    /// have.
    pub fn wait(&mut self, mut take: impl FnMut(Finished)) -> io::Result<()> {
        self.ring.submit_and_wait(1)?;
        for entry in self.ring.completion() {
            let slot = entry.user_data() as usize;

            self.busy[slot] = false;
            take(Finished {
                slot,
                result: match usize::try_from(entry.result()) {
                    Ok(len) => Ok(len),
                    Err(_) => Err(io::Error::from_raw_os_error(-entry.result())),
                },
            });
        }
        Ok(())
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        while self.busy.contains(&true) {
            if self.wait(|_| ()).is_err() {
                // The kernel may still write to the buffers: let it, for ever.
                std::mem::forget(std::mem::take(&mut self.buffers));
                return;
            }
        }
    }
}
