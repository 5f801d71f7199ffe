// SPDX-License-Identifier: GPL-2.0

//! Does what a thread shall do, whatever comes of it.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use guest::sys::module;
use vhost_client::device::Device;
use vhost_client::queue::event;
use vhost_client::sys::{limit_locked_memory, Argument, Doorbell, Mailbox, Request, PAGE};
use vmm_sys_util::eventfd::EventFd;

use super::action::{Action, Fd, Given, Place};
use super::asking;
use super::cast::Cast;
use super::layout::{DEVICES, QUEUES};
use super::rings::Rings;
use crate::sys::{in_child, Arena};
use crate::tally::Outcome;

/// What all threads share.
pub struct Shared {
    /// Open devices, by the number of the character device.
    files: [Mutex<Option<Arc<Device>>>; DEVICES],
    /// The number of the netlink family.
    pub family: u16,
    /// The devices that there are.
    cast: Cast,
    /// Where modules are.
    modules: PathBuf,
}

impl Shared {
    /// Begins with no device open.
    pub fn new(family: u16, cast: Cast, modules: PathBuf) -> Self {
        Self {
            files: Default::default(),
            family,
            cast,
            modules,
        }
    }

    /// Loads a module, unless it is loaded.
    pub fn load(&self, module: &str, parameters: &str) -> io::Result<()> {
        let image = fs::read(self.modules.join(format!("{module}.ko")))?;

        module::load(&image, &CString::new(parameters)?)
    }

    fn slot(&self, device: usize) -> MutexGuard<'_, Option<Arc<Device>>> {
        self.files[device % DEVICES]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn device(&self, device: usize) -> io::Result<Arc<Device>> {
        self.slot(device)
            .clone()
            .ok_or_else(|| io::Error::other("it is not open"))
    }

    /// Closes all devices.
    pub fn close(&self) {
        (0..DEVICES).for_each(|device| drop(self.slot(device).take()));
    }
}

/// The path of one of the character devices that are there now. Their own numbers go up as long as
/// somebody has one open whose device is gone.
fn character_device(device: usize) -> io::Result<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir("/dev")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().starts_with("/dev/vhost-vdpa-"))
        .collect();

    paths.sort_unstable();
    let count = paths.len().max(1);
    paths
        .into_iter()
        .nth(device % count)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
}

/// A thread with its memory, eventfds and rings.
pub struct Performer<'a> {
    shared: &'a Shared,
    arena: Arena,
    mailbox: Mailbox,
    kicks: Vec<EventFd>,
    calls: Vec<EventFd>,
    rings: Rings,
}

impl<'a> Performer<'a> {
    /// Gets ready for thread `number`.
    pub fn new(shared: &'a Shared, number: usize) -> Result<Self> {
        let events = || (0..QUEUES).map(|_| event()).collect::<Result<_>>();

        Ok(Self {
            shared,
            arena: Arena::new(number).context("the memory of a thread")?,
            mailbox: Mailbox::new()?,
            kicks: events()?,
            calls: events()?,
            rings: Rings::default(),
        })
    }

    /// Does it. Only what must not happen is an error.
    pub fn perform(&mut self, action: &Action) -> Result<Outcome> {
        match action {
            Action::Ask {
                messages, listen, ..
            } => asking::ask(self.shared.family, messages, *listen),
            Action::Clean => asking::clean(self.shared.family, self.shared.cast),
            Action::Renew { queue } => {
                let queue = queue % QUEUES;

                (self.kicks[queue], self.calls[queue]) = (event()?, event()?);
                Ok(Outcome::DONE)
            }
            Action::Child { device, errand } => Ok(match self.shared.device(*device) {
                Ok(device) => Outcome(in_child(device.as_fd(), *errand)?),
                Err(error) => Outcome::from(io::Result::<()>::Err(error)),
            }),
            _ => Ok(self.call(action).into()),
        }
    }

