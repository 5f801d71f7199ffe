// SPDX-License-Identifier: GPL-2.0

//! The configuration space, and being told of its changes.

use crate::{
    call::eventfd,
    device::VhostVdpa,
    ioctl::Argument,
    session::Session, //
};
use kernel::{
    alloc::KVVec,
    device::Bound,
    prelude::*, //
};
use vdpa::Device;

/// The length of `struct vhost_vdpa_config` without its contents.
const HEADER: usize = 8;

/// A part of the configuration space.
#[derive(Clone, Copy)]
pub(crate) struct ConfigRange {
    offset: u32,
    len: u32,
}

impl From<[u32; 2]> for ConfigRange {
    /// Takes the beginning of `struct vhost_vdpa_config`.
    fn from([offset, len]: [u32; 2]) -> Self {
        Self { offset, len }
    }
}

impl ConfigRange {
    /// Checks that the device has all of it. Returns a buffer for it.
    fn buffer(self, dev: &Device<Bound>) -> Result<KVVec<u8>> {
        let end = u64::from(self.offset) + u64::from(self.len);

        if self.len == 0 || usize::try_from(end)? > dev.config_size() {
            return Err(EINVAL);
        }
        Ok(KVVec::from_elem(0, usize::try_from(self.len)?, GFP_KERNEL)?)
    }
}

/// Reads from the configuration space into what follows the header of the argument.
///
/// # Errors
///
/// `EINVAL` where the range is empty, or not all of it is there.
pub(crate) fn read(vhost: &VhostVdpa, range: ConfigRange, arg: Argument) -> Result {
    let buf = vhost.with(|_, dev| {
        let mut buf = range.buffer(dev)?;

        dev.read_config(range.offset, &mut buf);
        Ok(buf)
    })?;

    arg.put_bytes(HEADER, &buf)
}

/// Writes to the configuration space what follows the header of the argument.
///
/// # Errors
///
/// As for [`read`].
pub(crate) fn write(vhost: &VhostVdpa, range: ConfigRange, arg: Argument) -> Result {
    let mut buf = vhost.with(|_, dev| range.buffer(dev))?;
    let mut reader = arg.reader(HEADER + buf.len());

    reader.skip(HEADER)?;
    reader.read_slice(&mut buf)?;
    vhost.with(|_, dev| {
        dev.write_config(range.offset, &buf);
        Ok(())
    })
}

impl Session {
    /// Sets the eventfd that is signalled when the configuration has changed, or none (-1).
    ///
    /// # Errors
    ///
    /// `EBADF` where `fd` is not open, `EINVAL` where it is not an eventfd.
    pub(crate) fn set_config_call(&mut self, dev: &Device<Bound>, fd: i32) -> Result {
        let eventfd = eventfd(fd)?;

        if eventfd.is_some() {
            self.callbacks.install_config(dev)?;
        }
        drop(self.callbacks.config().set(eventfd));
        Ok(())
    }
}
