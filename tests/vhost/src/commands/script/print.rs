// SPDX-License-Identifier: GPL-2.0

//! Calls whose results are printed.

use std::fmt::Display;
use std::io;

use anyhow::Result;
use checks::random::mix;
use vhost_client::device::{errno, Device};
use vhost_client::sys::{Mailbox, Request};
use vhost_client::uapi::*;

use super::super::ioctls::errno_name;

/// Prints results with their number.
#[derive(Default)]
pub struct Script {
    number: usize,
}

impl Script {
    /// Prints a line.
    pub fn line(&mut self, what: impl Display, result: impl Display) {
        self.number += 1;
        println!("{:04} {what}: {result}", self.number);
    }

    /// The result of a call and the bytes that it gave.
    pub fn result(&mut self, what: impl Display, result: io::Result<i32>, bytes: &[u8]) {
        match result {
            Ok(value) => self.line(what, format_args!("{value} {}", hex(bytes))),
            Err(error) => self.line(
                what,
                format_args!("{} {}", errno_name(errno(&error)), hex(bytes)),
            ),
        }
    }

    /// Makes a call, and prints what came of it.
    pub fn call(
        &mut self,
        device: &Device,
        name: &str,
        request: Request,
        bytes: &[u8],
    ) -> Result<()> {
        let mailbox = Mailbox::new()?;
        let place = mailbox.put(bytes)?;
        let result = device.call_mail(request, &mailbox, place);

        let after = mailbox.read(place, bytes.len())?;
        self.result(format_args!("{name} {}", hex(bytes)), result, &after);
        Ok(())
    }

    /// All ioctls with nothing in their arguments, and with a virtqueue that does not exist.
    pub fn all(&mut self, device: &Device, except: &[Request]) -> Result<()> {
        for (name, request) in REQUESTS {
            if except.contains(request) {
                continue;
            }
            let name = name.trim_start_matches("VHOST_");
            self.call(device, name, *request, &vec![0; request.size()])?;
            if request.size() == STATE_SIZE {
                self.call(device, name, *request, &vring_state(100, 1))?;
                self.call(device, name, *request, &vring_state(0, u32::MAX))?;
            }
        }
        Ok(())
    }

    /// What can be seen of the device.
    pub fn look(&mut self, device: &Device) -> Result<()> {
        self.call(device, "GET_STATUS", VHOST_VDPA_GET_STATUS, &[0])?;
        for index in 0..device.number(VHOST_VDPA_GET_VQS_COUNT)? {
            let bytes = vring_state(index, 0);
            self.call(device, "GET_VRING_BASE", VHOST_GET_VRING_BASE, &bytes)?;
            self.call(
                device,
                "GET_VRING_GROUP",
                VHOST_VDPA_GET_VRING_GROUP,
                &bytes,
            )?;
        }
        let size = device.number(VHOST_VDPA_GET_CONFIG_SIZE)?;
        let mut config = vring_state(0, size).to_vec();
        config.resize(CONFIG_HEADER_SIZE + size as usize, 0);
        self.call(device, "GET_CONFIG", VHOST_VDPA_GET_CONFIG, &config)
    }
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    use std::fmt::Write;

    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What bytes are, in few digits.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(bytes.len() as u64, |sum, byte| mix(sum ^ u64::from(*byte)))
}
