// SPDX-License-Identifier: GPL-2.0

//! Questions and their answers.

use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};

use super::answer::{received, Content, Received};
use super::{Answer, End, Message, Refusal, ACK, DUMP, MULTI, NOOP, REQUEST};
use crate::sys::socket::Netlink;

/// How long the kernel may take. Only a kernel that hangs needs so long, even when emulated.
const PATIENCE: Duration = Duration::from_secs(30);

/// Room for an error that holds the longest request sent here, and its message.
const BUFFER: usize = 256 << 10;

/// A socket, and what it needs to tell answers apart.
pub struct Client {
    socket: Netlink,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Client {
    /// Opens a socket.
    pub fn open() -> Result<Self> {
        Self::with_buffer(BUFFER)
    }

    /// Opens a socket that receives at most `len` bytes at a time. The kernel makes the parts of
    /// a long answer so short that they fit, but no shorter than a page.
    pub fn with_buffer(len: usize) -> Result<Self> {
        let socket = Netlink::open(PATIENCE).context("cannot open a netlink socket")?;

        Ok(Self {
            port: socket.port()?,
            socket,
            sequence: 0,
            buffer: vec![0; len],
        })
    }

    /// Sends a request, and collects the whole answer.
    pub fn ask(&mut self, message: &Message) -> Result<Answer> {
        let mut answers = self.ask_all(std::slice::from_ref(message))?;

        answers.pop().context("no answer")
    }

    /// Sends requests in one datagram, and collects their answers.
    ///
    /// A last request that does nothing is sent after them: when that is acknowledged, all others
    /// have been answered, if they are at all, and nothing needs to wait for a time-out. Only
    /// the parts of a dump may still come.
    pub fn ask_all(&mut self, messages: &[Message]) -> Result<Vec<Answer>> {
        let first = self.sequence + 1;
        let mut pending: Vec<_> = (first..)
            .zip(messages)
            .map(|(sequence, message)| Pending::new(message.finish(sequence), message.flags()))
            .collect();

        self.send_datagram(
            &pending
                .iter()
                .flat_map(|request| request.bytes.iter().copied())
                .collect::<Vec<_>>(),
        )?;
        self.sequence += messages.len() as u32;

        let marker = self.send_marker()?;
        let mut marked = false;
        while !marked || pending.iter().any(Pending::is_open) {
            for message in self.receive()? {
                if message.sequence == marker {
                    self.check_marker(&message)?;
                    marked = true;
                    continue;
                }
                let index = message.sequence.wrapping_sub(first) as usize;
                let Some(request) = pending.get_mut(index) else {
                    bail!("an answer to nobody: {message:?}");
                };
                request.take(message)?;
            }
        }
        Ok(pending.into_iter().map(|request| request.answer).collect())
    }

    /// Sends any bytes, and collects whatever comes until the kernel has surely dealt with them.
    ///
    /// Parts of a dump may still be on their way after this, so the socket should not be used
    /// again.
    pub fn provoke(&mut self, datagram: &[u8]) -> Result<Vec<Received>> {
        self.send_datagram(datagram)?;
        // No message made from that of a request has a number so high by accident.
        self.sequence = u32::MAX - 1;

        let marker = self.send_marker()?;
        let mut all = Vec::new();
        loop {
            for message in self.receive()? {
                if message.sequence == marker && self.check_marker(&message).is_ok() {
                    return Ok(all);
                }
                all.push(message);
            }
        }
    }

    /// Sends a request, and does not listen.
    pub fn send(&mut self, message: &Message) -> Result<()> {
        self.sequence += 1;
        self.send_datagram(&message.finish(self.sequence))
    }

    fn send_datagram(&mut self, datagram: &[u8]) -> Result<()> {
        self.socket
            .send(datagram)
            .with_context(|| format!("cannot send {} bytes", datagram.len()))
    }

    /// Sends a request that does nothing but be acknowledged.
    fn send_marker(&mut self) -> Result<u32> {
        self.send(&Message::new(NOOP, REQUEST | ACK))?;
        Ok(self.sequence)
    }

    fn check_marker(&self, message: &Received) -> Result<()> {
        match &message.content {
            Content::Acknowledgement { refusal, .. } if *refusal == Refusal::default() => Ok(()),
            other => bail!("the message that does nothing was answered by {other:?}"),
        }
    }

    /// Receives a datagram.
    fn receive(&mut self) -> Result<Vec<Received>> {
        let len = match self.socket.receive(&mut self.buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                bail!("the kernel did not answer for {} s", PATIENCE.as_secs())
            }
            Err(error) => return Err(error).context("cannot receive"),
        };

        let Some(datagram) = self.buffer.get(..len) else {
            bail!("an answer of {len} bytes, more than {}", self.buffer.len());
        };
        let messages = received(datagram).context("the kernel's answer is malformed")?;
        for message in &messages {
            ensure!(
                message.port == self.port,
                "not for this socket: {message:?}"
            );
        }
        Ok(messages)
    }
}

/// A request that is being answered.
struct Pending {
    bytes: Vec<u8>,
    dump: bool,
    answer: Answer,
}

impl Pending {
    fn new(bytes: Vec<u8>, flags: u16) -> Self {
        Self {
            bytes,
            dump: flags & DUMP == DUMP,
            answer: Answer {
                parts: Vec::new(),
                end: End::Silent,
            },
        }
    }

    /// Whether an end must come yet: a dump that has begun ends with a message of its own.
    fn is_open(&self) -> bool {
        self.dump && !self.answer.parts.is_empty() && self.answer.end == End::Silent
    }

    fn take(&mut self, message: Received) -> Result<()> {
        ensure!(
            self.answer.end == End::Silent,
            "after the end of an answer came {message:?}"
        );
        match message.content {
            Content::Part(part) => {
                ensure!(
                    (part.flags & MULTI != 0) == self.dump,
                    "a single answer is one of several parts, or a dump is not: {part:?}"
                );
                self.answer.parts.push(part);
            }
            Content::Done(refusal) => {
                ensure!(self.dump, "the end of parts that were not asked for");
                self.end(refusal);
            }
            Content::Acknowledgement { refusal, request } => {
                ensure!(
                    self.bytes.starts_with(&request),
                    "the acknowledgement is about a request that was not sent: {request:x?}"
                );
                self.end(refusal);
            }
        }
        Ok(())
    }

    fn end(&mut self, refusal: Refusal) {
        self.answer.end = match refusal.errno {
            0 => End::Done,
            _ => End::Refused(refusal),
        };
    }
}
