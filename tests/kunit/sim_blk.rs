// SPDX-License-Identifier: GPL-2.0

//! The simulated disk: requests, good ones and others (virtio 1.3, section 5.2.6).

use crate::{
    blk::{
        self,
        new_disk,
        Blk, //
    },
    pages::Guest,
    ring::{
        get,
        put,
        Buffer,
        Ring, //
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Arc, //
};
use vdpa::{
    bindings::{
        VIRTIO_BLK_F_SIZE_MAX,
        VIRTIO_BLK_S_IOERR,
        VIRTIO_BLK_S_OK,
        VIRTIO_BLK_S_UNSUPP,
        VIRTIO_BLK_T_DISCARD,
        VIRTIO_BLK_T_FLUSH,
        VIRTIO_BLK_T_GET_ID,
        VIRTIO_BLK_T_IN,
        VIRTIO_BLK_T_OUT,
        VIRTIO_BLK_T_WRITE_ZEROES, //
    },
    software::{
        Model,
        Progress,
        Queue, //
    },
    Asid,
    Features,
    GuestMemory,
    IommuGuard, //
};

const BASE: u64 = 0x20_0000;
const HEADER: u64 = BASE + 0x1000;
const STATUS: u64 = BASE + 0x1100;
/// Two pages.
const DATA: u64 = BASE + 0x2000;
/// Sectors of the disk.
const CAPACITY: u64 = 0x40000;
/// What the status is before the device answers.
const NOTHING: u32 = 0xee;

/// A disk, and its driver.
struct Disk<'a> {
    blk: Blk,
    queue: [Queue; 1],
    features: Features,
    ring: Ring,
    iommu: &'a IommuGuard<'a>,
    memory: GuestMemory<'a>,
    done: u16,
}

impl<'a> Disk<'a> {
    fn new(iommu: &'a IommuGuard<'a>, queue: Queue, disk: Arc<blk::Disk>) -> Self {
        Self {
            blk: Blk::new(disk),
            queue: [queue],
            features: Blk::FEATURES,
            ring: Ring::new(BASE),
            iommu,
            memory: iommu.memory(Asid(0)),
            done: 0,
        }
    }

    /// Lets the disk work.
    fn work(&mut self) -> Progress {
        self.blk.work(&mut self.queue, self.features, self.iommu)
    }

    /// Has the disk look at a chain for which it has no place for an outcome: it stays where it is.
    fn not_served(&mut self, buffers: &[Buffer]) -> Result<bool> {
        put(&self.memory, STATUS, &[NOTHING as u8])?;
        self.ring.offer(&self.memory, 0, buffers)?;
        check!(self.work() == Progress::Stuck);
        check_eq!(self.ring.used(&self.memory)?, self.done);
        check_eq!(get::<1>(&self.memory, STATUS)?, [NOTHING as u8]);
        Ok(self.queue[0].broken().is_some())
    }

    /// Has the disk handle a chain. Returns the status and how much it says to have written.
    fn serve(&mut self, buffers: &[Buffer]) -> Result<(u32, u32)> {
        put(&self.memory, STATUS, &[NOTHING as u8])?;
        self.ring.offer(&self.memory, 0, buffers)?;

        check!(self.work() == Progress::Idle);
        self.done += 1;
        check_eq!(self.ring.used(&self.memory)?, self.done);
        let (head, written) = self.ring.element(&self.memory, self.done - 1)?;
        check_eq!(head, 0);
        let [status] = get::<1>(&self.memory, STATUS)?;
        Ok((status.into(), written))
    }

    /// Writes the header of a request.
    fn header(&self, kind: u32, sector: u64) -> Result {
        put(&self.memory, HEADER, &kind.to_le_bytes())?;
        put(&self.memory, HEADER + 4, &[0; 4])?;
        put(&self.memory, HEADER + 8, &sector.to_le_bytes())
    }

    /// A request with one buffer of data, or none.
    fn request(&mut self, kind: u32, sector: u64, len: u32, write: bool) -> Result<(u32, u32)> {
        let (header, status) = ((HEADER, 16, false), (STATUS, 1, true));

        self.header(kind, sector)?;
        if len == 0 {
            return self.serve(&[header, status]);
        }
        self.serve(&[header, (DATA, len, write), status])
    }

