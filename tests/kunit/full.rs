// SPDX-License-Identifier: GPL-2.0

//! A parent with all operations there are, which notes what it is asked to do.

use crate::{
    bed::{
        info,
        Bed, //
    },
    calls::{
        Call,
        Calls,
        Op, //
    }, //
};
use kernel::{
    cpumask::Cpumask,
    new_mutex, new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        SpinLockIrq, //
    },
};
use vdpa::{
    bindings,
    virtio_map::{
        Coherent,
        FromDevice,
        ToDevice,
        VirtioMap, //
    },
    Asid,
    Callback,
    ConfigOps,
    DeviceInfo,
    DmaMap,
    Features,
    FileArea,
    FileDmaMap,
    FileIotlb,
    FileRange,
    FileSetMap,
    GroupId,
    Iotlb,
    IovaRange,
    MapRange,
    NotificationArea,
    SetMap,
    SoftDma,
    SoftIommu,
    SoftMapping,
    Status,
    UnregisteredDevice,
    VendorStats,
    VqAddress,
    VqIndex,
    VqState, //
};

pub(crate) const QUEUES: u32 = 3;
pub(crate) const GROUPS: u32 = 2;
pub(crate) const SPACES: u32 = 2;
pub(crate) const CONFIG_LEN: usize = 24;
/// The byte that the configuration space begins with; each that follows is one more.
pub(crate) const CONFIG_FIRST: u8 = 0x40;
/// How many mappings an address space of the software translation can have.
pub(crate) const LIMIT: usize = 16;

pub(crate) const IOVA: IovaRange = IovaRange {
    first: 0x1000,
    last: 0xffff_ffff_ffff,
};

pub(crate) const FEATURES: Features = Features::from_bits(&[
    bindings::VIRTIO_F_VERSION_1,
    bindings::VIRTIO_F_ACCESS_PLATFORM,
    bindings::VIRTIO_F_RING_PACKED,
]);

/// What a device with all of it is made with.
pub(crate) fn full_info() -> DeviceInfo<'static> {
    DeviceInfo {
        groups: GROUPS,
        address_spaces: SPACES,
        ..info(QUEUES)
    }
}

/// Devices with this parent.
impl Bed<Full> {
    /// One whose memory is mapped by the platform.
    pub(crate) fn platform() -> Result<Self> {
        Self::new(UnregisteredDevice::new(&full_info(), Full::new())?)
    }

    /// One that takes whole address spaces.
    pub(crate) fn set_map() -> Result<Self> {
        Self::new(UnregisteredDevice::with_set_map(&full_info(), Full::new())?)
    }

    /// One that takes single mappings.
    pub(crate) fn dma_map() -> Result<Self> {
        Self::new(UnregisteredDevice::with_dma_map(&full_info(), Full::new())?)
    }

    /// One in software, which takes whole address spaces if `batch`, or else single mappings.
    pub(crate) fn in_software(batch: bool) -> Result<Self> {
        Self::in_software_with(SoftMapping {
            batch,
            use_va: false,
        })
    }

    /// One in software, of which more is said.
    pub(crate) fn in_software_with(mapping: SoftMapping) -> Result<Self> {
        let device = UnregisteredDevice::in_software(&full_info(), mapping, Full::new())?;

        Self::new(device)
    }
}

struct State {
    status: Status,
    features: Features,
    ready: bool,
    vq_state: VqState,
    irq: Result<u32>,
    group: u32,
}

/// The parent.
#[pin_data]
pub(crate) struct Full {
    #[pin]
    pub(crate) calls: Calls,
    pub(crate) vq_callback: Arc<Callback>,
    pub(crate) config_callback: Arc<Callback>,
    #[pin]
    state: SpinLockIrq<State>,
    pub(crate) iommu: Arc<SoftIommu>,
    /// How often it was asked where callbacks and mappings belong.
    pub(crate) places: Atomic<i32>,
    /// The memory behind mappings, if it shall keep that.
    #[pin]
    pub(crate) areas: Mutex<Option<KVec<FileArea>>>,
    /// Where memory of kernel drivers is mapped next.
    pub(crate) addr: Atomic<i64>,
    /// What was shared with one last.
    #[pin]
    pub(crate) shared: SpinLockIrq<Option<Arc<Coherent>>>,
}

