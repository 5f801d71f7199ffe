// SPDX-License-Identifier: GPL-2.0

//! The device: a disk in memory, with one split virtqueue.

use crate::space::{
    Space,
    BUFFER_MAX, //
};
use core::ops::Range;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};
use vdpa::{
    bindings::{
        self,
        virtio_blk_config, //
    },
    virtio_map::{
        Coherent,
        FromDevice,
        ToDevice,
        VirtioMap, //
    },
    Asid,
    BottomHalfGuard,
    Callback,
    ConfigOps,
    Features,
    FileDmaMap,
    FileIotlb,
    FileRange,
    FileSetMap,
    IovaRange,
    Status,
    VqAddress,
    VqIndex,
    VqState,
    Work,
    Worker, //
};
use virtqueue::{
    Chain,
    CursorError,
    Ring,
    RingError,
    Segment,
    Split,
    SplitConfig,
    SplitState, //
};

const SIZE_MAX: u16 = 128;
const SEG_MAX: u32 = 32;
const SECTOR_SIZE: u64 = 512;
/// 64 MiB.
const CAPACITY: u64 = 0x20000;

pub(crate) const FEATURES: Features = Features::from_bits(&[
    bindings::VIRTIO_F_VERSION_1,
    bindings::VIRTIO_F_ACCESS_PLATFORM,
    bindings::VIRTIO_BLK_F_SEG_MAX,
    bindings::VIRTIO_BLK_F_FLUSH,
]);

/// What a driver has set.
#[derive(Default)]
struct Set {
    status: Status,
    features: Features,
    address: VqAddress,
    num: u32,
    ready: bool,
    next_avail: u16,
    ring: Option<Split>,
}

struct State {
    set: Set,
    /// The buffers of the chain at hand.
    segments: KVec<Segment>,
    data: KVVec<u8>,
}

/// All of it but the thread.
#[pin_data]
pub(crate) struct Disk {
    callback: Arc<Callback>,
    config_callback: Arc<Callback>,
    #[pin]
    space: Space,
    #[pin]
    state: Mutex<State>,
}

/// The bytes of the disk that a request is about.
fn range(sector: u64, count: u64) -> Option<Range<usize>> {
    let end = sector.checked_add(count / SECTOR_SIZE)?;

    if count % SECTOR_SIZE != 0 || end > CAPACITY {
        return None;
    }
    let first = usize::try_from(sector.checked_mul(SECTOR_SIZE)?).ok()?;
    let last = usize::try_from(end.checked_mul(SECTOR_SIZE)?).ok()?;

    Some(first..last)
}

/// Does what a request asks for (virtio 1.3, section 5.2.6), and returns how many bytes it has
/// written.
fn request(chain: &Chain<'_>, space: &Space, disk: &mut [u8]) -> Result<u32, CursorError> {
    let short = CursorError::Short {
        wanted: 1,
        remaining: 0,
    };
    let (mut data, mut status) = chain.writer(space).split_tail(1).ok_or(short)?;
    let mut source = chain.reader(space);
    let header = u128::from_le_bytes(source.read_array()?);
    let (kind, sector) = (header as u32, (header >> 64) as u64);

    let result = match kind {
        bindings::VIRTIO_BLK_T_IN => {
            match range(sector, data.remaining()).and_then(|range| disk.get(range)) {
                Some(bytes) => data.write_all(bytes).map(|()| bindings::VIRTIO_BLK_S_OK)?,
                None => bindings::VIRTIO_BLK_S_IOERR,
            }
        }
        bindings::VIRTIO_BLK_T_OUT => {
            match range(sector, source.remaining()).and_then(|range| disk.get_mut(range)) {
                Some(bytes) => source
                    .read_exact(bytes)
                    .map(|()| bindings::VIRTIO_BLK_S_OK)?,
                None => bindings::VIRTIO_BLK_S_IOERR,
            }
        }
        bindings::VIRTIO_BLK_T_FLUSH => bindings::VIRTIO_BLK_S_OK,
        _ => bindings::VIRTIO_BLK_S_UNSUPP,
    };

    status.write_array([result as u8])?;
    Ok(data.written().saturating_add(1))
}

