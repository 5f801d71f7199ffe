// SPDX-License-Identifier: GPL-2.0

//! The table of operations, from C's side: those of a virtqueue.

use crate::{
    bed::Bed,
    calls::{
        Call,
        Op, //
    },
    counting::callback,
    full::QUEUES, //
};
use core::ptr::null_mut;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use vdpa::bindings::{
    self,
    vdpa_callback,
    vdpa_vq_state, //
};

/// The first virtqueue that is not there, and others.
const MISSING: [u16; 4] = [QUEUES as u16, QUEUES as u16 + 1, 0x8000, 0xffff];

/// A message, for statistics.
struct Skb(*mut bindings::sk_buff);

impl Skb {
    fn new() -> Result<Self> {
        // SAFETY: No requirements.
        let skb = unsafe { bindings::genlmsg_new(256, bindings::GFP_KERNEL) };

        if skb.is_null() {
            return Err(ENOMEM);
        }
        Ok(Self(skb))
    }

    fn len(&self) -> u32 {
        // SAFETY: The message is valid until this is dropped.
        unsafe { (*self.0).len }
    }
}

impl Drop for Skb {
    fn drop(&mut self) {
        // SAFETY: It was made by `new()`, and was not given away.
        unsafe { bindings::nlmsg_free(self.0) };
    }
}

