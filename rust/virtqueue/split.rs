// SPDX-License-Identifier: GPL-2.0

//! The device side of a split virtqueue (virtio 1.3, section 2.7).

use crate::{
    chain::{
        Chain,
        Segment,
        Token, //
    },
    error::{
        Area,
        Broken,
        RingError,
        SetupError,
        Uncompleted, //
    },
    memory::{
        Fault,
        Memory, //
    },
    ring::Ring,
    walk::{
        walk,
        wraps,
        Table,
        WalkError,
        DESCRIPTOR_LEN, //
    },
};

/// The driver needs no notification (`VIRTQ_AVAIL_F_NO_INTERRUPT`).
const NO_INTERRUPT: u16 = 1;
/// The device needs no notification (`VIRTQ_USED_F_NO_NOTIFY`).
const NO_NOTIFY: u16 = 1;

/// Offset of `flags` in the available and in the used ring, in bytes.
const FLAGS: u64 = 0;
/// Offset of `idx` in the available and in the used ring, in bytes.
const INDEX: u64 = 2;
/// Offset of the entries in the available and in the used ring, in bytes. The event index of the
/// other side follows them.
const ENTRIES: u64 = 4;
/// Length of an entry of the available ring and of each field before and after the entries.
const AVAIL_LEN: u64 = 2;
/// Length of an entry of the used ring.
const USED_LEN: u64 = 8;

/// What a driver asks for when it sets up a split virtqueue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SplitConfig {
    /// Queue size: a power of two from 1 to 32768.
    pub size: u32,
    /// Bus address of the descriptor table, a multiple of 16.
    pub desc: u64,
    /// Bus address of the available ring, a multiple of 2.
    pub avail: u64,
    /// Bus address of the used ring, a multiple of 4.
    pub used: u64,
    /// Whether `VIRTIO_F_EVENT_IDX` was negotiated.
    pub event_idx: bool,
    /// Whether `VIRTIO_F_INDIRECT_DESC` was negotiated.
    pub indirect: bool,
}

impl SplitConfig {
    /// The parts of the ring: bus address and length in bytes of each. The device writes the used
    /// ring, and reads the others.
    ///
    /// For a size that a ring can have.
    #[inline]
    pub fn areas(&self) -> [(Area, u64, u64); 3] {
        // The event index counts even if it is not in use: the specification has no ring without.
        let around = ENTRIES.wrapping_add(AVAIL_LEN);
        let len = |entry: u64, around: u64| {
            u64::from(self.size)
                .saturating_mul(entry)
                .saturating_add(around)
        };
        [
            (Area::Descriptors, self.desc, len(DESCRIPTOR_LEN, 0)),
            (Area::Available, self.avail, len(AVAIL_LEN, around)),
            (Area::Used, self.used, len(USED_LEN, around)),
        ]
    }

    /// Checks one part of the ring.
    #[inline]
    fn check_area(area: Area, addr: u64, align: u64, len: u64) -> Result<(), SetupError> {
        // All alignments are powers of two.
        if addr & (align.wrapping_sub(1)) != 0 {
            return Err(SetupError::Alignment { area, addr, align });
        }
        if wraps(addr, len) {
            return Err(SetupError::Wraps { area, addr, len });
        }
        Ok(())
    }

    /// Checks everything and returns the queue size.
    #[inline]
    fn check(&self) -> Result<u16, SetupError> {
        // The largest power of two in 16 bits is the largest queue size.
        let size = match u16::try_from(self.size) {
            Ok(size) if size.is_power_of_two() => size,
            _ => return Err(SetupError::Size(self.size)),
        };
        for ((area, addr, len), align) in self.areas().into_iter().zip([16, 2, 4]) {
            Self::check_area(area, addr, align, len)?;
        }
        Ok(size)
    }
}

/// Where a split virtqueue goes on: what `VHOST_SET_VRING_BASE` sets and `VHOST_GET_VRING_BASE`
/// gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SplitState {
    /// Index of the next chain to take, modulo 65536. The used index starts at the same value.
    pub avail_index: u16,
}

