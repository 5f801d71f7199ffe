// SPDX-License-Identifier: GPL-2.0

//! A disk, read and written without the page cache.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};

use super::pattern::{Pattern, SECTOR};
use crate::sys::device;

/// What direct I/O may want of an address in memory.
const ALIGNMENT: usize = 4096;

/// An open disk.
pub struct Disk {
    /// The disk, opened for direct I/O.
    pub file: File,
    /// Its length in bytes.
    pub capacity: u64,
    /// The length of a block in bytes.
    pub block: usize,
    path: PathBuf,
}

/// Memory at an address that direct I/O takes.
pub struct Aligned {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// Makes `len` bytes of zeroes.
    pub fn new(len: usize) -> Self {
        let memory = vec![0; len + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);

        Self { memory, start, len }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..][..self.len]
    }

    /// The bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}

impl Disk {
    /// Opens the disk at `path` for reading and writing.
    pub fn open(path: &str) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT | libc::O_EXCL)
            .open(path)
            .with_context(|| format!("cannot open {path}"))?;
        let capacity = device::capacity(&file).context("cannot ask for the capacity")?;
        let block = device::block_size(&file).context("cannot ask for the block size")? as usize;

        ensure!(
            block >= SECTOR && block.is_power_of_two() && block <= ALIGNMENT,
            "blocks of {block} bytes"
        );
        ensure!(
            capacity >= 8 << 20 && capacity % block as u64 == 0,
            "{capacity} bytes: at least 8 MiB are needed, and whole blocks"
        );
        Ok(Self {
            file,
            capacity,
            block,
            path: path.into(),
        })
    }

    /// Opens the disk a second time, through the page cache.
    pub fn cached(&self) -> Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .context("cannot open it again")
    }

    /// A file in the disk's directory of sysfs.
    fn attribute(&self, name: &str) -> Result<String> {
        let disk = self.path.file_name().context("not the path of a device")?;
        let path = Path::new("/sys/block").join(disk).join(name);

        Ok(fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .trim_end_matches('\n')
            .to_owned())
    }

    /// Fails unless the serial number is `serial`.
    pub fn check_serial(&self, serial: &str) -> Result<()> {
        let found = self.attribute("serial")?;

        ensure!(found == serial, "the serial number is {found:?}");
        Ok(())
    }

    /// Fails unless sysfs and the device agree on its size.
    pub fn check_size(&self) -> Result<()> {
        let sectors: u64 = self.attribute("size")?.parse().context("size")?;

        ensure!(
            sectors * SECTOR as u64 == self.capacity,
            "{sectors} sectors are not {} bytes",
            self.capacity
        );
        Ok(())
    }

    /// Reads whole blocks.
    pub fn read(&self, start: u64, len: usize) -> Result<Aligned> {
        let mut buffer = Aligned::new(len);

        self.file
            .read_exact_at(buffer.bytes_mut(), start)
            .with_context(|| format!("cannot read {len} bytes at {start}"))?;
        Ok(buffer)
    }

    /// Writes a pattern to whole blocks.
    pub fn write(&self, pattern: Pattern, start: u64, len: usize) -> Result<()> {
        let mut buffer = Aligned::new(len);

        pattern.write(buffer.bytes_mut(), start / SECTOR as u64);
        self.file
            .write_all_at(buffer.bytes(), start)
            .with_context(|| format!("cannot write {len} bytes at {start}"))
    }

    /// Fails unless whole blocks hold a pattern.
    pub fn check(&self, pattern: Pattern, start: u64, len: usize) -> Result<()> {
        pattern.check(self.read(start, len)?.bytes(), start / SECTOR as u64)
    }
}
