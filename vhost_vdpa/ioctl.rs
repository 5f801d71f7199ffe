// SPDX-License-Identifier: GPL-2.0

//! From an ioctl's number to what it does.
//!
//! Memory of the process is only touched without the device's lock: reading or writing it can take
//! as long as another process likes (`userfaultfd`), and the device may have to go meanwhile. So
//! arguments are read first, and results are written last.

use crate::{
    config::{
        self,
        ConfigRange, //
    },
    device::VhostVdpa,
    mem_table,
    session::Session,
    uapi,
    vring::Addresses, //
};
use kernel::{
    device::Bound,
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader, //
    }, //
};
use vdpa::{
    Asid,
    Device,
    Features,
    GroupId,
    Status, //
};

/// The argument of an ioctl: the address of something in the memory of the process.
#[derive(Clone, Copy)]
pub(crate) struct Argument(usize);

impl Argument {
    /// Reads a value.
    fn get<T: FromBytes>(self) -> Result<T> {
        self.reader(size_of::<T>()).read()
    }

    /// Writes a value.
    fn put<T: AsBytes>(self, value: &T) -> Result {
        UserSlice::new(UserPtr::from_addr(self.0), size_of::<T>())
            .writer()
            .write(value)
    }

    /// Writes bytes, beginning `offset` bytes into the argument.
    pub(crate) fn put_bytes(self, offset: usize, bytes: &[u8]) -> Result {
        UserSlice::new(UserPtr::from_addr(self.0.wrapping_add(offset)), bytes.len())
            .writer()
            .write_slice(bytes)
    }

    /// Returns a reader of `len` bytes.
    pub(crate) fn reader(self, len: usize) -> UserSliceReader {
        UserSlice::new(UserPtr::from_addr(self.0), len).reader()
    }
}

/// Does what `cmd` says.
///
/// # Errors
///
/// `ENODEV` where the device is gone, `EFAULT` where the memory of the process cannot be accessed,
/// `ENOTTY` for numbers that are none of this driver's; others as the single ones say.
pub(crate) fn ioctl(vhost: &VhostVdpa, cmd: u32, arg: usize) -> Result {
    let arg = Argument(arg);

    // Whatever the argument is.
    vhost.check()?;
    match cmd {
        uapi::GET_DEVICE_ID => arg.put(&query(vhost, |dev| dev.device_id())?),
        uapi::GET_STATUS => arg.put(&query(vhost, |dev| dev.status().0)?),
        uapi::GET_FEATURES => arg.put(&query(vhost, |dev| dev.device_features().0)?),
        uapi::GET_VRING_NUM => arg.put(&query(vhost, |dev| dev.vq_num_max())?),
        uapi::GET_VQS_COUNT => arg.put(&query(vhost, |dev| dev.nvqs())?),
        uapi::GET_GROUP_NUM => arg.put(&query(vhost, |dev| dev.ngroups())?),
        uapi::GET_AS_NUM => arg.put(&query(vhost, |dev| dev.nas())?),
        uapi::GET_CONFIG_SIZE => {
            let size = query(vhost, |dev| dev.config_size())?;

            arg.put(&u32::try_from(size)?)
        }
        uapi::GET_IOVA_RANGE => {
            let range = vhost.with(|session, _| Ok(session.iova_range()))?;

            arg.put(&[range.first, range.last])
        }

        uapi::SET_STATUS => {
            let status = Status(arg.get()?);

            vhost.with(|session, dev| session.set_status(dev, status))
        }
        uapi::SUSPEND => vhost.with(Session::suspend),
        uapi::RESUME => vhost.with(Session::resume),

        uapi::SET_FEATURES => {
            let features = Features(arg.get()?);

            vhost.with(|session, dev| session.set_features(dev, features))
        }
        uapi::GET_BACKEND_FEATURES => arg.put(&query(vhost, Session::offered_backend_features)?),
        uapi::SET_BACKEND_FEATURES => {
            let features = arg.get()?;

            vhost.with(|session, dev| session.set_backend_features(dev, features))
        }

        uapi::GET_CONFIG => config::read(vhost, ConfigRange::from(arg.get::<[u32; 2]>()?), arg),
        uapi::SET_CONFIG => config::write(vhost, ConfigRange::from(arg.get::<[u32; 2]>()?), arg),
        uapi::SET_CONFIG_CALL => {
            let fd = arg.get()?;

            vhost.with(|session, dev| session.set_config_call(dev, fd))
        }

        uapi::SET_OWNER => vhost.with(Session::set_owner),
        uapi::GET_FORK_FROM_OWNER => {
            arg.put(&vhost.with(|session, _| Ok(session.fork_from_owner()))?)
        }
        uapi::SET_FORK_FROM_OWNER => {
            let fork = arg.get()?;

            vhost.with(|session, _| session.set_fork_from_owner(fork))
        }
        uapi::SET_MEM_TABLE => {
            vhost.with(|session, _| session.check_owner())?;
            mem_table::check(arg)
        }

        _ => vring_ioctl(vhost, cmd, arg),
    }
}

