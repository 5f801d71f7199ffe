// SPDX-License-Identifier: GPL-2.0

//! What each request of the vfio-user client does to the device.

use std::fs::File;
use std::io;

use crate::device::Device;
use crate::layout;
use crate::pci;
use crate::protocol::{command, Body, Message, CAPABILITIES, MAX_TRANSFER};

/// Regions of a PCI device: six BARs, ROM, configuration space, VGA.
const REGIONS: u32 = 9;
/// The region of configuration space.
const CONFIG_REGION: u32 = 7;
/// Kinds of interrupts of a PCI device: INTx, MSI, MSI-X, error, request.
const IRQS: u32 = 5;
/// The kind MSI-X.
const MSIX: u32 = 2;

/// Flags of a device: it can be reset, it is a PCI device.
const DEVICE_FLAGS: u32 = (1 << 0) | (1 << 1);
/// Flags of a region: it can be read and be written.
const REGION_FLAGS: u32 = (1 << 0) | (1 << 1);
/// Flags of a kind of interrupts: they are sent by event descriptors.
const IRQ_FLAGS: u32 = 1 << 0;
/// Flag of a new mapping: the device may write.
const MAP_WRITE: u32 = 1 << 1;
/// Flag for removing mappings: all of them.
const UNMAP_ALL: u32 = 1 << 1;
/// Flags for setting interrupts: what to do is to connect descriptors, or nothing.
const SET_DATA_EVENTFD: u32 = 1 << 2;
const SET_DATA_NONE: u32 = 1 << 0;

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// Does what a request wants and returns the body of the reply.
///
/// # Errors
///
/// The error that the client is told: `EINVAL` for what makes no sense, `ENOTSUP` for what is not
/// supported, and those of [`Dma`](crate::dma::Dma) for mappings.
pub fn handle(device: &mut Device, message: &mut Message) -> io::Result<Body> {
    let file = message.file.take();
    let body = &message.body;
    match message.command {
        command::VERSION => version(body),
        command::DMA_MAP => dma_map(device, body, file),
        command::DMA_UNMAP => dma_unmap(device, body),
        command::DEVICE_GET_INFO => device_info(body),
        command::DEVICE_GET_REGION_INFO => region_info(device, body),
        command::DEVICE_GET_IRQ_INFO => irq_info(device, body),
        command::DEVICE_SET_IRQS => set_irqs(device, body, file),
        command::REGION_READ => region_read(device, body),
        command::REGION_WRITE => {
            let count = region_write(device, body, 0, MAX_TRANSFER)?;
            let mut reply = Body(body.bytes(0, 12)?.to_vec());
            reply.push_u32(count);
            Ok(reply)
        }
        command::REGION_WRITE_MULTI => write_multi(device, body),
        command::DEVICE_RESET => {
            device.reset();
            Ok(Body::default())
        }
        _ => Err(errno(libc::ENOTSUP)),
    }
}

fn version(body: &Body) -> io::Result<Body> {
    let (major, _minor) = (body.u16(0)?, body.u16(2)?);
    if major != 0 {
        return Err(errno(libc::ENOTSUP));
    }
    let mut reply = Body::default();
    reply.push_u32(0);
    reply.0.extend(CAPABILITIES.bytes());
    Ok(reply)
}

/// `argsz`, `flags`, offset in the file, address, size.
fn dma_map(device: &mut Device, body: &Body, file: Option<File>) -> io::Result<Body> {
    let (flags, offset) = (body.u32(4)?, body.u64(8)?);
    let (addr, size) = (body.u64(16)?, body.u64(24)?);
    if device.settings().trace {
        device.note(format_args!("map {addr:#x} {size:#x} flags {flags:#x}"));
    }
    device
        .dma
        .map(addr, size, offset, flags & MAP_WRITE != 0, file)?;
    device.memory_changed();
    Ok(Body::default())
}

/// `argsz`, `flags`, address, size.
fn dma_unmap(device: &mut Device, body: &Body) -> io::Result<Body> {
    let (flags, addr, size) = (body.u32(4)?, body.u64(8)?, body.u64(16)?);
    if device.settings().trace {
        device.note(format_args!("unmap {addr:#x} {size:#x} flags {flags:#x}"));
    }
    if flags & UNMAP_ALL != 0 {
        device.dma.unmap_all();
    } else {
        device.dma.unmap(addr, size)?;
    }
    Ok(Body(body.bytes(0, 24)?.to_vec()))
}

/// `argsz`, `flags`, number of regions, number of kinds of interrupts.
fn device_info(body: &Body) -> io::Result<Body> {
    body.bytes(0, 16)?;
    let mut reply = Body::default();
    for value in [16, DEVICE_FLAGS, REGIONS, IRQS] {
        reply.push_u32(value);
    }
    Ok(reply)
}

