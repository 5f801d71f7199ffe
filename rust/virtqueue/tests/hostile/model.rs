// SPDX-License-Identifier: GPL-2.0

//! What a device does with a split virtqueue (virtio 1.3, section 2.7), for values that it has
//! read.

use virtqueue::{Area, Broken, Fault, RingError, SetupError, SplitConfig};

use super::memory::Kind;
use super::walk::{walk, Trace, Walked};

/// What comes of taking a chain.
#[derive(Debug)]
pub enum Taken {
    Nothing,
    Refused(RingError),
    /// One that was there, good or bad, and its head.
    Chain(u16, Walked),
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
    pub fn new(config: SplitConfig, index: u16) -> Self {
        Self {
            config,
            size: config.size as u16,
            avail: index,
            popped: index,
            used: index,
            published: index,
            unsignalled: 0,
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

    fn fail(&mut self, broken: Broken) -> RingError {
        self.broken = Some(broken);
        RingError::Broken(broken)
    }

    /// The driver's index: not before what was taken, not further than the ring is long.
    fn refresh(&mut self, trace: &mut Trace<'_>) -> Result<(), RingError> {
        let index = trace.load(self.config.avail + 2)?;
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
        let head = trace.load(self.config.avail + 4 + 2 * slot)?;
        if head >= self.size {
            let size = self.size;
            return Err(self.fail(Broken::Head { head, size }));
        }
        self.popped = self.popped.wrapping_add(1);
        Ok(Some(head))
    }

    pub fn pop(&mut self, trace: &mut Trace<'_>, limit: usize) -> Taken {
        let SplitConfig { desc, indirect, .. } = self.config;

        match self.head(trace) {
            Err(error) => Taken::Refused(error),
            Ok(None) => Taken::Nothing,
            Ok(Some(head)) => {
                let size = self.size.into();
                Taken::Chain(head, walk(trace, desc, size, head, indirect, limit))
            }
        }
    }

    pub fn unpop(&mut self) {
        self.popped = self.popped.wrapping_sub(1);
    }

    pub fn complete(
        &mut self,
        trace: &mut Trace<'_>,
        head: u16,
        written: u32,
    ) -> Result<(), RingError> {
        if let Some(broken @ Broken::UsedRing(_)) = self.broken {
            return Err(RingError::Broken(broken));
        }
        if self.in_flight() == 0 {
            return Err(RingError::NotInFlight);
        }
        let slot = u64::from(self.used % self.size);
        match trace.take(Kind::Write, self.config.used + 4 + 8 * slot, 8) {
            Ok(element) => {
                assert_eq!(element, (u128::from(written) << 32) | u128::from(head));
                self.used = self.used.wrapping_add(1);
                Ok(())
            }
            Err(fault) => Err(self.fail(Broken::UsedRing(fault))),
        }
    }

    pub fn publish(&mut self, trace: &mut Trace<'_>) -> Result<(), RingError> {
        let count = self.used.wrapping_sub(self.published);

        if count != 0 {
            trace.store(self.config.used + 2, self.used)?;
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

    fn tell(&mut self, trace: &mut Trace<'_>, quiet: bool) -> Result<(), Fault> {
        if self.quiet != Some(quiet) {
            trace.store(self.config.used, quiet.into())?;
            self.quiet = Some(quiet);
        }
        Ok(())
    }

    pub fn enable_notifications(&mut self, trace: &mut Trace<'_>) -> Result<bool, RingError> {
        self.check()?;
        if self.config.event_idx {
            trace.store(self.avail_event(), self.popped)?;
        } else {
            self.tell(trace, false)?;
        }
        let _ = trace.take(Kind::Barrier, 0, 0);
        self.refresh(trace)?;
        Ok(self.popped != self.avail)
    }

    pub fn disable_notifications(&mut self, trace: &mut Trace<'_>) -> Result<(), RingError> {
        if !self.config.event_idx {
            self.tell(trace, true)?;
        }
        Ok(())
    }
}
