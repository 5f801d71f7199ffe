// SPDX-License-Identifier: GPL-2.0

//! What bad messages are about: a device made for them, and requests that would be good.

use anyhow::{ensure, Context, Result};

use crate::netlink::{End, Message};
use crate::vdpa::family::{self, describe, Family, Parent};
use crate::vdpa::schema::{attribute, command, NAME};

/// Names given on the command line.
pub struct Names {
    /// A management device that makes network devices.
    pub mgmtdev: String,
    /// One that makes disks, if there is one of this name.
    pub disk_mgmtdev: String,
    /// The name of the device to make.
    pub device: String,
}

/// The MAC address that the device begins with: a local one.
pub const ADDRESS: [u8; 6] = [0x02, 0x76, 0x64, 0x70, 0x61, 0x01];

/// Another one.
pub const OTHER_ADDRESS: [u8; 6] = [0x02, 0x76, 0x64, 0x70, 0x61, 0x02];

/// A request with a name for its checks.
pub struct Request {
    /// The name.
    pub name: &'static str,
    /// The command.
    pub command: u8,
    /// Whether all are asked for.
    pub dump: bool,
}

const fn request(name: &'static str, command: u8, dump: bool) -> Request {
    Request {
        name,
        command,
        dump,
    }
}

/// All that the family understands.
pub const REQUESTS: &[Request] = &[
    request("mgmtdev-get", command::MGMTDEV_GET, false),
    request("mgmtdev-dump", command::MGMTDEV_GET, true),
    request("dev-new", command::DEV_NEW, false),
    request("dev-del", command::DEV_DEL, false),
    request("dev-get", command::DEV_GET, false),
    request("dev-dump", command::DEV_GET, true),
    request("config-get", command::DEV_CONFIG_GET, false),
    request("config-dump", command::DEV_CONFIG_GET, true),
    request("vstats-get", command::DEV_VSTATS_GET, false),
    request("attr-set", command::DEV_ATTR_SET, false),
];

/// A disk, and the management device that made it.
#[derive(Debug)]
pub struct Disk {
    /// The name of the management device.
    pub mgmtdev: String,
    /// The name of the device.
    pub device: String,
}

/// What bad messages are about.
#[derive(Debug)]
pub struct Subject {
    /// The family's number.
    pub family: u16,
    /// The name of the management device.
    pub mgmtdev: String,
    /// The name of the network device.
    pub device: String,
    /// How many virtqueues it has.
    pub queues: u32,
    /// What its management device offers.
    pub features: u64,
    /// Whether a driver has agreed on features, without which there are no statistics.
    pub negotiated: bool,
    /// A disk, if they can be made.
    pub disk: Option<Disk>,
    /// What there was before.
    before: Vec<String>,
}

impl Subject {
    /// Makes the devices.
    pub fn prepare(names: &Names) -> Result<Self> {
        let mut family = Family::open()?;
        let before = family.names()?;
        let disk = Disk {
            mgmtdev: names.disk_mgmtdev.clone(),
            device: format!("{}-disk", names.device),
        };
        let has_disk = family.management_device(&parent(&disk.mgmtdev)).is_ok();

        let mut subject = Self::find(&mut family, &names.mgmtdev, &names.device)?;

        if has_disk {
            subject.make_disk(&mut family, &disk)?;
            subject.disk = Some(disk);
        }
        subject.before = before;
        subject.make(&mut family)?;
        subject.look(&mut family)?;
        Ok(subject)
    }

    /// Finds the management device, without anything being made.
    fn find(family: &mut Family, mgmtdev: &str, device: &str) -> Result<Self> {
        let management = family.management_device(&parent(mgmtdev))?;

        Ok(Self {
            family: family.number,
            mgmtdev: mgmtdev.to_owned(),
            device: device.to_owned(),
            queues: 0,
            features: family::long_number(&management, attribute::DEV_SUPPORTED_FEATURES)
                .context("a management device without features")?,
            negotiated: false,
            disk: None,
            before: Vec::new(),
        })
    }

