// SPDX-License-Identifier: GPL-2.0

//! A vDPA device with one virtqueue that takes no buffers out of it.

#![deny(unsafe_code)]

use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};
use vdpa::{
    bindings, mgmt, Callback, ConfigOps, DeviceInfo, Features, RootDevice, Status,
    UnregisteredDevice, VqAddress, VqIndex, VqState,
};

const FEATURES: Features = Features::from_bits(&[bindings::VIRTIO_F_VERSION_1]);

#[derive(Default)]
struct State {
    status: Status,
    features: Features,
    ready: bool,
    avail_index: u16,
}

#[pin_data]
struct Null {
    callback: Arc<Callback>,
    #[pin]
    state: Mutex<State>,
}

#[vtable]
impl ConfigOps for Null {
    fn get_device_id(&self) -> u32 {
        bindings::VIRTIO_ID_RNG
    }
    fn get_vq_num_max(&self) -> u16 {
        256
    }
    fn get_device_features(&self) -> Features {
        FEATURES
    }
    fn set_driver_features(&self, features: Features) -> Result {
        self.state.lock().features = features.intersection(FEATURES);
        Ok(())
    }
    fn get_driver_features(&self) -> Features {
        self.state.lock().features
    }
    fn get_status(&self) -> Status {
        self.state.lock().status
    }
    fn set_status(&self, status: Status) {
        self.state.lock().status = status;
    }
    fn reset(&self) -> Result {
        *self.state.lock() = State::default();
        Ok(())
    }
    fn vq_callback(&self, _vq: VqIndex) -> Option<Arc<Callback>> {
        Some(self.callback.clone())
    }
    fn set_vq_address(&self, _vq: VqIndex, _address: VqAddress) -> Result {
        Ok(())
    }
    fn set_vq_num(&self, _vq: VqIndex, _num: u32) {}
    fn kick_vq(&self, _vq: VqIndex) {
        // A real device would use buffers, and then do `self.callback.call()`.
    }
    fn set_vq_ready(&self, _vq: VqIndex, ready: bool) {
        self.state.lock().ready = ready;
    }
    fn get_vq_ready(&self, _vq: VqIndex) -> bool {
        self.state.lock().ready
    }
    fn set_vq_state(&self, _vq: VqIndex, state: VqState) -> Result {
        let VqState::Split { avail_index } = state else {
            return Err(EOPNOTSUPP);
        };
        self.state.lock().avail_index = avail_index;
        Ok(())
    }
    fn get_vq_state(&self, _vq: VqIndex) -> Result<VqState> {
        let avail_index = self.state.lock().avail_index;
        Ok(VqState::Split { avail_index })
    }
}

struct NullOperations;

#[vtable]
impl mgmt::Operations for NullOperations {
    type Device = Null;

    fn dev_add(
        &self,
        mgmt: &kernel::device::Device,
        name: &CStr,
        _config: &mgmt::Config,
    ) -> Result<UnregisteredDevice<Null>> {
        let info = DeviceInfo {
            name: Some(name),
            parent: Some(mgmt),
            dma_device: None,
            virtqueues: 1,
            groups: 1,
            address_spaces: 1,
        };
        UnregisteredDevice::new(
            &info,
            try_pin_init!(Null {
                callback: Callback::new()?,
                state <- new_mutex!(State::default()),
            }),
        )
    }
}

#[pin_data]
struct VdpaNull {
    #[pin]
    _mgmt: mgmt::Registration<NullOperations>,
    _root: RootDevice,
}

impl kernel::InPlaceModule for VdpaNull {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let root = RootDevice::new(c"vdpa_null", module)?;
            Ok(try_pin_init!(Self {
                _mgmt <- mgmt::Registration::new(
                    mgmt::Info {
                        device: root.as_ref(),
                        classes: &[bindings::VIRTIO_ID_RNG],
                        attributes: mgmt::Attributes::NONE,
                        features: FEATURES,
                        max_virtqueues: 1,
                    },
                    NullOperations,
                ),
                _root: root,
            }))
        })
    }
}

module! {
    type: VdpaNull,
    name: "vdpa_null",
    authors: ["rust-vdpa developers"],
    description: "vDPA device that does nothing",
    license: "GPL",
}
