// SPDX-License-Identifier: GPL-2.0

//! A descriptor chain that was taken from a ring.

use crate::{
    cursor::{
        Reader,
        Writer, //
    },
    memory::Memory, //
};

/// One buffer of a chain: a range of bus addresses that does not run over the end of the address
/// space.
///
/// Nothing says that the range can be accessed; that shows when it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Bus address of the first byte.
    pub addr: u64,
    /// Length in bytes; may be zero.
    pub len: u32,
}

impl Segment {
    /// A segment of no bytes, to fill the storage with that is handed to
    /// [`Ring::pop`](crate::Ring::pop).
    pub const EMPTY: Self = Self { addr: 0, len: 0 };
}

/// The right to complete one chain, once, on the ring that it was taken from.
///
/// It can be neither copied nor made, and completing the chain consumes it. It holds no borrow, so
/// it may outlive the storage that the chain's buffers were written to.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the driver waits for the chain until it is completed"]
pub struct Token {
    id: u16,
    position: u16,
}

impl Token {
    #[inline]
    pub(crate) fn new(id: u16, position: u16) -> Self {
        Self { id, position }
    }

    /// The name that the driver gave to the chain. For messages: several chains of a driver that
    /// breaks the rules may have the same.
    #[inline]
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Where in the order of chains this one was, as the ring counts.
    #[inline]
    pub(crate) fn position(&self) -> u16 {
        self.position
    }
}

/// A descriptor chain that was taken from a ring and that obeys the rules.
///
/// Its device-readable buffers come first, its device-writable buffers follow. It has at least one
/// buffer, at most 2^32 bytes, and its buffers may have any length, zero included.
#[derive(Debug)]
#[must_use = "the driver waits for the chain until it is completed"]
pub struct Chain<'s> {
    pub(crate) token: Token,
    pub(crate) readable: &'s [Segment],
    pub(crate) writable: &'s [Segment],
    pub(crate) readable_len: u64,
    pub(crate) writable_len: u64,
}

impl<'s> Chain<'s> {
    /// The name that the driver gave to the chain, see [`Token::id`].
    #[inline]
    pub fn id(&self) -> u16 {
        self.token.id()
    }

    /// The buffers that the device may read.
    #[inline]
    pub fn readable(&self) -> &'s [Segment] {
        self.readable
    }

    /// The buffers that the device may write.
    #[inline]
    pub fn writable(&self) -> &'s [Segment] {
        self.writable
    }

    /// The number of bytes that the device may read.
    #[inline]
    pub fn readable_len(&self) -> u64 {
        self.readable_len
    }

    /// The number of bytes that the device may write.
    #[inline]
    pub fn writable_len(&self) -> u64 {
        self.writable_len
    }

    /// A cursor at the first byte that the device may read.
    #[inline]
    pub fn reader<'a, M: Memory>(&self, memory: &'a M) -> Reader<'a, M>
    where
        's: 'a,
    {
        Reader::with_len(memory, self.readable, self.readable_len)
    }

    /// A cursor at the first byte that the device may write.
    #[inline]
    pub fn writer<'a, M: Memory>(&self, memory: &'a M) -> Writer<'a, M>
    where
        's: 'a,
    {
        Writer::with_len(memory, self.writable, self.writable_len)
    }

    /// Gives the storage of the buffers free and keeps what is needed to complete the chain.
    #[inline]
    pub fn into_token(self) -> Token {
        self.token
    }
}

impl From<Chain<'_>> for Token {
    #[inline]
    fn from(chain: Chain<'_>) -> Self {
        chain.token
    }
}
