// SPDX-License-Identifier: GPL-2.0

//! Which interrupt is for what.

use super::{
    common::Selectors,
    hardware::Hardware,
    Driver, //
};
use crate::{
    parent::Events,
    pci::Registers,
    VqIndex, //
};
use kernel::{
    alloc::KVVec,
    fmt,
    io::Io,
    irq::{
        self,
        IrqReturn, //
    },
    prelude::*,
    sync::Arc, //
};

/// ISR status: the device configuration has changed (virtio 1.3, section 4.1.4.5).
const ISR_CONFIG: u8 = 1 << 1;

/// How interrupts are shared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Each virtqueue has its own, and so has the configuration.
    PerQueue,
    /// One is for all virtqueues, one for the configuration.
    Shared,
    /// One is for all.
    Single,
}

/// What an interrupt is for.
enum Purpose<'bound> {
    Queue(VqIndex),
    AllQueues,
    Config,
    /// All, with the ISR status.
    Everything(Registers<'bound, u8>),
}

/// What is done when an interrupt is raised.
pub(super) struct Handler<'bound> {
    events: Arc<Events>,
    purpose: Purpose<'bound>,
}

impl irq::Handler for Handler<'_> {
    #[inline]
    fn handle(&self) -> IrqReturn {
        match &self.purpose {
            Purpose::Queue(queue) => {
                self.events.used(*queue);
            }
            Purpose::AllQueues => self.events.used_any(),
            Purpose::Config => self.events.config_changed(),
            Purpose::Everything(isr) => {
                if take_config_change(isr) {
                    self.events.config_changed();
                }
                self.events.used_any();
            }
        }
        // Message signalled interrupts are nobody else's.
        IrqReturn::Handled
    }
}

/// Reads from the ISR status, and so clears, whether the configuration has changed.
#[inline]
fn take_config_change(isr: &Registers<'_, u8>) -> bool {
    let isr = isr.read_val();

    // All ones: the device is not there any more.
    isr != u8::MAX && isr & ISR_CONFIG != 0
}

/// The interrupts of a device at work.
pub(super) struct Interrupts {
    mode: Mode,
    /// The numbers of those that are for one virtqueue alone: of each virtqueue, in their order.
    queues: KVVec<Option<u32>>,
}

impl Interrupts {
    /// Returns the number of the interrupt that is for this virtqueue alone, if there is such.
    #[inline]
    pub(super) fn of_queue(&self, queue: VqIndex) -> Option<u32> {
        self.queues.get(usize::from(queue)).copied().flatten()
    }

    /// Returns the vector of a virtqueue.
    #[inline]
    pub(super) fn vector(&self, queue: VqIndex) -> u16 {
        match self.mode {
            Mode::PerQueue => queue.get(),
            Mode::Shared | Mode::Single => 0,
        }
    }

    /// Requests interrupts, as good as they can be had, and tells the device of them. They are for
    /// `events`, and those of `hardware` until they are [torn down](Self::tear_down).
    ///
    /// # Errors
    ///
    /// `EIO` where the device does not accept a vector, those of
    /// [`Vectors`](crate::pci::Vectors). The user is told; nothing is left behind.
    #[inline]
    pub(super) fn set_up<D: Driver>(hardware: &Hardware<'_, D>, events: &Arc<Events>) -> Result {
        // There are none, but if a driver has gone without a reset.
        Self::tear_down(hardware);

        let result =
            Self::allocate(hardware).and_then(|mode| Self::request(hardware, events, mode));

        match result {
            Ok(interrupts) => {
                *hardware.interrupts.lock() = Some(interrupts);
                Ok(())
            }
            Err(error) => {
                Self::refuse(hardware, error);
                Self::tear_down(hardware);
                Err(error)
            }
        }
    }

    #[cold]
    fn refuse<D: Driver>(hardware: &Hardware<'_, D>, error: Error) {
        if hardware.log.allows() {
            dev_err!(
                hardware.dev,
                "there are no interrupts for {} virtqueues and the configuration: {error:?}\n",
                hardware.queues.len()
            );
        }
    }

    #[inline]
    fn allocate<D: Driver>(hardware: &Hardware<'_, D>) -> Result<Mode> {
        let all = u32::from(u16::try_from(hardware.queues.len())?) + 1;

        if hardware.vectors.allocate(all, all).is_ok() {
            return Ok(Mode::PerQueue);
        }
        // Affinity gives each vector processors of its own, so fewer processors get fewer vectors.
        let mode = match hardware.vectors.allocate(1, 2)? {
            1 => Mode::Single,
            _ => Mode::Shared,
        };

        if hardware.log.allows() {
            dev_info!(
                hardware.dev,
                "fewer than {all} interrupt vectors are to be had: {}\n",
                match mode {
                    Mode::Single => "one is for everything",
                    _ => "one is for all virtqueues",
                }
            );
        }
        Ok(mode)
    }

    #[inline]
    fn request<D: Driver>(
        hardware: &Hardware<'_, D>,
        events: &Arc<Events>,
        mode: Mode,
    ) -> Result<Self> {
        let mut selectors = hardware.selectors.lock();
        let driver = D::NAME;
        let device = hardware.dev.name();
        let count = u16::try_from(hardware.queues.len())?;
        let request = |vector: u16, purpose, name: fmt::Arguments<'_>| {
            let events = events.clone();

            hardware.vectors.request(
                vector.into(),
                fmt!("{driver}[{device}]-{name}"),
                Handler { events, purpose },
            )
        };
        let mut queues = KVVec::new();

        match mode {
            Mode::PerQueue => {
                queues.resize(count.into(), None, GFP_KERNEL)?;
                for queue in hardware.available() {
                    let index = VqIndex::new(queue.into(), count.into()).ok_or(EINVAL)?;
                    let irq = request(queue, Purpose::Queue(index), fmt!("{queue}"))?;

                    if let Some(slot) = queues.get_mut(usize::from(queue)) {
                        *slot = Some(irq);
                    }
                    selectors.queue(queue).set_vector(queue)?;
                }
                request(count, Purpose::Config, fmt!("config"))?;
                selectors.set_config_vector(count)?;
            }
            Mode::Shared => {
                request(0, Purpose::AllQueues, fmt!("vqs-reused-irq"))?;
                share(hardware, &mut selectors)?;
                request(1, Purpose::Config, fmt!("config"))?;
                selectors.set_config_vector(1)?;
            }
            Mode::Single => {
                let everything = Purpose::Everything(hardware.isr.clone());

                request(0, everything, fmt!("dev-irq"))?;
                share(hardware, &mut selectors)?;
                selectors.set_config_vector(0)?;
            }
        }
        Ok(Self { mode, queues })
    }

    /// Frees the interrupts, if there are any. No callback is running on their behalf when this
    /// returns.
    ///
    /// The device should not raise any by then.
    #[inline]
    pub(super) fn tear_down<D: Driver>(hardware: &Hardware<'_, D>) {
        hardware.vectors.free();
        *hardware.interrupts.lock() = None;
    }
}

/// Has all virtqueues raise the first vector.
#[inline]
fn share<D: Driver>(hardware: &Hardware<'_, D>, selectors: &mut Selectors<'_>) -> Result {
    for queue in hardware.available() {
        selectors.queue(queue).set_vector(0)?;
    }
    Ok(())
}
