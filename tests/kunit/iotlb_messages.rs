// SPDX-License-Identifier: GPL-2.0

//! `vhost_vdpa`: IOTLB messages, byte by byte.

use crate::message::{
    Change,
    Message,
    Request, //
};
use core::mem::MaybeUninit;
use kernel::{
    iov::IovIterSource,
    prelude::*, //
};
use vdpa::{
    bindings::{
        self,
        VHOST_ACCESS_RO,
        VHOST_ACCESS_RW,
        VHOST_ACCESS_WO,
        VHOST_IOTLB_BATCH_BEGIN,
        VHOST_IOTLB_BATCH_END,
        VHOST_IOTLB_INVALIDATE,
        VHOST_IOTLB_MISS,
        VHOST_IOTLB_UPDATE, //
    },
    Asid,
    IovaRange, //
};

/// Has `f` read some bytes as if they had been written to a file.
pub(crate) fn with_iter<R>(bytes: &[u8], f: impl FnOnce(&mut IovIterSource<'_>) -> R) -> R {
    let kvec = bindings::kvec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut iter = MaybeUninit::<bindings::iov_iter>::uninit();

    // SAFETY: The bytes and what describes them are there until this returns, and only read.
    f(unsafe {
        bindings::iov_iter_kvec(
            iter.as_mut_ptr(),
            bindings::ITER_SOURCE,
            &kvec,
            1,
            bytes.len(),
        );
        IovIterSource::from_raw(iter.as_mut_ptr())
    })
}

/// The numbers of a message: version, address space (or the gap), iova, size, uaddr, perm, type.
#[derive(Clone, Copy)]
pub(crate) struct Fields {
    pub(crate) version: u32,
    pub(crate) asid: u32,
    pub(crate) iova: u64,
    pub(crate) size: u64,
    pub(crate) uaddr: u64,
    pub(crate) perm: u32,
    pub(crate) kind: u32,
}

impl Fields {
    /// The message, as long as on 64-bit machines.
    pub(crate) fn bytes(&self) -> [u8; 72] {
        let mut bytes = [0xee; 72];
        let mut put = |at: usize, part: &[u8]| {
            for (slot, byte) in bytes.iter_mut().skip(at).zip(part) {
                *slot = *byte;
            }
        };

        put(0, &self.version.to_ne_bytes());
        put(4, &self.asid.to_ne_bytes());
        put(8, &self.iova.to_ne_bytes());
        put(16, &self.size.to_ne_bytes());
        put(24, &self.uaddr.to_ne_bytes());
        put(32, &[self.perm as u8, self.kind as u8]);
        bytes
    }

    fn read(&self) -> Result<Message> {
        with_iter(&self.bytes(), Message::read)
    }
}

const UPDATE: Fields = Fields {
    version: 2,
    asid: 7,
    iova: 0x1000,
    size: 0x2000,
    uaddr: 0x5000,
    perm: VHOST_ACCESS_RW,
    kind: VHOST_IOTLB_UPDATE,
};

fn range(first: u64, last: u64) -> IovaRange {
    IovaRange { first, last }
}

#[kunit_tests(vdpa_iotlb_messages)]
mod tests {
    use super::*;

    /// What is to be mapped.
    fn updated(fields: Fields) -> Result<(IovaRange, u64, u32)> {
        match fields.read()?.request? {
            Request::Update(update) => Ok((update.iova, update.addr, update.perm.to_raw())),
            _ => Err(EPROTO),
        }
    }

    /// What is to be unmapped.
    fn invalidated(iova: u64, size: u64) -> Result<IovaRange> {
        let fields = Fields {
            iova,
            size,
            kind: VHOST_IOTLB_INVALIDATE,
            // Neither has a meaning.
            perm: 0xff,
            ..UPDATE
        };

        match fields.read()?.request? {
            Request::Change(Change::Invalidate(range)) => Ok(range),
            _ => Err(EPROTO),
        }
    }

    #[test]
    fn both_versions() -> Result {
        let expected = (range(0x1000, 0x2fff), 0x5000, VHOST_ACCESS_RW);

        check_eq!(updated(UPDATE)?, expected);
        check_eq!(UPDATE.read()?.asid, Some(Asid(7)));
        check_eq!(UPDATE.read()?.len, 72);

        let first = Fields {
            version: 1,
            ..UPDATE
        };
        check_eq!(updated(first)?, expected);
        check_eq!(first.read()?.asid, None);
        for version in [0, 3, 0x100, u32::MAX] {
            check_eq!(Fields { version, ..UPDATE }.read().err(), Some(EINVAL));
        }
        Ok(())
    }

    #[test]
    fn a_message_is_all_there() -> Result {
        let bytes = UPDATE.bytes();

        for len in 0..72 {
            let part = bytes.get(..len).ok_or(EINVAL)?;
            check_eq!(with_iter(part, Message::read).err(), Some(EINVAL));
        }

        // Of the first version there is one without the gap, of 68 bytes.
        let first = Fields {
            version: 1,
            ..UPDATE
        };
        let bytes = first.bytes();
        let mut packed = [0; 68];
        packed[..4].copy_from_slice(&bytes[..4]);
        packed[4..].copy_from_slice(&bytes[8..]);
        let message = with_iter(&packed, Message::read)?;
        check_eq!(message.len, 68);
        check!(matches!(message.request, Ok(Request::Update(_))));
        for len in (0..72).filter(|&len| len != 68) {
            let part = bytes.get(..len).ok_or(EINVAL)?;
            check_eq!(with_iter(part, Message::read).err(), Some(EINVAL));
        }
        Ok(())
    }

    #[test]
    fn one_message_at_a_time() -> Result {
        let mut two = [0; 144];
        two[..72].copy_from_slice(&UPDATE.bytes());
        two[72..].copy_from_slice(&UPDATE.bytes());

        let (len, left) = with_iter(&two, |iov| {
            let message = Message::read(iov)?;
            Ok::<_, Error>((message.len, iov.len()))
        })?;
        check_eq!((len, left), (72, 72));
        Ok(())
    }

    #[test]
    fn ranges_are_some_and_do_not_wrap_around() -> Result {
        for (iova, size, expected) in [
            (0, 1, Some(range(0, 0))),
            (0x1000, 1, Some(range(0x1000, 0x1000))),
            (u64::MAX, 1, Some(range(u64::MAX, u64::MAX))),
            (0, u64::MAX, Some(range(0, u64::MAX - 1))),
            (1, u64::MAX, Some(range(1, u64::MAX))),
            (1 << 63, 1 << 63, Some(range(1 << 63, u64::MAX))),
            (0x1000, 0, None),
            (u64::MAX, 0, None),
            (u64::MAX, 2, None),
            (2, u64::MAX, None),
            (1 << 63, 1 << 63 | 1, None),
        ] {
            let update = Fields {
                iova,
                size,
                ..UPDATE
            };
            let mapped = updated(update).map(|(range, ..)| range);

            check_eq!(mapped, expected.ok_or(EINVAL));
            check_eq!(invalidated(iova, size), expected.ok_or(EINVAL));
        }
        // Nothing at 0 stands for everything, but only to be unmapped.
        check_eq!(invalidated(0, 0)?, IovaRange::FULL);
        let update = Fields {
            iova: 0,
            size: 0,
            ..UPDATE
        };
        check_eq!(updated(update).err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn permissions_allow_something() -> Result {
        for perm in 0..=0xff {
            let ret = updated(Fields { perm, ..UPDATE }).map(|(_, _, perm)| perm);
            let good = matches!(perm, VHOST_ACCESS_RO | VHOST_ACCESS_WO | VHOST_ACCESS_RW);

            check_eq!(ret, if good { Ok(perm) } else { Err(EINVAL) });
        }
        Ok(())
    }

    #[test]
    fn kinds_are_known() -> Result {
        for kind in 0..=0xff {
            let request = Fields { kind, ..UPDATE }.read()?.request;
            let good = match kind {
                VHOST_IOTLB_UPDATE => matches!(request, Ok(Request::Update(_))),
                VHOST_IOTLB_INVALIDATE => {
                    matches!(request, Ok(Request::Change(Change::Invalidate(_))))
                }
                VHOST_IOTLB_BATCH_BEGIN => {
                    matches!(request, Ok(Request::Change(Change::BatchBegin)))
                }
                VHOST_IOTLB_BATCH_END => matches!(request, Ok(Request::Change(Change::BatchEnd))),
                _ => request.err() == Some(EINVAL),
            };

            check!(good);
        }
        // It is for devices to send.
        let miss = Fields {
            kind: VHOST_IOTLB_MISS,
            ..UPDATE
        };
        check_eq!(miss.read()?.request.err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn a_batch_has_no_range() -> Result {
        for kind in [VHOST_IOTLB_BATCH_BEGIN, VHOST_IOTLB_BATCH_END] {
            let message = Fields {
                iova: u64::MAX,
                size: u64::MAX,
                perm: 0xff,
                kind,
                ..UPDATE
            };

            check!(message.read()?.request.is_ok());
        }
        Ok(())
    }
}
