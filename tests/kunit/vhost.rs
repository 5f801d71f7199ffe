// SPDX-License-Identifier: GPL-2.0

//! A device that is open for userspace, of which the test is the process.

use crate::{
    bed::Bed,
    device::VhostVdpa,
    full::Full,
    ioctl::ioctl,
    user::UserMemory, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    transmute::{
        AsBytes,
        FromBytes, //
    }, //
};
use vdpa::{
    chardev::Mappings,
    Doorbells, //
};

/// The device, and memory of the process.
pub(crate) struct Vhost {
    pub(crate) vhost: Arc<VhostVdpa>,
    pub(crate) bed: Bed<Full>,
    pub(crate) user: UserMemory,
}

impl Vhost {
    /// Opens a device that takes whole address spaces.
    pub(crate) fn new() -> Result<Self> {
        let user = UserMemory::new(4)?;
        let bed = Bed::set_map()?;
        let vhost = bed.with(VhostVdpa::new)?;

        vhost.open(Doorbells::new(Mappings::without_file()?)?)?;
        bed.parent().calls.take();
        Ok(Self { vhost, bed, user })
    }

    /// The same, with the process as its owner.
    pub(crate) fn owned() -> Result<Self> {
        let this = Self::new()?;

        this.bare(crate::uapi::SET_OWNER)?;
        Ok(this)
    }

    /// An ioctl without an argument.
    pub(crate) fn bare(&self, cmd: u32) -> Result {
        ioctl(&self.vhost, cmd, 0)
    }

    /// An ioctl with the address of its argument.
    pub(crate) fn at(&self, cmd: u32, addr: usize) -> Result {
        ioctl(&self.vhost, cmd, addr)
    }

    /// An ioctl with a value.
    pub(crate) fn set<T: AsBytes>(&self, cmd: u32, value: &T) -> Result {
        self.user.put(self.user.addr(), value)?;
        self.at(cmd, self.user.addr())
    }

    /// An ioctl that returns a value in the place of what it is given.
    pub(crate) fn ask<T: AsBytes, R: FromBytes>(&self, cmd: u32, value: &T) -> Result<R> {
        self.set(cmd, value)?;
        self.user.get(self.user.addr())
    }

    /// An ioctl that returns a value.
    pub(crate) fn get<R: FromBytes>(&self, cmd: u32) -> Result<R> {
        self.ask(cmd, &[0xeeee_eeee_eeee_eeee_u64; 4])
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        self.vhost.close();
    }
}
