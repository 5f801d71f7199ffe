// SPDX-License-Identifier: GPL-2.0

//! A block device that keeps its data in memory.

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
    software::{
        self,
        Chain,
        CursorError,
        Fault,
        Model,
        Outcome,
        Progress,
        Queue,
        Reader,
        Refusal,
        Writer, //
    },
    Features,
    GuestMemory,
    IommuGuard, //
};

/// The number of requests of a round. Others get their turn after it.
const BUDGET: usize = 64;

const SECTOR_SIZE: u64 = 512;
/// 128 MiB.
const CAPACITY: u64 = 0x40000;
/// The largest buffer of a request, in bytes.
const SIZE_MAX: u32 = 0x1000;
/// The largest number of buffers of a request.
const SEG_MAX: u32 = 32;

const CONFIG_LEN: usize = size_of::<virtio_blk_config>();
const ID_LEN: usize = bindings::VIRTIO_BLK_ID_BYTES as usize;

/// The answer to VIRTIO_BLK_T_GET_ID: a string that is filled up with zeroes.
const ID: [u8; ID_LEN] = *b"vdpa_blk_sim\0\0\0\0\0\0\0\0";

/// The data of a device, or of all devices.
pub(crate) type Disk = Mutex<KVVec<u8>>;

/// Makes an empty disk.
pub(crate) fn new_disk() -> Result<Arc<Disk>> {
    let data = KVVec::zeroed((CAPACITY * SECTOR_SIZE) as usize, GFP_KERNEL)?;

    Arc::pin_init(new_mutex!(data, "vdpa_sim_blk_disk"), GFP_KERNEL)
}

/// Why a request was not done: virtio 1.3, section 5.2.6.
enum Failure {
    Io,
    Unsupported,
    /// Memory has to be brought in first.
    Absent,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        if fault.refusal == Refusal::NotPresent {
            Self::Absent
        } else {
            Self::Io
        }
    }
}

impl From<CursorError> for Failure {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Fault(fault) => fault.into(),
            CursorError::Short { .. } => Self::Io,
        }
    }
}

/// The bytes that `count` bytes from `sector` on occupy; an error where that is not on the disk.
fn range(sector: u64, count: u64) -> Result<Range<usize>, Failure> {
    let end = sector
        .checked_add(count / SECTOR_SIZE)
        .filter(|end| *end <= CAPACITY)
        .ok_or(Failure::Io)?;

    if count % SECTOR_SIZE != 0 || sector >= CAPACITY {
        return Err(Failure::Io);
    }
    // Neither is above the size of the disk, which fits.
    Ok((sector * SECTOR_SIZE) as usize..(end * SECTOR_SIZE) as usize)
}

/// Reads `struct virtio_blk_discard_write_zeroes`, with no other flags than the known ones. One is
/// what the configuration allows.
fn sectors(
    data: &mut Reader<'_, GuestMemory<'_>>,
    known_flags: u32,
) -> Result<Range<usize>, Failure> {
    if data.remaining() != 16 {
        return Err(Failure::Io);
    }
    // `sector`, `num_sectors`, `flags`.
    let raw = u128::from_le_bytes(data.read_array()?);
    let (sector, count, flags) = (raw as u64, (raw >> 64) as u32, (raw >> 96) as u32);

    if flags & !known_flags != 0 {
        return Err(Failure::Unsupported);
    }
    range(sector, u64::from(count) * SECTOR_SIZE)
}

/// What a request asks for, with ranges that are on the disk: virtio 1.3, section 5.2.6.
enum Request {
    Read(Range<usize>),
    Write(Range<usize>),
    Zero(Range<usize>),
    Id,
    /// To flush, or to discard: what is discarded may keep its contents, and does.
    Nothing,
}

