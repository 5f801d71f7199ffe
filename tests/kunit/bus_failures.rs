// SPDX-License-Identifier: GPL-2.0

//! The bus: each step on the way of a device can fail, and leaves nothing behind.

use crate::{
    bed::{
        info,
        Bed, //
    },
    bus::{
        device,
        is_bound,
        load,
        saw,
        script,
        Event,
        Parent, //
    },
    VdpaKunit, //
};
use core::ptr::{
    null,
    null_mut, //
};
use kernel::{
    device::Device,
    error::{
        from_err_ptr,
        to_result, //
    },
    module::this_module,
    prelude::*, //
};
use vdpa::{
    bindings::{
        self,
        vdpa_config_ops,
        vdpa_device, //
    },
    DeviceInfo,
    RootDevice,
    UnregisteredDevice, //
};

const SIZE: usize = size_of::<vdpa_device>();

/// No operations at all.
static EMPTY: vdpa_config_ops = pin_init::zeroed();

extern "C" fn dma_map(
    _vdev: *mut vdpa_device,
    _asid: u32,
    _iova: u64,
    _size: u64,
    _pa: u64,
    _perm: u32,
    _opaque: *mut c_void,
) -> c_int {
    0
}

extern "C" fn dma_unmap(_vdev: *mut vdpa_device, _asid: u32, _iova: u64, _size: u64) -> c_int {
    0
}

static ONLY_MAP: vdpa_config_ops = vdpa_config_ops {
    dma_map: Some(dma_map),
    ..pin_init::zeroed()
};

static ONLY_UNMAP: vdpa_config_ops = vdpa_config_ops {
    dma_unmap: Some(dma_unmap),
    ..pin_init::zeroed()
};

static BOTH: vdpa_config_ops = vdpa_config_ops {
    dma_map: Some(dma_map),
    dma_unmap: Some(dma_unmap),
    ..pin_init::zeroed()
};

/// Has a device made as a parent in C does it, and thrown away.
fn alloc(ops: *const vdpa_config_ops, size: usize, name: Option<&CStr>, use_va: bool) -> Result {
    let name = name.map_or(null(), |name| name.as_char_ptr());

    // SAFETY: The operations are static, or NULL, which is refused; the name is a string or NULL. A
    // device that was not registered goes with its only reference.
    unsafe {
        let dev = from_err_ptr(bindings::__vdpa_alloc_device(
            null_mut(),
            ops,
            null(),
            1,
            1,
            size,
            name,
            use_va,
        ))?;

        bindings::put_device(&raw mut (*dev).dev);
    }
    Ok(())
}

fn named(name: &CStr) -> Result<UnregisteredDevice<Parent>> {
    below(None, Some(name))
}

/// A device with this parent.
fn below(parent: Option<&Device>, name: Option<&CStr>) -> Result<UnregisteredDevice<Parent>> {
    let info = DeviceInfo {
        name,
        parent,
        ..info(1)
    };

    UnregisteredDevice::new(&info, Parent::new(Ok(256)))
}

const ROOT: &CStr = c"vdpa_kunit_bus";

/// A device to be a parent.
fn root() -> Result<RootDevice> {
    RootDevice::new(ROOT, this_module::<VdpaKunit>())
}

