// SPDX-License-Identifier: GPL-2.0

//! The table of operations, from C's side: those of the device as a whole.

use crate::{
    bed::Bed,
    calls::{
        Call,
        Op, //
    },
    full::{
        CONFIG_FIRST,
        CONFIG_LEN,
        FEATURES,
        GROUPS,
        IOVA,
        SPACES, //
    },
};
use core::ptr::{
    null,
    null_mut, //
};
use kernel::prelude::*;
use vdpa::bindings;

#[kunit_tests(vdpa_ops_device)]
mod tests {
    use super::*;

    #[test]
    fn identity_and_limits() -> Result {
        Bed::platform()?.with(|dev| {
            check_eq!(op!(dev, get_device_id)?, bindings::VIRTIO_ID_NET);
            check_eq!(op!(dev, get_vendor_id)?, 0x1af4);
            check_eq!(op!(dev, get_vq_num_max)?, 256);
            check_eq!(op!(dev, get_vq_num_min)?, 16);
            check_eq!(op!(dev, get_generation)?, 7);
            check_eq!(op!(dev, get_config_size)?, CONFIG_LEN);
            let range = op!(dev, get_iova_range)?;
            check_eq!((range.first, range.last), (IOVA.first, IOVA.last));
            let features = op!(dev, get_backend_features)?;
            check_eq!(
                features,
                1 << bindings::VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK
            );
            Ok(())
        })
    }

    #[test]
    fn features() -> Result {
        let bed = Bed::platform()?;

        bed.with(|dev| {
            check_eq!(op!(dev, get_device_features)?, FEATURES.0);
            check_eq!(op!(dev, get_driver_features)?, 0);
            check_eq!(op!(dev, set_driver_features, 1 << 63 | 1)?, 0);
            check_eq!(op!(dev, get_driver_features)?, 1 << 63 | 1);
            Ok(())
        })?;
        check!(bed
            .parent()
            .asked(&[Call(Op::SetFeatures, [1 << 63 | 1, 0, 0, 0])]));

        bed.parent().calls.fail(Some(Op::SetFeatures));
        let ret = bed.with(|dev| op!(dev, set_driver_features, 0))?;
        check_eq!(ret, EIO.to_errno());
        Ok(())
    }

    #[test]
    fn status_and_reset() -> Result {
        let bed = Bed::platform()?;

        bed.with(|dev| {
            op!(dev, set_status, 0x8f)?;
            check_eq!(op!(dev, get_status)?, 0x8f);
            check_eq!(op!(dev, reset)?, 0);
            check_eq!(op!(dev, get_status)?, 0);
            Ok(())
        })?;
        check!(bed.parent().asked(&[
            Call(Op::SetStatus, [0x8f, 0, 0, 0]),
            Call(Op::Reset, [0; 4]),
        ]));
        Ok(())
    }

    #[test]
    fn mappings_are_forgotten_where_that_is_asked_for() -> Result {
        let bed = Bed::dma_map()?;
        let clean = Call(Op::CompatReset, [0; 4]);
        let keep = Call(Op::Reset, [0; 4]);

        // The second bit has no meaning yet.
        for (flags, call) in [(0, keep), (1, clean), (2, keep), (3, clean)] {
            bed.with(|dev| {
                op!(dev, set_status, 0xf)?;
                check_eq!(op!(dev, compat_reset, flags)?, 0);
                check_eq!(op!(dev, get_status)?, 0);
                Ok(())
            })?;
            check!(bed
                .parent()
                .asked(&[Call(Op::SetStatus, [0xf, 0, 0, 0]), call]));
        }
        for (clean_map, call) in [(false, keep), (true, clean)] {
            bed.with(|dev| dev.reset(clean_map))?;
            check!(bed.parent().asked(&[call]));
        }
        bed.parent().calls.fail(Some(Op::CompatReset));
        let ret = bed.with(|dev| Ok([op!(dev, compat_reset, 1)?, op!(dev, compat_reset, 0)?]))?;
        check_eq!(ret, [EIO.to_errno(), 0]);
        Ok(())
    }

