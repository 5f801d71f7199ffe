// SPDX-License-Identifier: GPL-2.0

//! Devices that were taken from the bus, and that somebody has a reference to.

use crate::bed::info;
use core::ptr::null_mut;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use vdpa::{
    bindings::{
        self,
        vdpa_device, //
    },
    parent::{
        Adapter,
        Parent,
        VqSetup, //
    },
    Features,
    UnregisteredDevice,
    VqIndex, //
};

/// A parent that notes when it is dropped.
struct Lent(Arc<Atomic<u32>>);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[vtable]
impl Parent for Lent {
    fn device_id(&self) -> u32 {
        bindings::VIRTIO_ID_NET
    }

    fn features(&self) -> Features {
        Features(1)
    }

    fn size_max(&self, _vq: VqIndex) -> u16 {
        64
    }

    fn start_queue(&self, _queue: &VqSetup) -> Result {
        Ok(())
    }

    fn stop_queue(&self, _vq: VqIndex) -> Result {
        Ok(())
    }

    fn reset(&self) -> Result {
        Ok(())
    }

    fn kick(&self, _vq: VqIndex) {}
}

/// A reference to a device.
///
/// # Invariants
///
/// It is held here.
struct Reference(*mut vdpa_device);

impl Reference {
    /// Calls an operation as somebody would who has not heard of anything.
    fn table(&self) -> &bindings::vdpa_config_ops {
        // SAFETY: The device is valid, as there is a reference to it, and its table static.
        unsafe { &*(*self.0).config }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::put_device(&raw mut (*self.0).dev) };
    }
}

/// Calls an operation that each table has.
macro_rules! late {
    ($reference:expr, $op:ident $(, $arg:expr)* $(,)?) => {
        match $reference.table().$op {
            // SAFETY: The device is valid. That it is not registered any more is what is tested.
            Some(op) => unsafe { op($reference.0 $(, $arg)*) },
            None => return Err(EOPNOTSUPP),
        }
    };
}

/// A device that is gone, and how often its data was dropped.
fn gone() -> Result<(Reference, Arc<Atomic<u32>>)> {
    let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
    let info = info(1);
    let data = drops.clone();
    let device = UnregisteredDevice::new(&info, Adapter::new(&info, |_| Ok(Lent(data))))?;
    let registration = device.register()?;
    let vdev = registration.device().as_raw();

    // SAFETY: The device is registered.
    unsafe { bindings::get_device(&raw mut (*vdev).dev) };
    let reference = Reference(vdev);

    check_eq!(late!(reference, get_vq_num_max), 64);
    check_eq!(drops.load(Relaxed), 0);
    drop(registration);
    Ok((reference, drops))
}

#[kunit_tests(vdpa_gone)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_dropped_once_while_there_are_references() -> Result {
        let (reference, drops) = gone()?;

        check_eq!(drops.load(Relaxed), 1);
        drop(reference);
        check_eq!(drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn who_is_late_gets_an_answer() -> Result {
        let (late, _) = gone()?;
        let mut config = [7u8; 4];
        let mut state = pin_init::zeroed();
        let mut callback = pin_init::zeroed();
        let enodev = ENODEV.to_errno();

        check_eq!(late!(late, get_status), 0);
        late!(late, set_status, 15);
        check_eq!(late!(late, get_status), 0);
        check_eq!(late!(late, reset), 0);
        check_eq!(late!(late, get_device_features), 0);
        check_eq!(late!(late, set_driver_features, 1), enodev);
        check_eq!(late!(late, get_driver_features), 0);
        check_eq!(late!(late, get_device_id), 0);
        check_eq!(late!(late, get_vendor_id), 0);
        check_eq!(late!(late, get_vq_num_max), 0);
        check_eq!(late!(late, get_vq_align), bindings::PAGE_SIZE as u32);
        check_eq!(
            late!(late, set_vq_address, 0, 0x1000, 0x2000, 0x3000),
            enodev
        );
        late!(late, set_vq_num, 0, 8);
        late!(late, set_vq_ready, 0, true);
        check!(!late!(late, get_vq_ready, 0));
        check_eq!(late!(late, set_vq_state, 0, &state), enodev);
        check_eq!(late!(late, get_vq_state, 0, &mut state), enodev);
        late!(late, kick_vq, 0);
        late!(late, set_vq_cb, 0, &mut callback);
        late!(late, set_config_cb, &mut callback);
        check_eq!(late!(late, get_config_size), 0);
        late!(late, get_config, 0, config.as_mut_ptr().cast(), 4);
        check_eq!(config, [0; 4]);
        late!(late, get_config, 0, null_mut(), 0);
        late!(late, set_config, 0, config.as_ptr().cast(), 4);
        // What a device need not have it has not any more.
        check!(late.table().suspend.is_none());
        Ok(())
    }
}
