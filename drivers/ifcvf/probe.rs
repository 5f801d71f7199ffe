// SPDX-License-Identifier: GPL-2.0

//! Looking at a device when the driver is bound to it, and refusing what makes no sense.

use crate::{
    capability::{
        self,
        ConfigSpace,
        Place,
        Structures, //
    },
    fault::Fault,
    hardware::{
        Hardware,
        Queue, //
    },
    interrupts::Handler,
    limits,
    management::Owner,
    registers::{
        Registers,
        Selectors,
        FEATURES, //
    }, //
};
use kernel::{
    alloc::KVVec,
    device::{
        Bound,
        Core,
        Device, //
    },
    io::Io,
    new_mutex,
    pci,
    prelude::*,
    sync::Arc, //
};
use vdpa::{
    bindings,
    pci::{
        Bars,
        Function,
        Vectors,
        Window, //
    },
    RateLimit, //
};

/// Tells the user what is wrong with a device.
fn refuse(dev: &Device, fault: Fault) -> Error {
    dev_err!(
        dev,
        "the device cannot be used: {}\n",
        format_args!("{fault}")
    );
    match fault {
        Fault::Absent => ENODEV,
        _ => EIO,
    }
}

/// Returns the virtio device id that a function stands for (virtio 1.3, section 4.1.2), and the
/// size in bytes of what the specification says of the device configuration.
fn identify(pdev: &pci::Device) -> Result<(u32, usize)> {
    let id = match pdev.device_id().checked_sub(0x1040) {
        Some(id) => id.into(),
        // A transitional device, of which only the modern side is used.
        None => pdev.subsystem_device_id().into(),
    };

    match id {
        bindings::VIRTIO_ID_NET => Ok((id, size_of::<bindings::virtio_net_config>())),
        bindings::VIRTIO_ID_BLOCK => Ok((id, size_of::<bindings::virtio_blk_config>())),
        _ => {
            dev_err!(
                pdev,
                "the device has virtio id {id}, must be 1 (network) or 2 (block)\n"
            );
            Err(EOPNOTSUPP)
        }
    }
}

fn enable(pdev: &pci::Device<Core<'_>>) -> Result<Function> {
    let function = Function::enable(pdev).inspect_err(|error| {
        dev_err!(pdev, "the device cannot be enabled: {error:?}\n");
    })?;

    if Vectors::<Handler>::table_len(pdev) == 0 {
        dev_err!(
            pdev,
            "the device has no MSI-X vectors, must have 1 or more\n"
        );
        return Err(EIO);
    }
    Ok(function)
}

/// The configuration space of a function.
struct Space<'a>(&'a pci::Device<Bound>);

impl ConfigSpace for Space<'_> {
    fn read32(&self, offset: u8) -> u32 {
        // The offset is always valid. An access that fails gives ones.
        self.0
            .config_space()
            .try_read32(offset.into())
            .unwrap_or(u32::MAX)
    }
}

/// The BARs of a function.
struct Map<'a> {
    dev: &'a Device,
    bars: Bars<'a>,
}

impl Map<'_> {
    fn window(&mut self, place: &Place) -> Result<Window> {
        let Place { bar, range } = place;

        self.bars.window(*bar, range.clone()).inspect_err(|error| {
            dev_err!(
                self.dev,
                "{range:#x?} in BAR {bar} cannot be mapped: {error:?}\n"
            );
        })
    }
}

/// The part of a structure that has a meaning here.
fn shortened(place: &Place, len: usize) -> Place {
    let start = place.range.start;

    Place {
        bar: place.bar,
        range: start..place.range.end.min(start.saturating_add(len as u64)),
    }
}

/// Asks a device that was reset about a virtqueue.
fn probe_queue(
    selectors: &mut Selectors,
    index: u16,
    notify: &Window,
    found: &Structures,
    states: &Place,
) -> Result<Result<Queue, Fault>> {
    let selected = selectors.queue(index)?;
    let size = selected.size()?;
    let notify_off = selected.notify_off()?;
    let len = notify.len() as u64;

    let queue = || {
        let Some(size) = limits::queue_size(index, size)? else {
            return Ok(Queue::default());
        };
        let offset = limits::doorbell(index, notify_off, found.notify_multiplier, len)?;
        let area = limits::doorbell_area(offset, bindings::PAGE_SIZE as u64, found, states);

        Ok(Queue {
            size_max: Some(size),
            // CAST: It is within the window, whose size is one of memory.
            doorbell: offset as usize,
            area: area.and_then(|size| notify.notification_area(offset, size)),
        })
    };
    Ok(queue())
}

/// Asks a device that was reset about its virtqueues.
fn probe_queues(
    dev: &Device,
    selectors: &mut Selectors,
    count: u16,
    notify: &Window,
    found: &Structures,
    states: &Place,
) -> Result<KVVec<Queue>> {
    let mut queues = KVVec::with_capacity(count.into(), GFP_KERNEL)?;

    for index in 0..count {
        let queue = probe_queue(selectors, index, notify, found, states)?;

        queues.push_within_capacity(queue.map_err(|fault| refuse(dev, fault))?)?;
    }
    limits::any_queue(queues.iter().map(|queue| queue.size_max)).map_err(|f| refuse(dev, f))?;
    Ok(queues)
}

impl Hardware {
    /// Takes a device into use: looks at it, checks it, resets it.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for a kind of device that there is no support for, `ENODEV` where the device is
    /// not there, `EIO` where what it says of itself makes no sense, `ETIMEDOUT` where it does not
    /// reset, `ENOMEM`. The user is told.
    pub(crate) fn probe(pdev: &pci::Device<Core<'_>>) -> Result<Arc<Self>> {
        let dev: &Device = pdev.as_ref();
        let refuse = |fault| refuse(dev, fault);
        let (device_id, config_len) = identify(pdev)?;
        let function = enable(pdev)?;

        let bars = Bars::new(pdev, c"ifcvf");
        let sizes = bars.sizes();
        let found = capability::find(&Space(pdev), &sizes).map_err(refuse)?;
        let mut map = Map { dev, bars };

        let common = map.window(&found.common)?;
        let registers = Registers::new(common.clone(), dev.into());
        registers.reset()?;
        let offered = registers.num_queues()?;
        let count = limits::queue_count(offered).map_err(refuse)?;
        if count != offered {
            dev_warn!(dev, "{count} of its {offered} virtqueues are used\n");
        }
        let states = limits::states(count, &found, &sizes).map_err(refuse)?;

        let notify = map.window(&found.notify)?;
        let mut selectors = Selectors::new(common);
        let queues = probe_queues(dev, &mut selectors, count, &notify, &found, &states)?;
        let features = selectors.device_features()?.intersection(FEATURES);
        // Whatever was read above could be ones.
        registers.check_present()?;

        let hardware = Arc::pin_init(
            try_pin_init!(Self {
                dev: dev.into(),
                device_id,
                vendor_id: pdev.subsystem_vendor_id().into(),
                features,
                isr: map.window(&found.isr)?,
                registers,
                config: map.window(&shortened(&found.device, config_len))?,
                states: map.window(&states)?,
                notify,
                function,
                owner <- new_mutex!(Owner::default(), "ifcvf_owner"),
                interrupts <- new_mutex!(None, "ifcvf_interrupts"),
                selectors <- new_mutex!(selectors, "ifcvf_selectors"),
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