#[kunit_tests(vdpa_ops_vq)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_arrives() -> Result {
        let bed = Bed::platform()?;

        bed.with(|dev| {
            check_eq!(op!(dev, set_vq_address, 2, 0x10, 0x22, 0x34)?, 0);
            op!(dev, set_vq_num, 1, 0x1_0001)?;
            op!(dev, set_vq_ready, 0, true)?;
            check!(op!(dev, get_vq_ready, 0)?);
            op!(dev, set_vq_ready, 0, false)?;
            check!(!op!(dev, get_vq_ready, 0)?);
            check_eq!(op!(dev, set_vq_affinity, 2, core::ptr::null())?, 0);
            Ok(())
        })?;
        check!(bed.parent().asked(&[
            Call(Op::SetVqAddress, [2, 0x10, 0x22, 0x34]),
            Call(Op::SetVqNum, [1, 0x1_0001, 0, 0]),
            Call(Op::SetVqReady, [0, 1, 0, 0]),
            Call(Op::SetVqReady, [0, 0, 0, 0]),
            Call(Op::SetVqAffinity, [2, 0, 0, 0]),
        ]));
        Ok(())
    }

    #[test]
    fn kicks_arrive() -> Result {
        let bed = Bed::platform()?;

        bed.with(|dev| {
            op!(dev, kick_vq, 2)?;
            // The number is in the lower half; the upper one is the parent's business.
            op!(dev, kick_vq_with_data, 0xffff_0001)?;
            op!(dev, kick_vq_with_data, 0x0001_0003)
        })?;
        check!(bed.parent().asked(&[
            Call(Op::Kick, [2, 0, 0, 0]),
            Call(Op::KickWithData, [1, 0xffff_0001, 0, 0]),
        ]));
        Ok(())
    }

    #[test]
    fn what_is_asked_is_answered() -> Result {
        Bed::platform()?.with(|dev| {
            for vq in 0..3 {
                check_eq!(op!(dev, get_vq_size, vq)?, 64 << vq);
                let area = op!(dev, get_vq_notification, vq)?;
                check_eq!(area.addr, 0x1_0000 * (u64::from(vq) + 1));
                check_eq!(area.size, 4096);
                check_eq!(op!(dev, get_vq_group, vq)?, 1);
                check_eq!(op!(dev, get_vq_desc_group, vq)?, 1);
                check!(op!(dev, get_vq_affinity, vq)?.is_null());
            }
            check_eq!(op!(dev, get_vq_align)?, 32);
            Ok(())
        })
    }

    #[test]
    fn refusals_are_numbers() -> Result {
        let bed = Bed::platform()?;
        let mut state = pin_init::zeroed::<vdpa_vq_state>();

        for (op, fails) in [
            (Op::SetVqAddress, [true, false]),
            (Op::SetVqState, [false, true]),
        ] {
            bed.parent().calls.fail(Some(op));
            bed.with(|dev| {
                let expected = fails.map(|fails| if fails { EIO.to_errno() } else { 0 });

                check_eq!(op!(dev, set_vq_address, 0, 0, 0, 0)?, expected[0]);
                check_eq!(op!(dev, set_vq_state, 0, &raw mut state)?, expected[1]);
                Ok(())
            })?;
        }
        Ok(())
    }

    #[test]
    fn virtqueues_that_are_not_there_do_not_reach_the_parent() -> Result {
        let bed = Bed::platform()?;
        let einval = EINVAL.to_errno();
        let counter = Atomic::new(0);
        let mut callback = callback(&counter);
        let mut state = pin_init::zeroed::<vdpa_vq_state>();
        let skb = Skb::new()?;

        bed.with(|dev| {
            for vq in MISSING {
                check_eq!(op!(dev, set_vq_address, vq, 0, 0, 0)?, einval);
                op!(dev, set_vq_num, vq, 16)?;
                op!(dev, kick_vq, vq)?;
                op!(dev, kick_vq_with_data, vq.into())?;
                op!(dev, set_vq_cb, vq, &raw mut callback)?;
                op!(dev, set_vq_ready, vq, true)?;
                check!(!op!(dev, get_vq_ready, vq)?);
                check_eq!(op!(dev, set_vq_state, vq, &raw const state)?, einval);
                check_eq!(op!(dev, get_vq_state, vq, &raw mut state)?, einval);
                let ret = op!(dev, get_vendor_vq_stats, vq, skb.0, null_mut())?;
                check_eq!(ret, einval);
                let area = op!(dev, get_vq_notification, vq)?;
                check_eq!((area.addr, area.size), (0, 0));
                check_eq!(op!(dev, get_vq_irq, vq)?, einval);
                check_eq!(op!(dev, get_vq_size, vq)?, 0);
                check_eq!(op!(dev, get_vq_group, vq)?, u32::MAX);
                check_eq!(op!(dev, get_vq_desc_group, vq)?, u32::MAX);
                check_eq!(op!(dev, set_vq_affinity, vq, core::ptr::null())?, einval);
                check!(op!(dev, get_vq_affinity, vq)?.is_null());
            }
            Ok(())
        })?;
        check!(bed.parent().asked(&[]));
        check!(!bed.parent().vq_callback.call());
        Ok(())
    }

    #[test]
    fn callbacks_are_replaced_and_removed() -> Result {
        let counters = [Atomic::new(0), Atomic::new(0)];
        let bed = Bed::platform()?;

        for counter in &counters {
            let mut callback = callback(counter);

            bed.with(|dev| op!(dev, set_vq_cb, 1, &raw mut callback))?;
            // What was installed is a copy.
            callback.callback = None;
            check!(bed.parent().vq_callback.call());
        }
        check_eq!(counters[0].load(Relaxed), 1);
        check_eq!(counters[1].load(Relaxed), 1);

        let mut none = pin_init::zeroed::<vdpa_callback>();
        bed.with(|dev| op!(dev, set_vq_cb, 1, &raw mut none))?;
        check!(!bed.parent().vq_callback.call());
        check_eq!(counters[1].load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn a_reset_removes_callbacks_even_if_it_fails() -> Result {
        let counter = Atomic::new(0);
        let bed = Bed::platform()?;

        for (flags, fail) in [
            (None, None),
            (None, Some(Op::Reset)),
            (Some(1), None),
            (Some(1), Some(Op::CompatReset)),
        ] {
            let mut callback = callback(&counter);

            bed.parent().calls.fail(fail);
            bed.with(|dev| {
                op!(dev, set_vq_cb, 0, &raw mut callback)?;
                op!(dev, set_config_cb, &raw mut callback)?;
                let ret = match flags {
                    Some(flags) => op!(dev, compat_reset, flags)?,
                    None => op!(dev, reset)?,
                };
                check_eq!(ret, fail.map_or(0, |_| EIO.to_errno()));
                Ok(())
            })?;
            check!(!bed.parent().vq_callback.call());
            check!(!bed.parent().config_callback.call());
        }
        check_eq!(counter.load(Relaxed), 0);
        Ok(())
    }

    // A parent that names another place later cannot have what it was given before stay where it
    // is.
    #[test]
    fn a_parent_says_once_where_callbacks_and_mappings_belong() -> Result {
        let counter = Atomic::new(0);
        let bed = Bed::in_software(false)?;
        let mut callback = callback(&counter);

        check_eq!(bed.parent().places.load(Relaxed), QUEUES as i32 + 2);
        bed.parent().places.store(0, Relaxed);
        bed.with(|dev| {
            op!(dev, set_vq_cb, 0, &raw mut callback)?;
            op!(dev, set_config_cb, &raw mut callback)?;
            check_eq!(op!(dev, dma_map, 0, 0x1000, 0x1000, 0, 1, null_mut())?, 0);
            check_eq!(op!(dev, dma_unmap, 0, 0x1000, 0x1000)?, 0);
            check_eq!(op!(dev, reset)?, 0);
            Ok(())
        })?;
        check_eq!(bed.parent().places.load(Relaxed), 0);
        check!(!bed.parent().vq_callback.call());
        Ok(())
    }

    #[test]
    fn the_format_of_a_state_is_what_was_negotiated() -> Result {
        let bed = Bed::platform()?;

        bed.with(|dev| {
            let mut state = pin_init::zeroed::<vdpa_vq_state>();
            let mut back = pin_init::zeroed::<vdpa_vq_state>();

            state.__bindgen_anon_1.split = bindings::vdpa_vq_state_split {
                avail_index: 0xffff,
            };
            check_eq!(op!(dev, set_vq_state, 0, &raw const state)?, 0);
            check_eq!(op!(dev, get_vq_state, 0, &raw mut back)?, 0);
            // SAFETY: Plain integers.
            check_eq!(unsafe { back.__bindgen_anon_1.split.avail_index }, 0xffff);

            let packed = 1 << bindings::VIRTIO_F_RING_PACKED;
            check_eq!(op!(dev, set_driver_features, packed)?, 0);
            check_eq!(op!(dev, set_vq_state, 0, &raw const state)?, 0);
            check_eq!(op!(dev, get_vq_state, 0, &raw mut back)?, 0);
            // SAFETY: As above.
            let packed = unsafe { back.__bindgen_anon_1.packed };
            check_eq!(packed.last_avail_idx(), 0x7fff);
            check_eq!(packed.last_avail_counter(), 1);
            check_eq!((packed.last_used_idx(), packed.last_used_counter()), (0, 0));
            Ok(())
        })
    }

    #[test]
    fn interrupt_numbers_are_positive() -> Result {
        let bed = Bed::platform()?;

        for (irq, expected) in [
            (Ok(27), 27),
            (Ok(i32::MAX as u32), i32::MAX),
            (Ok(i32::MAX as u32 + 1), EINVAL.to_errno()),
            (Ok(u32::MAX), EINVAL.to_errno()),
            (Err(ENOENT), ENOENT.to_errno()),
        ] {
            bed.parent().set_irq(irq);
            check_eq!(bed.with(|dev| op!(dev, get_vq_irq, 0))?, expected);
        }
        Ok(())
    }

    #[test]
    fn statistics_go_into_the_message() -> Result {
        let skb = Skb::new()?;
        let bed = Bed::platform()?;

        bed.with(|dev| {
            let ret = op!(dev, get_vendor_vq_stats, 1, skb.0, null_mut())?;
            check_eq!(ret, 0);
            // No message to put them into.
            let ret = op!(dev, get_vendor_vq_stats, 1, null_mut(), null_mut())?;
            check_eq!(ret, EINVAL.to_errno());
            Ok(())
        })?;
        // "number" with its NUL and a `u64`, each with a header, aligned to 4 bytes.
        check_eq!(skb.len(), 12 + 12);

        // The message is full at some time, which is an error, and nothing else.
        let mut ret = 0;
        for _ in 0..1000 {
            ret = bed.with(|dev| op!(dev, get_vendor_vq_stats, 1, skb.0, null_mut()))?;
            if ret != 0 {
                break;
            }
        }
        check_eq!(ret, EMSGSIZE.to_errno());
        Ok(())
    }
}
