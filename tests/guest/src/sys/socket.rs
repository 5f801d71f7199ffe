// SPDX-License-Identifier: GPL-2.0

//! Sockets in general, and those of generic netlink.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use checks::syscall::checked;

use super::length;

/// A socket of any family.
pub(super) struct Socket(OwnedFd);

impl Socket {
    /// Opens one. `protocol` is in the byte order that the family wants.
    pub(super) fn open(
        family: libc::c_int,
        kind: libc::c_int,
        protocol: libc::c_int,
    ) -> io::Result<Self> {
        // SAFETY: The call takes no pointers.
        let fd = checked(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;

        // SAFETY: The descriptor is open, and nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(super) fn fd(&self) -> libc::c_int {
        self.0.as_raw_fd()
    }

    /// Binds to an address, which must be of a type that the family's `bind` takes.
    pub(super) fn bind<A: Address>(&self, address: &A) -> io::Result<()> {
        // SAFETY: `address` is valid for reads of the length given.
        checked(unsafe {
            libc::bind(
                self.fd(),
                std::ptr::from_ref(address).cast(),
                size_of::<A>() as libc::socklen_t,
            )
        })?;
        Ok(())
    }

    /// Sets an option whose value is a plain number.
    pub(super) fn set(
        &self,
        level: libc::c_int,
        option: libc::c_int,
        value: libc::c_int,
    ) -> io::Result<()> {
        // SAFETY: `value` is valid for reads of its size, which is the length given.
        checked(unsafe {
            libc::setsockopt(
                self.fd(),
                level,
                option,
                std::ptr::from_ref(&value).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        })?;
        Ok(())
    }

    /// Makes every receiving call give up after `timeout`.
    pub(super) fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        let value = libc::timeval {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_usec: timeout.subsec_micros().into(),
        };

        // SAFETY: `value` is valid for reads of its size, which is the length given.
        checked(unsafe {
            libc::setsockopt(
                self.fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                std::ptr::from_ref(&value).cast(),
                size_of::<libc::timeval>() as libc::socklen_t,
            )
        })?;
        Ok(())
    }
}

/// Types of a socket's address.
///
/// # Safety
///
/// The type must be one of libc's `sockaddr_*` structures.
pub(super) unsafe trait Address {}

// SAFETY: It is one of libc's.
unsafe impl Address for libc::sockaddr_nl {}

// SAFETY: It is one of libc's.
unsafe impl Address for libc::sockaddr_ll {}

/// Not in libc for every target: `linux/netlink.h`.
const NETLINK_EXT_ACK: libc::c_int = 11;

/// A socket of generic netlink, connected with the kernel.
pub struct Netlink(Socket);

impl Netlink {
    /// Opens one that asks for extended acknowledgements and waits at most `timeout` for anything.
    pub fn open(timeout: Duration) -> io::Result<Self> {
        let socket = Socket::open(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_GENERIC)?;

        // SAFETY: All zeroes are a valid value of the structure: the kernel then picks the port.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };

        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        socket.bind(&address)?;
        socket.set(libc::SOL_NETLINK, NETLINK_EXT_ACK, 1)?;
        socket.set_timeout(timeout)?;
        Ok(Self(socket))
    }

    /// Gives the port number that the kernel picked.
    pub fn port(&self) -> io::Result<u32> {
        // SAFETY: All zeroes are a valid value of the structure.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        let mut len = size_of::<libc::sockaddr_nl>() as libc::socklen_t;

        // SAFETY: `address` is valid for writes of `len` bytes, and `len` for reads and writes.
        checked(unsafe {
            libc::getsockname(
                self.0.fd(),
                std::ptr::from_mut(&mut address).cast(),
                &mut len,
            )
        })?;
        Ok(address.nl_pid)
    }

    /// Sends one datagram to the kernel, which may hold any number of messages.
    ///
    /// The kernel carries out what they ask for before this returns.
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        // SAFETY: `datagram` is valid for reads of its length.
        let sent = length(unsafe {
            libc::send(self.0.fd(), datagram.as_ptr().cast(), datagram.len(), 0)
        })?;

        if sent != datagram.len() {
            return Err(io::Error::other(format!(
                "sent {sent} of {} bytes",
                datagram.len()
            )));
        }
        Ok(())
    }

    /// Receives one datagram into `buffer`, and gives its full length, which may be more than fits.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: `buffer` is valid for writes of its length.
        length(unsafe {
            libc::recv(
                self.0.fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_TRUNC,
            )
        })
    }
}
