// SPDX-License-Identifier: GPL-2.0

//! What a device does with a split virtqueue (virtio 1.3, section 2.7), for values that it has
//! read.

use virtqueue::{
    Area, Broken, Chain, ChainError, Fault, Refusal, RingError, SetupError, SplitConfig,
};

use super::memory::Kind;
use super::walk::{walk, Trace, Walked};

/// What comes of taking a chain.
#[derive(Debug)]
pub enum Taken {
    Nothing,
    /// The ring itself says no.
    Refused(RingError),
    /// One of its descriptors cannot be read.
    Unreadable(RingError),
    /// One that is good, and its head.
    Chain(u16, Walked),
    /// One that breaks a rule, and its head.
    Bad(u16, Walked),
}

/// A ring.
pub struct Model {
    pub config: SplitConfig,
    pub size: u16,
    /// The driver's index when it was last read.
    avail: u16,
    /// Of the next chain to take.
    pub popped: u16,
    /// Of the next chain to give back.
    pub used: u16,
    /// What the driver sees of that.
    pub published: u16,
    /// Chains that were published and that the driver was not considered for yet.
    unsignalled: u32,
    /// Whether nobody knows what was signalled before, so that the next chains are.
    resumed: bool,
    /// Whether the driver knows that it shall send no notifications, once it was told.
    quiet: Option<bool>,
    pub broken: Option<Broken>,
}

/// The rules of section 2.7 that a set-up breaks.
pub fn rules(config: &SplitConfig) -> Vec<SetupError> {
    let size = u64::from(config.size);
    let mut broken = Vec::new();

    if !(1..=32768).contains(&size) || !size.is_power_of_two() {
        broken.push(SetupError::Size(config.size));
    }
    for (area, addr, align, len) in [
        (Area::Descriptors, config.desc, 16, 16 * size),
        (Area::Available, config.avail, 2, 6 + 2 * size),
        (Area::Used, config.used, 4, 6 + 8 * size),
    ] {
        if addr % align != 0 {
            broken.push(SetupError::Alignment { area, addr, align });
        }
        if u128::from(addr) + u128::from(len) > 1 << 64 {
            broken.push(SetupError::Wraps { area, addr, len });
        }
    }
    broken
}

impl Model {
    /// A ring that was started at an index.
    pub fn new(config: SplitConfig, index: u16) -> Self {
        Self {
            config,
            size: config.size as u16,
            avail: index,
            popped: index,
            used: index,
            published: index,
            unsignalled: 0,
            resumed: true,
            quiet: None,
            broken: None,
        }
    }

    pub fn in_flight(&self) -> u16 {
        self.popped.wrapping_sub(self.used)
    }

    fn used_event(&self) -> u64 {
        self.config.avail + 4 + 2 * u64::from(self.size)
    }

    fn avail_event(&self) -> u64 {
        self.config.used + 4 + 8 * u64::from(self.size)
    }

    fn check(&self) -> Result<(), RingError> {
        self.broken
            .map_or(Ok(()), |broken| Err(RingError::Broken(broken)))
    }

    /// What broke it first is what it is broken by.
    fn fail(&mut self, broken: Broken) -> RingError {
        let first = self.broken.unwrap_or(broken);

        self.broken = Some(first);
        RingError::Broken(first)
    }

    /// What is not mapped or not there now may be later; what is not permitted will never be.
    fn refused(&mut self, fault: Fault) -> RingError {
        match fault.refusal {
            Refusal::NotMapped | Refusal::NotPresent => RingError::Fault(fault),
            Refusal::NotPermitted => self.fail(Broken::Memory(fault)),
        }
    }

    fn load(&mut self, trace: &mut Trace<'_>, addr: u64) -> Result<u16, RingError> {
        trace.load(addr).map_err(|fault| self.refused(fault))
    }

    fn store(&mut self, trace: &mut Trace<'_>, addr: u64, value: u16) -> Result<(), RingError> {
        trace
            .store(addr, value)
            .map_err(|fault| self.refused(fault))
    }

    /// The driver's index: not before what was taken, not further than the ring is long.
    fn refresh(&mut self, trace: &mut Trace<'_>) -> Result<(), RingError> {
        let index = self.load(trace, self.config.avail + 2)?;
        let mut allowed = self.popped;
        let last = self.published.wrapping_add(self.size);

        while allowed != index {
            if allowed == last {
                return Err(self.fail(Broken::AvailableIndex {
                    index,
                    next: self.popped,
                    last,
                }));
            }
            allowed = allowed.wrapping_add(1);
        }
        self.avail = index;
        Ok(())
    }

    fn head(&mut self, trace: &mut Trace<'_>) -> Result<Option<u16>, RingError> {
        self.check()?;
        if self.popped == self.avail {
            self.refresh(trace)?;
        }
        if self.popped == self.avail {
            return Ok(None);
        }
        let slot = u64::from(self.popped % self.size);
        let head = self.load(trace, self.config.avail + 4 + 2 * slot)?;
        if head >= self.size {
            let size = self.size;
            return Err(self.fail(Broken::Head { head, size }));
        }
        Ok(Some(head))
    }

