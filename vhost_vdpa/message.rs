// SPDX-License-Identifier: GPL-2.0

//! IOTLB messages, as a process writes them.
//!
//! There are two formats. Both are 72 bytes long on 64-bit machines:
//!
//! | bytes | version 1 | version 2 |
//! | --- | --- | --- |
//! | 0 to 3 | 1 | 2 |
//! | 4 to 7 | | address space, if `VHOST_BACKEND_F_IOTLB_ASID` was accepted |
//! | 8 to 31 | iova, size, uaddr | the same |
//! | 32, 33 | perm, type | the same |
//! | 34 to 71 | | |
//!
//! Where 64-bit numbers need an alignment of 4 only (32-bit x86) version 1 lacks the gap after the
//! first number, and is 68 bytes long.
//!
//! C header: `include/uapi/linux/vhost_types.h`

use core::mem::MaybeUninit;
use kernel::{
    iov::IovIterSource,
    prelude::*, //
};
use vdpa::{
    bindings::{
        VHOST_ACCESS_RW,
        VHOST_IOTLB_BATCH_BEGIN,
        VHOST_IOTLB_BATCH_END,
        VHOST_IOTLB_INVALIDATE,
        VHOST_IOTLB_MSG,
        VHOST_IOTLB_MSG_V2,
        VHOST_IOTLB_UPDATE, //
    },
    Asid,
    IovaRange,
    Permission, //
};

/// The length of a message of either version.
const LEN: usize = 72;

/// The length of a message of version 1 without a gap.
const LEN_PACKED: usize = 68;

/// A mapping that is asked for: of bus addresses to the memory of the process at `addr`.
#[derive(Clone, Copy)]
pub(crate) struct Update {
    pub(crate) iova: IovaRange,
    pub(crate) addr: u64,
    pub(crate) perm: Permission,
}

/// What a message asks for.
#[derive(Clone, Copy)]
pub(crate) enum Request {
    /// Map memory.
    Update(Update),
    /// Something else.
    Change(Change),
}

/// What a message asks for that is not to map memory.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// Unmap what is in a range.
    Invalidate(IovaRange),
    /// Wait with telling the device.
    BatchBegin,
    /// Tell the device.
    BatchEnd,
}

/// A message.
pub(crate) struct Message {
    /// What is asked for, or why it makes no sense: only the owner is told.
    pub(crate) request: Result<Request>,
    /// The address space that is meant, to which some messages say nothing.
    pub(crate) asid: Option<Asid>,
    /// The length of the message in bytes.
    pub(crate) len: usize,
}

/// Takes numbers and bytes out of a message, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        let (first, rest) = self.0.split_first_chunk().ok_or(EINVAL)?;

        self.0 = rest;
        Ok(first)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_ne_bytes(*self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_ne_bytes(*self.bytes()?))
    }
}

impl Message {
    /// Returns the mapping that is asked for, if that is what it is about.
    pub(crate) fn update(&self) -> Option<Update> {
        match self.request {
            Ok(Request::Update(update)) => Some(update),
            _ => None,
        }
    }

    /// Reads one message.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a message of unknown version, or that is not all there.
    pub(crate) fn read(iov: &mut IovIterSource<'_>) -> Result<Self> {
        let mut buf = [MaybeUninit::uninit(); LEN];
        let bytes = iov.copy_from_iter_raw(&mut buf);
        let len = bytes.len();
        let mut fields = Fields(bytes);

        let (asid, len) = match (fields.u32()?, len) {
            (VHOST_IOTLB_MSG, LEN_PACKED) => (None, LEN_PACKED),
            (VHOST_IOTLB_MSG, LEN) => {
                fields.u32()?;
                (None, LEN)
            }
            (VHOST_IOTLB_MSG_V2, LEN) => (Some(Asid(fields.u32()?)), LEN),
            _ => return Err(EINVAL),
        };

        Ok(Self {
            request: Request::parse(&mut fields),
            asid,
            len,
        })
    }
}

impl Request {
    /// Parses `struct vhost_iotlb_msg`.
    fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        let (iova, size, addr) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let [perm, kind] = *fields.bytes()?;

        match kind.into() {
            VHOST_IOTLB_UPDATE => Ok(Self::Update(Update {
                iova: IovaRange::from_size(iova, size).ok_or(EINVAL)?,
                addr,
                perm: permission(perm)?,
            })),
            // Clients ask for all of it this way too.
            VHOST_IOTLB_INVALIDATE if (iova, size) == (0, 0) => {
                Ok(Change::Invalidate(IovaRange::FULL).into())
            }
            VHOST_IOTLB_INVALIDATE => {
                let range = IovaRange::from_size(iova, size).ok_or(EINVAL)?;

                Ok(Change::Invalidate(range).into())
            }
            VHOST_IOTLB_BATCH_BEGIN => Ok(Change::BatchBegin.into()),
            VHOST_IOTLB_BATCH_END => Ok(Change::BatchEnd.into()),
            _ => Err(EINVAL),
        }
    }
}

impl From<Change> for Request {
    fn from(change: Change) -> Self {
        Self::Change(change)
    }
}

/// A permission to do something, and nothing unknown.
fn permission(perm: u8) -> Result<Permission> {
    let perm = u32::from(perm);

    if perm == 0 || perm & !VHOST_ACCESS_RW != 0 {
        return Err(EINVAL);
    }
    Ok(Permission::from_raw(perm))
}
