// SPDX-License-Identifier: GPL-2.0

//! Messages about mappings: what is taken, what is refused, and what a device then can reach.
//!
//! Whatever is refused must leave nothing pinned and nothing charged: both are counted.

mod batches;
mod effects;
mod limits;
mod many;
mod memory;
mod messages;
mod most;
mod raw;

use std::io;
use std::path::PathBuf;

use anyhow::{bail, ensure, Context, Result};
use checks::arguments::Arguments;
use checks::report::Report;
use libc::{EEXIST, EFAULT, EINVAL, ENOMEM, EPERM};
use vhost_client::device::errno;
use vhost_client::iotlb::{self, Message};
use vhost_client::memory::Kind;
use vhost_client::process::Pinned;
use vhost_client::session::Session;
use vhost_client::sys::{Area, PAGE};
use vhost_client::uapi::*;
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;

use super::ioctls::errno_name;

/// Where what is tested is mapped.
pub const IOVA: u64 = 0x5_0000_0000;

const PAGE_SIZE: u64 = PAGE as u64;

/// A device to map memory for, and memory.
pub struct Mapper {
    /// The session: with an owner and all backend features, but with no driver that is ready.
    pub session: Session,
    /// The memory, which is there.
    pub area: Area,
    before: Pinned,
}

impl Mapper {
    /// Opens the device.
    pub fn new(setting: &Setting, pages: usize) -> Result<Self> {
        let area = setting.kind.area(pages * PAGE)?;
        area.touch()?;
        let before = Pinned::now()?;
        let mut session = Session::open(&setting.path)?;
        session.negotiate(0, backend::ALL)?;

        Ok(Self {
            session,
            area,
            before,
        })
    }

    /// Sends a message.
    pub fn send(&self, message: Message) -> io::Result<()> {
        self.session.device.send(&message)
    }

    /// Maps pages of the area, from `page` on, to `iova`.
    pub fn map(&self, iova: u64, page: usize, count: usize) -> io::Result<()> {
        self.send(self.update(iova, page, count))
    }

    /// The message that does it.
    pub fn update(&self, iova: u64, page: usize, count: usize) -> Message {
        let address = self.area.address() + (page * PAGE) as u64;

        Message::update(0, iova, (count * PAGE) as u64, address, iotlb::RW)
    }

    /// Takes everything away.
    pub fn clear(&self) -> Result<()> {
        self.send(Message::invalidate(0, 0, 0))
            .context("INVALIDATE of all")
    }

    /// How much more is pinned than when the device was opened: KiB that are charged, and pages.
    pub fn pinned(&self) -> Result<(i64, i64)> {
        let now = Pinned::now()?;

        Ok((
            now.charged as i64 - self.before.charged as i64,
            now.pages - self.before.pages,
        ))
    }

    /// Checks that so many pages are pinned and charged. A parent that uses addresses of the
    /// process pins nothing.
    pub fn expect_pinned(&self, setting: &Setting, pages: usize) -> Result<()> {
        let pages = if setting.pins { pages as i64 } else { 0 };
        let (charged, pinned) = self.pinned()?;

        ensure!(
            charged == pages * (PAGE as i64 / 1024),
            "{charged} KiB are charged for {pages} pages"
        );
        ensure!(pinned == pages, "{pinned} pages are pinned, not {pages}");
        Ok(())
    }
}

/// What the checks work with.
pub struct Setting {
    /// The device's file.
    pub path: String,
    /// What memory is made of.
    pub kind: Kind,
    /// Whether memory that is mapped is pinned.
    pub pins: bool,
    /// How many address spaces there are.
    pub spaces: u32,
    /// Whether it is a network device, which shows what it can reach.
    pub net: bool,
}

impl Setting {
    fn new(path: String, kind: Kind) -> Result<Self> {
        let mut setting = Self {
            path,
            kind,
            pins: false,
            spaces: 0,
            net: false,
        };
        let mapper = Mapper::new(&setting, 1)?;

        setting.spaces = mapper.session.device.number(VHOST_VDPA_GET_AS_NUM)?;
        setting.net = mapper.session.id()? == VIRTIO_ID_NET;
        mapper.map(IOVA, 0, 1).context("mapping one page")?;
        setting.pins = mapper.pinned()?.1 != 0;
        mapper.clear()?;
        mapper.expect_pinned(&setting, 0)?;
        Ok(setting)
    }
}

/// A message that makes no sense. The C driver has one errno for all that it refuses.
pub const SENSELESS: &[i32] = &[EFAULT, EINVAL];
/// Where something is mapped already.
pub const MAPPED: &[i32] = &[EFAULT, EEXIST];
/// Where there is no memory, or none that could be accessed in that way.
pub const NO_MEMORY: &[i32] = &[EFAULT];
/// More memory than may be locked.
pub const TOO_MUCH: &[i32] = &[EFAULT, ENOMEM];
/// From a process that is not the owner.
pub const NOT_OWNER: &[i32] = &[EFAULT, EPERM];

/// Checks that a message is refused with one of the errnos.
pub fn refused(result: io::Result<()>, expected: &[i32]) -> Result<()> {
    match result {
        Ok(()) => bail!("it is not refused"),
        Err(error) if expected.contains(&errno(&error)) => Ok(()),
        Err(error) if errno(&error) != 0 => bail!("{}", errno_name(errno(&error))),
        Err(error) => Err(error.into()),
    }
}

/// The command `maps`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let kind = if arguments.flag("--memfd") {
        Kind::File
    } else {
        Kind::Anonymous
    };
    let count = arguments.number("--count", 10_000, 1..=1 << 20)? as usize;
    let mib = arguments.number("--mib", 256, 1..=1 << 16)? as usize;
    let pieces = arguments.flag("--pieces");
    let most = arguments.number("--most", 0, 0..=1 << 20)?;
    let group = arguments.optional("--group")?.map(PathBuf::from);
    arguments.finish()?;

    let setting = Setting::new(path, kind)?;
    report.note(format_args!(
        "memory is mapped {}",
        if setting.pins {
            "by pinning it"
        } else {
            "by its address in the process"
        }
    ));
    raw::run(&setting, report);
    messages::run(&setting, report);
    memory::run(&setting, report);
    batches::run(&setting, report);
    limits::run(&setting, report);
    if setting.net {
        effects::run(&setting, report);
        if !pieces {
            effects::run_at_once(&setting, report);
        }
    } else {
        report.note("only a network device shows what it can reach");
    }
    many::run(&setting, report, count, mib);
    if most > 0 {
        most::run(&setting, report, most, group.as_deref());
    }
    Ok(())
}
