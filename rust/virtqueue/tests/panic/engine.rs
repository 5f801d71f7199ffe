// SPDX-License-Identifier: GPL-2.0

//! Every operation of the engine, for one kind of memory.

use core::fmt;
use core::sync::atomic::{
    AtomicU16, AtomicU8,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

use virtqueue::{
    Broken, Chain, CursorError, Fault, Memory, Reader, Refusal, Ring, RingError, Segment,
    SetupError, Split, SplitConfig, SplitState, Token, Uncompleted, Writer,
};

/// A memory of which the compiler knows nothing, and that does not panic.
pub struct Opaque {
    refuses: AtomicU8,
    byte: AtomicU8,
    word: AtomicU16,
}

impl Opaque {
    fn access(&self, addr: u64) -> Result<(), Fault> {
        let refusal = match self.refuses.load(Relaxed) {
            0 => return Ok(()),
            1 => Refusal::NotMapped,
            2 => Refusal::NotPermitted,
            _ => Refusal::NotPresent,
        };
        Err(Fault { addr, refusal })
    }
}

impl Memory for Opaque {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        for byte in buf {
            *byte = self.byte.load(Relaxed);
        }
        self.access(addr)
    }

    fn write(&self, addr: u64, buf: &[u8]) -> Result<(), Fault> {
        for byte in buf {
            self.byte.store(*byte, Relaxed);
        }
        self.access(addr)
    }

    fn load_acquire(&self, addr: u64) -> Result<u16, Fault> {
        self.access(addr)?;
        Ok(self.word.load(Acquire))
    }

    fn store_release(&self, addr: u64, value: u16) -> Result<(), Fault> {
        self.word.store(value, Release);
        self.access(addr)
    }

    fn barrier(&self) {
        core::sync::atomic::fence(SeqCst);
    }

    fn copy_to(&self, src: u64, memory: &Self, dst: u64, len: usize) -> Result<(), Fault> {
        for _ in 0..len {
            memory.byte.store(self.byte.load(Relaxed), Relaxed);
        }
        self.access(src)?;
        memory.access(dst)
    }
}

// --- Rings ---------------------------------------------------------------------------------------

#[inline(never)]
pub fn new(config: &SplitConfig) -> Result<Split, SetupError> {
    Split::new(config)
}

#[inline(never)]
pub fn pop<'s>(
    ring: &mut Split,
    memory: &Opaque,
    segments: &'s mut [Segment],
) -> Result<Option<Chain<'s>>, RingError> {
    ring.pop(memory, segments)
}

#[inline(never)]
pub fn unpop(ring: &mut Split, token: Token) -> Result<(), Token> {
    ring.unpop(token)
}

#[inline(never)]
pub fn give_up(ring: &mut Split, token: Token) {
    ring.give_up(token);
}

#[inline(never)]
pub fn complete(
    ring: &mut Split,
    memory: &Opaque,
    token: Token,
    written: u32,
) -> Result<(), Uncompleted> {
    ring.complete(memory, token, written)
}

#[inline(never)]
pub fn publish(ring: &mut Split, memory: &Opaque) -> Result<(), RingError> {
    ring.publish(memory)
}

#[inline(never)]
pub fn needs_notification(ring: &mut Split, memory: &Opaque) -> bool {
    ring.needs_notification(memory)
}

#[inline(never)]
pub fn enable_notifications(ring: &mut Split, memory: &Opaque) -> Result<bool, RingError> {
    ring.enable_notifications(memory)
}

#[inline(never)]
pub fn disable_notifications(ring: &mut Split, memory: &Opaque) -> Result<(), RingError> {
    ring.disable_notifications(memory)
}

#[inline(never)]
pub fn look(ring: &Split) -> (u16, u16, Option<Broken>, SplitState) {
    (ring.size(), ring.in_flight(), ring.broken(), ring.state())
}

#[inline(never)]
pub fn set_state(ring: &mut Split, state: SplitState) {
    ring.set_state(state);
}

// --- Chains --------------------------------------------------------------------------------------

