// SPDX-License-Identifier: GPL-2.0

//! Which numbers a device may give. Like the search for capabilities, this needs no device.

use super::{
    capability::{
        Place,
        Structures, //
    },
    fault::Fault, //
};

/// The largest size of a virtqueue (virtio 1.3, section 2.6).
const SIZE_MAX: u16 = 1 << 15;

/// The most virtqueues of a device that are used. An interrupt that several share goes through all of
/// them.
const QUEUES_MAX: u16 = 1024;

/// Checks the number of virtqueues. Returns how many are used.
#[inline]
pub fn queue_count(count: u16) -> Result<u16, Fault> {
    match count {
        0 | u16::MAX => Err(Fault::QueueCount { count }),
        _ => Ok(count.min(QUEUES_MAX)),
    }
}

/// Checks the largest size of a virtqueue. [`None`] for one that is unavailable.
#[inline]
pub fn queue_size(queue: u16, size: u16) -> Result<Option<u16>, Fault> {
    match size {
        0 => Ok(None),
        1..=SIZE_MAX if size.is_power_of_two() => Ok(Some(size)),
        _ => Err(Fault::QueueSize { queue, size }),
    }
}

/// Checks that there is a virtqueue that can be used.
#[inline]
pub fn any_queue(mut sizes: impl Iterator<Item = Option<u16>>) -> Result<(), Fault> {
    match sizes.any(|size| size.is_some()) {
        true => Ok(()),
        false => Err(Fault::NoQueue),
    }
}

/// Returns where in the notification structure, which has `len` bytes, the doorbell of a virtqueue
/// is (virtio 1.3, section 4.1.4.4).
#[inline]
pub fn doorbell(queue: u16, notify_off: u16, multiplier: u32, len: u64) -> Result<u64, Fault> {
    let offset = u64::from(notify_off) * u64::from(multiplier);

    // Both are of 16 or 32 bits, so nothing overflows. Two bytes are written.
    if offset % 2 != 0 || offset + 2 > len {
        return Err(Fault::Doorbell {
            queue,
            notify_off,
            multiplier,
            len,
        });
    }
    Ok(offset)
}

/// Returns the size of the area with a virtqueue's doorbell, which is at `offset` in the
/// notification structure, for userspace. `page` is the size of a page, `own` where the kind of function
/// has registers of its own.
///
/// [`None`] where something else may be in it: it is not all in that structure, or there too is
/// another one, such a register, or what belongs to MSI-X, all of which are the kernel's.
#[inline]
pub fn doorbell_area(
    offset: u64,
    page: u64,
    structures: &Structures,
    own: Option<&Place>,
) -> Option<u64> {
    let Place { bar, range } = &structures.notify;
    let size = match structures.notify_multiplier {
        // One for all virtqueues.
        0 => page,
        multiplier => multiplier.into(),
    };
    let start = range.start.checked_add(offset)?;
    let area = Place {
        bar: *bar,
        range: start..start.checked_add(size)?,
    };
    let mut others = [&structures.common, &structures.isr]
        .into_iter()
        .chain(&structures.device)
        .chain(own)
        .chain(structures.msix.as_ref()?);

    (area.range.end <= range.end && !others.any(|other| other.overlaps(&area))).then_some(size)
}
