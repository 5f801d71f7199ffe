// SPDX-License-Identifier: GPL-2.0

//! The table of operations of a parent that has only what it has to have.

use crate::{
    bed::{
        info,
        Bed, //
    },
    table::table, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use vdpa::{
    bindings,
    Asid,
    Callback,
    ConfigOps,
    DmaMap,
    Features,
    GroupId,
    Iotlb,
    IovaRange,
    MapRange,
    SetMap,
    Status,
    Translation,
    UnregisteredDevice,
    VqAddress,
    VqIndex,
    VqState, //
};

/// The parent.
#[pin_data]
struct Bare {
    callback: Arc<Callback>,
}

impl Bare {
    fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            callback: Callback::new()?,
        })
    }
}

#[vtable]
impl ConfigOps for Bare {
    fn set_vq_address(&self, _vq: VqIndex, _address: VqAddress) -> Result {
        Ok(())
    }
    fn set_vq_num(&self, _vq: VqIndex, _num: u32) {}
    fn kick_vq(&self, _vq: VqIndex) {}
    fn vq_callback(&self, _vq: VqIndex) -> Option<Arc<Callback>> {
        Some(self.callback.clone())
    }
    fn set_vq_ready(&self, _vq: VqIndex, _ready: bool) {}
    fn get_vq_ready(&self, _vq: VqIndex) -> bool {
        false
    }
    fn set_vq_state(&self, _vq: VqIndex, _state: VqState) -> Result {
        Ok(())
    }
    fn get_vq_state(&self, _vq: VqIndex) -> Result<VqState> {
        Ok(VqState::initial(false))
    }
    fn get_device_features(&self) -> Features {
        Features(0)
    }
    fn set_driver_features(&self, _features: Features) -> Result {
        Ok(())
    }
    fn get_driver_features(&self) -> Features {
        Features(0)
    }
    fn get_vq_num_max(&self) -> u16 {
        1
    }
    fn get_device_id(&self) -> u32 {
        bindings::VIRTIO_ID_RNG
    }
    fn get_status(&self) -> Status {
        Status(0)
    }
    fn set_status(&self, _status: Status) {}
    fn reset(&self) -> Result {
        Ok(())
    }
}

#[vtable]
impl SetMap for Bare {
    fn set_map(&self, _asid: Asid, _map: &Iotlb) -> Result {
        Ok(())
    }
}

#[vtable]
impl DmaMap for Bare {
    fn dma_map(&self, _asid: Asid, _range: MapRange) -> Result {
        Ok(())
    }
    fn dma_unmap(&self, _asid: Asid, _range: IovaRange) -> Result {
        Ok(())
    }
}

#[kunit_tests(vdpa_ops_absent)]
mod tests {
    use super::*;

    fn bed() -> Result<Bed<Bare>> {
        Bed::new(UnregisteredDevice::new(&info(1), Bare::new())?)
    }

    #[test]
    fn what_is_not_optional_is_there() -> Result {
        bed()?.with(|dev| {
            let ops = table(dev);

            check!(ops.set_vq_address.is_some() && ops.set_vq_num.is_some());
            check!(ops.kick_vq.is_some() && ops.set_vq_cb.is_some());
            check!(ops.set_vq_ready.is_some() && ops.get_vq_ready.is_some());
            check!(ops.set_vq_state.is_some() && ops.get_vq_state.is_some());
            check!(ops.get_vq_align.is_some() && ops.get_vq_num_max.is_some());
            check!(ops.get_device_features.is_some() && ops.set_driver_features.is_some());
            check!(ops.get_driver_features.is_some() && ops.set_config_cb.is_some());
            check!(ops.get_device_id.is_some() && ops.get_vendor_id.is_some());
            check!(ops.get_status.is_some() && ops.set_status.is_some());
            check!(ops.reset.is_some() && ops.free.is_some());
            check!(ops.get_config_size.is_some());
            check!(ops.get_config.is_some() && ops.set_config.is_some());
            Ok(())
        })
    }

