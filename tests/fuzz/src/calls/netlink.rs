// SPDX-License-Identifier: GPL-2.0

//! What a thread asks of the netlink family: mostly good messages, some of them made bad.

use checks::random::Random;
use guest::netlink::mutation::mutate;
use guest::netlink::{Message, ACK, DUMP, NESTED, REQUEST};
use guest::vdpa::schema::{attribute, command, VERSION};

use super::action::{Action, Bytes, Listen};
use super::argument::number;
use super::cast::Cast;

/// In the place of the number of the family, which is known when the message is sent.
const FAMILY: u16 = 0;

/// The nesting of attributes that is still worth a try.
const DEEPEST: u64 = 200;

/// A name that is odd.
fn odd_name(random: &mut Random) -> Vec<u8> {
    let choices: [&[u8]; 14] = [
        b"",
        b".",
        b"..",
        b"/",
        b"a/b",
        b"%s%n%p",
        b"net0 ",
        b"\n",
        b"\x7f\x01",
        b"\xff\xfe",
        "\u{e4}\u{20ac}".as_bytes(),
        b"uevent",
        b"driver",
        b"vhost-vdpa-0",
    ];

    match random.below(4) {
        0 => vec![b'x'; random.pick(&[18, 19, 20, 21, 31, 32, 63, 254, 255, 256, 300, 5000])],
        _ => random.pick(&choices).to_vec(),
    }
}

/// A name with the zero byte at its end, mostly.
fn name(random: &mut Random, cast: Cast) -> Vec<u8> {
    let mut name = match random.below(6) {
        0 => odd_name(random),
        _ => random.pick(cast.names()).as_bytes().to_vec(),
    };

    if random.below(24) != 0 {
        name.push(0);
    }
    name
}

fn text(message: Message, kind: u16, text: &str) -> Message {
    message.string(kind, text)
}

fn request(command: u8) -> Message {
    Message::generic(FAMILY, REQUEST | ACK, command, VERSION)
}

/// Makes a device.
pub fn add(cast: Cast, name: &str) -> Action {
    let message = text(
        request(command::DEV_NEW),
        attribute::MGMTDEV_DEV_NAME,
        cast.parent_of(name),
    )
    .string(attribute::DEV_NAME, name);

    ask("vdpa dev add", message.finish(0))
}

/// Removes a device.
pub fn remove(name: &str) -> Action {
    let message = request(command::DEV_DEL).string(attribute::DEV_NAME, name);

    ask("vdpa dev del", message.finish(0))
}

fn ask(name: &'static str, message: Vec<u8>) -> Action {
    Action::Ask {
        name,
        messages: vec![Bytes(message)],
        listen: Listen::All,
    }
}

/// A request for a new device, with some of what it can be given.
fn new_device(random: &mut Random, cast: Cast) -> Message {
    let own = random.pick(cast.names());
    let (parent, device) = match random.below(4) {
        0 => (random.pick(cast.parents()), name(random, cast)),
        _ => (cast.parent_of(own), [own.as_bytes(), &[0]].concat()),
    };
    let mut message = request(command::DEV_NEW)
        .string(attribute::MGMTDEV_DEV_NAME, parent)
        .attribute(attribute::DEV_NAME, &device);

    if random.below(3) == 0 {
        let mut mac = [0; 6];
        random.fill(&mut mac);
        message = message.attribute(attribute::DEV_NET_CFG_MACADDR, &mac);
    }
    if random.below(4) == 0 {
        let mtu = random.pick(&[0u16, 67, 68, 1500, 9000, 0xffff]);
        message = message.attribute(attribute::DEV_NET_CFG_MTU, &mtu.to_ne_bytes());
    }
    if random.below(8) == 0 {
        let pairs = number(random) as u16;
        message = message.attribute(attribute::DEV_NET_CFG_MAX_VQP, &pairs.to_ne_bytes());
    }
    if random.below(4) == 0 {
        let features = super::argument::features(random);
        message = message.attribute(attribute::DEV_FEATURES, &features.to_ne_bytes());
    }
    message
}

