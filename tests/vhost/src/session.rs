// SPDX-License-Identifier: GPL-2.0

//! A device in use: what a virtual machine monitor does before its guest can.
//!
//! The crate `vhost`, which such monitors use, makes the calls; [`Device`] those that it lacks.

use std::sync::Arc;

use anyhow::{ensure, Context, Result};
use vhost::vdpa::VhostVdpa;
use vhost::vhost_kern::vdpa::VhostKernVdpa;
use vhost::vhost_kern::VhostKernFeatures;
use vhost::{VhostBackend, VringConfigData};
use virtio_bindings::{virtio_config, virtio_ring};
use vm_memory::GuestMemoryMmap;

use crate::device::Device;
use crate::iotlb::{self, kind, Message};
use crate::memory::{Memory, Room};
use crate::queue::{event, Queue};
use crate::ring::{Options, Packed, Ring, Split};
use crate::uapi::*;

/// What every session wants: the standard, and memory behind the device's own translation.
pub const REQUIRED: u64 =
    (1 << virtio_config::VIRTIO_F_VERSION_1) | (1 << virtio_config::VIRTIO_F_ACCESS_PLATFORM);
/// Packed rings.
pub const PACKED: u64 = 1 << virtio_config::VIRTIO_F_RING_PACKED;
/// Notifications by index.
pub const EVENT_IDX: u64 = 1 << virtio_ring::VIRTIO_RING_F_EVENT_IDX;
/// Descriptors in tables of their own.
pub const INDIRECT: u64 = 1 << virtio_ring::VIRTIO_RING_F_INDIRECT_DESC;
/// Single queues can be reset.
pub const RING_RESET: u64 = 1 << virtio_config::VIRTIO_F_RING_RESET;

/// A device that this process drives.
pub struct Session {
    /// For calls that the crate lacks.
    pub device: Device,
    /// For those it has. The memory that it could look at is not needed.
    pub vdpa: VhostKernVdpa<Arc<GuestMemoryMmap>>,
    /// The features that were negotiated.
    pub features: u64,
}

impl Session {
    /// Opens a device and becomes its owner.
    pub fn open(path: &str) -> Result<Self> {
        Self::own(Device::open(path).with_context(|| path.to_owned())?)
    }

    /// Becomes the owner of a device.
    pub fn own(device: Device) -> Result<Self> {
        let file = device.file().try_clone()?;
        let vdpa = VhostKernVdpa::with(file, Arc::new(GuestMemoryMmap::new()), 0);

        vdpa.set_owner().context("SET_OWNER")?;
        Ok(Self {
            device,
            vdpa,
            features: 0,
        })
    }

    /// The same session once more, in which nothing is negotiated: for a device that is reset.
    pub fn again(&self) -> Result<Self> {
        let file = self.device.file().try_clone()?;

        Ok(Self {
            device: self.device.try_clone()?,
            vdpa: VhostKernVdpa::with(file, Arc::new(GuestMemoryMmap::new()), 0),
            features: 0,
        })
    }

    /// Sets bits of the status, and checks that they are kept.
    pub fn add_status(&self, bits: u8) -> Result<()> {
        let status = self.vdpa.get_status()? | bits;

        self.vdpa
            .set_status(status)
            .with_context(|| format!("SET_STATUS {status:#x}"))?;
        let kept = self.vdpa.get_status()?;
        ensure!(
            kept & bits == bits,
            "the status is {kept:#x} after it was set to {status:#x}"
        );
        Ok(())
    }

    /// Negotiates the required features and `wanted` ones, which must be offered, and of the
    /// backend features that are offered those in `backend`.
    pub fn negotiate(&mut self, wanted: u64, backend: u64) -> Result<()> {
        let wanted = wanted | REQUIRED;
        let offered = self.vdpa.get_features().context("GET_FEATURES")?;
        let missing = wanted & !offered;
        ensure!(missing == 0, "features {missing:#x} are not offered");

        let offered = self.vdpa.get_backend_features()?;
        self.vdpa
            .set_backend_features(offered & backend)
            .context("SET_BACKEND_FEATURES")?;

        self.add_status(status::ACKNOWLEDGE | status::DRIVER)?;
        self.vdpa.set_features(wanted).context("SET_FEATURES")?;
        self.add_status(status::FEATURES_OK)?;
        self.features = wanted;
        Ok(())
    }