    #[test]
    fn what_is_optional_is_absent() -> Result {
        bed()?.with(|dev| {
            let ops = table(dev);

            check!(ops.kick_vq_with_data.is_none());
            check!(ops.get_vendor_vq_stats.is_none());
            check!(ops.get_vq_notification.is_none() && ops.get_vq_irq.is_none());
            check!(ops.get_vq_size.is_none() && ops.get_vq_num_min.is_none());
            check!(ops.get_vq_group.is_none() && ops.get_vq_desc_group.is_none());
            check!(ops.get_backend_features.is_none());
            check!(ops.suspend.is_none() && ops.resume.is_none());
            check!(ops.get_generation.is_none() && ops.get_iova_range.is_none());
            check!(ops.set_vq_affinity.is_none() && ops.get_vq_affinity.is_none());
            check!(ops.set_group_asid.is_none() && ops.get_vq_map.is_none());
            check!(ops.compat_reset.is_none());
            check!(ops.bind_mm.is_none() && ops.unbind_mm.is_none());
            check!(ops.set_map.is_none() && ops.reset_map.is_none());
            check!(ops.dma_map.is_none() && ops.dma_unmap.is_none());
            Ok(())
        })
    }

    #[test]
    fn drivers_are_told_what_is_absent() -> Result {
        bed()?.with(|dev| {
            let vq = dev.vq(0).ok_or(EINVAL)?;

            check_eq!(dev.suspend(), Err(EOPNOTSUPP));
            check_eq!(dev.resume(), Err(EOPNOTSUPP));
            check!(!dev.can_suspend() && !dev.can_resume());
            check_eq!(dev.set_group_asid(GroupId(0), Asid(0)), Err(EOPNOTSUPP));
            check_eq!(
                dev.dma_unmap(Asid(0), IovaRange { first: 0, last: 1 }),
                Err(EOPNOTSUPP)
            );
            check_eq!(dev.reset_map(Asid(0)), Err(EOPNOTSUPP));
            check_eq!(dev.generation(), None);
            check_eq!(dev.iova_range(), None);
            check_eq!(dev.vq_num_min(), 1);
            check_eq!(dev.backend_features(), 0);
            check_eq!(dev.config_size(), 0);
            check!(!dev.can_kick_with_data() && !dev.can_set_affinity());
            check_eq!(vq.size(), None);
            check_eq!(vq.irq(), None);
            check_eq!(vq.group(), None);
            check_eq!(vq.desc_group(), None);
            check_eq!(vq.notification(), None);
            check_eq!(vq.set_affinity(None), Err(EOPNOTSUPP));
            check!(vq.affinity().is_none());
            check!(dev.vq(1).is_none());
            // Absent, so it does nothing.
            vq.kick_with_data(0xffff);
            Ok(())
        })
    }

    #[test]
    fn what_a_parent_need_not_say_has_a_value() -> Result {
        bed()?.with(|dev| {
            check_eq!(op!(dev, get_vendor_id)?, 0);
            check_eq!(op!(dev, get_vq_align)?, bindings::PAGE_SIZE as u32);
            check_eq!(op!(dev, get_config_size)?, 0);
            // Nowhere to keep it: it is not called, and not an error.
            let mut callback = pin_init::zeroed::<bindings::vdpa_callback>();
            op!(dev, set_config_cb, &raw mut callback)
        })
    }

    #[test]
    fn each_way_of_mapping_has_its_operations() -> Result {
        Bed::new(UnregisteredDevice::with_set_map(&info(1), Bare::new())?)?.with(|dev| {
            let ops = table(dev);

            check!(ops.set_map.is_some() && ops.reset_map.is_none());
            check!(ops.dma_map.is_none() && ops.dma_unmap.is_none());
            check_eq!(dev.translation(), Translation::SetMap);
            Ok(())
        })?;
        Bed::new(UnregisteredDevice::with_dma_map(&info(1), Bare::new())?)?.with(|dev| {
            let ops = table(dev);

            check!(ops.dma_map.is_some() && ops.dma_unmap.is_some());
            check!(ops.set_map.is_none() && ops.reset_map.is_none());
            check_eq!(dev.translation(), Translation::DmaMap);
            Ok(())
        })?;
        bed()?.with(|dev| {
            check_eq!(dev.translation(), Translation::Platform);
            Ok(())
        })
    }
}
