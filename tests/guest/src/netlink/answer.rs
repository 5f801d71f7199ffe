// SPDX-License-Identifier: GPL-2.0

//! What the kernel sends: single messages, and the whole answer to one request.

use anyhow::{bail, ensure, Context, Result};

use super::message::{attributes, Attribute};
use super::{align, ACK_TLVS, CAPPED, DONE, ERROR, GENERIC_HEADER, MESSAGE_HEADER};

/// One message from a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Flags of the message's header.
    pub flags: u16,
    /// The family's number.
    pub family: u16,
    /// The command.
    pub command: u8,
    /// The family's version.
    pub version: u8,
    /// The attributes, not yet taken apart.
    pub payload: Vec<u8>,
}

impl Part {
    /// Takes the attributes apart.
    pub fn attributes(&self) -> Result<Vec<Attribute<'_>>> {
        attributes(&self.payload)
    }

    /// Finds the first attribute of a type.
    pub fn find(&self, kind: u16) -> Option<Vec<u8>> {
        let attributes = self.attributes().ok()?;
        let found = attributes.iter().find(|found| found.kind == kind)?;

        Some(found.value.to_vec())
    }
}

/// Why a request was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The number of the error, positive.
    pub errno: i32,
    /// The message for people, without the zero byte at its end.
    pub message: Option<Vec<u8>>,
    /// The offset of the attribute that is to blame in the request.
    pub offset: Option<u32>,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With a good acknowledgement, or the end of several parts.
    Done,
    /// With an error.
    Refused(Refusal),
    /// Without either.
    Silent,
}

/// The whole answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the family sent.
    pub parts: Vec<Part>,
    /// How the kernel ended it.
    pub end: End,
}

/// One message as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The sequence number of the request that it answers.
    pub sequence: u32,
    /// The port that it was sent to.
    pub port: u32,
    /// What it says.
    pub content: Content,
}

/// What a message from the kernel says.
#[derive(Clone, Debug)]
pub enum Content {
    /// It is from a family.
    Part(Part),
    /// It acknowledges the request of which it holds the first bytes.
    Acknowledgement {
        /// Error 0 is none.
        refusal: Refusal,
        /// The request as the kernel saw it, or only its header.
        request: Vec<u8>,
    },
    /// It is the end of several parts. Error 0 is none.
    Done(Refusal),
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_ne_bytes([bytes[offset], bytes[offset + 1]])
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes([
        bytes[offset],
        bytes[offset + 1],
        bytes[offset + 2],
        bytes[offset + 3],
    ])
}

/// Takes a datagram apart.
pub fn received(datagram: &[u8]) -> Result<Vec<Received>> {
    let mut rest = datagram;
    let mut found = Vec::new();

    while !rest.is_empty() {
        ensure!(
            rest.len() >= MESSAGE_HEADER,
            "{} bytes left over after the messages",
            rest.len()
        );
        let len = u32_at(rest, 0) as usize;

        ensure!(
            (MESSAGE_HEADER..=rest.len()).contains(&len),
            "a message claims {len} of {} bytes",
            rest.len()
        );
        found.push(message(&rest[..len])?);
        rest = &rest[align(len).min(rest.len())..];
    }
    Ok(found)
}

/// Takes a message apart whose header's length is right.
fn message(bytes: &[u8]) -> Result<Received> {
    let kind = u16_at(bytes, 4);
    let flags = u16_at(bytes, 6);
    let payload = &bytes[MESSAGE_HEADER..];

    let content = match kind {
        ERROR => acknowledgement(flags, payload).context("an acknowledgement")?,
        DONE => {
            ensure!(payload.len() >= 4, "an end of {} bytes", payload.len());
            Content::Done(refusal(payload, &payload[4..], flags).context("an end of parts")?)
        }
        family if family >= 0x10 => {
            ensure!(
                payload.len() >= GENERIC_HEADER,
                "a family's message of {} bytes",
                payload.len()
            );
            Content::Part(Part {
                flags,
                family,
                command: payload[0],
                version: payload[1],
                payload: payload[GENERIC_HEADER..].to_vec(),
            })
        }
        other => bail!("a message of type {other}"),
    };

    Ok(Received {
        sequence: u32_at(bytes, 8),
        port: u32_at(bytes, 12),
        content,
    })
}