impl Disk {
    fn new() -> Result<Arc<Self>> {
        let state = State {
            set: Set::default(),
            segments: KVec::from_elem(Segment::EMPTY, SIZE_MAX.into(), GFP_KERNEL)?,
            data: KVVec::zeroed((CAPACITY * SECTOR_SIZE) as usize, GFP_KERNEL)?,
        };

        Arc::pin_init(
            try_pin_init!(Self {
                callback: Callback::new()?,
                config_callback: Callback::new()?,
                space <- Space::new(),
                state <- new_mutex!(state),
            }),
            GFP_KERNEL,
        )
    }

    /// Handles all requests there are. Returns whether the driver is to be interrupted.
    fn drain(&self, state: &mut State) -> Result<bool, RingError> {
        let State {
            set: Set { status, ring, .. },
            segments,
            data,
        } = state;
        let space = &self.space;
        let Some(ring) = ring.as_mut().filter(|_| status.has(Status::DRIVER_OK)) else {
            return Ok(false);
        };

        ring.disable_notifications(space)?;
        loop {
            let Some(chain) = ring.pop(space, segments)? else {
                ring.publish(space)?;
                if ring.enable_notifications(space)? {
                    continue;
                }
                return Ok(ring.needs_notification(space));
            };
            let result = request(&chain, space, data);
            let token = chain.into_token();

            match result {
                Ok(written) => ring
                    .complete(space, token, written)
                    .map_err(|failed| failed.error)?,
                Err(error) => {
                    pr_err!("a request cannot be done: {error:?}\n");
                    ring.give_up(token);
                }
            }
        }
    }
}

impl Work for Disk {
    fn run(&self) -> bool {
        let mut state = self.state.lock();
        let result = self.drain(&mut state);

        if let Err(error) = result {
            pr_err!("the virtqueue cannot be used: {error:?}\n");
            state.set.ring = None;
            state.set.status.0 |= Status::NEEDS_RESET.0;
        }
        drop(state);

        let _guard = BottomHalfGuard::new();

        match result {
            Ok(true) => self.callback.call(),
            Ok(false) => false,
            Err(_) => self.config_callback.call(),
        };
        false
    }
}

/// The parent.
pub(crate) struct Bounce {
    // First the thread ends.
    worker: Worker<Disk>,
    disk: Arc<Disk>,
}

impl Bounce {
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        let disk = Disk::new()?;

        Ok(Self {
            worker: Worker::new(fmt!("bounce-{name}"), disk.clone())?,
            disk,
        })
    }
}

impl Drop for Bounce {
    fn drop(&mut self) {
        let left = self.disk.space.mapped();

        if left != 0 {
            pr_err!("{left} mappings of a driver are left\n");
        }
    }
}

#[vtable]
impl ConfigOps for Bounce {
    fn get_device_id(&self) -> u32 {
        bindings::VIRTIO_ID_BLOCK
    }

    fn get_vq_num_max(&self) -> u16 {
        SIZE_MAX
    }

    fn get_device_features(&self) -> Features {
        FEATURES
    }

    fn set_driver_features(&self, features: Features) -> Result {
        self.disk.state.lock().set.features = features.intersection(FEATURES);
        Ok(())
    }

    fn get_driver_features(&self) -> Features {
        self.disk.state.lock().set.features
    }

    fn get_status(&self) -> Status {
        self.disk.state.lock().set.status
    }

    fn set_status(&self, status: Status) {
        self.disk.state.lock().set.status = status;
        self.worker.queue();
    }

    fn reset(&self) -> Result {
        self.disk.state.lock().set = Set::default();
        Ok(())
    }

    fn compat_reset(&self) -> Result {
        self.reset()?;
        pr_info!("the mappings are forgotten\n");
        self.disk.space.replace(KVec::new());
        Ok(())
    }

    fn vq_callback(&self, _vq: VqIndex) -> Option<Arc<Callback>> {
        Some(self.disk.callback.clone())
    }

    fn config_callback(&self) -> Option<Arc<Callback>> {
        Some(self.disk.config_callback.clone())
    }

    fn set_vq_address(&self, _vq: VqIndex, address: VqAddress) -> Result {
        self.disk.state.lock().set.address = address;
        Ok(())
    }