impl Full {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            calls <- Calls::new(),
            vq_callback: Callback::new()?,
            config_callback: Callback::new()?,
            state <- new_spinlock_irq!(
                State {
                    status: Status::default(),
                    features: Features::default(),
                    ready: false,
                    vq_state: VqState::initial(false),
                    irq: Ok(27),
                    group: 1,
                },
                "vdpa_kunit_state"
            ),
            iommu: SoftIommu::new(SPACES, LIMIT)?,
            places: Atomic::new(0),
            areas <- new_mutex!(None, "vdpa_kunit_areas"),
            addr: Atomic::new(0),
            shared <- new_spinlock_irq!(None, "vdpa_kunit_shared"),
        })
    }

    /// Whether nothing but this was asked for since the last time.
    pub(crate) fn asked(&self, calls: &[Call]) -> bool {
        let notes = self.calls.take();

        if notes.calls() != calls {
            pr_err!("the device was asked {:?}\n", notes.calls());
        }
        notes.len() == calls.len() && notes.calls() == calls
    }

    /// The same if `yes`; otherwise whether nothing was asked for.
    pub(crate) fn asked_if(&self, yes: bool, calls: &[Call]) -> bool {
        self.asked(if yes { calls } else { &[] })
    }

    /// Forgets all that a driver has set.
    fn forget(&self) {
        let mut state = self.state.lock();

        state.status = Status::default();
        state.features = Features::default();
        state.ready = false;
    }

    /// Keeps the memory behind a mapping, if it shall.
    fn keep(&self, area: FileArea) -> Result {
        if let Some(areas) = &mut *self.areas.lock() {
            areas.push(area, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// What `get_vq_irq` shall return.
    pub(crate) fn set_irq(&self, irq: Result<u32>) {
        self.state.lock().irq = irq;
    }

    /// What `get_vq_group` and `get_vq_desc_group` shall return.
    pub(crate) fn set_group(&self, group: u32) {
        self.state.lock().group = group;
    }
}

fn number(vq: VqIndex) -> u64 {
    vq.get().into()
}

#[vtable]
impl ConfigOps for Full {
    fn set_vq_address(&self, vq: VqIndex, address: VqAddress) -> Result {
        let VqAddress {
            desc,
            driver,
            device,
        } = address;

        self.calls
            .note(Op::SetVqAddress, [number(vq), desc, driver, device])
    }

    fn set_vq_num(&self, vq: VqIndex, num: u32) {
        let _ = self
            .calls
            .note(Op::SetVqNum, [number(vq), num.into(), 0, 0]);
    }

    fn kick_vq(&self, vq: VqIndex) {
        let _ = self.calls.note(Op::Kick, [number(vq), 0, 0, 0]);
    }

    fn kick_vq_with_data(&self, vq: VqIndex, data: u32) {
        let _ = self
            .calls
            .note(Op::KickWithData, [number(vq), data.into(), 0, 0]);
    }

    fn vq_callback(&self, _vq: VqIndex) -> Option<Arc<Callback>> {
        self.places.fetch_add(1, Relaxed);
        Some(self.vq_callback.clone())
    }

    fn config_callback(&self) -> Option<Arc<Callback>> {
        self.places.fetch_add(1, Relaxed);
        Some(self.config_callback.clone())
    }

    fn set_vq_ready(&self, vq: VqIndex, ready: bool) {
        self.state.lock().ready = ready;
        let _ = self
            .calls
            .note(Op::SetVqReady, [number(vq), ready.into(), 0, 0]);
    }

    fn get_vq_ready(&self, _vq: VqIndex) -> bool {
        self.state.lock().ready
    }

    fn set_vq_state(&self, vq: VqIndex, state: VqState) -> Result {
        self.calls.note(Op::SetVqState, [number(vq), 0, 0, 0])?;
        self.state.lock().vq_state = state;
        Ok(())
    }

    fn get_vq_state(&self, _vq: VqIndex) -> Result<VqState> {
        Ok(self.state.lock().vq_state)
    }

    fn get_vendor_vq_stats(&self, vq: VqIndex, stats: &mut VendorStats<'_>) -> Result {
        stats.put(c"number", number(vq))
    }

    fn get_vq_notification(&self, vq: VqIndex) -> NotificationArea {
        // SAFETY: Nobody maps it.
        unsafe { NotificationArea::new(0x1_0000 * (number(vq) + 1), 4096) }
    }

    fn get_vq_irq(&self, _vq: VqIndex) -> Result<u32> {
        self.state.lock().irq
    }

    fn get_vq_size(&self, vq: VqIndex) -> u16 {
        64 << vq.get()
    }

    fn get_vq_align(&self) -> u32 {
        32
    }

    fn get_vq_group(&self, _vq: VqIndex) -> GroupId {
        GroupId(self.state.lock().group)
    }

    fn get_vq_desc_group(&self, _vq: VqIndex) -> GroupId {
        GroupId(self.state.lock().group)
    }

    fn get_device_features(&self) -> Features {
        FEATURES
    }

    fn get_backend_features(&self) -> u64 {
        1 << bindings::VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK
    }

    fn set_driver_features(&self, features: Features) -> Result {
        self.calls.note(Op::SetFeatures, [features.0, 0, 0, 0])?;
        self.state.lock().features = features;
        Ok(())
    }

    fn get_driver_features(&self) -> Features {
        self.state.lock().features
    }

    fn get_vq_num_max(&self) -> u16 {
        256
    }

    fn get_vq_num_min(&self) -> u16 {
        16
    }

    fn get_device_id(&self) -> u32 {
        bindings::VIRTIO_ID_NET
    }

    fn get_vendor_id(&self) -> u32 {
        0x1af4
    }

    fn get_status(&self) -> Status {
        self.state.lock().status
    }

    fn set_status(&self, status: Status) {
        let _ = self.calls.note(Op::SetStatus, [status.0.into(), 0, 0, 0]);
        self.state.lock().status = status;
    }

    fn reset(&self) -> Result {
        self.forget();
        self.calls.note(Op::Reset, [0; 4])
    }

    fn compat_reset(&self) -> Result {
        self.forget();
        self.calls.note(Op::CompatReset, [0; 4])
    }

    fn suspend(&self) -> Result {
        self.calls.note(Op::Suspend, [0; 4])
    }

    fn resume(&self) -> Result {
        self.calls.note(Op::Resume, [0; 4])
    }

    fn get_config_size(&self) -> usize {
        CONFIG_LEN
    }

    fn get_config(&self, offset: usize, buf: &mut [u8]) {
        let _ = self
            .calls
            .note(Op::GetConfig, [offset as u64, buf.len() as u64, 0, 0]);
        for (i, byte) in (offset..).zip(buf) {
            *byte = CONFIG_FIRST.wrapping_add(i as u8);
        }
    }

    fn set_config(&self, offset: usize, buf: &[u8]) {
        let first = buf.first().copied().unwrap_or_default();
        let numbers = [offset as u64, buf.len() as u64, first.into(), 0];

        let _ = self.calls.note(Op::SetConfig, numbers);
    }

    fn get_generation(&self) -> u32 {
        7
    }

    fn get_iova_range(&self) -> IovaRange {
        IOVA
    }

    fn set_vq_affinity(&self, vq: VqIndex, cpus: Option<&Cpumask>) -> Result {
        self.calls
            .note(Op::SetVqAffinity, [number(vq), cpus.is_some().into(), 0, 0])
    }

    fn get_vq_affinity(&self, _vq: VqIndex) -> Option<&Cpumask> {
        None
    }

    fn set_group_asid(&self, group: GroupId, asid: Asid) -> Result {
        self.calls
            .note(Op::SetGroupAsid, [group.0.into(), asid.0.into(), 0, 0])
    }
}

#[vtable]
impl SetMap for Full {
    fn set_map(&self, asid: Asid, map: &Iotlb) -> Result {
        let first = map.iter().next().map_or(0, |map| map.iova.first);

        self.calls
            .note(Op::SetMap, [asid.0.into(), map.len() as u64, first, 0])
    }

    fn reset_map(&self, asid: Asid) -> Result {
        self.calls.note(Op::ResetMap, [asid.0.into(), 0, 0, 0])
    }
}

#[vtable]
impl DmaMap for Full {
    fn dma_map(&self, asid: Asid, range: MapRange) -> Result {
        let MapRange { iova, perm, .. } = range;
        let numbers = [asid.0.into(), iova.first, iova.last, perm.to_raw().into()];

        self.calls.note(Op::DmaMap, numbers)
    }

    fn dma_unmap(&self, asid: Asid, range: IovaRange) -> Result {
        self.calls
            .note(Op::DmaUnmap, [asid.0.into(), range.first, range.last, 0])
    }

    fn reset_map(&self, asid: Asid) -> Result {
        self.calls.note(Op::ResetMap, [asid.0.into(), 0, 0, 0])
    }
}

#[vtable]
impl FileSetMap for Full {
    fn set_map(&self, asid: Asid, map: &FileIotlb) -> Result {
        let first = map.iter().next().map_or(0, |map| map.iova.first);

        for range in map {
            self.keep(range.area)?;
        }
        self.calls
            .note(Op::SetMap, [asid.0.into(), map.len() as u64, first, 0])
    }

    fn reset_map(&self, asid: Asid) -> Result {
        SetMap::reset_map(self, asid)
    }
}

#[vtable]
impl FileDmaMap for Full {
    fn dma_map(&self, asid: Asid, range: FileRange) -> Result {
        let FileRange { iova, perm, area } = range;
        let numbers = [asid.0.into(), iova.first, iova.last, perm.to_raw().into()];

        self.keep(area)?;
        self.calls.note(Op::DmaMap, numbers)
    }

    fn dma_unmap(&self, asid: Asid, range: IovaRange) -> Result {
        DmaMap::dma_unmap(self, asid, range)
    }

    fn reset_map(&self, asid: Asid) -> Result {
        DmaMap::reset_map(self, asid)
    }
}

impl SoftDma for Full {
    fn iommu(&self) -> Arc<SoftIommu> {
        self.places.fetch_add(1, Relaxed);
        self.iommu.clone()
    }
}

impl VirtioMap for Full {
    fn map_page(&self, vq: VqIndex, size: usize) -> Result<u64> {
        self.calls
            .note(Op::MapPage, [number(vq), size as u64, 0, 0])?;
        Ok(self.addr.load(Relaxed) as u64)
    }

    fn unmap_page(&self, vq: VqIndex, addr: u64, size: usize) {
        let _ = self
            .calls
            .note(Op::UnmapPage, [number(vq), addr, size as u64, 0]);
    }

    fn sync_single_for_device(&self, vq: VqIndex, addr: u64, buffer: &ToDevice<'_>) {
        let mut first = [0];
        let end = buffer.len();

        // Nothing is lent but the buffer.
        if buffer.read(0, &mut first).is_ok() && buffer.read(end, &mut [0]).is_err() {
            let numbers = [number(vq), addr, end as u64, first[0].into()];
            let _ = self.calls.note(Op::SyncDevice, numbers);
        }
    }

    fn sync_single_for_cpu(&self, vq: VqIndex, addr: u64, buffer: &FromDevice<'_>) {
        let end = buffer.len();
        let all = (0..end).all(|at| buffer.write(at, &[0xaa]).is_ok());

        if all && buffer.write(end, &[0xaa]).is_err() {
            let _ = self
                .calls
                .note(Op::SyncCpu, [number(vq), addr, end as u64, 0]);
        }
    }

    fn alloc(&self, vq: VqIndex, memory: Arc<Coherent>) -> Result<u64> {
        self.calls
            .note(Op::Alloc, [number(vq), memory.len() as u64, 0, 0])?;
        *self.shared.lock() = Some(memory);
        Ok(self.addr.load(Relaxed) as u64)
    }

    fn free(&self, vq: VqIndex, addr: u64) {
        let _ = self.calls.note(Op::Free, [number(vq), addr, 0, 0]);
    }

    fn max_mapping_size(&self, _vq: VqIndex) -> usize {
        0x5000
    }
}