#[inline(never)]
pub fn parts<'s>(chain: &Chain<'s>) -> (u16, &'s [Segment], &'s [Segment], u64, u64) {
    (
        chain.id(),
        chain.readable(),
        chain.writable(),
        chain.readable_len(),
        chain.writable_len(),
    )
}

#[inline(never)]
pub fn cursors<'a>(
    chain: &Chain<'a>,
    memory: &'a Opaque,
) -> (Reader<'a, Opaque>, Writer<'a, Opaque>) {
    (chain.reader(memory), chain.writer(memory))
}

#[inline(never)]
pub fn new_cursors<'a>(
    segments: &'a [Segment],
    memory: &'a Opaque,
) -> (Reader<'a, Opaque>, Writer<'a, Opaque>) {
    (Reader::new(memory, segments), Writer::new(memory, segments))
}

#[inline(never)]
pub fn tokens(chain: Chain<'_>, other: Chain<'_>) -> (Token, Token) {
    (chain.into_token(), other.into())
}

// --- Cursors -------------------------------------------------------------------------------------

#[inline(never)]
pub fn read(reader: &mut Reader<'_, Opaque>, buf: &mut [u8]) -> Result<usize, Fault> {
    reader.read(buf)
}

#[inline(never)]
pub fn read_exact(reader: &mut Reader<'_, Opaque>, buf: &mut [u8]) -> Result<(), CursorError> {
    reader.read_exact(buf)
}

#[inline(never)]
pub fn read_arrays(reader: &mut Reader<'_, Opaque>) -> Result<([u8; 2], [u8; 16]), CursorError> {
    Ok((reader.read_array()?, reader.read_array()?))
}

#[inline(never)]
pub fn skip(reader: &mut Reader<'_, Opaque>, len: u64) -> (u64, u64) {
    (reader.skip(len), reader.remaining())
}

#[inline(never)]
pub fn cut<'a>(
    reader: &Reader<'a, Opaque>,
    len: u64,
) -> Option<(Reader<'a, Opaque>, Reader<'a, Opaque>)> {
    let (_, tail) = reader.clone().split_at(len)?;
    tail.split_tail(len)
}

#[inline(never)]
pub fn copy(
    reader: &mut Reader<'_, Opaque>,
    writer: &mut Writer<'_, Opaque>,
    len: u64,
) -> Result<u64, Fault> {
    reader.copy_to(writer, len)
}

#[inline(never)]
pub fn write(writer: &mut Writer<'_, Opaque>, buf: &[u8]) -> Result<usize, Fault> {
    writer.write(buf)
}

#[inline(never)]
pub fn write_all(writer: &mut Writer<'_, Opaque>, buf: &[u8]) -> Result<(), CursorError> {
    writer.write_all(buf)
}

#[inline(never)]
pub fn write_arrays(
    writer: &mut Writer<'_, Opaque>,
    one: [u8; 1],
    other: [u8; 12],
) -> Result<(), CursorError> {
    writer.write_array(one)?;
    writer.write_array(other)
}

#[inline(never)]
pub fn skip_written(writer: &mut Writer<'_, Opaque>, len: u64) -> (u64, u64, u32) {
    (writer.skip(len), writer.remaining(), writer.written())
}

#[inline(never)]
pub fn cut_writer(
    writer: Writer<'_, Opaque>,
    len: u64,
) -> Option<(Writer<'_, Opaque>, Writer<'_, Opaque>)> {
    let (_, tail) = writer.split_at(len)?;
    tail.split_tail(len)
}

// --- Messages ------------------------------------------------------------------------------------

#[inline(never)]
pub fn say(
    f: &mut fmt::Formatter<'_>,
    setup: &SetupError,
    ring: &RingError,
    failed: &Uncompleted,
    cursor: &CursorError,
) -> fmt::Result {
    fmt::Display::fmt(setup, f)?;
    fmt::Display::fmt(ring, f)?;
    fmt::Display::fmt(failed, f)?;
    fmt::Display::fmt(cursor, f)
}

// --- What is not there ---------------------------------------------------------------------------

/// What a panic would look like.
#[cfg(control)]
#[inline(never)]
pub fn control(segments: &[Segment], index: usize) -> Segment {
    segments[index]
}