    fn set_vq_num(&self, _vq: VqIndex, num: u32) {
        self.disk.state.lock().set.num = num;
    }

    fn kick_vq(&self, _vq: VqIndex) {
        self.worker.queue();
    }

    fn set_vq_ready(&self, _vq: VqIndex, ready: bool) {
        let set = &mut self.disk.state.lock().set;

        set.ready = false;
        set.next_avail = set
            .ring
            .take()
            .map_or(set.next_avail, |ring| ring.state().avail_index);
        if !ready || set.num > SIZE_MAX.into() {
            return;
        }
        let config = SplitConfig {
            size: set.num,
            desc: set.address.desc,
            avail: set.address.driver,
            used: set.address.device,
            event_idx: false,
            indirect: false,
        };
        if let Ok(mut ring) = Split::new(&config) {
            ring.set_state(SplitState {
                avail_index: set.next_avail,
            });
            set.ring = Some(ring);
            set.ready = true;
        }
    }

    fn get_vq_ready(&self, _vq: VqIndex) -> bool {
        self.disk.state.lock().set.ready
    }

    fn set_vq_state(&self, _vq: VqIndex, state: VqState) -> Result {
        let VqState::Split { avail_index } = state else {
            return Err(EOPNOTSUPP);
        };

        self.disk.state.lock().set.next_avail = avail_index;
        Ok(())
    }

    fn get_vq_state(&self, _vq: VqIndex) -> Result<VqState> {
        let set = &self.disk.state.lock().set;

        Ok(VqState::Split {
            avail_index: set
                .ring
                .as_ref()
                .map_or(set.next_avail, |ring| ring.state().avail_index),
        })
    }

    fn get_config_size(&self) -> usize {
        size_of::<virtio_blk_config>()
    }

    fn get_config(&self, offset: usize, buf: &mut [u8]) {
        let capacity = CAPACITY.to_le_bytes();
        let seg_max = SEG_MAX.to_le_bytes();
        // Nothing is said of `size_max`, which is between them.
        let known = [&capacity[..], &[0; 4], &seg_max];

        for (byte, value) in buf.iter_mut().zip(known.into_iter().flatten().skip(offset)) {
            *byte = *value;
        }
    }
}

#[vtable]
impl FileDmaMap for Bounce {
    fn dma_map(&self, _asid: Asid, range: FileRange) -> Result {
        self.disk.space.map(range)
    }

    fn dma_unmap(&self, _asid: Asid, range: IovaRange) -> Result {
        self.disk.space.unmap(range);
        Ok(())
    }
}

#[vtable]
impl FileSetMap for Bounce {
    fn set_map(&self, _asid: Asid, map: &FileIotlb) -> Result {
        let mut files = KVec::with_capacity(map.len(), GFP_KERNEL)?;

        for range in map {
            files.push(range, GFP_KERNEL)?;
        }
        self.disk.space.replace(files);
        Ok(())
    }
}

impl VirtioMap for Bounce {
    fn map_page(&self, _vq: VqIndex, size: usize) -> Result<u64> {
        self.disk.space.bounce(size)
    }

    fn unmap_page(&self, _vq: VqIndex, addr: u64, _size: usize) {
        self.disk.space.remove(addr);
    }

    fn sync_single_for_device(&self, _vq: VqIndex, addr: u64, buffer: &ToDevice<'_>) {
        if self.disk.space.fill(addr, buffer).is_err() {
            pr_err!("a buffer at {addr:#x} is not there\n");
        }
    }

    fn sync_single_for_cpu(&self, _vq: VqIndex, addr: u64, buffer: &FromDevice<'_>) {
        if self.disk.space.empty(addr, buffer).is_err() {
            pr_err!("a buffer at {addr:#x} is not there\n");
        }
    }

    fn alloc(&self, _vq: VqIndex, memory: Arc<Coherent>) -> Result<u64> {
        self.disk.space.share(memory)
    }

    fn free(&self, _vq: VqIndex, addr: u64) {
        self.disk.space.remove(addr);
    }

    fn max_mapping_size(&self, _vq: VqIndex) -> usize {
        BUFFER_MAX
    }
}
