// SPDX-License-Identifier: GPL-2.0

//! The driver's memory, as far as it was mapped for the device.
//!
//! Without an IOMMU in the virtual machine that is all of its memory. With one, QEMU announces each
//! mapping that the guest makes for the device and takes back each that it removes, so this table
//! is what the hardware's translation would be: an access outside of it is refused and counted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{fence, Ordering};
use std::sync::{Arc, Weak};

use virtqueue::{Fault, Memory, Refusal};
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory, VolatileSlice};

/// What an access does to memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// A range of bus addresses that was mapped.
struct Range {
    size: u64,
    /// The file that is behind it; none for what is no memory, such as another device's registers.
    memory: Option<Arc<MmapRegion>>,
    /// Where in the file the range begins.
    offset: u64,
    writable: bool,
}

/// What was done, for reports.
#[derive(Default)]
pub struct Traffic {
    /// Bytes read from the driver's memory.
    pub read: Cell<u64>,
    /// Bytes written to the driver's memory.
    pub written: Cell<u64>,
    /// Accesses that were refused.
    pub refused: Cell<u64>,
    /// The bus address of the last access that was refused.
    pub last_refused: Cell<Option<u64>>,
}

/// All mappings for one device.
#[derive(Default)]
pub struct Dma {
    ranges: BTreeMap<u64, Range>,
    /// Files by device and inode, each mapped once and as a whole while a range of it is there.
    files: BTreeMap<(u64, u64), Weak<MmapRegion>>,
    /// Whether the function may access memory at all (bus master enable).
    bus_master: bool,
    mapped: u64,
    unmapped: u64,
    traffic: Traffic,
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl Dma {
    /// Maps `size` bytes of `file`, from `offset` on, at bus address `addr`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an empty range, one that runs over the end of the address space or of the file;
    /// `EEXIST` if part of it is mapped already.
    pub fn map(
        &mut self,
        addr: u64,
        size: u64,
        offset: u64,
        writable: bool,
        file: Option<File>,
    ) -> io::Result<()> {
        let last = last_of(addr, size)?;
        let overlaps = self.ranges.range(..=last).next_back();
        if overlaps.is_some_and(|(&start, range)| start + (range.size - 1) >= addr) {
            return Err(errno(libc::EEXIST));
        }
        let memory = match file {
            None => None,
            Some(file) => {
                let memory = self.memory_of(file)?;
                let end = offset
                    .checked_add(size)
                    .ok_or_else(|| errno(libc::EINVAL))?;
                if end > memory.size() as u64 {
                    return Err(errno(libc::EINVAL));
                }
                Some(memory)
            }
        };
        self.mapped += 1;
        self.ranges.insert(
            addr,
            Range {
                size,
                memory,
                offset,
                writable,
            },
        );
        Ok(())
    }

    /// The mapping of a file in this process, made when it is first met.
    fn memory_of(&mut self, file: File) -> io::Result<Arc<MmapRegion>> {
        let data = file.metadata()?;
        let key = (data.dev(), data.ino());
        if let Some(memory) = self.files.get(&key).and_then(Weak::upgrade) {
            return Ok(memory);
        }
        let size = usize::try_from(data.len()).map_err(|_| errno(libc::EFBIG))?;
        let region = MmapRegion::from_file(FileOffset::new(file, 0), size)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let region = Arc::new(region);
        self.files.retain(|_, memory| memory.strong_count() != 0);
        self.files.insert(key, Arc::downgrade(&region));
        Ok(region)
    }

    /// Removes all mappings within a range of bus addresses.
    ///
    /// # Errors
    ///
    /// `EINVAL` if a mapping lies only partly in the range; nothing is removed then.
    pub fn unmap(&mut self, addr: u64, size: u64) -> io::Result<()> {
        let last = last_of(addr, size)?;
        let before = self.ranges.range(..addr).next_back();
        let cut_before = before.is_some_and(|(&start, range)| start + (range.size - 1) >= addr);
        let inside = self.ranges.range(addr..=last);
        let cut_after = inside
            .clone()
            .next_back()
            .is_some_and(|(&start, range)| start + (range.size - 1) > last);
        if cut_before || cut_after {
            return Err(errno(libc::EINVAL));
        }
        let keys: Vec<u64> = inside.map(|(&start, _)| start).collect();
        self.unmapped += keys.len() as u64;
        for key in keys {
            self.ranges.remove(&key);
        }
        Ok(())
    }

    /// Removes all mappings.
    pub fn unmap_all(&mut self) {
        self.unmapped += self.ranges.len() as u64;
        self.ranges.clear();
    }

    /// Lets the function access memory, or stops it.
    pub fn set_bus_master(&mut self, enabled: bool) {
        self.bus_master = enabled;
    }

    /// Whether the function may access memory, and therefore send messages as interrupts.
    pub fn bus_master(&self) -> bool {
        self.bus_master
    }

    /// The number of ranges mapped now, and their bytes.
    pub fn mapped_now(&self) -> (usize, u64) {
        let bytes = self
            .ranges
            .values()
            .fold(0u64, |sum, range| sum.saturating_add(range.size));
        (self.ranges.len(), bytes)
    }

    /// How many ranges were ever mapped and unmapped.
    pub fn totals(&self) -> (u64, u64) {
        (self.mapped, self.unmapped)
    }

    /// What was done with the memory.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn refuse(&self, addr: u64, refusal: Refusal) -> Fault {
        self.traffic.refused.set(self.traffic.refused.get() + 1);
        self.traffic.last_refused.set(Some(addr));
        Fault { addr, refusal }
    }

