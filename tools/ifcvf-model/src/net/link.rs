// SPDX-License-Identifier: GPL-2.0

//! Where frames go: back, or through a socket in the format of QEMU's `-netdev stream`, in which
//! each frame follows its length in four bytes, the highest first.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::MAX_FRAME;
use crate::settings::Network;

/// Bytes that wait for the other side to take them; what comes then is dropped, as in a switch.
const MAX_WAITING: usize = 1 << 20;
/// Bytes taken from the socket at a time.
const CHUNK: usize = 1 << 16;
/// Bytes of a frame's length.
const LENGTH: usize = 4;

/// Where frames go.
pub struct Link {
    kind: Network,
    stream: Option<Stream>,
}

/// A connection.
struct Stream {
    socket: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Link {
    /// A link of that kind, with nobody connected.
    pub fn new(kind: &Network) -> Self {
        Self {
            kind: kind.clone(),
            stream: None,
        }
    }

    /// Whether frames come back.
    pub fn is_loop(&self) -> bool {
        self.kind == Network::Loop
    }

    /// The socket to connect to, if there is no connection.
    pub fn to_connect(&self) -> Option<&PathBuf> {
        match &self.kind {
            Network::Connect(path) if self.stream.is_none() => Some(path),
            _ => None,
        }
    }

    /// The socket to listen on.
    pub fn to_listen(&self) -> Option<&PathBuf> {
        match &self.kind {
            Network::Listen(path) => Some(path),
            _ => None,
        }
    }

    /// Takes a connection, in place of the one before.
    ///
    /// # Errors
    ///
    /// If the socket cannot be told not to wait.
    pub fn attach(&mut self, socket: UnixStream) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        self.stream = Some(Stream {
            socket,
            incoming: Vec::new(),
            outgoing: Vec::new(),
        });
        Ok(())
    }

    /// Ends the connection.
    pub fn detach(&mut self) {
        self.stream = None;
    }

    /// The descriptor to wait for frames on.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.stream.as_ref().map(|stream| stream.socket.as_raw_fd())
    }

    /// Whether frames wait for the other side to take them.
    pub fn has_waiting(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(|stream| !stream.outgoing.is_empty())
    }

    /// Sends a frame; `false` if it is lost.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        if stream.outgoing.len() + LENGTH + frame.len() > MAX_WAITING {
            return false;
        }
        stream.outgoing.extend((frame.len() as u32).to_be_bytes());
        stream.outgoing.extend(frame);
        true
    }

    /// Writes as much of what waits as the other side takes, and says whether more is left.
    ///
    /// # Errors
    ///
    /// What the socket says; the connection is then of no more use.
    pub fn flush(&mut self) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else {
            return Ok(false);
        };
        let mut done = 0;
        let result = loop {
            match stream.socket.write(&stream.outgoing[done..]) {
                Ok(0) => break Ok(()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        stream.outgoing.drain(..done);
        result.map(|()| !stream.outgoing.is_empty())
    }

    /// Reads what has arrived and returns the whole frames.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the other side has closed, `InvalidData` for a length that no frame has,
    /// and what the socket says; the connection is then of no more use.
    pub fn receive(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let Some(stream) = &mut self.stream else {
            return Ok(Vec::new());
        };
        let mut chunk = [0; CHUNK];
        match stream.socket.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => stream.incoming.extend(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
        whole_frames(&mut stream.incoming)
    }
}

/// Takes the frames that are there in full.
fn whole_frames(bytes: &mut Vec<u8>) -> io::Result<Vec<Vec<u8>>> {
    let mut frames = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((length, after)) = rest.split_first_chunk::<LENGTH>() {
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_FRAME {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a frame of {length} bytes, at most {MAX_FRAME} are possible"),
            ));
        }
        let Some((frame, after)) = after.split_at_checked(length) else {
            break;
        };
        frames.push(frame.to_vec());
        rest = after;
    }
    let left = rest.len();
    bytes.drain(..bytes.len() - left);
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> (Link, Link) {
        let (near, far) = UnixStream::pair().unwrap();
        let mut links = [near, far].map(|socket| {
            let mut link = Link::new(&Network::Listen("x".into()));
            link.attach(socket).unwrap();
            link
        });
        let [near, far] = &mut links;
        (
            std::mem::replace(near, Link::new(&Network::Loop)),
            std::mem::replace(far, Link::new(&Network::Loop)),
        )
    }

    #[test]
    fn frames_arrive_whole() {
        let (mut near, mut far) = connected();
        let frames: Vec<Vec<u8>> = [14, 60, 1514, MAX_FRAME]
            .iter()
            .map(|&len| (0..len).map(|i| (i % 253) as u8).collect())
            .collect();
        for frame in &frames {
            assert!(near.send(frame));
        }
        let mut arrived = Vec::new();
        while arrived.len() < frames.len() {
            near.flush().unwrap();
            arrived.extend(far.receive().unwrap());
        }
        assert!(arrived == frames);
        assert!(!near.flush().unwrap());
        drop(near);
        assert!(far.receive().is_err());
    }

    #[test]
    fn what_nobody_takes_is_dropped() {
        let (mut near, _far) = connected();
        let frame = vec![0; MAX_FRAME];
        let sent = (0..100)
            .filter(|_| {
                let sent = near.send(&frame);
                near.flush().unwrap();
                sent
            })
            .count();
        assert!((10..100).contains(&sent), "{sent}");
        near.detach();
        assert!(!near.send(&frame));
        assert!(!near.flush().unwrap());
    }

    #[test]
    fn no_frame_is_that_long() {
        let mut bytes = (MAX_FRAME as u32 + 1).to_be_bytes().to_vec();
        assert!(whole_frames(&mut bytes).is_err());
        let mut bytes = vec![0, 0, 0, 2, 7];
        assert!(whole_frames(&mut bytes).unwrap().is_empty());
        bytes.push(8);
        assert_eq!(whole_frames(&mut bytes).unwrap(), [vec![7, 8]]);
        assert!(bytes.is_empty());
    }
}
