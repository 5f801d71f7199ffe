// SPDX-License-Identifier: GPL-2.0

//! The function: all of its state, and what can happen to it.

use std::time::{Duration, Instant};

use crate::dma::Dma;
use crate::faults::{Area, Churn, Fault, Faults};
use crate::function::Function;
use crate::hostile::Noise;
use crate::interrupts::Interrupts;
use crate::layout;
use crate::pci::{self, ConfigSpace};
use crate::queue::{self, Queue, RingFeatures};
use crate::registers::Common;
use crate::settings::Settings;
use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_F_ACCESS_PLATFORM,
    VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

/// Bit of the interrupt status: a queue was used.
const ISR_QUEUE: u8 = 1;
/// Bit of the interrupt status: the configuration changed.
const ISR_CONFIG: u8 = 2;

/// What the driver did to registers.
#[derive(Default)]
pub struct Accesses {
    /// Reads of BARs.
    pub reads: u64,
    /// Writes to BARs, doorbells among them.
    pub writes: u64,
    /// Doorbells.
    pub doorbells: u64,
    /// Writes that mean nothing: to read-only registers, of a wrong length, or too late.
    pub ignored: u64,
    /// Resets of the virtio device.
    pub resets: u64,
}

/// A function.
pub struct Device {
    pub(crate) settings: Settings,
    pub(crate) faults: Faults,
    pub(crate) config: ConfigSpace,
    /// The driver's memory.
    pub dma: Dma,
    /// The vectors.
    pub interrupts: Interrupts,
    pub(crate) common: Common,
    pub(crate) queues: Vec<Queue>,
    /// Queues in which there may be something.
    pending: Vec<bool>,
    pub(crate) function: Function,
    pub(crate) isr: u8,
    /// The plain live-migration registers.
    pub(crate) migration: [u8; layout::migration::PLAIN_LEN as usize],
    /// What the driver did.
    pub accesses: Accesses,
    /// Register accesses until the function vanishes, if it is to.
    countdown: Option<u64>,
    gone: bool,
    churn: Option<Churn>,
    /// Reads of the configuration since it changed.
    config_reads: u32,
    next_flap: Option<Instant>,
    /// The carrier as it was set, which faults change for a while.
    carrier: bool,
    /// What is read wrongly.
    noise: Vec<(Area, Noise)>,
    /// Interrupts still to come that nobody expects, and where they go.
    storm: Option<(u32, Noise)>,
}

impl Device {
    /// A function as the settings want it.
    pub fn new(settings: Settings) -> Self {
        let function = Function::new(&settings);
        let faults = settings.faults.clone();
        let config = ConfigSpace::new(&settings, &faults, function.config().len() as u64);
        let interrupts = Interrupts::new(pci::vectors(&settings, &faults));
        let mut device = Self {
            queues: (0..settings.queues())
                .map(|_| Queue::new(settings.size))
                .collect(),
            pending: vec![false; settings.queues().into()],
            settings,
            faults,
            config,
            dma: Dma::default(),
            interrupts,
            common: Common::default(),
            function,
            isr: 0,
            migration: Default::default(),
            accesses: Accesses::default(),
            countdown: None,
            gone: false,
            churn: None,
            config_reads: 0,
            next_flap: None,
            carrier: true,
            noise: Vec::new(),
            storm: None,
        };
        device.arm();
        device
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The virtio device behind the registers.
    pub fn function(&mut self) -> &mut Function {
        &mut self.function
    }

    /// Prints something about it.
    pub fn note(&self, text: impl std::fmt::Display) {
        eprintln!("{}: {text}", self.settings.socket.display());
    }

    // --- Faults ---------------------------------------------------------------------------------

    /// Adds a fault.
    pub fn add_fault(&mut self, fault: Fault) {
        self.faults.add(fault);
        self.faults_changed();
    }

    /// Removes all faults. A function that had vanished is there again, as after power-on, and the
    /// carrier is what it was set to.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
        if std::mem::take(&mut self.gone) {
            self.reset();
        }
        self.faults_changed();
        self.show_link(self.carrier);
    }

    fn faults_changed(&mut self) {
        let device_len = self.function.config().len() as u64;
        self.config
            .set_faults(&self.settings, &self.faults, device_len);
        self.arm();
    }

    /// Starts what happens after some time or some accesses.
    fn arm(&mut self) {
        self.countdown = self.faults.find(|fault| match fault {
            Fault::Vanish(count) => Some(*count),
            _ => None,
        });
        self.churn = self.faults.find(|fault| match fault {
            Fault::Churn(churn) => Some(*churn),
            _ => None,
        });
        self.config_reads = 0;
        self.noise = self
            .faults
            .iter()
            .filter_map(|fault| match *fault {
                Fault::Noise(area, rate, seed) => Some((area, Noise::new(rate, seed))),
                _ => None,
            })
            .collect();
        self.storm = self.faults.find(|fault| match *fault {
            Fault::Storm(count) => Some((count, Noise::new(0, count))),
            _ => None,
        });
        self.next_flap = self
            .flap_interval()
            .map(|interval| Instant::now() + interval);
    }

