// SPDX-License-Identifier: GPL-2.0

//! Where things are in the BARs.
//!
//! The driver learns the places of the virtio structures from capabilities. What it knows by itself
//! is that BARs 0, 2 and 4 are there and that BAR 4 begins with the live-migration registers.

/// BAR of the virtio structures.
pub const VIRTIO_BAR: u32 = 0;
/// BAR of the MSI-X table.
pub const MSIX_BAR: u32 = 2;
/// BAR of the live-migration registers.
pub const MIGRATION_BAR: u32 = 4;

/// The common configuration, in the BAR of the virtio structures.
pub const COMMON: u64 = 0;
/// Length of the common configuration.
pub const COMMON_LEN: u64 = 0x38;
/// The interrupt status.
pub const ISR: u64 = 0x1000;
/// Length of the interrupt status.
pub const ISR_LEN: u64 = 4;
/// The device's configuration.
pub const DEVICE: u64 = 0x2000;
/// Notifications of queue 0.
pub const NOTIFY: u64 = 0x4000;
/// From one queue's notifications to the next's: a page, so that each can be mapped alone.
pub const NOTIFY_STRIDE: u64 = 0x1000;

/// The pending bits of MSI-X, in their BAR; the table is at 0.
pub const MSIX_PENDING: u32 = 0x1000;

/// Places in the live-migration registers.
pub mod migration {
    /// What is logged; the model only remembers it, as the three after it.
    pub const CONTROL: u64 = 0;
    /// Places of 32 bytes of plain registers, of which [`CONTROL`] is the first.
    pub const PLAIN_LEN: u64 = 32;
    /// The state of queue 0.
    pub const STATE: u64 = PLAIN_LEN;
    /// From one queue's state to the next's. The available index is in the lower half, the used
    /// index in the upper.
    pub const STATE_STRIDE: u64 = 4;
}

/// Length of a BAR of a function with so many queues; 0 if there is no such BAR.
pub fn bar_len(bar: u32, queues: u16) -> u64 {
    match bar {
        VIRTIO_BAR => (NOTIFY + NOTIFY_STRIDE * u64::from(queues)).next_power_of_two(),
        MSIX_BAR => 0x2000,
        MIGRATION_BAR => 0x1000,
        _ => 0,
    }
}
