// SPDX-License-Identifier: GPL-2.0

//! A virtqueue of a simulated device.

use crate::memory::GuestMemory;
use kernel::{
    fmt,
    prelude::*, //
};
use vdpa::{
    bindings,
    Asid,
    Features,
    IommuGuard,
    SoftIommu,
    VqAddress, //
};
use virtqueue::{
    Area,
    Broken,
    Chain,
    Ring,
    RingError,
    Segment,
    SetupError,
    Split,
    SplitConfig,
    SplitState,
    Token, //
};

/// The largest number of descriptors in a virtqueue.
pub(crate) const SIZE_MAX: u16 = 256;

/// The number of bytes that are moved or cleared in a round. Others get their turn after it: a
/// driver can ask for much with few chains.
const BYTES: u64 = 16 << 20;

/// Why a virtqueue cannot be started.
#[derive(Debug)]
pub(crate) enum StartError {
    /// More descriptors than [`SIZE_MAX`].
    TooLarge(u32),
    /// Not as the specification demands.
    Setup(SetupError),
    /// Mapped, but not so that the device could use it.
    NotPermitted(Area, u64),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(num) => {
                f.write_fmt(fmt!("queue size {} is more than {}", num, SIZE_MAX))
            }
            Self::Setup(error) => f.write_fmt(format_args!("{error}")),
            Self::NotPermitted(area, addr) => {
                let access = if *area == Area::Used {
                    "written"
                } else {
                    "read"
                };

                f.write_fmt(format_args!(
                    "{area} at {addr:#x} is mapped, but not to be {access} by the device"
                ))
            }
        }
    }
}

/// A virtqueue: what the driver has set, and the ring while it is started.
///
/// Protected by the lock of the device's state.
pub(crate) struct Queue {
    pub(crate) address: VqAddress,
    /// The number of descriptors that was asked for.
    pub(crate) num: u32,
    pub(crate) asid: Asid,
    /// The driver has enabled it.
    pub(crate) enabled: bool,
    /// Where to start.
    next_avail: u16,
    ring: Option<Split>,
    /// A chain that was handled, with the number of bytes written: the used ring could not be
    /// reached. It is the last one taken.
    owed: Option<(Token, u32)>,
    /// The buffers of the chain at hand.
    segments: KVec<Segment>,
    /// The driver is to be interrupted.
    pub(crate) interrupt: bool,
}

