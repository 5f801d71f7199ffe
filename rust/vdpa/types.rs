// SPDX-License-Identifier: GPL-2.0

//! Numbers with a meaning: indices, states, feature bits.

use crate::bindings;

/// The index of a virtqueue, below the number of virtqueues of the device it was made for.
///
/// Consumers (kernel drivers, userspace through a character device) name virtqueues by number.
/// [`VqIndex::new`] is the one place where such a number is compared with the device's limit; code
/// that holds a `VqIndex` need not check again, but still has to index its own slices safely.
///
/// # Invariants
///
/// The number was below the limit that was given to [`VqIndex::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct VqIndex(u16);

impl VqIndex {
    /// Returns the index, or [`None`] where `index` is not below `nvqs`.
    ///
    /// The result is safe against speculation past the comparison: on a mispredicted path it is 0.
    #[inline]
    pub fn new(index: u32, nvqs: u32) -> Option<Self> {
        if index >= nvqs {
            return None;
        }
        // INVARIANT: `index < nvqs` was checked just above; 0 is below any `nvqs` that gets here.
        u16::try_from(index & index_mask(index, nvqs))
            .ok()
            .map(Self)
    }

    /// Returns the number.
    #[inline]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl From<VqIndex> for usize {
    #[inline]
    fn from(index: VqIndex) -> usize {
        usize::from(index.0)
    }
}

/// All ones where `index < size`, else 0, without a branch (`array_index_mask_nospec()` in C).
#[inline]
fn index_mask(index: u32, size: u32) -> u32 {
    // The barrier keeps the compiler from using what it knows of `index` to drop the mask.
    let index = core::hint::black_box(index);
    let negative = (i64::from(index) - i64::from(size)) >> 63;

    negative as u32
}

/// A group of virtqueues that are bound to an address space together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct GroupId(pub u32);

/// An address space identifier (ASID).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Asid(pub u32);

/// The addresses a device can reach through its I/O translation, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IovaRange {
    /// First usable address.
    pub first: u64,
    /// Last usable address.
    pub last: u64,
}

impl IovaRange {
    /// Every 64-bit address.
    pub const FULL: Self = Self {
        first: 0,
        last: u64::MAX,
    };

    /// Returns the range of `size` bytes from `first` on. [`None`] where there are none, or they
    /// wrap around.
    #[inline]
    pub fn from_size(first: u64, size: u64) -> Option<Self> {
        let last = first.checked_add(size.checked_sub(1)?)?;

        Some(Self { first, last })
    }

    /// Returns the size in bytes. [`FULL`](Self::FULL) has one more than a number can say, which is
    /// the largest number then.
    #[inline]
    pub fn size(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// Returns the part of it that comes after an address, if there is any.
    #[inline]
    pub fn after(self, address: u64) -> Option<Self> {
        let first = address.checked_add(1)?.max(self.first);

        (first <= self.last).then_some(Self { first, ..self })
    }
}

/// A device's doorbells for one virtqueue: physical address and size of the area, in bytes.
///
/// Pages of it can end up in the address space of a process, so that it cannot be made of any two
/// numbers.
///
/// # Invariants
///
/// In the area there are registers of a device, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationArea {
    addr: u64,
    size: u64,
}

impl NotificationArea {
    /// An area of no bytes: there are no doorbells.
    // INVARIANT: There is nothing in it.
    pub const NONE: Self = Self { addr: 0, size: 0 };

    /// Names an area.
    ///
    /// # Safety
    ///
    /// There must be registers of a device, and nothing else, in the `size` bytes at the physical
    /// address `addr`.
    #[inline]
    pub const unsafe fn new(addr: u64, size: u64) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self { addr, size }
    }

    /// Returns the physical address of the area.
    #[inline]
    pub const fn addr(self) -> u64 {
        self.addr
    }

    /// Returns the size of the area in bytes.
    #[inline]
    pub const fn size(self) -> u64 {
        self.size
    }
}

/// The addresses of the three areas of a virtqueue, as the device sees them.
///
/// Virtio 1.3, section 2.6 ("Virtqueues"). For a split virtqueue: descriptor table, available ring
/// and used ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VqAddress {
    /// Descriptor area.
    pub desc: u64,
    /// Driver area.
    pub driver: u64,
    /// Device area.
    pub device: u64,
}

