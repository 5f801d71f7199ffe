// SPDX-License-Identifier: GPL-2.0

//! What a device does with a virtqueue, whatever its format.

use core::fmt;

use crate::{
    chain::{
        Chain,
        Segment,
        Token, //
    },
    error::{
        Broken,
        RingError,
        Uncompleted, //
    },
    memory::Memory, //
};

/// The device side of a virtqueue.
///
/// A device takes chains with [`Ring::pop`], moves data, gives them back in any order with
/// [`Ring::complete`], and shows a batch of them to the driver with [`Ring::publish`]. Then
/// [`Ring::needs_notification`] says whether the driver has to be interrupted. Before it sleeps, it
/// calls [`Ring::enable_notifications`], and goes on if that answers `true`.
///
/// The memory is an argument of each call, so that a caller may hold the lock that protects an
/// address space for one batch and not for the ring's lifetime.
pub trait Ring {
    /// Where in the ring a device goes on, for a driver that moves a running queue between devices.
    type State: Copy + fmt::Debug + PartialEq;

    /// The queue size, in descriptors.
    fn size(&self) -> u16;

    /// Takes the next chain that the driver made available; `None` if there is none.
    ///
    /// The chain's buffers are written to `segments`, the readable ones first. Its length limits
    /// the number of buffers in a chain. Each descriptor is read once.
    ///
    /// # Errors
    ///
    /// No chain was taken.
    ///
    /// - [`RingError::Fault`]: ring or descriptors could not be read, but may be later.
    /// - [`RingError::Broken`]: the ring is broken, perhaps by what the chain is. Chains that were
    ///   taken before can still be completed and published.
    fn pop<'s, M: Memory>(
        &mut self,
        memory: &M,
        segments: &'s mut [Segment],
    ) -> Result<Option<Chain<'s>>, RingError>;

    /// Puts back the chain that was taken last; the next [`Ring::pop`] takes it again and reads its
    /// descriptors again.
    ///
    /// # Errors
    ///
    /// The token is handed back if its chain is not the one that was taken last.
    fn unpop(&mut self, token: Token) -> Result<(), Token>;

    /// Gives up on a chain for which there is no outcome to write: the ring is broken, and the chain
    /// is where the next [`Ring::state`] says, unless others were taken after it.
    fn give_up(&mut self, token: Token);

    /// Gives a chain back to the driver, of which the first `written` device-writable bytes were
    /// written. The driver sees it after the next [`Ring::publish`].
    ///
    /// # Errors
    ///
    /// The token is handed back.
    ///
    /// - [`RingError::Fault`]: the used ring could not be written, but may be later.
    /// - [`RingError::Broken`]: the used ring can never be written.
    /// - [`RingError::NotInFlight`]: no chain is in flight, so that the token must be older than
    ///   the last [`Ring::set_state`]. While newer ones are in flight that is not noticed: whoever
    ///   sets the state forgets the tokens that it has.
    fn complete<M: Memory>(
        &mut self,
        memory: &M,
        token: Token,
        written: u32,
    ) -> Result<(), Uncompleted>;

    /// Shows all completed chains to the driver, with one store. Does nothing if there is none.
    ///
    /// # Errors
    ///
    /// [`RingError::Fault`] if the index could not be stored. The next call tries again.
    fn publish<M: Memory>(&mut self, memory: &M) -> Result<(), RingError>;

    /// Says whether the driver wants to be notified of what was published since the last call.
    ///
    /// The answer is `true` as well if what the driver wants cannot be read: a notification too
    /// many is allowed, one too few is not.
    #[must_use = "a driver that is not notified may wait forever"]
    fn needs_notification<M: Memory>(&mut self, memory: &M) -> bool;

    /// Asks the driver for a notification when it makes the next chain available, and looks once
    /// more for chains that it made available in the meantime.
    ///
    /// On `true` there are such chains: no notification may come for them, and the device has to go
    /// on instead of sleeping.
    ///
    /// # Errors
    ///
    /// As for [`Ring::pop`]; no notification may come.
    fn enable_notifications<M: Memory>(&mut self, memory: &M) -> Result<bool, RingError>;

    /// Tells the driver that notifications are not needed for now. It may send some anyway.
    ///
    /// # Errors
    ///
    /// [`RingError::Fault`] if that could not be written.
    fn disable_notifications<M: Memory>(&mut self, memory: &M) -> Result<(), RingError>;

    /// The number of chains that were taken and not completed.
    fn in_flight(&self) -> u16;

    /// Why the ring cannot be used any more, if so.
    fn broken(&self) -> Option<Broken>;

    /// Where the next [`Ring::pop`] goes on. Chains in flight are not part of it: a device that is
    /// to be moved completes and publishes them first, or puts them back.
    fn state(&self) -> Self::State;

    /// Starts the ring anew at `state`, with no chain in flight and not broken.
    fn set_state(&mut self, state: Self::State);
}
