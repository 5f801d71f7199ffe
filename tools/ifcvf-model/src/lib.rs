// SPDX-License-Identifier: GPL-2.0

//! A model of an Intel IFC virtual function, for machines that have no such card.
//!
//! It is a vfio-user server: QEMU's `vfio-user-pci` connects to its socket and shows the guest a
//! PCI function with the ids, BARs and capabilities that the `ifcvf` driver looks for. The function
//! is a working virtio device. Its virtqueues are those of crate [`virtqueue`], and it reaches the
//! guest's memory only where the guest mapped it for the device, which makes it a witness of what a
//! driver maps and does not unmap.
//!
//! From the socket inwards:
//!
//! - [`server`] waits for all sockets, in one thread.
//! - [`protocol`] receives requests, [`session`] does what they want.
//! - [`device`] is the function; [`pci`] is its configuration space, [`registers`] its BARs,
//!   [`interrupts`] its vectors, [`queue`] its virtqueues, [`dma`] its view of memory.
//! - [`function`] is the virtio device behind them: [`net`] or [`blk`].
//! - [`settings`] says what the device is, [`faults`] what is wrong with it, [`hostile`] makes that
//!   up, [`console`] changes it while it runs and reports.
//!
//! The guest is not trusted: what it writes to registers or memory can break its own device only.

pub mod blk;
pub mod console;
pub mod device;
pub mod dma;
pub mod faults;
pub mod function;
pub mod hostile;
pub mod interrupts;
pub mod layout;
pub mod net;
pub mod pci;
pub mod protocol;
pub mod queue;
pub mod registers;
pub mod server;
pub mod session;
pub mod settings;
