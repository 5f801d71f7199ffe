// SPDX-License-Identifier: GPL-2.0

//! All devices and all their sockets, in one thread.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use crate::console;
use crate::device::Device;
use crate::net::link::Link;
use crate::protocol::Message;
use crate::session;
use crate::settings::Settings;

/// Events taken at a time.
const EVENTS: usize = 32;
/// A client that has begun a message ends it; one that does not is no client.
const PATIENCE: Duration = Duration::from_secs(5);
/// Milliseconds after which frames are offered again to who did not take them.
const RETRY: i32 = 1;
/// Bytes of a command on the console at most.
const MAX_LINE: usize = 4096;

/// What a descriptor is, with the device that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Listener,
    Client,
    LinkListener,
    Link,
    ConsoleListener,
    Console,
}

const SOURCES: [Source; 6] = [
    Source::Listener,
    Source::Client,
    Source::LinkListener,
    Source::Link,
    Source::ConsoleListener,
    Source::Console,
];

/// A source and a device as one number, for the kernel to keep.
fn token(source: Source, port: usize) -> u64 {
    (port * SOURCES.len() + source as usize) as u64
}

fn from_token(token: u64) -> (Source, usize) {
    let token = token as usize;
    (SOURCES[token % SOURCES.len()], token / SOURCES.len())
}

/// A device and who is connected to it.
struct Port {
    device: Device,
    listener: UnixListener,
    client: Option<UnixStream>,
    link_listener: Option<UnixListener>,
    /// A client was there and has gone.
    served: bool,
}

/// The console and who is connected to it.
struct Console {
    listener: UnixListener,
    client: Option<UnixStream>,
    line: Vec<u8>,
}

/// A server for some devices.
pub struct Server {
    epoll: Epoll,
    ports: Vec<Port>,
    console: Option<Console>,
    once: bool,
    /// Sockets that are removed in the end.
    paths: Vec<PathBuf>,
}

/// Listens on a socket, in place of who did so before.
fn listen(path: &Path) -> Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()))
        }
        _ => (),
    }
    UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))
}

fn watch(epoll: &Epoll, descriptor: RawFd, source: Source, port: usize) -> io::Result<()> {
    // A descriptor that is closed is no longer watched.
    let event = EpollEvent::new(EventSet::IN, token(source, port));
    epoll.ctl(ControlOperation::Add, descriptor, event)
}

/// The carrier for frames of a device, if it is a network device.
fn link(device: &mut Device) -> Option<&mut Link> {
    device.function().net().map(|net| &mut net.link)
}

impl Server {
    /// Listens for clients of all devices.
    ///
    /// # Errors
    ///
    /// If a socket cannot be made.
    pub fn new(devices: Vec<Settings>, console: Option<&Path>, once: bool) -> Result<Self> {
        let mut server = Self {
            epoll: Epoll::new().context("cannot wait for events")?,
            ports: Vec::new(),
            console: None,
            once,
            paths: Vec::new(),
        };
        for settings in devices {
            server.add_device(settings)?;
        }
        if let Some(path) = console {
            let listener = listen(path)?;
            server.paths.push(path.to_owned());
            watch(
                &server.epoll,
                listener.as_raw_fd(),
                Source::ConsoleListener,
                0,
            )?;
            server.console = Some(Console {
                listener,
                client: None,
                line: Vec::new(),
            });
        }
        Ok(server)
    }

    fn add_device(&mut self, settings: Settings) -> Result<()> {
        let number = self.ports.len();
        let mut device = Device::new(settings);
        let mut link_listener = None;
        // First the link: who sees the device's socket may expect it.
        if let Some(path) = link(&mut device).and_then(|link| link.to_listen().cloned()) {
            let listener = listen(&path)?;
            watch(
                &self.epoll,
                listener.as_raw_fd(),
                Source::LinkListener,
                number,
            )?;
            self.paths.push(path);
            link_listener = Some(listener);
        }
        let path = device.settings().socket.clone();
        let listener = listen(&path)?;
        self.paths.push(path);
        watch(&self.epoll, listener.as_raw_fd(), Source::Listener, number)?;
        self.ports.push(Port {
            device,
            listener,
            client: None,
            link_listener,
            served: false,
        });
        Ok(())
    }

