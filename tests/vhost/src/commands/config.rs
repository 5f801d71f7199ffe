// SPDX-License-Identifier: GPL-2.0

//! The configuration space of any device, as bytes.

use anyhow::{ensure, Context, Result};
use checks::arguments::{Arguments, Misuse};
use checks::report::Report;
use vhost_client::device::Device;
use vhost_client::uapi::*;

/// The command `config`.
pub fn run(arguments: &mut Arguments, report: &mut Report) -> Result<()> {
    let path = arguments.required("--dev")?;
    let offset = arguments.number("--offset", 0, 0..=u32::MAX.into())? as u32;
    let len = arguments.number("--len", 0, 0..=u32::MAX.into())? as u32;
    arguments.finish()?;

    let device = Device::open(&path).with_context(|| path.clone())?;
    let size = size(&device)?;
    let left = size.saturating_sub(offset);
    let len = if len == 0 { left } else { len };

    report.note(format_args!("{path}: {size} bytes of configuration"));
    if len == 0 {
        let what = format!("there is nothing from offset {offset} on");
        report.check("config/empty", (offset <= size).then_some(()).context(what));
        return Ok(());
    }
    let read = read(&device, offset, len).map(|bytes| {
        for (number, line) in bytes.chunks(16).enumerate() {
            let at = u64::from(offset) + 16 * number as u64;
            report.note(format_args!("config {at:#06x}: {}", hex(line)));
        }
    });
    report.check("config/read", read);
    Ok(())
}

/// The size of the space.
pub fn size(device: &Device) -> Result<u32> {
    device
        .number(VHOST_VDPA_GET_CONFIG_SIZE)
        .context("GET_CONFIG_SIZE")
}

/// Reads a part of it.
pub fn read(device: &Device, offset: u32, len: u32) -> Result<Vec<u8>> {
    // Before there is memory for as many.
    ensure!(
        u64::from(offset) + u64::from(len) <= size(device)?.into(),
        "{len} bytes at {offset} are not in it"
    );
    device.config(offset, len as usize).context("GET_CONFIG")
}

/// Writes to it.
pub fn write(device: &Device, offset: u32, bytes: &[u8]) -> Result<()> {
    let mut whole = vring_state(offset, bytes.len() as u32).to_vec();

    whole.extend(bytes);
    device
        .call(VHOST_VDPA_SET_CONFIG, &mut whole)
        .map(drop)
        .context("SET_CONFIG")
}

/// Bytes as digits.
pub fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();

    digits.join(" ")
}

/// Bytes from digits, two for each.
pub fn from_hex(digits: &str) -> Result<Vec<u8>> {
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair)
                .ok()
                .filter(|pair| pair.len() == 2)?;
            let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());

            is_hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        })
        .collect();

    bytes.ok_or_else(|| Misuse(format!("{digits:?} is not two digits for each byte")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits() {
        assert_eq!(from_hex("00fF10").unwrap(), [0, 255, 16]);
        assert!(from_hex("").unwrap().is_empty());
        for bad in ["0", "000", "+1", "0x", "zz", "é"] {
            assert!(from_hex(bad).is_err(), "{bad}");
        }
        assert_eq!(hex(&[0, 255]), "00 ff");
    }
}
