// SPDX-License-Identifier: GPL-2.0

//! The family that knows all others.

use anyhow::{bail, ensure, Context, Result};

use super::{Client, End, Message, ACK, DUMP, REQUEST};

// `linux/genetlink.h`.
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const VERSION: u8 = 2;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// Asks for the number of a family. There may be none of the name in this network namespace.
pub fn family(client: &mut Client, name: &str) -> Result<Option<u16>> {
    let request =
        Message::generic(CONTROLLER, REQUEST | ACK, GET_FAMILY, VERSION).string(FAMILY_NAME, name);
    let answer = client.ask(&request)?;

    match (&answer.end, &answer.parts[..]) {
        (End::Refused(refusal), []) if refusal.errno == libc::ENOENT => Ok(None),
        (End::Done, [part]) => {
            let id = part.find(FAMILY_ID).context("a family without number")?;
            let id = id.as_slice().try_into().context("a family's number")?;
            Ok(Some(u16::from_ne_bytes(id)))
        }
        _ => bail!("asked for family {name}: {answer:?}"),
    }
}

/// Asks for the names of all families, in alphabetical order.
pub fn families(client: &mut Client) -> Result<Vec<String>> {
    let request = Message::generic(CONTROLLER, REQUEST | DUMP, GET_FAMILY, VERSION);
    let answer = client.ask(&request)?;
    let mut names = Vec::new();

    ensure!(
        answer.end == End::Done,
        "asked for all families: {answer:?}"
    );
    for part in &answer.parts {
        let name = part.find(FAMILY_NAME).context("a family without name")?;
        names.push(String::from_utf8_lossy(&name).trim_end_matches('\0').into());
    }
    names.sort_unstable();
    Ok(names)
}
