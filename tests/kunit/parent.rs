// SPDX-License-Identifier: GPL-2.0

//! What becomes of a parent: the table of its phases from C's side, each from each.

use crate::{
    counting::callback,
    probe::*, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use vdpa::bindings;

#[kunit_tests(vdpa_parent)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_from_each() -> Result {
        let (busy, eio) = (EBUSY.to_errno(), EIO.to_errno());
        let (no, work, pause) = (Doing::Nothing, Doing::Work, Doing::Pause);

        // Where it is, what happens, what the operation returns, the status and what the device
        // does then.
        for (way, event, ret, status_then, doing) in [
            (INITIAL, Accept, 0, 0x03, no),
            (INITIAL, FeaturesOk, 0, 0x0b, no),
            (INITIAL, DriverOk, 0, 0x03, no),
            (INITIAL, Failed, 0, 0x83, no),
            (INITIAL, Suspend, 0, 0x03, no),
            (INITIAL, Resume, 0, 0x03, no),
            (INITIAL, Broken, 0, 0x43, no),
            (INITIAL, Reset, 0, 0x00, no),
            (NEGOTIATED, Accept, busy, 0x0b, no),
            (NEGOTIATED, FeaturesOk, 0, 0x0b, no),
            (NEGOTIATED, DriverOk, 0, 0x0f, work),
            (NEGOTIATED, DriverOkInVain, 0, 0x4b, no),
            (NEGOTIATED, Failed, 0, 0x83, no),
            (NEGOTIATED, Suspend, 0, 0x0b, no),
            (NEGOTIATED, Resume, 0, 0x0b, no),
            (NEGOTIATED, Broken, 0, 0x4b, no),
            (NEGOTIATED, Reset, 0, 0x00, no),
            (RUNNING, Accept, busy, 0x0f, work),
            (RUNNING, FeaturesOk, 0, 0x0f, work),
            (RUNNING, DriverOk, 0, 0x0f, work),
            (RUNNING, Failed, 0, 0x83, no),
            (RUNNING, Suspend, 0, 0x0f, pause),
            (RUNNING, Resume, 0, 0x0f, work),
            (RUNNING, Broken, 0, 0x4f, work),
            (RUNNING, Reset, 0, 0x00, no),
            (SUSPENDED, Accept, busy, 0x0f, pause),
            (SUSPENDED, FeaturesOk, 0, 0x0f, pause),
            (SUSPENDED, DriverOk, 0, 0x0f, pause),
            (SUSPENDED, Failed, 0, 0x83, no),
            (SUSPENDED, Suspend, 0, 0x0f, pause),
            (SUSPENDED, Resume, 0, 0x0f, work),
            (SUSPENDED, Broken, 0, 0x4f, pause),
            (SUSPENDED, Reset, 0, 0x00, no),
            (STOPPED, Accept, busy, 0x4b, no),
            (STOPPED, FeaturesOk, 0, 0x4b, no),
            (STOPPED, DriverOk, 0, 0x4b, no),
            (STOPPED, Failed, 0, 0xcb, no),
            (STOPPED, Suspend, 0, 0x4b, no),
            (STOPPED, Resume, 0, 0x4b, no),
            (STOPPED, Broken, 0, 0x4b, no),
            (STOPPED, Reset, 0, 0x00, no),
            (BROKEN, DriverOk, 0, 0x4f, work),
            (BROKEN, Suspend, 0, 0x4f, pause),
            (BROKEN, Failed, 0, 0xc3, no),
            (BROKEN_EARLY, DriverOk, 0, 0x4b, no),
            (BROKEN_LATE, Resume, eio, 0x4f, no),
        ] {
            let bed = at(way)?;

            check_eq!(cause(&bed, event)?, ret);
            check_eq!(status(&bed)?, status_then);
            check_eq!(told(&bed).doing, doing);
            // After a reset all can begin anew, wherever it was.
            check_eq!(cause(&bed, Reset)?, 0);
            for event in RUNNING {
                check_eq!(cause(&bed, *event)?, 0);
            }
            check_eq!(status(&bed)?, 0x0c);
            check!(!told(&bed).disorder);
        }
        Ok(())
    }

    #[test]
    fn a_driver_that_begins_again_without_a_reset() -> Result {
        let bed = at(&[Accept, FeaturesOk, DriverOk, Failed])?;

        // As the kernel does it where a driver is bound once more.
        for event in [Accept, FeaturesOk, DriverOk] {
            check_eq!(cause(&bed, event)?, 0);
        }
        check_eq!(status(&bed)?, 0x8f);
        check_eq!(told(&bed).doing, Doing::Work);
        // It can give up, too.
        check_eq!(cause(&bed, Failed)?, 0);
        check_eq!(status(&bed)?, 0x83);
        check_eq!(told(&bed).doing, Doing::Nothing);
        Ok(())
    }

    #[test]
    fn a_legacy_driver_knows_no_features_ok() -> Result {
        let bed = at(&[])?;
        let features = 1 << bindings::VIRTIO_F_ACCESS_PLATFORM;

        check_eq!(bed.with(|dev| op!(dev, set_driver_features, features))?, 0);
        check_eq!(cause(&bed, DriverOk)?, 0);
        check_eq!(status(&bed)?, 0x0f);
        check_eq!(told(&bed).doing, Doing::Work);
        Ok(())
    }

    #[test]
    fn features_that_cannot_be_taken() -> Result {
        let bed = at(&[])?;

        for features in [0, FEATURES.0 | 1 << 40, 1 << bindings::VIRTIO_F_VERSION_1] {
            // What was taken before does not hold either.
            check_eq!(cause(&bed, Accept)?, 0);
            let ret = bed.with(|dev| op!(dev, set_driver_features, features))?;
            check_eq!(ret, EINVAL.to_errno());
            check_eq!(cause(&bed, FeaturesOk)?, 0);
            check_eq!(status(&bed)?, 0x03);
        }
        check_eq!(cause(&bed, Accept)?, 0);
        told(&bed).fail = Fail::Negotiate;
        check_eq!(cause(&bed, FeaturesOk)?, 0);
        check_eq!(status(&bed)?, 0x03);
        Ok(())
    }

    #[test]
    fn a_device_that_cannot_be_suspended_goes_on() -> Result {
        let bed = at(RUNNING)?;

        told(&bed).fail = Fail::Suspend;
        check_eq!(cause(&bed, Suspend)?, EIO.to_errno());
        check_eq!(told(&bed).doing, Doing::Work);
        told(&bed).fail = Fail::Never;
        check_eq!(cause(&bed, Suspend)?, 0);
        check_eq!(told(&bed).doing, Doing::Pause);
        Ok(())
    }

    #[test]
    fn a_device_that_does_not_go_on_stays_suspended() -> Result {
        let bed = at(SUSPENDED)?;

        told(&bed).fail = Fail::Resume;
        check_eq!(cause(&bed, Resume)?, EIO.to_errno());
        check_eq!(status(&bed)?, 0x0f);
        check_eq!(told(&bed).doing, Doing::Pause);
        told(&bed).fail = Fail::Never;
        check_eq!(cause(&bed, Resume)?, 0);
        check_eq!(told(&bed).doing, Doing::Work);

        // But with what makes no sense it cannot.
        check_eq!(cause(&bed, Suspend)?, 0);
        bed.with(|dev| op!(dev, set_vq_num, 0, 3))?;
        check_eq!(cause(&bed, Resume)?, EINVAL.to_errno());
        check_eq!(status(&bed)?, 0x4f);
        check_eq!(told(&bed).doing, Doing::Nothing);
        Ok(())
    }

    #[test]
    fn nothing_begins_before_a_reset_succeeds() -> Result {
        let bed = at(RUNNING)?;

        told(&bed).fail = Fail::Reset;
        check_eq!(cause(&bed, Reset)?, EIO.to_errno());
        check_eq!(status(&bed)?, 0);
        told(&bed).fail = Fail::Never;
        check_eq!(cause(&bed, Accept)?, EBUSY.to_errno());
        for event in [FeaturesOk, DriverOk] {
            check_eq!(cause(&bed, event)?, 0);
        }
        check_eq!(status(&bed)?, 0);
        check_eq!(told(&bed).starts, 1);
        check_eq!(cause(&bed, Reset)?, 0);
        for event in RUNNING {
            check_eq!(cause(&bed, *event)?, 0);
        }
        check_eq!(status(&bed)?, 0x0c);

        // Nor by a driver that begins again without one.
        told(&bed).fail = Fail::Reset;
        check_eq!(cause(&bed, Failed)?, 0);
        told(&bed).fail = Fail::Never;
        check_eq!(cause(&bed, Accept)?, EBUSY.to_errno());
        check_eq!(cause(&bed, DriverOk)?, 0);
        check_eq!(told(&bed).starts, 2);
        Ok(())
    }

    #[test]
    fn a_device_that_knows_that_it_needs_a_reset() -> Result {
        let bed = at(RUNNING)?;

        told(&bed).broken = true;
        check_eq!(status(&bed)?, 0x4f);
        // Who resets it wants to see that it is, who begins with it that this was in vain.
        check_eq!(cause(&bed, Reset)?, 0);
        check_eq!(status(&bed)?, 0);
        check_eq!(cause(&bed, Accept)?, 0);
        check_eq!(status(&bed)?, 0x40);
        told(&bed).broken = false;
        check_eq!(status(&bed)?, 0);
        Ok(())
    }

    #[test]
    fn the_driver_is_told_of_the_configuration() -> Result {
        let calls = Atomic::<i32>::new(0);
        let called = || calls.xchg(0, Relaxed);
        let bed = at(&[])?;
        let events = &bed.parent().parent().events;
        let generation = || bed.with(|dev| op!(dev, get_generation));
        let mut callback = callback(&calls);

        bed.with(|dev| op!(dev, set_config_cb, &mut callback))?;
        for event in NEGOTIATED {
            check_eq!(cause(&bed, *event)?, 0);
        }
        // Before it is ready it is not told, and when it is it must look again.
        let before = generation()?;
        events.config_changed();
        check!(generation()? != before);
        check_eq!(called(), 0);
        check_eq!(cause(&bed, DriverOk)?, 0);
        check_eq!(called(), 1);
        events.config_changed();
        check_eq!(called(), 1);
        // The same while it is suspended.
        check_eq!(cause(&bed, Suspend)?, 0);
        events.config_changed();
        events.config_changed();
        check_eq!(called(), 0);
        check_eq!(cause(&bed, Resume)?, 0);
        check_eq!(called(), 1);
        // That the device cannot go on is told once.
        check!(events.set_needs_reset());
        check!(!events.set_needs_reset());
        check_eq!(called(), 1);

        // And where that happens while it is suspended, when it is to go on.
        check_eq!(cause(&bed, Reset)?, 0);
        bed.with(|dev| op!(dev, set_config_cb, &mut callback))?;
        for event in SUSPENDED {
            check_eq!(cause(&bed, *event)?, 0);
        }
        called();
        check!(events.set_needs_reset());
        check_eq!(called(), 0);
        check_eq!(cause(&bed, Resume)?, EIO.to_errno());
        check_eq!(called(), 1);
        // What a driver has set goes with it, which counts as a change.
        let before = generation()?;
        check_eq!(cause(&bed, Failed)?, 0);
        check!(generation()? != before);
        // It takes the callback, which is of this function, away.
        check_eq!(cause(&bed, Reset)?, 0);
        Ok(())
    }
}