#[kunit_tests(vdpa_bus_failures)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_not_made() -> Result {
        for (ops, use_va, good) in [
            (null(), false, false),
            (&raw const EMPTY, false, true),
            (&raw const EMPTY, true, false),
            (&raw const ONLY_MAP, false, false),
            (&raw const ONLY_UNMAP, false, false),
            (&raw const BOTH, false, true),
            (&raw const BOTH, true, true),
        ] {
            let expected = if good { Ok(()) } else { Err(EINVAL) };

            check_eq!(alloc(ops, SIZE, None, use_va), expected);
        }
        Ok(())
    }

    #[test]
    fn sizes_that_are_none() -> Result {
        for size in [0, 1, SIZE - 1] {
            check_eq!(alloc(&EMPTY, size, None, false), Err(EINVAL));
        }
        for size in [isize::MAX as usize, usize::MAX] {
            check!(alloc(&EMPTY, size, None, false).is_err());
        }
        alloc(&EMPTY, SIZE, None, false)
    }

    #[test]
    fn names_that_are_none() -> Result {
        const LONG: [u8; 257] = {
            let mut name = [b'x'; 257];

            name[256] = 0;
            name
        };

        for name in [c"", c".", c".."] {
            check_eq!(alloc(&EMPTY, SIZE, Some(name), false), Err(EINVAL));
        }
        let long = CStr::from_bytes_with_nul(&LONG).map_err(|_| EINVAL)?;
        check_eq!(alloc(&EMPTY, SIZE, Some(long), false), Err(EINVAL));
        let longest = CStr::from_bytes_with_nul(&LONG[1..]).map_err(|_| EINVAL)?;
        alloc(&EMPTY, SIZE, Some(longest), false)?;
        alloc(&EMPTY, SIZE, Some(c"..."), false)
    }

    #[test]
    fn indices_are_free_again() -> Result {
        script([None; 2]);
        let first = device()?.device().index();

        for _ in 0..3 {
            check!(named(c"..").is_err());
            check_eq!(device()?.device().index(), first);
        }
        Ok(())
    }

    #[test]
    fn data_that_is_not_there_is_not_dropped() -> Result {
        script([None; 2]);
        let ret = UnregisteredDevice::new(&info(1), Parent::new(Err(EIO)));

        check_eq!(ret.err(), Some(EIO));
        check!(saw(&[]));
        // Whereas this is, once.
        drop(UnregisteredDevice::new(&info(1), Parent::new(Ok(256)))?);
        check!(saw(&[Event::DropDeviceData]));
        Ok(())
    }

    #[test]
    fn a_name_is_taken_once() -> Result {
        script([None; 2]);
        let first = named(c"vdpa_kunit_name")?.register()?;
        let second = named(c"vdpa_kunit_name")?;

        check_eq!(second.register().err(), Some(EEXIST));
        check!(saw(&[Event::DropDeviceData]));
        drop(first);
        check!(saw(&[Event::DropDeviceData]));
        drop(named(c"vdpa_kunit_name")?.register()?);
        Ok(())
    }

    #[test]
    fn a_name_in_sysfs_is_taken_too() -> Result {
        script([None; 2]);
        let root = root()?;

        for (parent, name) in [
            // What is in `/sys/devices`.
            (None, c"system"),
            (None, c"virtual"),
            (None, ROOT),
            // What each device has in its directory.
            (Some(root.as_ref()), c"uevent"),
        ] {
            check_eq!(below(parent, Some(name))?.register().err(), Some(EEXIST));
            check!(saw(&[Event::DropDeviceData]));
        }
        // It is the place that matters.
        drop(below(Some(root.as_ref()), Some(c"system"))?.register()?);
        drop(below(None, Some(c"uevent"))?.register()?);
        Ok(())
    }

    #[test]
    fn a_parent_that_is_gone_has_no_children() -> Result {
        script([None; 2]);
        let root = root()?;
        let device = below(Some(root.as_ref()), None)?;

        drop(root);
        check_eq!(device.register().err(), Some(ENOENT));
        check!(saw(&[Event::DropDeviceData]));
        Ok(())
    }

    #[test]
    fn what_does_dma_is_kept() -> Result {
        script([None; 2]);
        let root = root()?;
        let info = DeviceInfo {
            dma_device: Some(root.as_ref()),
            ..info(1)
        };
        let bed = Bed::new(UnregisteredDevice::new(&info, Parent::new(Ok(256)))?)?;

        drop(root);
        bed.with(|dev| {
            check!(dev.dma_device().is_some_and(|dev| dev.name() == ROOT));
            Ok(())
        })?;
        drop(bed);
        check!(saw(&[Event::DropDeviceData]));
        Ok(())
    }

    #[test]
    fn a_device_without_a_size_for_its_virtqueues_gets_no_driver() -> Result {
        script([None; 2]);
        let _driver = load::<0>(c"vdpa_kunit0")?;

        for (max, bound) in [(0, false), (15, false), (16, true), (u16::MAX, true)] {
            let device = UnregisteredDevice::new(&info(1), Parent::new(Ok(max)))?.register()?;

            check_eq!(is_bound(&device), bound);
        }
        Ok(())
    }

    #[test]
    fn only_management_devices_register_below_themselves() -> Result {
        // SAFETY: The operations are static. The device is not registered, and goes with its only
        // reference.
        unsafe {
            let dev = from_err_ptr(bindings::__vdpa_alloc_device(
                null_mut(),
                &EMPTY,
                null(),
                1,
                1,
                SIZE,
                null(),
                false,
            ))?;
            let ret = to_result(bindings::_vdpa_register_device(dev, 1));

            bindings::put_device(&raw mut (*dev).dev);
            check_eq!(ret, Err(EINVAL));
        }
        Ok(())
    }

    #[test]
    fn a_management_device_has_a_device_and_operations() -> Result {
        let mut mdev = pin_init::zeroed::<bindings::vdpa_mgmt_dev>();
        let ops = pin_init::zeroed::<bindings::vdpa_mgmtdev_ops>();
        let device = device()?;

        // SAFETY: All pointers are NULL or valid; it is refused, and so not kept.
        unsafe {
            check_eq!(
                to_result(bindings::vdpa_mgmtdev_register(&mut mdev)),
                Err(EINVAL)
            );
            mdev.device = &raw mut (*device.device().as_raw()).dev;
            check_eq!(
                to_result(bindings::vdpa_mgmtdev_register(&mut mdev)),
                Err(EINVAL)
            );
            mdev.ops = &ops;
            check_eq!(
                to_result(bindings::vdpa_mgmtdev_register(&mut mdev)),
                Err(EINVAL)
            );
        }
        Ok(())
    }

    #[test]
    fn drivers_have_names_of_their_own() -> Result {
        script([None; 2]);
        let _first = load::<0>(c"vdpa_kunit0")?;

        check_eq!(load::<1>(c"vdpa_kunit0").map(|_| ()).err(), Some(EBUSY));
        Ok(())
    }
}