impl Request {
    /// Reads a request up to the data that is to be written to the disk.
    fn parse(
        request: &mut Reader<'_, GuestMemory<'_>>,
        data: &Writer<'_, GuestMemory<'_>>,
        features: Features,
    ) -> Result<Self, Failure> {
        // `struct virtio_blk_outhdr`: type, priority, sector.
        let header = u128::from_le_bytes(request.read_array()?);
        let (kind, sector) = (header as u32, (header >> 64) as u64);

        // Data that goes the other way is not moved, of which the driver has to know.
        let (to_read, to_write) = (request.remaining(), data.remaining());
        let in_direction = |right: bool| if right { Ok(()) } else { Err(Failure::Io) };

        match kind {
            bindings::VIRTIO_BLK_T_IN => {
                in_direction(to_read == 0)?;
                range(sector, to_write).map(Self::Read)
            }
            bindings::VIRTIO_BLK_T_OUT => {
                in_direction(to_write == 0)?;
                range(sector, to_read).map(Self::Write)
            }
            bindings::VIRTIO_BLK_T_GET_ID => {
                in_direction(to_read == 0 && to_write != 0)?;
                Ok(Self::Id)
            }
            bindings::VIRTIO_BLK_T_FLUSH if features.has(bindings::VIRTIO_BLK_F_FLUSH) => {
                Ok(Self::Nothing)
            }
            bindings::VIRTIO_BLK_T_DISCARD if features.has(bindings::VIRTIO_BLK_F_DISCARD) => {
                in_direction(to_write == 0)?;
                sectors(request, 0).map(|_| Self::Nothing)
            }
            bindings::VIRTIO_BLK_T_WRITE_ZEROES
                if features.has(bindings::VIRTIO_BLK_F_WRITE_ZEROES) =>
            {
                in_direction(to_write == 0)?;
                sectors(request, bindings::VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP).map(Self::Zero)
            }
            _ => Err(Failure::Unsupported),
        }
    }

    /// How many bytes are moved or cleared for it, at most.
    fn len(&self) -> u64 {
        match self {
            Self::Read(range) | Self::Write(range) | Self::Zero(range) => range.len() as u64,
            Self::Id | Self::Nothing => 0,
        }
    }
}

/// A block device.
pub(crate) struct Blk {
    disk: Arc<Disk>,
}

impl Blk {
    pub(crate) fn new(disk: Arc<Disk>) -> Self {
        Self { disk }
    }

    /// Does what a request asks for, with what follows it in `source`.
    fn execute(
        &self,
        request: Request,
        source: &mut Reader<'_, GuestMemory<'_>>,
        data: &mut Writer<'_, GuestMemory<'_>>,
    ) -> Result<(), Failure> {
        match request {
            Request::Read(range) => {
                let disk = self.disk.lock();

                Ok(data.write_all(disk.get(range).ok_or(Failure::Io)?)?)
            }
            Request::Write(range) => {
                let mut disk = self.disk.lock();

                Ok(source.read_exact(disk.get_mut(range).ok_or(Failure::Io)?)?)
            }
            Request::Zero(range) => {
                let mut disk = self.disk.lock();

                disk.get_mut(range).ok_or(Failure::Io)?.fill(0);
                Ok(())
            }
            Request::Id => {
                data.write(&ID)?;
                Ok(())
            }
            Request::Nothing => Ok(()),
        }
    }