    /// The range that an address is in, if it can be accessed so.
    fn range(&self, addr: u64, access: Access) -> Result<(u64, &Range, &MmapRegion), Refusal> {
        let found = self.ranges.range(..=addr).next_back();
        let (&start, range) = found
            .filter(|(&start, range)| addr - start < range.size)
            // A function that may not access memory may be allowed to later.
            .filter(|_| self.bus_master)
            .ok_or(Refusal::NotMapped)?;
        let memory = range.memory.as_deref().ok_or(Refusal::NotPermitted)?;
        if access == Access::Write && !range.writable {
            return Err(Refusal::NotPermitted);
        }
        Ok((start, range, memory))
    }

    /// The longest piece of a range that lies together in this process, at least one byte.
    fn piece(&self, addr: u64, len: usize, access: Access) -> Result<VolatileSlice<'_>, Fault> {
        let (start, range, memory) = self
            .range(addr, access)
            .map_err(|refusal| self.refuse(addr, refusal))?;
        let inside = addr - start;
        let len = (range.size - inside).min(len as u64) as usize;
        let offset = usize::try_from(range.offset + inside).ok();
        offset
            .and_then(|offset| memory.get_slice(offset, len).ok())
            .ok_or_else(|| self.refuse(addr, Refusal::NotPermitted))
    }

    /// Calls `each` for all pieces of a range in turn, with what precedes the piece in bytes.
    fn pieces(
        &self,
        addr: u64,
        len: usize,
        access: Access,
        mut each: impl FnMut(usize, VolatileSlice<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut done = 0;
        while done < len {
            let at = addr
                .checked_add(done as u64)
                .ok_or_else(|| self.refuse(addr, Refusal::NotPermitted))?;
            let piece = self.piece(at, len - done, access)?;
            let count = piece.len();
            each(done, piece)?;
            done += count;
        }
        let counter = match access {
            Access::Read => &self.traffic.read,
            Access::Write => &self.traffic.written,
        };
        counter.set(counter.get() + len as u64);
        Ok(())
    }
}

/// The last address of a range that is not empty and does not wrap.
fn last_of(addr: u64, size: u64) -> io::Result<u64> {
    size.checked_sub(1)
        .and_then(|rest| addr.checked_add(rest))
        .ok_or_else(|| errno(libc::EINVAL))
}

