// SPDX-License-Identifier: GPL-2.0

//! The parts of `drivers/ifcvf` that need neither a device nor a kernel, and tests of them.
#![cfg(test)]

#[path = "../../../drivers/ifcvf/capability.rs"]
mod capability;
#[path = "../../../drivers/ifcvf/fault.rs"]
mod fault;
#[path = "../../../drivers/ifcvf/limits.rs"]
mod limits;

mod capabilities_found;
mod capabilities_refused;
mod numbers;
mod space;
