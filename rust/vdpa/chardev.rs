// SPDX-License-Identifier: GPL-2.0

//! Families of character devices.
//!
//! A [`Family`] has a major number and a name. Its [`CharDevice`]s are called after it: the third
//! one of the family `vhost-vdpa` is `/dev/vhost-vdpa-2`.
//!
//! # Where a device is found
//!
//! - `/dev/<family>-N`, by devtmpfs or a dynamic device manager;
//! - `/sys/devices/…/<parent>/<family>-N`: a real directory immediately under its parent, and the
//!   only one there whose name contains that of the family;
//! - `/sys/class/<family>/<family>-N` and `/sys/bus/<family>/devices/<family>-N`, which link to it;
//! - for device managers as `SUBSYSTEM=<family>`, with events when it comes and goes.
//!
//! The second is what programs rely on that look for the `vhost-vdpa` device of a vDPA device: they
//! go through the directory of the parent and take the first directory whose name fits, not a link.
//! That rules out a `struct class`. The driver core puts a device that has a class into a directory
//! with the name of the class, next to the parent's other entries, unless the parent has a class
//! itself. A `struct bus_type` without drivers makes a subsystem as well and leaves devices where
//! they are, and a `struct class_compat` adds what is in `/sys/class`. I2C adapters have been
//! registered this way for long.
//!
//! # Going away
//!
//! Dropping a [`CharDevice`] ends the opening of further files, but leaves those that are open
//! alone: their [`File`] lives until they are closed, and so does the code of the module. What is
//! left for such a file to do is up to the driver.
//!
//! C headers: `include/linux/cdev.h`, `include/linux/device/bus.h`, `include/linux/device/class.h`

mod device;
mod family;
mod file_ops;
mod mappings;

pub use self::{
    device::CharDevice,
    family::{
        Family,
        Registration, //
    },
    mappings::Mappings, //
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

/// What [`File::poll`] returns (`include/uapi/linux/eventpoll.h`).
pub mod events {
    /// Writing does not block.
    pub const OUT: u32 = 0x0004;
    /// There was an error. Reported whether or not it is asked for.
    pub const ERR: u32 = 0x0008;
    /// The other side is gone. Reported whether or not it is asked for.
    pub const HUP: u32 = 0x0010;
    /// Like [`OUT`].
    pub const WRNORM: u32 = 0x0100;
}

/// An open file of a [`CharDevice`].
///
/// Each function is called by a process that has the file open, and may sleep. Several can run at a
/// time, but for [`open`](Self::open), which is the first one, and [`release`](Self::release),
/// which is the last.
///
/// Functions that are not implemented are answered by the kernel: a file without `poll` is always
/// ready, one without `ioctl` returns `ENOTTY`, and so on.
#[vtable]
pub trait File: Sized + Send + Sync + 'static {
    /// What the files of a device have in common.
    type Device: Send + Sync + 'static;

    /// A file is being opened.
    ///
    /// `file` has the flags it is opened with. `mappings` are those of the file, for whoever wants
    /// to take them away.
    ///
    /// The [`CharDevice`] may be dropped at the same time.
    fn open(
        device: ArcBorrow<'_, Self::Device>,
        file: &fs::File,
        mappings: Arc<Mappings>,
    ) -> Result<Arc<Self>>;

    /// The last reference to the file was dropped. It has no mappings any more.
    fn release(_this: Arc<Self>) {}

    /// An ioctl. `arg` is whatever the caller has passed: a number, or an address. That of a 32-bit
    /// process is taken for an address.
    ///
    /// `ENOIOCTLCMD` stands for commands that are not known; the caller gets `ENOTTY`.
    fn ioctl(_this: ArcBorrow<'_, Self>, _cmd: u32, _arg: usize) -> Result<isize> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Something is written. Returns how many bytes of it were taken.
    fn write_iter(_this: ArcBorrow<'_, Self>, _from: &mut IovIterSource<'_>) -> Result<usize> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Returns the [`events`] that hold now, after registering with `table` what will be woken up
    /// when that changes.
    fn poll(_this: ArcBorrow<'_, Self>, _file: &fs::File, _table: PollTable<'_>) -> u32 {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The file is being mapped.
    ///
    /// # Context
    ///
    /// With `mmap_lock` of the process held. So no lock must be taken that is held elsewhere while
    /// memory of a process is accessed.
    fn mmap(_this: ArcBorrow<'_, Self>, _vma: &VmaNew) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}
