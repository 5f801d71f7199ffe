// SPDX-License-Identifier: GPL-2.0

//! MSI-X vectors: each is an event descriptor that QEMU turns into an interrupt.

use std::fs::File;
use std::io::{self, Write};

/// No vector (`VIRTIO_MSI_NO_VECTOR`).
pub const NO_VECTOR: u16 = 0xffff;

/// The vectors of a function.
pub struct Interrupts {
    vectors: Vec<Option<File>>,
    /// How many were sent.
    pub sent: u64,
}

impl Interrupts {
    /// So many vectors, none of them in use.
    pub fn new(count: u16) -> Self {
        Self {
            vectors: (0..count).map(|_| None).collect(),
            sent: 0,
        }
    }

    /// The number of vectors.
    pub fn count(&self) -> u16 {
        self.vectors.len() as u16
    }

    /// What becomes of a vector that the driver writes to a register.
    pub fn accepted(&self, vector: u16) -> u16 {
        if vector < self.count() {
            vector
        } else {
            NO_VECTOR
        }
    }

    /// Sets where some vectors go; nowhere without a file.
    ///
    /// # Errors
    ///
    /// `EINVAL` for vectors that are not there, or one file for several.
    pub fn set(&mut self, start: u32, count: u32, file: Option<File>) -> io::Result<()> {
        let end = start.checked_add(count);
        let wanted = end.and_then(|end| self.vectors.get_mut(start as usize..end as usize));
        match (wanted, file) {
            (Some([vector]), Some(file)) => *vector = Some(file),
            (Some(vectors), None) => vectors.iter_mut().for_each(|vector| *vector = None),
            _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
        Ok(())
    }

    /// Disconnects all vectors.
    pub fn clear(&mut self) {
        self.vectors.iter_mut().for_each(|vector| *vector = None);
    }

    /// Sends an interrupt, if the vector is in use.
    pub fn send(&mut self, vector: u16) {
        if let Some(Some(file)) = self.vectors.get_mut(usize::from(vector)) {
            // An event counter that is at its end already says what is to be said.
            if file.write_all(&1u64.to_ne_bytes()).is_ok() {
                self.sent += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    /// Something that takes eight bytes, and its other end.
    fn event() -> (File, File) {
        let (near, far) = UnixStream::pair().unwrap();
        (OwnedFd::from(near).into(), OwnedFd::from(far).into())
    }

    #[test]
    fn vectors() {
        let mut interrupts = Interrupts::new(3);
        assert_eq!(interrupts.accepted(2), 2);
        assert_eq!(interrupts.accepted(3), NO_VECTOR);

        let (near, mut far) = event();
        interrupts.set(1, 1, Some(near)).unwrap();
        interrupts.send(0);
        interrupts.send(NO_VECTOR);
        assert_eq!(interrupts.sent, 0);
        interrupts.send(1);
        assert_eq!(interrupts.sent, 1);
        let mut count = [0; 8];
        far.read_exact(&mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 1);

        interrupts.set(0, 3, None).unwrap();
        interrupts.send(1);
        assert_eq!(interrupts.sent, 1);
    }

    #[test]
    fn refused() {
        let mut interrupts = Interrupts::new(3);
        assert!(interrupts.set(3, 1, None).is_err());
        assert!(interrupts.set(u32::MAX, 2, None).is_err());
        assert!(interrupts.set(0, 2, Some(event().0)).is_err());
    }
}