/// A message that is good or nearly so, with the name of what it does.
fn message(random: &mut Random, cast: Cast) -> (&'static str, Message) {
    let device = |random: &mut Random, command| {
        let name = name(random, cast);
        request(command).attribute(attribute::DEV_NAME, &name)
    };
    let all = |command| request(command).without_flags(ACK).with_flags(DUMP);

    match random.below(16) {
        0 => (
            "vdpa mgmtdev show NAME",
            request(command::MGMTDEV_GET)
                .string(attribute::MGMTDEV_DEV_NAME, random.pick(cast.parents())),
        ),
        1 => ("vdpa mgmtdev show", all(command::MGMTDEV_GET)),
        2 | 3 => ("vdpa dev show NAME", device(random, command::DEV_GET)),
        4 => ("vdpa dev show", all(command::DEV_GET)),
        5..=7 => (
            "vdpa dev config show NAME",
            device(random, command::DEV_CONFIG_GET),
        ),
        8 => ("vdpa dev config show", all(command::DEV_CONFIG_GET)),
        9 | 10 => {
            let index = random.pick(&[0, 0, 1, 2, 3, u32::MAX]);
            (
                "vdpa dev vstats show",
                device(random, command::DEV_VSTATS_GET)
                    .attribute(attribute::DEV_QUEUE_INDEX, &index.to_ne_bytes()),
            )
        }
        11..=13 => {
            let mut mac = [0; 6];
            random.fill(&mut mac);
            mac[0] &= random.pick(&[0xfe, 0xfe, 0xff]);
            (
                "vdpa dev set",
                device(random, command::DEV_ATTR_SET)
                    .attribute(attribute::DEV_NET_CFG_MACADDR, &mac),
            )
        }
        14 => ("vdpa dev add", new_device(random, cast)),
        // What cannot be changed, or nothing.
        15 if random.below(2) == 0 => {
            let message = device(random, command::DEV_ATTR_SET);
            let mtu = attribute::DEV_NET_CFG_MTU;
            let value = (number(random) as u16).to_ne_bytes();
            match random.below(2) {
                0 => ("some vdpa message", message),
                _ => ("some vdpa message", message.attribute(mtu, &value)),
            }
        }
        _ => {
            let command = number(random) as u8;
            ("some vdpa message", device(random, command))
        }
    }
}

/// Puts all attributes of a message into groups in groups.
fn nest(message: &[u8], depth: u64) -> Vec<u8> {
    let (header, attributes) = message.split_at(guest::netlink::message::ATTRIBUTES);
    let mut inner = attributes.to_vec();

    for _ in 0..depth {
        let len = (inner.len() + 4) as u16;
        let mut outer = len.to_ne_bytes().to_vec();

        outer.extend((attribute::DEV_NAME | NESTED).to_ne_bytes());
        outer.extend(&inner);
        inner = outer;
    }
    let mut bytes = [header, &inner].concat();
    let len = bytes.len() as u32;

    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    bytes
}

/// One or more messages in a datagram.
pub fn any(random: &mut Random, cast: Cast) -> Action {
    let (mut name, first) = message(random, cast);
    let mut messages = vec![first.finish(1)];

    match random.below(8) {
        0 | 1 => {
            mutate(random, &mut messages[0]);
            name = "some vdpa message";
        }
        2 if random.below(2) == 0 => {
            messages[0] = nest(&messages[0], 1 + random.below(DEEPEST));
            name = "some vdpa message";
        }
        3 => {
            for sequence in 0..random.below(6) {
                messages.push(message(random, cast).1.finish(2 + sequence as u32));
            }
            if messages.len() > 1 {
                name = "several vdpa messages";
            }
        }
        _ => (),
    }
    Action::Ask {
        name,
        messages: messages.into_iter().map(Bytes).collect(),
        listen: match random.below(12) {
            0 => Listen::Cut(random.below(2) == 0),
            _ => Listen::All,
        },
    }
}
