// SPDX-License-Identifier: GPL-2.0

//! The address spaces of a session, and what IOTLB messages do to them.

use crate::{
    device::VhostVdpa,
    message::{
        Change,
        Message,
        Request,
        Update, //
    },
    segments::Segments,
    session::Session,
    update::{
        Job,
        Mapping, //
    },
};
use kernel::{
    device::Bound,
    iov::IovIterSource,
    prelude::*,
    rbtree::{
        Entry,
        RBTree,
        RBTreeNodeReservation, //
    }, //
};
use vdpa::{
    bindings::VHOST_BACKEND_F_IOTLB_ASID,
    AddressSpace,
    Asid,
    Device,
    IovaRange,
    RateLimit,
    Source,
    Unmapped, //
};

/// The address spaces of a session.
pub(crate) struct Spaces {
    /// Number 0. Most devices have no other.
    first: AddressSpace,
    /// Number 0 was used. Otherwise the device knows nothing of it, and is not told that it goes.
    first_used: bool,
    /// The others, by number. Those that were never used are not there.
    others: RBTree<u32, AddressSpace>,
    iova_range: IovaRange,
    /// The one whose changes the process wants to be announced together.
    batch: Option<Asid>,
}

impl Spaces {
    /// Makes the address spaces of a device. The platform's translation, if it is in charge, takes
    /// over from here on: the device reaches nothing any more.
    ///
    /// # Errors
    ///
    /// Those of [`AddressSpace::new`].
    pub(crate) fn new(dev: &Device<Bound>) -> Result<Self> {
        let first = AddressSpace::new(dev, Asid(0))?;

        Ok(Self {
            iova_range: first.iova_range(dev),
            first,
            first_used: false,
            others: RBTree::new(),
            batch: None,
        })
    }

    /// Returns the bus addresses that can be mapped.
    pub(crate) fn iova_range(&self) -> IovaRange {
        self.iova_range
    }

    /// Returns the number of mappings in all address spaces.
    fn len(&self) -> usize {
        let others = self.others.values().map(AddressSpace::len);

        others.fold(self.first.len(), usize::saturating_add)
    }

    /// Returns an address space, which is made if it was not used before.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device does not have it, or there is a batch of another one.
    pub(crate) fn get(&mut self, dev: &Device<Bound>, asid: Asid) -> Result<&mut AddressSpace> {
        if self.batch.is_some_and(|batch| batch != asid) {
            return Err(EINVAL);
        }
        if asid != Asid(0) {
            return self.other(dev, asid);
        }
        self.first_used = true;
        Ok(&mut self.first)
    }

    #[cold]
    fn other(&mut self, dev: &Device<Bound>, asid: Asid) -> Result<&mut AddressSpace> {
        match self.others.entry(asid.0) {
            Entry::Occupied(space) => Ok(space.into_mut()),
            Entry::Vacant(place) => {
                let node = RBTreeNodeReservation::new(GFP_KERNEL)?;

                Ok(place.insert(AddressSpace::new(dev, asid)?, node))
            }
        }
    }

    /// Returns what an UPDATE message asks for, and the address space that it is for.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), and `EINVAL` where the device cannot reach all of the addresses.
    fn mapping<'a>(
        &mut self,
        dev: &Device<Bound>,
        asid: Asid,
        update: Update,
        log: &'a RateLimit,
    ) -> Result<(&mut AddressSpace, Mapping<'a>)> {
        let IovaRange { first, last } = self.iova_range;
        let wait = self.batch.is_some();
        let all = self.len();
        let space = self.get(dev, asid)?;

        if update.iova.first < first || update.iova.last > last {
            return Err(EINVAL);
        }

        let mapping = Mapping {
            update,
            wait,
            others: all.saturating_sub(space.len()),
            log,
        };
        Ok((space, mapping))
    }

    /// Does what a message asks for that is not to map memory.
    fn change(
        &mut self,
        dev: &Device<Bound>,
        asid: Asid,
        change: Change,
        unmapped: &mut Unmapped,
    ) -> Result {
        let space = self.get(dev, asid)?;

        match change {
            Change::Invalidate(range) => space.unmap(dev, range, unmapped),
            Change::BatchBegin => {
                space.begin_batch();
                self.batch = Some(asid);
                Ok(())
            }
            Change::BatchEnd => {
                let ret = space.end_batch(dev, unmapped);

                self.batch = None;
                ret
            }
        }
    }

    /// Unmaps everything. What the device refuses is said as `log` allows.
    pub(crate) fn close(self, dev: &Device<Bound>, log: &RateLimit, unmapped: &mut Unmapped) {
        let mut close = |asid: u32, space: AddressSpace| {
            if let Err(e) = space.close(dev, unmapped) {
                if log.allows() {
                    dev_warn!(dev, "address space {} not cleared: {:?}\n", asid, e);
                }
            }
        };

        if self.first_used {
            close(0, self.first);
        }

        let mut others = self.others;
        let mut next = others.cursor_front_mut();

        while let Some(cursor) = next {
            let (rest, node) = cursor.remove_current();
            let (asid, space) = node.to_key_value();

            close(asid, space);
            next = rest;
        }
    }
}

