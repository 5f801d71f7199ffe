// SPDX-License-Identifier: GPL-2.0

//! Looking at a function when its driver is bound to it, and refusing what makes no sense.

use super::{
    capability::{
        self,
        ConfigSpace,
        Place,
        Structures, //
    },
    common::{
        Common,
        Selectors, //
    },
    fault::Fault,
    hardware::{
        Hardware,
        Queue, //
    },
    interrupts::Handler,
    limits,
    offered,
    Driver,
    Own, //
};
use crate::{
    bindings,
    pci::{
        as_raw,
        Bars,
        Function,
        Vectors,
        Window,
        BARS, //
    },
    Features,
    RateLimit, //
};
use kernel::{
    alloc::KVVec,
    device::{
        Bound,
        Core,
        Device, //
    },
    fmt,
    io::Io,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            AtomicFlag, //
        },
        Arc, //
    }, //
};

/// Returns the virtio device id that a function stands for (virtio 1.3, section 4.1.2).
#[inline]
pub fn device_id(pdev: &pci::Device) -> u32 {
    match pdev.device_id().checked_sub(0x1040) {
        Some(id) => id.into(),
        // A transitional device, of which only the modern side is used.
        None => pdev.subsystem_device_id().into(),
    }
}

/// Returns the size in bytes of what the specification says of the configuration of a kind of
/// device, for those of which it is known here.
#[inline]
fn config_len(device_id: u32) -> Option<usize> {
    match device_id {
        bindings::VIRTIO_ID_NET => Some(size_of::<bindings::virtio_net_config>()),
        bindings::VIRTIO_ID_BLOCK => Some(size_of::<bindings::virtio_blk_config>()),
        _ => None,
    }
}

/// The configuration space of a function.
struct Space<'a>(&'a pci::Device<Bound>);

impl ConfigSpace for Space<'_> {
    #[inline]
    fn read32(&self, offset: u8) -> u32 {
        // The offset is always valid. An access that fails gives ones.
        self.0
            .config_space()
            .try_read32(offset.into())
            .unwrap_or(u32::MAX)
    }
}

/// What a driver looks at a function with, for registers that only its kind has.
pub struct Probe<'a, 'bound> {
    dev: &'bound Device<Bound>,
    bars: Bars<'bound>,
    sizes: [u64; BARS],
    structures: &'a Structures,
}

impl<'bound> Probe<'_, 'bound> {
    /// Returns the sizes of the BARs in bytes. 0 for what is not memory.
    #[inline]
    pub fn bar_sizes(&self) -> &[u64; BARS] {
        &self.sizes
    }

    /// Returns where the structures are that virtio speaks of.
    #[inline]
    pub fn structures(&self) -> &Structures {
        self.structures
    }

    /// Maps a part of a BAR.
    ///
    /// # Errors
    ///
    /// Those of [`Bars::window`]. The user is told.
    #[inline]
    pub fn window(&mut self, place: &Place) -> Result<Window<'bound>> {
        let Place { bar, range } = place;

        self.bars.window(*bar, range.clone()).inspect_err(|error| {
            dev_err!(
                self.dev,
                "{range:#x?} in BAR {bar} cannot be mapped: {error:?}\n"
            );
        })
    }

    /// Tells the user what is wrong with a function that cannot be used, and returns the error for
    /// that.
    #[cold]
    #[inline]
    pub fn refuse(&self, what: fmt::Arguments<'_>) -> Error {
        refuse(self.dev, what)
    }

    #[cold]
    #[inline]
    fn fault(&self, fault: Fault) -> Error {
        refuse_fault(self.dev, fault)
    }
}

#[cold]
#[inline]
fn refuse(dev: &Device, what: fmt::Arguments<'_>) -> Error {
    dev_err!(dev, "the device cannot be used: {}\n", what);
    EIO
}

#[cold]
#[inline]
fn refuse_fault(dev: &Device, fault: Fault) -> Error {
    let error = refuse(dev, format_args!("{fault}"));

    match fault {
        Fault::Absent => ENODEV,
        _ => error,
    }
}

#[inline]
fn enable<'bound>(pdev: &'bound pci::Device<Core<'_>>) -> Result<Function<'bound>> {
    let function = Function::enable(pdev).inspect_err(|error| {
        dev_err!(pdev, "the device cannot be enabled: {error:?}\n");
    })?;

    if Vectors::<Handler<'_>>::table_len(pdev) == 0 {
        dev_err!(
            pdev,
            "the device has no MSI-X vectors, must have 1 or more\n"
        );
        return Err(EIO);
    }
    Ok(function)
}

/// The part of a structure that has a meaning here.
#[inline]
fn shortened(place: &Place, len: Option<usize>) -> Place {
    let start = place.range.start;
    let end = len.map_or(u64::MAX, |len| start.saturating_add(len as u64));

    Place {
        bar: place.bar,
        range: start..place.range.end.min(end),
    }
}

