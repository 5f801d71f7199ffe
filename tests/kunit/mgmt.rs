// SPDX-License-Identifier: GPL-2.0

//! Management devices, from C's side of the table.
//!
//! A device is made and registered with a lock of the bus held that only commands take. Here the
//! management device therefore turns down what is to be made.

use crate::{
    bus::{
        device,
        saw,
        script,
        Event,
        Parent, //
    },
    VdpaKunit, //
};
use core::ptr::{
    from_ref,
    null_mut, //
};
use kernel::{
    device::Device,
    error::to_result,
    module::this_module,
    prelude::*, //
};
use vdpa::{
    bindings::{
        self,
        vdpa_dev_set_config,
        vdpa_mgmt_dev, //
    },
    mgmt::{
        Attributes,
        Config,
        Info,
        Operations,
        Registration, //
    },
    Features,
    RootDevice,
    UnregisteredDevice, //
};

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const FEATURES: u64 = 1 << bindings::VIRTIO_F_VERSION_1;
const CLASSES: [u32; 2] = [bindings::VIRTIO_ID_NET, bindings::VIRTIO_ID_RNG];

/// What a user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wish {
    mac: Option<[u8; 6]>,
    mtu: Option<u16>,
    pairs: Option<u16>,
    features: Option<u64>,
}

impl Wish {
    const NONE: Self = Self {
        mac: None,
        mtu: None,
        pairs: None,
        features: None,
    };

    fn of(config: &Config) -> Self {
        Self {
            mac: config.mac(),
            mtu: config.mtu(),
            pairs: config.max_vq_pairs(),
            features: config.features().map(|features| features.0),
        }
    }
}

/// What a management device is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Add(Wish),
    Change(Wish),
}

kernel::sync::global_lock! {
    // SAFETY: Initialised when the module is loaded, before there are tests.
    unsafe(uninit) static LAST: Mutex<Option<Call>> = None;
}

/// To be called once, when the module is loaded.
pub(crate) fn init() {
    // SAFETY: By what is said above.
    unsafe { LAST.init() };
}

/// The call since the last time.
fn called() -> Option<Call> {
    LAST.lock().take()
}

/// A management device whose devices cannot be changed.
struct Fixed;

#[vtable]
impl Operations for Fixed {
    type Device = Parent;

    fn dev_add(
        &self,
        _mgmt: &Device,
        name: &CStr,
        config: &Config,
    ) -> Result<UnregisteredDevice<Parent>> {
        *LAST.lock() = Some(Call::Add(Wish::of(config)));
        Err(if name == c"kunit0" { ENOSPC } else { EIO })
    }
}

/// One whose devices can.
struct Changing;

#[vtable]
impl Operations for Changing {
    type Device = Parent;

    fn dev_add(
        &self,
        _mgmt: &Device,
        _name: &CStr,
        _config: &Config,
    ) -> Result<UnregisteredDevice<Parent>> {
        Err(ENOSPC)
    }

    fn dev_set_attr(&self, _device: &Parent, config: &Config) -> Result {
        let wish = Wish::of(config);

        *LAST.lock() = Some(Call::Change(wish));
        if wish == Wish::NONE {
            return Err(EOPNOTSUPP);
        }
        Ok(())
    }
}

/// A management device that is registered.
struct Bed<T: Operations> {
    // It goes first.
    registration: Pin<KBox<Registration<T>>>,
    root: RootDevice,
}

impl<T: Operations + 'static> Bed<T> {
    fn new(operations: T) -> Result<Self> {
        Self::with_classes(operations, &CLASSES)
    }

    fn with_classes(operations: T, classes: &[u32]) -> Result<Self> {
        let root = RootDevice::new(c"vdpa_kunit_mgmt", this_module::<VdpaKunit>())?;
        let info = Info {
            device: root.as_ref(),
            classes,
            attributes: Attributes::NET_MAC.with(Attributes::NET_MTU),
            features: Features(FEATURES),
            max_virtqueues: 7,
        };

        Ok(Self {
            registration: KBox::pin_init(Registration::new(info, operations), GFP_KERNEL)?,
            root,
        })
    }

    /// What C knows it by.
    fn as_raw(&self) -> *mut vdpa_mgmt_dev {
        // CAST: It is the first field of a registration, and `Opaque`.
        from_ref(&*self.registration).cast_mut().cast()
    }

    fn raw(&self) -> &vdpa_mgmt_dev {
        // SAFETY: It is registered, and nobody changes it.
        unsafe { &*self.as_raw() }
    }

    fn ops(&self) -> &bindings::vdpa_mgmtdev_ops {
        // SAFETY: As above; operations are static.
        unsafe { &*self.raw().ops }
    }

    fn add(&self, name: &CStr, config: &vdpa_dev_set_config) -> Result {
        let dev_add = self.ops().dev_add.ok_or(ENOENT)?;

        // SAFETY: It is registered; nothing is, that would take the lock.
        to_result(unsafe { dev_add(self.as_raw(), name.as_char_ptr(), config) })
    }
}

/// All that can be asked for, of which the attributes (`enum vdpa_attr`) say what is.
fn config(attributes: &[u32]) -> vdpa_dev_set_config {
    let mut config = pin_init::zeroed::<vdpa_dev_set_config>();

    config.device_features = FEATURES;
    config.net.mac = MAC;
    config.net.mtu = 9000;
    config.net.max_vq_pairs = 3;
    for attribute in attributes {
        config.mask |= 1 << attribute;
    }
    config
}