    /// DISCARD or WRITE_ZEROES of one range.
    fn range(&mut self, kind: u32, sector: u64, sectors: u32, flags: u32) -> Result<u32> {
        put(&self.memory, DATA, &sector.to_le_bytes())?;
        put(&self.memory, DATA + 8, &sectors.to_le_bytes())?;
        put(&self.memory, DATA + 12, &flags.to_le_bytes())?;
        Ok(self.request(kind, 0, 16, false)?.0)
    }
}

/// A disk of which no request is good that has to do with sectors. One as users have it takes a
/// while to make.
fn small_disk() -> Result<Arc<blk::Disk>> {
    let data = KVVec::zeroed(512, GFP_KERNEL)?;

    Arc::pin_init(new_mutex!(data, "vdpa_kunit_disk"), GFP_KERNEL)
}

/// Has `f` drive a disk.
fn with_disk(disk: Arc<blk::Disk>, f: impl FnOnce(&mut Disk<'_>) -> Result) -> Result {
    let guest = Guest::new(BASE, 4)?;
    let mut queue = Queue::new()?;

    queue
        .start(Blk::FEATURES, &Ring::new(BASE).setup()?, guest.iommu())
        .map_err(|_| EINVAL)?;
    let iommu = guest.lock()?;
    let mut disk = Disk::new(&iommu, queue, disk);

    f(&mut disk)
}

#[kunit_tests(vdpa_sim_blk)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() -> Result {
        with_disk(new_disk()?, |disk| {
            for sector in [0, 7, CAPACITY - 16] {
                for (i, byte) in [1u8, 2, 3].into_iter().enumerate() {
                    put(&disk.memory, DATA + 512 * i as u64, &[byte; 512])?;
                }
                let ret = disk.request(VIRTIO_BLK_T_OUT, sector, 8192, false)?;
                // Only the status is written.
                check_eq!(ret, (VIRTIO_BLK_S_OK, 1));
                put(&disk.memory, DATA, &[0; 1536])?;
                let ret = disk.request(VIRTIO_BLK_T_IN, sector + 1, 1024, true)?;
                check_eq!(ret, (VIRTIO_BLK_S_OK, 1025));
                check!(get::<512>(&disk.memory, DATA)? == [2; 512]);
                check!(get::<512>(&disk.memory, DATA + 512)? == [3; 512]);
                check!(get::<512>(&disk.memory, DATA + 1024)? == [0; 512]);
            }
            Ok(())
        })
    }

    #[test]
    fn only_what_is_on_the_disk() -> Result {
        with_disk(new_disk()?, |disk| {
            for (sector, len, good) in [
                (CAPACITY - 1, 512, true),
                (CAPACITY - 16, 8192, true),
                (CAPACITY - 1, 1024, false),
                (CAPACITY - 15, 8192, false),
                (CAPACITY, 512, false),
                (u64::MAX, 512, false),
                (u64::MAX / 512, 512, false),
                (1 << 55, 512, false),
                // Not whole sectors.
                (0, 1, false),
                (0, 511, false),
                (0, 513, false),
                (CAPACITY - 1, 513, false),
            ] {
                let status = if good {
                    VIRTIO_BLK_S_OK
                } else {
                    VIRTIO_BLK_S_IOERR
                };

                check_eq!(disk.request(VIRTIO_BLK_T_IN, sector, len, true)?.0, status);
                check_eq!(
                    disk.request(VIRTIO_BLK_T_OUT, sector, len, false)?.0,
                    status
                );
            }
            Ok(())
        })
    }

    #[test]
    fn requests_without_data() -> Result {
        with_disk(small_disk()?, |disk| {
            check_eq!(
                disk.request(VIRTIO_BLK_T_FLUSH, 0, 0, false)?,
                (VIRTIO_BLK_S_OK, 1)
            );
            // The sector has no meaning for these.
            let ret = disk.request(VIRTIO_BLK_T_FLUSH, 1, 0, false)?;
            check_eq!(ret, (VIRTIO_BLK_S_OK, 1));
            for kind in [2, 3, 5, 12, u32::MAX] {
                for sector in [0, 1, u64::MAX] {
                    let ret = disk.request(kind, sector, 0, false)?;
                    check_eq!(ret, (VIRTIO_BLK_S_UNSUPP, 1));
                }
            }
            Ok(())
        })
    }

    #[test]
    fn requests_whose_feature_was_not_negotiated() -> Result {
        with_disk(new_disk()?, |disk| {
            disk.features = Features::default();
            let ret = disk.request(VIRTIO_BLK_T_FLUSH, 0, 0, false)?;
            check_eq!(ret, (VIRTIO_BLK_S_UNSUPP, 1));
            for kind in [VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES] {
                check_eq!(disk.range(kind, 0, 1, 0)?, VIRTIO_BLK_S_UNSUPP);
            }
            let ret = disk.request(VIRTIO_BLK_T_IN, 0, 512, true)?;
            check_eq!(ret, (VIRTIO_BLK_S_OK, 513));
            Ok(())
        })
    }

    #[test]
    fn limits_are_for_the_driver() -> Result {
        with_disk(new_disk()?, |disk| {
            // QEMU with libblkio knows them, and does not care.
            check!(disk.features.has(VIRTIO_BLK_F_SIZE_MAX));
            check_eq!(
                disk.request(VIRTIO_BLK_T_IN, 0, 8192, true)?,
                (VIRTIO_BLK_S_OK, 8193)
            );
            Ok(())
        })
    }

    #[test]
    fn data_that_goes_the_other_way() -> Result {
        with_disk(new_disk()?, |disk| {
            for (kind, write) in [
                (VIRTIO_BLK_T_IN, false),
                (VIRTIO_BLK_T_OUT, true),
                (VIRTIO_BLK_T_GET_ID, false),
                (VIRTIO_BLK_T_DISCARD, true),
                (VIRTIO_BLK_T_WRITE_ZEROES, true),
            ] {
                let (status, written) = disk.request(kind, 0, 512, write)?;

                check_eq!(status, VIRTIO_BLK_S_IOERR);
                // The status is behind data that was not written, or is all there is.
                check_eq!(written, (!write).into());
            }
            Ok(())
        })
    }

    #[test]
    fn the_id_is_as_long_as_there_is_room() -> Result {
        with_disk(small_disk()?, |disk| {
            for len in [1, 19, 20, 21, 4096] {
                put(&disk.memory, DATA, &[0xaa; 64])?;
                let (status, written) = disk.request(VIRTIO_BLK_T_GET_ID, 0, len, true)?;

                check_eq!(status, VIRTIO_BLK_S_OK);
                // No byte counts that was not written: the status is behind a gap.
                check_eq!(written, if len <= 20 { len + 1 } else { 20 });
                let id = get::<21>(&disk.memory, DATA)?;
                check_eq!(id[0], b'v');
                check!(len < 20 || id[12..20] == [0; 8]);
                check_eq!(id[20], 0xaa);
            }
            Ok(())
        })
    }

    #[test]
    fn much_work_is_not_done_at_once() -> Result {
        with_disk(new_disk()?, |disk| {
            let sectors: u32 = (16 << 20) / 512;

            disk.header(VIRTIO_BLK_T_WRITE_ZEROES, 0)?;
            put(&disk.memory, DATA, &[0; 16])?;
            put(&disk.memory, DATA + 8, &sectors.to_le_bytes())?;
            let request = [(HEADER, 16, false), (DATA, 16, false), (STATUS, 1, true)];

            for head in [0, 4, 8] {
                disk.ring.offer(&disk.memory, head, &request)?;
            }
            // Others get their turn after each.
            for done in 1..=3 {
                check!(disk.work() == Progress::More);
                check_eq!(disk.ring.used(&disk.memory)?, done);
            }
            check!(disk.work() == Progress::Idle);
            check_eq!(disk.ring.used(&disk.memory)?, 3);
            Ok(())
        })
    }

    #[test]
    fn ranges_are_cleared_where_they_are_on_the_disk() -> Result {
        with_disk(new_disk()?, |disk| {
            const UNMAP: u32 = 1;

            for (sector, sectors, flags, zeroes, discard) in [
                (0, 1, 0, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_OK),
                (CAPACITY - 2, 2, 0, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_OK),
                (0, 1, UNMAP, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP),
                (0, 1, 2, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_S_UNSUPP),
                (CAPACITY - 2, 3, 0, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR),
                (CAPACITY, 1, 0, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR),
                (1, u32::MAX, 0, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR),
                (
                    u64::MAX,
                    u32::MAX,
                    0,
                    VIRTIO_BLK_S_IOERR,
                    VIRTIO_BLK_S_IOERR,
                ),
            ] {
                let ret = disk.range(VIRTIO_BLK_T_WRITE_ZEROES, sector, sectors, flags)?;
                check_eq!(ret, zeroes);
                let ret = disk.range(VIRTIO_BLK_T_DISCARD, sector, sectors, flags)?;
                check_eq!(ret, discard);
            }

            put(&disk.memory, DATA, &[5; 1024])?;
            disk.request(VIRTIO_BLK_T_OUT, 8, 1024, false)?;
            disk.range(VIRTIO_BLK_T_WRITE_ZEROES, 9, 1, 0)?;
            disk.request(VIRTIO_BLK_T_IN, 8, 1024, true)?;
            check!(get::<512>(&disk.memory, DATA)? == [5; 512]);
            check!(get::<512>(&disk.memory, DATA + 512)? == [0; 512]);

            // One range, no more and no less.
            for len in [0, 15, 17, 32] {
                let ret = disk.request(VIRTIO_BLK_T_WRITE_ZEROES, 0, len, false)?;
                check_eq!(ret, (VIRTIO_BLK_S_IOERR, 1));
            }
            Ok(())
        })
    }

    #[test]
    fn requests_that_are_not_all_there() -> Result {
        with_disk(small_disk()?, |disk| {
            disk.header(VIRTIO_BLK_T_FLUSH, 0)?;
            for len in [0, 1, 15] {
                let ret = disk.serve(&[(HEADER, len, false), (STATUS, 1, true)])?;
                check_eq!(ret, (VIRTIO_BLK_S_IOERR, 1));
            }
            // The header may be in pieces.
            let (a, b) = ((HEADER, 3, false), (HEADER + 3, 13, false));
            check_eq!(
                disk.serve(&[a, b, (STATUS, 1, true)])?,
                (VIRTIO_BLK_S_OK, 1)
            );
            Ok(())
        })
    }

    #[test]
    fn without_room_for_the_status_the_device_stops() -> Result {
        for buffers in [
            &[(HEADER, 16, false)][..],
            &[(HEADER, 16, false), (STATUS, 0, true)],
        ] {
            with_disk(small_disk()?, |disk| {
                disk.header(VIRTIO_BLK_T_FLUSH, 0)?;
                check!(disk.not_served(buffers)?);
                Ok(())
            })?;
        }
        Ok(())
    }

    #[test]
    fn memory_that_is_not_there_is_an_error_of_the_request() -> Result {
        with_disk(new_disk()?, |disk| {
            let (header, status) = ((HEADER, 16, false), (STATUS, 1, true));
            let nowhere = 0x7000_0000;

            for (kind, write) in [(VIRTIO_BLK_T_IN, true), (VIRTIO_BLK_T_OUT, false)] {
                disk.header(kind, 0)?;
                let ret = disk.serve(&[header, (nowhere, 512, write), status])?;
                check_eq!(ret.0, VIRTIO_BLK_S_IOERR);
            }
            let ret = disk.serve(&[(nowhere, 16, false), status])?;
            check_eq!(ret, (VIRTIO_BLK_S_IOERR, 1));
            // Nobody can be told, now.
            disk.header(VIRTIO_BLK_T_FLUSH, 0)?;
            check!(!disk.not_served(&[header, (nowhere, 1, true)])?);
            check!(disk.work() == Progress::Stuck);
            Ok(())
        })
    }
}