    /// Finds a device that another process made for the purpose.
    pub fn existing(family: &mut Family, mgmtdev: &str, device: &str) -> Result<Self> {
        let mut subject = Self::find(family, mgmtdev, device)?;

        subject.look(family)?;
        Ok(subject)
    }

    /// Learns about the network device.
    fn look(&mut self, family: &mut Family) -> Result<()> {
        let device = family.device(&self.device)?;
        let configuration = family.configuration(&self.device)?;

        self.queues = family::number(&device, attribute::DEV_MAX_VQS)
            .context("a device without a number of virtqueues")?;
        self.negotiated = configuration
            .find(attribute::DEV_NEGOTIATED_FEATURES)
            .is_some();
        Ok(())
    }

    /// Makes the network device, as it is in the beginning.
    pub fn make(&self, family: &mut Family) -> Result<()> {
        let message = self
            .new_device(&self.device)
            .attribute(attribute::DEV_NET_CFG_MACADDR, &ADDRESS)
            .attribute(attribute::DEV_NET_CFG_MTU, &1500u16.to_ne_bytes());
        let answer = family.client.ask(&message)?;

        ensure!(
            answer.end == End::Done,
            "cannot make {}: {}",
            self.device,
            describe(&answer)
        );
        Ok(())
    }

    /// Makes the disk.
    pub fn make_disk(&self, family: &mut Family, disk: &Disk) -> Result<()> {
        family.add(&parent(&disk.mgmtdev), &disk.device)
    }

    /// Removes the devices, and fails if anything else than before is left.
    pub fn remove(&self) -> Result<()> {
        let mut family = Family::open()?;

        family.remove(&self.device)?;
        if let Some(disk) = &self.disk {
            family.remove(&disk.device)?;
        }

        let after = family.names()?;
        ensure!(
            after == self.before,
            "there were the devices {:?}, now there are {after:?}",
            self.before
        );
        Ok(())
    }

    /// A name that no device has.
    pub fn free_name(&self) -> String {
        format!("{}-new", self.device)
    }

    /// Begins a request.
    pub fn request(&self, command: u8) -> Message {
        family::request(self.family, command)
    }

    /// Begins a request to make a device, and gives it a name.
    pub fn new_device(&self, name: &str) -> Message {
        self.request(command::DEV_NEW)
            .string(attribute::MGMTDEV_DEV_NAME, &self.mgmtdev)
            .string(attribute::DEV_NAME, name)
    }

    /// Gives a request that would be good, were it not for the attribute of type `without`.
    pub fn request_without(&self, request: &Request, without: u16) -> Message {
        let mut message = self.request(request.command);

        if request.dump {
            message = message.with_flags(crate::netlink::DUMP);
        }
        for (kind, value) in self.needs(request) {
            if kind != without {
                message = message.attribute(kind, &value);
            }
        }
        message
    }

    /// Gives a good request.
    pub fn good(&self, request: &Request) -> Message {
        // No request needs padding.
        self.request_without(request, attribute::PAD)
    }

    /// The attributes that a request needs, with good values.
    pub fn needs(&self, request: &Request) -> Vec<(u16, Vec<u8>)> {
        let text = |kind, text: &str| (kind, [text.as_bytes(), &[0]].concat());
        let mgmtdev = text(attribute::MGMTDEV_DEV_NAME, &self.mgmtdev);
        let device = text(attribute::DEV_NAME, &self.device);

        if request.dump {
            return Vec::new();
        }
        match request.command {
            command::MGMTDEV_GET => vec![mgmtdev],
            command::DEV_NEW => vec![mgmtdev, text(attribute::DEV_NAME, &self.free_name())],
            command::DEV_VSTATS_GET => {
                vec![device, (attribute::DEV_QUEUE_INDEX, vec![0; 4])]
            }
            command::DEV_ATTR_SET => {
                vec![
                    device,
                    (attribute::DEV_NET_CFG_MACADDR, OTHER_ADDRESS.to_vec()),
                ]
            }
            _ => vec![device],
        }
    }
}

/// A simulated management device.
fn parent(name: &str) -> Parent<'_> {
    Parent { bus: None, name }
}

/// A name for what no kernel has.
pub fn unknown_name() -> String {
    format!("no-such-{NAME}")
}
