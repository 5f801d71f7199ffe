// SPDX-License-Identifier: GPL-2.0

//! A virtqueue of a device in software.

use super::Batch;
use crate::{
    bindings,
    parent::VqSetup,
    Asid,
    Features,
    IommuGuard,
    SoftIommu,
    VqState, //
};
use kernel::{
    fmt,
    prelude::*, //
};
use virtqueue::{
    Area,
    Broken,
    Ring,
    Segment,
    SetupError,
    Split,
    SplitConfig,
    SplitState,
    Token, //
};

/// The largest number of descriptors in a virtqueue.
pub const SIZE_MAX: u16 = 256;

/// Why a virtqueue cannot be started.
#[derive(Debug)]
pub enum StartError {
    /// Not as the engine wants it.
    Setup(SetupError),
    /// Mapped, but not so that the device could use it.
    NotPermitted(Area, u64),
    /// A packed ring.
    Packed,
}

impl fmt::Display for StartError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(error) => f.write_fmt(format_args!("{error}")),
            Self::NotPermitted(area, addr) => {
                let access = if *area == Area::Used {
                    "written"
                } else {
                    "read"
                };

                f.write_fmt(format_args!(
                    "{area} at {addr:#x} is mapped, but not to be {access} by the device"
                ))
            }
            Self::Packed => f.write_fmt(fmt!("it is a packed ring")),
        }
    }
}

/// A virtqueue: the ring while it is started, and where it stands.
///
/// Protected by the lock of the device.
pub struct Queue {
    pub(super) asid: Asid,
    /// Where it stands while it is not started.
    next_avail: u16,
    ring: Option<Split>,
    /// A chain that was handled, with the number of bytes written: the used ring could not be
    /// reached. It is the last one taken.
    owed: Option<(Token, u32)>,
    /// The buffers of the chain at hand.
    segments: KVec<Segment>,
    /// The driver is to be interrupted.
    pub(super) interrupt: bool,
}

impl Queue {
    /// Makes a queue that is not started. Devices have theirs already; this is for tests of models.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    #[inline]
    pub fn new() -> Result<Self> {
        Ok(Self {
            asid: Asid(0),
            next_avail: 0,
            ring: None,
            owed: None,
            // A chain has as many buffers as the queue has descriptors, at most.
            segments: KVec::from_elem(Segment::EMPTY, SIZE_MAX.into(), GFP_KERNEL)?,
            interrupt: false,
        })
    }

    /// Starts the queue.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    #[inline]
    pub fn start(
        &mut self,
        features: Features,
        setup: &VqSetup,
        iommu: &SoftIommu,
    ) -> Result<(), StartError> {
        let VqState::Split { avail_index } = setup.state else {
            return Err(StartError::Packed);
        };
        let config = SplitConfig {
            size: setup.size.into(),
            desc: setup.address.desc,
            avail: setup.address.driver,
            used: setup.address.device,
            event_idx: features.has(bindings::VIRTIO_RING_F_EVENT_IDX),
            indirect: features.has(bindings::VIRTIO_RING_F_INDIRECT_DESC),
        };
        let mut ring = Split::new(&config).map_err(StartError::Setup)?;

        self.stop();
        self.asid = setup.asid;
        // What is not mapped yet is waited for.
        for (area, addr, len) in config.areas() {
            if iommu.check(self.asid, addr, len, area == Area::Used) == Err(EACCES) {
                return Err(StartError::NotPermitted(area, addr));
            }
        }
        ring.set_state(SplitState { avail_index });
        self.ring = Some(ring);
        Ok(())
    }

    /// Stops the queue.
    #[inline]
    pub(super) fn stop(&mut self) {
        // Whoever goes on handles what is owed again: nobody was told that it was done.
        self.next_avail = self.next_avail();
        self.owed = None;
        self.ring = None;
        self.interrupt = false;
    }

    /// The available index that is looked at next.
    #[inline]
    pub(super) fn next_avail(&self) -> u16 {
        let taken = self
            .ring
            .as_ref()
            .map_or(self.next_avail, |ring| ring.state().avail_index);

        // The last one taken is not done.
        taken.wrapping_sub(self.owed.is_some().into())
    }

    /// Why the ring cannot be used any more, if so.
    #[inline]
    pub fn broken(&self) -> Option<Broken> {
        self.ring.as_ref().and_then(|ring| ring.broken())
    }

    /// Opens the queue for a batch; [`None`] if it is not started.
    #[inline]
    pub fn open<'a>(&'a mut self, iommu: &'a IommuGuard<'_>) -> Option<Batch<'a>> {
        Some(Batch {
            ring: self.ring.as_mut()?,
            owed: &mut self.owed,
            segments: &mut self.segments,
            interrupt: &mut self.interrupt,
            rings: iommu.memory(self.asid),
            buffers: iommu.memory(self.asid),
        })
    }
}