impl Queue {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            address: VqAddress::default(),
            num: SIZE_MAX.into(),
            asid: Asid(0),
            enabled: false,
            next_avail: 0,
            ring: None,
            owed: None,
            // A chain has as many buffers as the queue has descriptors, at most.
            segments: KVec::from_elem(Segment::EMPTY, SIZE_MAX.into(), GFP_KERNEL)?,
            interrupt: false,
        })
    }

    /// Forgets all that a driver has set.
    pub(crate) fn reset(&mut self) {
        self.address = VqAddress::default();
        self.num = SIZE_MAX.into();
        self.asid = Asid(0);
        self.enabled = false;
        self.next_avail = 0;
        self.ring = None;
        self.owed = None;
        self.interrupt = false;
    }

    /// Starts the queue where it was stopped, or where it was told to, with what the driver has set
    /// by now.
    pub(crate) fn start(
        &mut self,
        features: Features,
        iommu: &SoftIommu,
    ) -> Result<(), StartError> {
        self.stop();
        if self.num > SIZE_MAX.into() {
            return Err(StartError::TooLarge(self.num));
        }
        let config = SplitConfig {
            size: self.num,
            desc: self.address.desc,
            avail: self.address.driver,
            used: self.address.device,
            event_idx: features.has(bindings::VIRTIO_RING_F_EVENT_IDX),
            indirect: features.has(bindings::VIRTIO_RING_F_INDIRECT_DESC),
        };
        let mut ring = Split::new(&config).map_err(StartError::Setup)?;

        // What is not mapped yet is waited for.
        for (area, addr, len) in config.areas() {
            if iommu.check(self.asid, addr, len, area == Area::Used) == Err(EACCES) {
                return Err(StartError::NotPermitted(area, addr));
            }
        }
        ring.set_state(SplitState {
            avail_index: self.next_avail,
        });
        self.ring = Some(ring);
        Ok(())
    }

    /// Stops the queue. It can go on from there.
    pub(crate) fn stop(&mut self) {
        // Whoever goes on handles what is owed again: nobody was told that it was done.
        self.next_avail = self.next_avail();
        self.owed = None;
        self.ring = None;
    }

    /// The available index that is looked at next.
    pub(crate) fn next_avail(&self) -> u16 {
        let taken = self
            .ring
            .as_ref()
            .map_or(self.next_avail, |ring| ring.state().avail_index);

        // The last one taken is not done.
        taken.wrapping_sub(self.owed.is_some().into())
    }

    /// Sets the available index to look at next.
    pub(crate) fn set_next_avail(&mut self, avail_index: u16) {
        self.owed = None;
        self.next_avail = avail_index;
        if let Some(ring) = self.ring.as_mut() {
            ring.set_state(SplitState { avail_index });
        }
    }

    /// Why the ring cannot be used any more, if so.
    pub(crate) fn broken(&self) -> Option<Broken> {
        self.ring.as_ref().and_then(|ring| ring.broken())
    }

    /// Opens the queue for a batch; [`None`] if it is not started.
    pub(crate) fn open<'a>(&'a mut self, iommu: &'a IommuGuard<'_>) -> Option<Batch<'a>> {
        Some(Batch {
            ring: self.ring.as_mut()?,
            owed: &mut self.owed,
            segments: &mut self.segments,
            interrupt: &mut self.interrupt,
            rings: GuestMemory::new(iommu, self.asid),
            buffers: GuestMemory::new(iommu, self.asid),
        })
    }
}

/// What came of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    /// All there was is done, and the driver will say when there is more.
    Idle,
    /// Something cannot be reached, now or ever.
    Stuck,
    /// There is more.
    More,
}

/// What came of a chain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It goes back to the driver.
    Done {
        /// The number of bytes that were written from the start of the chain's writable part.
        written: u32,
        /// The number of bytes that were moved or cleared for it, wherever.
        moved: u64,
    },
    /// Something cannot be reached now. It stays where it is, and is handled again.
    Later,
    /// There is no place for its outcome, now or later: the device stops.
    GiveUp,
}

/// What came of a chain that is to be filled.
pub(crate) enum Filling {
    /// So many bytes were written.
    Filled(u32),
    /// It does not do for this. It goes back with nothing written, which tells the driver.
    Unfit,
    /// It was not needed in the end, and stays where it is.
    Unused,
}

/// What came of [`Batch::fill`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// So many bytes were written.
    Done(u32),
    /// It was not needed in the end.
    Unused,
    /// There is no chain to fill.
    Empty,
    /// The ring cannot be reached, now or ever.
    Stuck,
}

/// A virtqueue while a batch of chains is handled. Drivers see what was done at the end.
pub(crate) struct Batch<'a> {
    ring: &'a mut Split,
    owed: &'a mut Option<(Token, u32)>,
    segments: &'a mut [Segment],
    interrupt: &'a mut bool,
    // Two views of the same memory: each remembers the mapping it used last, which for the rings
    // is nearly always the same.
    rings: GuestMemory<'a>,
    buffers: GuestMemory<'a>,
}

impl<'a> Batch<'a> {
    /// Handles up to `budget` chains, or fewer if they are much work.
    ///
    /// Publishes what was handled, and asks for notifications when nothing is left.
    pub(crate) fn drain(
        &mut self,
        budget: usize,
        mut handle: impl FnMut(&Chain<'_>, &GuestMemory<'a>) -> Outcome,
    ) -> Progress {
        let progress = self.try_drain(budget, &mut handle);

        // What was done before something went wrong still counts.
        match (progress, self.publish()) {
            (Ok(Progress::Stuck), _) | (Err(_), _) | (_, Err(_)) => {
                // Whatever the driver adds meanwhile is a reason to try again.
                let _ = self.ring.enable_notifications(&self.rings);
                Progress::Stuck
            }
            (Ok(progress), Ok(())) => progress,
        }
    }