impl Session {
    /// Does what a message asks for, but for mapping memory: `map` does that. Returns its length.
    fn message(
        &mut self,
        dev: &Device<Bound>,
        message: &Result<Message>,
        unmapped: &mut Unmapped,
        map: impl FnOnce(&mut Spaces, Asid, Update, &mut Unmapped) -> Result,
    ) -> Result<usize> {
        self.check_owner()?;

        let message = message.as_ref().map_err(|e| *e)?;
        let asid = message
            .asid
            .filter(|_| self.backend_features.has(VHOST_BACKEND_F_IOTLB_ASID))
            .unwrap_or(Asid(0));

        match message.request? {
            Request::Update(update) => map(&mut self.spaces, asid, update, unmapped)?,
            Request::Change(change) => self.spaces.change(dev, asid, change, unmapped)?,
        }
        Ok(message.len)
    }
}

/// Takes an IOTLB message. Returns its length.
///
/// # Errors
///
/// - `ENODEV` where the device is gone,
/// - `EPERM` where the current process is not the owner,
/// - `EINVAL` for a message that makes no sense, an address space that the device does not have or
///   that the current batch is not for, and a range that the device does not reach,
/// - `EEXIST` where a range is mapped already,
/// - `EFAULT` where there is no memory that the device could access in that way,
/// - `ENOMEM`, also where the process must not lock as much memory (`RLIMIT_MEMLOCK`, without
///   `CAP_IPC_LOCK`),
/// - `ENOSPC` where there are as many mappings as there can be,
/// - `EINTR` where the process is being killed,
/// - what the device returns.
pub(crate) fn write(vhost: &VhostVdpa, from: &mut IovIterSource<'_>) -> Result<usize> {
    // Reading can take any time, and so is done without locks. But whether the message makes sense
    // is the owner's business.
    let message = Message::read(from);

    match vhost.source() {
        Source::Pinned => write_pinned(vhost, &message),
        source => write_addresses(vhost, &message, source),
    }
}

/// Takes a message for a device for which memory is pinned. That can take any time too, so that
/// only the order of messages is kept by a lock meanwhile.
fn write_pinned(vhost: &VhostVdpa, message: &Result<Message>) -> Result<usize> {
    let _turn = vhost.lock_messages()?;
    let mut job = None;
    // Dropped when the device is not locked any more.
    let mut unmapped = Unmapped::new();
    let len = vhost.with(|session, dev| {
        session.message(dev, message, &mut unmapped, |spaces, asid, update, _| {
            let (space, mapping) = spaces.mapping(dev, asid, update, vhost.log())?;
            let mapping = Mapping {
                update: update.grow()?,
                ..mapping
            };

            job = Some(Job::new(vhost, space, asid, mapping)?);
            Ok(())
        })
    })?;

    if let Some(job) = job {
        job.run(&mut unmapped)?;
    }
    Ok(len)
}

/// Takes a message for a device that uses addresses of the process. They are looked up before there
/// is a lock.
fn write_addresses(vhost: &VhostVdpa, message: &Result<Message>, source: Source) -> Result<usize> {
    let segments = match message {
        Ok(message) => message
            .update()
            .map(|update| Segments::find(update, source)),
        Err(_) => None,
    };

    // As above.
    let mut unmapped = Unmapped::new();

    vhost.with(|session, dev| {
        session.message(
            dev,
            message,
            &mut unmapped,
            |spaces, asid, update, unmapped| {
                let (space, mapping) = spaces.mapping(dev, asid, update, vhost.log())?;

                segments.ok_or(EINVAL)??.map(space, dev, mapping, unmapped)
            },
        )
    })
}
