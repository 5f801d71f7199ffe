// SPDX-License-Identifier: GPL-2.0

//! `vhost_vdpa`: ioctls that set virtqueues up.

use crate::{
    calls::{
        Call,
        Op, //
    },
    full::{
        GROUPS,
        QUEUES,
        SPACES, //
    },
    uapi,
    vhost::Vhost, //
};
use kernel::prelude::*;
use vdpa::bindings::VIRTIO_F_RING_PACKED;

/// The ioctls that take the number of a virtqueue and another one.
const OF_VRINGS: [u32; 12] = [
    uapi::SET_VRING_NUM,
    uapi::SET_VRING_BASE,
    uapi::SET_VRING_ENABLE,
    uapi::SET_VRING_KICK,
    uapi::SET_VRING_CALL,
    uapi::SET_VRING_ERR,
    uapi::SET_VRING_BUSYLOOP_TIMEOUT,
    uapi::GET_VRING_BASE,
    uapi::GET_VRING_SIZE,
    uapi::GET_VRING_GROUP,
    uapi::GET_VRING_DESC_GROUP,
    uapi::GET_VRING_BUSYLOOP_TIMEOUT,
];

/// `struct vhost_vring_addr`: index and flags, then addresses of the descriptors, the used ring,
/// the available ring and the log.
fn addresses(index: u32, flags: u32, addresses: [u64; 4]) -> [u64; 5] {
    let [desc, used, avail, log] = addresses;

    [
        u64::from(index) | u64::from(flags) << 32,
        desc,
        used,
        avail,
        log,
    ]
}

#[kunit_tests(vdpa_vhost_vrings)]
mod tests {
    use super::*;

    #[test]
    fn virtqueues_are_the_owners() -> Result {
        let vhost = Vhost::new()?;

        for cmd in OF_VRINGS {
            for index in [0, QUEUES, u32::MAX] {
                check_eq!(vhost.set(cmd, &[index, 0]), Err(EPERM));
            }
        }
        let value = addresses(0, 0, [0; 4]);
        check_eq!(vhost.set(uapi::SET_VRING_ADDR, &value), Err(EPERM));
        check_eq!(vhost.set(uapi::SET_GROUP_ASID, &[0u32, 0]), Err(EPERM));
        check!(vhost.bed.parent().asked(&[]));
        Ok(())
    }

    #[test]
    fn virtqueues_that_are_not_there() -> Result {
        let vhost = Vhost::owned()?;

        for index in [QUEUES, QUEUES + 1, 0x1_0000, 0x1_0000 | 1, u32::MAX] {
            for cmd in OF_VRINGS {
                check_eq!(vhost.set(cmd, &[index, 1]), Err(ENOBUFS));
            }
            let value = addresses(index, 0, [0; 4]);
            check_eq!(vhost.set(uapi::SET_VRING_ADDR, &value), Err(ENOBUFS));
        }
        check!(vhost.bed.parent().asked(&[]));
        Ok(())
    }

    #[test]
    fn sizes_are_powers_of_two_up_to_the_largest() -> Result {
        let vhost = Vhost::owned()?;

        for num in [
            0,
            1,
            2,
            3,
            4,
            5,
            255,
            256,
            257,
            512,
            0x8000,
            0x1_0000,
            0x1_0001,
            1 << 31,
            u32::MAX,
        ] {
            let good = num <= 256 && num.is_power_of_two();
            let ret = vhost.set(uapi::SET_VRING_NUM, &[1, num]);
            let call = Call(Op::SetVqNum, [1, num.into(), 0, 0]);

            check_eq!(ret.err(), (!good).then_some(EINVAL));
            check!(vhost.bed.parent().asked_if(good, &[call]));
        }
        Ok(())
    }

    #[test]
    fn addresses_are_aligned() -> Result {
        let vhost = Vhost::owned()?;

        for (flags, [desc, used, avail, log], error) in [
            (0, [0x10, 0x24, 0x32, 0], None),
            // Logging can be asked for, and is not switched on.
            (1, [0x10, 0x24, 0x32, 4], None),
            (0, [u64::MAX, 4, 2, 0], None),
            (0, [0, 1, 0, 0], Some(EINVAL)),
            (0, [0, 2, 0, 0], Some(EINVAL)),
            (0, [0, 0, 1, 0], Some(EINVAL)),
            (0, [0, 0, 0, 2], Some(EINVAL)),
            (2, [0, 0, 0, 0], Some(EOPNOTSUPP)),
            (u32::MAX, [0, 0, 0, 0], Some(EOPNOTSUPP)),
        ] {
            let value = addresses(2, flags, [desc, used, avail, log]);
            let call = Call(Op::SetVqAddress, [2, desc, avail, used]);
            let good = error.is_none();

            check_eq!(vhost.set(uapi::SET_VRING_ADDR, &value).err(), error);
            check!(vhost.bed.parent().asked_if(good, &[call]));
        }
        vhost.bed.parent().calls.fail(Some(Op::SetVqAddress));
        let value = addresses(0, 0, [0; 4]);
        check_eq!(vhost.set(uapi::SET_VRING_ADDR, &value), Err(EINVAL));
        Ok(())
    }

