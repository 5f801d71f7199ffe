// SPDX-License-Identifier: GPL-2.0

//! Which interrupt is for what.

use crate::{
    hardware::Hardware,
    registers::Selectors, //
};
use kernel::{
    alloc::KVVec,
    fmt,
    irq::{
        self,
        IrqReturn, //
    },
    prelude::*,
    sync::Arc, //
};
use vdpa::{
    pci::Window,
    Callback, //
};

/// ISR status: the device configuration has changed (virtio 1.3, section 4.1.4.5).
const ISR_CONFIG: u8 = 1 << 1;

/// How interrupts are shared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Each virtqueue has its own, and so has the configuration.
    PerQueue,
    /// One is for all virtqueues, one for the configuration.
    Shared,
    /// One is for all.
    Single,
}

/// The consumer's callbacks, and what interrupt handlers need to choose among them.
pub(crate) struct Lines {
    pub(crate) queues: KVVec<Arc<Callback>>,
    pub(crate) config: Arc<Callback>,
    isr: Window,
}

impl Lines {
    pub(crate) fn new(queues: u16, isr: Window) -> Result<Arc<Self>> {
        let mut callbacks = KVVec::with_capacity(queues.into(), GFP_KERNEL)?;

        for _ in 0..queues {
            callbacks.push(Callback::new()?, GFP_KERNEL)?;
        }
        Ok(Arc::new(
            Self {
                queues: callbacks,
                config: Callback::new()?,
                isr,
            },
            GFP_KERNEL,
        )?)
    }

    fn call_all(&self) {
        for callback in &self.queues {
            callback.call();
        }
    }

    /// Reads, and so clears, whether the configuration has changed.
    fn take_config_change(&self) -> bool {
        // All ones: the device is not there any more.
        matches!(self.isr.read8(0), Ok(isr) if isr != u8::MAX && isr & ISR_CONFIG != 0)
    }
}

/// What an interrupt is for.
enum Purpose {
    Queue(usize),
    AllQueues,
    Config,
    Everything,
}

/// What is done when an interrupt is raised.
pub(crate) struct Handler {
    lines: Arc<Lines>,
    purpose: Purpose,
}

impl irq::Handler for Handler {
    fn handle(&self) -> IrqReturn {
        let lines = &*self.lines;

        match self.purpose {
            Purpose::Queue(queue) => {
                if let Some(callback) = lines.queues.get(queue) {
                    callback.call();
                }
            }
            Purpose::AllQueues => lines.call_all(),
            Purpose::Config => {
                lines.config.call();
            }
            Purpose::Everything => {
                if lines.take_config_change() {
                    lines.config.call();
                }
                lines.call_all();
            }
        }
        // Message signalled interrupts are nobody else's.
        IrqReturn::Handled
    }
}

/// The interrupts of a device at work.
pub(crate) struct Interrupts {
    /// The numbers of those that are for one virtqueue alone: of each virtqueue, in their order.
    queues: KVVec<Option<u32>>,
}

impl Interrupts {
    /// Returns the number of the interrupt that is for this virtqueue alone, if there is such.
    pub(crate) fn of_queue(&self, queue: usize) -> Option<u32> {
        self.queues.get(queue).copied().flatten()
    }

    /// Requests interrupts, as good as they can be had, and tells the device of them.
    ///
    /// # Errors
    ///
    /// `EIO` where the device does not accept a vector, those of
    /// [`Vectors`](vdpa::pci::Vectors). The user is told; nothing is left behind.
    pub(crate) fn set_up(hardware: &Hardware) -> Result<Self> {
        let result = Self::allocate(hardware).and_then(|mode| Self::request(hardware, mode));

        if let Err(error) = &result {
            if hardware.log.allows() {
                dev_err!(
                    hardware.dev,
                    "there are no interrupts for {} virtqueues and the configuration: {error:?}\n",
                    hardware.lines.queues.len()
                );
            }
            Self::tear_down(hardware);
        }
        result
    }

    fn allocate(hardware: &Hardware) -> Result<Mode> {
        let all = u32::from(u16::try_from(hardware.lines.queues.len())?) + 1;

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

    fn request(hardware: &Hardware, mode: Mode) -> Result<Self> {
        let mut selectors = hardware.selectors.lock();
        let device = hardware.dev.name();
        let count = u16::try_from(hardware.lines.queues.len())?;
        let request = |vector: u16, purpose, name: fmt::Arguments<'_>| {
            let lines = hardware.lines.clone();

            hardware.vectors.request(
                vector.into(),
                fmt!("ifcvf[{device}]-{name}"),
                Handler { lines, purpose },
            )
        };
        let mut queues = KVVec::new();

        match mode {
            Mode::PerQueue => {
                queues.resize(count.into(), None, GFP_KERNEL)?;
                for queue in hardware.available() {
                    let irq = request(queue, Purpose::Queue(queue.into()), fmt!("{queue}"))?;

                    if let Some(slot) = queues.get_mut(usize::from(queue)) {
                        *slot = Some(irq);
                    }
                    selectors.queue(queue)?.set_vector(queue)?;
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
                request(0, Purpose::Everything, fmt!("dev-irq"))?;
                share(hardware, &mut selectors)?;
                selectors.set_config_vector(0)?;
            }
        }
        Ok(Self { queues })
    }

    /// Frees the interrupts. No callback is running on their behalf when this returns.
    ///
    /// The device should not raise any by then.
    pub(crate) fn tear_down(hardware: &Hardware) {
        hardware.vectors.free();
    }
}

/// Has all virtqueues raise the first vector.
fn share(hardware: &Hardware, selectors: &mut Selectors) -> Result {
    for queue in hardware.available() {
        selectors.queue(queue)?.set_vector(0)?;
    }
    Ok(())
}