    /// Serves until an error, or until all clients have gone if that was wanted.
    ///
    /// # Errors
    ///
    /// If events cannot be waited for.
    pub fn run(mut self) -> Result<()> {
        let mut events = [EpollEvent::default(); EVENTS];
        while !self.done() {
            let timeout = self.timeout();
            let count = match self.epoll.wait(timeout, &mut events) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(error).context("cannot wait for events"),
            };
            for event in &events[..count] {
                let (source, port) = from_token(event.data());
                self.dispatch(source, port);
            }
            for number in 0..self.ports.len() {
                self.work(number);
            }
        }
        Ok(())
    }

    fn done(&self) -> bool {
        self.once
            && self
                .ports
                .iter()
                .all(|port| port.served && port.client.is_none())
    }

    /// Milliseconds to wait for events.
    fn timeout(&mut self) -> i32 {
        let now = Instant::now();
        let mut timeout = i32::MAX;
        for port in &mut self.ports {
            if port.device.has_work() {
                return 0;
            }
            if let Some(next) = port.device.next_tick() {
                let left = next.saturating_duration_since(now).as_millis() + 1;
                timeout = timeout.min(left.try_into().unwrap_or(i32::MAX));
            }
            if link(&mut port.device).is_some_and(|link| link.has_waiting()) {
                timeout = timeout.min(RETRY);
            }
        }
        if timeout == i32::MAX {
            -1
        } else {
            timeout
        }
    }

    fn dispatch(&mut self, source: Source, number: usize) {
        match source {
            Source::ConsoleListener => self.accept_console(),
            Source::Console => self.read_console(),
            _ => {
                let Some(port) = self.ports.get_mut(number) else {
                    return;
                };
                let result = match source {
                    Source::Listener => port.accept(&self.epoll, number),
                    Source::LinkListener => port.accept_link(&self.epoll, number),
                    Source::Link => port.read_link(),
                    _ => port.request(),
                };
                if let Err(error) = result {
                    port.device.note(error);
                }
            }
        }
    }

    /// What does not wait for events.
    fn work(&mut self, number: usize) {
        let port = &mut self.ports[number];
        port.device.tick(Instant::now());
        port.device.work();
        let Some(link) = link(&mut port.device) else {
            return;
        };
        if let Err(error) = link.flush() {
            link.detach();
            port.device.note(format_args!("the link is lost: {error}"));
        }
    }

    // --- The console ----------------------------------------------------------------------------

    fn accept_console(&mut self) {
        let Some(console) = &mut self.console else {
            return;
        };
        let accepted = console.listener.accept().and_then(|(client, _)| {
            client.set_read_timeout(Some(PATIENCE))?;
            client.set_write_timeout(Some(PATIENCE))?;
            watch(&self.epoll, client.as_raw_fd(), Source::Console, 0)?;
            Ok(client)
        });
        match accepted {
            Ok(client) => console.client = Some(client),
            Err(error) => eprintln!("console: {error}"),
        }
        console.line.clear();
    }

    fn read_console(&mut self) {
        let Some(console) = &mut self.console else {
            return;
        };
        let Some(client) = &mut console.client else {
            return;
        };
        let mut bytes = [0; 256];
        let count = client.read(&mut bytes).unwrap_or(0);
        if count == 0 || console.line.len() > MAX_LINE {
            console.client = None;
            return;
        }
        console.line.extend(&bytes[..count]);
        while let Some(end) = console.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = console.line.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let mut devices: Vec<_> = self.ports.iter_mut().map(|port| &mut port.device).collect();
            let answer = console::answer(line.trim(), &mut devices);
            if client.write_all(answer.as_bytes()).is_err() {
                console.client = None;
                return;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for path in &self.paths {
            // It may have been removed already.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Port {
    /// A client is there. There can be only one.
    fn accept(&mut self, epoll: &Epoll, number: usize) -> io::Result<()> {
        let (client, _) = self.listener.accept()?;
        if self.client.is_some() {
            return Err(io::Error::other("a second client is refused"));
        }
        client.set_read_timeout(Some(PATIENCE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        watch(epoll, client.as_raw_fd(), Source::Client, number)?;
        self.client = Some(client);
        let Some(link) = link(&mut self.device) else {
            return Ok(());
        };
        if let Some(path) = link.to_connect() {
            let socket = UnixStream::connect(path)?;
            watch(epoll, socket.as_raw_fd(), Source::Link, number)?;
            link.attach(socket)?;
        }
        Ok(())
    }

    fn accept_link(&mut self, epoll: &Epoll, number: usize) -> io::Result<()> {
        let Some(listener) = &self.link_listener else {
            return Ok(());
        };
        let (socket, _) = listener.accept()?;
        if let Some(link) = link(&mut self.device) {
            watch(epoll, socket.as_raw_fd(), Source::Link, number)?;
            link.attach(socket)?;
        }
        Ok(())
    }

    fn read_link(&mut self) -> io::Result<()> {
        let Some(link) = link(&mut self.device) else {
            return Ok(());
        };
        match link.receive() {
            Ok(frames) => {
                self.device.receive(frames);
                Ok(())
            }
            Err(error) => {
                link.detach();
                Err(io::Error::other(format!("the link is lost: {error}")))
            }
        }
    }

    /// Handles one request of the client.
    fn request(&mut self) -> io::Result<()> {
        let Some(client) = &mut self.client else {
            return Ok(());
        };
        let result = match Message::receive(client) {
            Ok(Some(mut message)) => {
                let result = session::handle(&mut self.device, &mut message);
                if let Err(error) = &result {
                    let command = message.command;
                    self.device
                        .note(format_args!("command {command} is refused: {error}"));
                }
                message.reply(client, result)
            }
            Ok(None) => Err(io::ErrorKind::ConnectionAborted.into()),
            Err(error) => Err(error),
        };
        let Err(error) = result else {
            return Ok(());
        };
        self.client = None;
        self.served = true;
        let report = console::report(&mut self.device);
        self.device.note(format_args!("at the end\n{report}"));
        self.device.disconnected();
        match error.kind() {
            io::ErrorKind::ConnectionAborted => Ok(()),
            _ => Err(error),
        }
    }
}