    fn flap_interval(&self) -> Option<Duration> {
        self.faults.find(|fault| match fault {
            Fault::Flap(interval) => Some(Duration::from_millis(*interval)),
            _ => None,
        })
    }

    /// Whether it is no longer there.
    pub fn gone(&self) -> bool {
        self.gone
    }

    /// Counts a register access, and says whether the function is still there to answer it.
    pub(crate) fn count_access(&mut self) -> bool {
        match &mut self.countdown {
            Some(0) if !self.gone => {
                self.gone = true;
                self.note("vanishes");
            }
            Some(0) | None => (),
            Some(count) => *count -= 1,
        }
        !self.gone
    }

    /// Spoils what was read of an area, if it is to be.
    pub(crate) fn spoil(&mut self, area: Area, data: &mut [u8]) {
        for (noisy, noise) in &mut self.noise {
            if *noisy == area {
                noise.spoil(data);
            }
        }
    }

    /// Raises an interrupt that nobody expects, if one is left.
    pub(crate) fn storm(&mut self) {
        let vectors = self.interrupts.count();
        let Some((left @ 1.., noise)) = &mut self.storm else {
            return;
        };

        *left -= 1;
        let vector = noise.below(vectors);
        self.interrupt(vector);
    }

    /// Reads configuration space.
    pub fn read_config(&mut self, offset: u64, data: &mut [u8]) {
        if self.gone || self.faults.has(Fault::Ones(Area::Pci)) {
            data.fill(0xff);
            return;
        }
        self.config.read(offset, data);
        // QEMU keeps the header, and what it reads itself is no more than that.
        if offset >= pci::HEADER_LEN {
            self.spoil(Area::Pci, data);
        }
    }

    /// Counts a read of the configuration, which may be one too many for it to stay as it is.
    pub(crate) fn count_config_read(&mut self) {
        let Some(churn) = &mut self.churn else {
            return;
        };
        self.config_reads += 1;
        if self.config_reads <= churn.reads || churn.times == Some(0) {
            return;
        }
        self.config_reads = 1;
        if let Some(times) = &mut churn.times {
            *times -= 1;
        }
        if let Some(net) = self.function.net() {
            net.churn();
        }
        self.config_changed();
    }

    // --- Resets ---------------------------------------------------------------------------------

    /// The whole function as after power-on; only what is mapped for it stays.
    pub fn reset(&mut self) {
        self.config.reset();
        self.dma.set_bus_master(false);
        self.reset_virtio();
    }

    /// The virtio device as after power-on.
    pub(crate) fn reset_virtio(&mut self) {
        self.accesses.resets += 1;
        self.common = Common::after_reset(self.common.generation);
        self.queues = (0..self.settings.queues())
            .map(|_| Queue::new(self.settings.size))
            .collect();
        self.pending.fill(false);
        self.function.reset();
        self.isr = 0;
        self.migration = Default::default();
    }

    /// The client has gone, and with it the machine.
    pub fn disconnected(&mut self) {
        self.interrupts.clear();
        self.dma.unmap_all();
        self.reset();
    }

    // --- Features and status --------------------------------------------------------------------

    /// Features that are offered.
    pub fn features(&self) -> u64 {
        let all = self.function.features()
            | (1 << VIRTIO_F_VERSION_1)
            | (1 << VIRTIO_F_ACCESS_PLATFORM)
            | (1 << VIRTIO_RING_F_EVENT_IDX)
            | (1 << VIRTIO_RING_F_INDIRECT_DESC);
        let given = self.faults.find(|fault| match fault {
            Fault::Features(features) => Some(*features),
            _ => None,
        });
        given.unwrap_or(all)
    }

    /// What was negotiated about rings.
    pub(crate) fn ring_features(&self) -> RingFeatures {
        let has = |bit: u32| self.common.driver_features & (1 << bit) != 0;
        RingFeatures {
            event_idx: has(VIRTIO_RING_F_EVENT_IDX),
            indirect: has(VIRTIO_RING_F_INDIRECT_DESC),
        }
    }

    /// Whether the driver is ready.
    fn driver_ok(&self) -> bool {
        !self.gone
            && self.common.resetting.is_none()
            && u32::from(self.common.status) & VIRTIO_CONFIG_S_DRIVER_OK != 0
    }

    /// Whether queues are at work: none is any more when one of them needs a reset.
    pub fn running(&self) -> bool {
        self.driver_ok() && u32::from(self.common.status) & VIRTIO_CONFIG_S_NEEDS_RESET == 0
    }

    // --- Queues ---------------------------------------------------------------------------------

