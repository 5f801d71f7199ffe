// SPDX-License-Identifier: GPL-2.0

//! What the device can reach.

use kernel::{
    new_mutex, new_spinlock_irq,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        barrier,
        Arc,
        Mutex,
        SpinLockIrq, //
    },
};
use vdpa::{
    virtio_map::{
        Coherent,
        FromDevice,
        ToDevice, //
    },
    FileRange,
    IovaRange, //
};
use virtqueue::{
    Fault,
    Refusal, //
};

/// The size of the largest buffer of a kernel driver.
pub(crate) const BUFFER_MAX: usize = 16 * PAGE_SIZE;

/// Where the addresses for kernel drivers begin. None is given out twice.
const FIRST: u64 = 1 << 40;

/// What is behind addresses that a kernel driver has.
enum Memory {
    /// A copy of a buffer.
    Bounce(KVec<u8>),
    Shared(Arc<Coherent>),
}

struct Piece {
    first: u64,
    memory: Memory,
}

impl Piece {
    fn len(&self) -> usize {
        match &self.memory {
            Memory::Bounce(bytes) => bytes.len(),
            Memory::Shared(memory) => memory.len(),
        }
    }

    /// Where in it `len` bytes at `addr` are.
    fn offset(&self, addr: u64, len: usize) -> Option<usize> {
        let at = usize::try_from(addr.checked_sub(self.first)?).ok()?;

        (at.checked_add(len)? <= self.len()).then_some(at)
    }

    fn read(&self, at: usize, buf: &mut [u8]) -> Result {
        match &self.memory {
            Memory::Bounce(bytes) => {
                let end = at.checked_add(buf.len()).ok_or(EFAULT)?;

                buf.copy_from_slice(bytes.get(at..end).ok_or(EFAULT)?);
                Ok(())
            }
            Memory::Shared(memory) => memory.read(at, buf),
        }
    }

    fn write(&mut self, at: usize, buf: &[u8]) -> Result {
        match &mut self.memory {
            Memory::Bounce(bytes) => {
                let end = at.checked_add(buf.len()).ok_or(EFAULT)?;

                bytes.get_mut(at..end).ok_or(EFAULT)?.copy_from_slice(buf);
                Ok(())
            }
            Memory::Shared(memory) => memory.write(at, buf),
        }
    }
}

/// What kernel drivers have mapped.
struct Kernel {
    pieces: KVec<Piece>,
    next: u64,
}

impl Kernel {
    fn add(&mut self, memory: Memory) -> Result<u64> {
        let first = self.next;
        let piece = Piece { first, memory };
        let pages = piece.len().div_ceil(PAGE_SIZE);

        // One page is left free, so that what goes too far is seen.
        self.next = first
            .checked_add((pages as u64 + 1) * PAGE_SIZE as u64)
            .ok_or(ENOSPC)?;
        self.pieces.push(piece, GFP_ATOMIC)?;
        Ok(first)
    }

    /// The piece that has `len` bytes at `addr`, and where in it they are.
    fn find(&mut self, addr: u64, len: usize) -> Option<(&mut Piece, usize)> {
        self.pieces
            .iter_mut()
            .find_map(|piece| piece.offset(addr, len).map(|at| (piece, at)))
    }

    /// The copy of `len` bytes at `addr`, which must be of a buffer.
    fn bounced(&mut self, addr: u64, len: usize) -> Result<&mut [u8]> {
        let (piece, at) = self.find(addr, len).ok_or(EFAULT)?;
        let end = at.checked_add(len).ok_or(EFAULT)?;

        match &mut piece.memory {
            Memory::Bounce(bytes) => bytes.get_mut(at..end).ok_or(EFAULT),
            Memory::Shared(_) => Err(EFAULT),
        }
    }
}

/// What the device can reach: copies of the buffers of kernel drivers, what it shares with them, and
/// the files that a process has mapped.
#[pin_data]
pub(crate) struct Space {
    #[pin]
    kernel: SpinLockIrq<Kernel>,
    #[pin]
    files: Mutex<KVec<FileRange>>,
}