/// What the driver was last told about notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notifications {
    /// Nothing yet: another device may have left something behind.
    Unknown,
    Enabled,
    Disabled,
}

/// A split virtqueue, from the device's side.
///
/// All indices are modulo 65536, and all differences of them are at most the queue size:
/// `published` to `used` to `popped` to `avail` is the order in which chains pass.
#[derive(Debug)]
pub struct Split {
    size: u16,
    event_idx: bool,
    indirect: bool,
    notifications: Notifications,
    desc: u64,
    avail_ring: u64,
    used_ring: u64,
    /// The driver's available index, as it was when it was last read.
    avail: u16,
    /// Index of the next chain to take.
    popped: u16,
    /// Index of the next used element to write.
    used: u16,
    /// The used index that the driver sees.
    published: u16,
    /// Chains published since the driver was last considered for a notification.
    unsignalled: u32,
    /// The ring goes on where another left off, of which nobody knows whether it has signalled all
    /// that it published: what is published next is signalled in any case.
    resumed: bool,
    broken: Option<Broken>,
}

impl Split {
    /// Sets up a ring that starts at index 0.
    ///
    /// Does not access the ring: whether its memory can be reached shows when it is used.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if size or addresses are not as section 2.7 demands.
    #[inline]
    pub fn new(config: &SplitConfig) -> Result<Self, SetupError> {
        Ok(Self {
            size: config.check()?,
            event_idx: config.event_idx,
            indirect: config.indirect,
            notifications: Notifications::Unknown,
            desc: config.desc,
            avail_ring: config.avail,
            used_ring: config.used,
            avail: 0,
            popped: 0,
            used: 0,
            published: 0,
            unsignalled: 0,
            resumed: false,
            broken: None,
        })
    }

    /// Address of the ring entry for chain `index`, or of what follows the entries.
    ///
    /// No sum wraps: that all of the ring lies in the address space was checked at set-up.
    #[inline]
    fn entry(ring: u64, slot: u16, len: u64) -> u64 {
        let offset = u64::from(slot).wrapping_mul(len).wrapping_add(ENTRIES);
        ring.wrapping_add(offset)
    }

    /// The slot of a ring where chain `index` is. The size is a power of two.
    #[inline]
    fn slot(&self, index: u16) -> u16 {
        index & self.size.wrapping_sub(1)
    }

    /// Address of `used_event`, which the driver writes.
    #[inline]
    fn used_event(&self) -> u64 {
        Self::entry(self.avail_ring, self.size, AVAIL_LEN)
    }

    /// Address of `avail_event`, which the device writes.
    #[inline]
    fn avail_event(&self) -> u64 {
        Self::entry(self.used_ring, self.size, USED_LEN)
    }

    #[inline]
    fn load<M: Memory>(memory: &M, addr: u64) -> Result<u16, Fault> {
        Ok(u16::from_le(memory.load_acquire(addr)?))
    }

    #[inline]
    fn store<M: Memory>(memory: &M, addr: u64, value: u16) -> Result<(), Fault> {
        memory.store_release(addr, value.to_le())
    }

    #[inline]
    fn check(&self) -> Result<(), RingError> {
        match self.broken {
            None => Ok(()),
            Some(broken) => Err(RingError::Broken(broken)),
        }
    }

    /// The ring is broken; what broke it first counts.
    #[inline]
    fn fail(&mut self, broken: Broken) -> RingError {
        RingError::Broken(*self.broken.get_or_insert(broken))
    }

    /// The ring's memory was refused: to be tried again, or not.
    #[inline]
    fn refused(&mut self, fault: Fault) -> RingError {
        if fault.is_final() {
            self.fail(Broken::Memory(fault))
        } else {
            RingError::Fault(fault)
        }
    }

