// SPDX-License-Identifier: GPL-2.0

//! Commands for a running model, one a line, and what it has to report.
//!
//! Each is answered with lines of text, of which the last is `ok`, or `error: …`.

use anyhow::{bail, Context, Result};

use crate::device::Device;
use crate::function::Function;
use crate::hostile;

/// The commands, for people.
pub const COMMANDS: &str = "\
DEVICE report       print counters and state; devices are numbered from 0, in the order given
DEVICE fault FAULT  add a fault
DEVICE hostile SEED replace all faults by those that follow from SEED, and print them
DEVICE heal         remove all faults; a function that had vanished is there again, and the carrier
                    is what it was set to
DEVICE link up|down set the carrier";

/// Executes a line and returns the answer.
pub fn answer(line: &str, devices: &mut [&mut Device]) -> String {
    match execute(line, devices) {
        Ok(text) => format!("{text}ok\n"),
        // One line, for the last says how it ended.
        Err(error) => format!("error: {}\n", format!("{error:#}").replace('\n', "; ")),
    }
}

fn execute(line: &str, devices: &mut [&mut Device]) -> Result<String> {
    let mut words = line.split_whitespace();
    let number = words
        .next()
        .with_context(|| format!("a command is:\n{COMMANDS}"))?;
    let count = devices.len();
    let device = number
        .parse()
        .ok()
        .and_then(|number: usize| devices.get_mut(number))
        .with_context(|| format!("there is no device '{number}', but 0 to {}", count - 1))?;
    match words.collect::<Vec<_>>()[..] {
        ["report"] => return Ok(report(device)),
        ["fault", fault] => device.add_fault(fault.parse()?),
        ["hostile", seed] => return hostile(device, seed),
        ["heal"] => device.clear_faults(),
        ["link", "up"] => device.set_link(true),
        ["link", "down"] => device.set_link(false),
        _ => bail!("a command is:\n{COMMANDS}"),
    }
    Ok(String::new())
}

/// Makes a device hostile in a way that can be made again, by the seed or fault by fault.
fn hostile(device: &mut Device, seed: &str) -> Result<String> {
    let seed = seed
        .parse()
        .with_context(|| format!("'{seed}' is no number"))?;
    let faults = hostile::faults(seed, device.settings());
    let mut text = String::new();

    device.clear_faults();
    for fault in &faults {
        device.add_fault(fault.parse()?);
        text += &format!("fault {fault}\n");
    }
    Ok(text)
}

/// Counters and state, one a line.
pub fn report(device: &mut Device) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        lines.push(format!("{name} {value}\n"));
    };
    let (ranges, bytes) = device.dma.mapped_now();
    let (mapped, unmapped) = device.dma.totals();
    line("dma-mapped-now", &ranges);
    line("dma-mapped-bytes", &bytes);
    line("dma-mapped", &mapped);
    line("dma-unmapped", &unmapped);
    let traffic = device.dma.traffic();
    line("dma-read-bytes", &traffic.read.get());
    line("dma-written-bytes", &traffic.written.get());
    line("dma-refused", &traffic.refused.get());
    if let Some(addr) = traffic.last_refused.get() {
        line("dma-last-refused", &format_args!("{addr:#x}"));
    }
    let accesses = &device.accesses;
    line("register-reads", &accesses.reads);
    line("register-writes", &accesses.writes);
    line("register-writes-ignored", &accesses.ignored);
    line("doorbells", &accesses.doorbells);
    line("resets", &accesses.resets);
    line("interrupts", &device.interrupts.sent);
    line("vectors", &device.interrupts.count());
    match &device.function {
        Function::Net(net) => {
            line("frames-sent", &net.frames.sent);
            line("frames-received", &net.frames.received);
            line("frames-filtered", &net.frames.filtered);
            line("frames-dropped", &net.frames.dropped);
            line("frames-malformed", &net.frames.malformed);
            line("link", &if net.up { "up" } else { "down" });
        }
        Function::Blk(blk) => {
            line("requests-done", &blk.requests.done);
            line("requests-failed", &blk.requests.failed);
        }
    }
    line("status", &format_args!("{:#04x}", device.common.status));
    line("bus-master", &device.dma.bus_master());
    line("gone", &device.gone());
    line("faults", device.faults());
    for (index, queue) in device.queues.iter().enumerate() {
        line(
            &format!("queue {index}"),
            &format_args!(
                "enabled {} size {} vector {} index {} waits {}",
                queue.enabled(),
                queue.size,
                queue.vector,
                queue.index(),
                queue.waits()
            ),
        );
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn device(spec: &str) -> Device {
        Device::new(Settings::parse(spec).unwrap())
    }

    #[test]
    fn commands() {
        let (mut net, mut blk) = (device("net"), device("blk,card=c5000x-blk,disk=1"));
        let mut devices = [&mut net, &mut blk];
        let mut answer = |line| answer(line, &mut devices);
        assert!(answer("0 report").contains("dma-mapped-now 0\n"));
        assert!(answer("1 report").contains("requests-done 0\n"));
        assert_eq!(answer("0 fault vanish:0"), "ok\n");
        assert!(answer("0 report").contains("faults Vanish(0)\n"));
        assert_eq!(answer("0 heal"), "ok\n");
        assert_eq!(answer("0 link down"), "ok\n");
        assert!(answer("0 report").contains("link down\n"));
        assert!(answer("0 report").ends_with("\nok\n"));
    }

    #[test]
    fn refused() {
        let mut net = device("net");
        let mut devices = [&mut net];
        for line in [
            "",
            "1 report",
            "x report",
            "0",
            "0 fault x",
            "0 link",
            "0 report x",
        ] {
            let answer = answer(line, &mut devices);
            assert!(answer.starts_with("error: "), "{line}");
            assert_eq!(answer.matches('\n').count(), 1, "{line}: {answer}");
        }
    }
}