impl Memory for Dma {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        self.pieces(addr, buf.len(), Access::Read, |done, piece| {
            piece.copy_to(&mut buf[done..done + piece.len()]);
            Ok(())
        })
    }

    fn write(&self, addr: u64, buf: &[u8]) -> Result<(), Fault> {
        self.pieces(addr, buf.len(), Access::Write, |done, piece| {
            piece.copy_from(&buf[done..done + piece.len()]);
            Ok(())
        })
    }

    fn load_acquire(&self, addr: u64) -> Result<u16, Fault> {
        let piece = self.piece(addr, 2, Access::Read)?;
        // Refuses as well what is cut in two by the end of a range or is not aligned.
        piece
            .load(0, Ordering::Acquire)
            .map_err(|_| self.refuse(addr, Refusal::NotPermitted))
    }

    fn store_release(&self, addr: u64, value: u16) -> Result<(), Fault> {
        let piece = self.piece(addr, 2, Access::Write)?;
        piece
            .store(value, 0, Ordering::Release)
            .map_err(|_| self.refuse(addr, Refusal::NotPermitted))
    }

    fn barrier(&self) {
        fence(Ordering::SeqCst);
    }

    fn copy_to(&self, src: u64, dst_memory: &Self, dst: u64, len: usize) -> Result<(), Fault> {
        self.pieces(src, len, Access::Read, |done, from| {
            // The source was found not to wrap, the destination may.
            let dst = dst
                .checked_add(done as u64)
                .ok_or_else(|| dst_memory.refuse(dst, Refusal::NotPermitted))?;
            dst_memory.pieces(dst, from.len(), Access::Write, |done, to| {
                // Both lie within their pieces.
                if let Ok(from) = from.subslice(done, to.len()) {
                    from.copy_to_volatile_slice(to);
                }
                Ok(())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmm_sys_util::tempfile::TempFile;

    const SIZE: u64 = 0x4000;

    fn file() -> File {
        let file = TempFile::new().unwrap().into_file();
        file.set_len(SIZE).unwrap();
        file
    }

    /// The file's pages, in reverse order.
    fn reversed() -> Dma {
        let (mut dma, file) = (Dma::default(), file());
        for page in 0..4 {
            let file = Some(file.try_clone().unwrap());
            dma.map(page * 0x1000, 0x1000, 0x3000 - page * 0x1000, true, file)
                .unwrap();
        }
        dma.set_bus_master(true);
        dma
    }

    #[test]
    fn across_pages() {
        let dma = reversed();
        let bytes: Vec<u8> = (0..0x2800).map(|i| (i % 251) as u8).collect();
        dma.write(0x400, &bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        dma.read(0x400, &mut back).unwrap();
        assert!(back == bytes);
        assert_eq!(dma.traffic().read.get(), 0x2800);
        assert_eq!(dma.files.len(), 1, "the file is mapped once");

        dma.copy_to(0x0400, &dma, 0x2c01, 0x13ff).unwrap();
        dma.read(0x2c01, &mut back[..0x13ff]).unwrap();
        assert!(back[..0x13ff] == bytes[..0x13ff]);
    }

    #[test]
    fn refused() {
        let mut dma = reversed();
        let refused = |addr, refusal| Fault { addr, refusal };
        let unmapped = |addr| refused(addr, Refusal::NotMapped);
        let never = |addr| refused(addr, Refusal::NotPermitted);
        assert_eq!(dma.read(0x3fff, &mut [0; 2]), Err(unmapped(0x4000)));
        assert_eq!(dma.write(u64::MAX, &[0; 2]), Err(unmapped(u64::MAX)));
        assert_eq!(dma.load_acquire(0x1001), Err(never(0x1001)), "not aligned");
        assert_eq!(dma.load_acquire(0x3fff), Err(never(0x3fff)), "cut in two");
        assert_eq!(dma.traffic().refused.get(), 4);
        assert_eq!(dma.traffic().last_refused.get(), Some(0x3fff));

        dma.set_bus_master(false);
        assert_eq!(dma.load_acquire(0), Err(unmapped(0)), "no bus master");
        assert_eq!(dma.traffic().refused.get(), 5);
    }

    #[test]
    fn permissions() {
        let mut dma = Dma::default();
        dma.set_bus_master(true);
        dma.map(0, 0x1000, 0, false, Some(file())).unwrap();
        dma.map(0x1000, 0x1000, 0, true, None).unwrap();
        assert!(dma.read(0, &mut [0]).is_ok());
        for (result, addr, why) in [
            (dma.write(0, &[0]), 0, "read only"),
            (dma.read(0x1000, &mut [0]), 0x1000, "no memory"),
            (dma.write(0x1000, &[0]), 0x1000, "no memory"),
        ] {
            let refusal = Refusal::NotPermitted;
            assert_eq!(result, Err(Fault { addr, refusal }), "{why}");
        }
    }

    #[test]
    fn ranges() {
        let mut dma = Dma::default();
        let code = |result: io::Result<()>| result.unwrap_err().raw_os_error();
        for (addr, size, offset, expected) in [
            (0, 0, 0, libc::EINVAL),
            (u64::MAX, 2, 0, libc::EINVAL),
            (0, 0x1000, SIZE, libc::EINVAL),
            (0, 0x1000, u64::MAX, libc::EINVAL),
        ] {
            let result = dma.map(addr, size, offset, true, Some(file()));
            assert_eq!(code(result), Some(expected), "{addr:#x} {size:#x}");
        }
        dma.map(u64::MAX, 1, 0, true, Some(file())).unwrap();
        dma.map(0x1000, 0x2000, 0, true, Some(file())).unwrap();
        for (addr, size) in [(0, 0x1001), (0x1000, 1), (0x2fff, 0x1000), (0, u64::MAX)] {
            let result = dma.map(addr, size, 0, true, None);
            assert_eq!(code(result), Some(libc::EEXIST), "{addr:#x} {size:#x}");
        }
        assert_eq!(code(dma.unmap(0x1000, 0x1fff)), Some(libc::EINVAL));
        assert_eq!(code(dma.unmap(0x2000, 0x1000)), Some(libc::EINVAL));
        assert_eq!(dma.mapped_now(), (2, 0x2001));
        dma.unmap(0, u64::MAX).unwrap();
        dma.unmap(0x5000, 0x1000).unwrap();
        assert_eq!(dma.mapped_now(), (1, 1));
        dma.unmap_all();
        assert_eq!(dma.totals(), (2, 2));
        assert!(dma.files.values().all(|file| file.strong_count() == 0));
    }
}