    fn try_drain(
        &mut self,
        budget: usize,
        handle: &mut impl FnMut(&Chain<'_>, &GuestMemory<'a>) -> Outcome,
    ) -> Result<Progress, RingError> {
        let mut spent: u64 = 0;

        self.settle()?;
        self.ring.disable_notifications(&self.rings)?;
        for _ in 0..budget {
            let Some(chain) = self.ring.pop(&self.rings, self.segments)? else {
                self.publish()?;
                if self.ring.enable_notifications(&self.rings)? {
                    self.ring.disable_notifications(&self.rings)?;
                    continue;
                }
                return Ok(Progress::Idle);
            };

            self.buffers.begin();
            let outcome = handle(&chain, &self.buffers);
            let token = chain.into_token();

            match outcome {
                Outcome::Done { written, moved } => {
                    spent = spent
                        .saturating_add(moved)
                        .saturating_add(self.buffers.work());
                    self.complete(token, written)?;
                }
                Outcome::Later => {
                    // It was the last one taken, so this cannot fail.
                    let _ = self.ring.unpop(token);
                    return Ok(Progress::Stuck);
                }
                Outcome::GiveUp => {
                    self.ring.give_up(token);
                    return Ok(Progress::Stuck);
                }
            }
            if spent >= BYTES {
                break;
            }
        }
        Ok(Progress::More)
    }

    /// Gives a chain back, or remembers that it is owed.
    #[inline]
    fn complete(&mut self, token: Token, written: u32) -> Result<(), RingError> {
        self.ring
            .complete(&self.rings, token, written)
            .map_err(|failed| {
                *self.owed = Some((failed.token, written));
                failed.error
            })
    }

    /// Gives back what is owed.
    #[inline]
    fn settle(&mut self) -> Result<(), RingError> {
        match self.owed.take() {
            Some((token, written)) => self.complete(token, written),
            None => Ok(()),
        }
    }

    /// Takes chains until `fill` has filled one, or needs none.
    ///
    /// Notifications are not asked for: buffers to fill are no work by themselves.
    pub(crate) fn fill(
        &mut self,
        fill: impl FnMut(&Chain<'_>, &GuestMemory<'a>) -> Filling,
    ) -> Filled {
        self.try_fill(fill).unwrap_or(Filled::Stuck)
    }

    fn try_fill(
        &mut self,
        mut fill: impl FnMut(&Chain<'_>, &GuestMemory<'a>) -> Filling,
    ) -> Result<Filled, RingError> {
        self.settle()?;
        loop {
            let Some(chain) = self.ring.pop(&self.rings, self.segments)? else {
                return Ok(Filled::Empty);
            };

            self.buffers.begin();
            let filling = fill(&chain, &self.buffers);
            let token = chain.into_token();

            match filling {
                Filling::Filled(written) => {
                    // If the driver cannot be told now, it will be.
                    let _ = self.complete(token, written);
                    return Ok(Filled::Done(written));
                }
                Filling::Unfit => self.complete(token, 0)?,
                Filling::Unused => {
                    // It was the last one taken, so this cannot fail.
                    let _ = self.ring.unpop(token);
                    return Ok(Filled::Unused);
                }
            }
        }
    }

    /// Whether a chain that was handled could not be given back yet: the last one.
    pub(crate) fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// The work that the last [`fill`](Self::fill) was, as a number of bytes moved.
    pub(crate) fn work(&self) -> u64 {
        self.buffers.work()
    }

    /// Tells the driver not to notify.
    pub(crate) fn disable_notifications(&mut self) {
        // If it cannot be told, it notifies in vain.
        let _ = self.ring.disable_notifications(&self.rings);
    }

    /// Shows the driver what was done, and notes whether it wants an interrupt.
    pub(crate) fn publish(&mut self) -> Result<(), RingError> {
        self.ring.publish(&self.rings)?;
        *self.interrupt |= self.ring.needs_notification(&self.rings);
        Ok(())
    }
}
