// SPDX-License-Identifier: GPL-2.0

//! Messages of the vfio-user protocol, as far as QEMU's client uses it.
//!
//! All numbers are in the byte order of the machine, which is little-endian wherever this runs
//! together with QEMU.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use vmm_sys_util::sock_ctrl_msg::ScmSocket;

/// Commands, with the numbers that they have in messages.
#[allow(missing_docs)]
pub mod command {
    pub const VERSION: u16 = 1;
    pub const DMA_MAP: u16 = 2;
    pub const DMA_UNMAP: u16 = 3;
    pub const DEVICE_GET_INFO: u16 = 4;
    pub const DEVICE_GET_REGION_INFO: u16 = 5;
    pub const DEVICE_GET_IRQ_INFO: u16 = 7;
    pub const DEVICE_SET_IRQS: u16 = 8;
    pub const REGION_READ: u16 = 9;
    pub const REGION_WRITE: u16 = 10;
    pub const DEVICE_RESET: u16 = 13;
    pub const REGION_WRITE_MULTI: u16 = 15;
}

/// Bytes of the header of a message.
const HEADER: usize = 16;
/// Bytes that one message may read or write at most.
pub const MAX_TRANSFER: u32 = 1 << 20;
/// Bytes of the largest message: a transfer and what describes it.
const MAX_MESSAGE: usize = MAX_TRANSFER as usize + 4096;

/// The kind of a message, in its flags.
const TYPE: u32 = 0xf;
const TYPE_REPLY: u32 = 1;
/// No reply is wanted.
const NO_REPLY: u32 = 1 << 4;
/// The reply tells of an error.
const ERROR: u32 = 1 << 5;

/// What this server can do. One descriptor for each message keeps receiving them simple.
pub const CAPABILITIES: &str = "{\"capabilities\":{\"max_msg_fds\":1,\
     \"max_data_xfer_size\":1048576,\"write_multiple\":true}}\0";

/// A request that was received.
pub struct Message {
    id: u16,
    flags: u32,
    /// Which it is, see [`command`].
    pub command: u16,
    /// What follows the header.
    pub body: Body,
    /// The file descriptor that came with it.
    pub file: Option<File>,
}

/// The bytes of a message after its header.
#[derive(Default)]
pub struct Body(pub Vec<u8>);

impl Body {
    /// Some of its bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is shorter.
    pub fn bytes(&self, offset: usize, len: usize) -> io::Result<&[u8]> {
        offset
            .checked_add(len)
            .and_then(|end| self.0.get(offset..end))
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
    }

    fn array<const N: usize>(&self, offset: usize) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(offset, N)?);
        Ok(array)
    }

    /// A number of 16 bits; errors as [`Body::bytes`].
    pub fn u16(&self, offset: usize) -> io::Result<u16> {
        self.array(offset).map(u16::from_ne_bytes)
    }

    /// A number of 32 bits; errors as [`Body::bytes`].
    pub fn u32(&self, offset: usize) -> io::Result<u32> {
        self.array(offset).map(u32::from_ne_bytes)
    }

    /// A number of 64 bits; errors as [`Body::bytes`].
    pub fn u64(&self, offset: usize) -> io::Result<u64> {
        self.array(offset).map(u64::from_ne_bytes)
    }

    /// Appends a number of 32 bits.
    pub fn push_u32(&mut self, value: u32) {
        self.0.extend(value.to_ne_bytes());
    }

    /// Appends a number of 64 bits.
    pub fn push_u64(&mut self, value: u64) {
        self.0.extend(value.to_ne_bytes());
    }
}

