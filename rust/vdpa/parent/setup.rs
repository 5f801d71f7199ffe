// SPDX-License-Identifier: GPL-2.0

//! What a driver has set up when its device is started.

use crate::{
    bindings,
    Asid,
    Features,
    VqAddress,
    VqIndex,
    VqState, //
};
use kernel::{
    fmt,
    prelude::*, //
};

/// A virtqueue that is to be started. All of it has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VqSetup {
    /// Which one.
    pub index: VqIndex,
    /// Where its areas are. They are aligned, and do not reach beyond the 64-bit addresses.
    pub address: VqAddress,
    /// The number of descriptors: no more than [`Parent::size_max`], and a power of two unless the
    /// ring is packed.
    ///
    /// [`Parent::size_max`]: super::Parent::size_max
    pub size: u16,
    /// Where to go on, in the format that was negotiated.
    pub state: VqState,
    /// The address space of its group.
    pub asid: Asid,
}

/// What a driver has set of a virtqueue, which is anything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Draft {
    pub(super) address: VqAddress,
    /// [`None`] for as many as the device has.
    pub(super) num: Option<u32>,
    /// [`None`] for the beginning.
    pub(super) state: Option<VqState>,
    /// The driver has enabled it.
    pub(super) enabled: bool,
    /// The parent was told to start it, and not to stop it since.
    pub(super) started: bool,
    /// It was stopped, and nobody knows where it stands.
    pub(super) lost: bool,
}

/// Why a virtqueue cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The number of descriptors, and the largest one.
    Size(u32, u16),
    /// The number of descriptors of a split ring is not a power of two.
    PowerOfTwo(u32),
    /// An area, its address, and the alignment it must have.
    Alignment(&'static str, u64, u64),
    /// An area and its address, from which on there are not as many addresses.
    Beyond(&'static str, u64),
    /// Where to go on is said for the other format.
    Format,
    /// It was stopped before, and where to go on is not known.
    Lost,
}

impl fmt::Display for Refusal {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Size(num, max) if num > max.into() => {
                f.write_fmt(fmt!("queue size {} is more than {}", num, max))
            }
            Self::Size(num, _) => f.write_fmt(fmt!("queue size {} is not possible", num)),
            Self::PowerOfTwo(num) => f.write_fmt(fmt!("queue size {} is not a power of two", num)),
            Self::Alignment(area, addr, align) => f.write_fmt(fmt!(
                "{} at {:#x} is not aligned to {} bytes",
                area,
                addr,
                align
            )),
            Self::Beyond(area, addr) => f.write_fmt(fmt!(
                "{} at {:#x} reaches beyond the end of the addresses",
                area,
                addr
            )),
            Self::Format => f.write_fmt(fmt!("its state is for the other format of rings")),
            Self::Lost => f.write_fmt(fmt!(
                "it was stopped before, the device does not say where, and no state was set since"
            )),
        }
    }
}

impl Draft {
    /// Checks it: virtio 1.3, sections 2.7 and 2.8.
    #[inline]
    pub(super) fn check(
        &self,
        index: VqIndex,
        features: Features,
        asid: Asid,
        max: u16,
    ) -> Result<VqSetup, Refusal> {
        if self.lost {
            return Err(Refusal::Lost);
        }
        let packed = features.has(bindings::VIRTIO_F_RING_PACKED);
        let largest = if packed { max } else { power_of_two(max) };
        let num = self.num.unwrap_or(largest.into());
        let size = u16::try_from(num)
            .ok()
            .filter(|size| (1..=max).contains(size))
            .ok_or(Refusal::Size(num, max))?;

        if !packed && !size.is_power_of_two() {
            return Err(Refusal::PowerOfTwo(num));
        }
        for (area, addr, align, len) in self.areas(size, packed) {
            // Powers of two, and never no bytes.
            if addr & align.wrapping_sub(1) != 0 {
                return Err(Refusal::Alignment(area, addr, align));
            }
            if addr.checked_add(len.wrapping_sub(1)).is_none() {
                return Err(Refusal::Beyond(area, addr));
            }
        }

        let state = self.state.unwrap_or(VqState::initial(packed));
        if matches!(state, VqState::Packed { .. }) != packed {
            return Err(Refusal::Format);
        }
        Ok(VqSetup {
            index,
            address: self.address,
            size,
            state,
            asid,
        })
    }

    /// The name, address, alignment and number of bytes of each area.
    #[inline]
    fn areas(&self, size: u16, packed: bool) -> [(&'static str, u64, u64, u64); 3] {
        let VqAddress {
            desc,
            driver,
            device,
        } = self.address;
        let size = u64::from(size);

        if packed {
            // The areas of events are structures of two 16-bit numbers.
            [
                ("descriptor ring", desc, 16, 16 * size),
                ("driver event suppression", driver, 4, 4),
                ("device event suppression", device, 4, 4),
            ]
        } else {
            [
                ("descriptor table", desc, 16, 16 * size),
                ("available ring", driver, 2, 2 * size + 6),
                ("used ring", device, 4, 8 * size + 6),
            ]
        }
    }
}

/// The largest power of two that is not more than `max`, or 0.
#[inline]
fn power_of_two(max: u16) -> u16 {
    match max.checked_ilog2() {
        Some(bit) => 1u16.wrapping_shl(bit),
        None => 0,
    }
}
