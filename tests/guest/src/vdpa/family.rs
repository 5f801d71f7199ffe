// SPDX-License-Identifier: GPL-2.0

//! Proper requests to the family.

use anyhow::{bail, ensure, Context, Result};

use super::schema::{attribute, command, NAME, VERSION};
use super::shape;
use crate::netlink::{controller, Answer, Client, End, Message, Part, ACK, DUMP, REQUEST};

/// A connection with the family.
pub struct Family {
    /// Its socket.
    pub client: Client,
    /// Its number.
    pub number: u16,
}

/// Which management device makes a device.
#[derive(Clone, Debug)]
pub struct Parent<'a> {
    /// Its bus, unless it is simulated.
    pub bus: Option<&'a str>,
    /// Its name on the bus.
    pub name: &'a str,
}

impl Family {
    /// Opens a socket, and finds the family.
    pub fn open() -> Result<Self> {
        Self::with_client(Client::open()?)
    }

    /// Finds the family with a socket.
    pub fn with_client(mut client: Client) -> Result<Self> {
        let number = controller::family(&mut client, NAME)?
            .context("there is no family vdpa: vdpa.ko is not loaded")?;

        Ok(Self { client, number })
    }

    /// Begins a request about one thing.
    pub fn request(&self, command: u8) -> Message {
        request(self.number, command)
    }

    /// Begins a request about all.
    pub fn dump_request(&self, command: u8) -> Message {
        Message::generic(self.number, REQUEST | DUMP, command, VERSION)
    }

    /// Asks for one thing, and returns its only part.
    fn one(&mut self, message: &Message) -> Result<Part> {
        let mut answer = self.client.ask(message)?;

        match (answer.parts.pop(), &answer.end) {
            (Some(part), End::Done) if answer.parts.is_empty() => {
                shape::check(&part)?;
                Ok(part)
            }
            _ => bail!("{}", describe(&answer)),
        }
    }

    /// Asks for all.
    pub fn dump(&mut self, command: u8) -> Result<Vec<Part>> {
        let answer = self.client.ask(&self.dump_request(command))?;

        ensure!(answer.end == End::Done, "{}", describe(&answer));
        for part in &answer.parts {
            shape::check(part)?;
        }
        Ok(answer.parts)
    }

    /// Asks for a request to be carried out.
    fn carry_out(&mut self, message: &Message) -> Result<()> {
        let answer = self.client.ask(message)?;

        ensure!(
            answer.end == End::Done && answer.parts.is_empty(),
            "{}",
            describe(&answer)
        );
        Ok(())
    }

    /// Asks for a management device.
    pub fn management_device(&mut self, parent: &Parent<'_>) -> Result<Part> {
        let message = of_parent(self.request(command::MGMTDEV_GET), parent);

        self.one(&message)
            .with_context(|| format!("management device {}", parent.name))
    }

    /// Asks for a device.
    pub fn device(&mut self, name: &str) -> Result<Part> {
        let message = self.request(command::DEV_GET);

        self.one(&message.string(attribute::DEV_NAME, name))
            .with_context(|| format!("device {name}"))
    }

    /// Asks for a device's configuration.
    pub fn configuration(&mut self, name: &str) -> Result<Part> {
        let message = self.request(command::DEV_CONFIG_GET);

        self.one(&message.string(attribute::DEV_NAME, name))
            .with_context(|| format!("configuration of {name}"))
    }

    /// Makes a device.
    pub fn add(&mut self, parent: &Parent<'_>, name: &str) -> Result<()> {
        let message = of_parent(self.request(command::DEV_NEW), parent);

        self.carry_out(&message.string(attribute::DEV_NAME, name))
            .with_context(|| format!("cannot make {name}"))
    }

    /// Removes a device.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        let message = self.request(command::DEV_DEL);

        self.carry_out(&message.string(attribute::DEV_NAME, name))
            .with_context(|| format!("cannot remove {name}"))
    }

    /// Asks for the names of all devices, in alphabetical order.
    pub fn names(&mut self) -> Result<Vec<String>> {
        let mut names = Vec::new();

        for part in self.dump(command::DEV_GET)? {
            names.push(text(&part, attribute::DEV_NAME).context("a device without name")?);
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Begins a request about one thing.
pub fn request(family: u16, command: u8) -> Message {
    Message::generic(family, REQUEST | ACK, command, VERSION)
}

/// Adds a management device to a request.
pub fn of_parent(message: Message, parent: &Parent<'_>) -> Message {
    let message = match parent.bus {
        Some(bus) => message.string(attribute::MGMTDEV_BUS_NAME, bus),
        None => message,
    };

    message.string(attribute::MGMTDEV_DEV_NAME, parent.name)
}

/// Finds a string in an answer.
pub fn text(part: &Part, kind: u16) -> Option<String> {
    let value = part.find(kind)?;
    let (_, text) = value.split_last()?;

    Some(String::from_utf8_lossy(text).into_owned())
}

/// Finds a number of 32 bits in an answer.
pub fn number(part: &Part, kind: u16) -> Option<u32> {
    Some(u32::from_ne_bytes(part.find(kind)?.try_into().ok()?))
}

/// Finds a number of 64 bits in an answer.
pub fn long_number(part: &Part, kind: u16) -> Option<u64> {
    Some(u64::from_ne_bytes(part.find(kind)?.try_into().ok()?))
}

/// Says in short what an answer is.
pub fn describe(answer: &Answer) -> String {
    let parts = match answer.parts.len() {
        0 => String::new(),
        count => format!("{count} parts, then "),
    };
    let end = match &answer.end {
        End::Done => "a good acknowledgement".to_owned(),
        End::Silent => "silence".to_owned(),
        End::Refused(refusal) => {
            let message = match &refusal.message {
                Some(text) => format!("the message {:?}", String::from_utf8_lossy(text)),
                None => "no message".to_owned(),
            };
            format!("{} with {message}", errno_name(refusal.errno))
        }
    };

    format!("the answer is {parts}{end}")
}

/// Names an error number.
pub fn errno_name(errno: i32) -> String {
    let name = match errno {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EINTR => "EINTR",
        libc::EIO => "EIO",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::ENODEV => "ENODEV",
        libc::EINVAL => "EINVAL",
        libc::ENOTTY => "ENOTTY",
        libc::ENOSPC => "ENOSPC",
        libc::ERANGE => "ERANGE",
        libc::ENAMETOOLONG => "ENAMETOOLONG",
        libc::EMSGSIZE => "EMSGSIZE",
        libc::EOVERFLOW => "EOVERFLOW",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ENOBUFS => "ENOBUFS",
        _ => return format!("error {errno}"),
    };

    name.to_owned()
}