    /// Reads the driver's available index anew.
    ///
    /// The driver may be ahead of what it has got back by the queue size, and cannot take back what
    /// was taken from it.
    #[inline]
    fn refresh<M: Memory>(&mut self, memory: &M) -> Result<(), RingError> {
        let index = Self::load(memory, self.avail_ring.wrapping_add(INDEX))
            .map_err(|fault| self.refused(fault))?;
        let ahead = index.wrapping_sub(self.published);
        if ahead > self.size || ahead < self.popped.wrapping_sub(self.published) {
            return Err(self.fail(Broken::AvailableIndex {
                index,
                next: self.popped,
                last: self.published.wrapping_add(self.size),
            }));
        }
        self.avail = index;
        Ok(())
    }

    /// Takes the next head from the available ring.
    #[inline]
    fn next_head<M: Memory>(&mut self, memory: &M) -> Result<Option<Token>, RingError> {
        self.check()?;
        if self.popped == self.avail {
            self.refresh(memory)?;
            if self.popped == self.avail {
                return Ok(None);
            }
        }
        let slot = self.slot(self.popped);
        let head = Self::load(memory, Self::entry(self.avail_ring, slot, AVAIL_LEN))
            .map_err(|fault| self.refused(fault))?;
        if head >= self.size {
            return Err(self.fail(Broken::Head {
                head,
                size: self.size,
            }));
        }
        let token = Token::new(head, self.popped);
        self.popped = self.popped.wrapping_add(1);
        Ok(Some(token))
    }

    /// Whether the driver can sleep through the last `count` used elements.
    #[inline]
    fn suppressed<M: Memory>(&self, memory: &M, count: u32) -> Result<bool, Fault> {
        if self.event_idx {
            let event = Self::load(memory, self.used_event())?;
            // The driver waits for the element at `event`. It is among the last `count`, counted
            // backwards from the newest, exactly if it is fewer than `count` behind that.
            let behind = self.published.wrapping_sub(1).wrapping_sub(event);
            Ok(u32::from(behind) >= count)
        } else {
            let flags = Self::load(memory, self.avail_ring.wrapping_add(FLAGS))?;
            Ok(flags & NO_INTERRUPT != 0)
        }
    }

    /// Writes `flags` of the used ring, unless they are so already.
    #[inline]
    fn set_flags<M: Memory>(
        &mut self,
        memory: &M,
        notifications: Notifications,
        flags: u16,
    ) -> Result<(), RingError> {
        if self.notifications != notifications {
            Self::store(memory, self.used_ring.wrapping_add(FLAGS), flags)
                .map_err(|fault| self.refused(fault))?;
            self.notifications = notifications;
        }
        Ok(())
    }
}

impl Ring for Split {
    type State = SplitState;

    #[inline]
    fn size(&self) -> u16 {
        self.size
    }

