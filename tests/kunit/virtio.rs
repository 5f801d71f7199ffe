// SPDX-License-Identifier: GPL-2.0

//! The virtio device of a transport, and what it leaves alone once it is unregistered.

use crate::{
    bed::{
        info,
        Bed, //
    },
    bus::{
        saw,
        script,
        Event,
        Parent, //
    },
    VdpaKunit, //
};
use core::ptr::{
    from_ref,
    null,
    NonNull, //
};
use kernel::{
    cpumask::Cpumask,
    device,
    module::this_module,
    prelude::*,
    sync::aref::ARef, //
};
use vdpa::{
    bindings,
    virtio::{
        Device,
        DeviceId,
        IrqAffinity,
        Slots,
        Transport, //
    },
    Features,
    RootDevice,
    Status,
    UnregisteredDevice,
    Vq, //
};

/// The transport of devices that no virtio driver is for.
struct Alone;

impl Transport for Alone {
    fn get(_dev: &Device<Self>, _offset: u32, _buf: &mut [u8]) {}

    fn set(_dev: &Device<Self>, _offset: u32, _buf: &[u8]) {}

    fn generation(_dev: &Device<Self>) -> u32 {
        0
    }

    fn get_status(dev: &Device<Self>) -> Status {
        dev.vdpa().status()
    }

    fn set_status(dev: &Device<Self>, status: Status) {
        dev.vdpa().set_status(status);
    }

    fn find_vqs(
        _dev: &Device<Self>,
        _slots: Slots<'_>,
        _affinity: Option<&mut IrqAffinity>,
    ) -> Result {
        Err(EOPNOTSUPP)
    }

    fn get_features(_dev: &Device<Self>) -> Features {
        Features(0)
    }

    fn finalize_features(_dev: &Device<Self>) -> Result {
        Ok(())
    }

    fn bus_name(_dev: &Device<Self>) -> &CStr {
        c"alone"
    }

    fn set_vq_affinity(_vq: Vq<'_>, _cpus: Option<&Cpumask>) -> Result {
        Ok(())
    }

    fn get_vq_affinity(_dev: &Device<Self>, _index: u32) -> Option<&Cpumask> {
        None
    }

    fn notify(_vq: Vq<'_>) {}

    fn notify_with_data(_vq: Vq<'_>, _next: u16) {}
}

/// Below 2^32 - 1, which stands for any device.
const NOBODYS: DeviceId = DeviceId {
    device: u32::MAX - 1,
    vendor: 0,
};

/// A device below another one, with a reference to it, as a driver might keep one.
fn child_of(parent: &device::Device) -> Option<ARef<device::Device>> {
    // CAST: `device::Device` is a transparent wrapper of `struct device`.
    let parent = from_ref(parent).cast_mut().cast();
    // SAFETY: The parent is valid; the function, which is for this, asks for no data.
    let child =
        unsafe { bindings::device_find_child(parent, null(), Some(bindings::device_match_any)) };

    // SAFETY: The device comes with a reference for us.
    NonNull::new(child).map(|child| unsafe { ARef::from_raw(child.cast()) })
}

/// Makes a device for virtio devices to be below, and one to be made from.
fn devices() -> Result<(RootDevice, Bed<Parent>)> {
    script([None; 2]);
    Ok((
        RootDevice::new(c"vdpa_kunit_virtio", this_module::<VdpaKunit>())?,
        Bed::new(UnregisteredDevice::new(&info(1), Parent::new(Ok(256)))?)?,
    ))
}

#[kunit_tests(vdpa_virtio)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_as_long_as_the_driver() -> Result {
        let (root, bed) = devices()?;

        bed.with(|dev| Device::<Alone>::register(dev, root.as_ref(), NOBODYS))?;
        check!(child_of(root.as_ref()).is_some());
        check!(saw(&[Event::Reset]));
        drop(bed);
        check!(child_of(root.as_ref()).is_none());
        check!(saw(&[Event::DropDeviceData]));
        Ok(())
    }

    #[test]
    fn who_keeps_it_does_not_keep_the_parent() -> Result {
        let (root, bed) = devices()?;

        bed.with(|dev| Device::<Alone>::register(dev, root.as_ref(), NOBODYS))?;
        let kept = child_of(root.as_ref()).ok_or(ENODEV)?;
        drop(bed);
        // From here on the parent's module could be gone.
        check!(saw(&[Event::Reset, Event::DropDeviceData]));
        drop(kept);
        check!(saw(&[]));
        Ok(())
    }

    #[test]
    fn zero_is_no_device() -> Result {
        let (root, bed) = devices()?;
        let id = DeviceId {
            device: 0,
            vendor: 0,
        };

        check_eq!(
            bed.with(|dev| Device::<Alone>::register(dev, root.as_ref(), id)),
            Err(EINVAL)
        );
        check!(child_of(root.as_ref()).is_none());
        drop(bed);
        check!(saw(&[Event::DropDeviceData]));
        Ok(())
    }
}
