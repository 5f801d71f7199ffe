// SPDX-License-Identifier: GPL-2.0

//! The operations of a vDPA device, answered for its parent.

use super::{
    adapter::{
        Adapter,
        State, //
    },
    phase::Phase,
    Parent, //
};
use crate::{
    bindings,
    Asid,
    Callback,
    ConfigOps,
    Features,
    GroupId,
    IovaRange,
    NotificationArea,
    Status,
    VendorStats,
    VqAddress,
    VqIndex,
    VqState, //
};
use kernel::{
    cpumask::Cpumask,
    prelude::*,
    sync::Arc, //
};

/// What the driver itself writes to the status; the rest are answers.
const WRITTEN: Status = Status::ACKNOWLEDGE
    .with(Status::DRIVER)
    .with(Status::FAILED);

#[vtable]
impl<P: Parent> ConfigOps for Adapter<P> {
    type OwnerModule = P::OwnerModule;

    const HAS_KICK_VQ_WITH_DATA: bool = P::HAS_KICK_WITH_DATA;
    const HAS_GET_VENDOR_VQ_STATS: bool = P::HAS_STATS;
    const HAS_GET_VQ_NOTIFICATION: bool = P::HAS_DOORBELLS;
    const HAS_GET_VQ_IRQ: bool = P::HAS_IRQ;
    const HAS_SUSPEND: bool = P::HAS_SUSPEND;
    const HAS_RESUME: bool = P::HAS_SUSPEND;
    const HAS_GET_IOVA_RANGE: bool = P::HAS_IOVA_RANGE;
    const HAS_GET_VQ_NUM_MIN: bool = P::HAS_SIZE_MIN;
    const HAS_GET_VQ_DESC_GROUP: bool = P::HAS_DESC_GROUP;
    const HAS_COMPAT_RESET: bool = P::HAS_RESET_WITH_MAPPINGS;
    const HAS_SET_VQ_AFFINITY: bool = P::HAS_SET_AFFINITY;
    const HAS_GET_VQ_AFFINITY: bool = P::HAS_AFFINITY;
    const HAS_SET_GROUP_ASID: bool = P::HAS_SET_ASID;

    fn set_vq_address(&self, vq: VqIndex, address: VqAddress) -> Result {
        let mut state = self.state.lock();
        let draft = state.drafts.get_mut(usize::from(vq)).ok_or(EINVAL)?;

        draft.address = address;
        Ok(())
    }

    fn set_vq_num(&self, vq: VqIndex, num: u32) {
        if let Some(draft) = self.state.lock().drafts.get_mut(usize::from(vq)) {
            draft.num = Some(num);
        }
    }

    #[inline]
    fn kick_vq(&self, vq: VqIndex) {
        self.parent.kick(vq);
    }

    #[inline]
    fn kick_vq_with_data(&self, vq: VqIndex, data: u32) {
        self.parent.kick_with_data(vq, data);
    }

    fn vq_callback(&self, vq: VqIndex) -> Option<Arc<Callback>> {
        self.events.queue(vq).cloned()
    }

    fn config_callback(&self) -> Option<Arc<Callback>> {
        Some(self.events.config().clone())
    }

    fn set_vq_ready(&self, vq: VqIndex, ready: bool) {
        let mut state = self.state.lock();

        match (state.is_enabled(vq), ready) {
            (false, true) => self.enable(&mut state, vq),
            (true, false) => self.disable(&mut state, vq),
            _ => {}
        }
    }

    fn get_vq_ready(&self, vq: VqIndex) -> bool {
        self.state.lock().is_enabled(vq)
    }

    fn set_vq_state(&self, vq: VqIndex, vq_state: VqState) -> Result {
        let mut state = self.state.lock();

        if state.is_started(vq) {
            return Err(EBUSY);
        }
        if !P::HAS_QUEUE_STATE && vq_state != state.initial() {
            return Err(EOPNOTSUPP);
        }
        let draft = state.drafts.get_mut(usize::from(vq)).ok_or(EINVAL)?;
        draft.state = Some(vq_state);
        draft.lost = false;
        Ok(())
    }

    fn get_vq_state(&self, vq: VqIndex) -> Result<VqState> {
        let state = self.state.lock();
        let draft = state.drafts.get(usize::from(vq)).ok_or(EINVAL)?;

        if !P::HAS_QUEUE_STATE || state.is_started(vq) {
            return self.parent.queue_state(vq);
        }
        Ok(draft.state.unwrap_or(state.initial()))
    }

    fn get_vendor_vq_stats(&self, vq: VqIndex, stats: &mut VendorStats<'_>) -> Result {
        self.parent.stats(vq, stats)
    }

    fn get_vq_notification(&self, vq: VqIndex) -> NotificationArea {
        self.parent.doorbells(vq)
    }

    fn get_vq_irq(&self, vq: VqIndex) -> Result<u32> {
        self.parent.irq(vq)
    }

    fn get_vq_size(&self, vq: VqIndex) -> u16 {
        let state = self.state.lock();
        let max = self.parent.size_max(vq);

        // Before the driver has decided, what it may decide.
        if !state.phase.status().has(Status::DRIVER_OK) {
            return max;
        }
        state
            .drafts
            .get(usize::from(vq))
            .and_then(|draft| draft.num)
            .and_then(|num| u16::try_from(num).ok())
            .unwrap_or(max)
    }

    fn get_vq_align(&self) -> u32 {
        self.parent.align()
    }

    fn get_vq_group(&self, vq: VqIndex) -> GroupId {
        self.parent.group(vq)
    }