    #[test]
    fn a_split_virtqueue_stands_at_16_bits() -> Result {
        let vhost = Vhost::owned()?;

        for base in [0, 1, 0x8000, 0xffff] {
            vhost.set(uapi::SET_VRING_BASE, &[1, base])?;
            let answer: [u32; 2] = vhost.ask(uapi::GET_VRING_BASE, &[1u32, 0xeeee])?;
            check_eq!(answer, [1, base]);
        }
        vhost.bed.parent().calls.take();
        for base in [0x1_0000, u32::MAX] {
            check_eq!(vhost.set(uapi::SET_VRING_BASE, &[1, base]), Err(EINVAL));
        }
        check!(vhost.bed.parent().asked(&[]));
        Ok(())
    }

    #[test]
    fn a_packed_virtqueue_stands_at_32_bits() -> Result {
        let vhost = Vhost::owned()?;

        vhost.set(uapi::SET_FEATURES, &(1u64 << VIRTIO_F_RING_PACKED))?;
        for base in [0, 0x8000, 0x8000_8000, 0x7fff_7fff, 0x1234_9abc, u32::MAX] {
            vhost.set(uapi::SET_VRING_BASE, &[0, base])?;
            let answer: [u32; 2] = vhost.ask(uapi::GET_VRING_BASE, &[0u32, 0])?;
            check_eq!(answer, [0, base]);
        }
        Ok(())
    }

    #[test]
    fn a_device_that_runs_is_not_set_up() -> Result {
        let vhost = Vhost::owned()?;
        let value = addresses(0, 0, [0; 4]);

        vhost.set(uapi::SET_STATUS, &0xfu8)?;
        vhost.bed.parent().calls.take();
        check_eq!(vhost.set(uapi::SET_VRING_NUM, &[0u32, 16]), Err(EBUSY));
        check_eq!(vhost.set(uapi::SET_VRING_ADDR, &value), Err(EINVAL));
        check_eq!(vhost.set(uapi::SET_VRING_BASE, &[0u32, 0]), Err(EINVAL));
        check_eq!(vhost.set(uapi::SET_GROUP_ASID, &[0u32, 0]), Err(EBUSY));
        check!(vhost.bed.parent().asked(&[]));
        vhost.bare(uapi::SUSPEND)?;
        vhost.set(uapi::SET_VRING_NUM, &[0u32, 16])?;
        vhost.set(uapi::SET_VRING_ADDR, &value)?;
        vhost.set(uapi::SET_VRING_BASE, &[0u32, 0])
    }

    #[test]
    fn groups_and_address_spaces_are_there() -> Result {
        let vhost = Vhost::owned()?;

        for (group, asid, good) in [
            (0, 0, true),
            (GROUPS - 1, SPACES - 1, true),
            (GROUPS, 0, false),
            // More than groups, but a virtqueue.
            (QUEUES - 1, 0, false),
            (0, SPACES, false),
            (u32::MAX, u32::MAX, false),
        ] {
            let call = Call(Op::SetGroupAsid, [group.into(), asid.into(), 0, 0]);
            let ret = vhost.set(uapi::SET_GROUP_ASID, &[group, asid]);

            check_eq!(ret.err(), (!good).then_some(EINVAL));
            check!(vhost.bed.parent().asked_if(good, &[call]));
        }
        Ok(())
    }

    #[test]
    fn a_device_is_not_believed_that_names_other_groups() -> Result {
        let vhost = Vhost::owned()?;

        for group in [0, GROUPS - 1, GROUPS, u32::MAX] {
            vhost.bed.parent().set_group(group);
            for cmd in [uapi::GET_VRING_GROUP, uapi::GET_VRING_DESC_GROUP] {
                let ret = vhost.ask::<_, [u32; 2]>(cmd, &[2u32, 0xeeee]);
                let expected = if group < GROUPS {
                    Ok([2, group])
                } else {
                    Err(EIO)
                };

                check_eq!(ret, expected);
            }
        }
        let size: [u32; 2] = vhost.ask(uapi::GET_VRING_SIZE, &[2u32, 0])?;
        check_eq!(size, [2, 256]);
        Ok(())
    }

    #[test]
    fn file_descriptors_that_are_none() -> Result {
        let vhost = Vhost::owned()?;

        for cmd in [
            uapi::SET_VRING_KICK,
            uapi::SET_VRING_CALL,
            uapi::SET_VRING_ERR,
        ] {
            for fd in [-2, i32::MAX, i32::MIN, 9999] {
                check_eq!(vhost.set(cmd, &[0, fd as u32]), Err(EBADF));
            }
            // None, which is in order.
            vhost.set(cmd, &[0, u32::MAX])?;
        }
        check_eq!(vhost.set(uapi::SET_CONFIG_CALL, &-2i32), Err(EBADF));
        vhost.set(uapi::SET_CONFIG_CALL, &-1i32)?;
        check!(vhost.bed.parent().asked(&[]));
        check!(!vhost.bed.parent().vq_callback.call());
        check!(!vhost.bed.parent().config_callback.call());
        Ok(())
    }

    #[test]
    fn what_is_remembered_only() -> Result {
        let vhost = Vhost::owned()?;

        vhost.set(uapi::SET_VRING_BUSYLOOP_TIMEOUT, &[1u32, 77])?;
        let answer: [u32; 2] = vhost.ask(uapi::GET_VRING_BUSYLOOP_TIMEOUT, &[1u32, 0])?;
        check_eq!(answer, [1, 77]);
        vhost.set(uapi::SET_VRING_ENABLE, &[2u32, 5])?;
        vhost.set(uapi::SET_VRING_ENABLE, &[2u32, 0])?;
        check!(vhost.bed.parent().asked(&[
            Call(Op::SetVqReady, [2, 1, 0, 0]),
            Call(Op::SetVqReady, [2, 0, 0, 0]),
        ]));
        Ok(())
    }
}