    /// Handles a request. One that has to be tried again begins anew: it does the same once more.
    fn request(&self, chain: &Chain<'_>, memory: &GuestMemory<'_>, features: Features) -> Outcome {
        let data_len = chain.writable_len().saturating_sub(1);
        // The status is the last byte, wherever that lies. Without room for it the driver would take
        // what it finds there for the outcome.
        let Some((mut data, mut status)) = chain.writer(memory).split_tail(1) else {
            return Outcome::GiveUp;
        };
        let mut source = chain.reader(memory);
        let mut moved: u64 = 0;

        // The limits of the configuration are not looked at: there are drivers that know them and do
        // not care. What is bounded is the work.
        let result = Request::parse(&mut source, &data, features).and_then(|request| {
            // Even if it fails in the end.
            moved = request.len();
            self.execute(request, &mut source, &mut data)
        });
        let result = match result {
            Ok(()) => bindings::VIRTIO_BLK_S_OK,
            Err(Failure::Io) => bindings::VIRTIO_BLK_S_IOERR,
            Err(Failure::Unsupported) => bindings::VIRTIO_BLK_S_UNSUPP,
            Err(Failure::Absent) => return Outcome::Later,
        };

        // However many pieces the data was in.
        memory.allow_at_least(1);
        match status.write_array([result as u8]) {
            Ok(()) => {}
            Err(CursorError::Fault(fault)) if !fault.is_final() => return Outcome::Later,
            Err(_) => return Outcome::GiveUp,
        }
        let mut written = data.written();
        if u64::from(written) == data_len {
            written = written.saturating_add(1);
        }
        Outcome::Done { written, moved }
    }
}

#[vtable]
impl Model for Blk {
    const DEVICE_ID: u32 = bindings::VIRTIO_ID_BLOCK;
    const QUEUES: u32 = 1;
    const FEATURES: Features = software::FEATURES.union(Features::from_bits(&[
        bindings::VIRTIO_BLK_F_FLUSH,
        bindings::VIRTIO_BLK_F_SIZE_MAX,
        bindings::VIRTIO_BLK_F_SEG_MAX,
        bindings::VIRTIO_BLK_F_BLK_SIZE,
        bindings::VIRTIO_BLK_F_TOPOLOGY,
        bindings::VIRTIO_BLK_F_MQ,
        bindings::VIRTIO_BLK_F_DISCARD,
        bindings::VIRTIO_BLK_F_WRITE_ZEROES,
    ]));

    type Config = [u8; CONFIG_LEN];

    fn config(&self) -> Self::Config {
        use core::mem::offset_of;

        let mut config = [0; CONFIG_LEN];
        let mut put = |offset: usize, bytes: &[u8]| {
            if let Some(slot) = config.get_mut(offset..offset + bytes.len()) {
                slot.copy_from_slice(bytes);
            }
        };
        let sector = (SECTOR_SIZE as u32).to_le_bytes();
        let no_limit = u32::MAX.to_le_bytes();
        let one = 1u32.to_le_bytes();

        put(
            offset_of!(virtio_blk_config, capacity),
            &CAPACITY.to_le_bytes(),
        );
        put(
            offset_of!(virtio_blk_config, size_max),
            &SIZE_MAX.to_le_bytes(),
        );
        put(
            offset_of!(virtio_blk_config, seg_max),
            &SEG_MAX.to_le_bytes(),
        );
        put(offset_of!(virtio_blk_config, blk_size), &sector);
        put(
            offset_of!(virtio_blk_config, min_io_size),
            &1u16.to_le_bytes(),
        );
        put(offset_of!(virtio_blk_config, opt_io_size), &one);
        put(
            offset_of!(virtio_blk_config, num_queues),
            &1u16.to_le_bytes(),
        );
        put(
            offset_of!(virtio_blk_config, max_discard_sectors),
            &no_limit,
        );
        put(offset_of!(virtio_blk_config, max_discard_seg), &one);
        put(
            // In sectors of 512 bytes.
            offset_of!(virtio_blk_config, discard_sector_alignment),
            &one,
        );
        put(
            offset_of!(virtio_blk_config, max_write_zeroes_sectors),
            &no_limit,
        );
        put(offset_of!(virtio_blk_config, max_write_zeroes_seg), &one);
        config
    }

    fn work(
        &mut self,
        queues: &mut [Queue],
        features: Features,
        iommu: &IommuGuard<'_>,
    ) -> Progress {
        let Some(mut queue) = queues.first_mut().and_then(|queue| queue.open(iommu)) else {
            return Progress::Idle;
        };

        queue.drain(BUDGET, |chain, memory| {
            self.request(chain, memory, features)
        })
    }
}
