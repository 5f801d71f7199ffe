// SPDX-License-Identifier: GPL-2.0

//! Generic netlink, for messages that no proper library would send.

pub mod answer;
pub mod client;
pub mod controller;
pub mod message;
pub mod mutation;

pub use answer::{Answer, End, Part, Refusal};
pub use client::Client;
pub use message::Message;

/// Length of `struct nlmsghdr`.
pub const MESSAGE_HEADER: usize = 16;

/// Length of `struct genlmsghdr`.
pub const GENERIC_HEADER: usize = 4;

/// Length of `struct nlattr`.
pub const ATTRIBUTE_HEADER: usize = 4;

/// Bits of an attribute's type that are flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
pub const NESTED: u16 = 0x8000;
/// See [`NESTED`].
pub const NET_BYTEORDER: u16 = 0x4000;

// Flags of a message, and those of an answer: `linux/netlink.h`.
/// The message is for the kernel to carry out.
pub const REQUEST: u16 = 0x001;
/// One part of several.
pub const MULTI: u16 = 0x002;
/// An acknowledgement is wanted.
pub const ACK: u16 = 0x004;
/// Everything is asked for, not one thing (`NLM_F_ROOT | NLM_F_MATCH`).
pub const DUMP: u16 = 0x300;
/// In an error: it does not hold the message that it is about.
pub const CAPPED: u16 = 0x100;
/// In an error: attributes follow.
pub const ACK_TLVS: u16 = 0x200;

// Types of a message that are not a family's number.
/// Does nothing, but is acknowledged on demand.
pub const NOOP: u16 = 1;
/// An acknowledgement, good or bad.
pub const ERROR: u16 = 2;
/// The end of several parts.
pub const DONE: u16 = 3;

/// Rounds up to where the next message or attribute may begin.
pub fn align(len: usize) -> usize {
    len.next_multiple_of(4)
}
