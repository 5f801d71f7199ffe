// SPDX-License-Identifier: GPL-2.0

//! Messages to the kernel: well-formed unless told otherwise.

use super::{align, ATTRIBUTE_HEADER, GENERIC_HEADER, MESSAGE_HEADER, NESTED, NET_BYTEORDER};

/// A message that is being put together.
///
/// Lengths are right and parts aligned as long as only [`attribute`](Self::attribute) and what is
/// built on it are used.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Vec<u8>,
    claimed: Option<u32>,
    cut: Option<usize>,
}

impl Message {
    /// Begins a message with only its header.
    pub fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; MESSAGE_HEADER];

        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Self {
            bytes,
            claimed: None,
            cut: None,
        }
    }

    /// Begins a message to a family of generic netlink.
    pub fn generic(family: u16, flags: u16, command: u8, version: u8) -> Self {
        Self::new(family, flags).raw(&[command, version, 0, 0])
    }

    /// Adds an attribute.
    pub fn attribute(self, kind: u16, value: &[u8]) -> Self {
        let len = (ATTRIBUTE_HEADER + value.len()) as u16;

        self.attribute_claiming(kind, len, value)
    }

    /// Adds an attribute that says that it, header included, is `claimed` bytes long.
    pub fn attribute_claiming(mut self, kind: u16, claimed: u16, value: &[u8]) -> Self {
        self.bytes.extend(claimed.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(align(self.bytes.len()), 0);
        self
    }

    /// Adds an attribute with a string, and the zero byte at its end.
    pub fn string(self, kind: u16, text: &str) -> Self {
        self.attribute(kind, &terminated(text))
    }

    /// Adds bytes that are not an attribute.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// Adds flags to the message's header.
    pub fn with_flags(mut self, flags: u16) -> Self {
        let flags = self.flags() | flags;

        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    /// Takes flags away from the message's header.
    pub fn without_flags(mut self, flags: u16) -> Self {
        let flags = self.flags() & !flags;

        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    /// Overwrites a byte of what follows the message's header.
    pub fn with_payload_byte(mut self, offset: usize, value: u8) -> Self {
        self.bytes[MESSAGE_HEADER + offset] = value;
        self
    }

    /// Cuts the message after `len` bytes. What it says of its length is cut too.
    pub fn cut(mut self, len: usize) -> Self {
        self.cut = Some(len);
        self
    }

    /// Lets the message say that it is `len` bytes long, whatever it is.
    pub fn claiming(mut self, len: u32) -> Self {
        self.claimed = Some(len);
        self
    }

    /// The message's flags.
    pub fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]])
    }

    /// Gives the bytes to send, with the sequence number `sequence`.
    pub fn finish(&self, sequence: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let len = self.cut.unwrap_or(bytes.len());
        let claimed = self.claimed.unwrap_or(len as u32);

        bytes[0..4].copy_from_slice(&claimed.to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        bytes.truncate(len);
        bytes
    }
}

/// The bytes of `text` and a zero.
pub fn terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// An attribute that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type without flags.
    pub kind: u16,
    /// The flags of its type.
    pub flags: u16,
    /// What it holds.
    pub value: &'a [u8],
}

/// Takes attributes apart. Fails if they do not fill `bytes` to the last one.
pub fn attributes(bytes: &[u8]) -> anyhow::Result<Vec<Attribute<'_>>> {
    let mut rest = bytes;
    let mut found = Vec::new();

    while !rest.is_empty() {
        let [a, b, c, d, ..] = *rest else {
            anyhow::bail!("{} bytes left over after the attributes", rest.len());
        };
        let len = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]);

        if len < ATTRIBUTE_HEADER || len > rest.len() {
            anyhow::bail!(
                "an attribute of type {kind} claims {len} of {} bytes",
                rest.len()
            );
        }
        found.push(Attribute {
            kind: kind & !(NESTED | NET_BYTEORDER),
            flags: kind & (NESTED | NET_BYTEORDER),
            value: &rest[ATTRIBUTE_HEADER..len],
        });
        rest = &rest[align(len).min(rest.len())..];
    }
    Ok(found)
}

/// Where the attributes of a message to a family begin, if it is long enough to have any.
pub const ATTRIBUTES: usize = MESSAGE_HEADER + GENERIC_HEADER;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_aligned() {
        let message = Message::generic(0x20, 1, 5, 1)
            .attribute(1, &[7])
            .string(2, "abcd");
        let bytes = message.finish(9);

        assert_eq!(bytes.len(), 16 + 4 + 8 + 12);
        assert_eq!(bytes[0..4], 40u32.to_ne_bytes());
        assert_eq!(bytes[8..12], 9u32.to_ne_bytes());

        let found = attributes(&bytes[ATTRIBUTES..]).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[0].value), (1, &[7][..]));
        assert_eq!((found[1].kind, found[1].value), (2, &b"abcd\0"[..]));
    }

    #[test]
    fn attributes_beyond_the_end_are_seen() {
        let bytes = Message::generic(0x20, 1, 5, 1)
            .attribute_claiming(1, 9, &[0; 4])
            .finish(0);
        assert!(attributes(&bytes[ATTRIBUTES..]).is_err());
        assert!(attributes(&[4, 0]).is_err());
        assert!(attributes(&[3, 0, 1, 0]).is_err());
    }

    #[test]
    fn a_claim_replaces_the_length() {
        let bytes = Message::new(1, 0).claiming(5).finish(0);
        assert_eq!(bytes.len(), 16);
        assert_eq!(bytes[0..4], 5u32.to_ne_bytes());

        let bytes = Message::new(1, 0).cut(6).finish(0);
        assert_eq!(bytes, [6, 0, 0, 0, 1, 0]);
    }
}
