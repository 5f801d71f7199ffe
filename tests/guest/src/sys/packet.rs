// SPDX-License-Identifier: GPL-2.0

//! Sockets that carry whole link-layer frames of one interface.

use std::io;
use std::mem::size_of;
use std::time::Duration;

use checks::syscall::checked;

use super::socket::Socket;

/// Memory that the kernel may keep for frames received and not yet read: far more than in flight.
const BUFFER: libc::c_int = 16 << 20;

/// Not in libc for every target: `linux/if_packet.h`.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// Sends and receives frames of one EtherType on one interface.
pub struct Packet {
    socket: Socket,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

/// What the kernel threw away because nobody read it.
pub struct Dropped(pub u32);

impl Packet {
    /// Opens a socket on the interface with index `interface`.
    ///
    /// Receiving calls give up after `timeout`. Needs `CAP_NET_RAW` and `CAP_NET_ADMIN`.
    pub fn open(interface: u32, ethertype: u16, timeout: Duration) -> io::Result<Self> {
        // Protocol 0: receives nothing until it is bound.
        let socket = Socket::open(libc::AF_PACKET, libc::SOCK_RAW, 0)?;

        socket.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER)?;
        socket.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, BUFFER)?;
        socket.set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
        socket.set_timeout(timeout)?;

        // SAFETY: All zeroes are a valid value of the structure.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };

        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ethertype.to_be();
        address.sll_ifindex = interface as libc::c_int;
        socket.bind(&address)?;
        Ok(Self {
            socket,
            vectors: Vec::new(),
            headers: Vec::new(),
        })
    }

    /// Lets the headers point to `frames`, in their order.
    ///
    /// The pointers are used by the one system call that follows, while `frames` is borrowed.
    fn point_to<'a>(&mut self, frames: impl Iterator<Item = (*mut u8, usize)> + 'a) {
        self.vectors.clear();
        self.vectors.extend(frames.map(|(base, len)| libc::iovec {
            iov_base: base.cast(),
            iov_len: len,
        }));

        self.headers.clear();
        self.headers.extend(self.vectors.iter_mut().map(|vector| {
            // SAFETY: All zeroes are a valid value of the structure.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };

            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header
        }));
    }

    /// Sends `frames` in order, and returns how many of them were taken; at least one was.
    pub fn send(&mut self, frames: &[&[u8]]) -> io::Result<usize> {
        // The kernel only reads from the frames, whatever the pointers' type says.
        self.point_to(
            frames
                .iter()
                .map(|frame| (frame.as_ptr().cast_mut(), frame.len())),
        );

        // SAFETY: The headers point to `vectors`, which point to `frames`, each valid for reads of
        // the length given with it. All of them outlive the call.
        checked(unsafe {
            libc::sendmmsg(
                self.socket.fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                0,
            )
        })
        .map(|sent| sent as usize)
    }

    /// Receives up to as many frames as there are `buffers`, and waits for the first of them only.
    ///
    /// `take` is told the index of each buffer filled and the full length of its frame, which may
    /// be more than fits.
    pub fn receive(
        &mut self,
        buffers: &mut [Vec<u8>],
        mut take: impl FnMut(usize, usize),
    ) -> io::Result<usize> {
        self.point_to(
            buffers
                .iter_mut()
                .map(|buffer| (buffer.as_mut_ptr(), buffer.len())),
        );

        // SAFETY: The headers point to `vectors`, which point to `buffers`, each valid for writes
        // of the length given with it. All of them outlive the call.
        let received = checked(unsafe {
            libc::recvmmsg(
                self.socket.fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_WAITFORONE | libc::MSG_TRUNC,
                std::ptr::null_mut(),
            )
        })? as usize;

        for (index, header) in self.headers[..received].iter().enumerate() {
            take(index, header.msg_len as usize);
        }
        Ok(received)
    }

    /// Tells how many frames the socket itself threw away since it was last asked.
    pub fn dropped(&self) -> io::Result<Dropped> {
        // SAFETY: All zeroes are a valid value of the structure.
        let mut statistics: libc::tpacket_stats = unsafe { std::mem::zeroed() };
        let mut len = size_of::<libc::tpacket_stats>() as libc::socklen_t;

        // SAFETY: `statistics` is valid for writes of `len` bytes, `len` for reads and writes.
        checked(unsafe {
            libc::getsockopt(
                self.socket.fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                std::ptr::from_mut(&mut statistics).cast(),
                &mut len,
            )
        })?;
        Ok(Dropped(statistics.tp_drops))
    }
}
