// SPDX-License-Identifier: GPL-2.0

//! Handling what is in a virtqueue, some of it at a time.

use crate::GuestMemory;
use virtqueue::{
    Chain,
    Ring,
    RingError,
    Segment,
    Split,
    Token, //
};

/// The number of bytes that are moved or cleared in a round. Others get their turn after it: a
/// driver can ask for much with few chains.
const BYTES: u64 = 16 << 20;

/// How many mappings the buffers of a chain can be in: a driver may have one for each byte, but not
/// so many that others would have to wait.
const PIECES: u32 = 1 << 14;

/// How many bytes could be moved in the time that it takes to look for a mapping.
const PIECE: u64 = 1 << 10;

/// What came of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// All there was is done, and the driver will say when there is more.
    Idle,
    /// Something cannot be reached, now or ever.
    Stuck,
    /// There is more.
    More,
}

/// What came of a chain.
///
/// Where a [`Fault`](super::Fault) keeps the outcome from being written, it is
/// [`Later`](Self::Later) unless the fault [is final](super::Fault::is_final), and
/// [`GiveUp`](Self::GiveUp) if it is. Where there is an outcome nevertheless (an error in a status,
/// the bytes that were written before), it is [`Done`](Self::Done).
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes back to the driver, which finds the outcome in it. One to which nothing was written
    /// is such only if there is nothing to be written: drivers take what was there before for it.
    Done {
        /// The number of bytes that were written from the start of the chain's writable part.
        written: u32,
        /// The number of bytes that were moved or cleared for it, wherever.
        moved: u64,
    },
    /// Something cannot be reached now. It stays where it is, and is handled again, from the
    /// beginning: the model should not have changed for it.
    Later,
    /// There is no place for its outcome, now or later: the device stops.
    GiveUp,
}

/// What came of a chain that is to be filled.
pub enum Filling {
    /// So many bytes were written.
    Filled(u32),
    /// It does not do for this. It goes back with nothing written, which tells the driver.
    Unfit,
    /// It was not needed in the end, and stays where it is.
    Unused,
}

/// What came of [`Batch::fill`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
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
pub struct Batch<'a> {
    pub(super) ring: &'a mut Split,
    pub(super) owed: &'a mut Option<(Token, u32)>,
    pub(super) segments: &'a mut [Segment],
    pub(super) interrupt: &'a mut bool,
    // Two views of the same memory: each remembers the mapping it used last, which for the rings
    // is nearly always the same.
    pub(super) rings: GuestMemory<'a>,
    pub(super) buffers: GuestMemory<'a>,
}

impl<'a> Batch<'a> {
    /// Handles up to `budget` chains, or fewer if they are much work: 16 to 64 are enough for that
    /// what is done once for all of them does not count. A chain can have 4 GiB: `handle` has to
    /// know how much of one it does.
    ///
    /// Publishes what was handled, and asks for notifications when nothing is left.
    #[inline]
    pub fn drain(
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

    #[inline]
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

            self.buffers.allow(PIECES);
            let outcome = handle(&chain, &self.buffers);
            let token = chain.into_token();

            match outcome {
                Outcome::Done { written, moved } => {
                    spent = spent.saturating_add(moved).saturating_add(self.work());
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
    #[inline]
    pub fn fill(&mut self, fill: impl FnMut(&Chain<'_>, &GuestMemory<'a>) -> Filling) -> Filled {
        self.try_fill(fill).unwrap_or(Filled::Stuck)
    }

    #[inline]
    fn try_fill(
        &mut self,
        mut fill: impl FnMut(&Chain<'_>, &GuestMemory<'a>) -> Filling,
    ) -> Result<Filled, RingError> {
        self.settle()?;
        loop {
            let Some(chain) = self.ring.pop(&self.rings, self.segments)? else {
                return Ok(Filled::Empty);
            };

            self.buffers.allow(PIECES);
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
    #[inline]
    pub fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// The work that the mappings of the last chain were, as a number of bytes moved.
    #[inline]
    pub fn work(&self) -> u64 {
        let left = self.buffers.allow(PIECES);

        u64::from(PIECES.saturating_sub(left)) * PIECE
    }

    /// Tells the driver not to notify.
    #[inline]
    pub fn disable_notifications(&mut self) {
        // If it cannot be told, it notifies in vain.
        let _ = self.ring.disable_notifications(&self.rings);
    }

    /// Shows the driver what was done, and notes whether it wants an interrupt.
    #[inline]
    pub fn publish(&mut self) -> Result<(), RingError> {
        self.ring.publish(&self.rings)?;
        *self.interrupt |= self.ring.needs_notification(&self.rings);
        Ok(())
    }
}
