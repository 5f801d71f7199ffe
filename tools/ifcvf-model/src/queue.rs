// SPDX-License-Identifier: GPL-2.0

//! A virtqueue: its registers, and its ring while it is enabled.

use std::time::Instant;

use virtqueue::{Chain, Memory, Ring, RingError, Segment, Split, SplitConfig, SplitState, Token};

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
    /// Why it cannot go on.
    failure: Option<String>,
    /// Chains that broke a rule.
    bad_chains: u64,
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
            failure: None,
            bad_chains: 0,
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

    /// Index of the next chain to take, for the live-migration registers.
    pub fn index(&self) -> u16 {
        self.ring
            .as_ref()
            .map_or(self.index, |ring| ring.state().avail_index)
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

    /// Stops it. No chain is in flight between two calls, so where it stands is all of its state.
    pub fn disable(&mut self) {
        self.index = self.index();
        self.ring = None;
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
    }

    /// Chains that broke a rule and were given back.
    pub fn bad_chains(&self) -> u64 {
        self.bad_chains
    }

    /// Runs an operation on the ring; an error ends the ring's life.
    fn with<T>(&mut self, operation: impl FnOnce(&mut Split) -> Result<T, RingError>) -> Option<T> {
        if self.failure.is_some() {
            return None;
        }
        match operation(self.ring.as_mut()?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.failure = Some(error.to_string());
                None
            }
        }
    }

    /// Takes the next chain. Those that break a rule are given back and not counted as any.
    pub fn pop<'s>(&mut self, dma: &Dma, storage: &'s mut [Segment]) -> Option<Chain<'s>> {
        if self.failure.is_some() {
            return None;
        }
        match self.ring.as_mut()?.pop(dma, storage) {
            Ok(chain) => chain,
            Err(error) => {
                self.failure = Some(error.to_string());
                None
            }
        }
    }

    /// Gives a chain back with so many bytes written.
    pub fn complete(&mut self, dma: &Dma, token: Token, written: u32) {
        self.with(|ring| ring.complete(dma, token, written).map_err(|f| f.error));
    }

    /// Puts the chain that was taken last back.
    pub fn unpop(&mut self, token: Token) {
        // Only one chain is in flight at a time, so it is the last.
        self.with(|ring| ring.unpop(token).map_err(|_| RingError::NotInFlight));
    }

    /// Tells the driver that it need not notify.
    pub fn mute(&mut self, dma: &Dma) {
        self.with(|ring| ring.disable_notifications(dma));
    }

    /// Asks the driver to notify, and says whether there is something to do all the same.
    pub fn listen(&mut self, dma: &Dma) -> bool {
        self.with(|ring| ring.enable_notifications(dma))
            .unwrap_or(false)
    }

    /// Shows the driver what was given back, and says whether it wants an interrupt.
    pub fn flush(&mut self, dma: &Dma) -> bool {
        self.with(|ring| {
            ring.publish(dma)?;
            Ok(ring.needs_notification(dma))
        })
        .unwrap_or(false)
    }
}

/// Reads eight bytes that nobody asked for.
pub fn stray(dma: &Dma, addr: u64) {
    // The memory counts what it refuses; what it answers is of no use.
    let _ = dma.read(addr, &mut [0; 8]);
}
