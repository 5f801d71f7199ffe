// SPDX-License-Identifier: GPL-2.0

//! What the crate has of a device beside the data of its parent.

use crate::{
    virtio_map::Token,
    Callback,
    ConfigOps,
    DeviceInfo,
    SoftIommu,
    VqIndex, //
};
use kernel::{
    device,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// What the crate has of a device.
///
/// The parent says once where callbacks and mappings belong. If it were asked each time, it could
/// say something else when they are to be removed than when they came, and what they point to would
/// be used after it is freed.
pub(crate) struct Kept {
    /// What the device says does DMA, unless that is itself.
    _dma_device: Option<ARef<device::Device>>,
    vq_callbacks: KVVec<Option<Arc<Callback>>>,
    config_callback: Option<Arc<Callback>>,
    iommu: Option<Arc<SoftIommu>>,
    /// One for each virtqueue, if the device maps the memory of kernel drivers itself.
    tokens: KVVec<Pin<KBox<Token>>>,
}

impl Kept {
    pub(crate) fn new<T: ConfigOps>(
        info: &DeviceInfo<'_>,
        data: &T,
        iommu: Option<Arc<SoftIommu>>,
        tokens: KVVec<Pin<KBox<Token>>>,
    ) -> Result<Self> {
        let nvqs = info.virtqueues;
        let mut vq_callbacks = KVVec::with_capacity(nvqs as usize, GFP_KERNEL)?;

        for vq in (0..nvqs).filter_map(|index| VqIndex::new(index, nvqs)) {
            vq_callbacks.push(data.vq_callback(vq), GFP_KERNEL)?;
        }
        Ok(Self {
            _dma_device: info.dma_device.map(Into::into),
            vq_callbacks,
            config_callback: data.config_callback(),
            iommu,
            tokens,
        })
    }

    /// Returns what the memory of a virtqueue is mapped with, if the device does that itself.
    #[inline]
    pub(crate) fn token(&self, vq: u16) -> Option<&Token> {
        self.tokens.get(usize::from(vq)).map(|token| &**token)
    }

    /// Returns the place for the callback of a virtqueue.
    #[inline]
    pub(crate) fn vq_callback(&self, vq: VqIndex) -> Option<&Callback> {
        self.vq_callbacks.get(usize::from(vq))?.as_deref()
    }

    /// Returns the place for the callback for configuration changes.
    #[inline]
    pub(crate) fn config_callback(&self) -> Option<&Callback> {
        self.config_callback.as_deref()
    }

    /// Removes all callbacks.
    #[inline]
    pub(crate) fn clear_callbacks(&self) {
        for callback in self.vq_callbacks.iter().flatten() {
            callback.clear();
        }
        if let Some(callback) = &self.config_callback {
            callback.clear();
        }
    }

    /// Returns the translation of a device in software.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` where it is no such device.
    #[inline]
    pub(crate) fn iommu(&self) -> Result<&SoftIommu> {
        self.iommu.as_deref().ok_or(EOPNOTSUPP)
    }
}