const ASKED_MAC: u32 = bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MACADDR;
const ASKED_MTU: u32 = bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MTU;
const ASKED_PAIRS: u32 = bindings::vdpa_attr_VDPA_ATTR_DEV_NET_CFG_MAX_VQP;
const ASKED_FEATURES: u32 = bindings::vdpa_attr_VDPA_ATTR_DEV_FEATURES;

#[kunit_tests(vdpa_mgmt)]
mod tests {
    use super::*;

    #[test]
    fn what_it_can_do_is_told() -> Result {
        let bed = Bed::new(Fixed)?;
        let raw = bed.raw();

        check!(core::ptr::eq(
            raw.device.cast(),
            from_ref::<Device>(bed.root.as_ref())
        ));
        check_eq!(raw.config_attr_mask, 1 << ASKED_MAC | 1 << ASKED_MTU);
        check_eq!(raw.supported_features, FEATURES);
        check_eq!(raw.max_supported_vqs, 7);
        for (at, expected) in [CLASSES[0], CLASSES[1], 0].into_iter().enumerate() {
            // SAFETY: The table ends with the first entry that is zero.
            check_eq!(unsafe { (*raw.id_table.add(at)).device }, expected);
        }
        Ok(())
    }

    #[test]
    fn only_what_was_asked_for_is_seen() -> Result {
        let bed = Bed::new(Fixed)?;

        for (asked, wish) in [
            (&[][..], Wish::NONE),
            (
                &[ASKED_MAC],
                Wish {
                    mac: Some(MAC),
                    ..Wish::NONE
                },
            ),
            (
                &[ASKED_MTU],
                Wish {
                    mtu: Some(9000),
                    ..Wish::NONE
                },
            ),
            (
                &[ASKED_PAIRS, ASKED_FEATURES],
                Wish {
                    pairs: Some(3),
                    features: Some(FEATURES),
                    ..Wish::NONE
                },
            ),
        ] {
            check_eq!(bed.add(c"kunit0", &config(asked)), Err(ENOSPC));
            check_eq!(called(), Some(Call::Add(wish)));
        }
        Ok(())
    }

    #[test]
    fn the_name_and_the_error_get_through() -> Result {
        let bed = Bed::new(Fixed)?;

        check_eq!(bed.add(c"kunit0", &config(&[])), Err(ENOSPC));
        check_eq!(bed.add(c"kunit1", &config(&[])), Err(EIO));
        Ok(())
    }

    #[test]
    fn what_cannot_be_changed_has_no_operation() -> Result {
        check!(Bed::new(Fixed)?.ops().dev_set_attr.is_none());
        check!(Bed::new(Changing)?.ops().dev_set_attr.is_some());
        Ok(())
    }

    #[test]
    fn a_device_is_changed() -> Result {
        script([None; 2]);
        let bed = Bed::new(Changing)?;
        let device = device()?;
        let dev_set_attr = bed.ops().dev_set_attr.ok_or(ENOENT)?;
        let change = |config| {
            let device = device.device().as_raw();

            // SAFETY: It is registered, and the device is of the type that it makes.
            to_result(unsafe { dev_set_attr(bed.as_raw(), device, &config) })
        };

        check_eq!(change(config(&[ASKED_MTU])), Ok(()));
        let wish = Wish {
            mtu: Some(9000),
            ..Wish::NONE
        };
        check_eq!(called(), Some(Call::Change(wish)));
        check_eq!(change(config(&[])), Err(EOPNOTSUPP));
        check_eq!(called(), Some(Call::Change(Wish::NONE)));
        drop(device);
        check!(saw(&[Event::DropDeviceData]));
        Ok(())
    }

    #[test]
    fn it_comes_and_goes() -> Result {
        for _ in 0..3 {
            check_eq!(Bed::new(Fixed)?.add(c"kunit0", &config(&[])), Err(ENOSPC));
        }
        Ok(())
    }

    #[test]
    fn zero_is_no_class() -> Result {
        for classes in [&[0][..], &[0, CLASSES[0]], &[CLASSES[0], 0, CLASSES[1]]] {
            check_eq!(Bed::with_classes(Fixed, classes).err(), Some(EINVAL));
        }
        drop(Bed::with_classes(Fixed, &[])?);
        Ok(())
    }

    #[test]
    fn what_lacks_something_is_not_registered() -> Result {
        let bed = Bed::new(Fixed)?;

        for spoil in [
            (|mdev| mdev.device = null_mut()) as fn(&mut vdpa_mgmt_dev),
            |mdev| mdev.ops = core::ptr::null(),
        ] {
            let mut mdev = pin_init::zeroed::<vdpa_mgmt_dev>();

            mdev.device = bed.raw().device;
            mdev.ops = bed.raw().ops;
            mdev.id_table = bed.raw().id_table;
            spoil(&mut mdev);
            // SAFETY: It is refused, and not used after that.
            let ret = to_result(unsafe { bindings::vdpa_mgmtdev_register(&mut mdev) });
            check_eq!(ret, Err(EINVAL));
        }
        Ok(())
    }
}