    #[test]
    fn suspend_and_resume() -> Result {
        let bed = Bed::platform()?;

        bed.with(|dev| {
            check_eq!(op!(dev, suspend)?, 0);
            check_eq!(op!(dev, resume)?, 0);
            Ok(())
        })?;
        check!(bed
            .parent()
            .asked(&[Call(Op::Suspend, [0; 4]), Call(Op::Resume, [0; 4])]));
        for (op, expected) in [
            (Op::Suspend, [EIO.to_errno(), 0]),
            (Op::Resume, [0, EIO.to_errno()]),
        ] {
            bed.parent().calls.fail(Some(op));
            let ret = bed.with(|dev| Ok([op!(dev, suspend)?, op!(dev, resume)?]))?;
            check_eq!(ret, expected);
        }
        Ok(())
    }

    #[test]
    fn what_is_read_is_in_the_configuration_space() -> Result {
        const LEN: u32 = CONFIG_LEN as u32;
        let bed = Bed::platform()?;

        for (offset, len, there) in [
            (0, LEN, LEN),
            (0, 1, 1),
            (LEN - 1, 1, 1),
            (4, 4, 4),
            // The end, and what is beyond it.
            (0, LEN + 1, LEN),
            (LEN - 1, 8, 1),
            (LEN, 1, 0),
            (LEN + 1, 1, 0),
            (u32::MAX, 8, 0),
            (0, 0, 0),
            (LEN, 0, 0),
        ] {
            let mut buf = [0xee_u8; 32];
            let to = buf.as_mut_ptr().cast();

            bed.with(|dev| op!(dev, get_config, offset, to, len))?;
            for (i, byte) in (0..).zip(buf) {
                let expected = if i < there {
                    CONFIG_FIRST.wrapping_add((offset + i) as u8)
                } else if i < len {
                    // Not what happened to be there.
                    0
                } else {
                    0xee
                };

                check_eq!(byte, expected);
            }
            let call = Call(Op::GetConfig, [offset.into(), there.into(), 0, 0]);
            check!(bed.parent().asked_if(there != 0, &[call]));
        }
        Ok(())
    }

    #[test]
    fn what_is_written_is_in_the_configuration_space() -> Result {
        const LEN: u32 = CONFIG_LEN as u32;
        let bed = Bed::platform()?;
        let buf = [0x99_u8; 32];

        for (offset, len, fits) in [
            (0, LEN, true),
            (LEN - 1, 1, true),
            (8, 4, true),
            (0, LEN + 1, false),
            (LEN - 1, 2, false),
            (LEN, 1, false),
            (u32::MAX, 1, false),
            (u32::MAX - 7, 8, false),
        ] {
            let call = Call(Op::SetConfig, [offset.into(), len.into(), 0x99, 0]);

            bed.with(|dev| op!(dev, set_config, offset, buf.as_ptr().cast(), len))?;
            check!(bed.parent().asked_if(fits, &[call]));
        }
        Ok(())
    }

    #[test]
    fn without_data_there_need_be_no_buffer() -> Result {
        let bed = Bed::platform()?;

        for offset in [0, CONFIG_LEN as u32, u32::MAX] {
            bed.with(|dev| {
                op!(dev, get_config, offset, null_mut(), 0)?;
                op!(dev, set_config, offset, null(), 0)
            })?;
            check!(bed.parent().asked(&[]));
        }
        Ok(())
    }

    #[test]
    fn groups_and_address_spaces_are_there() -> Result {
        let bed = Bed::platform()?;

        for (group, asid, there) in [
            (0, 0, true),
            (GROUPS - 1, SPACES - 1, true),
            (GROUPS, 0, false),
            (0, SPACES, false),
            (u32::MAX, 0, false),
            (0, u32::MAX, false),
        ] {
            let call = Call(Op::SetGroupAsid, [group.into(), asid.into(), 0, 0]);
            let ret = bed.with(|dev| op!(dev, set_group_asid, group, asid))?;

            check_eq!(ret, if there { 0 } else { EINVAL.to_errno() });
            check!(bed.parent().asked_if(there, &[call]));
        }
        Ok(())
    }
}