    #[inline]
    fn pop<'s, M: Memory>(
        &mut self,
        memory: &M,
        segments: &'s mut [Segment],
    ) -> Result<Option<Chain<'s>>, RingError> {
        let Some(token) = self.next_head(memory)? else {
            return Ok(None);
        };
        let table = Table::of_ring(self.desc, self.size);
        let extent = match walk(memory, table, token.id(), self.indirect, segments) {
            Ok(extent) => extent,
            Err(error) => {
                // It was the last one taken.
                self.popped = self.popped.wrapping_sub(1);
                return Err(match error {
                    WalkError::Fault(fault) => self.refused(fault),
                    WalkError::Chain(error) => self.fail(Broken::Chain {
                        head: token.id(),
                        error,
                    }),
                });
            }
        };
        let segments: &'s [Segment] = segments;
        // Both lie within the storage; to say so without a panic, they would be empty otherwise.
        let (readable, rest) = segments
            .split_at_checked(extent.readable)
            .unwrap_or_default();
        let writable = rest.get(..extent.writable).unwrap_or_default();
        Ok(Some(Chain {
            token,
            readable,
            writable,
            readable_len: extent.readable_len,
            writable_len: extent.writable_len,
        }))
    }

    #[inline]
    fn unpop(&mut self, token: Token) -> Result<(), Token> {
        let last = self.popped.wrapping_sub(1);
        if self.in_flight() == 0 || token.position() != last {
            return Err(token);
        }
        self.popped = last;
        Ok(())
    }

    #[inline]
    fn give_up(&mut self, token: Token) {
        self.fail(Broken::GivenUp { head: token.id() });
        // What follows it in flight can still be completed.
        let _ = self.unpop(token);
    }

    #[inline]
    fn complete<M: Memory>(
        &mut self,
        memory: &M,
        token: Token,
        written: u32,
    ) -> Result<(), Uncompleted> {
        // Whatever broke the ring, an outcome that can still be written is.
        if self.in_flight() == 0 {
            let error = RingError::NotInFlight;
            return Err(Uncompleted { token, error });
        }
        let addr = Self::entry(self.used_ring, self.slot(self.used), USED_LEN);
        // `struct virtq_used_elem`: `id`, then `len`.
        let element = (u64::from(written) << 32) | u64::from(token.id());
        match memory.write_array(addr, element.to_le_bytes()) {
            Ok(()) => {
                self.used = self.used.wrapping_add(1);
                Ok(())
            }
            Err(fault) => {
                let error = self.refused(fault);
                Err(Uncompleted { token, error })
            }
        }
    }

    #[inline]
    fn publish<M: Memory>(&mut self, memory: &M) -> Result<(), RingError> {
        let count = self.used.wrapping_sub(self.published);
        if count != 0 {
            Self::store(memory, self.used_ring.wrapping_add(INDEX), self.used)
                .map_err(|fault| self.refused(fault))?;
            self.published = self.used;
            self.unsignalled = self.unsignalled.saturating_add(u32::from(count));
        }
        Ok(())
    }

    #[inline]
    fn needs_notification<M: Memory>(&mut self, memory: &M) -> bool {
        if self.unsignalled == 0 {
            return false;
        }
        let count = core::mem::take(&mut self.unsignalled);
        if core::mem::take(&mut self.resumed) {
            return true;
        }
        // The used index must be visible before the driver's wish is read: the driver writes its
        // wish before it looks at the used index for the last time, so one of both sides sees the
        // other.
        memory.barrier();
        !self.suppressed(memory, count).unwrap_or(false)
    }

    #[inline]
    fn enable_notifications<M: Memory>(&mut self, memory: &M) -> Result<bool, RingError> {
        self.check()?;
        if self.event_idx {
            // Section 2.7.10.1: the flags are not used then.
            self.set_flags(memory, Notifications::Enabled, 0)?;
            Self::store(memory, self.avail_event(), self.popped)
                .map_err(|fault| self.refused(fault))?;
        } else {
            self.set_flags(memory, Notifications::Enabled, 0)?;
        }
        // The same as in `needs_notification()`, with the sides exchanged.
        memory.barrier();
        self.refresh(memory)?;
        Ok(self.popped != self.avail)
    }

    #[inline]
    fn disable_notifications<M: Memory>(&mut self, memory: &M) -> Result<(), RingError> {
        if self.event_idx {
            // The driver sends one notification when it reaches the index, and then no more until
            // the index is moved. The flags are not used (section 2.7.10.1).
            self.set_flags(memory, Notifications::Enabled, 0)
        } else {
            self.set_flags(memory, Notifications::Disabled, NO_NOTIFY)
        }
    }

    #[inline]
    fn in_flight(&self) -> u16 {
        self.popped.wrapping_sub(self.used)
    }

    #[inline]
    fn broken(&self) -> Option<Broken> {
        self.broken
    }

    #[inline]
    fn state(&self) -> SplitState {
        SplitState {
            avail_index: self.popped,
        }
    }

    #[inline]
    fn set_state(&mut self, state: SplitState) {
        let index = state.avail_index;
        self.avail = index;
        self.popped = index;
        self.used = index;
        self.published = index;
        self.unsignalled = 0;
        self.resumed = true;
        self.notifications = Notifications::Unknown;
        self.broken = None;
    }
}
