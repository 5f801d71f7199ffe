// SPDX-License-Identifier: GPL-2.0

//! The registers in the BARs.

use std::time::{Duration, Instant};

use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET,
    VIRTIO_F_VERSION_1,
};

use crate::device::Device;
use crate::faults::{Area, Fault, ResetTime};
use crate::hostile;
use crate::interrupts::NO_VECTOR;
use crate::layout::{self, migration};

const FEATURES_OK: u8 = VIRTIO_CONFIG_S_FEATURES_OK as u8;
const DRIVER_OK: u8 = VIRTIO_CONFIG_S_DRIVER_OK as u8;
const NEEDS_RESET: u8 = VIRTIO_CONFIG_S_NEEDS_RESET as u8;

/// Offsets in the common configuration (virtio 1.3, section 4.1.4.3).
mod common {
    pub(super) const DEVICE_FEATURE_SELECT: u64 = 0;
    pub(super) const DEVICE_FEATURE: u64 = 4;
    pub(super) const DRIVER_FEATURE_SELECT: u64 = 8;
    pub(super) const DRIVER_FEATURE: u64 = 12;
    pub(super) const CONFIG_VECTOR: u64 = 16;
    pub(super) const DEVICE_STATUS: u64 = 20;
    pub(super) const QUEUE_SELECT: u64 = 22;
    pub(super) const QUEUE_SIZE: u64 = 24;
    pub(super) const QUEUE_VECTOR: u64 = 26;
    pub(super) const QUEUE_ENABLE: u64 = 28;
    pub(super) const QUEUE_DESC: u64 = 32;
    pub(super) const QUEUE_DRIVER: u64 = 40;
    pub(super) const QUEUE_DEVICE: u64 = 48;
}

/// The common configuration, without what belongs to queues.
pub struct Common {
    device_feature_select: u32,
    driver_feature_select: u32,
    /// What the driver accepted.
    pub driver_features: u64,
    /// The vector for changes of the configuration.
    pub config_vector: u16,
    /// The device status.
    pub status: u8,
    /// Incremented with every change of the device's configuration.
    pub generation: u8,
    queue_select: u16,
    /// A reset that has not ended.
    pub resetting: Option<ResetTime>,
}

impl Default for Common {
    fn default() -> Self {
        Self::after_reset(0)
    }
}

impl Common {
    /// As a reset leaves it; the generation goes on.
    pub fn after_reset(generation: u8) -> Self {
        Self {
            device_feature_select: 0,
            driver_feature_select: 0,
            driver_features: 0,
            config_vector: NO_VECTOR,
            status: 0,
            generation,
            queue_select: 0,
            resetting: None,
        }
    }
}

