// SPDX-License-Identifier: GPL-2.0

//! A virtqueue: its registers, and its ring while it is enabled.

use std::time::Instant;

use virtqueue::{
    Chain, CursorError, Memory, Ring, RingError, Segment, Split, SplitConfig, SplitState, Token,
    Uncompleted,
};

use crate::dma::Dma;
use crate::interrupts::NO_VECTOR;

/// What was negotiated about rings.
#[derive(Clone, Copy, Debug, Default)]
pub struct RingFeatures {
    /// `VIRTIO_F_EVENT_IDX`.
    pub event_idx: bool,
    /// `VIRTIO_F_INDIRECT_DESC`.
    pub indirect: bool,
}

/// A virtqueue.
pub struct Queue {
    /// Entries, as the driver set it or as the device has them.
    pub size: u16,
    /// The MSI-X vector.
    pub vector: u16,
    /// Bus address of the descriptors.
    pub desc: u64,
    /// Bus address of the available ring.
    pub driver: u64,
    /// Bus address of the used ring.
    pub device: u64,
    enabled: bool,
    /// How often it was enabled.
    pub enables: u32,
    /// When it stops, if it takes its time.
    pub stops_at: Option<Instant>,
    /// Where the ring starts when it is enabled, and where it was when it was disabled.
    index: u16,
    ring: Option<Split>,
    /// A chain that was handled, and how much was written for it, which could not be given back.
    owed: Option<(Token, u32)>,
    /// Whether memory was refused that may be there later.
    waits: bool,
    /// Why it cannot go on.
    failure: Option<String>,
}

impl Queue {
    /// A queue after a reset.
    pub fn new(size: u16) -> Self {
        Self {
            size,
            vector: NO_VECTOR,
            desc: 0,
            driver: 0,
            device: 0,
            enabled: false,
            enables: 0,
            stops_at: None,
            index: 0,
            ring: None,
            owed: None,
            waits: false,
            failure: None,
        }
    }

    /// Whether it is enabled.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Whether it is at work, so that it cannot be set up differently.
    pub fn started(&self) -> bool {
        self.ring.is_some()
    }

    /// Index of the next chain to take, for the live-migration registers. One that could not be
    /// given back is handled again by whoever goes on.
    pub fn index(&self) -> u16 {
        let owed = u16::from(self.owed.is_some());
        self.ring.as_ref().map_or(self.index, |ring| {
            ring.state().avail_index.wrapping_sub(owed)
        })
    }

    /// Sets where it starts. Ignored while it is at work.
    pub fn set_index(&mut self, index: u16) {
        if !self.started() {
            self.index = index;
        }
    }

    /// Enables it, so that it can be started. If it was to stop, it does not.
    pub fn enable(&mut self) {
        self.enables += u32::from(!self.enabled);
        self.enabled = true;
        self.stops_at = None;
    }

    /// Starts it, if it is enabled, where the live-migration registers say. A ring that cannot be
    /// is a failure.
    pub fn start(&mut self, features: RingFeatures) {
        if !self.enabled || self.started() {
            return;
        }
        let config = SplitConfig {
            size: self.size.into(),
            desc: self.desc,
            avail: self.driver,
            used: self.device,
            event_idx: features.event_idx,
            indirect: features.indirect,
        };
        match Split::new(&config) {
            Ok(mut ring) => {
                ring.set_state(SplitState {
                    avail_index: self.index,
                });
                self.ring = Some(ring);
            }
            Err(error) => self.failure = Some(error.to_string()),
        }
    }

    /// Stops it. At most the chain that could not be given back is in flight between two calls, so
    /// where it stands is all of its state.
    pub fn disable(&mut self) {
        self.disable_ring();
        self.enabled = false;
        self.stops_at = None;
    }

    /// Why it cannot go on, if that is new.
    pub fn take_failure(&mut self) -> Option<String> {
        let failure = self.failure.take();
        if failure.is_some() {
            self.disable_ring();
        }
        failure
    }

    fn disable_ring(&mut self) {
        self.index = self.index();
        self.ring = None;
        self.owed = None;
        self.waits = false;
    }

    /// Whether it cannot go on.
    pub fn failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether it waits for memory that cannot be reached.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Tries again what could not be done for want of memory.
    pub fn retry(&mut self, dma: &Dma) {
        self.waits = false;
        self.pay(dma);
    }

    /// Takes note of what the ring says. What may be there later is waited for; the rest ends the
    /// ring's life.
    fn note(&mut self, error: RingError) {
        match error {
            RingError::Fault(_) => self.waits = true,
            RingError::Broken(_) | RingError::NotInFlight => {
                self.failure.get_or_insert(error.to_string());
            }
        }
    }

    /// Runs an operation on the ring.
    fn with<T>(&mut self, operation: impl FnOnce(&mut Split) -> Result<T, RingError>) -> Option<T> {
        if self.failed() {
            return None;
        }
        operation(self.ring.as_mut()?)
            .map_err(|error| self.note(error))
            .ok()
    }

    /// Takes the next chain, if there is one and the one before it was given back.
    pub fn pop<'s>(&mut self, dma: &Dma, storage: &'s mut [Segment]) -> Option<Chain<'s>> {
        self.pay(dma);
        if self.owed.is_some() {
            return None;
        }
        self.with(|ring| ring.pop(dma, storage)).flatten()
    }

    /// Gives a chain back with so many bytes written, now or when the used ring can be reached.
    pub fn complete(&mut self, dma: &Dma, token: Token, written: u32) {
        let Some(ring) = &mut self.ring else {
            return;
        };
        if let Err(Uncompleted { token, error }) = ring.complete(dma, token, written) {
            self.owed = Some((token, written));
            self.note(error);
        }
    }

    /// Gives back what is owed.
    fn pay(&mut self, dma: &Dma) {
        if let Some((token, written)) = self.owed.take() {
            self.complete(dma, token, written);
        }
    }

    /// What becomes of a chain whose outcome could not be written: it stays where it is until that
    /// can be, or the device stops if it never can.
    pub fn keep(&mut self, token: Token, error: CursorError) {
        let Some(ring) = &mut self.ring else {
            return;
        };
        match error {
            CursorError::Fault(fault) if !fault.is_final() => {
                // Only one chain is in flight at a time, so it is the last.
                let _ = ring.unpop(token);
                self.waits = true;
            }
            CursorError::Fault(_) | CursorError::Short { .. } => {
                ring.give_up(token);
                if let Some(broken) = ring.broken() {
                    self.note(RingError::Broken(broken));
                }
            }
        }
    }

    /// Tells the driver that it need not notify.
    pub fn mute(&mut self, dma: &Dma) {
        self.with(|ring| ring.disable_notifications(dma));
    }

    /// Asks the driver to notify, and says whether there is something to do all the same.
    pub fn listen(&mut self, dma: &Dma) -> bool {
        let more = self.with(|ring| ring.enable_notifications(dma));
        // What is there and cannot be reached is left until something changes.
        more.unwrap_or(false) && !self.waits
    }

    /// Shows the driver what was given back, even by a ring that has failed since, and says whether
    /// it wants an interrupt.
    pub fn flush(&mut self, dma: &Dma) -> bool {
        let Some(ring) = &mut self.ring else {
            return false;
        };
        let published = ring.publish(dma);
        let notify = ring.needs_notification(dma);
        if let Err(error) = published {
            self.note(error);
        }
        notify
    }
}

/// Reads eight bytes that nobody asked for.
pub fn stray(dma: &Dma, addr: u64) {
    // The memory counts what it refuses; what it answers is of no use.
    let _ = dma.read(addr, &mut [0; 8]);
}