/// Takes apart what follows the header of an acknowledgement.
fn acknowledgement(flags: u16, payload: &[u8]) -> Result<Content> {
    ensure!(
        payload.len() >= 4 + MESSAGE_HEADER,
        "it is {} bytes long",
        payload.len()
    );
    let request = &payload[4..];
    let claimed = u32_at(request, 0) as usize;
    let held = if flags & CAPPED != 0 {
        MESSAGE_HEADER
    } else {
        claimed
    };

    ensure!(
        held >= MESSAGE_HEADER && held <= request.len(),
        "it should hold {held} bytes of the request, but is {} bytes long",
        payload.len()
    );
    Ok(Content::Acknowledgement {
        refusal: refusal(payload, &request[align(held).min(request.len())..], flags)?,
        request: request[..held].to_vec(),
    })
}

// `NLMSGERR_ATTR_*` of `linux/netlink.h`.
const MESSAGE: u16 = 1;
const OFFSET: u16 = 2;

/// Reads the number at the beginning of `payload`, and the attributes that may come later.
fn refusal(payload: &[u8], extended: &[u8], flags: u16) -> Result<Refusal> {
    let mut refusal = Refusal {
        errno: (u32_at(payload, 0) as i32).wrapping_neg(),
        ..Refusal::default()
    };

    ensure!(
        refusal.errno >= 0,
        "its error {} is positive",
        -refusal.errno
    );
    if flags & ACK_TLVS == 0 {
        return Ok(refusal);
    }
    for attribute in attributes(extended)? {
        match attribute.kind {
            MESSAGE => {
                let Some((0, text)) = attribute.value.split_last() else {
                    bail!("its message does not end with a zero byte");
                };
                refusal.message = Some(text.to_vec());
            }
            OFFSET => {
                let value = attribute.value.try_into().context("its offset")?;
                refusal.offset = Some(u32::from_ne_bytes(value));
            }
            // Others describe the policy that was broken.
            _ => (),
        }
    }
    Ok(refusal)
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;

    fn error(errno: i32, flags: u16, request: &[u8], rest: &[u8]) -> Vec<u8> {
        Message::new(ERROR, flags)
            .raw(&(-errno).to_ne_bytes())
            .raw(request)
            .raw(rest)
            .finish(7)
    }

    #[test]
    fn an_error_with_a_message() {
        let request = Message::generic(0x20, 5, 1, 1).finish(7);
        let text = [&[9, 0, 1, 0][..], b"wrong", &[0; 3]].concat();
        // Without its zero byte, the same is refused.
        let bytes = error(22, ACK_TLVS, &request, &text);
        assert!(received(&bytes).is_err());

        let text = [&[10, 0, 1, 0][..], b"wrong", &[0; 3]].concat();
        let found = received(&error(22, ACK_TLVS, &request, &text)).unwrap();
        let Content::Acknowledgement {
            refusal,
            request: held,
        } = &found[0].content
        else {
            panic!("{found:?}");
        };
        assert_eq!(found[0].sequence, 7);
        assert_eq!(refusal.errno, 22);
        assert_eq!(refusal.message.as_deref(), Some(&b"wrong"[..]));
        assert_eq!(held, &request);
    }

    #[test]
    fn an_error_must_hold_the_request() {
        let request = Message::generic(0x20, 5, 1, 1).finish(7);
        assert!(received(&error(22, 0, &request[..16], &[])).is_err());
        assert!(received(&error(22, CAPPED, &request[..16], &[])).is_ok());
        assert!(received(&error(-22, CAPPED, &request[..16], &[])).is_err());
    }

    #[test]
    fn several_messages() {
        let one = Message::generic(0x20, 0, 5, 1).attribute(1, &[1]).finish(3);
        let end = Message::new(DONE, 2).raw(&0i32.to_ne_bytes()).finish(3);
        let found = received(&[one, end].concat()).unwrap();
        assert!(matches!(&found[0].content, Content::Part(part) if part.command == 5));
        assert!(matches!(&found[1].content, Content::Done(refusal) if refusal.errno == 0));
        assert!(received(&[0; 3]).is_err());
    }
}
