// SPDX-License-Identifier: GPL-2.0

//! A virtqueue of a simulated device.

use crate::memory::GuestMemory;
use kernel::prelude::*;
use vdpa::{
    bindings,
    Asid,
    Features,
    IommuGuard,
    VqAddress, //
};
use virtqueue::{
    Broken,
    Chain,
    ChainError,
    PopError,
    Ring,
    RingError,
    Segment,
    Split,
    SplitConfig,
    SplitState, //
};

/// The largest number of descriptors in a virtqueue.
pub(crate) const SIZE_MAX: u16 = 256;

/// The number of bytes that are moved or cleared in a round. Others get their turn after it: a
/// driver can ask for much with few chains.
const BYTES: u64 = 16 << 20;

/// A virtqueue: what the driver has set, and the ring while it is started.
///
/// Protected by the lock of the device's state.
pub(crate) struct Queue {
    pub(crate) address: VqAddress,
    /// The number of descriptors that was asked for.
    pub(crate) num: u32,
    pub(crate) asid: Asid,
    /// Where to start.
    next_avail: u16,
    ring: Option<Split>,
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
            next_avail: 0,
            ring: None,
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
        self.next_avail = 0;
        self.ring = None;
        self.interrupt = false;
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ring.is_some()
    }

    /// Starts the queue where it was stopped, or where it was told to.
    ///
    /// # Errors
    ///
    /// `EINVAL` where size or addresses are not as the specification demands.
    pub(crate) fn start(&mut self, features: Features) -> Result {
        if self.is_ready() {
            return Ok(());
        }
        if self.num > SIZE_MAX.into() {
            return Err(EINVAL);
        }
        let mut ring = Split::new(&SplitConfig {
            size: self.num,
            desc: self.address.desc,
            avail: self.address.driver,
            used: self.address.device,
            event_idx: features.has(bindings::VIRTIO_RING_F_EVENT_IDX),
            indirect: features.has(bindings::VIRTIO_RING_F_INDIRECT_DESC),
        })
        .map_err(|_| EINVAL)?;

        ring.set_state(SplitState {
            avail_index: self.next_avail,
        });
        self.ring = Some(ring);
        Ok(())
    }

    /// Stops the queue. It can go on from there.
    pub(crate) fn stop(&mut self) {
        self.next_avail = self.next_avail();
        self.ring = None;
    }

    /// The available index that is looked at next.
    pub(crate) fn next_avail(&self) -> u16 {
        self.ring
            .as_ref()
            .map_or(self.next_avail, |ring| ring.state().avail_index)
    }

    /// Sets the available index to look at next.
    pub(crate) fn set_next_avail(&mut self, avail_index: u16) {
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
            segments: &mut self.segments,
            interrupt: &mut self.interrupt,
            rings: GuestMemory::new(iommu, self.asid),
            buffers: GuestMemory::new(iommu, self.asid),
        })
    }
}

/// What came of a [`Batch`].
#[derive(PartialEq, Eq)]
pub(crate) enum Progress {
    /// All there was is done, and the driver will say when there is more.
    Idle,
    /// There is more.
    More,
    /// The ring cannot be read or written.
    Stuck,
}

/// What was done for a chain.
#[derive(Default)]
pub(crate) struct Handled {
    /// The number of bytes that were written from the start of the chain's writable part.
    pub(crate) written: u32,
    /// The number of bytes that were moved or cleared for it, wherever.
    pub(crate) moved: u64,
}

/// A virtqueue while a batch of chains is handled. Drivers see what was done at the end.
pub(crate) struct Batch<'a> {
    ring: &'a mut Split,
    segments: &'a mut [Segment],
    interrupt: &'a mut bool,
    // Two views of the same memory: each remembers the mapping it used last, which for the rings
    // is nearly always the same.
    rings: GuestMemory<'a>,
    buffers: GuestMemory<'a>,
}

impl<'a> Batch<'a> {
    /// Handles up to `budget` chains, or fewer if they are much work. `handle` is told of chains
    /// that break a rule, too.
    ///
    /// Publishes what was handled, and asks for notifications when nothing is left.
    pub(crate) fn drain(
        &mut self,
        budget: usize,
        mut handle: impl FnMut(Result<&Chain<'_>, ChainError>, &GuestMemory<'a>) -> Handled,
    ) -> Progress {
        self.try_drain(budget, &mut handle)
            .unwrap_or(Progress::Stuck)
    }

    fn try_drain(
        &mut self,
        budget: usize,
        handle: &mut impl FnMut(Result<&Chain<'_>, ChainError>, &GuestMemory<'a>) -> Handled,
    ) -> Result<Progress, RingError> {
        let mut moved = 0;
        self.ring.disable_notifications(&self.rings)?;

        for _ in 0..budget {
            let (token, written) = match self.ring.pop(&self.rings, self.segments) {
                Ok(Some(chain)) => {
                    let handled = handle(Ok(&chain), &self.buffers);

                    moved += handled.moved;
                    (chain.into_token(), handled.written)
                }
                Err(PopError::Chain(bad)) => {
                    handle(Err(bad.error), &self.buffers);
                    (bad.token, 0)
                }
                Err(PopError::Ring(error)) => {
                    // What was done before still counts.
                    self.publish()?;
                    return Err(error);
                }
                Ok(None) => {
                    self.publish()?;
                    if self.ring.enable_notifications(&self.rings)? {
                        self.ring.disable_notifications(&self.rings)?;
                        continue;
                    }
                    return Ok(Progress::Idle);
                }
            };
            self.ring.complete(&self.rings, token, written)?;
            if moved >= BYTES {
                break;
            }
        }
        self.publish()?;
        Ok(Progress::More)
    }

    /// Takes one chain and has it filled. `fill` returns how many bytes it has written, or [`None`]
    /// to leave the chain for another time.
    ///
    /// Returns [`None`] where there is no chain, or the ring is stuck. Notifications are not asked
    /// for: buffers to fill are no work by themselves.
    pub(crate) fn fill(
        &mut self,
        fill: impl FnOnce(&Chain<'_>, &GuestMemory<'a>) -> Option<u32>,
    ) -> Option<Result<Option<u32>, ChainError>> {
        match self.ring.pop(&self.rings, self.segments) {
            Ok(Some(chain)) => {
                let written = fill(&chain, &self.buffers);
                let token = chain.into_token();

                match written {
                    Some(written) => self.ring.complete(&self.rings, token, written).ok()?,
                    // It was the last one taken, so this cannot fail.
                    None => self.ring.unpop(token).ok()?,
                }
                Some(Ok(written))
            }
            Ok(None) | Err(PopError::Ring(_)) => None,
            Err(PopError::Chain(bad)) => {
                self.ring.complete(&self.rings, bad.token, 0).ok()?;
                Some(Err(bad.error))
            }
        }
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