    /// What is one or two system calls.
    fn call(&mut self, action: &Action) -> io::Result<()> {
        let device = |device: &usize| self.shared.device(*device);

        match action {
            Action::Open { device, flags } => self.open(*device, *flags),
            Action::Close { device } => {
                let closed = self.shared.slot(*device).take();
                closed.map(drop).ok_or_else(|| io::Error::other("not open"))
            }
            Action::Duplicate { device: number } => device(number)?.try_clone().map(drop),
            Action::Call {
                device: number,
                request,
                given,
                ..
            } => self.ioctl(&*device(number)?, *request, given),
            Action::Message {
                device: number,
                bytes,
                split,
                ..
            } => {
                let (first, second) = bytes.0.split_at((*split).min(bytes.0.len()));
                let device = device(number)?;
                let pieces = [IoSlice::new(first), IoSlice::new(second)];

                match first.is_empty() {
                    true => device.write(second).map(drop),
                    false => device.file().write_vectored(&pieces).map(drop),
                }
            }
            Action::Read {
                device: number,
                len,
            } => device(number)?.file().read(&mut vec![0; *len]).map(drop),
            Action::Poll {
                device: number,
                wait,
            } => device(number)?
                .poll(libc::POLLIN | libc::POLLOUT, Duration::from_millis(*wait))
                .map(drop),
            Action::Doorbell {
                device: number,
                page,
                len,
                protection,
                flags,
                resize,
            } => {
                let device = device(number)?;
                let offset = page.wrapping_mul(PAGE as u64) as libc::off_t;
                let mut doorbell =
                    Doorbell::map(device.as_fd(), offset, *len, *protection, *flags)?;

                doorbell.protect(libc::PROT_WRITE)?;
                resize.map_or(Ok(()), |len| doorbell.resize(len))?;
                // Whether there is one at that time nobody can tell.
                doorbell.ring_in_child(*page as u16).map(drop)
            }
            Action::Kick { queue } => self.kicks[queue % QUEUES].write(1),
            Action::Rings { size } => self.rings.begin(&self.arena, *size),
            Action::Chain { queue, chain } => self.rings.add(&self.arena, *queue, chain),
            Action::Fill { offset, bytes } => self.arena.write(*offset, &bytes.0),
            Action::Put { piece, kind } => self.arena.put(*piece, *kind),
            Action::Advise { piece, advice } => self.arena.advise(*piece, *advice),
            Action::Protect { piece, protection } => self.arena.protect(*piece, *protection),
            Action::Truncate { piece, len } => self.arena.truncate(*piece, *len),
            Action::Limit { bytes } => limit_locked_memory(*bytes),
            Action::Set { path, text, .. } => OpenOptions::new()
                .write(true)
                .open(path)?
                .write(&text.0)
                .map(drop),
            Action::Reload { module, parameters } => {
                // It may not be loaded, or be looked at.
                let _ = module::unload(&CString::new(*module)?);

                self.shared.load(module, parameters)
            }
            Action::Get { path } => fs::read(path).map(drop),
            Action::Wait { time } => {
                std::thread::sleep(Duration::from_millis(*time));
                Ok(())
            }
            Action::Ask { .. } | Action::Clean | Action::Renew { .. } | Action::Child { .. } => {
                Ok(())
            }
        }
    }

    fn open(&self, device: usize, flags: i32) -> io::Result<()> {
        let mode = flags & libc::O_ACCMODE;
        let file: File = OpenOptions::new()
            .read(mode != libc::O_WRONLY)
            .write(mode != libc::O_RDONLY)
            .custom_flags(flags & !libc::O_ACCMODE)
            .open(character_device(device)?)?;
        // One that is open can be there only if the device is another one by now.
        let old = self.shared.slot(device).replace(Arc::new(file.into()));

        drop(old);
        Ok(())
    }

    fn ioctl(&self, device: &Device, request: Request, given: &Given) -> io::Result<()> {
        let mut bytes = given.bytes.0.clone();

        if let Some((offset, fd)) = given.fd {
            let fd = match fd {
                Fd::Kick(queue) => self.kicks[queue % QUEUES].as_raw_fd(),
                Fd::Call(queue) => self.calls[queue % QUEUES].as_raw_fd(),
                Fd::Device => device.file().as_raw_fd(),
                Fd::Number(number) => number,
            };
            if let Some(place) = bytes.get_mut(offset..offset + 4) {
                place.copy_from_slice(&fd.to_ne_bytes());
            }
        }
        let place = match given.place {
            Place::Good => self.mailbox.put(&bytes),
            Place::ReadOnly => self.mailbox.put_read_only(&bytes),
            Place::Cut(len) => self.mailbox.put(&bytes[..len.min(bytes.len())]),
            Place::Inaccessible => Ok(self.mailbox.inaccessible()),
            Place::Nowhere(address) => {
                return device.ioctl(request, Argument::Nowhere(address)).map(drop)
            }
        };
        let place = place.map_err(io::Error::other)?;

        device.call_mail(request, &self.mailbox, place).map(drop)
    }
}