/// Half of a word of 64 bits, by the select registers' value.
fn half(features: u64, select: u32) -> u32 {
    match select {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}

/// Writes one half of a word, or all of it; `false` if the length is none of both.
fn set_word(word: &mut u64, offset: u64, data: &[u8]) -> bool {
    match (offset, data.len()) {
        (0, 8) | (0 | 4, 4) => {
            let mut bytes = word.to_le_bytes();
            bytes[offset as usize..offset as usize + data.len()].copy_from_slice(data);
            *word = u64::from_le_bytes(bytes);
            true
        }
        _ => false,
    }
}

/// Copies what lies at `offset` of a structure; beyond its end are zeroes.
fn copy(structure: &[u8], offset: u64, data: &mut [u8]) {
    let bytes = usize::try_from(offset)
        .ok()
        .and_then(|offset| structure.get(offset..))
        .unwrap_or_default();
    for (to, from) in data.iter_mut().zip(bytes) {
        *to = *from;
    }
}

impl Device {
    /// Reads registers of a BAR.
    pub fn read_bar(&mut self, bar: u32, offset: u64, data: &mut [u8]) {
        self.accesses.reads += 1;
        data.fill(0);
        if !self.count_access() {
            data.fill(0xff);
            return;
        }
        let area = match (bar, offset) {
            (layout::VIRTIO_BAR, layout::COMMON..layout::ISR) => Area::Common,
            (layout::VIRTIO_BAR, layout::ISR..layout::DEVICE) => Area::Isr,
            (layout::VIRTIO_BAR, layout::DEVICE..layout::NOTIFY) => Area::Device,
            (layout::MIGRATION_BAR, _) => Area::Migration,
            // Doorbells read as zero; the MSI-X table is QEMU's, and nothing is ever pending.
            _ => return,
        };
        self.storm();
        if self.faults.has(Fault::Ones(area)) {
            data.fill(0xff);
            return;
        }
        match area {
            Area::Common => self.read_common(offset - layout::COMMON, data),
            Area::Isr => {
                if offset == layout::ISR {
                    copy(&[std::mem::take(&mut self.isr)], 0, data);
                }
            }
            Area::Device => {
                self.count_config_read();
                copy(&self.function.config(), offset - layout::DEVICE, data);
            }
            Area::Migration => self.read_migration(offset, data),
            Area::Pci => (),
        }
        self.spoil(area, data);
        if area == Area::Common && offset == common::DEVICE_FEATURE && self.settings.is_net() {
            self.hide_control(data);
        }
    }

    /// Noise must not make a driver wait for a control queue that is not there.
    fn hide_control(&self, data: &mut [u8]) {
        let control = (hostile::CONTROL & !self.features()) as u32;

        if self.common.device_feature_select == 0 {
            for (byte, hidden) in data.iter_mut().zip(control.to_le_bytes()) {
                *byte &= !hidden;
            }
        }
    }

    /// Writes registers of a BAR.
    pub fn write_bar(&mut self, bar: u32, offset: u64, data: &[u8]) {
        self.accesses.writes += 1;
        if !self.count_access() {
            return;
        }
        self.storm();
        let known = match (bar, offset) {
            (layout::VIRTIO_BAR, layout::COMMON..layout::ISR) => {
                self.write_common(offset - layout::COMMON, data)
            }
            (layout::VIRTIO_BAR, layout::NOTIFY..) => {
                let index = (offset - layout::NOTIFY) / layout::NOTIFY_STRIDE;
                self.doorbell(index as usize);
                true
            }
            (layout::MIGRATION_BAR, _) => self.write_migration(offset, data),
            // QEMU has the MSI-X table.
            (layout::MSIX_BAR, _) => true,
            _ => false,
        };
        if !known {
            self.accesses.ignored += 1;
        }
    }

    // --- The common configuration ---------------------------------------------------------------

    fn read_common(&mut self, offset: u64, data: &mut [u8]) {
        if (offset..offset + data.len() as u64).contains(&common::DEVICE_STATUS) {
            self.count_status_read();
        }
        let mut bytes = Vec::with_capacity(layout::COMMON_LEN as usize);
        let regs = &self.common;
        bytes.extend(regs.device_feature_select.to_le_bytes());
        bytes.extend(half(self.features(), regs.device_feature_select).to_le_bytes());
        bytes.extend(regs.driver_feature_select.to_le_bytes());
        bytes.extend(half(regs.driver_features, regs.driver_feature_select).to_le_bytes());
        bytes.extend(regs.config_vector.to_le_bytes());
        bytes.extend(self.queue_count().to_le_bytes());
        bytes.extend([regs.status, regs.generation]);
        bytes.extend(regs.queue_select.to_le_bytes());
        self.push_queue(&mut bytes);
        copy(&bytes, offset, data);
    }

    fn queue_count(&self) -> u16 {
        let given = self.faults.find(|fault| match fault {
            Fault::Queues(count) => Some(*count),
            _ => None,
        });
        given.unwrap_or(self.settings.queues())
    }

    /// Appends the registers of the selected queue; of one that is not there, zeroes.
    fn push_queue(&self, bytes: &mut Vec<u8>) {
        let index = self.common.queue_select;
        let Some(queue) = self.queues.get(usize::from(index)) else {
            return;
        };
        let wrong_size = |fault: &Fault| match *fault {
            Fault::QueueSize(queue, size) => Some((queue, size)),
            _ => None,
        };
        let wrong_offset = |fault: &Fault| match *fault {
            Fault::NotifyOff(queue, offset) => Some((queue, offset)),
            _ => None,
        };
        // What the driver has set it reads back.
        let size = if queue.size == self.settings.size {
            self.faults.for_queue(index, queue.size, wrong_size)
        } else {
            queue.size
        };
        let notify_off = self.faults.for_queue(index, index, wrong_offset);
        bytes.extend(size.to_le_bytes());
        bytes.extend(queue.vector.to_le_bytes());
        bytes.extend(u16::from(queue.enabled()).to_le_bytes());
        bytes.extend(notify_off.to_le_bytes());
        bytes.extend(queue.desc.to_le_bytes());
        bytes.extend(queue.driver.to_le_bytes());
        bytes.extend(queue.device.to_le_bytes());
    }

    /// A reset that takes its time is nearer to its end.
    fn count_status_read(&mut self) {
        match &mut self.common.resetting {
            Some(ResetTime::Reads(0)) => self.reset_virtio(),
            Some(ResetTime::Reads(left)) => *left -= 1,
            Some(ResetTime::Never) | None => (),
        }
    }

    /// Writes a register; `false` if there is none of that length, or it cannot be written now.
    fn write_common(&mut self, offset: u64, data: &[u8]) -> bool {
        if offset >= common::QUEUE_SIZE {
            return self.write_queue(offset, data);
        }
        let regs = &mut self.common;
        match (offset, data) {
            (common::DEVICE_FEATURE_SELECT, &[a, b, c, d]) => {
                regs.device_feature_select = u32::from_le_bytes([a, b, c, d]);
            }
            (common::DRIVER_FEATURE_SELECT, &[a, b, c, d]) => {
                regs.driver_feature_select = u32::from_le_bytes([a, b, c, d]);
            }
            (common::DRIVER_FEATURE, data) if regs.status & FEATURES_OK == 0 => {
                let half = u64::from(regs.driver_feature_select) * 4;
                return data.len() == 4 && set_word(&mut regs.driver_features, half, data);
            }
            (common::CONFIG_VECTOR, &[a, b]) => {
                self.common.config_vector = self.accepted_vector(u16::from_le_bytes([a, b]));
            }
            (common::DEVICE_STATUS, &[status]) => self.write_status(status),
            (common::QUEUE_SELECT, &[a, b]) => regs.queue_select = u16::from_le_bytes([a, b]),
            _ => return false,
        }
        true
    }

    fn accepted_vector(&self, vector: u16) -> u16 {
        if self.faults.has(Fault::VectorsRefused) {
            return NO_VECTOR;
        }
        self.interrupts.accepted(vector)
    }

    fn write_status(&mut self, status: u8) {
        if status == 0 {
            let time = self.faults.find(|fault| match fault {
                Fault::Reset(time) => Some(*time),
                _ => None,
            });
            match time {
                None => self.reset_virtio(),
                Some(time) => self.common.resetting = Some(time),
            }
            return;
        }
        if self.common.resetting.is_some() {
            return;
        }
        let was = self.common.status;
        // That bit is the device's own.
        let mut status = (status & !NEEDS_RESET) | (was & NEEDS_RESET);
        if status & !was & FEATURES_OK != 0 && !self.accepts_features() {
            status &= !FEATURES_OK;
        }
        // Section 3.1.1: a driver is not ready before the features are.
        if status & FEATURES_OK == 0 {
            status &= !DRIVER_OK;
        }
        self.common.status = status;
        if status & !was & DRIVER_OK != 0 {
            self.start_queues();
        }
    }

    /// Whether what the driver wants is possible.
    fn accepts_features(&self) -> bool {
        let wanted = self.common.driver_features;
        !self.faults.has(Fault::FeaturesRefused)
            && wanted & !self.features() == 0
            && wanted & (1 << VIRTIO_F_VERSION_1) != 0
    }

    /// Writes a register of the selected queue. What is set up cannot be changed while the queue is
    /// at work, which it is when it is enabled and the driver is ready: drivers of vDPA devices
    /// enable queues before they set them up.
    fn write_queue(&mut self, offset: u64, data: &[u8]) -> bool {
        let index = usize::from(self.common.queue_select);
        let features = self.ring_features();
        let vector = match (offset, data) {
            (common::QUEUE_VECTOR, &[a, b]) => self.accepted_vector(u16::from_le_bytes([a, b])),
            _ => NO_VECTOR,
        };
        let stop = self.faults.find(|fault| match fault {
            Fault::Stop(after) => Some(*after),
            _ => None,
        });
        let enables = self.faults.find(|fault| match *fault {
            Fault::Enables(queue, times) if usize::from(queue) == index => Some(times),
            _ => None,
        });
        let start = self.running() || self.faults.has(Fault::EnableStrict);
        let Some(queue) = self.queues.get_mut(index) else {
            return false;
        };
        let idle = !queue.started();
        match (offset, data) {
            (common::QUEUE_SIZE, &[a, b]) if idle => queue.size = u16::from_le_bytes([a, b]),
            (common::QUEUE_VECTOR, [_, _]) => queue.vector = vector,
            (common::QUEUE_ENABLE, [0, 0]) => match stop {
                None => queue.disable(),
                Some(None) => return false,
                Some(Some(after)) if queue.enabled() => {
                    let end = Instant::now() + Duration::from_millis(after);
                    queue.stops_at.get_or_insert(end);
                }
                Some(Some(_)) => (),
            },
            (common::QUEUE_ENABLE, [1, 0])
                if queue.enabled() || enables.is_none_or(|most| queue.enables < most) =>
            {
                queue.enable();
                if start {
                    queue.start(features);
                }
                self.set_pending(index);
                if self.check_queue(index) {
                    self.needs_reset();
                }
            }
            (common::QUEUE_DESC..common::QUEUE_DRIVER, data) if idle => {
                return set_word(&mut queue.desc, offset - common::QUEUE_DESC, data);
            }
            (common::QUEUE_DRIVER..common::QUEUE_DEVICE, data) if idle => {
                return set_word(&mut queue.driver, offset - common::QUEUE_DRIVER, data);
            }
            (common::QUEUE_DEVICE..layout::COMMON_LEN, data) if idle => {
                return set_word(&mut queue.device, offset - common::QUEUE_DEVICE, data);
            }
            _ => return false,
        }
        true
    }

    // --- The live-migration registers -----------------------------------------------------------

    fn read_migration(&self, offset: u64, data: &mut [u8]) {
        let mut bytes = self.migration.to_vec();
        for queue in &self.queues {
            // No chain is in flight between two accesses, so both indices are the same.
            let index = queue.index().to_le_bytes();
            bytes.extend(index);
            bytes.extend(index);
        }
        copy(&bytes, offset, data);
    }

    fn write_migration(&mut self, offset: u64, data: &[u8]) -> bool {
        let Some(state) = offset.checked_sub(migration::STATE) else {
            let end = offset.saturating_add(data.len() as u64);
            let register = self.migration.get_mut(offset as usize..end as usize);
            let Some(register) = register.filter(|register| matches!(register.len(), 4 | 8)) else {
                return false;
            };
            register.copy_from_slice(data);
            return true;
        };
        let index = usize::try_from(state / migration::STATE_STRIDE).ok();
        let queue = index.and_then(|index| self.queues.get_mut(index));
        // The used index follows the available index: no queue stops with chains in flight.
        let (Some(queue), 0, &[a, b] | &[a, b, _, _]) =
            (queue, state % migration::STATE_STRIDE, data)
        else {
            return false;
        };
        if queue.started() {
            return false;
        }
        queue.set_index(u16::from_le_bytes([a, b]));
        true
    }
}