impl Space {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            kernel <- new_spinlock_irq!(Kernel { pieces: KVec::new(), next: FIRST }),
            files <- new_mutex!(KVec::new()),
        })
    }

    /// Makes room for a buffer of a kernel driver, and returns its address.
    pub(crate) fn bounce(&self, size: usize) -> Result<u64> {
        if size > BUFFER_MAX {
            return Err(EINVAL);
        }
        let bytes = KVec::from_elem(0, size, GFP_ATOMIC)?;

        self.kernel.lock().add(Memory::Bounce(bytes))
    }

    /// Has the device reach what it shares with a kernel driver.
    pub(crate) fn share(&self, memory: Arc<Coherent>) -> Result<u64> {
        self.kernel.lock().add(Memory::Shared(memory))
    }

    /// Forgets what begins at an address.
    pub(crate) fn remove(&self, first: u64) {
        self.kernel
            .lock()
            .pieces
            .retain(|piece| piece.first != first);
    }

    /// Takes what a kernel driver has in a buffer.
    pub(crate) fn fill(&self, addr: u64, buffer: &ToDevice<'_>) -> Result {
        buffer.read(0, self.kernel.lock().bounced(addr, buffer.len())?)
    }

    /// Gives a kernel driver what is for its buffer.
    pub(crate) fn empty(&self, addr: u64, buffer: &FromDevice<'_>) -> Result {
        buffer.write(0, self.kernel.lock().bounced(addr, buffer.len())?)
    }

    /// Adds a mapping of a process.
    pub(crate) fn map(&self, range: FileRange) -> Result {
        Ok(self.files.lock().push(range, GFP_KERNEL)?)
    }

    /// Removes the mappings of a process that are in a range.
    pub(crate) fn unmap(&self, range: IovaRange) {
        self.files
            .lock()
            .retain(|file| file.iova.first < range.first || file.iova.last > range.last);
    }

    /// Replaces all mappings of a process.
    pub(crate) fn replace(&self, files: KVec<FileRange>) {
        *self.files.lock() = files;
    }

    /// How much a kernel driver has mapped.
    pub(crate) fn mapped(&self) -> usize {
        self.kernel.lock().pieces.len()
    }

    /// The file behind `len` bytes at `addr`, and where they are in it. It is used without the lock,
    /// which is taken when mappings come.
    fn file(&self, addr: u64, len: usize) -> Result<(FileRange, u64)> {
        let last = addr
            .checked_add((len as u64).saturating_sub(1))
            .ok_or(EFAULT)?;
        let files = self.files.lock();
        let file = files
            .iter()
            .find(|file| file.iova.first <= addr && last <= file.iova.last)
            .ok_or(EFAULT)?;

        Ok((file.clone(), addr.wrapping_sub(file.iova.first)))
    }

    fn try_read(&self, addr: u64, buf: &mut [u8]) -> Result {
        if let Some((piece, at)) = self.kernel.lock().find(addr, buf.len()) {
            return piece.read(at, buf);
        }
        let (file, at) = self.file(addr, buf.len())?;

        if !file.perm.read {
            return Err(EACCES);
        }
        file.area.read(at, buf)
    }

    fn try_write(&self, addr: u64, buf: &[u8]) -> Result {
        if let Some((piece, at)) = self.kernel.lock().find(addr, buf.len()) {
            return piece.write(at, buf);
        }
        let (file, at) = self.file(addr, buf.len())?;

        if !file.perm.write {
            return Err(EACCES);
        }
        file.area.write(at, buf)
    }

    fn try_load(&self, addr: u64) -> Result<u16> {
        let mut bytes = [0; 2];

        if let Some((piece, at)) = self.kernel.lock().find(addr, bytes.len()) {
            if let Memory::Shared(memory) = &piece.memory {
                return memory.load_acquire_u16(at);
            }
        }
        self.try_read(addr, &mut bytes)?;
        barrier::smp_mb(barrier::Full);
        Ok(u16::from_ne_bytes(bytes))
    }

    fn try_store(&self, addr: u64, value: u16) -> Result {
        if let Some((piece, at)) = self.kernel.lock().find(addr, size_of::<u16>()) {
            if let Memory::Shared(memory) = &piece.memory {
                return memory.store_release_u16(at, value);
            }
        }
        barrier::smp_mb(barrier::Full);
        self.try_write(addr, &value.to_ne_bytes())
    }
}

fn fault_at<T>(addr: u64, result: Result<T>) -> Result<T, Fault> {
    result.map_err(|error| Fault {
        addr,
        refusal: match error {
            EFAULT => Refusal::NotMapped,
            _ => Refusal::NotPermitted,
        },
    })
}

impl virtqueue::Memory for Space {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        fault_at(addr, self.try_read(addr, buf))
    }

    fn write(&self, addr: u64, buf: &[u8]) -> Result<(), Fault> {
        fault_at(addr, self.try_write(addr, buf))
    }

    fn load_acquire(&self, addr: u64) -> Result<u16, Fault> {
        fault_at(addr, self.try_load(addr))
    }

    fn store_release(&self, addr: u64, value: u16) -> Result<(), Fault> {
        fault_at(addr, self.try_store(addr, value))
    }

    fn barrier(&self) {
        barrier::smp_mb(barrier::Full);
    }

    // A disk has no use for it.
    fn copy_to(&self, src: u64, _memory: &Self, _dst: u64, _len: usize) -> Result<(), Fault> {
        fault_at(src, Err(EPERM))
    }
}
