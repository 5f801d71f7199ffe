// SPDX-License-Identifier: GPL-2.0

//! The address spaces of a session, and what IOTLB messages do to them.

use crate::{
    device::VhostVdpa,
    message::{
        Message,
        Request,
        Update, //
    },
    session::Session,
    update::Job, //
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
    Translation, //
};

/// The address spaces of a session.
pub(crate) struct Spaces {
    /// By number. Those that were never used are not there.
    spaces: RBTree<u32, AddressSpace>,
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
        let mut this = Self {
            spaces: RBTree::new(),
            iova_range: dev.iova_range().unwrap_or(IovaRange::FULL),
            batch: None,
        };

        if dev.translation() == Translation::Platform {
            this.iova_range = this.get(dev, Asid(0))?.iova_range(dev);
        }
        Ok(this)
    }

    /// Returns the bus addresses that can be mapped.
    pub(crate) fn iova_range(&self) -> IovaRange {
        self.iova_range
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
        match self.spaces.entry(asid.0) {
            Entry::Occupied(space) => Ok(space.into_mut()),
            Entry::Vacant(place) => {
                let node = RBTreeNodeReservation::new(GFP_KERNEL)?;

                Ok(place.insert(AddressSpace::new(dev, asid)?, node))
            }
        }
    }

    /// Whether the process has begun a batch.
    pub(crate) fn in_batch(&self) -> bool {
        self.batch.is_some()
    }

    fn begin_batch(&mut self, dev: &Device<Bound>, asid: Asid) -> Result {
        self.get(dev, asid)?.begin_batch();
        self.batch = Some(asid);
        Ok(())
    }

    fn end_batch(&mut self, dev: &Device<Bound>, asid: Asid) -> Result {
        let ret = self.get(dev, asid)?.end_batch(dev);

        self.batch = None;
        ret
    }

    /// Checks that something can be mapped. Returns what that comes to.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the device cannot reach all of it, `EEXIST` where some of it is mapped.
    fn check(&mut self, dev: &Device<Bound>, asid: Asid, update: Update) -> Result<Update> {
        let IovaRange { first, last } = self.iova_range;
        let space = self.get(dev, asid)?;

        if update.iova.first < first || update.iova.last > last {
            return Err(EINVAL);
        }

        let update = update.grow(dev)?;

        if space.is_mapped(update.iova) {
            return Err(EEXIST);
        }
        Ok(update)
    }

    /// Unmaps everything.
    pub(crate) fn close(&mut self, dev: &Device<Bound>) {
        for (asid, space) in self.spaces.iter_mut() {
            if let Err(e) = space.clear(dev) {
                dev_warn!(dev, "address space {} not cleared: {:?}\n", asid, e);
            }
        }
        self.spaces = RBTree::new();
    }
}

impl Session {
    /// Returns the address space that a message is for.
    fn asid(&self, message: &Message) -> Asid {
        message
            .asid
            .filter(|_| self.backend_features.has(VHOST_BACKEND_F_IOTLB_ASID))
            .unwrap_or(Asid(0))
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
/// - `ENOMEM`, also where the process must not lock as much memory (`RLIMIT_MEMLOCK`),
/// - `EINTR` where the process is being killed,
/// - what the device returns.
pub(crate) fn write(vhost: &VhostVdpa, from: &mut IovIterSource<'_>) -> Result<usize> {
    // Reading can take any time, and so is done without locks. But whether the message makes sense is
    // the owner's business.
    let message = Message::read(from);
    let _lock = vhost.lock_messages()?;
    let (len, job) = vhost.with(|session, dev| {
        session.check_owner()?;

        let message = message?;
        let request = message.request?;
        let asid = session.asid(&message);
        let spaces = &mut session.spaces;

        match request {
            Request::Update(update) => {
                let update = spaces.check(dev, asid, update)?;
                let job = Job::new(vhost, session, dev, asid, update)?;

                return Ok((message.len, Some(job)));
            }
            Request::Invalidate(range) => spaces.get(dev, asid)?.unmap(dev, range)?,
            Request::BatchBegin => spaces.begin_batch(dev, asid)?,
            Request::BatchEnd => spaces.end_batch(dev, asid)?,
        }
        Ok((message.len, None))
    })?;

    if let Some(job) = job {
        job.run()?;
    }
    Ok(len)
}