/// Does what `cmd` says about a virtqueue, or a group of them.
fn vring_ioctl(vhost: &VhostVdpa, cmd: u32, arg: Argument) -> Result {
    match cmd {
        uapi::SET_VRING_NUM => set(vhost, arg, Session::set_vring_num),
        uapi::SET_VRING_BASE => set(vhost, arg, Session::set_vring_base),
        uapi::SET_VRING_ENABLE => set(vhost, arg, Session::set_vring_enable),
        uapi::SET_VRING_BUSYLOOP_TIMEOUT => set(vhost, arg, Session::set_busyloop_timeout),
        uapi::GET_VRING_BASE => get(vhost, arg, Session::vring_base),
        uapi::GET_VRING_SIZE => get(vhost, arg, Session::vring_size),
        uapi::GET_VRING_GROUP => get(vhost, arg, Session::vring_group),
        uapi::GET_VRING_DESC_GROUP => get(vhost, arg, Session::vring_desc_group),
        uapi::GET_VRING_BUSYLOOP_TIMEOUT => get(vhost, arg, Session::busyloop_timeout),

        // The second number is a file descriptor: an `int`.
        uapi::SET_VRING_KICK => set(vhost, arg, |session, dev, index, fd| {
            session.set_vring_kick(dev, index, fd as i32)
        }),
        uapi::SET_VRING_CALL => set(vhost, arg, |session, dev, index, fd| {
            session.set_vring_call(dev, index, fd as i32)
        }),
        uapi::SET_VRING_ERR => set(vhost, arg, |session, dev, index, fd| {
            session.set_vring_err(dev, index, fd as i32)
        }),

        uapi::SET_GROUP_ASID => set(vhost, arg, |session, dev, group, asid| {
            session.set_group_asid(dev, GroupId(group), Asid(asid))
        }),
        uapi::SET_VRING_ADDR => {
            let addresses = Addresses::read(arg)?;

            vhost.with(|session, dev| session.set_vring_addr(dev, &addresses))
        }

        _ => Err(ENOTTY),
    }
}

/// Asks the device something that does not depend on what was set up.
fn query<R>(vhost: &VhostVdpa, ask: impl FnOnce(&Device<Bound>) -> R) -> Result<R> {
    vhost.with(|_, dev| Ok(ask(dev)))
}

/// Has `change` a number of a virtqueue (`struct vhost_vring_state`, `struct vhost_vring_file`).
fn set(
    vhost: &VhostVdpa,
    arg: Argument,
    change: impl FnOnce(&mut Session, &Device<Bound>, u32, u32) -> Result,
) -> Result {
    let [index, num] = arg.get::<[u32; 2]>()?;

    vhost.with(|session, dev| change(session, dev, index, num))
}

/// Returns a number of a virtqueue (`struct vhost_vring_state`).
fn get(
    vhost: &VhostVdpa,
    arg: Argument,
    ask: impl FnOnce(&Session, &Device<Bound>, u32) -> Result<u32>,
) -> Result {
    let index = arg.get::<u32>()?;
    let num = vhost.with(|session, dev| ask(session, dev, index))?;

    arg.put(&[index, num])
}