    /// Lets the device see memory in an address space: as one batch, if that was negotiated, as the
    /// memory may be in many pieces.
    pub fn map(&self, asid: u32, memory: &Memory) -> Result<()> {
        let (iova, len) = (memory.iova(), memory.len());
        let what = || format!("mapping {len:#x} bytes at {iova:#x} in space {asid}");
        let batch = self.vdpa.get_backend_features_acked() & backend::IOTLB_BATCH != 0;
        let mark = |kind| match batch {
            true => self.device.send(&Message::new(asid, kind)),
            false => Ok(()),
        };

        mark(kind::BATCH_BEGIN).with_context(what)?;
        if asid == 0 {
            let address = memory.address() as *const u8;
            self.vdpa
                .dma_map(iova, len, address, false)
                .with_context(what)?;
        } else {
            // The crate knows no others.
            let message = Message::update(asid, iova, len, memory.address(), iotlb::RW);
            self.device.send(&message).with_context(what)?;
        }
        mark(kind::BATCH_END).with_context(what)
    }

    /// Takes memory away from an address space again.
    pub fn unmap(&self, asid: u32, memory: &Memory) -> Result<()> {
        let message = Message::invalidate(asid, memory.iova(), memory.len());

        self.device
            .send(&message)
            .with_context(|| format!("unmapping {:#x} in space {asid}", memory.iova()))
    }

    /// The size of rings that is asked for: the largest possible, but no more than `most`.
    pub fn ring_size(&self, most: u16) -> Result<u16> {
        let largest = self.vdpa.get_vring_num().context("GET_VRING_NUM")?;

        ensure!(largest != 0, "rings cannot have descriptors");
        Ok(largest.min(most))
    }

    /// Makes a ring of the kind that was negotiated.
    pub fn ring(&self, memory: &Memory, room: &mut Room, size: u16) -> Result<Box<dyn Ring>> {
        let options = Options {
            event_idx: self.features & EVENT_IDX != 0,
            indirect: self.features & INDIRECT != 0,
        };

        Ok(if self.features & PACKED != 0 {
            Box::new(Packed::new(memory, room, size, options)?)
        } else {
            Box::new(Split::new(memory, room, size, options, 0)?)
        })
    }

    /// Gives a ring to the device, which shall begin at `base`, and enables it.
    pub fn add_queue(&self, index: u32, ring: Box<dyn Ring>, base: u32) -> Result<Queue> {
        let queue = self.prepare_queue(index, ring, base)?;

        self.enable(index, true)?;
        Ok(queue)
    }

    /// The same, without enabling it.
    pub fn prepare_queue(&self, index: u32, ring: Box<dyn Ring>, base: u32) -> Result<Queue> {
        let queue = Queue {
            index,
            ring,
            kick: event()?,
            call: event()?,
            doorbell: None,
        };

        self.attach(&queue, base)
            .with_context(|| format!("virtqueue {index}"))?;
        Ok(queue)
    }

    /// Gives a queue of another session to the device and enables it.
    pub fn restore_queue(&self, queue: &mut Queue, base: u32) -> Result<()> {
        self.attach(queue, base)
            .with_context(|| format!("virtqueue {}", queue.index))?;
        self.enable(queue.index, true)
    }

    /// Tells the device of a queue.
    fn attach(&self, queue: &Queue, base: u32) -> Result<()> {
        let index = queue.index as usize;

        self.place(queue, base)?;
        self.vdpa
            .set_vring_call(index, &queue.call)
            .context("call")?;
        self.vdpa.set_vring_kick(index, &queue.kick).context("kick")
    }

    /// Tells the device where a queue is: all that a reset makes it forget.
    pub fn place(&self, queue: &Queue, base: u32) -> Result<()> {
        let at = queue.ring.addresses();
        let size = queue.ring.size();
        let index = queue.index as usize;

        self.vdpa.set_vring_num(index, size).context("num")?;
        self.vdpa
            .set_vring_addr(
                index,
                &VringConfigData {
                    queue_max_size: size,
                    queue_size: size,
                    flags: 0,
                    desc_table_addr: at.desc,
                    used_ring_addr: at.device,
                    avail_ring_addr: at.driver,
                    log_addr: None,
                },
            )
            .context("addr")?;
        // The crate knows split rings only, where a base has 16 bits.
        self.device
            .set(VHOST_SET_VRING_BASE, vring_state(queue.index, base))
            .context("base")
    }

    /// Enables or disables a queue.
    pub fn enable(&self, index: u32, enabled: bool) -> Result<()> {
        self.vdpa
            .set_vring_enable(index as usize, enabled)
            .with_context(|| format!("enabling virtqueue {index}"))
    }

    /// Lets the device work.
    pub fn start(&self) -> Result<()> {
        self.add_status(status::DRIVER_OK)
    }

    /// Where a queue goes on.
    pub fn base(&self, index: u32) -> Result<u32> {
        self.vdpa
            .get_vring_base(index as usize)
            .with_context(|| format!("GET_VRING_BASE {index}"))
    }

    /// The virtio id of the device.
    pub fn id(&self) -> Result<u32> {
        Ok(self.vdpa.get_device_id()?)
    }
}
