// SPDX-License-Identifier: GPL-2.0

//! What a parent is told of its virtqueues.

use crate::probe::*;
use kernel::prelude::*;
use vdpa::{
    parent::VqSetup,
    Asid,
    VqAddress,
    VqIndex,
    VqState, //
};

#[kunit_tests(vdpa_parent_queues)]
mod tests {
    use super::*;

    #[test]
    fn virtqueues_are_started_as_they_were_set_up() -> Result {
        let bed = at(NEGOTIATED)?;

        check!(queue(&bed, 0).is_none());
        check_eq!(cause(&bed, DriverOk)?, 0);
        check_eq!(
            queue(&bed, 0),
            Some(VqSetup {
                index: VqIndex::new(0, VIRTQUEUES).ok_or(EINVAL)?,
                address: ADDRESS,
                size: 32,
                state: VqState::Split { avail_index: 0 },
                asid: Asid(0),
            })
        );
        // What may have been announced before is announced again.
        check_eq!(told(&bed).kicks, [1, 0]);

        // One that is enabled late, as large as can be.
        check!(queue(&bed, 1).is_none());
        bed.with(|dev| op!(dev, set_vq_ready, 1, true))?;
        check_eq!(queue(&bed, 1).map(|queue| queue.size), Some(SIZE_MAX));
        check_eq!(told(&bed).kicks, [1, 1]);
        bed.with(|dev| op!(dev, set_vq_ready, 1, true))?;
        check!(!told(&bed).disorder);
        Ok(())
    }

    #[test]
    fn virtqueues_that_make_no_sense_take_a_reset() -> Result {
        let unaligned = |desc, driver, device| VqAddress {
            desc,
            driver,
            device,
        };

        for (address, num) in [
            (ADDRESS, 0),
            (ADDRESS, 3),
            (ADDRESS, 128),
            (ADDRESS, u32::MAX),
            (unaligned(0x1008, 0x2000, 0x3000), 2),
            (unaligned(0x1000, 0x2001, 0x3000), 2),
            (unaligned(0x1000, 0x2000, 0x3002), 2),
            (unaligned(u64::MAX - 15, 0x2000, 0x3000), 2),
            (unaligned(0x1000, u64::MAX - 1, 0x3000), 2),
            (unaligned(0x1000, 0x2000, u64::MAX - 3), 2),
        ] {
            let bed = with_queue(address, num, RUNNING)?;

            check_eq!(status(&bed)?, 0x4b);
            check_eq!(told(&bed).starts, 0);

            // Late as well.
            drop(bed);
            let bed = at(RUNNING)?;
            bed.with(|dev| {
                let VqAddress {
                    desc,
                    driver,
                    device,
                } = address;

                op!(dev, set_vq_address, 1, desc, driver, device)?;
                op!(dev, set_vq_num, 1, num)?;
                op!(dev, set_vq_ready, 1, true)
            })?;
            check_eq!(status(&bed)?, 0x4f);
            check_eq!(told(&bed).doing, Doing::Nothing);
            // What the other one has done is known.
            check_eq!(stands(&bed)?, VqState::Split { avail_index: 77 });
            check!(!told(&bed).disorder);
        }
        Ok(())
    }

    #[test]
    fn virtqueues_go_on_where_they_stood() -> Result {
        let bed = at(NEGOTIATED)?;
        let set = VqState::Split { avail_index: 5 };

        bed.with(|dev| op!(dev, set_vq_state, 0, &set.to_raw()))?;
        check_eq!(stands(&bed)?, set);
        check_eq!(cause(&bed, DriverOk)?, 0);
        check_eq!(queue(&bed, 0).map(|queue| queue.state), Some(set));

        // Only the device knows while it works.
        let ret = bed.with(|dev| op!(dev, set_vq_state, 0, &set.to_raw()))?;
        check_eq!(ret, EBUSY.to_errno());
        let worked = VqState::Split { avail_index: 77 };
        check_eq!(stands(&bed)?, worked);
        bed.with(|dev| {
            op!(dev, set_vq_ready, 0, false)?;
            check!(!op!(dev, get_vq_ready, 0)?);
            op!(dev, set_vq_ready, 0, true)
        })?;
        check_eq!(queue(&bed, 0).map(|queue| queue.state), Some(worked));

        // What is said while it is suspended holds when it goes on.
        check_eq!(cause(&bed, Suspend)?, 0);
        let set = VqState::Split { avail_index: 9 };
        bed.with(|dev| {
            check_eq!(op!(dev, set_vq_address, 0, 0x4000, 0x2000, 0x3000)?, 0);
            check_eq!(op!(dev, set_vq_state, 0, &set.to_raw())?, 0);
            op!(dev, set_vq_ready, 1, true)
        })?;
        check_eq!(cause(&bed, Resume)?, 0);
        let resumed = queue(&bed, 0).ok_or(EINVAL)?;
        check_eq!(resumed.address.desc, 0x4000);
        check_eq!(resumed.state, set);
        check!(queue(&bed, 1).is_some());

        // One that is disabled meanwhile is not started.
        check_eq!(cause(&bed, Suspend)?, 0);
        bed.with(|dev| op!(dev, set_vq_ready, 1, false))?;
        check_eq!(cause(&bed, Resume)?, 0);
        check!(queue(&bed, 1).is_none());
        check!(!told(&bed).disorder);
        Ok(())
    }

    #[test]
    fn a_driver_that_gives_up_leaves_virtqueues_where_they_stand() -> Result {
        let set = VqState::Split { avail_index: 5 };

        for way in [NEGOTIATED, SUSPENDED] {
            let bed = at(way)?;

            bed.with(|dev| op!(dev, set_vq_state, 0, &set.to_raw()))?;
            check_eq!(cause(&bed, Failed)?, 0);
            check_eq!(stands(&bed)?, set);
            check!(!told(&bed).disorder);
        }

        let bed = at(&[Accept, FeaturesOk, DriverOk, Failed])?;
        check_eq!(stands(&bed)?, VqState::Split { avail_index: 77 });
        check!(!told(&bed).disorder);
        Ok(())
    }

    #[test]
    fn a_virtqueue_that_does_not_stop_stops_the_device() -> Result {
        let bed = at(RUNNING)?;

        told(&bed).fail = Fail::StopQueue;
        bed.with(|dev| {
            op!(dev, set_vq_ready, 0, false)?;
            // Who asks for it takes the memory away.
            check!(!op!(dev, get_vq_ready, 0)?);
            Ok(())
        })?;
        check_eq!(status(&bed)?, 0x4f);
        check_eq!(told(&bed).doing, Doing::Nothing);
        Ok(())
    }

    #[test]
    fn a_virtqueue_that_does_not_start_stops_the_device() -> Result {
        let bed = at(RUNNING)?;

        told(&bed).fail = Fail::StartQueue;
        bed.with(|dev| op!(dev, set_vq_ready, 1, true))?;
        check_eq!(status(&bed)?, 0x4f);
        check_eq!(told(&bed).doing, Doing::Nothing);
        check!(!told(&bed).disorder);
        Ok(())
    }
}
