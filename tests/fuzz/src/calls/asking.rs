// SPDX-License-Identifier: GPL-2.0

//! Netlink messages: sent, and answered by what makes sense.

use std::io;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use guest::netlink::answer::Content;
use guest::netlink::message::ATTRIBUTES;
use guest::netlink::{align, Client};
use guest::sys::socket::Netlink;
use guest::vdpa::family::{request, Family};
use guest::vdpa::schema::{attribute, command};
use guest::vdpa::shape;

use super::action::{Bytes, Listen};
use super::cast::{Cast, INNER};
use crate::tally::Outcome;

/// How long to wait for an answer of which the rest is not wanted.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends messages in one datagram, and checks whatever comes back.
pub fn ask(family: u16, messages: &[Bytes], listen: Listen) -> Result<Outcome> {
    let datagram = datagram(family, messages);

    match listen {
        Listen::Cut(some) => Ok(cut(&datagram, some).into()),
        Listen::All => match Client::open()?.provoke(&datagram) {
            Ok(answers) => {
                let mut outcome = Outcome::SILENT;

                for answer in &answers {
                    let refused = shape::judge(answer, family)?;
                    let of_family = match &answer.content {
                        Content::Part(part) => part.family == family,
                        _ => true,
                    };
                    if of_family && outcome.0 <= 0 {
                        outcome = Outcome(refused);
                    }
                }
                Ok(outcome)
            }
            // It was too long.
            Err(error) => match error
                .downcast_ref::<io::Error>()
                .and_then(|e| e.raw_os_error())
            {
                Some(errno) => Ok(Outcome(errno)),
                None => Err(error),
            },
        },
    }
}

/// Puts messages one after the other, and the number of the family into them.
fn datagram(family: u16, messages: &[Bytes]) -> Vec<u8> {
    let mut datagram = Vec::new();

    for Bytes(message) in messages {
        let start = datagram.len();

        datagram.extend(message);
        if let Some(kind) = datagram.get_mut(start + 4..start + 6) {
            kind.copy_from_slice(&family.to_ne_bytes());
        }
        if messages.len() > 1 {
            datagram.resize(align(datagram.len()), 0);
        }
    }
    datagram
}

/// Sends them, and receives the first datagram of the answer or nothing, with little room.
fn cut(datagram: &[u8], some: bool) -> io::Result<()> {
    let socket = Netlink::open(PATIENCE)?;

    socket.send(datagram)?;
    if some && datagram.len() > ATTRIBUTES {
        // What begins a request ends it, so that there is something to receive.
        socket.send(&guest::netlink::Message::new(guest::netlink::NOOP, 5).finish(0))?;
        socket.receive(&mut [0; 64])?;
    }
    Ok(())
}

/// Removes devices that threads do not use. Others may do the same at that time.
pub fn clean(family: u16, cast: Cast) -> Result<Outcome> {
    let mut known = Family {
        client: Client::open()?,
        number: family,
    };

    for part in known.dump(command::DEV_GET).context("asked for devices")? {
        let name = part
            .find(attribute::DEV_NAME)
            .context("a device without name")?;

        if !cast.has(&name) {
            let message = request(family, command::DEV_DEL).attribute(attribute::DEV_NAME, &name);
            known.client.ask(&message)?;
        }
    }
    Ok(Outcome::DONE)
}

/// Removes all devices, and checks that there are none. One that others work with is the last.
pub fn remove_all(family: u16) -> Result<()> {
    let mut known = Family {
        client: Client::open()?,
        number: family,
    };

    let mut names: Vec<_> = known
        .dump(command::DEV_GET)?
        .iter()
        .map(|part| part.find(attribute::DEV_NAME).unwrap_or_default())
        .collect();
    names.sort_by_key(|name| name.starts_with(INNER.as_bytes()));
    for name in names {
        let message = request(family, command::DEV_DEL).attribute(attribute::DEV_NAME, &name);
        known.client.ask(&message)?;
    }
    let left = known.names()?;
    ensure!(left.is_empty(), "devices are left: {left:?}");
    Ok(())
}
