// SPDX-License-Identifier: GPL-2.0

//! `vhost_vdpa`: ioctls that are about the device as a whole.

use crate::{
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
        QUEUES,
        SPACES, //
    },
    uapi,
    vhost::Vhost, //
};
use kernel::{
    ioctl::{
        _IO,
        _IOR,
        _IOW, //
    },
    prelude::*, //
};
use vdpa::bindings::{
    self,
    VHOST_VIRTIO, //
};

#[kunit_tests(vdpa_vhost_ioctls)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_answered() -> Result {
        let vhost = Vhost::new()?;

        check_eq!(
            vhost.get::<u32>(uapi::GET_DEVICE_ID)?,
            bindings::VIRTIO_ID_NET
        );
        check_eq!(vhost.get::<u64>(uapi::GET_FEATURES)?, FEATURES.0);
        check_eq!(vhost.get::<u32>(uapi::GET_VQS_COUNT)?, QUEUES);
        check_eq!(vhost.get::<u32>(uapi::GET_GROUP_NUM)?, GROUPS);
        check_eq!(vhost.get::<u32>(uapi::GET_AS_NUM)?, SPACES);
        check_eq!(vhost.get::<u32>(uapi::GET_CONFIG_SIZE)?, CONFIG_LEN as u32);
        check_eq!(
            vhost.get::<[u64; 2]>(uapi::GET_IOVA_RANGE)?,
            [IOVA.first, IOVA.last]
        );
        // No byte is written but those of the answer.
        check_eq!(vhost.get::<[u8; 2]>(uapi::GET_STATUS)?, [0, 0xee]);
        check_eq!(vhost.get::<[u16; 2]>(uapi::GET_VRING_NUM)?, [256, 0xeeee]);
        Ok(())
    }

    #[test]
    fn numbers_that_are_none_of_its_own() -> Result {
        let vhost = Vhost::new()?;

        for cmd in [
            0,
            u32::MAX,
            _IO(VHOST_VIRTIO, 0x02),
            // SET_LOG_BASE and SET_LOG_FD: there is no log.
            _IOW::<u64>(VHOST_VIRTIO, 0x04),
            _IOW::<i32>(VHOST_VIRTIO, 0x07),
            _IOR::<u8>(VHOST_VIRTIO, 0xff),
            // The right number, but another size, direction, and driver.
            _IOR::<u32>(VHOST_VIRTIO, 0x71),
            _IOW::<u8>(VHOST_VIRTIO, 0x71),
            _IOR::<u8>(VHOST_VIRTIO + 1, 0x71),
        ] {
            check_eq!(vhost.at(cmd, vhost.user.addr()), Err(ENOTTY));
        }
        check!(vhost.bed.parent().asked(&[]));
        Ok(())
    }

    #[test]
    fn arguments_that_are_not_there() -> Result {
        let vhost = Vhost::owned()?;
        let end = vhost.user.end();

        for cmd in [
            uapi::GET_DEVICE_ID,
            uapi::GET_FEATURES,
            uapi::SET_FEATURES,
            uapi::SET_STATUS,
            uapi::GET_CONFIG,
            uapi::SET_CONFIG,
            uapi::SET_CONFIG_CALL,
            uapi::SET_MEM_TABLE,
            uapi::SET_BACKEND_FEATURES,
            uapi::SET_VRING_NUM,
            uapi::SET_VRING_ADDR,
            uapi::GET_VRING_BASE,
            uapi::SET_GROUP_ASID,
            uapi::SET_FORK_FROM_OWNER,
        ] {
            for addr in [0, end, usize::MAX, isize::MAX as usize] {
                check_eq!(vhost.at(cmd, addr), Err(EFAULT));
            }
        }
        // The first half is there.
        for (cmd, half) in [
            (uapi::GET_FEATURES, 4),
            (uapi::SET_FEATURES, 4),
            (uapi::SET_VRING_NUM, 4),
            (uapi::SET_VRING_ADDR, 20),
            (uapi::GET_IOVA_RANGE, 8),
        ] {
            check_eq!(vhost.at(cmd, end - half), Err(EFAULT));
        }
        check!(vhost.bed.parent().asked(&[]));
        Ok(())
    }

    #[test]
    fn status_bits_are_only_added() -> Result {
        let vhost = Vhost::new()?;

        vhost.set(uapi::SET_STATUS, &3u8)?;
        vhost.set(uapi::SET_STATUS, &3u8)?;
        check_eq!(vhost.set(uapi::SET_STATUS, &1u8), Err(EINVAL));
        check_eq!(vhost.set(uapi::SET_STATUS, &12u8), Err(EINVAL));
        vhost.set(uapi::SET_STATUS, &0xfu8)?;
        check_eq!(vhost.get::<u8>(uapi::GET_STATUS)?, 0xf);
        vhost.set(uapi::SET_STATUS, &0u8)?;
        check_eq!(vhost.get::<u8>(uapi::GET_STATUS)?, 0);
        let status = |status| Call(Op::SetStatus, [status, 0, 0, 0]);
        check!(vhost.bed.parent().asked(&[
            status(3),
            status(3),
            status(0xf),
            // Nobody has said that mappings can stay.
            Call(Op::CompatReset, [0; 4]),
        ]));

        let backend = 1u64 << bindings::VHOST_BACKEND_F_IOTLB_PERSIST;
        vhost.set(uapi::SET_BACKEND_FEATURES, &backend)?;
        vhost.set(uapi::SET_STATUS, &0u8)?;
        check!(vhost.bed.parent().asked(&[Call(Op::Reset, [0; 4])]));

        vhost.bed.parent().calls.fail(Some(Op::Reset));
        check_eq!(vhost.set(uapi::SET_STATUS, &0u8), Err(EIO));
        Ok(())
    }

    #[test]
    fn features_are_set_once() -> Result {
        let vhost = Vhost::new()?;

        vhost.set(uapi::SET_FEATURES, &FEATURES.0)?;
        vhost.set(uapi::SET_FEATURES, &1u64)?;
        vhost.bed.parent().calls.fail(Some(Op::SetFeatures));
        check_eq!(vhost.set(uapi::SET_FEATURES, &1u64), Err(EINVAL));
        vhost.bed.parent().calls.fail(None);
        vhost.set(uapi::SET_STATUS, &0xbu8)?;
        check_eq!(vhost.set(uapi::SET_FEATURES, &1u64), Err(EBUSY));
        Ok(())
    }

    #[test]
    fn backend_features_are_those_that_are_offered() -> Result {
        let vhost = Vhost::new()?;
        let offered: u64 = vhost.get(uapi::GET_BACKEND_FEATURES)?;

        // All there are: 1 to 8.
        check_eq!(offered, 0x1fe);
        vhost.set(uapi::SET_BACKEND_FEATURES, &offered)?;
        vhost.set(uapi::SET_BACKEND_FEATURES, &0u64)?;
        for bit in (0..64).filter(|bit| offered & 1 << bit == 0) {
            let features = 1u64 << bit;

            check_eq!(
                vhost.set(uapi::SET_BACKEND_FEATURES, &features),
                Err(EOPNOTSUPP)
            );
        }
        // DESC_ASID needs IOTLB_ASID.
        let desc = 1u64 << bindings::VHOST_BACKEND_F_DESC_ASID;
        check_eq!(vhost.set(uapi::SET_BACKEND_FEATURES, &desc), Err(EINVAL));
        Ok(())
    }

    #[test]
    fn the_configuration_space_has_an_end() -> Result {
        const LEN: u32 = CONFIG_LEN as u32;
        let vhost = Vhost::new()?;

        for (offset, len, good) in [
            (0, LEN, true),
            (LEN - 1, 1, true),
            (3, 5, true),
            (0, 0, false),
            (0, LEN + 1, false),
            (LEN, 1, false),
            (LEN - 1, 2, false),
            (u32::MAX, 1, false),
            (1, u32::MAX, false),
            (u32::MAX, u32::MAX, false),
        ] {
            let ret = vhost.ask::<_, [u8; 9]>(uapi::GET_CONFIG, &[offset, len]);

            check_eq!(ret.as_ref().err().copied(), (!good).then_some(EINVAL));
            if let Ok(answer) = ret {
                check_eq!(answer[8], CONFIG_FIRST + offset as u8);
            }
            let ret = vhost.set(uapi::SET_CONFIG, &[offset, len]);
            check_eq!(ret.err(), (!good).then_some(EINVAL));
        }
        // The header is there, the rest is not.
        let addr = vhost.user.end() - 8;
        vhost.user.put(addr, &[0, LEN])?;
        check_eq!(vhost.at(uapi::GET_CONFIG, addr), Err(EFAULT));
        check_eq!(vhost.at(uapi::SET_CONFIG, addr), Err(EFAULT));
        Ok(())
    }

    #[test]
    fn there_is_one_owner() -> Result {
        let vhost = Vhost::new()?;

        for value in [2u8, 0xff] {
            check_eq!(vhost.set(uapi::SET_FORK_FROM_OWNER, &value), Err(EINVAL));
        }
        vhost.set(uapi::SET_FORK_FROM_OWNER, &0u8)?;
        check_eq!(vhost.get::<u8>(uapi::GET_FORK_FROM_OWNER)?, 0);
        vhost.bare(uapi::SET_OWNER)?;
        check_eq!(vhost.bare(uapi::SET_OWNER), Err(EBUSY));
        check_eq!(vhost.set(uapi::SET_FORK_FROM_OWNER, &1u8), Err(EBUSY));
        Ok(())
    }

    #[test]
    fn suspending_is_for_devices_that_run() -> Result {
        let vhost = Vhost::new()?;

        vhost.bare(uapi::SUSPEND)?;
        vhost.bare(uapi::RESUME)?;
        check!(vhost.bed.parent().asked(&[]));
        vhost.set(uapi::SET_STATUS, &0xfu8)?;
        vhost.bed.parent().calls.take();
        vhost.bare(uapi::SUSPEND)?;
        vhost.bare(uapi::RESUME)?;
        check!(vhost
            .bed
            .parent()
            .asked(&[Call(Op::Suspend, [0; 4]), Call(Op::Resume, [0; 4])]));
        vhost.bed.parent().calls.fail(Some(Op::Suspend));
        check_eq!(vhost.bare(uapi::SUSPEND), Err(EIO));
        Ok(())
    }

    #[test]
    fn a_session_that_has_ended_answers_nothing() -> Result {
        let vhost = Vhost::owned()?;

        vhost.vhost.close();
        check_eq!(vhost.get::<u32>(uapi::GET_DEVICE_ID), Err(ENODEV));
        check_eq!(vhost.bare(uapi::SET_OWNER), Err(ENODEV));
        Ok(())
    }
}
