// SPDX-License-Identifier: GPL-2.0

//! How the device of a parent reaches memory: as the parent says.

use super::{
    Adapter,
    Parent, //
};
use crate::{
    Asid,
    DmaMap,
    FileDmaMap,
    FileIotlb,
    FileRange,
    FileSetMap,
    Iotlb,
    IovaRange,
    MapRange,
    SetMap,
    SoftDma,
    SoftIommu, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

#[vtable]
impl<P: Parent + SetMap> SetMap for Adapter<P> {
    type OwnerModule = <P as SetMap>::OwnerModule;

    const HAS_RESET_MAP: bool = <P as SetMap>::HAS_RESET_MAP;

    #[inline]
    fn set_map(&self, asid: Asid, map: &Iotlb) -> Result {
        self.parent().set_map(asid, map)
    }

    #[inline]
    fn reset_map(&self, asid: Asid) -> Result {
        SetMap::reset_map(self.parent(), asid)
    }
}

#[vtable]
impl<P: Parent + DmaMap> DmaMap for Adapter<P> {
    type OwnerModule = <P as DmaMap>::OwnerModule;

    const HAS_RESET_MAP: bool = <P as DmaMap>::HAS_RESET_MAP;

    #[inline]
    fn dma_map(&self, asid: Asid, range: MapRange) -> Result {
        self.parent().dma_map(asid, range)
    }

    #[inline]
    fn dma_unmap(&self, asid: Asid, range: IovaRange) -> Result {
        DmaMap::dma_unmap(self.parent(), asid, range)
    }

    #[inline]
    fn reset_map(&self, asid: Asid) -> Result {
        DmaMap::reset_map(self.parent(), asid)
    }
}

#[vtable]
impl<P: Parent + FileSetMap> FileSetMap for Adapter<P> {
    type OwnerModule = <P as FileSetMap>::OwnerModule;

    const HAS_RESET_MAP: bool = <P as FileSetMap>::HAS_RESET_MAP;

    #[inline]
    fn set_map(&self, asid: Asid, map: &FileIotlb) -> Result {
        FileSetMap::set_map(self.parent(), asid, map)
    }

    #[inline]
    fn reset_map(&self, asid: Asid) -> Result {
        FileSetMap::reset_map(self.parent(), asid)
    }
}

#[vtable]
impl<P: Parent + FileDmaMap> FileDmaMap for Adapter<P> {
    type OwnerModule = <P as FileDmaMap>::OwnerModule;

    const HAS_RESET_MAP: bool = <P as FileDmaMap>::HAS_RESET_MAP;

    #[inline]
    fn dma_map(&self, asid: Asid, range: FileRange) -> Result {
        FileDmaMap::dma_map(self.parent(), asid, range)
    }

    #[inline]
    fn dma_unmap(&self, asid: Asid, range: IovaRange) -> Result {
        FileDmaMap::dma_unmap(self.parent(), asid, range)
    }

    #[inline]
    fn reset_map(&self, asid: Asid) -> Result {
        FileDmaMap::reset_map(self.parent(), asid)
    }
}

impl<P: Parent + SoftDma> SoftDma for Adapter<P> {
    #[inline]
    fn iommu(&self) -> Arc<SoftIommu> {
        self.parent().iommu()
    }

    #[inline]
    fn mapped(&self) {
        self.parent().mapped();
    }
}