/// Asks a device that was reset about a virtqueue.
#[inline]
fn probe_queue<'bound>(
    selectors: &mut Selectors<'_>,
    index: u16,
    notify: &Window<'bound>,
    structures: &Structures,
    own: Option<&Place>,
) -> Result<Queue<'bound>, Fault> {
    let selected = selectors.queue(index);
    let notify_off = selected.notify_off();
    let multiplier = structures.notify_multiplier;
    let len = notify.len() as u64;
    let Some(size) = limits::queue_size(index, selected.size())? else {
        return Ok(Queue::default());
    };
    let offset = limits::doorbell(index, notify_off, multiplier, len)?;
    let area = limits::doorbell_area(offset, bindings::PAGE_SIZE as u64, structures, own);

    Ok(Queue {
        size_max: Some(size),
        // CAST: It is within the window, whose size is one of memory. So this does not fail.
        doorbell: notify.registers(offset as usize).ok(),
        area: area.and_then(|size| notify.notification_area(offset, size)),
    })
}

/// Asks a device that was reset about its virtqueues.
#[inline]
fn probe_queues<'bound>(
    probe: &Probe<'_, 'bound>,
    selectors: &mut Selectors<'_>,
    count: u16,
    notify: &Window<'bound>,
    own: Option<&Place>,
) -> Result<KVVec<Queue<'bound>>> {
    let mut queues = KVVec::with_capacity(count.into(), GFP_KERNEL)?;

    for index in 0..count {
        let queue = probe_queue(selectors, index, notify, probe.structures, own)
            .map_err(|fault| probe.fault(fault))?;

        queues.push_within_capacity(queue)?;
    }
    limits::any_queue(queues.iter().map(|queue| queue.size_max))
        .map_err(|fault| probe.fault(fault))?;
    Ok(queues)
}

/// Checks that what the device does goes through the platform's translation, if there is one:
/// otherwise it would reach memory that nobody has given it.
#[inline]
fn check_translation(pdev: &pci::Device<Bound>, features: Features) -> Result {
    // C: `device_iommu_mapped()`.
    // SAFETY: The pointer is valid, and the group does not change while the driver is bound.
    let translated = unsafe { !(*as_raw(pdev)).dev.iommu_group.is_null() };

    if translated && !features.has(bindings::VIRTIO_F_ACCESS_PLATFORM) {
        return Err(refuse(
            pdev.as_ref(),
            fmt!(
                "there is an IOMMU, which it goes past: it must offer feature {} \
                 (VIRTIO_F_ACCESS_PLATFORM)",
                bindings::VIRTIO_F_ACCESS_PLATFORM
            ),
        ));
    }
    Ok(())
}

impl<'bound, D: Driver> Hardware<'bound, D> {
    /// Takes a device into use: looks at it, checks it, resets it.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for a kind of device that there is no support for, `ENODEV` where the device is
    /// not there, `EIO` where what it says of itself makes no sense, `ETIMEDOUT` where it does not
    /// reset, `ENOMEM`. The user is told.
    #[inline]
    pub(super) fn probe(pdev: &'bound pci::Device<Core<'_>>) -> Result<Arc<Self>> {
        let dev: &'bound Device<Bound> = pdev.as_ref();
        let device_id = D::device_id(pdev)?;
        let config_len = config_len(device_id);
        let function = enable(pdev)?;

        let bars = Bars::new(pdev, D::NAME);
        let sizes = bars.sizes();
        let structures = capability::find(&Space(pdev), &sizes, config_len.is_some())
            .map_err(|fault| refuse_fault(dev, fault))?;
        let mut probe = Probe {
            dev,
            bars,
            sizes,
            structures: &structures,
        };

        let window = probe.window(&structures.common)?;
        let common = Common::new(&window, dev)?;
        common.reset()?;
        let offers = common.num_queues();
        let count = limits::queue_count(offers).map_err(|fault| probe.fault(fault))?;
        if count != offers {
            dev_warn!(dev, "{count} of its {offers} virtqueues are used\n");
        }
        let own = D::probe(&mut probe, count)?;

        let notify = probe.window(&structures.notify)?;
        let mut selectors = Selectors::new(&window)?;
        let queues = probe_queues(&probe, &mut selectors, count, &notify, own.place())?;
        let device_features = selectors.device_features();
        let mut features = offered::<D>(device_features);
        if !selectors.can_reset_queues() {
            let reset = Features::from_bits(&[bindings::VIRTIO_F_RING_RESET]);

            features = features.difference(reset);
        }
        // Whatever was read above could be ones.
        common.check_present()?;
        check_translation(pdev, features)?;

        let isr = probe.window(&structures.isr)?.registers(0)?;
        let config = structures
            .device
            .as_ref()
            .map(|place| probe.window(&shortened(place, config_len)))
            .transpose()?;
        let hardware = Arc::pin_init(
            try_pin_init!(Self {
                dev,
                device_id,
                vendor_id: pdev.subsystem_vendor_id().into(),
                features,
                isr,
                common,
                config,
                own,
                function,
                negotiated: Atomic::new(0),
                claimed: AtomicFlag::new(false),
                interrupts <- new_mutex!(None, "vdpa_pci_interrupts"),
                selectors <- new_mutex!(selectors, "vdpa_pci_selectors"),
                vectors: Vectors::new(pdev)?,
                queues,
                log <- RateLimit::new(),
            }),
            GFP_KERNEL,
        )?;
        // It was reset, so there is nothing that it would begin with.
        hardware.function.allow_dma();
        Ok(hardware)
    }
}