    /// The driver says that there is something in a queue.
    pub(crate) fn doorbell(&mut self, index: usize) {
        self.accesses.doorbells += 1;
        self.set_pending(index);
        let stray = self.faults.find(|fault| match fault {
            Fault::Stray(addr) => Some(*addr),
            _ => None,
        });
        if let Some(addr) = stray {
            queue::stray(&self.dma, addr);
        }
    }

    pub(crate) fn set_pending(&mut self, index: usize) {
        if let Some(pending) = self.pending.get_mut(index) {
            *pending = true;
        }
    }

    /// More of the driver's memory may be reached than before: queues that wait for it go on.
    pub(crate) fn memory_changed(&mut self) {
        for (pending, queue) in self.pending.iter_mut().zip(&self.queues) {
            *pending |= queue.waits();
        }
    }

    /// Starts the queues that are enabled, for the driver is ready. What was put into them before
    /// counts.
    pub(crate) fn start_queues(&mut self) {
        let features = self.ring_features();
        let mut broken = false;
        self.function.start(self.common.driver_features);
        for index in 0..self.queues.len() {
            self.queues[index].start(features);
            broken |= self.check_queue(index);
        }
        self.pending.fill(true);
        if broken {
            self.needs_reset();
        }
    }

    /// Whether [`Device::work`] has something to do.
    pub fn has_work(&self) -> bool {
        self.running() && self.pending.contains(&true)
    }

    /// Handles some of what is in the queues.
    pub fn work(&mut self) {
        if !self.running() {
            return;
        }
        for index in 0..self.queues.len() {
            if std::mem::take(&mut self.pending[index]) {
                self.queues[index].retry(&self.dma);
                self.pending[index] = self.function.run(index, &mut self.queues, &self.dma);
            }
            if self.queues.iter().any(Queue::failed) {
                break;
            }
        }
        self.settle();
    }

    /// Takes frames that came by the link.
    pub fn receive(&mut self, frames: Vec<Vec<u8>>) {
        if self.running() {
            if let Function::Net(net) = &mut self.function {
                for frame in frames {
                    net.receive(0, &frame, &mut self.queues, &self.dma);
                }
            }
            self.settle();
        }
    }

    /// Shows the driver what was done, and tells it of rings that are broken.
    fn settle(&mut self) {
        let mut broken = false;
        for index in 0..self.queues.len() {
            let queue = &mut self.queues[index];
            if queue.flush(&self.dma) {
                let vector = queue.vector;
                self.isr |= ISR_QUEUE;
                self.interrupt(vector);
            }
            broken |= self.check_queue(index);
        }
        if broken {
            self.needs_reset();
        }
    }

    /// Whether a queue has just become useless.
    pub(crate) fn check_queue(&mut self, index: usize) -> bool {
        let failure = self.queues.get_mut(index).and_then(Queue::take_failure);
        if let Some(failure) = &failure {
            self.note(format_args!("queue {index}: {failure}"));
        }
        failure.is_some()
    }

    /// Tells the driver that only a reset helps (virtio 1.3, section 2.1.2).
    pub(crate) fn needs_reset(&mut self) {
        self.common.status |= VIRTIO_CONFIG_S_NEEDS_RESET as u8;
        self.notify_config();
    }

    // --- Interrupts -----------------------------------------------------------------------------

    fn interrupt(&mut self, vector: u16) {
        // An interrupt is a write to memory.
        if !self.gone && self.dma.bus_master() {
            self.interrupts.send(vector);
        }
    }

    fn notify_config(&mut self) {
        self.isr |= ISR_CONFIG;
        if self.driver_ok() {
            self.interrupt(self.common.config_vector);
        }
    }

    /// The configuration is no longer what it was.
    fn config_changed(&mut self) {
        self.common.generation = self.common.generation.wrapping_add(1);
        self.notify_config();
    }

    /// Sets the carrier of a network device.
    pub fn set_link(&mut self, up: bool) {
        self.carrier = up;
        self.show_link(up);
    }

    fn show_link(&mut self, up: bool) {
        if let Some(net) = self.function.net() {
            if net.up != up {
                net.up = up;
                self.config_changed();
            }
        }
    }

    // --- Time -----------------------------------------------------------------------------------

    /// When [`Device::tick`] has something to do.
    pub fn next_tick(&self) -> Option<Instant> {
        let stops = self.queues.iter().filter_map(|queue| queue.stops_at);
        stops.chain(self.next_flap).min()
    }

    /// Does what is to be done at a time.
    pub fn tick(&mut self, now: Instant) {
        for queue in &mut self.queues {
            if queue.stops_at.is_some_and(|end| end <= now) {
                queue.disable();
            }
        }
        if self.next_flap.is_some_and(|next| next <= now) {
            self.next_flap = self.flap_interval().map(|interval| now + interval);
            let up = self.function.net().is_some_and(|net| net.up);
            self.show_link(!up);
        }
    }
}
