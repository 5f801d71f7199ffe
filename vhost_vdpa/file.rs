// SPDX-License-Identifier: GPL-2.0

//! The open character device.

use crate::{
    device::VhostVdpa,
    doorbell,
    ioctl,
    spaces, //
};
use kernel::{
    fs,
    iov::IovIterSource,
    mm::virt::VmaNew,
    prelude::*,
    sync::{
        poll::PollTable,
        Arc,
        ArcBorrow, //
    }, //
};
use vdpa::{
    chardev::{
        self,
        events, //
    },
    Doorbells, //
};

/// An open file.
pub(crate) struct File {
    vhost: Arc<VhostVdpa>,
    doorbells: Arc<Doorbells>,
}

#[vtable]
impl chardev::File for File {
    type Device = VhostVdpa;

    fn open(
        device: ArcBorrow<'_, VhostVdpa>,
        _file: &fs::File,
        mappings: Arc<chardev::Mappings>,
    ) -> Result<Arc<Self>> {
        let vhost = Arc::from(device);
        let doorbells = Doorbells::new(mappings)?;

        vhost.open(doorbells.clone())?;
        Arc::new(Self { vhost, doorbells }, GFP_KERNEL)
            .map_err(Error::from)
            .inspect_err(|_| device.close())
    }

    fn release(this: Arc<Self>) {
        this.vhost.close();
    }

    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        ioctl::ioctl(&this.vhost, cmd, arg).map(|()| 0)
    }

    fn write_iter(this: ArcBorrow<'_, Self>, from: &mut IovIterSource<'_>) -> Result<usize> {
        spaces::write(&this.vhost, from)
    }

    /// Messages can be written at any time, until the device has gone.
    fn poll(this: ArcBorrow<'_, Self>, file: &fs::File, table: PollTable<'_>) -> u32 {
        table.register_wait(file, this.vhost.gone());
        if this.vhost.check().is_ok() {
            events::OUT | events::WRNORM
        } else {
            events::ERR | events::HUP
        }
    }

    fn mmap(this: ArcBorrow<'_, Self>, vma: &VmaNew) -> Result {
        this.vhost.check()?;
        doorbell::map(this.doorbells.as_arc_borrow(), vma)
    }
}
