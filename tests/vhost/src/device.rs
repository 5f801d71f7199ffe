// SPDX-License-Identifier: GPL-2.0

//! An open `/dev/vhost-vdpa-N`, call by call.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::Result;
use libc::EOPNOTSUPP;

use crate::iotlb;
use crate::sys::{self, Argument, Mailbox, Place, Request};
use crate::uapi::*;

/// The errno of an error, or 0 if it has none.
pub fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// What is not supported is nothing; all else that fails does.
pub fn supported<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if errno(&error) == EOPNOTSUPP => Ok(None),
        result => result.map(Some),
    }
}

/// An open device. Whatever is asked of it goes to the kernel as it is.
pub struct Device(File);

impl Device {
    /// Opens a device to read and write.
    pub fn open(path: &str) -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map(Self)
    }

    /// Opens a device to write only.
    pub fn open_to_write(path: &str) -> io::Result<Self> {
        OpenOptions::new().write(true).open(path).map(Self)
    }

    /// The same open file once more: it is closed when all are.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// The file, for another process.
    pub fn into_file(self) -> File {
        self.0
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// Makes an ioctl with any argument.
    pub fn ioctl(&self, request: Request, argument: Argument<'_>) -> io::Result<i32> {
        sys::ioctl(self.0.as_fd(), request, argument)
    }

    /// Makes an ioctl with bytes that are read, written, or both.
    pub fn call(&self, request: Request, bytes: &mut [u8]) -> io::Result<i32> {
        self.ioctl(request, Argument::Bytes(bytes))
    }

    /// Makes an ioctl with what is in a mailbox.
    pub fn call_mail(&self, request: Request, mail: &Mailbox, place: Place) -> io::Result<i32> {
        self.ioctl(request, Argument::Mail(mail, place))
    }

    /// Makes an ioctl that has no argument.
    pub fn plain(&self, request: Request) -> io::Result<()> {
        self.ioctl(request, Argument::Nowhere(0)).map(drop)
    }

    /// Makes an ioctl to which bytes are given.
    pub fn set<const N: usize>(&self, request: Request, mut bytes: [u8; N]) -> io::Result<()> {
        self.call(request, &mut bytes).map(drop)
    }

    /// Makes an ioctl that gives bytes.
    pub fn get<const N: usize>(&self, request: Request) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];

        self.call(request, &mut bytes)?;
        Ok(bytes)
    }

    /// Makes an ioctl that gives a number of a virtqueue.
    pub fn ask(&self, request: Request, index: u32) -> io::Result<u32> {
        let mut bytes = vring_state(index, 0);

        self.call(request, &mut bytes)?;
        Ok(u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]))
    }

    /// The features that the device offers.
    pub fn features(&self) -> io::Result<u64> {
        self.get(VHOST_GET_FEATURES).map(u64::from_ne_bytes)
    }

    /// The backend features that the driver offers.
    pub fn backend_features(&self) -> io::Result<u64> {
        self.get(VHOST_GET_BACKEND_FEATURES).map(u64::from_ne_bytes)
    }

    /// Accepts features of the device.
    pub fn set_features(&self, features: u64) -> io::Result<()> {
        self.set(VHOST_SET_FEATURES, features.to_ne_bytes())
    }

    /// Accepts backend features.
    pub fn set_backend_features(&self, features: u64) -> io::Result<()> {
        self.set(VHOST_SET_BACKEND_FEATURES, features.to_ne_bytes())
    }

    /// The device's status.
    pub fn status(&self) -> io::Result<u8> {
        self.get(VHOST_VDPA_GET_STATUS).map(|[status]| status)
    }

    /// Sets the device's status.
    pub fn set_status(&self, status: u8) -> io::Result<()> {
        self.set(VHOST_VDPA_SET_STATUS, [status])
    }

    /// Reads from the configuration space.
    pub fn config(&self, offset: u32, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; CONFIG_HEADER_SIZE + len];
        let mailbox = Mailbox::new()?;

        bytes[..CONFIG_HEADER_SIZE].copy_from_slice(&vring_state(offset, len as u32));
        let place = mailbox.put(&bytes)?;
        self.call_mail(VHOST_VDPA_GET_CONFIG, &mailbox, place)?;
        Ok(mailbox
            .read(place, bytes.len())?
            .split_off(CONFIG_HEADER_SIZE))
    }

    /// A 32-bit number of the whole device.
    pub fn number(&self, request: Request) -> io::Result<u32> {
        self.get(request).map(u32::from_ne_bytes)
    }

    /// Gives a file to a virtqueue, or takes it away.
    pub fn set_file(&self, request: Request, index: u32, fd: i32) -> io::Result<()> {
        self.set(request, vring_file(index, fd))
    }

    /// Sends a message, and expects that all of it is taken.
    pub fn send(&self, message: &iotlb::Message) -> io::Result<()> {
        let bytes = message.bytes();

        match self.write(&bytes)? {
            taken if taken == bytes.len() => Ok(()),
            taken => Err(io::Error::other(format!(
                "{taken} of {} bytes taken",
                bytes.len()
            ))),
        }
    }

    /// Writes bytes, whatever they are, and tells how many were taken.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    /// Waits for events of the device itself.
    pub fn poll(&self, events: i16, timeout: Duration) -> io::Result<i16> {
        sys::poll(&self.0, events, timeout)
    }
}

impl From<File> for Device {
    fn from(file: File) -> Self {
        Self(file)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