impl Message {
    /// Receives a message; `None` if the other side has closed the connection before it.
    ///
    /// # Errors
    ///
    /// What the socket says, and `InvalidData` for what is no request. The connection is then to be
    /// closed, for nobody knows where the next message begins.
    pub fn receive(socket: &mut UnixStream) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER];
        let (mut count, file) = loop {
            // A descriptor comes with the first bytes.
            match socket.recv_with_fd(&mut bytes) {
                Err(error) if error.errno() == libc::EINTR => (),
                result => break result.map_err(io::Error::from)?,
            }
        };
        if count == 0 {
            return Ok(None);
        }
        while count < HEADER {
            match socket.read(&mut bytes[count..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => count += more,
            }
        }
        let header = Body(bytes.to_vec());
        let (size, flags) = (header.u32(4)? as usize, header.u32(8)?);
        if !(HEADER..=MAX_MESSAGE).contains(&size) {
            return Err(invalid(format!(
                "a message of {size} bytes, {HEADER} to {MAX_MESSAGE} are possible"
            )));
        }
        let mut body = vec![0; size - HEADER];
        socket.read_exact(&mut body)?;
        if flags & TYPE != 0 {
            return Err(invalid(format!("flags {flags:#x} are not a request's")));
        }
        Ok(Some(Self {
            id: header.u16(0)?,
            flags,
            command: header.u16(2)?,
            body: Body(body),
            file,
        }))
    }

    /// Sends the reply, if one is wanted: an error confuses a client that asked for none.
    ///
    /// # Errors
    ///
    /// What the socket says.
    pub fn reply(&self, socket: &mut UnixStream, result: io::Result<Body>) -> io::Result<()> {
        if self.flags & NO_REPLY != 0 {
            return Ok(());
        }
        let (flags, errno, body) = match result {
            Ok(body) => (TYPE_REPLY, 0, body),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                (TYPE_REPLY | ERROR, errno as u32, Body::default())
            }
        };
        let mut bytes = Vec::with_capacity(HEADER + body.0.len());
        bytes.extend(self.id.to_ne_bytes());
        bytes.extend(self.command.to_ne_bytes());
        bytes.extend(((HEADER + body.0.len()) as u32).to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(errno.to_ne_bytes());
        bytes.extend(body.0);
        socket.write_all(&bytes)
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is received of these bytes, after which the other side closes.
    fn received(bytes: &[u8]) -> io::Result<Option<Message>> {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        far.write_all(bytes).unwrap();
        drop(far);
        Message::receive(&mut near)
    }

    fn header(command: u16, size: u32, flags: u32) -> Vec<u8> {
        let mut bytes = 7u16.to_ne_bytes().to_vec();
        bytes.extend(command.to_ne_bytes());
        bytes.extend(size.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn requests() {
        assert!(received(b"").unwrap().is_none());
        let mut bytes = header(command::DEVICE_RESET, 20, 0);
        bytes.extend([1, 2, 3, 4]);
        let message = received(&bytes).unwrap().unwrap();
        assert_eq!(message.command, command::DEVICE_RESET);
        assert_eq!(message.body.0, [1, 2, 3, 4]);
        assert!(message.file.is_none());
        assert!(message.body.u32(1).is_err());
        assert!(message.body.bytes(usize::MAX, 2).is_err());
    }

    #[test]
    fn broken_connections() {
        for bytes in [
            &header(1, 16, 0)[..7],
            &header(1, 17, 0),
            &header(1, 15, 0),
            &header(1, u32::MAX, 0),
            &header(1, 16, 1),
        ] {
            assert!(received(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn replies() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let mut reply_to = |flags, result| {
            let message = received(&header(9, 16, flags)).unwrap().unwrap();
            message.reply(&mut near, result).unwrap();
        };
        reply_to(NO_REPLY, Err(io::Error::from_raw_os_error(libc::EINVAL)));
        reply_to(0, Ok(Body(vec![5])));
        reply_to(0, Err(io::Error::from_raw_os_error(libc::EEXIST)));
        drop(near);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).unwrap();
        let expected = [header(9, 17, 1), vec![5], header(9, 16, 0x21)].concat();
        assert_eq!(bytes[..29], expected[..29]);
        assert_eq!(bytes[29..], (libc::EEXIST as u32).to_ne_bytes());
    }
}