    fn get_vq_desc_group(&self, vq: VqIndex) -> GroupId {
        self.parent.desc_group(vq)
    }

    fn set_vq_affinity(&self, vq: VqIndex, cpus: Option<&Cpumask>) -> Result {
        self.parent.set_affinity(vq, cpus)
    }

    fn get_vq_affinity(&self, vq: VqIndex) -> Option<&Cpumask> {
        self.parent.affinity(vq)
    }

    fn get_device_features(&self) -> Features {
        self.parent.features()
    }

    fn get_backend_features(&self) -> u64 {
        1 << bindings::VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK
    }

    fn set_driver_features(&self, features: Features) -> Result {
        let offered = self.parent.features();
        // Virtio 1.3, section 2.2.1: the driver must not accept what was not offered.
        let unknown = features.difference(offered);
        let demanded = Features::from_bits(&[bindings::VIRTIO_F_ACCESS_PLATFORM]);
        let missing = offered.intersection(demanded).difference(features);
        let mut state = self.state.lock();
        let Phase::Initial(initial) = &mut state.phase else {
            return Err(EBUSY);
        };

        initial.accept(None);
        if !missing.is_empty() {
            // No features at all are what a bus sets for a driver that has not said any.
            if !features.is_empty() {
                self.refuse(fmt!(
                    "the driver does not accept features {:#x}, but must",
                    missing.0
                ));
            }
            return Err(EINVAL);
        }
        if !unknown.is_empty() {
            self.refuse(fmt!(
                "the driver accepts features {:#x}, which are not offered",
                unknown.0
            ));
            return Err(EINVAL);
        }
        initial.accept(Some(features));
        Ok(())
    }

    fn get_driver_features(&self) -> Features {
        self.state.lock().phase.features().unwrap_or_default()
    }

    fn get_vq_num_max(&self) -> u16 {
        self.queues()
            .map(|vq| self.parent.size_max(vq))
            .max()
            .unwrap_or(0)
    }

    fn get_vq_num_min(&self) -> u16 {
        self.parent.size_min()
    }

    fn get_device_id(&self) -> u32 {
        self.parent.device_id()
    }

    fn get_vendor_id(&self) -> u32 {
        self.parent.vendor_id()
    }

    fn get_status(&self) -> Status {
        let state = self.state.lock();
        let status = state.phase.status().with(state.written);

        // Who resets a device last of all wants to see that it is, and finds out the next time.
        let began = status != Status::default() || state.phase.features().is_some();

        if self.events.is_broken() || (began && self.parent.needs_reset()) {
            status.with(Status::NEEDS_RESET)
        } else {
            status
        }
    }

    fn set_status(&self, status: Status) {
        let mut guard = self.state.lock();
        let state: &mut State = &mut guard;
        let before = state.phase.status().with(state.written);

        state.written = state.written.with(status.intersection(WRITTEN));
        // A driver that gives up says so once more where one before it has. One that begins again
        // without a reset, as the kernel's do, leaves it, and says something new.
        if status.has(Status::FAILED) && (!before.has(Status::FAILED) || before.has(status)) {
            self.fail(state);
            return;
        }
        let legacy = status.has(Status::DRIVER_OK)
            && matches!(&state.phase, Phase::Initial(initial) if initial.is_legacy());
        if status.has(Status::FEATURES_OK) || legacy {
            self.negotiate(state);
        }
        if status.has(Status::DRIVER_OK) {
            match state.phase {
                Phase::Initial(_) => self.refuse(fmt!(
                    "DRIVER_OK is refused: no features were negotiated (FEATURES_OK)"
                )),
                Phase::Negotiated(_) => self.start(state),
                _ => {}
            }
        }
    }

    fn reset(&self) -> Result {
        let mut state = self.state.lock();
        let result = self.parent.reset();

        self.begin_anew(&mut state, result);
        result
    }

    fn compat_reset(&self) -> Result {
        let mut state = self.state.lock();
        let result = self.parent.reset_with_mappings();

        self.begin_anew(&mut state, result);
        result
    }

    fn suspend(&self) -> Result {
        let mut guard = self.state.lock();
        let state: &mut State = &mut guard;

        match state.phase {
            Phase::Running(_) => Adapter::suspend(self, state),
            _ => Ok(()),
        }
    }

    fn resume(&self) -> Result {
        let mut guard = self.state.lock();
        let state: &mut State = &mut guard;

        match state.phase {
            Phase::Suspended(_) => Adapter::resume(self, state),
            _ => Ok(()),
        }
    }

    fn get_config_size(&self) -> usize {
        self.parent.config_size()
    }

    fn get_config(&self, offset: usize, buf: &mut [u8]) {
        self.parent.read_config(offset, buf);
    }

    fn set_config(&self, offset: usize, buf: &[u8]) {
        self.parent.write_config(offset, buf);
    }

    fn get_generation(&self) -> u32 {
        let generation = self.parent.config_generation();

        generation.wrapping_add(self.events.generation())
    }

    fn get_iova_range(&self) -> IovaRange {
        self.parent.iova_range()
    }

    fn set_group_asid(&self, group: GroupId, asid: Asid) -> Result {
        let mut state = self.state.lock();

        if self
            .queues()
            .any(|vq| state.is_started(vq) && self.parent.group(vq) == group)
        {
            return Err(EBUSY);
        }
        let slot = state.asids.get_mut(group.0 as usize).ok_or(EINVAL)?;

        self.parent.set_asid(group, asid)?;
        *slot = asid;
        Ok(())
    }
}