    pub fn pop(&mut self, trace: &mut Trace<'_>, limit: usize) -> Taken {
        let SplitConfig { desc, indirect, .. } = self.config;

        let head = match self.head(trace) {
            Err(error) => return Taken::Refused(error),
            Ok(None) => return Taken::Nothing,
            Ok(Some(head)) => head,
        };
        let walked = walk(trace, desc, self.size.into(), head, indirect, limit);
        if let Some(fault) = walked.fault {
            return Taken::Unreadable(self.refused(fault));
        }
        if !walked.broken.is_empty() {
            return Taken::Bad(head, walked);
        }
        self.popped = self.popped.wrapping_add(1);
        Taken::Chain(head, walked)
    }

    /// A chain broke the ring: which of its rules is complained of is up to that.
    pub fn bad_chain(&mut self, head: u16, error: ChainError) -> RingError {
        self.fail(Broken::Chain { head, error })
    }

    /// Whether a chain is the one that was taken last.
    pub fn is_last(&self, index: u16) -> bool {
        index.wrapping_add(1) == self.popped
    }

    pub fn unpop(&mut self) {
        self.popped = self.popped.wrapping_sub(1);
    }

    pub fn give_up(&mut self, head: u16, index: u16) {
        self.fail(Broken::GivenUp { head });
        if self.is_last(index) {
            self.unpop();
        }
    }

    pub fn complete(
        &mut self,
        trace: &mut Trace<'_>,
        head: u16,
        written: u32,
    ) -> Result<(), RingError> {
        if self.in_flight() == 0 {
            return Err(RingError::NotInFlight);
        }
        let slot = u64::from(self.used % self.size);
        let element = trace
            .take(Kind::Write, self.config.used + 4 + 8 * slot, 8)
            .map_err(|fault| self.refused(fault))?;
        assert_eq!(element, (u128::from(written) << 32) | u128::from(head));
        self.used = self.used.wrapping_add(1);
        Ok(())
    }

    pub fn publish(&mut self, trace: &mut Trace<'_>) -> Result<(), RingError> {
        let count = self.used.wrapping_sub(self.published);

        if count != 0 {
            self.store(trace, self.config.used + 2, self.used)?;
            self.published = self.used;
            self.unsignalled += u32::from(count);
        }
        Ok(())
    }

    pub fn needs_notification(&mut self, trace: &mut Trace<'_>) -> bool {
        let count = std::mem::take(&mut self.unsignalled);

        if count == 0 {
            return false;
        }
        if std::mem::take(&mut self.resumed) {
            return true;
        }
        let _ = trace.take(Kind::Barrier, 0, 0);
        if self.config.event_idx {
            // Any of those that were published since.
            trace.load(self.used_event()).map_or(true, |event| {
                (1..=count).any(|back| self.published.wrapping_sub(back as u16) == event)
            })
        } else {
            trace
                .load(self.config.avail)
                .map_or(true, |flags| flags & 1 == 0)
        }
    }

    fn tell(&mut self, trace: &mut Trace<'_>, quiet: bool) -> Result<(), RingError> {
        if self.quiet != Some(quiet) {
            self.store(trace, self.config.used, quiet.into())?;
            self.quiet = Some(quiet);
        }
        Ok(())
    }

    pub fn enable_notifications(&mut self, trace: &mut Trace<'_>) -> Result<bool, RingError> {
        self.check()?;
        self.tell(trace, false)?;
        if self.config.event_idx {
            self.store(trace, self.avail_event(), self.popped)?;
        }
        let _ = trace.take(Kind::Barrier, 0, 0);
        self.refresh(trace)?;
        Ok(self.popped != self.avail)
    }

    /// With an event index the flags are 0, and nothing else says it.
    pub fn disable_notifications(&mut self, trace: &mut Trace<'_>) -> Result<(), RingError> {
        self.tell(trace, !self.config.event_idx)
    }
}

/// Checks that a ring made of the next chain what the model makes of it.
pub fn same(popped: &Result<Option<Chain<'_>>, RingError>, expected: &Taken, model: &mut Model) {
    match (popped, expected) {
        (Ok(None), Taken::Nothing) => (),
        (Ok(Some(chain)), Taken::Chain(head, walked)) => {
            assert_eq!(chain.id(), *head);
            assert_eq!(chain.readable(), walked.readable);
            assert_eq!(chain.writable(), walked.writable);
            assert_eq!(chain.readable_len() + chain.writable_len(), walked.len());
        }
        (Err(error), Taken::Refused(expected) | Taken::Unreadable(expected)) => {
            assert_eq!(error, expected);
        }
        (Err(RingError::Broken(Broken::Chain { head, error })), Taken::Bad(expected, walked)) => {
            assert_eq!(head, expected);
            assert!(walked.broken.contains(error), "{error}: {walked:x?}");
            model.bad_chain(*head, *error);
        }
        (popped, expected) => panic!("{popped:x?} instead of {expected:x?}"),
    }
}