/// Where a virtqueue stands: what a device has to know to go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VqState {
    /// A split virtqueue.
    Split {
        /// The next available index that the device will look at.
        avail_index: u16,
    },
    /// A packed virtqueue.
    Packed {
        /// Wrap counter of the driver's descriptors as last seen by the device.
        last_avail_counter: bool,
        /// Next descriptor to look at, below 2^15.
        last_avail_idx: u16,
        /// Wrap counter of the device's descriptors.
        last_used_counter: bool,
        /// Next descriptor to write a used element to, below 2^15.
        last_used_idx: u16,
    },
}

impl VqState {
    /// The state in which both sides start, for a split or a packed ring.
    #[inline]
    pub const fn initial(packed: bool) -> Self {
        if packed {
            Self::Packed {
                last_avail_counter: true,
                last_avail_idx: 0,
                last_used_counter: true,
                last_used_idx: 0,
            }
        } else {
            Self::Split { avail_index: 0 }
        }
    }

    /// Reads the C representation, which does not say itself which of the two it is.
    #[inline]
    pub fn from_raw(raw: &bindings::vdpa_vq_state, packed: bool) -> Self {
        if packed {
            // SAFETY: All members of the union are plain integers of 16 or 32 bits that start at
            // its beginning; any bit pattern is valid for them.
            let state = unsafe { raw.__bindgen_anon_1.packed };
            Self::Packed {
                last_avail_counter: state.last_avail_counter() != 0,
                last_avail_idx: state.last_avail_idx(),
                last_used_counter: state.last_used_counter() != 0,
                last_used_idx: state.last_used_idx(),
            }
        } else {
            // SAFETY: As above.
            let state = unsafe { raw.__bindgen_anon_1.split };
            Self::Split {
                avail_index: state.avail_index,
            }
        }
    }

    /// Makes the C representation.
    #[inline]
    pub fn to_raw(self) -> bindings::vdpa_vq_state {
        let mut raw = pin_init::zeroed::<bindings::vdpa_vq_state>();

        match self {
            Self::Split { avail_index } => {
                raw.__bindgen_anon_1.split = bindings::vdpa_vq_state_split { avail_index };
            }
            Self::Packed {
                last_avail_counter,
                last_avail_idx,
                last_used_counter,
                last_used_idx,
            } => {
                let mut state = pin_init::zeroed::<bindings::vdpa_vq_state_packed>();

                state.set_last_avail_counter(last_avail_counter.into());
                state.set_last_avail_idx(last_avail_idx & 0x7fff);
                state.set_last_used_counter(last_used_counter.into());
                state.set_last_used_idx(last_used_idx & 0x7fff);
                raw.__bindgen_anon_1.packed = state;
            }
        }
        raw
    }
}

/// A set of virtio feature bits, 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Features(pub u64);

impl Features {
    /// The set of the given bit numbers, which must be below 64.
    #[inline]
    pub const fn from_bits(bits: &[u32]) -> Self {
        let mut set = 0;
        let mut i = 0;

        while i < bits.len() {
            set |= 1 << bits[i];
            i += 1;
        }
        Self(set)
    }

    /// Whether feature `bit` is in the set.
    #[inline]
    pub const fn has(self, bit: u32) -> bool {
        bit < u64::BITS && self.0 & (1 << bit) != 0
    }

    /// The features that are in both sets.
    #[inline]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The features of `self` that are not in `other`.
    #[inline]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The features that are in either set.
    #[inline]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether no feature is in the set.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The device status field: virtio 1.3, section 2.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Status(pub u8);

impl Status {
    /// The guest has noticed the device.
    pub const ACKNOWLEDGE: Self = Self(bindings::VIRTIO_CONFIG_S_ACKNOWLEDGE as u8);
    /// The guest knows how to drive the device.
    pub const DRIVER: Self = Self(bindings::VIRTIO_CONFIG_S_DRIVER as u8);
    /// The driver is set up and ready to drive the device.
    pub const DRIVER_OK: Self = Self(bindings::VIRTIO_CONFIG_S_DRIVER_OK as u8);
    /// Feature negotiation is complete.
    pub const FEATURES_OK: Self = Self(bindings::VIRTIO_CONFIG_S_FEATURES_OK as u8);
    /// The device has met an error it cannot recover from without a reset.
    pub const NEEDS_RESET: Self = Self(bindings::VIRTIO_CONFIG_S_NEEDS_RESET as u8);
    /// The guest has given up on the device.
    pub const FAILED: Self = Self(bindings::VIRTIO_CONFIG_S_FAILED as u8);

    /// Whether all bits of `other` are set.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[inline]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits that are in both.
    #[inline]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
