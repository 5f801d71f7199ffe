// SPDX-License-Identifier: GPL-2.0

//! A client of the model, as QEMU is one, and a driver for its network device.

// Not every test uses all of it.
#![allow(dead_code)]

pub mod driver;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use ifcvf_model::protocol::command;
use ifcvf_model::server::Server;
use ifcvf_model::settings::Settings;
use vmm_sys_util::sock_ctrl_msg::ScmSocket;
use vmm_sys_util::tempdir::TempDir;
use vmm_sys_util::tempfile::TempFile;

/// Bytes of the memory that is mapped.
pub const MEMORY: u64 = 1 << 20;
/// The region of configuration space.
pub const CONFIG: u32 = 7;

/// A model that runs, with one device.
pub struct Model {
    server: Option<JoinHandle<anyhow::Result<()>>>,
    directory: TempDir,
}

impl Model {
    /// Starts it with these settings. `{dir}` in them is a directory for sockets.
    pub fn start(settings: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.as_path();
        let text = format!("{}/vf,{settings}", path.display());
        let text = text.replace("{dir}", &path.display().to_string());
        let settings = Settings::parse(text.trim_end_matches(',')).unwrap();
        let server = Server::new(vec![settings], Some(&path.join("console")), true).unwrap();
        let server = std::thread::spawn(|| server.run());
        Self {
            server: Some(server),
            directory,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.as_path().join(name)
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.path("vf"))
    }

    /// Sends a command to the console and returns the answer.
    pub fn console(&self, line: &str) -> String {
        let mut console = UnixStream::connect(self.path("console")).unwrap();
        console
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        writeln!(console, "0 {line}").unwrap();
        let mut answer = String::new();
        while !answer.ends_with("ok\n") && !answer.starts_with("error") {
            let mut bytes = [0; 4096];
            let count = console.read(&mut bytes).unwrap();
            answer += std::str::from_utf8(&bytes[..count]).unwrap();
        }
        answer
    }

    /// A number of the report.
    pub fn counter(&self, name: &str) -> u64 {
        let report = self.console("report");
        let line = report.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    }

    /// Waits until it ends, which it does when its client has gone.
    pub fn finish(mut self) {
        self.server.take().unwrap().join().unwrap().unwrap();
    }
}

/// A connection, and the memory that is mapped through it.
pub struct Client {
    socket: UnixStream,
    next: u16,
    memory: File,
}

impl Client {
    fn connect(path: &Path) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let memory = TempFile::new().unwrap().into_file();
        memory.set_len(MEMORY).unwrap();
        Self {
            socket,
            next: 1,
            memory,
        }
    }

    pub fn memory(&self) -> &File {
        &self.memory
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Whether the other side has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.socket.read(&mut [0; 4096]), Ok(0) | Err(_))
    }

    fn send(&mut self, command: u16, flags: u32, body: &[u8], file: Option<RawFd>) {
        let mut bytes = self.next.to_ne_bytes().to_vec();
        bytes.extend(command.to_ne_bytes());
        bytes.extend((16 + body.len() as u32).to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        self.next += 1;
        match file {
            Some(file) => {
                let sent = self.socket.send_with_fd(&bytes[..], file).unwrap();
                assert_eq!(sent, bytes.len());
            }
            None => self.socket.write_all(&bytes).unwrap(),
        }
    }

    /// Sends a request and returns the body of the reply, or the error.
    pub fn request(
        &mut self,
        command: u16,
        body: &[u8],
        file: Option<RawFd>,
    ) -> Result<Vec<u8>, i32> {
        self.send(command, 0, body, file);
        let mut header = [0; 16];
        self.socket.read_exact(&mut header).unwrap();
        let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
        assert_eq!(header[..2], (self.next - 1).to_ne_bytes());
        assert_eq!(header[2..4], command.to_ne_bytes());
        let mut body = vec![0; word(4) as usize - 16];
        self.socket.read_exact(&mut body).unwrap();
        match word(8) {
            1 => Ok(body),
            0x21 => Err(word(12) as i32),
            flags => panic!("flags {flags:#x} of a reply"),
        }
    }

    /// Maps a part of the memory; the offset in it is the bus address less `base`.
    pub fn map(&mut self, base: u64, addr: u64, size: u64, writable: bool) -> Result<(), i32> {
        let mut body = 32u32.to_ne_bytes().to_vec();
        body.extend((1 | (u32::from(writable) << 1)).to_ne_bytes());
        for value in [addr - base, addr, size] {
            body.extend(value.to_ne_bytes());
        }
        let file = self.memory.as_raw_fd();
        self.request(command::DMA_MAP, &body, Some(file)).map(drop)
    }

    pub fn unmap(&mut self, addr: u64, size: u64) -> Result<(), i32> {
        let mut body = 24u32.to_ne_bytes().to_vec();
        body.extend(0u32.to_ne_bytes());
        body.extend(addr.to_ne_bytes());
        body.extend(size.to_ne_bytes());
        self.request(command::DMA_UNMAP, &body, None).map(drop)
    }

    /// Connects a vector, if it is there, and returns what it counts in.
    pub fn connect_vector(&mut self, vector: u32) -> Option<UnixStream> {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut body = Vec::new();
        for value in [20, (1 << 2) | (1 << 5), 2, vector, 1] {
            body.extend(u32::to_ne_bytes(value));
        }
        self.request(command::DEVICE_SET_IRQS, &body, Some(far.as_raw_fd()))
            .ok()?;
        Some(near)
    }

    fn access(region: u32, offset: u64, count: u32) -> Vec<u8> {
        let mut body = offset.to_ne_bytes().to_vec();
        body.extend(region.to_ne_bytes());
        body.extend(count.to_ne_bytes());
        body
    }

    pub fn try_read(&mut self, region: u32, offset: u64, count: u32) -> Result<Vec<u8>, i32> {
        let body = Self::access(region, offset, count);
        let reply = self.request(command::REGION_READ, &body, None)?;
        assert_eq!(reply.len(), 16 + count as usize);
        Ok(reply[16..].to_vec())
    }

    pub fn try_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), i32> {
        let mut body = Self::access(region, offset, data.len() as u32);
        body.extend(data);
        self.request(command::REGION_WRITE, &body, None).map(drop)
    }

    /// Writes without waiting for a reply, as QEMU does to doorbells.
    pub fn post(&mut self, region: u32, offset: u64, data: &[u8]) {
        let mut body = Self::access(region, offset, data.len() as u32);
        body.extend(data);
        self.send(command::REGION_WRITE, 1 << 4, &body, None);
    }

    pub fn read8(&mut self, region: u32, offset: u64) -> u8 {
        self.try_read(region, offset, 1).unwrap()[0]
    }

    pub fn read16(&mut self, region: u32, offset: u64) -> u16 {
        u16::from_le_bytes(
            self.try_read(region, offset, 2)
                .unwrap()
                .try_into()
                .unwrap(),
        )
    }

    pub fn read32(&mut self, region: u32, offset: u64) -> u32 {
        u32::from_le_bytes(
            self.try_read(region, offset, 4)
                .unwrap()
                .try_into()
                .unwrap(),
        )
    }

    pub fn write(&mut self, region: u32, offset: u64, data: &[u8]) {
        self.try_write(region, offset, data).unwrap();
    }
}