/// `argsz`, `flags`, index, offset of capabilities; size, offset.
fn region_info(device: &Device, body: &Body) -> io::Result<Body> {
    let index = body.u32(8)?;
    if index >= REGIONS {
        return Err(errno(libc::EINVAL));
    }
    let size = region_len(device, index);
    let flags = if size == 0 { 0 } else { REGION_FLAGS };
    let mut reply = Body::default();
    for value in [32, flags, index, 0] {
        reply.push_u32(value);
    }
    reply.push_u64(size);
    reply.push_u64(0);
    Ok(reply)
}

fn region_len(device: &Device, region: u32) -> u64 {
    match region {
        CONFIG_REGION => pci::SIZE as u64,
        bar => layout::bar_len(bar, device.settings().queues()),
    }
}

/// `argsz`, `flags`, index, number of interrupts.
fn irq_info(device: &Device, body: &Body) -> io::Result<Body> {
    let index = body.u32(8)?;
    if index >= IRQS {
        return Err(errno(libc::EINVAL));
    }
    let count = if index == MSIX {
        u32::from(device.interrupts.count())
    } else {
        0
    };
    let flags = if count == 0 { 0 } else { IRQ_FLAGS };
    let mut reply = Body::default();
    for value in [16, flags, index, count] {
        reply.push_u32(value);
    }
    Ok(reply)
}

/// `argsz`, `flags`, index, first interrupt, number of interrupts.
fn set_irqs(device: &mut Device, body: &Body, file: Option<File>) -> io::Result<Body> {
    let (flags, index) = (body.u32(4)?, body.u32(8)?);
    let (start, count) = (body.u32(12)?, body.u32(16)?);
    if index >= IRQS {
        return Err(errno(libc::EINVAL));
    }
    if index != MSIX {
        // There are none, which are easily disabled.
        return Ok(Body::default());
    }
    if flags & SET_DATA_NONE != 0 && count == 0 {
        device.interrupts.clear();
    } else if flags & SET_DATA_EVENTFD != 0 {
        device.interrupts.set(start, count, file)?;
    } else {
        return Err(errno(libc::ENOTSUP));
    }
    Ok(Body::default())
}

/// Checks that a range lies within a region.
fn check_range(device: &Device, region: u32, offset: u64, count: u32) -> io::Result<()> {
    let end = offset.checked_add(count.into());
    match end {
        Some(end) if end <= region_len(device, region) && count <= MAX_TRANSFER => Ok(()),
        _ => Err(errno(libc::EINVAL)),
    }
}

/// Offset, region, count; then the data.
fn region_read(device: &mut Device, body: &Body) -> io::Result<Body> {
    let (offset, region, count) = (body.u64(0)?, body.u32(8)?, body.u32(12)?);
    check_range(device, region, offset, count)?;
    let mut data = vec![0; count as usize];
    if region == CONFIG_REGION {
        device.read_config(offset, &mut data);
    } else {
        device.read_bar(region, offset, &mut data);
    }
    if device.settings().trace {
        device.note(format_args!("read {region} {offset:#x} {data:02x?}"));
    }
    let mut reply = Body(body.bytes(0, 16)?.to_vec());
    reply.0.extend(data);
    Ok(reply)
}

/// Offset, region, count, and the data, from `at` on; returns the count.
fn region_write(device: &mut Device, body: &Body, at: usize, most: u32) -> io::Result<u32> {
    let (offset, region) = (body.u64(at)?, body.u32(at + 8)?);
    let count = body.u32(at + 12)?;
    check_range(device, region, offset, count)?;
    if count > most {
        return Err(errno(libc::EINVAL));
    }
    let data = body.bytes(at + 16, count as usize)?;
    if device.settings().trace {
        device.note(format_args!("write {region} {offset:#x} {data:02x?}"));
    }
    if region != CONFIG_REGION {
        device.write_bar(region, offset, data);
    } else if !device.gone() {
        device.config.write(offset, data);
        let bus_master = device.config.bus_master();
        device.dma.set_bus_master(bus_master);
        device.memory_changed();
    }
    Ok(count)
}

/// A number of writes of up to eight bytes, each in 24 bytes.
fn write_multi(device: &mut Device, body: &Body) -> io::Result<Body> {
    let count = body.u64(0)?;
    let room = (body.0.len() as u64 - 8) / 24;
    if count > room {
        return Err(errno(libc::EINVAL));
    }
    for index in 0..count as usize {
        region_write(device, body, 8 + 24 * index, 8)?;
    }
    let mut reply = Body::default();
    reply.push_u64(count);
    Ok(reply)
}
