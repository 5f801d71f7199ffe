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
        PopError,
        RingError, //
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
    /// - [`PopError::Chain`]: the chain breaks a rule. It was taken, and is to be completed with 0
    ///   bytes written; the next call takes the one after it.
    /// - [`PopError::Ring`]: the ring could not be read or is broken. No chain was taken.
    fn pop<'s, M: Memory>(
        &mut self,
        memory: &M,
        segments: &'s mut [Segment],
    ) -> Result<Option<Chain<'s>>, PopError>;

    /// Puts back the chain that was taken last; the next [`Ring::pop`] takes it again and reads its
    /// descriptors again.
    ///
    /// # Errors
    ///
    /// The token is handed back if its chain is not the one that was taken last.
    fn unpop(&mut self, token: Token) -> Result<(), Token>;

    /// Gives a chain back to the driver, of which the first `written` device-writable bytes were
    /// written. The driver sees it after the next [`Ring::publish`].
    ///
    /// # Errors
    ///
    /// - [`RingError::Broken`]: the used ring could not be written, now or earlier.
    /// - [`RingError::NotInFlight`]: no chain is in flight, so that the token must be older than
    ///   the last [`Ring::set_state`]. While newer ones are in flight that is not noticed: whoever
    ///   sets the state forgets the tokens that it has.
    fn complete<M: Memory>(
        &mut self,
        memory: &M,
        token: Token,
        written: u32,
    ) -> Result<(), RingError>;

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
