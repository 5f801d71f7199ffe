// SPDX-License-Identifier: GPL-2.0

//! Where the registers with the states of virtqueues are. Like the search for capabilities, this
//! needs no device.

use core::fmt;
use vdpa::pci::virtio::{
    fault::Kind,
    Place,
    Structures, //
};

/// The BAR with the states of virtqueues.
const BAR: u8 = 4;
/// Where in it the first state is. Before it are four registers for migration, of eight bytes each.
const START: u64 = 0x20;
/// The distance between two states, of which each has two bytes.
const STRIDE: u64 = 4;

/// Why there can be no such registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The BAR has no place for all of them.
    TooShort { bar_len: u64, need: u64 },
    /// A structure of virtio's is where they are.
    Overlap { kind: Kind, need: u64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooShort { bar_len, need } => write!(
                f,
                "BAR 4 has {bar_len:#x} bytes of memory, the states of the virtqueues need {need:#x}"
            ),
            Self::Overlap { kind, need } => write!(
                f,
                "the {kind} is in the first {need:#x} bytes of BAR 4, where the states of the \
                 virtqueues must be"
            ),
        }
    }
}

/// Returns where the states of `count` virtqueues are. `bars` are the sizes of the BARs in bytes.
///
/// No structure of virtio's can be there: a device that has one is no function that this driver is
/// for, and would take a state for something else.
pub(crate) fn find(count: u16, structures: &Structures, bars: &[u64; 6]) -> Result<Place, Fault> {
    let bar_len = bars[usize::from(BAR)];
    let need = START + u64::from(count) * STRIDE;

    if bar_len < need {
        return Err(Fault::TooShort { bar_len, need });
    }
    let taken = Place {
        bar: BAR,
        range: 0..need,
    };
    for (kind, place) in structures.iter() {
        if place.overlaps(&taken) {
            return Err(Fault::Overlap { kind, need });
        }
    }
    Ok(Place {
        bar: BAR,
        range: START..need,
    })
}

/// Returns where among the states that of a virtqueue is.
pub(crate) fn offset(queue: u16) -> usize {
    usize::from(queue) * STRIDE as usize
}
